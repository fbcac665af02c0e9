"""Two random views of each photograph (SimCLR, appendix A), drawn for whole batches.

A Gaussian blur acts on rows and on columns apart, as a crop does, so together they are one matrix on each side of the photograph.
Brightness, contrast, saturation, hue and grey are, without clipping in between, one 3x3 matrix and an offset for each view,
whatever their order.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import tensorflow as tf

from core.settings import Range
from core.workers import ALONE, Worker

Smallest = Annotated[float, Range(least=0.01, most=1)]  # share of a photograph's area
GREY = np.array([0.299, 0.587, 0.114], "float32")  # luma of red, green and blue
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], "float32")


@dataclass(frozen=True)
class Recipe:
    """How far views may differ from their photograph; the defaults are the paper's for ImageNet."""

    size: int
    """Height and width of a view, in pixels."""
    smallest: float = 0.08
    """The smallest share of the photograph's area in a crop."""
    strength: float = 1.0
    """Strength of the colour jitter."""
    jitter: float = 0.8
    """Probability of the colour jitter."""
    grey: float = 0.2
    """Probability of a view without colour."""
    blur: float = 0.5
    """Probability of a Gaussian blur with a standard deviation of .1 to 2 pixels, over a tenth of the size."""
    solarize: float = 0.0
    """Probability that what is brighter than .5 is inverted, in the second view only (BYOL, appendix B)."""
    worker: Worker = ALONE
    """The worker whose part of each batch is made. The views are the same as in the whole batch."""


def two_views(photographs: tf.Tensor, recipe: Recipe, seed: tf.Tensor) -> tf.Tensor:
    """Return two views of each photograph: uint8 (N, H, W, 3) -> float32 (N, 2, size, size, 3) in [0, 1].

    :param seed: integers (2,); equal seeds give equal views.
    """
    planes = planes_of(photographs)
    seeds = tf.random.split(tf.cast(seed, "int32"), 2)
    first, second = view(planes, recipe, seeds[0]), view(planes, recipe, seeds[1])
    if recipe.solarize:
        second = solarized(second, recipe, tf.random.fold_in(seeds[1], 1))
    return tf.stack([first, second], axis=1)


def view(planes: tf.Tensor, recipe: Recipe, seed: tf.Tensor) -> tf.Tensor:
    """Return a random view of each photograph: (N, 3, H, W) in [0, 1] -> (N, size, size, 3) in [0, 1]."""
    geometry, colours = tf.unstack(tf.random.split(seed, 2))
    rows, columns = matrices(tf.shape(planes)[0], planes.shape[2], planes.shape[3], recipe, geometry)
    planes = resample(planes, rows, columns)  # (N, 3, size, size)
    flat = tf.reshape(planes, (-1, 3, recipe.size**2))
    matrix, offset = colour(tf.matmul(tf.reduce_mean(flat, -1), GREY[:, None]), recipe, colours)
    flat = tf.clip_by_value(tf.matmul(matrix, flat) + offset, 0, 1)
    return tf.reshape(tf.transpose(flat, (0, 2, 1)), (-1, recipe.size, recipe.size, 3))


def solarized(views: tf.Tensor, recipe: Recipe, seed: tf.Tensor) -> tf.Tensor:
    """Return views (N, H, W, 3) in [0, 1], some of them with 1 - x in place of each x above .5."""
    (draws,) = tf.unstack(uniform(1, tf.shape(views)[0], seed, recipe.worker))
    chosen = (draws < recipe.solarize)[:, None, None, None]
    return tf.where(chosen & (views > 0.5), 1 - views, views)


def matrices(count: tf.Tensor, height: int, width: int, recipe: Recipe, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw crops, flips and blurs: matrices of rows (N, size, height) and of columns (N, size, width)."""
    draws = uniform(7, count, seed, recipe.worker)
    rows, columns = crop(draws[:5], height, width, recipe.size, recipe.smallest)
    soft = gaussian(tf.where(draws[5] < recipe.blur, 0.1 + 1.9 * draws[6], 1e-3), recipe.size)
    return tf.matmul(soft, rows), tf.matmul(soft, columns)


def gaussian(deviation: tf.Tensor, size: int) -> tf.Tensor:
    """Return matrices (N, size, size) that blur a line over a tenth of its length; pixels beyond its ends are left out."""
    distance = np.abs(np.arange(size)[:, None] - np.arange(size)).astype("float32")
    reach = np.where(distance <= max(size // 20, 1), 0, -np.inf).astype("float32")
    return tf.nn.softmax(reach - distance**2 / (2 * deviation[:, None, None] ** 2))


def colour(luma: tf.Tensor, recipe: Recipe, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw the colour jitter and grey: matrices (N, 3, 3) and offsets (N, 1, 1) for columns of red, green and blue in [0, 1].

    Brightness, contrast and saturation change by a factor within 1 +- .8 strength, hue by a turn within .2 strength (in YIQ).

    :param luma: (N, 1), each view's mean.
    """
    draws = uniform(6, tf.shape(luma)[0], seed, recipe.worker)
    factors = 1 + (2 * draws[:4] - 1) * recipe.strength * np.array([[0.8], [0.8], [0.8], [0.2]], "float32")
    brightness, contrast, saturation, hue = tf.unstack(tf.where(draws[4] < recipe.jitter, tf.maximum(factors, 0), 1))
    saturation = tf.where(draws[5] < recipe.grey, 0.0, saturation)
    turn = hue_rotation(2 * np.pi * (hue - 1)) * saturation[:, None, None]
    matrix = turn + (1 - saturation)[:, None, None] * np.broadcast_to(GREY, (3, 3))
    return (brightness * contrast)[:, None, None] * matrix, (brightness * (1 - contrast))[:, None, None] * luma[:, None]


def hue_rotation(angle: tf.Tensor) -> tf.Tensor:
    """Return matrices (N, 3, 3) that turn the hue of RGB columns by an angle in radians and keep their luma."""
    one, zero, cosine, sine = tf.ones_like(angle), tf.zeros_like(angle), tf.cos(angle), tf.sin(angle)
    turn = tf.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], axis=-1)
    return np.linalg.inv(YIQ) @ tf.reshape(turn, (-1, 3, 3)) @ YIQ


# Random crops of whole batches as matrix products --------------------------------------------------------------------


def uniform(kinds: int, count: tf.Tensor, seed: tf.Tensor, worker: Worker) -> tf.Tensor:
    """Return draws in [0, 1), (kinds, count), for the `count` photographs that are a worker's part of a batch: those of the whole batch."""
    return tf.random.stateless_uniform((kinds, count * worker.count), seed)[:, worker.number :: worker.count]


def crop(draws: tf.Tensor, height: int, width: int, size: int, smallest: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Return random resized crops, half of them flipped: matrices of rows (N, size, height) and of columns (N, size, width).

    A crop covers `smallest` to 1 of the area at a ratio of 3:4 to 4:3 of its sides, cut down where it would leave the photograph.

    :param draws: (5, N), uniform in [0, 1).
    """
    area, ratio, top, left, flip = tf.unstack(draws)
    area = smallest + area * (1 - smallest)
    ratio = tf.exp((2 * ratio - 1) * np.log(4 / 3))
    tall, wide = tf.minimum(tf.sqrt(area / ratio), 1) * height, tf.minimum(tf.sqrt(area * ratio), 1) * width
    rows = interpolation(top * (height - tall), tall, size, height)
    columns = interpolation(left * (width - wide), wide, size, width)
    return rows, tf.where(flip[:, None, None] < 0.5, columns, columns[:, ::-1])


def interpolation(start: tf.Tensor, length: tf.Tensor, size: int, source: int) -> tf.Tensor:
    """Return matrices (N, size, source) that resize pixels [start, start + length) of a line, bilinear and antialiased (Pillow's)."""
    scale = length[:, None] / size
    centres = start[:, None] + (tf.range(size, dtype="float32") + 0.5) * scale  # (N, size)
    distance = tf.abs(centres[:, :, None] - (tf.range(source, dtype="float32") + 0.5))
    weights = tf.nn.relu(1 - distance / tf.maximum(scale, 1)[:, :, None])
    return weights / tf.reduce_sum(weights, -1, keepdims=True)


def planes_of(photographs: tf.Tensor) -> tf.Tensor:
    """Return the colour planes of photographs: uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1]."""
    return tf.transpose(tf.cast(photographs, "float32") / 255, (0, 3, 1, 2))


def resample(planes: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Apply matrices of rows (N, size, H) and of columns (N, size, W): (N, 3, H, W) -> (N, 3, size, size)."""
    return tf.matmul(tf.matmul(rows[:, None], planes), columns[:, None], transpose_b=True)
