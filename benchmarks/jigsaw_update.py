"""Measure how quickly photographs become puzzles, beside the original's generator, and a training step of the jigsaw task.

    python -m benchmarks.jigsaw_update

Reads and writes nothing: the photographs are noise, which changes no time. The original's generator is re-written in
tests/original/jigsaw.py. All ways take turns in one run, each after a first time that does not count; the figures are medians.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from core import devices, settings
from encoders import decoded
from jigsaw import maximal_hamming, views
from jigsaw.model import jigsaw, shared


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    size: int = 256
    """Height and width of the photographs, in pixels."""
    step_size: int = 128
    """The same, in the training steps."""
    permutations: int = 100
    """How many the network tells apart."""
    batch_size: int = 32
    """Puzzles in a batch."""
    batches: int = 20
    """Batches in a round."""
    rounds: int = 3
    """Turns that each way takes."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    permutations = maximal_hamming.permutations(config.permutations).astype("int32")
    compare_generators(config, permutations)
    compare_steps(config, permutations)
    compare_calls(config)


def compare_generators(config: Settings, permutations: np.ndarray) -> None:
    """Print puzzles a second of the original's generator and of ours."""
    from tests.original import jigsaw as original_jigsaw

    pixels, cell, tile = noise(config.size, 320), views.cell(config.size), views.tile(config.size)
    original = original_jigsaw.batches(pixels, permutations, cell, tile, config.batch_size, random.randrange)
    ways = {"original": original, "ours": iter(live(pixels, permutations, config))}
    seconds = take_turns(
        {name: lambda way=way: list(islice(way, config.batches)) for name, way in ways.items()}, config
    )
    before, after = (config.batches * config.batch_size / seconds[name] for name in ways)
    print(f"puzzles a second: {after / before:.2f}x (original {before:,.0f}/s, ours {after:,.0f}/s)", flush=True)


def compare_steps(config: Settings, permutations: np.ndarray) -> None:
    """Print the time of training steps on live puzzles and on ready tensors."""
    data = live(noise(config.step_size, 320), permutations, config)
    ready = tf.data.Dataset.from_tensors(next(iter(data))).repeat()
    model = compiled(jigsaw(shared("resnet18"), views.tile(config.step_size), config.permutations))
    seconds = take_turns(
        {"live": lambda: train(model, data, config), "ready": lambda: train(model, ready, config)}, config
    )
    print(
        f"time of a training step on live puzzles against ready tensors: {seconds['live'] / seconds['ready']:.2f}x "
        f"({seconds['live'] / config.batches:.3f} s against {seconds['ready'] / config.batches:.3f} s)",
        flush=True,
    )


def compare_calls(config: Settings) -> None:
    """Print the time of the first and of later training steps, the shared network called nine times or once."""
    tile = views.tile(config.step_size)
    puzzle = np.random.default_rng(0).normal(size=(config.batch_size, 9, tile, tile, 3)).astype("float32")
    data = tf.data.Dataset.from_tensors((puzzle, np.zeros(config.batch_size, "int32"))).repeat()
    builds = {
        "nine": lambda: called_nine_times(shared("resnet18"), tile, config.permutations),
        "one": lambda: jigsaw(shared("resnet18"), tile, config.permutations),
    }
    models, starts = {}, {}
    for name, build in builds.items():
        start = time.perf_counter()
        models[name] = compiled(build())
        models[name].fit(data, steps_per_epoch=1, verbose=0)
        starts[name] = time.perf_counter() - start
    seconds = take_turns(
        {name: lambda model=model: train(model, data, config) for name, model in models.items()}, config
    )
    for what, found, steps in (("first", starts, 1), ("each later", seconds, config.batches)):
        print(
            f"{what} step with nine calls of the network against one: {found['nine'] / found['one']:.2f}x "
            f"({found['nine'] / steps:.3f} s against {found['one'] / steps:.3f} s)",
            flush=True,
        )


def noise(size: int, count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), "uint8")


def live(pixels: np.ndarray, permutations: np.ndarray, config: Settings) -> tf.data.Dataset:
    """Return puzzles as `jigsaw.main` makes them, epoch after epoch, no photograph turned grey, as in the original."""
    recipe = views.Recipe(pixels.shape[1], grey=0.0)

    def example(rows: tf.Tensor, _: tf.Tensor, seed: tf.Tensor) -> Any:
        return views.puzzles(rows, tf.constant(permutations), recipe, seed)

    epoch = decoded.batches(pixels, config.batch_size, 0, example)
    return tf.data.Dataset.range(1_000_000).flat_map(epoch).prefetch(2)  # as in captioning.training


def take_turns(ways: dict[str, Callable[[], Any]], config: Settings) -> dict[str, float]:
    """Return each way's median seconds over the rounds, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(1 + config.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(found[1:]) for name, found in seconds.items()}


def compiled(model: keras.Model) -> keras.Model:
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def train(model: keras.Model, data: tf.data.Dataset, config: Settings) -> None:
    model.fit(data, steps_per_epoch=config.batches, verbose=0)


def called_nine_times(network: keras.Model, tile: int, permutations: int) -> keras.Model:
    """Return the jigsaw model as the original builds it: the shared network called for one place after the other."""
    tiles = keras.Input((9, tile, tile, 3))
    seen = [network(tiles[:, place]) for place in range(9)]  # nine of (N, D)
    x = layers.Dense(2048, activation="relu")(layers.concatenate(seen))
    x = layers.Dense(1024, activation="relu")(layers.Dropout(0.5)(x))
    return keras.Model(tiles, layers.Dense(permutations, activation="softmax")(layers.Dropout(0.5)(x)))


if __name__ == "__main__":
    settings.run(main)
