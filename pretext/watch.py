"""Watch a run of a pretext task: what the features know of classes, whether they collapse, logs and pictures."""

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
from encoders.evaluate import effective_rank, features, linear_accuracy, nearest, neighbours_accuracy
from pretext.views import Recipe, two_views

RANKED = 2000  # photographs whose features' effective rank is measured
COLLAPSED = 0.1  # of `spread`, which is near 1 when the projections use the whole sphere


class Alarm(keras.callbacks.Callback):
    """Says so after each epoch in which all photographs' projections were nearly the same."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if logs["spread"] < COLLAPSED:
            print(
                f"ALARM: the embeddings have collapsed (spread {logs['spread']:.3f}, 1 is healthy): stop, and train anew with a lower "
                "learning rate or a longer warm-up",
                flush=True,
            )


class Probes(keras.callbacks.Callback):
    """Measures the features every few epochs, and adds the results to the logs. In other epochs they are NaN.

    `rankme` is the effective rank of the features of photographs. With labelled ones, `knn` and `linear` are top-1 on the test part: by
    nearest neighbours, and by a logistic regression that is fitted anew each time. No gradient reaches the network.

    :param labelled: the train part and the test part, or None.
    """

    def __init__(
        self,
        compute: Callable[[np.ndarray], np.ndarray],
        pixels: np.ndarray,
        labelled: tuple[Labelled, Labelled] | None,
        every: int,
        epochs: int,
    ):
        super().__init__()
        self.compute, self.pixels, self.labelled = compute, spaced(pixels, RANKED), labelled
        self.every, self.epochs = every, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        names = ("knn", "linear", "rankme") if self.labelled else ("rankme",)
        logs |= dict.fromkeys(names, math.nan)
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            logs |= self.judge()

    def judge(self) -> dict[str, float]:
        """Return the values that the network's current weights reach."""
        values = {"rankme": effective_rank(features(self.compute, self.pixels))}
        if self.labelled:
            train, test = ((features(self.compute, part.pixels), part.labels) for part in self.labelled)
            values |= {"knn": neighbours_accuracy(*train, *test), "linear": linear_accuracy(*train, *test)}
        return values


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
    """Return the labelled photographs for `Probes`, decoded to `size` in `folder`, or None where neither is given.

    :raises InputError: only one of them is given, or one has no sub-folders of classes.
    """
    if (train is None) != (test is None):
        raise InputError("--knn-train and --knn-test go together: give both folders, or neither")
    if train is None:
        return None
    return load_labelled(train, (size, size), folder, most), load_labelled(test, (size, size), folder, most)


def draw_curves(path: Path, history: dict[str, list[float]], *plots: Sequence[str]) -> None:
    """Draw what the history has of each plot's names over the epochs, and what `Probes` adds, the plots side by side."""
    from matplotlib.figure import Figure  # slow to import, and needed once a run

    plots = [names for names in (*plots, ("knn", "linear"), ("rankme",)) if history.keys() & set(names)]
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
