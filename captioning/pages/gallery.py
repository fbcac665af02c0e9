"""The gallery: photographs with their captions on one page that needs no other file and no network."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import BinaryIO

from captioning.decoding import Caption
from captioning.pages import page
from core import disk

STYLE = (
    page.STYLE
    + """
ruby { ruby-position: under; margin-right: .15em; padding: 0 .2em; border-radius: .3em; background: rgb(var(--sure) / calc(var(--sureness) * .5)) }
rt { font-size: .65rem }
"""
)

INTRODUCTION = """<p>Under each word stands its probability in percent, and its shade shows the same: the paler, the less sure the captioner was.</p>"""


def write(path: Path, captions: Mapping[Path, Caption], unreadable: Mapping[str, str]) -> None:
    """Write the page, all or nothing.

    :param captions: by photograph, in the page's order.
    :param unreadable: why other files could not be read, by name.
    """
    count = f"{len(captions):,} photograph{'s' * (len(captions) != 1)}"
    figures = "\n".join(figure(photograph, photograph.name, [caption]) for photograph, caption in captions.items())
    body = f"<main>\n{figures}\n</main>\n{_unreadable(unreadable)}"
    disk.write_text(path, page.render(f"Captions of {count}", INTRODUCTION, body, STYLE))


def figure(photograph: Path | BinaryIO, name: str, captions: Sequence[Caption]) -> str:
    """Return the HTML of one photograph with its best caption, and with the others to unfold.

    :raises Unreadable: as `photographs.open_rgb`.
    """
    best, *others = captions
    spoken = escape(best.text) or "no words"
    return (
        f"<figure>\n{page.thumbnail(photograph, spoken)}\n"
        f"<figcaption>{_words(best) or spoken}{_others(others)}<small>{escape(name)}</small></figcaption>\n</figure>"
    )


def _others(captions: Sequence[Caption]) -> str:
    if not captions:
        return ""
    items = "\n".join(f"<li>{_words(caption) or 'no words'}</li>" for caption in captions)
    return f"\n<details><summary>Other captions</summary>\n<ol>\n{items}\n</ol></details>\n"


def _words(caption: Caption) -> str:
    pairs = zip(caption.words, caption.probabilities, strict=True)
    words = " ".join(
        f'<ruby style="--sureness:{probability:.2f}" title="probability {probability:.3f}">{escape(word)}<rt>{probability:.0%}</rt></ruby>'
        for word, probability in pairs
    )
    return words if caption.finished else f'{words} <span title="the maximum length ended this caption">…</span>'


def _unreadable(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return ""
    items = "\n".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in reasons.items())
    return f"<section>\n<h2>Could not be read</h2>\n<ul>\n{items}\n</ul>\n</section>"
