"""Watch a run of a pretext task: what the features know of classes, logs and pictures."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from core import disk
from core.errors import InputError
from encoders.decoded import Labelled, load_labelled
from encoders.encoder_file import normalisation
from encoders.evaluate import features, neighbours_accuracy


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


def compute(network: keras.Model, size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from photographs, uint8 (N, H, W, 3), resized to `size`, to features with the network's current weights."""
    scale = normalisation(1)

    @tf.function(autograph=False, reduce_retracing=True)
    def graph(photographs: tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(photographs, "float32") / 255
        if pixels.shape[1:3] != (size, size):
            pixels = tf.image.resize(pixels, (size, size), antialias=True)
        return tf.cast(network(scale(pixels), training=False), "float32")

    return lambda photographs: graph(tf.constant(photographs)).numpy()


def load_voters(
    train: Path | None, test: Path | None, size: int, folder: Path, most: int
) -> tuple[Labelled, Labelled] | None:
    """Return the labelled photographs for `Neighbours`, decoded to `size` in `folder`, or None where neither is given.

    :raises InputError: only one of them is given, or one has no sub-folders of classes.
    """
    if (train is None) != (test is None):
        raise InputError("--knn-train and --knn-test go together: give both folders, or neither")
    if train is None:
        return None
    return load_labelled(train, (size, size), folder, most), load_labelled(test, (size, size), folder, most)


def draw_curves(path: Path, history: dict[str, list[float]], *plots: Sequence[str]) -> None:
    """Draw what the history has of each plot's names over the epochs, the plots side by side."""
    from matplotlib.figure import Figure  # slow to import, and needed once a run

    figure = Figure(figsize=(4.5 * len(plots), 4), layout="constrained")
    for axes, names in zip(figure.subplots(1, len(plots)), plots, strict=True):
        axes.set_xlabel("epoch")
        for name in names:
            points = [(epoch, value) for epoch, value in enumerate(history.get(name, ()), 1) if not math.isnan(value)]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=name)
        axes.legend()
    with disk.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def draw_grid(path: Path, tiles: np.ndarray) -> None:
    """Write tiles, (rows, columns, H, W, 3) in [0, 255], as one picture."""
    rows, columns, height, width, _ = tiles.shape
    picture = tiles.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    with disk.replacing(path) as temporary:
        keras.utils.save_img(temporary, picture, scale=False)


def spaced(rows: np.ndarray, count: int) -> np.ndarray:
    """Return `count` of the rows at equal distances, or all where there are fewer."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]
