"""What the words of a caption are: two ways to clean it, and how much the original's way drops."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from typing import Literal

Cleaning = Literal["seed", "natural"]

MOST = 0.1  # share of the words that a cleaning may drop without a warning
PUNCTUATION = str.maketrans("", "", string.punctuation)
SPECIAL = re.compile(r"\b(?:startseq|endseq)\b|<(?:start|end|/?s|bos|eos)>", re.IGNORECASE)
JOINING = "'-\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{HYPHEN}\N{NON-BREAKING HYPHEN}"
JOINING += "\N{HEBREW PUNCTUATION GERESH}\N{HEBREW PUNCTUATION GERSHAYIM}\N{MIDDLE DOT}"
SPACE, NON_JOINER, JOINER = "\N{ZERO WIDTH SPACE}", "\N{ZERO WIDTH NON-JOINER}", "\N{ZERO WIDTH JOINER}"
UNSPACED = ("THAI", "LAO", "KHMER", "MYANMAR", "CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA")
TRAILING = "\N{THAI CHARACTER SARA AM}\N{LAO VOWEL SIGN AM}"  # letters that belong to the one before, as marks do
TRAILING += "\N{HALFWIDTH KATAKANA VOICED SOUND MARK}\N{HALFWIDTH KATAKANA SEMI-VOICED SOUND MARK}"
STACKING = "\N{KHMER SIGN COENG}\N{MYANMAR SIGN VIRAMA}"  # the letter after them is written below the one before


def clean(text: str, cleaning: Cleaning = "seed") -> str:
    """Return the words of a caption in lower case and without punctuation.

    "seed", the original's way, drops words of one letter, such as "a", and those with anything but letters, such as digits or accents
    that are characters of their own. "natural" keeps all: letters, marks and digits of every script, in Unicode's form NFC. In a
    script without spaces between words, such as Thai or Chinese, each character with its marks is a word.
    """
    if cleaning == "natural":
        return " ".join(_words(text))
    words = (word.lower().translate(PUNCTUATION) for word in text.split())
    return " ".join(word for word in words if word.isalpha() and len(word) > 1)


def without_special(text: str) -> str:
    """Return a caption without what other programs put at its start and end, such as startseq or </s>, and with single spaces."""
    return " ".join(SPECIAL.sub(" ", text).split())


def dropped(captions: Iterable[Iterable[str]]) -> float:
    """Return the share of the words that the original's cleaning drops; words of one plain letter or digit, such as "a", do not count."""
    natural, seed = Counter(), Counter()
    for text in (text for texts in captions for text in texts):
        natural.update(word for word in _words(text) if len(word) > 1 or not word.isascii())
        seed.update(clean(text).split())
    return (natural - seed).total() / max(1, natural.total())


def is_unspaced(text: str) -> bool:
    """Tell whether a text has a script that is written without spaces between words."""
    return not text.isascii() and any(map(_is_unspaced, text))


def _words(text: str) -> Iterator[str]:
    kept = unicodedata.normalize("NFC", "".join(map(_kept, text.lower())))
    for run in kept.replace("i\N{COMBINING DOT ABOVE}", "i").split():  # as Turkish İ should be in lower case
        if run.isascii():
            yield run
            continue
        for unspaced, group in groupby(_graphemes(run), lambda grapheme: _is_unspaced(grapheme[0])):
            yield from (part.rstrip(NON_JOINER) for part in (group if unspaced else ["".join(group)]))


@cache
def _kept(character: str) -> str:
    """Return a letter, mark or digit itself, nothing for what may stand within a word, and a space for what ends one."""
    category = unicodedata.category(character)
    if category[0] in "LMN" or character in NON_JOINER + JOINER:  # the spelling of some scripts needs these two
        return character
    within = character in string.punctuation + JOINING or (category == "Cf" and character != SPACE)
    return "" if within else " "


def _graphemes(run: str) -> list[str]:
    """Cut a run of letters, marks and digits into characters with their marks; marks of nothing are dropped."""
    found: list[str] = []
    for character in run:
        mark = unicodedata.category(character)[0] in "MC"
        if found and (mark or character in TRAILING or found[-1][-1] in STACKING):
            found[-1] += character
        elif not mark:
            found.append(character)
    return found


@cache
def _is_unspaced(character: str) -> bool:
    return unicodedata.name(character, "").startswith(UNSPACED)
