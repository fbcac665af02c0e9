"""Measure how quickly photographs become features, beside the original's way: one by one.

    python -m benchmarks.extraction --photographs Flicker8k_Dataset --encoder encoder.keras

Reads photographs (draws its own when no folder is given) and an encoder (an untrained ResNet-50 when none is given).
All ways take turns in one run, each after a warm-up; the figures are medians over the rounds. A graph's set-up, once an
encoder, is not in them but in a line of its own.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import keras
import numpy as np
from PIL import Image

from core import devices, settings
from encoders import encoder_file, extract, make, photographs
from encoders.extract import Network

BATCH = 32


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    photographs: Path | None = None
    """Folder of photographs; none: drawn ones of Flickr8k's size."""
    encoder: Path | None = None
    """Encoder's file; none: an untrained ResNet-50 at 224 x 224."""
    count: int = 192
    """Photographs in a round; an eighth of them go one by one."""
    rounds: int = 2
    """Turns that each way takes."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    encoder = encoder_file.read(config.encoder) if config.encoder else untrained_resnet50()
    with tempfile.TemporaryDirectory() as drawn:
        folder = config.photographs or draw(Path(drawn), config.count)
        report(*measure(encoder, photographs.list_photographs(folder)[: config.count], config.rounds))


def measure(encoder: keras.Model, paths: Sequence[Path], rounds: int) -> tuple[dict[str, float], float, float]:
    """Return photographs a second by way, the seconds of a graph's set-up, and how far bfloat16 features are off, relatively."""
    start = time.perf_counter()
    exact = Network(encoder, batch_size=BATCH)
    exact(np.stack([photographs.read(path, exact.height, exact.width) for path in paths[:BATCH]]))
    set_up = time.perf_counter() - start
    quick = Network(encoder, extract.possible("bfloat16"), BATCH)
    ready = np.stack([photographs.read(path, exact.height, exact.width) for path in paths])
    references = exact(ready)
    few = paths[: max(1, len(paths) // 8)]
    turns = {
        "predict, one by one": (lambda: one_by_one(lambda pixels: encoder.predict(pixels, verbose=0), exact, few), few),
        "direct calls, one by one": (
            lambda: one_by_one(lambda pixels: encoder(pixels, training=False).numpy(), exact, few),
            few,
        ),
        "ready tensors": (lambda: exact(ready), paths),
        "float32": (lambda: live(exact, paths), paths),
        "bfloat16": (lambda: live(quick, paths), paths),
    }
    deviation = np.abs(live(quick, paths) - references).max() / np.abs(references).max()
    return take_turns(turns, rounds), set_up, float(deviation)


def take_turns(ways: dict[str, tuple[Callable[[], np.ndarray], Sequence[Path]]], rounds: int) -> dict[str, float]:
    """Return each way's median photographs a second over the rounds, after one that does not count."""
    seconds = {name: [] for name in ways}
    for _ in range(1 + rounds):
        for name, (way, _paths) in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {name: len(paths) / median(seconds[name][1:]) for name, (_, paths) in ways.items()}


def one_by_one(call: Callable[[np.ndarray], np.ndarray], network: Network, paths: Sequence[Path]) -> np.ndarray:
    """Decode a photograph, call the network, and so on: the original's way."""
    return np.concatenate([call(photographs.read(path, network.height, network.width)[None]) for path in paths])


def live(network: Network, paths: Sequence[Path]) -> np.ndarray:
    """Step 1's way: decode in threads beside the network."""
    return np.concatenate([batch.features for batch in extract.batches(network, paths)])


def report(speeds: dict[str, float], set_up: float, deviation: float) -> None:
    for way, against in [
        ("float32", "predict, one by one"),
        ("bfloat16", "predict, one by one"),
        ("float32", "direct calls, one by one"),
        ("float32", "ready tensors"),
    ]:
        print(
            f"step 1 in {way}, photographs a second against {against}: {speeds[way] / speeds[against]:.2f}x "
            f"({speeds[way]:.1f}/s against {speeds[against]:.1f}/s)"
        )
    print(f"time of step 1 in float32 against ready tensors: {speeds['ready tensors'] / speeds['float32']:.2f}x")
    print(f"bfloat16 features differ by at most {deviation:.4f} of the largest")
    print(f"set-up of a graph, once an encoder: {set_up:.1f} s")


def untrained_resnet50() -> keras.Model:
    keras.utils.set_random_seed(0)
    return make.untrained("resnet50", "untrained", 224, "imagenet")


def draw(folder: Path, count: int) -> Path:
    """Draw photographs of Flickr8k's size: coloured clouds with grain."""
    generator = np.random.default_rng(0)
    for number in range(count):
        clouds = Image.fromarray(generator.integers(0, 256, (12, 16, 3), "uint8")).resize((500, 375), Image.BICUBIC)
        grain = generator.normal(0, 8, (375, 500, 3))
        pixels = np.clip(np.asarray(clouds) + grain, 0, 255).astype("uint8")
        Image.fromarray(pixels).save(folder / f"drawn{number:04d}.jpg", quality=90)
    return folder


if __name__ == "__main__":
    settings.run(main)
