"""Measure a SimCLR training step: with live views, with ready tensors, with plain layers, and beside the arithmetic it is made of.

    python -m benchmarks.simclr_update

Reads and writes nothing: the photographs are noise, which changes no time. The work of a step is that of its convolutions, dense layers
and similarities as they are defined, three times for outputs and both gradients; filtering by Winograd does with less.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from statistics import median

import keras
import numpy as np
import tensorflow as tf

from core import devices, settings
from encoders import decoded
from pretext import run, views
from simclr import main as pretraining

MATRIX = 3072  # rows and columns of the large matrix product


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    batch_size: int = 128
    """Photographs in a batch."""
    width: int = 64
    """Channels of the ResNet-18's first stage."""
    size: int = 64
    """Height and width of a view, in pixels."""
    steps: int = 8
    """Steps in a round."""
    rounds: int = 3
    """Turns that each way takes."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    training = pretraining.Settings(batch_size=config.batch_size, width=config.width, size=config.size)
    live, ready = batches(training, config.steps + 1)
    ours, plain = fitter(training), fitter(replace(training, winograd=False))
    ways = {"live": (ours, live), "ready": (ours, ready), "plain layers": (plain, ready)}
    seconds = {name: [] for name in ways}
    for _ in range(config.rounds):
        for name, (fit, data) in ways.items():
            seconds[name] += fit(data, config.steps + 1)
    report({name: median(found) for name, found in seconds.items()}, work(training), speed())


def batches(training: pretraining.Settings, count: int) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Return the batches that `simclr.main` makes of photographs, and the first of them again and again."""
    shape = (count * training.batch_size, training.stored, training.stored, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    recipe = run.recipe_of(training)
    epoch = decoded.batches(pixels, training.batch_size, 0, lambda rows, _, seed: views.two_views(rows, recipe, seed))
    live = tf.data.Dataset.range(1).flat_map(epoch).prefetch(2)  # as in captioning.training
    return live, tf.data.Dataset.from_tensors(next(iter(live))).repeat(count)


def fitter(training: pretraining.Settings) -> Callable[[tf.data.Dataset, int], list[float]]:
    """Return the function that trains a model for some steps and returns the seconds of each but the first."""
    keras.utils.set_random_seed(0)
    _, simclr = run.build_views(training, pretraining.build, updates=100)

    def fit(data: tf.data.Dataset, steps: int) -> list[float]:
        clock = Clock()
        simclr.fit(data, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[clock])
        return np.diff(clock.times).tolist()

    return fit


class Clock(keras.callbacks.Callback):
    """Notes when each step ends."""

    def __init__(self):
        super().__init__()
        self.times: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.times.append(time.perf_counter())


def work(training: pretraining.Settings) -> float:
    """Return the floating-point operations of a step."""
    network, simclr = run.build_views(replace(training, winograd=False), pretraining.build, updates=100)
    views_in_batch, projection = 2 * training.batch_size, training.dimension
    forward = operations(network, (training.size, training.size, 3)) + operations(simclr.head, network.output_shape[1:])
    return 3 * (views_in_batch * forward + 2 * views_in_batch**2 * projection)


def operations(network: keras.Model, shape: tuple[int, ...]) -> int:
    """Return the multiplications and additions of a network's convolutions and dense layers for one example of this shape."""
    fixed = keras.models.clone_model(network, input_tensors=keras.Input(shape))
    with_kernel = [layer for layer in fixed.layers if hasattr(layer, "kernel")]
    return sum(2 * prod(layer.output.shape[1:-1]) * prod(layer.kernel.shape) for layer in with_kernel)


def speed(dtype: str = "float32") -> float:
    """Return the floating-point operations a second of a large matrix product."""
    matrix = tf.cast(tf.random.normal((MATRIX, MATRIX)), dtype)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        tf.matmul(matrix, matrix).numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * MATRIX**3 / median(seconds[1:])


def report(seconds: dict[str, float], work: float, speed: float) -> None:
    live, ready, plain = seconds["live"], seconds["ready"], seconds["plain layers"]
    print(
        f"time of a step with live views against ready tensors: {live / ready:.2f}x ({live:.3f} s against {ready:.3f} s)"
    )
    print(f"time of a step with plain layers against ours: {plain / ready:.2f}x ({plain:.3f} s against {ready:.3f} s)")
    print(
        f"time of a step against its {work / 1e9:.3g} GFLOP at the speed of a large matrix product: "
        f"{ready * speed / work:.2f}x ({ready:.3f} s against {work / speed:.3f} s at {speed / 1e9:.0f} GFLOP/s)"
    )


if __name__ == "__main__":
    settings.run(main)
