"""The gallery: photographs with their captions on one page that needs no other file and no network."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import BinaryIO

from captioning import files, photographs
from captioning.decoding import Caption

from PIL import Image

LARGEST_SIDE = 320  # pixels of a thumbnail

STYLE = """
:root { color-scheme: light dark; --paper: #faf9f7; --card: #fff; --ink: #1d1d1f; --quiet: #63636b; --line: #e2e0dc; --sure: 46 125 90 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #141416; --card: #1f1f23; --ink: #ececef; --quiet: #a3a3ad; --line: #34343a; --sure: 90 190 140 }
}
* { box-sizing: border-box; margin: 0 }
body { background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; padding: clamp(1rem, 4vw, 3rem) }
header, section { max-width: 42rem; margin-bottom: 1.5rem }
h1 { font-size: 1.6rem; font-weight: 650; line-height: 1.25; margin-bottom: .5rem }
h2 { font-size: 1.1rem; margin-top: 2rem }
header p, small, section li { color: var(--quiet) }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.25rem }
figure { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; overflow: hidden }
img { display: block; width: 100%; height: auto; aspect-ratio: 4 / 3; object-fit: contain; background: var(--line) }
figcaption { padding: .75rem 1rem 1rem; line-height: 1.8 }
ruby { ruby-position: under; margin-right: .15em; padding: 0 .2em; border-radius: .3em; background: rgb(var(--sure) / calc(var(--sureness) * .5)) }
rt { font-size: .65rem }
summary { cursor: pointer; margin-top: .5rem }
ol { padding-left: 1.5rem }
small { display: block; line-height: 1.4; overflow-wrap: anywhere; margin-top: .5rem }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Captions of {count}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>Captions of {count}</h1>
<p>Under each word stands its probability in percent, and its shade shows the same: the paler, the less sure the captioner was.</p>
</header>
<main>
{figures}
</main>
{unreadable}
</body>
</html>
"""


def write(path: Path, captions: Mapping[Path, Caption], unreadable: Mapping[str, str]) -> None:
    """Write the page, all or nothing.

    :param captions: by photograph, in the page's order.
    :param unreadable: why other files could not be read, by name.
    """
    count = f"{len(captions):,} photograph{'s' * (len(captions) != 1)}"
    figures = "\n".join(figure(photograph, photograph.name, [caption]) for photograph, caption in captions.items())
    page = PAGE.format(count=count, style=STYLE, figures=figures, unreadable=_unreadable(unreadable))
    files.write_text(path, page)


def figure(photograph: Path | BinaryIO, name: str, captions: Sequence[Caption]) -> str:
    """Return the HTML of one photograph with its best caption, and with the others to unfold.

    :raises Unreadable: as `photographs.open_rgb`.
    """
    data, width, height = _thumbnail(photograph)
    best, *others = captions
    spoken = escape(best.text) or "no words"
    return (
        f'<figure>\n<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" alt="{spoken}">\n'
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


def _thumbnail(photograph: Path | BinaryIO) -> tuple[str, int, int]:
    """Return a small JPEG in base64, its width and its height."""
    image = photographs.open_rgb(photograph)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode(), *image.size


def _unreadable(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return ""
    items = "\n".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in reasons.items())
    return f"<section>\n<h2>Could not be read</h2>\n<ul>\n{items}\n</ul>\n</section>"
