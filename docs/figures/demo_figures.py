"""Pictures of the demo's captioner at work on scenes that it never saw: the steps from photograph to caption, and a gallery."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from captioning import captioner_file, decoding
from captioning.captions import read_captions
from captioning.decoding import Caption
from core import disk
from encoders import encoder_file, extract, photographs
from jigsaw import encoder, maximal_hamming
from jigsaw.watch import SHUFFLED, lay
from pretext.views import Recipe, two_views

TITLES = (
    "photographs",
    "an encoder\nthat learned without labels",
    "step 1:\na feature of each",
    "steps 2 to 5:\ncaptions",
)
COUNT = 8  # scenes, the first by name: none is chosen by how it turned out


class Described(NamedTuple):
    """A scene's picture, its feature, float32 (D,), what the captioner says, and what was written of it."""

    pixels: np.ndarray  # uint8 (H, W, 3)
    feature: np.ndarray
    caption: Caption
    written: str


def describe(run: Path) -> list[Described]:
    """Return the first new scenes of a demo's run as its captioner describes them."""
    captioner, network = captioner_file.read(run / "models"), encoder_file.read(run / "simclr_run" / "encoder.keras")
    paths = photographs.list_photographs(run / "new" / "Flicker8k_Dataset")[:COUNT]
    written = read_captions(run / "new" / "Flickr8k_text" / "Flickr8k.token.txt")
    extracted = extract.extract(network, paths).features
    stacked = np.concatenate(list(extracted.values()))  # (COUNT, D)
    captions = decoding.caption(captioner.model, stacked, captioner.tokenizer)
    return [
        Described(np.asarray(photographs.open_rgb(path)), feature, caption, written[photographs.image_id(name)][0])
        for path, name, feature, caption in zip(paths, extracted, stacked, captions, strict=True)
    ]


def pictures_above_captions(path: Path, shown: Sequence[tuple[np.ndarray, str]], columns: int) -> None:
    """Draw pictures, uint8 (H, W, 3), with their captions below."""
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.5 * columns, 2.7 * rows), layout="constrained")
    for axes, (pixels, caption) in zip(figure.subplots(rows, columns).flat, shown, strict=True):
        axes.imshow(pixels)
        axes.set(xticks=[], yticks=[], frame_on=False)
        axes.set_xlabel("\n".join(textwrap.fill(line, 28) for line in caption.splitlines()), fontsize=10)
    save(path, figure)


def draw_pipeline(path: Path, described: Sequence[Described]) -> None:
    """Draw the way of three scenes: photograph, encoder and how it learned, feature, caption over one that was written."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    shape = {"width_ratios": [1, 1.4, 1.4, 2.2], "height_ratios": [0.3, 1, 1, 1]}
    heads, *grid = figure.subplots(4, 4, gridspec_kw=shape)
    for axes in (*heads, *(axes for row in grid for axes in row)):
        axes.set_axis_off()
    for axes, title in zip(heads, TITLES, strict=True):
        axes.text(0.5, 0.5, title, ha="center", va="center", fontsize=11, fontweight="bold")
    for row, scene in zip(grid, described, strict=True):
        row[0].imshow(scene.pixels)
        row[2].imshow(scene.feature.reshape(16, -1))
        write(row[3], textwrap.fill(scene.caption.text, 34), f"written: {textwrap.fill(scene.written, 44)}")
    square = np.asarray(Image.fromarray(described[0].pixels).resize((96, 96)))
    grid[0][1].imshow(views(square))
    grid[2][1].imshow(puzzle(square))
    write(
        grid[1][1],
        "→  encoder.keras  →",
        "↑ SimCLR: do two views show one scene?\n↓ jigsaw: where does each tile belong?",
    )
    save(path, figure)


def views(square: np.ndarray) -> np.ndarray:
    """Return two SimCLR views of a square picture side by side, in [0, 1]."""
    pair = two_views(tf.constant(square[None]), Recipe(96, 0.2, 0.5, blur=0.2), tf.constant([0, 0])).numpy()[0]
    return np.clip(np.concatenate(list(pair), axis=1), 0, 1)


def puzzle(square: np.ndarray) -> np.ndarray:
    """Return a square picture's nine tiles, shuffled."""
    tiles = np.asarray(encoder.cut(square[None]))[0][np.argsort(maximal_hamming.permutations(10)[3])]
    return lay(tiles, SHUFFLED, len(square))


def write(axes: Axes, text: str, below: str) -> None:
    axes.text(0.5, 0.62, text, ha="center", va="center", fontsize=12)
    axes.text(0.5, 0.2, below, ha="center", va="center", fontsize=9, color="grey")


def save(path: Path, figure: Figure) -> None:
    with disk.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
