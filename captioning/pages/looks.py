"""Where a captioner looked for each word: as a light over the photograph, on the pages and in a figure for papers."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops

from captioning.decoding import Caption
from captioning.pages import page
from core import disk
from core.errors import InputError

if TYPE_CHECKING:  # slow to import, and needed only where something is drawn
    from matplotlib.figure import Figure

DARK, LIGHT = 25, 165  # greys: where it did not look, and where it looked most; 127 changes nothing in hard light
ROWS = 12  # of a figure

Panel = tuple[str, Image.Image]  # of a figure: its title and its picture


def light(looked: np.ndarray) -> Image.Image:
    """Return what lights up a photograph where the captioner looked, (h, w): a grey picture, w x h, for hard light.

    The frame of an encoder is the whole photograph, so the picture stretched to the photograph's size lies where it should.
    """
    share = np.asarray(looked) / np.max(looked)
    return Image.fromarray((DARK + (LIGHT - DARK) * share).round().astype("uint8"))


def attributes(looked: np.ndarray | None, style: str = "") -> str:
    """Return the HTML attributes of a word with this style; where the captioner looked for it, page.css lights up its figure's photograph."""
    if looked is None:
        return f'style="{style}"'
    buffer = io.BytesIO()
    light(looked).save(buffer, "PNG", optimize=True)
    return f'class="looked" tabindex="0" style="--light:url({page.data_url("png", buffer.getvalue())});{style}"'


def draw(path: Path, described: Mapping[Path, Mapping[str, Sequence[Caption]]]) -> None:
    """Write a PNG: for each photograph a row with it, and again for each word, lit where the captioner looked.

    :param described: as `gallery.write`. Captions of captioners that do not look are left out, and all after the first `ROWS`.
    :raises InputError: no captioner looks.
    """
    rows = [
        (photograph, captioner, best)
        for photograph, captions in described.items()
        for captioner, (best, *_) in captions.items()
        if best.attention is not None
    ]
    if not rows:
        raise InputError(
            f"expected a captioner that looks, to draw {path}; found none that sees a grid: train one with "
            "2_train_IC_model.py --captioner attention, or leave out --figure"
        )
    figure = _figure([_panels(*row) for row in rows[:ROWS]])
    with disk.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    some = f"the first {ROWS} of {len(rows):,}" if len(rows) > ROWS else len(rows)
    print(f"wrote {path}: {some} captions, and where the captioner looked for each word")


def _panels(photograph: Path, captioner: str, caption: Caption) -> list[Panel]:
    """Return the photograph below the captioner's name, and again for each word."""
    picture = page.thumbnail(photograph)
    panels = [(captioner, picture)]
    for word, looked in zip(caption.words, caption.attention, strict=True):
        smooth = light(looked).resize(picture.size, Image.Resampling.BICUBIC).convert("RGB")
        panels.append((word, ImageChops.hard_light(picture, smooth)))
    return panels


def _figure(rows: Sequence[Sequence[Panel]]) -> "Figure":
    from matplotlib.figure import Figure

    columns = max(map(len, rows))
    figure = Figure(figsize=(1.3 * columns, 1.4 * len(rows)), layout="constrained")  # inches
    for number, row in enumerate(rows):
        for column, (title, picture) in enumerate(row, start=1):
            axes = figure.add_subplot(len(rows), columns, number * columns + column)
            axes.axis("off")
            axes.imshow(picture)
            axes.set_title(textwrap.fill(title, 20), fontsize=9, parse_math=False)  # a $ in a word is a $
    return figure
