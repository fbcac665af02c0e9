"""Which column of a table, or key of a record, holds the photographs' names, which the captions, which the split."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError
from encoders.photographs import NAME_WORDS, is_named_photograph, plain_word

CAPTIONS = ("caption", "sentence", "comment", "description", "raw", "text", "alt")  # the first word that fits is taken
CAPTION_WORD = re.compile(
    r"(?:raw|image|img|original|ref|reference)?({})s?(?:text|list|str)?\d*".format("|".join(CAPTIONS))
)
SPLITS = {
    **dict.fromkeys(("train", "training", "restval"), "train"),  # Karpathy's restval is trained on too
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
SPLIT_WORD = re.compile(r"(?<![a-z])({})(?:images?|imgs|set|list|ids)?(?![a-z])".format("|".join(SPLITS)))
SAMPLE = 300  # rows from which columns are recognised


@dataclass(frozen=True)
class Columns:
    """The places of a table's columns."""

    name: int
    captions: tuple[int, ...]
    split: int | None
    headers: tuple[str, ...]
    """The words of the header, or nothing for a table without one."""

    def described(self) -> str:
        """Say which columns are taken."""
        return f"names from {self._word(self.name)}, captions from {', '.join(map(self._word, self.captions))}"

    def _word(self, place: int) -> str:
        return repr(self.headers[place]) if self.headers else f"column {place + 1}"

    def check(self, path: Path) -> "Columns":
        """Return these columns.

        :raises InputError: several columns hold text, and their headers do not say which of them are captions.
        """
        words = [self.headers[place] for place in self.captions] if self.headers else []
        if len(words) > 1 and not all(map(_caption_word, words)):
            raise InputError(
                f"expected one column of captions in {path}, found text in {', '.join(map(repr, words))}; "
                "rename the one to take to caption"
            )
        return self


def choose(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Columns | None:
    """Return the columns of a table, or None where names or captions are not to be seen.

    :param headers: the words of its header, or none: then contents alone decide.
    :param rows: some of its rows, as text.
    """
    width = len(headers) or max((len(row) for row in rows), default=0)
    values = [[row[place] for row in rows if place < len(row) and row[place]] for place in range(width)]
    name = _name(headers, values)
    if name is None:
        return None
    split = next((place for place in range(width) if place != name and _are_splits(values[place])), None)
    others = [place for place in range(width) if place not in (name, split)]
    captions = _by_word(headers, values, others) or _by_content(values, others)
    return Columns(name, captions, split, tuple(headers)) if captions else None


def split_of(name: str) -> str | None:
    """Return the split that a path names as a word: `captions_val2014.json` is of dev."""
    words = SPLIT_WORD.findall(name.lower())
    return SPLITS[words[-1]] if words else None


def by_split(pairs: Iterable[tuple[str, str]], path: Path) -> dict[str, list[str]]:
    """Return the names in train, dev and test of pairs of a name and its split, each name once.

    :raises InputError: a split is unknown, or a name is in two.
    """
    found: dict[str, str] = {}
    for name, split in pairs:
        if split.lower() not in SPLITS:
            raise InputError(f"expected the splits {', '.join(SPLITS)} in {path}, found {split!r}; get it again")
        part = SPLITS[split.lower()]
        if found.setdefault(name, part) != part:
            raise InputError(
                f"expected each photograph in one split in {path}, found {name} in two; take it out of one"
            )
    return {part: [name for name, own in found.items() if own == part] for part in ("train", "dev", "test")}


def _name(headers: Sequence[str], values: Sequence[Sequence[str]]) -> int | None:
    """Return the column whose values end as photographs do; else the one whose header says so; else the first, of ids."""
    words = [plain_word(header) for header in headers] or [""] * len(values)
    ranks = [NAME_WORDS.index(word) if word in NAME_WORDS else len(NAME_WORDS) for word in words]
    shares = [_share(column, is_named_photograph) for column in values]
    named = [place for place, word in enumerate(words) if word in NAME_WORDS]
    ending = [place for place, share in enumerate(shares) if share >= 0.5]
    ending = [place for place in ending if not _caption_word(words[place])]  # else names have delimiters, not in quotes
    ids = [0] if not headers and values and _share(values[0], _is_id) >= 0.95 else []
    return min(ending or named or ids, key=lambda place: (ranks[place], -shares[place]), default=None)


def _by_word(headers: Sequence[str], values: Sequence[Sequence[str]], places: Sequence[int]) -> tuple[int, ...]:
    found = {place: _caption_word(headers[place]) for place in places if headers}
    found = {place: word for place, word in found.items() if word and not _most(values[place], _is_number)}
    best = min(found.values(), key=CAPTIONS.index, default=None)
    return tuple(place for place, word in found.items() if word == best)


def _by_content(values: Sequence[Sequence[str]], places: Sequence[int]) -> tuple[int, ...]:
    """Return the columns of several words, or of a script without spaces; else the only one of anything but numbers."""
    words = tuple(place for place in places if _most(values[place], _is_text))
    rest = tuple(place for place in places if values[place] and not _most(values[place], _is_number_or_name))
    return words or (rest if len(rest) == 1 else ())


def _caption_word(header: str) -> str | None:
    found = CAPTION_WORD.fullmatch(plain_word(header))
    return found and found[1]


def _are_splits(values: Sequence[str]) -> bool:
    return bool(values) and all(value.lower() in SPLITS for value in values)


def _most(values: Sequence[str], holds: Callable[[str], object]) -> bool:
    return _share(values, holds) >= 0.5


def _share(values: Sequence[str], holds: Callable[[str], object]) -> float:
    return sum(map(bool, map(holds, values))) / len(values) if values else 0


def _is_id(value: str) -> bool:
    """Tell whether a text can be a photograph's name without suffix: long enough, of no words, and with a digit."""
    return re.fullmatch(r"[\w./-]{5,}", value) is not None and any(map(str.isdigit, value))


def _is_number(value: str) -> bool:
    return re.fullmatch(r"[-+]?[\d.,eE+-]*\d", value) is not None


def _is_number_or_name(value: str) -> bool:
    return _is_number(value) or is_named_photograph(value)


def _is_text(value: str) -> bool:
    several = " " in value or not value.isascii()
    return several and not is_named_photograph(value) and re.search(r"[^\W\d_]", value) is not None


def shown(value: object) -> str:
    """Return a record's value as a text from which its column is recognised."""
    if isinstance(value, list) and value:
        return shown(value[0])
    if isinstance(value, dict):
        return next((part for part in value.values() if isinstance(part, str)), "")
    return "" if value is None else str(value)


QUOTED = r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+\""""
LIST = re.compile(rf"\[\s*(?:(?:{QUOTED})\s*,?\s*)++\]", re.DOTALL)


def texts(value: object) -> list[str]:
    """Return the captions that a cell or a record's value holds: a text, a list of texts, also written as text, records with a text.

    :raises ValueError: it holds something else.
    """
    if isinstance(value, str):
        return _listed(value) if value.startswith("[") and LIST.fullmatch(value) else [value]
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    if isinstance(value, dict):
        words = {_caption_word(key): key for key in value if _caption_word(key)}
        if words:
            return texts(value[words[min(words, key=CAPTIONS.index)]])
    if value is None:
        return []
    raise ValueError(f"{type(value).__name__} for a caption")


def _listed(text: str) -> list[str]:
    """Return the texts of a list that JSON, Python or NumPy has written."""
    try:
        return json.loads(text)
    except ValueError:
        return [re.sub(r"\\(.)", r"\1", quoted[1:-1]) for quoted in re.findall(QUOTED, text, re.DOTALL)]
