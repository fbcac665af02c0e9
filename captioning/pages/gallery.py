"""The gallery: photographs with their captions on one page that needs no other file and no network."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import BinaryIO

from captioning.decoding import Caption
from captioning.pages import page
from core import disk


def write(path: Path, captions: Mapping[Path, Caption], unreadable: Mapping[str, str]) -> None:
    """Write the page, all or nothing.

    :param captions: by photograph, in the page's order.
    :param unreadable: why other files could not be read, by name.
    """
    title = f"Captions of {len(captions):,} photograph{'s' * (len(captions) != 1)}"
    style = page.read("page.css", "gallery.css")
    figures = "\n".join(figure(photograph, photograph.name, [caption]) for photograph, caption in captions.items())
    html = page.render("gallery.html", title, style, figures=figures, unreadable=_unreadable(unreadable))
    disk.write_text(path, html)


def figure(photograph: Path | BinaryIO, name: str, captions: Sequence[Caption]) -> str:
    """Return the HTML of one photograph with its best caption. The others unfold.

    :raises Unreadable: as `photographs.open_rgb`.
    """
    best, *others = captions
    image = page.thumbnail(photograph, escape(best.text) or "no words")
    caption = f"{_words(best)}{_others(others)}<small>{escape(name)}</small>"
    return f"<figure>\n{image}\n<figcaption>{caption}</figcaption>\n</figure>"


def _others(captions: Sequence[Caption]) -> str:
    if not captions:
        return ""
    items = page.items(map(_words, captions))
    return f"\n<details><summary>Other captions</summary>\n<ol>\n{items}\n</ol></details>\n"


def _words(caption: Caption) -> str:
    pairs = zip(caption.words, caption.probabilities, strict=True)
    words = " ".join(_word(escape(word), probability) for word, probability in pairs)
    end = "" if caption.finished else ' <span title="the maximum length ended this caption">…</span>'
    return words + end or "no words"


def _word(word: str, probability: float) -> str:
    shade = f'style="--sureness:{probability:.2f}" title="probability {probability:.3f}"'
    return f"<ruby {shade}>{word}<rt>{probability:.0%}</rt></ruby>"


def _unreadable(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return ""
    items = page.items(escape(f"{name}: {reason}") for name, reason in reasons.items())
    return f"<section>\n<h2>Could not be read</h2>\n<ul>\n{items}\n</ul>\n</section>"
