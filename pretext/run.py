"""A training run, which all methods of pre-training share: settings, folder, workers, training, and the encoder that it writes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from encoders.encoder_file import encoder, write
from encoders.fast import for_training
from encoders.networks.resnet import Stem, resnet
from pretext import views
from pretext.optimizers import Optimizer, optimizer
from pretext.watch import Alarm, Probes, TensorBoard, compute, draw_curves, draw_neighbours, draw_views, load_voters

# Settings that change no loss. A run goes on when they have changed.
FREE = ("photographs", "only", "out", "encoder_size", "xla", "permutation_file", "teacher")
FREE += ("knn_train", "knn_test", "knn_every", "knn_most")
LARGEST_ON_GPU = 8e9  # bytes of photographs


@dataclass(frozen=True)
class RunSettings:
    """The settings that every method has."""

    # Data
    photographs: tuple[Path, ...] = (Path("Flicker8k_Dataset"),)
    """Folders of photographs, searched recursively, or one HDF5 file."""
    out: Path = Path("run")
    """Folder for everything that is written."""
    seed: int = 0
    """Decides the first weights, the order of the photographs and the views."""

    # Network
    width: settings.Count = 64
    """Channels of the ResNet's first stage."""
    stem: Stem = "small"
    """How a ResNet begins. imagenet: 7x7/2 and max-pool. small: 3x3/2 and max-pool, for 64 pixels. cifar: 3x3, for 32."""

    # Training
    epochs: settings.Count = 100
    """Passes over the photographs."""
    batch_size: settings.Count = 256
    """Photographs in a batch, on all devices together."""
    optimizer: Optimizer = "sgd"
    """sgd has momentum .9. lars is for batches of thousands."""
    learning_rate: settings.Positive = 0.12
    """The highest learning rate, for 256 photographs a batch; it is scaled by batch_size / 256. lars: .3. adamw: .001."""
    weight_decay: float = 1e-3
    """Weight decay per update, times the learning rate. lars: 1e-6. Biases and batch normalisation have none."""
    warm_up: float = 1.0
    """Epochs of linear warm-up before the cosine."""

    # Speed
    precision: devices.Policy = "float32"
    """Use mixed_bfloat16 where the processor or GPU has it."""
    xla: bool = False
    """Compile the update with XLA. On processors it is slower."""
    winograd: bool = True
    """Convolutions arranged for processors, twice as fast in float32. Ignored on GPUs."""

    # Watching
    knn_train: Path | None = None
    """Labelled photographs (a sub-folder for each class), from which nearest neighbours and a linear probe predict."""
    knn_test: Path | None = None
    """Labelled photographs that are predicted."""
    knn_every: settings.Count = 5
    """Epochs from one measurement of kNN, linear probe and effective rank to the next."""
    knn_most: settings.Count = 250
    """Photographs of each class that take part, the first by name."""


@dataclass(frozen=True)
class ResNetSettings(RunSettings):
    """The settings of methods that train a ResNet on crops of photographs."""

    depth: Literal[18, 34, 50] = 18
    """Layers of the ResNet."""
    size: settings.Count = 64
    """Height and width of a crop, in pixels. Time grows with its square."""
    stored: settings.Count = 96
    """Height and width in which photographs are kept; crops are cut from these."""
    encoder_size: settings.Count = 96
    """Height and width that encoder.keras takes. It is larger than a crop, since crops are enlarged."""
    smallest_crop: views.Smallest = 0.2
    """The smallest share of the area in a crop. The paper's .08 is for long training."""


@dataclass(frozen=True)
class ViewSettings(ResNetSettings):
    """The settings of methods that compare two views of each photograph."""

    # Data
    only: tuple[Path, ...] = ()
    """Files that name the photographs to take. Without one, all are taken."""

    # Views
    strength: float = 0.5
    """Strength of the colour jitter. SimCLR's paper has 1 for ImageNet."""
    blur: settings.Share = 0.5
    """Probability of a Gaussian blur."""
    solarize: settings.Share = 0.0
    """Probability that the second view is solarized."""


class Run:
    """A run that has begun: its settings, with this worker's folder, and what it does with a method's network and model."""

    def __init__(self, config: RunSettings, worker: Worker, strategy: tf.distribute.Strategy) -> None:
        self.config, self.worker, self.strategy = config, worker, strategy

    def build(self, pixels: np.ndarray, build: Callable[[int], Any]) -> Any:
        """Return what `build` makes of the number of updates an epoch, within the strategy's scope."""
        updates = decoded.steps(pixels, self.config.batch_size)
        with workers.short_errors(), self.strategy.scope():
            return build(updates)

    def fit(
        self,
        model: keras.Model,
        pixels: np.ndarray,
        example: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Any],
        compute: Callable[[np.ndarray], np.ndarray],
        *,
        size: int,
        identity: dict[str, Any],
        callbacks: Sequence[keras.callbacks.Callback] = (),
        validation: tf.data.Dataset | None = None,
    ) -> training.History:
        """Train the model, going on where an earlier run stopped, and return the history of all epochs.

        :param example: photographs uint8 (B, H, W, 3), their indices (B,) and a seed -> what the model is trained on.
        :param compute: photographs of `size` pixels -> features; judged by `Probes`.
        :param identity: what must not change when the run goes on.
        """
        config = self.config
        voters = load_voters(config.knn_train, config.knn_test, size, config.out, config.knn_most)
        probes = Probes(compute, pixels, voters, config.knn_every, config.epochs)
        return training.fit(
            model,
            decoded.batches(pixels, config.batch_size, config.seed, example, self.worker),
            steps=len(pixels) // config.batch_size,
            epochs=config.epochs,
            seed=config.seed,
            folder=config.out,
            identity=identity,
            validation=validation,
            callbacks=[*callbacks, probes, TensorBoard(config.out / "tensorboard")],
        )

    def export(self, network: keras.Model, trained: keras.Model) -> None:
        """Write encoder.keras: the network with the weights of its trained copy."""
        network.set_weights(trained.get_weights())
        size = self.config.encoder_size
        write(self.config.out / "encoder.keras", encoder(network, size, size), network.name)


@contextmanager
def started(config: RunSettings) -> Iterator[Run]:
    """Prepare devices, workers, the folder and its lock for a run; the lock is kept until the last file is written."""
    devices.prepare(config.precision)
    worker, strategy = workers.worker(), devices.strategy(config.batch_size)
    config = replace(config, out=worker.folder(config.out))
    with disk.locked(config.out, ".run.lock"):  # `fit` has a lock of its own
        keras.utils.set_random_seed(config.seed)
        yield Run(config, worker, strategy)


def identity(config: RunSettings) -> dict[str, Any]:
    """Return the settings that decide the losses, and so must not change when a run goes on."""
    plain = isinstance(config, ViewSettings) and not config.solarize  # as in runs from before there was this setting
    return settings.without(config, *FREE, *["solarize"] * plain)


def networks(config: ResNetSettings) -> tuple[keras.Model, keras.Model]:
    """Return an untrained ResNet, and the copy of it to train: the same, or arranged for processors."""
    network = resnet(config.depth, config.stem, config.width, synchronized=devices.replicas() > 1)
    return network, for_training(network, config.winograd)


def compile_model(model: keras.Model, config: RunSettings, updates: int, peak: float, **options: Any) -> None:
    """Compile a model with the optimizer of the settings.

    :param updates: updates an epoch.
    :param peak: the highest learning rate.
    :param options: of `Model.compile`.
    """
    chosen = optimizer(
        config.optimizer,
        model.trainable_variables,
        peak=peak,
        steps=config.epochs * updates,
        warm_up=round(config.warm_up * updates),
        decay=config.weight_decay,
    )
    model.compile(chosen, jit_compile=config.xla, **options)


def train_views(config: ViewSettings, method: Callable[[Any, keras.Model, int], keras.Model]) -> None:
    """Train a method that compares two views of each photograph, and write its encoder, logs and pictures.

    :param method: settings, network and updates an epoch -> the method around the network, a `Siamese`.
    :raises InputError: a batch has one photograph, which has no other to differ from.
    """
    if config.batch_size == 1:
        raise InputError("expected at least 2 photographs in a batch, found --batch-size 1; give 64 or more")
    with started(config) as going:
        config = going.config
        pixels = decoded.load(config.photographs, (config.stored,) * 2, config.out, config.only)
        network, model = going.build(pixels, lambda updates: build_views(config, method, updates))
        features = compute(model.network, config.encoder_size)
        recipe = recipe_of(config, going.worker)

        def example(rows: tf.Tensor, indices: tf.Tensor, seed: tf.Tensor) -> Any:
            return (indices, seed) if model.draw else views.two_views(rows, recipe, seed)

        if fits_on_gpu(pixels):
            model.draw = drawer(pixels, recipe)

        def show(_: dict | None) -> None:  # only after the checkpoint's settings have been compared
            draw_views(config.out / "views.png", pixels, recipe, config.seed)

        history = going.fit(
            model,
            pixels,
            example,
            features,
            size=config.encoder_size,
            identity=identity(config),
            callbacks=[Alarm(), keras.callbacks.LambdaCallback(on_train_begin=show)],
        )
        if going.worker.number:  # the main worker writes the results
            return
        going.export(network, model.network)
        draw_curves(config.out / "curves.png", history, ("loss",), ("accuracy", "spread"))
        draw_neighbours(config.out / "neighbours.png", features, pixels)


def fits_on_gpu(pixels: np.ndarray) -> bool:
    """Tell whether photographs can lie in the memory of the one GPU that trains."""
    return devices.has_gpu() and devices.replicas() == 1 and pixels.nbytes < LARGEST_ON_GPU


def drawer(pixels: np.ndarray, recipe: views.Recipe) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the function from indices (B,) and a seed to the views of these photographs, which lie in the device's memory."""
    photographs = tf.constant(pixels)
    return lambda indices, seed: views.two_views(tf.gather(photographs, indices), recipe, seed)


def build_views(
    config: ViewSettings, method: Callable[[Any, keras.Model, int], keras.Model], updates: int
) -> tuple[keras.Model, keras.Model]:
    """Return the encoder's network, and the method around it or around its fast copy, compiled for so many updates an epoch."""
    network, fast = networks(config)
    model = method(config, fast, updates)
    compile_model(model, config, updates, peak=config.learning_rate * config.batch_size / 256)
    return network, model


def recipe_of(config: ViewSettings, worker: Worker = ALONE) -> views.Recipe:
    """Return how views are drawn."""
    return views.Recipe(
        config.size,
        config.smallest_crop,
        config.strength,
        blur=config.blur,
        solarize=config.solarize,
        worker=worker,
    )
