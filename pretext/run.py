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
from core.workers import Worker
from encoders import decoded
from encoders.encoder_file import encoder, write
from encoders.fast import for_training
from encoders.networks.resnet import Stem, resnet
from pretext.optimizers import Optimizer, optimizer
from pretext.views import Smallest
from pretext.watch import Neighbours, TensorBoard, load_voters

# Settings that change no loss. A run goes on when they have changed.
FREE = ("photographs", "only", "out", "encoder_size", "xla", "permutation_file", "teacher")
FREE += ("knn_train", "knn_test", "knn_every", "knn_most")


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
    """Labelled photographs (a sub-folder for each class) whose features vote."""
    knn_test: Path | None = None
    """Labelled photographs that are voted on."""
    knn_every: settings.Count = 5
    """Epochs from one vote to the next."""
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
    smallest_crop: Smallest = 0.2
    """The smallest share of the area in a crop. The paper's .08 is for long training."""


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
        :param compute: photographs of `size` pixels -> features; judged by nearest neighbours where there are labelled photographs.
        :param identity: what must not change when the run goes on.
        """
        config = self.config
        voters = load_voters(config.knn_train, config.knn_test, size, config.out, config.knn_most)
        votes = [Neighbours(compute, *voters, config.knn_every, config.epochs)] if voters else []
        return training.fit(
            model,
            decoded.batches(pixels, config.batch_size, config.seed, example, self.worker),
            steps=len(pixels) // config.batch_size,
            epochs=config.epochs,
            seed=config.seed,
            folder=config.out,
            identity=identity,
            validation=validation,
            callbacks=[*callbacks, *votes, TensorBoard(config.out / "tensorboard")],
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
    return settings.without(config, *FREE)


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
