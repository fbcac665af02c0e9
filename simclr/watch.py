"""Watch a SimCLR run: whether its features collapse, what its views are, and which photographs it takes for neighbours."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from encoders.evaluate import features, nearest
from pretext.views import Recipe, two_views
from pretext.watch import draw_grid, spaced

COLLAPSED = 0.1  # of `spread`, which is near 1 when the projections use the whole sphere


class Alarm(keras.callbacks.Callback):
    """Says so after each epoch in which all photographs' projections were nearly the same."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if logs["spread"] < COLLAPSED:
            print(
                f"ALARM: the embeddings have collapsed (spread {logs['spread']:.3f}, 1 is healthy): stop, and train anew with a lower "
                "learning rate, a longer warm-up or a lower temperature",
                flush=True,
            )


def draw_views(path: Path, pixels: np.ndarray, recipe: Recipe, seed: int, count: int = 16) -> None:
    """Draw some of the photographs, uint8 (N, H, W, 3), in a row, each over its two views."""
    pixels = spaced(pixels, count)
    views = 255 * two_views(tf.constant(pixels), recipe, tf.constant([seed, 0])).numpy()  # (N, 2, size, size, 3)
    whole = tf.image.resize(pixels, views.shape[2:4], antialias=True).numpy()
    draw_grid(path, np.stack([whole, views[:, 0], views[:, 1]]))


def draw_neighbours(
    path: Path, compute: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, count: int = 8
) -> None:
    """Draw some of the photographs, each left of its nearest neighbours among 2,000."""
    pixels = spaced(pixels, 2000)
    found = features(compute, pixels)
    order = nearest(found, spaced(found, count), count + 1)[0]  # (count, count + 1): itself first
    draw_grid(path, np.stack([pixels[row] for row in order]))
