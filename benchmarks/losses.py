"""Which val_loss the original's way of training reaches, epoch by epoch, to compare with step 2's.

    python -m benchmarks.losses --features features.pkl --descriptions descriptions.txt --out losses

Reads what step 2 reads. Trains as the original does: batches of 32 prefixes drawn at random, Adam with learning rate .01 and epsilon .1. Only the
padding of each prefix to the maximum length is left out, which changes no number. Writes history.csv and history.png into --out; killed and
run again it goes on after the last whole epoch, which takes many minutes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from captioning.batches import SIGNATURE, Captions
from captioning.models import merge
from captioning.train import read_data
from core import devices, settings, training

BATCH_SIZE = 32


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    features: Path = Path("features.pkl")
    """What the encoder made of the photographs."""
    descriptions: Path = Path("descriptions.txt")
    """Their cleaned captions."""
    train_images: Path = Path("Flickr8k_text/Flickr_8k.trainImages.txt")
    """Photographs to learn from."""
    dev_images: Path = Path("Flickr8k_text/Flickr_8k.devImages.txt")
    """Photographs for val_loss."""
    out: Path = Path("losses")
    """Folder for what is written."""
    epochs: int = 20
    """Times that each prefix is seen."""
    seed: int = 0
    """Of the first weights, the order of the batches and dropout."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    keras.utils.set_random_seed(config.seed)
    tokenizer, train, dev, _ = read_data(config.features, config.descriptions, config.train_images, config.dev_images)
    trainer = merge.trainer(merge.build(train.features.shape[1:], tokenizer.vocabulary_size))
    trainer.compile(keras.optimizers.Adam(0.01, epsilon=0.1), jit_compile=False)
    history = training.fit(
        trainer,
        shuffled(prefixes(train), config.seed),
        steps=-(-train.next_words // BATCH_SIZE),
        epochs=config.epochs,
        seed=config.seed,
        folder=config.out,
        identity={"train data": train.fingerprint(), "dev data": dev.fingerprint()},
        validation=dev.ordered(2 * BATCH_SIZE),
    )["val_loss"]
    print(f"wrote {config.out / 'history.csv'}: val_loss {min(history):.3f}, the lowest of {len(history)} epochs")


def prefixes(captions: Captions) -> Captions:
    """Return the same captions with a row for each next word: it alone is foretold."""
    row = np.repeat(np.arange(len(captions.start)), captions.length - captions.skip)
    first = (
        np.cumsum(captions.length - captions.skip) - captions.length
    )  # the next words before a row, less those it skips
    length = np.arange(len(row)) - first[row] + 1
    return Captions(
        captions.features, captions.words, captions.photograph[row], captions.start[row], length, length - 1
    )


def shuffled(captions: Captions, seed: int) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """Return epoch -> batches of rows drawn at random, of whatever lengths."""

    def generate(epoch: np.int64) -> Iterator[tuple]:
        rows = np.random.default_rng((seed, epoch)).permutation(len(captions.start))
        return (captions.batch(rows[start : start + BATCH_SIZE]) for start in range(0, len(rows), BATCH_SIZE))

    return lambda epoch: tf.data.Dataset.from_generator(generate, args=(epoch,), output_signature=SIGNATURE)


if __name__ == "__main__":
    settings.run(main)
