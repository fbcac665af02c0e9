"""Random crops of whole batches as matrix products: a crop, its resize and its flip act on rows and on columns apart.

A crop of a photograph X is R X C', with a matrix R for its rows and C for its columns.
"""

from typing import Annotated

from captioning.settings import Range
from captioning.workers import Worker

import numpy as np
import tensorflow as tf

Smallest = Annotated[float, Range(least=0.01, most=1)]  # share of a photograph's area


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


def planes(photographs: tf.Tensor) -> tf.Tensor:
    """Return the colour planes of photographs: uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1]."""
    return tf.transpose(tf.cast(photographs, "float32") / 255, (0, 3, 1, 2))


def resample(planes: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Apply matrices of rows (N, size, H) and of columns (N, size, W): (N, 3, H, W) -> (N, 3, size, size)."""
    return tf.matmul(tf.matmul(rows[:, None], planes), columns[:, None], transpose_b=True)
