"""The frame of every page that is written: one file, readable on a phone and in the dark, that fetches nothing."""

import base64
import hashlib
import io
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from encoders import photographs

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
summary { cursor: pointer; margin-top: .5rem }
ol { padding-left: 1.5rem }
small { display: block; line-height: 1.4; overflow-wrap: anywhere; margin-top: .5rem }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'{allowed}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{introduction}
</header>
{body}
</body>
</html>
"""


def render(title: str, introduction: str, body: str, style: str, script: str = "") -> str:
    """Return a whole page of pieces of HTML.

    :param style: `STYLE`, which lays out `main` as a grid of figures, and perhaps more.
    :param script: the only one that a browser lets run, after everything else.
    """
    allowed = f"; script-src 'sha256-{_base64(hashlib.sha256(script.encode()).digest())}'" if script else ""
    if script:
        body += f"\n<script>{script}</script>"
    return PAGE.format(title=title, introduction=introduction, body=body, style=style, allowed=allowed)


def thumbnail(photograph: Path | BinaryIO, spoken: str) -> str:
    """Return a photograph as a small JPEG within the HTML of its image.

    :param spoken: the HTML of what a screen reader says in its place.
    """
    image = photographs.open_rgb(photograph)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    width, height = image.size
    data = _base64(buffer.getvalue())
    return f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" alt="{spoken}">'


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
