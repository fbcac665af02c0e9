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

from core import devices, disk, settings, training, workers
from core.errors import InputError
from core.workers import ALONE, Worker
from encoders import decoded
from encoders.encoder_file import write
from encoders.fast import for_training
from encoders.networks.resnet import Stem
from jigsaw import encoder, maximal_hamming, views, watch
from jigsaw.model import Network, jigsaw, shared
from pretext.optimizers import Optimizer, optimizer
from pretext.watch import Neighbours, TensorBoard, draw_curves, load_voters

LOSS = "sparse_categorical_crossentropy"
GUARDS = {  # against shortcuts: what the tiles give away beside what they show
    "as trained": {},
    "without gaps between tiles": {"gap": False},
    "without colour": {"colour": False},
    "without normalising each tile": {"normalise": False},
}
Example = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    photographs: Path = Path("photographs.h5")  # file of jigsaw.to_hdf5: train_img, val_img and test_img
    out: Path = Path("jigsaw_run")  # folder for everything that is written
    permutations: settings.Count = 100  # how many the network tells apart; fewer are easier, and teach less
    permutation_file: Path | None = None  # of jigsaw.maximal_hamming, its first ones; without it they are computed
    network: Network = "resnet50"  # resnet18 for small machines; alexnet needs 5 GB for its head alone
    stem: Stem = "small"  # of resnet18: imagenet 7x7/2 and max-pool; small 3x3/2 and max-pool; cifar 3x3 alone
    width: settings.Count = 64  # of resnet18: channels of its first stage
    size: settings.Count = 256  # height and width of a photograph, in pixels; a tile's are a quarter
    grey: settings.Share = 0.3  # share of photographs turned grey, so that the colours' edges give nothing away
    epochs: settings.Count = 50  # passes over the photographs
    batch_size: settings.Count = 32  # puzzles in a batch
    optimizer: Literal["adam", Optimizer] = "adam"  # adam as the original; sgd, lars and adamw fall on a cosine
    learning_rate: settings.Positive = 0.001  # adam's at first, the others' peak
    reduce_after: settings.Count = 3  # epochs without a lower val_loss before adam's learning rate falls to a tenth
    patience: settings.Count = 6  # epochs without a lower val_loss before training stops
    weight_decay: float = 0.01  # a step, times the learning rate; not adam's, nor on biases and batch normalisation
    warm_up: float = 1.0  # epochs of linear warm-up before the cosine
    precision: devices.Policy = "float32"  # mixed_bfloat16 where the processor or GPU has it
    xla: bool = False  # compile the training step with XLA; on processors it is slower
    winograd: bool = True  # resnet18's convolutions arranged for processors, twice as fast; ignored on GPUs
    knn_train: Path | None = None  # labelled photographs (a sub-folder for each class) whose features vote
    knn_test: Path | None = None  # labelled photographs that are voted on
    knn_every: settings.Count = 5  # epochs from one vote to the next
    knn_most: settings.Count = 250  # photographs of each class that take part, the first by name
    seed: int = 0  # decides weights, order and puzzles


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare(config.precision)
    worker, strategy = workers.worker(), devices.strategy(config.batch_size)
    config = replace(config, out=worker.folder(config.out))
    with disk.locked(config.out, ".run.lock"):  # until the last file is written; fit has a lock of its own
        keras.utils.set_random_seed(config.seed)
        permutations = choose(config.permutations, config.permutation_file)
        train, val, test = (
            decoded.load_hdf5(config.photographs, f"{part}_img", (config.size,) * 2, config.out)
            for part in ("train", "val", "test")
        )
        steps = decoded.steps(train, config.batch_size)
        recipe = views.Recipe(config.size, grey=config.grey)
        example, kept = examples(permutations, replace(recipe, worker=worker)), identity(config, permutations)
        with workers.company(), strategy.scope():
            network, model = build(config, steps)
        history = training.fit(
            model,
            decoded.batches(train, config.batch_size, config.seed, example, worker),
            steps=steps,
            epochs=config.epochs,
            seed=config.seed,
            folder=config.out,
            identity=kept,
            validation=fixed(val, config.batch_size, config.seed, example, worker, strategy.num_replicas_in_sync),
            callbacks=callbacks(config, network, model, kept),
        )
        if worker.number:  # the chief writes what comes of it
            return
        draw_curves(config.out / "curves.png", history, ("loss", "val_loss"), ("accuracy", "val_accuracy", "knn"))
        devices.prepare()  # what follows computes in float32
        solver = encoder.read_run(config.out)
        report(config, solver, test, permutations, recipe)
        watch.draw_puzzles(config.out / "puzzles.png", solver, test, permutations, config.seed)
        write(config.out / "encoder-full.keras", encoder.full(solver), f"{config.network}, full")
        write(
            config.out / "encoder-single.keras",
            encoder.single(solver.network, config.size),
            f"{config.network}, single",
        )


def choose(count: int, path: Path | None) -> np.ndarray:
    """Return the permutations, int32 (count, 9), from a file or computed, and say how far apart they are."""
    permutations = maximal_hamming.read(path, count) if path else maximal_hamming.permutations(count)
    print(f"{count:,} permutations, {maximal_hamming.describe(permutations)}; chance {1 / count:.3f}")
    return np.asarray(permutations, "int32")


def build(config: Settings, steps: int) -> tuple[keras.Model, keras.Model]:
    """Return the network that the tiles share, where it can as its fast copy, and the model around it, compiled."""
    several = devices.replicas() > 1
    network = shared(config.network, config.stem, config.width, synchronized=several)
    if config.network == "resnet18":
        network = for_training(network, config.winograd)
    model = jigsaw(network, views.tile(config.size), config.permutations, synchronized=several)
    if config.optimizer == "adam":
        chosen = keras.optimizers.Adam(config.learning_rate)
    else:
        chosen = optimizer(
            config.optimizer,
            model.trainable_variables,
            peak=config.learning_rate,
            steps=config.epochs * steps,
            warm_up=round(config.warm_up * steps),
            decay=config.weight_decay,
        )
    model.compile(chosen, LOSS, metrics=["accuracy"], jit_compile=config.xla)
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


def callbacks(
    config: Settings, network: keras.Model, model: keras.Model, kept: dict[str, Any]
) -> list[keras.callbacks.Callback]:
    """Return what keeps the best weights, slows and ends the training, votes, and logs."""

    def keep(path: Path) -> None:
        training.write_checkpoint(path, {"identity": kept}, model.weights)

    chosen = [training.Best(config.out / encoder.BEST, keep), keras.callbacks.EarlyStopping(patience=config.patience)]
    if config.optimizer == "adam":
        chosen.append(keras.callbacks.ReduceLROnPlateau(patience=config.reduce_after, verbose=1))
    voters = load_voters(config.knn_train, config.knn_test, config.size, config.out, config.knn_most)
    if voters:
        chosen.append(Neighbours(encoder.compute(network, config.size), *voters, config.knn_every, config.epochs))
    return [*chosen, TensorBoard(config.out / "tensorboard")]


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
    free = ("photographs", "out", "permutation_file", "xla", "knn_train", "knn_test", "knn_every", "knn_most")
    return settings.without(config, *free) | {
        "permutation set": hashlib.sha256(permutations.tobytes()).hexdigest()[:12]
    }


if __name__ == "__main__":
    settings.run(main)
