"""Step 2 as functions: read what a captioner is trained on, and train it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import keras

from captioning import batches, captioner_file, checks
from captioning.captions import Captions, read_descriptions
from captioning.models import merge
from captioning.tokenizer import Tokenizer, wrap
from core import devices, machine, training
from core.errors import InputError
from encoders import features_file

OPTIONAL = ("patience", "reduce_after")  # settings whose None is remembered too
NAME = "model-ep{epoch:03d}-loss{loss:.3f}-val_loss{val_loss:.3f}.keras"


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
    """How a captioner is trained. A run goes on only with the same recipe; more epochs may be added to merge's."""

    epochs: int
    batch_size: int  # descriptions an update; of a captioner with grids photographs
    learning_rate: float  # Adam's
    epsilon: float  # Adam's
    average: bool  # validate and write the moving average of the weights over about an epoch, instead of the weights
    patience: int | None  # stop after so many epochs without a lower val_loss
    reduce_after: int | None = None  # divide the learning rate by 10 after so many epochs without a lower val_loss
    # Learn from features with mean 0, one standard deviation for each number, and a mean squared length of
    # `SQUARED_LENGTH` over the train photographs. The captioner that is written takes raw features all the same.
    standardise: bool = False
    captioner: str = merge.NAME  # of `captioner_file.MODELS`
    dimensions: int | None = None  # principal components of a grid's cell

    @property
    def model(self) -> ModuleType:
        """The captioner's module."""
        return find(self.captioner)

    def identity(self) -> dict[str, Any]:
        """Return what must not change when a run goes on. A cosine of the learning rate is over all epochs."""
        fixed = {name: value for name, value in asdict(self).items() if value is not None or name in OPTIONAL}
        if self.captioner == merge.NAME:
            del fixed["captioner"], fixed["epochs"]
        return {name.replace("_", " "): value for name, value in fixed.items()}


def find(captioner: str) -> ModuleType:
    """Return the module of captioning/models with this name.

    :raises InputError: there is none.
    """
    models = {model.NAME: model for model in captioner_file.MODELS}
    if captioner not in models:
        raise InputError(f"expected --captioner {' or '.join(models)}, found {captioner}; choose one of these")
    return models[captioner]


class Trained(NamedTuple):
    """The captioner with the lowest val_loss, and the val_loss of each epoch, no more of them than were asked for."""

    captioner: Path
    losses: list[float]


def read_data(
    features: Path, descriptions: Path, train_images: Path, dev_images: Path, captioner: str = merge.NAME
) -> TrainingData:
    """Read what a captioner is trained on. One that looks gets grid.h5 beside the features, if it is there.

    :raises InputError: a file is missing or damaged, or a photograph of the lists has no feature.
    """
    model = find(captioner)
    train, dev = read_described(descriptions, train_images, dev_images)
    looks = model.BY_PHOTOGRAPH and features_file.grid_path(features).exists()
    if model.BY_PHOTOGRAPH and not looks:
        print(
            f"no grid.h5 beside {features}: the captioner looks at each feature as one cell; step 1 --grid writes grids"
        )
    extracted, origin, source = features_file.read_seen(features, grid=looks)
    texts = (wrap(text) for texts in train.values() for text in texts)
    tokenizer = Tokenizer.fit(texts, model.RECIPE["minimum_count"])
    for part in (train, dev):
        checks.check_all(extracted, part, "feature", source)
    kind = batches.ByPhotograph if model.BY_PHOTOGRAPH else batches.Captions
    found = [batches.gather(part, extracted, tokenizer, kind) for part in (train, dev)]
    print(
        f"vocabulary {tokenizer.vocabulary_size:,}, next words {found[0].next_words:,} (train) and {found[1].next_words:,} (dev)"
    )
    return TrainingData(tokenizer, *found, origin)


def read_described(descriptions: Path, train_images: Path, dev_images: Path) -> tuple[Captions, Captions]:
    """Return the descriptions of train and dev.

    :raises InputError: a file is missing, or a photograph is in both.
    """
    described = read_descriptions(descriptions)
    train, dev = (checks.described(described, path) for path in (train_images, dev_images))
    checks.check_apart(train, dev, dev_images)
    return train, dev


def train(data: TrainingData, folder: Path, recipe: Recipe, seed: int) -> Trained:
    """Train a captioner into the folder, going on after the last finished epoch. The same seed gives the same captioner.

    Writes `NAME` after each epoch whose val_loss is the lowest so far, and what `training.fit` writes.

    :raises InputError: as `training.fit`.
    """
    keras.utils.set_random_seed(seed)
    size = data.tokenizer.vocabulary_size
    strategy = devices.of_this_machine()
    with strategy.scope():
        model, seen, dev, on_raw = recipe.model.prepare(data.train, data.dev, size, recipe)
        updates = seen.steps(recipe.batch_size)
        trainer = compiled_trainer(model, recipe.model.optimizer(recipe, updates))
    machine.warn(folder, *needs(model, recipe.epochs))

    def write(path: Path) -> None:
        captioner_file.write(path, on_raw(model), data.tokenizer, data.origin)

    count = strategy.num_replicas_in_sync
    history = training.fit(
        trainer,
        seen.shuffled(recipe.batch_size, seed, count),
        steps=updates,
        epochs=recipe.epochs,
        seed=seed,
        folder=folder,
        identity=data.fingerprints() | recipe.identity() | {"precision": keras.config.dtype_policy().name},
        validation=dev.ordered(recipe.batch_size, count),
        callbacks=_callbacks(training.Best(folder / NAME, write), recipe),
        in_parts=True,
    )
    return _best(folder, {name: values[: recipe.epochs] for name, values in history.items()})


def compiled_trainer(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.Model:
    """Return a captioner's trainer, compiled."""
    built = captioner_file.design(model).trainer(model)
    # Without XLA: each batch has another shape, and it would compile for each.
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


def needs(captioner: keras.Model, epochs: int) -> tuple[float, float]:
    """Estimate the bytes of disk and of memory that step 2 takes at most.

    On disk a captioner for each epoch and, twice for a moment, the checkpoint of the weights, of their average and of Adam's two. The memory
    is the 1 GB measured on Flickr8k.
    """
    return 4 * captioner.count_params() * (epochs + 2 * 4), 1e9
