"""The gallery: photographs with their captions on one page that needs no other file and no network."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import starmap
from pathlib import Path
from typing import BinaryIO

import numpy as np

from captioning.decoding import Caption
from captioning.pages import looks, page
from core import disk

# Of a photograph, the best first, by the captioner's name, which is empty where there is only one.
Captions = Mapping[str, Sequence[Caption]]


def write(path: Path, described: Mapping[Path, Captions], unreadable: Mapping[str, str]) -> None:
    """Write the page, all or nothing.

    :param described: the captions of each photograph, in the page's order.
    :param unreadable: why other files could not be read, by name.
    """
    title = f"Captions of {len(described):,} photograph{'s' * (len(described) != 1)}"
    style = page.read("page.css", "gallery.css")
    figures = "\n".join(figure(photograph, photograph.name, captions) for photograph, captions in described.items())
    html = page.render("gallery.html", title, style, figures=figures, unreadable=_unreadable(unreadable))
    disk.write_text(path, html)


def figure(photograph: Path | BinaryIO, name: str, captions: Captions) -> str:
    """Return the HTML of one photograph with each captioner's best caption. The others unfold.

    :raises Unreadable: as `photographs.open_rgb`.
    """
    best = {captioner: found[0].text or "no words" for captioner, found in captions.items()}
    spoken = "; ".join(f"{captioner}: {text}" if captioner else text for captioner, text in best.items())
    written = "\n".join(starmap(_written, captions.items()))
    return page.figure(photograph, escape(spoken), f"<figcaption>{written}<small>{escape(name)}</small></figcaption>")


def _written(captioner: str, captions: Sequence[Caption]) -> str:
    best, *others = captions
    html = f"{_words(best)}{_others(others)}"
    return f"<div>\n<h2>{escape(captioner)}</h2>\n{html}\n</div>" if captioner else html


def _others(captions: Sequence[Caption]) -> str:
    if not captions:
        return ""
    items = page.items(map(_words, captions))
    return f"\n<details><summary>Other captions</summary>\n<ol>\n{items}\n</ol></details>\n"


def _words(caption: Caption) -> str:
    looked = [None] * len(caption.words) if caption.attention is None else caption.attention
    words = " ".join(map(_word, map(escape, caption.words), caption.probabilities, looked))
    end = "" if caption.finished else ' <span title="the maximum length ended this caption">…</span>'
    return words + end or "no words"


def _word(word: str, probability: float, looked: np.ndarray | None) -> str:
    attributes = looks.attributes(looked, f"--sureness:{probability:.2f}")
    return f'<ruby {attributes} title="probability {probability:.3f}">{word}<rt>{probability:.0%}</rt></ruby>'


def _unreadable(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return ""
    items = page.items(escape(f"{name}: {reason}") for name, reason in reasons.items())
    return f"<section>\n<h2>Could not be read</h2>\n<ul>\n{items}\n</ul>\n</section>"
