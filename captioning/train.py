"""Step 2 as functions: read what a captioner is trained on, and train it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from captioning import batches, captioner_file, checks
from captioning.captions import read_descriptions
from captioning.models import merge
from captioning.tokenizer import Tokenizer, wrap
from core import devices, machine, training
from core.errors import InputError
from encoders import features_file

NAME = "model-ep{epoch:03d}-loss{loss:.3f}-val_loss{val_loss:.3f}.keras"
SQUARED_LENGTH = 32  # of a standardised feature, on average; the longer, the further each update of Adam goes


class TrainingData(NamedTuple):
    """What a captioner is trained on: the tokenizer of the train descriptions, the captions of train and dev, and the origin of the features."""

    tokenizer: Tokenizer
    train: batches.Captions
    dev: batches.Captions
    origin: dict[str, Any] | None

    def fingerprints(self) -> dict[str, str | None]:
        """Return digests of all this, by name."""
        parts = {"train data": self.train, "dev data": self.dev, "vocabulary": self.tokenizer}
        encoder = (self.origin or {}).get("encoder")
        return {name: part.fingerprint() for name, part in parts.items()} | {"encoder": encoder}


@dataclass(frozen=True)
class Recipe:
    """How a captioner is trained. A run goes on only with the same recipe; more epochs may be added."""

    epochs: int
    batch_size: int  # descriptions an update
    learning_rate: float  # Adam's
    epsilon: float  # Adam's
    average: bool  # validate and write the moving average of the weights over about an epoch, instead of the weights
    patience: int | None  # stop after so many epochs without a lower val_loss
    reduce_after: int | None  # divide the learning rate by 10 after so many epochs without a lower val_loss
    # Learn from features with mean 0, one standard deviation for each number, and a mean squared length of
    # `SQUARED_LENGTH` over the train photographs. The captioner that is written takes raw features all the same.
    standardise: bool

    def identity(self) -> dict[str, Any]:
        """Return what must not change when a run goes on."""
        return {name.replace("_", " "): value for name, value in asdict(self).items() if name != "epochs"}


class Trained(NamedTuple):
    """The captioner with the lowest val_loss, and the val_loss of each epoch, no more of them than were asked for."""

    captioner: Path
    losses: list[float]


def read_data(features: Path, descriptions: Path, train_images: Path, dev_images: Path) -> TrainingData:
    """Read what a captioner is trained on.

    :raises InputError: a file is missing or damaged, or a photograph of the lists has no feature.
    """
    described, extracted = read_descriptions(descriptions), features_file.read(features)
    train, dev = (checks.described(described, path) for path in (train_images, dev_images))
    checks.check_apart(train, dev, dev_images)
    tokenizer = Tokenizer.fit(wrap(text) for texts in train.values() for text in texts)
    for part in (train, dev):
        checks.pick(extracted, part, "feature", features)
    found = batches.gather(train, extracted, tokenizer), batches.gather(dev, extracted, tokenizer)
    print(
        f"vocabulary {tokenizer.vocabulary_size:,}, next words {found[0].next_words:,} (train) and {found[1].next_words:,} (dev)"
    )
    return TrainingData(tokenizer, *found, features_file.read_origin(features))


def train(data: TrainingData, folder: Path, recipe: Recipe, seed: int) -> Trained:
    """Train a captioner into the folder, going on after the last finished epoch. The same seed gives the same captioner.

    Writes `NAME` after each epoch whose val_loss is the lowest so far, and what `training.fit` writes.

    :raises InputError: as `training.fit`.
    """
    seen, dev, on_raw = _standardised(data) if recipe.standardise else (data.train, data.dev, lambda model: model)
    keras.utils.set_random_seed(seed)
    model = merge.build(seen.features.shape[1:], data.tokenizer.vocabulary_size)
    machine.warn(folder, *needs(model, recipe.epochs))

    def write(path: Path) -> None:
        captioner_file.write(path, on_raw(model), data.tokenizer, data.origin)

    updates = seen.steps(recipe.batch_size)
    history = training.fit(
        compiled_trainer(model, recipe.learning_rate, recipe.epsilon, updates if recipe.average else None),
        seen.shuffled(recipe.batch_size, seed),
        steps=updates,
        epochs=recipe.epochs,
        seed=seed,
        folder=folder,
        identity=data.fingerprints() | recipe.identity() | {"precision": keras.config.dtype_policy().name},
        validation=dev.ordered(recipe.batch_size),
        callbacks=_callbacks(training.Best(folder / NAME, write), recipe),
    )
    return _best(folder, {name: values[: recipe.epochs] for name, values in history.items()})


def _standardised(
    data: TrainingData,
) -> tuple[batches.Captions, batches.Captions, Callable[[keras.Model], keras.Model]]:
    """Return the standardised train and dev captions, and what makes a captioner of such features take them as they are."""
    mean, deviation = data.train.features.mean(axis=0), data.train.features.std(axis=0)  # (D,) each
    # For numbers that hardly vary in train, such as a dead unit's. Their own would make those of dev huge.
    usual = deviation.mean()
    scale = (np.where(deviation < usual / 100, usual, deviation) + 1e-6) * np.sqrt(len(mean) / SQUARED_LENGTH)
    train, dev = (part.standardised(mean, scale) for part in (data.train, data.dev))
    return train, dev, lambda model: merge.on_raw_features(model, mean, scale)


def compiled_trainer(model: keras.Model, learning_rate: float, epsilon: float, averaged: int | None) -> keras.Model:
    """Return a captioner's compiled trainer, whose optimizer averages the weights over about so many steps."""
    built = merge.trainer(model)
    average = {"use_ema": True, "ema_momentum": 1 - 1 / averaged} if averaged else {}
    optimizer = Adam(learning_rate, epsilon=epsilon, **average)
    # The rest without XLA: each batch has another shape, and it would compile for each.
    built.compile(optimizer, jit_compile=False)
    return built


def _best(folder: Path, history: training.History) -> Trained:
    losses = history.get("val_loss")
    if not losses:
        raise InputError(
            f"expected the val_loss of each epoch in {folder / training.CHECKPOINT}, found none; train in another folder"
        )
    best = losses.index(min(losses))
    logs = {name: values[best] for name, values in history.items()}
    path = folder / NAME.format(epoch=best + 1, **logs)
    if not path.exists():
        raise InputError(
            f"expected the captioner of the best epoch at {path}, found nothing: put it back, or delete {folder / training.CHECKPOINT} "
            "and the models beside it to train from the start"
        )
    return Trained(path, losses)


def _callbacks(best: training.Best, recipe: Recipe) -> list[keras.callbacks.Callback]:
    callbacks = [training.Average(), best] if recipe.average else [best]
    if recipe.reduce_after is not None:
        callbacks.append(keras.callbacks.ReduceLROnPlateau(patience=recipe.reduce_after, verbose=1))
    if recipe.patience is not None:
        callbacks.append(keras.callbacks.EarlyStopping(patience=recipe.patience, verbose=1))
    return callbacks


class Adam(keras.optimizers.Adam):
    """Keras' own, its step compiled on processors: once over memory, not once for each operation on millions of weights.

    A word that a batch has twice counts with the sum of its gradients, as in Keras 2; Keras 3 squares each by itself.
    """

    def apply(
        self, grads: Sequence[tf.Tensor | tf.IndexedSlices], trainable_variables: Sequence[keras.Variable]
    ) -> None:
        @tf.function(autograph=False, jit_compile=not devices.has_gpu())
        def step(*grads: tf.Tensor) -> None:
            super(Adam, self).apply(grads, trainable_variables)

        step(*map(tf.convert_to_tensor, grads))  # XLA does not know IndexedSlices


def needs(captioner: keras.Model, epochs: int) -> tuple[float, float]:
    """Estimate the bytes of disk and of memory that step 2 takes at most.

    On disk a captioner for each epoch and, twice for a moment, the checkpoint of the weights, of their average and of Adam's two. The memory
    is the 1 GB measured on Flickr8k.
    """
    return 4 * captioner.count_params() * (epochs + 2 * 4), 1e9
