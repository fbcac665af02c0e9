"""Train the network of the pretext tasks with labels instead: the row "supervised" beside them.

    python -m pretext.supervised --photographs imagenette/train --out supervised_run

Reads a folder with one sub-folder for each class. Sees the same random crops and flips as SimCLR, without its changes of colour, for
the same optimizer, schedule and loop. Writes into --out: encoder.keras for step 1 (without the classifier), the checkpoint from
which a killed run goes on when the same command is given again, history.csv and history.png.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import keras
import tensorflow as tf
from keras import layers

from core import devices, disk, settings, training, workers
from core.workers import ALONE, Worker
from encoders import decoded
from encoders.encoder_file import encoder, normalisation, write
from encoders.fast import for_training
from encoders.networks.resnet import Stem, resnet
from pretext import views
from pretext.optimizers import Optimizer, optimizer


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    photographs: Path = Path("imagenette/train")  # labelled photographs: a sub-folder for each class
    out: Path = Path("supervised_run")  # folder for everything that is written
    depth: Literal[18, 34, 50] = 18  # layers of the ResNet
    width: settings.Count = 64  # channels of its first stage
    stem: Stem = "small"  # imagenet: 7x7/2 and max-pool; small: 3x3/2 and max-pool, for 64 pixels; cifar: 3x3, for 32
    size: settings.Count = 64  # height and width of a crop, in pixels
    stored: settings.Count = 96  # height and width in which photographs are kept, from which crops are cut
    encoder_size: settings.Count = 96  # height and width that encoder.keras takes; more than a crop, which is enlarged
    epochs: settings.Count = 100  # passes over the photographs; SimCLR sees two views of each in a pass
    batch_size: settings.Count = 256  # photographs in a batch
    optimizer: Optimizer = "sgd"  # sgd with momentum .9; lars for batches of thousands; adamw
    learning_rate: settings.Positive = (
        0.12  # its peak for 256 photographs, scaled by batch_size / 256 (lars: .3, adamw: .001)
    )
    weight_decay: float = 1e-3  # a step, times the learning rate (lars: 1e-6); not on biases and batch normalisation
    warm_up: float = 1.0  # epochs of linear warm-up before the cosine
    smallest_crop: views.Smallest = 0.2  # least share of the area in a crop
    precision: devices.Policy = "float32"  # mixed_bfloat16 where the processor or GPU has it
    xla: bool = False  # compile the training step with XLA; on processors it is slower
    winograd: bool = True  # convolutions arranged for processors, twice as fast in float32; ignored on GPUs
    seed: int = 0  # decides weights, order and crops


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare(config.precision)
    worker, strategy = workers.worker(), devices.strategy(config.batch_size)
    config = replace(config, out=worker.folder(config.out))
    with disk.locked(config.out, ".run.lock"):  # until the last file is written; fit has a lock of its own
        keras.utils.set_random_seed(config.seed)
        pixels, labels, classes = decoded.load_labelled(config.photographs, (config.stored,) * 2, config.out)
        steps = decoded.steps(pixels, config.batch_size)
        with workers.company(), strategy.scope():
            network, classifier = build(config, len(classes), steps)

        def example(rows: tf.Tensor, indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return random_crops(rows, config.size, config.smallest_crop, seed, worker), tf.gather(labels, indices)

        training.fit(
            classifier,
            decoded.batches(pixels, config.batch_size, config.seed, example, worker),
            steps=steps,
            epochs=config.epochs,
            seed=config.seed,
            folder=config.out,
            identity=identity(config),
        )
        if worker.number:  # the chief writes what comes of it
            return
        network.set_weights(classifier.get_layer(network.name).get_weights())
        write(config.out / "encoder.keras", encoder(network, config.encoder_size, config.encoder_size), network.name)


def build(config: Settings, classes: int, steps: int) -> tuple[keras.Model, keras.Model]:
    """Return the encoder's network, and the classifier, compiled, around it or around its fast copy."""
    network = resnet(config.depth, config.stem, config.width, synchronized=devices.replicas() > 1)
    crop = keras.Input((config.size, config.size, 3))
    features = for_training(network, config.winograd)(normalisation(1)(crop))
    classifier = keras.Model(crop, layers.Dense(classes, dtype="float32", name="classes")(features))
    chosen = optimizer(
        config.optimizer,
        classifier.trainable_variables,
        peak=config.learning_rate * config.batch_size / 256,
        steps=config.epochs * steps,
        warm_up=round(config.warm_up * steps),
        decay=config.weight_decay,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(chosen, loss, metrics=["accuracy"], jit_compile=config.xla)
    return network, classifier


def random_crops(rows: tf.Tensor, size: int, smallest: float, seed: tf.Tensor, worker: Worker = ALONE) -> tf.Tensor:
    """Return a random crop of each photograph, half of them flipped: uint8 (N, H, W, 3) -> (N, size, size, 3) in [0, 1]."""
    draws = views.uniform(5, tf.shape(rows)[0], seed, worker)
    matrices = views.crop(draws, rows.shape[1], rows.shape[2], size, smallest)
    return tf.transpose(views.resample(views.planes_of(rows), *matrices), (0, 2, 3, 1))


def identity(config: Settings) -> dict:
    """Return the settings that decide the losses, and so must not change when a run goes on."""
    return settings.without(config, "photographs", "out", "encoder_size", "xla")


if __name__ == "__main__":
    settings.run(main)
