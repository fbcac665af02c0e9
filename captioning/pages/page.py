"""What the pages share: the files beside this module, and photographs as small pictures within the page.

A page is one file that fetches nothing. It can be read on a phone and in the dark.
"""

import base64
import hashlib
import io
from collections.abc import Iterable
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import BinaryIO

from PIL import Image

from encoders import photographs

LARGEST_SIDE = 320  # pixels of a thumbnail


def read(*names: str) -> str:
    """Return the text of files of this folder, one after another."""
    return "".join((resources.files(__package__) / name).read_text("utf-8") for name in names)


def fill(name: str, **pieces: str) -> str:
    """Return a file of this folder with a piece of HTML for each of its $placeholders."""
    return Template(read(name)).substitute(pieces)


def render(name: str, title: str, style: str, script: str = "", **pieces: str) -> str:
    """Return a whole page: page.html around another file of this folder.

    :param name: the other file. Its placeholders are $title, $script and the names of the pieces.
    :param title: text.
    :param script: the only JavaScript that the page may run.
    :param pieces: HTML.
    """
    title = escape(title)
    body = fill(name, title=title, script=script, **pieces)
    return fill("page.html", title=title, style=style, policy=policy(script), body=body)


def policy(script: str) -> str:
    """Return the Content-Security-Policy of a page that fetches nothing and runs no other script than this."""
    rules = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    digest = hashlib.sha256(script.encode()).digest()
    return f"{rules}; script-src 'sha256-{_base64(digest)}'" if script else rules


def items(pieces: Iterable[str]) -> str:
    """Return pieces of HTML as the items of a list."""
    return "\n".join(f"<li>{piece}</li>" for piece in pieces)


def thumbnail(photograph: Path | BinaryIO) -> Image.Image:
    """Return a photograph as a small picture.

    :raises Unreadable: as `photographs.open_rgb`.
    """
    image = photographs.open_rgb(photograph)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    return image


def figure(photograph: Path | BinaryIO, spoken: str, below: str) -> str:
    """Return the HTML of a photograph as a small JPEG, with what stands below it.

    :param spoken: the HTML of what a screen reader says in its place.
    :param below: HTML.
    :raises Unreadable: as `photographs.open_rgb`.
    """
    image, buffer = thumbnail(photograph), io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    width, height = image.size
    source = data_url("jpeg", buffer.getvalue())
    shown = f'<img src="{source}" width="{width}" height="{height}" alt="{spoken}">'
    return f'<figure style="--ratio:{width / height:.4f}">\n{shown}\n{below}\n</figure>'


def picture(png: bytes, spoken: str) -> str:
    """Return the HTML of a PNG as it is; `spoken` as in `figure`."""
    return f'<img src="{data_url("png", png)}" alt="{spoken}">'


def data_url(kind: str, data: bytes) -> str:
    """Return the address that holds a picture of this kind (jpeg, png)."""
    return f"data:image/{kind};base64,{_base64(data)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
