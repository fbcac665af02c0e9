"""How much faster and smaller steps 2 and 3 are than the original, on real captions.

    python -m benchmarks.captioner --flickr8k DIR

Reads the captions and the train and dev lists in DIR/Flickr8k_text; features are random, which changes no time. The original's way is re-written
in tests/original/captioning.py and timed on a slice, since all of it would take hours and 34 GB; each line says what was scaled. Training
goes in turns, so that both ways meet the same machine, and its times are medians.
"""

import math
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from core import settings

DIMENSION = 2048
BATCH_SIZE = 128  # step 2's default
TURNS = 5  # that each way of training takes, after one that does not count


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    flickr8k: Path = Path()
    """Folder that holds Flickr8k_text/."""
    batches: int = 60
    """Batches of 32 prefixes in a turn of the original's training."""
    photographs: int = 6
    """Photographs that the original's captioning is timed on."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        apart(prepare, config.flickr8k / "Flickr8k_text", folder)
        memory, next_words, arrays = apart(train, folder)
        ours, batch = apart(train_in_turns, folder, config.batches)
        count = math.ceil(next_words / 32)
        print(
            f"an epoch of step 2, {next_words:,} next words: {batch * count / ours:.1f}x "
            f"(original {batch * count:,.0f} s, scaled from {config.batches} of {count:,} batches; ours {ours:.1f} s; "
            f"medians of {TURNS} turns)"
        )
        print(
            f"peak memory of step 2: {arrays / memory:.1f}x (original {arrays:.1f} GB, its arrays alone, computed; ours {memory:.2f} GB)"
        )
        ours, one = apart(describe, folder, config.photographs)
        print(
            f"captions of 1,000 photographs: {1000 * one / ours:.1f}x "
            f"(original {1000 * one:,.0f} s, scaled from {config.photographs} photographs; ours {ours:.2f} s; the same captions)"
        )


def apart(measure: Callable, *arguments: object) -> object:
    """Return `measure(*arguments)`, called in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, *arguments).result()


def prepare(texts: Path, folder: Path) -> None:
    """Write what step 1 would write, with random features, and the image lists."""
    from captioning.captions import clean, read_captions, write_descriptions
    from core import disk
    from encoders import features_file

    captions = read_captions(texts / "Flickr8k.token.txt")
    write_descriptions(
        folder / "descriptions.txt", {image: list(map(clean, given)) for image, given in captions.items()}
    )
    random = np.random.default_rng(0)
    features_file.write(
        folder / "features.pkl", {image: random.random((1, DIMENSION), "float32") for image in captions}
    )
    for name in ("Flickr_8k.trainImages.txt", "Flickr_8k.devImages.txt"):
        disk.write_text(folder / name, disk.read_text(texts / name))


def read(folder: Path) -> tuple:
    """Return step 2's tokenizer, and its captions of train and dev."""
    from captioning.train import read_data

    lists = (folder / f"Flickr_8k.{split}Images.txt" for split in ("train", "dev"))
    return read_data(folder / "features.pkl", folder / "descriptions.txt", *lists)[:3]


def trainer(tokenizer: Any, train: Any) -> tuple[Any, Any]:
    """Return a captioner and its trainer, as step 2 makes them."""
    from captioning.models import merge
    from captioning.train import Recipe, compiled_trainer

    model = merge.build((DIMENSION,), tokenizer.vocabulary_size)
    recipe = Recipe(1, BATCH_SIZE, 0.006, 3e-5, True, None, None, False)
    return model, compiled_trainer(model, merge.optimizer(recipe, train.steps(BATCH_SIZE)))


def train(folder: Path) -> tuple[float, int, float]:
    """Train for an epoch; return the process's peak memory in GB, the number of next words, and the size in GB of the original's arrays."""
    from captioning import captioner_file

    tokenizer, train, dev = read(folder)
    model, learner = trainer(tokenizer, train)
    learner.fit(train.shuffled(BATCH_SIZE, seed=0)(0).prefetch(2), shuffle=False, verbose=0)
    learner.evaluate(dev.ordered(BATCH_SIZE), verbose=0)
    captioner_file.write(folder / "captioner.keras", model, tokenizer, None)
    # The original's bytes for one example: float32 feature, int32 prefix, float64 one-hot word.
    example = 4 * DIMENSION + 4 * tokenizer.maximum_length + 8 * tokenizer.vocabulary_size
    return peak_memory(), train.next_words, example * (train.next_words + dev.next_words) / 1e9


def train_in_turns(folder: Path, batches: int) -> tuple[float, float]:
    """Return the seconds of an epoch of step 2, and of a batch of the original's training."""
    from itertools import islice

    from captioning.captions import read_descriptions
    from encoders import features_file
    from tests.original import captioning as original

    tokenizer, train, _ = read(folder)
    _, learner = trainer(tokenizer, train)
    epochs, steps = train.shuffled(BATCH_SIZE, seed=0), train.steps(BATCH_SIZE)
    features = features_file.read(folder / "features.pkl")
    examples = original.examples(read_descriptions(folder / "descriptions.txt"), features, tokenizer)
    inputs, targets = original.stack(list(islice(examples, 32 * batches)))
    model = original.build(DIMENSION, tokenizer.vocabulary_size, tokenizer.maximum_length)
    ours, theirs = [], []
    for turn in range(1 + TURNS):  # a part of another epoch each time
        ours.append(fit(learner, epochs(turn).take(steps // TURNS).prefetch(2), shuffle=False))
        theirs.append(fit(model, inputs, targets))
    return steps * median(ours[1:]), median(theirs[1:])


def fit(model: Any, *data: object, **how: object) -> float:
    """Train for an epoch and return the seconds of a batch, but for the first: before it TensorFlow may wait seconds for its data."""
    import keras

    ends = []
    clock = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter()))
    model.fit(*data, **how, callbacks=[clock], verbose=0)
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def peak_memory() -> float:
    """Return the most memory in GB that this process has held (Linux)."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1e6


def describe(folder: Path, photographs: int) -> tuple[float, float]:
    """Return the seconds that our captions of 1,000 photographs take, and the original's caption of one.

    :raises AssertionError: a caption differs from the original's.
    """
    from captioning import captioner_file, decoding
    from captioning.tokenizer import wrap
    from encoders import features_file
    from tests.original import captioning as original

    model, tokenizer, _ = captioner_file.read(folder / "captioner.keras")
    features = np.concatenate(list(features_file.read(folder / "features.pkl").values()))[:1000]
    start = time.perf_counter()
    captions = decoding.caption(model, features, tokenizer)
    ours = time.perf_counter() - start
    theirs = original.build(DIMENSION, tokenizer.vocabulary_size, tokenizer.maximum_length)
    original.copy_weights(model, theirs)
    original.generate(theirs, tokenizer, features[:1])
    start = time.perf_counter()
    found = [original.generate(theirs, tokenizer, feature[None]) for feature in features[:photographs]]
    one = (time.perf_counter() - start) / photographs
    assert found == [wrap(caption.text) for caption in captions[:photographs]]
    return ours, one


if __name__ == "__main__":
    settings.run(main)
