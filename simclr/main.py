"""Pre-train an encoder on photographs without labels: SimCLR (Chen et al. 2020, arXiv 2002.05709).

    python -m simclr.main --photographs Flicker8k_Dataset --list Flickr8k_text/Flickr_8k.trainImages.txt --out simclr_run

Reads folders of photographs, or one HDF5 file of jigsaw.to_hdf5. Writes into --out: encoder.keras for step 1, the checkpoint from which a
killed run goes on when the same command is given again, history.csv, TensorBoard logs, curves.png, views.png and neighbours.png.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from core import devices, disk, settings, training, workers
from encoders import decoded
from encoders.encoder_file import encoder, write
from encoders.fast import for_training
from encoders.networks.resnet import Stem, resnet
from pretext import views
from pretext.optimizers import Optimizer, optimizer
from pretext.watch import Neighbours, TensorBoard, draw_curves, load_voters
from simclr import watch
from simclr.model import SimCLR


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    photographs: tuple[Path, ...] = (Path("Flicker8k_Dataset"),)  # folders, searched recursively, or one HDF5 file
    list: tuple[Path, ...] = ()  # files that name the photographs to take; without one, all
    out: Path = Path("simclr_run")  # folder for everything that is written
    depth: Literal[18, 34, 50] = 18  # layers of the ResNet
    width: settings.Count = 64  # channels of its first stage
    stem: Stem = "small"  # imagenet: 7x7/2 and max-pool; small: 3x3/2 and max-pool, for 64 pixels; cifar: 3x3, for 32
    size: settings.Count = 64  # height and width of a view, in pixels; more sees finer things, at its square in time
    stored: settings.Count = 96  # height and width in which photographs are kept, from which views are cut
    encoder_size: settings.Count = (
        96  # height and width that encoder.keras takes; more than a view, which is an enlarged crop
    )
    epochs: settings.Count = 100  # passes over the photographs
    batch_size: settings.Count = 256  # photographs in a batch; each view has 2 x batch_size - 2 negatives
    optimizer: Optimizer = "sgd"  # sgd with momentum .9; lars for batches of thousands; adamw
    learning_rate: settings.Positive = (
        0.12  # its peak for 256 photographs, scaled by batch_size / 256 (lars: .3, adamw: .001)
    )
    weight_decay: float = 1e-3  # a step, times the learning rate (lars: 1e-6); not on biases and batch normalisation
    warm_up: float = 1.0  # epochs of linear warm-up before the cosine
    temperature: settings.Positive = 0.2  # of NT-Xent; lower looks harder at the nearest negatives
    head_layers: Literal[2, 3] = 2  # of the projection head
    dimension: settings.Count = 128  # of the projections
    smallest_crop: views.Smallest = 0.2  # least share of the area in a crop; the paper's .08 is for long training
    strength: float = 0.5  # of the colour jitter; 1 is the paper's for ImageNet
    blur: settings.Share = 0.5  # probability of a Gaussian blur
    precision: devices.Policy = "float32"  # mixed_bfloat16 where the processor or GPU has it
    xla: bool = False  # compile the training step with XLA; on processors it is slower
    winograd: bool = True  # convolutions arranged for processors, twice as fast in float32; ignored on GPUs
    knn_train: Path | None = None  # labelled photographs (a sub-folder for each class) whose features vote
    knn_test: Path | None = None  # labelled photographs that are voted on
    knn_every: settings.Count = 5  # epochs from one vote to the next
    knn_most: settings.Count = 250  # photographs of each class that take part, the first by name
    seed: int = 0  # decides weights, order and views


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare(config.precision)
    worker, strategy = workers.worker(), devices.strategy(config.batch_size)
    config = replace(config, out=worker.folder(config.out))
    with disk.locked(config.out, ".run.lock"):  # until the last file is written; fit has a lock of its own
        keras.utils.set_random_seed(config.seed)
        pixels = decoded.load(config.photographs, (config.stored,) * 2, config.out, config.list)
        steps = decoded.steps(pixels, config.batch_size)
        recipe = views.Recipe(config.size, config.smallest_crop, config.strength, blur=config.blur, worker=worker)
        with workers.company(), strategy.scope():
            network, simclr = build(config, steps)
        compute = watch.compute(simclr, config.encoder_size)

        def show(_: dict | None) -> None:  # not before it is sure that the run in the folder has these settings
            watch.draw_views(config.out / "views.png", pixels, recipe, config.seed)

        def example(rows: tf.Tensor, _: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            return views.two_views(rows, recipe, seed)

        history = training.fit(
            simclr,
            decoded.batches(pixels, config.batch_size, config.seed, example, worker),
            steps=steps,
            epochs=config.epochs,
            seed=config.seed,
            folder=config.out,
            identity=identity(config),
            callbacks=[*callbacks(config, compute), keras.callbacks.LambdaCallback(on_train_begin=show)],
        )
        if worker.number:  # the chief writes what comes of it
            return
        network.set_weights(simclr.network.get_weights())
        write(config.out / "encoder.keras", encoder(network, config.encoder_size, config.encoder_size), network.name)
        draw_curves(config.out / "curves.png", history, ("loss",), ("accuracy", "spread", "knn"))
        watch.draw_neighbours(config.out / "neighbours.png", compute, pixels)


def build(config: Settings, steps: int) -> tuple[keras.Model, SimCLR]:
    """Return the encoder's network, and SimCLR, compiled, around it or around its fast copy."""
    network = resnet(config.depth, config.stem, config.width, synchronized=devices.replicas() > 1)
    simclr = SimCLR(
        for_training(network, config.winograd),
        temperature=config.temperature,
        head_layers=config.head_layers,
        dimension=config.dimension,
    )
    chosen = optimizer(
        config.optimizer,
        simclr.trainable_variables,
        peak=config.learning_rate * config.batch_size / 256,
        steps=config.epochs * steps,
        warm_up=round(config.warm_up * steps),
        decay=config.weight_decay,
    )
    simclr.compile(optimizer=chosen, jit_compile=config.xla)
    return network, simclr


def callbacks(config: Settings, compute: Callable[[np.ndarray], np.ndarray]) -> list[keras.callbacks.Callback]:
    """Return what watches the run: alarm, neighbours where labelled photographs are given, and logs."""
    voters = load_voters(config.knn_train, config.knn_test, config.encoder_size, config.out, config.knn_most)
    knn = [Neighbours(compute, *voters, config.knn_every, config.epochs)] if voters else []
    return [watch.Alarm(), *knn, TensorBoard(config.out / "tensorboard")]


def identity(config: Settings) -> dict:
    """Return the settings that decide the losses, and so must not change when a run goes on."""
    free = ("photographs", "list", "out", "encoder_size", "xla", "knn_train", "knn_test", "knn_every", "knn_most")
    return settings.without(config, *free)


if __name__ == "__main__":
    settings.run(main)
