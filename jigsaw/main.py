"""Pre-train an encoder on photographs without labels: jigsaw puzzles (Noroozi & Favaro 2016, arXiv 1603.09246).

    python -m jigsaw.to_hdf5 --photographs DIR --out photographs.h5
    python -m jigsaw.main --photographs photographs.h5 --out jigsaw_run

Trains on the photographs of train_img, chooses the best epoch by one fixed puzzle of each of val_img, and tests it on those of test_img,
also as the shortcuts that the puzzles leave would have it. Writes into --out: encoder-full.keras and encoder-single.keras for step 1, the
checkpoint from which a killed run goes on when the same command is given again, best.weights.h5, test.json, history.csv, TensorBoard logs,
history.png, curves.png and puzzles.png.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from core import devices, disk, settings, training
from core.errors import InputError
from core.workers import ALONE, Worker
from encoders import decoded
from encoders.encoder_file import write
from encoders.fast import for_training
from jigsaw import encoder, maximal_hamming, views, watch
from jigsaw.model import Network, jigsaw, shared
from pretext import run
from pretext.optimizers import Optimizer
from pretext.run import RunSettings
from pretext.watch import draw_curves

LOSS = "sparse_categorical_crossentropy"
GUARDS = {  # against shortcuts: what the tiles give away beside what they show
    "as trained": {},
    "without gaps between tiles": {"gap": False},
    "without colour": {"colour": False},
    "without normalising each tile": {"normalise": False},
}
Example = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Settings(RunSettings):
    """Edit these here, or override them on the command line."""

    # Data
    photographs: Path = Path("photographs.h5")
    """File of jigsaw.to_hdf5, with train_img, val_img and test_img; without the last two, parts of train_img take their place."""
    out: Path = Path("jigsaw_run")
    """Folder for everything that is written."""
    size: settings.Count = 256
    """Height and width of a photograph, in pixels. A tile has a quarter of it."""

    # Puzzles
    permutations: settings.Count = 100
    """How many permutations the network tells apart. Fewer are easier, and teach less."""
    permutation_file: Path | None = None
    """File of jigsaw.maximal_hamming, or .npy, whose first permutations are taken. Without it they are computed."""
    grey: settings.Share = 0.3
    """Share of photographs turned grey, so that the colours of the edges give nothing away."""

    # Network
    network: Network = "resnet50"
    """resnet18 is for small machines; width, stem and winograd are its settings. alexnet needs 5 GB for its head alone."""

    # Training
    epochs: settings.Count = 50
    """Passes over the photographs."""
    batch_size: settings.Count = 32
    """Puzzles in a batch, on all devices together."""
    optimizer: Literal["adam", Optimizer] = "adam"
    """adam, as the original. sgd, lars and adamw follow a cosine."""
    learning_rate: settings.Positive = 0.001
    """The first learning rate of adam, the highest of the others."""
    weight_decay: float = 0.01
    """Weight decay per update, times the learning rate. adam, biases and batch normalisation have none."""
    reduce_after: settings.Count = 3
    """Divide adam's learning rate by 10 after so many epochs without a lower val_loss."""
    patience: settings.Count = 6
    """Stop after so many epochs without a lower val_loss."""


def main(arguments: list[str] | None = None) -> None:
    with run.started(settings.from_command_line(Settings, arguments)) as going:
        config = going.config
        permutations = choose(config.permutations, config.permutation_file)
        train, val, test = decoded.load_parts(config.photographs, (config.size,) * 2, config.out)
        network, model = going.build(train, lambda updates: build(config, updates))
        recipe = views.Recipe(config.size, grey=config.grey)
        example = examples(permutations, replace(recipe, worker=going.worker))
        kept = identity(config, permutations)
        replicas = going.strategy.num_replicas_in_sync
        history = going.fit(
            model,
            train,
            example,
            encoder.compute(network, config.size),
            size=config.size,
            identity=kept,
            callbacks=callbacks(config, model, kept),
            validation=fixed(val, config.batch_size, config.seed, example, going.worker, replicas),
        )
        if going.worker.number:  # the main worker writes the results
            return
        draw_curves(config.out / "curves.png", history, ("loss", "val_loss"), ("accuracy", "val_accuracy"))
        finish(config, test, permutations, recipe)


def finish(config: Settings, test: np.ndarray, permutations: np.ndarray, recipe: views.Recipe) -> None:
    """Test the best weights, and write puzzles.png and both encoders."""
    devices.prepare()  # what follows computes in float32
    solver = encoder.read_run(config.out)
    report(config, solver, test, permutations, recipe)
    watch.draw_puzzles(config.out / "puzzles.png", solver, test, permutations, config.seed)
    write(config.out / "encoder-full.keras", encoder.full(solver), f"{config.network}, full")
    single = encoder.single(solver.network, config.size)
    write(config.out / "encoder-single.keras", single, f"{config.network}, single")


def choose(count: int, path: Path | None) -> np.ndarray:
    """Return the permutations, int32 (count, 9), from a file or computed, and say how far apart they are."""
    permutations = maximal_hamming.read(path, count) if path else maximal_hamming.permutations(count)
    print(f"{count:,} permutations, {maximal_hamming.describe(permutations)}; chance {1 / count:.3f}")
    return np.asarray(permutations, "int32")


def build(config: Settings, updates: int) -> tuple[keras.Model, keras.Model]:
    """Return the network that the tiles share (resnet18: its fast copy), and the model around it, compiled for so many updates an epoch."""
    several = devices.replicas() > 1
    network = shared(config.network, config.stem, config.width, synchronized=several)
    if config.network == "resnet18":
        network = for_training(network, config.winograd)
    model = jigsaw(network, views.tile(config.size), config.permutations, synchronized=several)
    if config.optimizer == "adam":
        adam = keras.optimizers.Adam(config.learning_rate)
        model.compile(adam, LOSS, metrics=["accuracy"], jit_compile=config.xla)
    else:
        run.compile_model(model, config, updates, config.learning_rate, loss=LOSS, metrics=["accuracy"])
    return network, model


def examples(permutations: np.ndarray, recipe: views.Recipe) -> Example:
    """Return the function from photographs, their indices and a seed to puzzles and labels, for `decoded.batches`."""
    return lambda rows, _, seed: views.puzzles(rows, tf.constant(permutations), recipe, seed)


def fixed(
    pixels: np.ndarray, batch_size: int, seed: int, example: Example, worker: Worker = ALONE, replicas: int = 1
) -> tf.data.Dataset:
    """Return one puzzle of each photograph, the same whenever they are asked for, in batches of nearly the same size.

    :param worker: whose part of each batch is given.
    :raises InputError: there are fewer photographs than devices that share a batch.
    """
    if len(pixels) < replicas:
        raise InputError(f"{len(pixels)} photographs for val_loss are fewer than {replicas} devices: give more")
    count = min(-(-len(pixels) // batch_size), len(pixels) // replicas)  # a device without a puzzle would have no loss
    bounds = np.linspace(0, len(pixels), count + 1).astype("int64")

    @tf.autograph.experimental.do_not_convert
    def batch(start: tf.Tensor, end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        indices = worker.part(tf.range(start, end))
        return example(decoded.rows(pixels, indices), indices, tf.random.fold_in(tf.constant([seed, 1]), start))

    return tf.data.Dataset.from_tensor_slices((bounds[:-1], bounds[1:])).map(batch, num_parallel_calls=2).prefetch(2)


def callbacks(config: Settings, model: keras.Model, kept: dict[str, Any]) -> list[keras.callbacks.Callback]:
    """Return what keeps the best weights, slows down and ends the training."""

    def keep(path: Path) -> None:
        training.write_checkpoint(path, {"identity": kept}, model.weights)

    chosen = [training.Best(config.out / encoder.BEST, keep), keras.callbacks.EarlyStopping(patience=config.patience)]
    if config.optimizer == "adam":
        chosen.append(keras.callbacks.ReduceLROnPlateau(patience=config.reduce_after, verbose=1))
    return chosen


def report(
    config: Settings, solver: encoder.Solver, test: np.ndarray, permutations: np.ndarray, recipe: views.Recipe
) -> None:
    """Print and write loss and accuracy on the test photographs, as trained and, for shortcuts, with each guard taken away."""
    solver.model.compile(loss=LOSS, metrics=["accuracy"])
    scores = {}
    for name, guard in GUARDS.items():
        data = fixed(test, config.batch_size, config.seed, examples(permutations, replace(recipe, **guard)))
        scores[name] = solver.model.evaluate(data, verbose=0, return_dict=True)
        print(f"test, {name}: loss {scores[name]['loss']:.3f}, accuracy {scores[name]['accuracy']:.3f}", flush=True)
    least, mean = maximal_hamming.distances(permutations)
    about = {"photographs": len(test), "chance": 1 / len(permutations), "least distance": least, "mean distance": mean}
    disk.write_json(config.out / "test.json", about | scores)


def identity(config: Settings, permutations: np.ndarray) -> dict[str, Any]:
    """Return what decides the losses, and so must not change when a run goes on."""
    return run.identity(config) | {"permutation set": hashlib.sha256(permutations.tobytes()).hexdigest()[:12]}


if __name__ == "__main__":
    settings.run(main)
