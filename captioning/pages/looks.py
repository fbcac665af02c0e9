"""Where a captioner looked for each word: as a light over the photograph, on the pages and in a figure for papers."""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops

from captioning.decoding import Caption
from captioning.pages import page
from core import disk
from core.errors import InputError

DARK, LIGHT = (
    25,
    165,
)  # greys: where it did not look, and where it looked most; hard light leaves a photograph as it is at 127
ROWS = 12  # of a figure


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


class Row(NamedTuple):
    """A row of the figure: a photograph, the captioner's name and its caption, which has attention."""

    photograph: Path
    captioner: str
    caption: Caption


def draw(path: Path, described: Mapping[Path, Mapping[str, Sequence[Caption]]]) -> None:
    """Write a PNG: for each photograph a row with it, and again for each word, lit where the captioner looked.

    :param described: as `gallery.write`. Only the first rows are drawn.
    :raises InputError: no captioner looks.
    """
    from matplotlib.figure import Figure  # slow to import, and needed only here

    rows = list(_rows(described))
    if not rows:
        raise InputError(
            f"expected a captioner that looks, to draw {path}; found none that sees a grid: train one with "
            "2_train_IC_model.py --captioner attention, or leave out --figure"
        )
    columns = 1 + max(len(row.caption.words) for row in rows[:ROWS])
    figure = Figure(figsize=(1.3 * columns, 1.4 * len(rows[:ROWS])), layout="constrained")
    grid = figure.subplots(len(rows[:ROWS]), columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for line, row in zip(grid, rows, strict=False):
        for axes, (title, picture) in zip(line, _panels(row), strict=False):
            axes.imshow(picture)
            axes.set_title(title, fontsize=9, parse_math=False)
    with disk.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    some = f"the first {ROWS} of {len(rows):,}" if len(rows) > ROWS else len(rows)
    print(f"wrote {path}: {some} captions, and where the captioner looked for each word")


def _rows(described: Mapping[Path, Mapping[str, Sequence[Caption]]]) -> Iterator[Row]:
    for photograph, captions in described.items():
        for captioner, (best, *_) in captions.items():
            if best.attention is not None:
                yield Row(photograph, captioner, best)


def _panels(row: Row) -> Iterator[tuple[str, Image.Image]]:
    """Yield each panel's title and picture: the photograph, and again for each word."""
    picture = page.thumbnail(row.photograph)
    yield row.captioner, picture
    for text, looked in zip(row.caption.words, row.caption.attention, strict=True):
        smooth = light(looked).resize(picture.size, Image.Resampling.BICUBIC)
        yield text, ImageChops.hard_light(picture, smooth.convert("RGB"))
