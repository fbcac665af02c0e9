"""Train the network of the pretext tasks with labels instead: the row "supervised" beside them.

    python -m pretext.supervised --photographs imagenette/train --out supervised_run

Reads a folder with one sub-folder for each class. It uses the same random crops and flips as SimCLR, without changes of colour, and the same
optimizer and schedule. Writes, into --out:
    encoder.keras            the encoder, without the classifier, for step 1
    checkpoint.weights.h5    the state after the last epoch; the same command goes on from it
    history.csv, history.png, tensorboard
"""

from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

from core import settings
from core.workers import ALONE, Worker
from encoders import decoded
from encoders.encoder_file import normalisation
from pretext import run, views
from pretext.run import ResNetSettings
from pretext.watch import compute


@dataclass(frozen=True)
class Settings(ResNetSettings):
    """Edit these here, or override them on the command line."""

    # Data
    photographs: Path = Path("imagenette/train")
    """Labelled photographs: a sub-folder for each class."""
    out: Path = Path("supervised_run")
    """Folder for everything that is written."""


def main(arguments: list[str] | None = None) -> None:
    with run.started(settings.from_command_line(Settings, arguments)) as going:
        config = going.config
        pixels, labels, classes = decoded.load_labelled(config.photographs, (config.stored,) * 2, config.out)
        network, classifier = going.build(pixels, lambda updates: build(config, len(classes), updates))
        trained = classifier.get_layer(network.name)

        def example(rows: tf.Tensor, indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            crops = random_crops(rows, config.size, config.smallest_crop, seed, going.worker)
            return crops, tf.gather(labels, indices)

        features, size = compute(trained, config.encoder_size), config.encoder_size
        going.fit(classifier, pixels, example, features, size=size, identity=run.identity(config))
        if going.worker.number == 0:  # the main worker writes the results
            going.export(network, trained)


def build(config: Settings, classes: int, updates: int) -> tuple[keras.Model, keras.Model]:
    """Return the encoder's network, and the classifier around it or around its fast copy, compiled for so many updates an epoch."""
    network, fast = run.networks(config)
    crop = keras.Input((config.size, config.size, 3))
    features = fast(normalisation(1)(crop))
    classifier = keras.Model(crop, layers.Dense(classes, dtype="float32", name="classes")(features))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    peak = config.learning_rate * config.batch_size / 256
    run.compile_model(classifier, config, updates, peak, loss=loss, metrics=["accuracy"])
    return network, classifier


def random_crops(rows: tf.Tensor, size: int, smallest: float, seed: tf.Tensor, worker: Worker = ALONE) -> tf.Tensor:
    """Return a random crop of each photograph, half of them flipped: uint8 (N, H, W, 3) -> (N, size, size, 3) in [0, 1]."""
    draws = views.uniform(5, tf.shape(rows)[0], seed, worker)
    matrices = views.crop(draws, rows.shape[1], rows.shape[2], size, smallest)
    return tf.transpose(views.resample(views.planes_of(rows), *matrices), (0, 2, 3, 1))


if __name__ == "__main__":
    settings.run(main)
