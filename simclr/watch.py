"""Watch a SimCLR run: what the features know of classes, whether they collapse, logs and pictures."""

import math
from collections.abc import Callable
from pathlib import Path

from captioning import files
from pretext.evaluation import features, nearest, neighbours_accuracy
from pretext.photographs import Labelled
from simclr.views import Recipe, two_views

import keras
import numpy as np
import tensorflow as tf

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


class Neighbours(keras.callbacks.Callback):
    """Adds `knn`, top-1 by nearest neighbours among labelled photographs, to the logs after every few epochs, not a number between."""

    def __init__(
        self, compute: Callable[[np.ndarray], np.ndarray], train: Labelled, test: Labelled, every: int, epochs: int
    ):
        super().__init__()
        self.compute, self.train, self.test, self.every, self.epochs = compute, train, test, every, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        logs["knn"] = math.nan
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            train, test = features(self.compute, self.train.pixels), features(self.compute, self.test.pixels)
            logs["knn"] = neighbours_accuracy(train, self.train.labels, test, self.test.labels)
            print(f"epoch {epoch + 1}: kNN top-1 {logs['knn']:.3f}", flush=True)


class TensorBoard(keras.callbacks.Callback):
    """Writes every log of every epoch as TensorBoard reads it; TensorBoard itself need not be installed."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.writer = tf.summary.create_file_writer(str(self.folder))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        scalars = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
        with self.writer.as_default(step=epoch + 1):
            for name, value in logs.items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=scalars)
        self.writer.flush()


def draw_curves(path: Path, history: dict[str, list[float]]) -> None:
    """Draw loss, contrastive accuracy, spread and kNN top-1 over the epochs."""
    from matplotlib.figure import Figure  # slow to import, and needed once a run

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, names in (left, ("loss",)), (right, ("accuracy", "spread", "knn")):
        axes.set_xlabel("epoch")
        for name in names:
            points = [(epoch, value) for epoch, value in enumerate(history.get(name, ()), 1) if not math.isnan(value)]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=name)
        axes.legend()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


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


def spaced(rows: np.ndarray, count: int) -> np.ndarray:
    """Return `count` of the rows at equal distances, or all where there are fewer."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]


def draw_grid(path: Path, tiles: np.ndarray) -> None:
    """Write tiles, (rows, columns, H, W, 3) in [0, 255], as one picture."""
    rows, columns, height, width, _ = tiles.shape
    picture = tiles.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    with files.replacing(path) as temporary:
        keras.utils.save_img(temporary, picture, scale=False)
