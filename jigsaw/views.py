"""What a jigsaw training example is: nine tiles of a photograph, shuffled, and the number of the permutation (Noroozi & Favaro 2016).

A crop of a photograph has 3 x 3 cells, and a tile is somewhere in each. Tiles and places are counted from 0 to 8 in reading order.
One convention holds everywhere, the original's: permutation k puts tile i of the photograph at the place `permutations[k][i]` of
the puzzle, so the place p holds tile `argsort(permutations[k])[p]`, and `puzzle[permutations[k]]` is in order again.

What keeps a network from shortcuts (section 4.2): gaps of random width between the tiles hide the lines that would go on, shifted
or missing colours hide chromatic aberration, and each tile's own mean and standard deviation hide gradients of light.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from core.errors import InputError
from core.workers import ALONE, Worker

GREY = np.array([0.299, 0.587, 0.114], "float32")  # luma of red, green and blue
GRID = np.stack(np.divmod(np.arange(9), 3), axis=1).astype("int32")  # (9, 2): each cell's row and column


def cell(size: int) -> int:
    """Return a cell's height and width for photographs of size x size pixels; a crop has three."""
    return round(0.294 * size)


def tile(size: int) -> int:
    """Return a tile's height and width for photographs of size x size pixels."""
    return size // 4


def centres(size: int) -> list[tuple[int, int]]:
    """Return top and left of the nine tiles of a whole photograph, size x size, each in the middle of its cell, the crop in the middle."""
    first = (size - 3 * cell(size)) // 2 + (cell(size) - tile(size)) // 2
    return [(first + int(row) * cell(size), first + int(column) * cell(size)) for row, column in GRID]


@dataclass(frozen=True)
class Recipe:
    """How puzzles are made of photographs of one size, S x S. All but the size keeps the network from shortcuts.

    :raises InputError: the photographs are so small that there is nothing to draw.
    """

    size: int
    """S, in pixels."""
    channel_jitter: int = 2
    """The most pixels by which a colour's plane is shifted, each way."""
    grey: float = 0.3
    """Share of the photographs that become grey; the paper's."""
    gap: bool = True
    """Tiles are anywhere in their cells. Otherwise they touch each other in the middle of the crop."""
    colour: bool = True
    """Photographs keep their colours, except for the share `grey`."""
    normalise: bool = True
    """Each tile has mean 0 and standard deviation 1. Otherwise only the nine together have."""
    worker: Worker = ALONE
    """The worker whose part of each batch is made. The puzzles are the same as in the whole batch."""

    def __post_init__(self):
        if self.size - 2 * self.channel_jitter <= 3 * cell(self.size) or cell(self.size) <= tile(self.size):
            raise InputError(
                f"photographs of {self.size} pixels are too small for a puzzle: a crop of 3 x {cell(self.size)} pixels and "
                f"colours shifted by {self.channel_jitter} each way leave no room; take larger ones"
            )


class Draws(NamedTuple):
    """What chance has decided of N puzzles; positions are row and column, in pixels."""

    grey: tf.Tensor  # bool (N,): without colours, by itself or from now on
    planes: tf.Tensor  # int32 (N, 3, 2): where red, green and blue begin, in [0, 2 x channel_jitter]; 0 without colours
    crop: tf.Tensor  # int32 (N, 2): where the crop begins in what the planes share
    tiles: tf.Tensor  # int32 (N, 9, 2): where each tile begins in its cell
    labels: tf.Tensor  # int32 (N,): the permutation


def puzzles(
    photographs: tf.Tensor, permutations: tf.Tensor, recipe: Recipe, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a puzzle of each photograph and its label: uint8 (N, S, S, 3) -> float32 (N, 9, S // 4, S // 4, 3), int32 (N,).

    :param permutations: integers (K, 9).
    :param seed: integers (2,); equal seeds give equal puzzles.
    """
    draws = draw(colourless(photographs), permutations.shape[0], recipe, seed)
    return normalise(cut(photographs, permutations, recipe, draws), together=not recipe.normalise), draws.labels


def draw(grey: tf.Tensor, permutations: int, recipe: Recipe, seed: tf.Tensor) -> Draws:
    """Draw what N puzzles are; as in the original's `randrange`, upper bounds are not reached, except that of the planes.

    :param grey: bool (N,), which photographs have no colours: their planes stay in place, and the crop has more room.
    :param permutations: how many there are.
    """
    batch = tf.size(grey) * recipe.worker.count  # give or take one: rows do not depend on how many come after them
    chance = recipe.worker.part(tf.random.stateless_uniform((batch, 28), seed))  # (N, 28) in [0, 1)
    turned, planes, crop, tiles, label = tf.split(chance, [1, 6, 2, 18, 1], axis=1)
    grey |= turned[:, 0] < (recipe.grey if recipe.colour else 1)
    jitter = tf.where(grey, 0, recipe.channel_jitter)[:, None]  # (N, 1)
    return Draws(
        grey,
        tf.reshape(_below(2 * jitter + 1, planes), (-1, 3, 2)),
        _below(recipe.size - 2 * jitter - 3 * cell(recipe.size), crop),
        tf.reshape(_below(cell(recipe.size) - tile(recipe.size), tiles), (-1, 9, 2)),
        _below(permutations, label)[:, 0],
    )


def _below(limit: tf.Tensor | int, chance: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(limit, "float32") * chance, "int32")


def cut(photographs: tf.Tensor, permutations: tf.Tensor, recipe: Recipe, draws: Draws) -> tf.Tensor:
    """Return the tiles of each puzzle, place by place: uint8 (N, S, S, 3) -> uint8 (N, 9, S // 4, S // 4, 3)."""
    length = tile(recipe.size)
    inside = (
        draws.tiles + GRID * cell(recipe.size) if recipe.gap else GRID * length + 3 * (cell(recipe.size) - length) // 2
    )
    tiles = draws.crop[:, None] + inside  # (N, 9, 2): where each begins
    tiles_at = tf.gather(tf.argsort(permutations, axis=1), draws.labels)  # (N, 9): the tile at each place
    begin = tf.gather(tiles, tiles_at, axis=1, batch_dims=1)[:, :, None] + draws.planes[:, None]  # (N, 9, 3, 2)
    found = tf.numpy_function(
        lambda *inputs: _cut(*inputs, length), [photographs, draws.grey, begin], tf.uint8, stateful=False
    )
    return tf.ensure_shape(found, (photographs.shape[0], 9, length, length, 3))


def _cut(photographs: np.ndarray, grey: np.ndarray, begin: np.ndarray, length: int) -> np.ndarray:
    """Cut in NumPy, which copies a tile row by row where `tf.gather` goes pixel by pixel: three times as fast."""
    windows = np.lib.stride_tricks.sliding_window_view(photographs, (length, length), axis=(1, 2))  # (N, y, x, 3, t, t)
    tiles = windows[np.arange(len(begin))[:, None, None], begin[..., 0], begin[..., 1], np.arange(3)]  # (N, 9, 3, t, t)
    tiles[grey] = np.rint(np.einsum("npcyx,c->npyx", tiles[grey], GREY))[:, :, None]
    return np.ascontiguousarray(tiles.transpose(0, 1, 3, 4, 2))


def colourless(photographs: tf.Tensor) -> tf.Tensor:
    """Tell which photographs are grey, all three colours equal: uint8 (N, H, W, 3) -> bool (N,)."""

    def equal(pixels: np.ndarray) -> bool:
        return bool((pixels == pixels[..., :1]).all())

    def find(several: np.ndarray) -> np.ndarray:  # a look at few rows spares most photographs one at all
        return np.array([equal(photograph[::16]) and equal(photograph) for photograph in several], bool)

    return tf.ensure_shape(tf.numpy_function(find, [photographs], tf.bool, stateful=False), photographs.shape[:1])


def normalise(tiles: tf.Tensor, *, together: bool = False) -> tf.Tensor:
    """Give each tile, or the nine of a puzzle together, mean 0 and standard deviation 1: uint8 (N, 9, t, t, 3) -> float32.

    What is flat is left alone, in [0, 1]: in the original's [0, 255] a few white tiles would outweigh a batch's statistics.
    """
    axes = (1, 2, 3, 4) if together else (2, 3, 4)
    pixels = tf.cast(tiles, "float32")
    mean = tf.reduce_mean(pixels, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(pixels - mean), axes, keepdims=True)
    flat = variance < 1e-6  # less than a single pixel that differs by 1 makes in a million
    return (pixels - tf.where(flat, 0.0, mean)) * tf.where(flat, 1 / 255, tf.math.rsqrt(variance))
