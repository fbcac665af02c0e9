"""Steps 1 to 3 as functions of plain values: a numbered script calls them once, the ablation for every encoder and seed."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from captioning import agreement, batches, captioner, decoding, features, files, machine, report, splits, training
from captioning.descriptions import Captions, Cleaning, clean
from captioning.errors import InputError
from captioning.tokenizer import Tokenizer, wrap

import keras
import numpy as np

NAME = "model-ep{epoch:03d}-loss{loss:.3f}-val_loss{val_loss:.3f}.keras"
SQUARED_LENGTH = 32  # of a standardised feature, on average; the longer, the further each step of Adam goes

Descriptions = dict[str, list[str]]


class Lessons(NamedTuple):
    """What a captioner is trained on: the train descriptions' tokenizer, the captions to learn from and to judge by, the features' origin."""

    tokenizer: Tokenizer
    train: batches.Captions
    dev: batches.Captions
    origin: dict[str, Any] | None

    def fingerprints(self) -> dict[str, str | None]:
        """Return digests of all this, by name."""
        parts = {"train data": self.train, "dev data": self.dev, "vocabulary": self.tokenizer}
        encoder = (self.origin or {}).get("encoder")
        return {name: part.fingerprint() for name, part in parts.items()} | {"encoder": encoder}


class Trained(NamedTuple):
    """The captioner with the lowest val_loss, and the val_loss of each epoch, no more of them than were asked for."""

    captioner: Path
    losses: list[float]


# Step 1 --------------------------------------------------------------------------------------------------------------


def write_descriptions(path: Path, captions: Captions, cleaning: Cleaning) -> None:
    """Clean the captions, write them as descriptions, and say how many there are.

    :raises InputError: the name of a captioned photograph has a space, or none at all: descriptions.txt could not tell it from the words.
    """
    if unfit := [image for image in captions if image.split() != [image]]:
        raise InputError(f"expected names of photographs without spaces among the captions, found {len(unfit)} others, such as "
                         f"{unfit[0]!r}: rename the photographs, there and in their folder")  # fmt: skip
    cleaned = {image: [clean(text, cleaning) for text in texts] for image, texts in captions.items()}
    files.write_descriptions(path, cleaned)
    texts = [text for texts in cleaned.values() for text in texts]
    words = {word for text in texts for word in text.split()}
    print(f"wrote {path}: {len(texts):,} descriptions of {len(cleaned):,} images, {len(words):,} different words")


def write_features(
    path: Path,
    encoder: keras.Model,
    paths: Sequence[Path],
    cleaning: Cleaning,
    batch_size: int = 32,
    precision: features.Precision = "float32",
) -> None:
    """Write the photographs' features with their origin beside them, and skipped.txt, going on where an earlier call was killed.

    :raises InputError: as `features.extract`.
    """
    precision = features.settle(precision)
    machine.warn(path.parent, *features.needs(encoder, len(paths), batch_size))
    partial, fingerprint = path.with_suffix(".partial"), files.fingerprint(encoder)
    extracted, skipped = features.extract_resumably(encoder, paths, partial, fingerprint, batch_size, precision)
    (_, height, width, _), (_, dimension) = encoder.input_shape, encoder.output_shape
    shape = {"height": height, "width": width, "dimension": dimension}
    files.write_features(path, extracted)
    files.write_origin(path, {"encoder": fingerprint, **shape, "precision": precision, "cleaning": cleaning})
    list_skipped(path.with_name(f"{path.stem.replace('features', 'skipped')}.txt"), skipped)
    partial.unlink()
    print(f"wrote {path}: {len(extracted):,} photographs x {dimension}")


def list_skipped(path: Path, skipped: Mapping[str, str]) -> None:
    """Write the names of undecodable files with the reasons, or remove an earlier list where there are none."""
    if not skipped:
        path.unlink(missing_ok=True)
        return
    files.write_text(path, "".join(f"{name}\t{reason}\n" for name, reason in skipped.items()))
    print(f"skipped {len(skipped):,} files that cannot be decoded: {path} says why")


# Step 2 --------------------------------------------------------------------------------------------------------------


def read_lessons(features: Path, descriptions: Path, train_images: Path, dev_images: Path) -> Lessons:
    """Read what a captioner is trained on.

    :raises InputError: a file is missing or damaged, or a photograph of the lists has no feature.
    """
    described, extracted = files.read_descriptions(descriptions), files.read_features(features)
    train, dev = (agreement.described(described, splits.read(path), path) for path in (train_images, dev_images))
    agreement.check_apart(train, dev, dev_images)
    tokenizer = Tokenizer.fit(wrap(text) for texts in train.values() for text in texts)
    for part in (train, dev):
        agreement.pick(extracted, part, "feature", features)
    found = batches.gather(train, extracted, tokenizer), batches.gather(dev, extracted, tokenizer)
    print(
        f"vocabulary {tokenizer.vocabulary_size:,}, next words {found[0].next_words:,} (train) and {found[1].next_words:,} (dev)"
    )
    return Lessons(tokenizer, *found, files.read_origin(features))


def train(
    lessons: Lessons,
    folder: Path,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    epsilon: float,
    average: bool,
    seed: int,
    patience: int | None = None,
    reduce_after: int | None = None,
    standardise: bool = False,
) -> Trained:
    """Train a captioner into the folder, going on after the last finished epoch.

    Writes `NAME` after each epoch whose val_loss is the lowest so far, and what `training.fit` writes. The same seed gives the same captioner.

    :param epsilon: Adam's.
    :param average: what val_loss judges and is written is the exponential moving average of the weights, over about an epoch.
    :param patience: stop after so many epochs without a lower val_loss.
    :param reduce_after: divide the learning rate by 10 after so many epochs without a lower val_loss.
    :param standardise: learn from features that over the train photographs have mean 0, one deviation for each number, and a mean squared
        length of `SQUARED_LENGTH`; the captioner that is written takes them as they are all the same.
    :raises InputError: as `training.fit`.
    """
    seen, dev, on_raw = _standardised(lessons) if standardise else (lessons.train, lessons.dev, lambda model: model)
    keras.utils.set_random_seed(seed)
    model = captioner.build(seen.features.shape[1], lessons.tokenizer.vocabulary_size)
    machine.warn(folder, *captioner.needs(model, epochs))

    def write(path: Path) -> None:
        files.write_captioner(path, on_raw(model), lessons.tokenizer, lessons.origin)

    kept = {"batch size": batch_size, "learning rate": learning_rate, "epsilon": epsilon, "average": average,
            "patience": patience, "reduce after": reduce_after, "standardise": standardise}  # fmt: skip
    steps = seen.steps(batch_size)
    history = training.fit(
        trainer(model, learning_rate, epsilon, steps if average else None),
        seen.shuffled(batch_size, seed),
        steps=steps,
        epochs=epochs,
        seed=seed,
        folder=folder,
        identity={**lessons.fingerprints(), **kept, "precision": keras.config.dtype_policy().name},
        validation=dev.ordered(batch_size),
        callbacks=_callbacks(training.Best(folder / NAME, write), average, patience, reduce_after),
    )
    return _best(folder, {name: values[:epochs] for name, values in history.items()})


def _standardised(lessons: Lessons) -> tuple[batches.Captions, batches.Captions, Callable[[keras.Model], keras.Model]]:
    """Return the standardised train and dev captions, and what makes a captioner of such features take them as they are."""
    mean, deviation = lessons.train.features.mean(axis=0), lessons.train.features.std(axis=0)  # (D,) each
    usual = deviation.mean()  # for numbers that hardly vary in train, as a dead unit's: their own would blow dev's up
    scale = (np.where(deviation < usual / 100, usual, deviation) + 1e-6) * np.sqrt(len(mean) / SQUARED_LENGTH)
    train, dev = (part.standardised(mean, scale) for part in (lessons.train, lessons.dev))
    return train, dev, lambda model: captioner.on_raw_features(model, mean, scale)


def trainer(model: keras.Model, learning_rate: float, epsilon: float, averaged: int | None) -> keras.Model:
    """Return a captioner's compiled trainer, whose optimizer averages the weights over about so many steps."""
    built = captioner.build_trainer(model)
    average = {"use_ema": True, "ema_momentum": 1 - 1 / averaged} if averaged else {}
    optimizer = captioner.Adam(learning_rate, epsilon=epsilon, **average)
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


def _callbacks(
    best: training.Best, average: bool, patience: int | None, reduce_after: int | None
) -> list[keras.callbacks.Callback]:
    callbacks = [training.Average(), best] if average else [best]
    if reduce_after is not None:
        callbacks.append(keras.callbacks.ReduceLROnPlateau(patience=reduce_after, verbose=1))
    if patience is not None:
        callbacks.append(keras.callbacks.EarlyStopping(patience=patience, verbose=1))
    return callbacks


# Step 3 --------------------------------------------------------------------------------------------------------------


def describe(
    model: Path, features: Path, train: Descriptions, test: Descriptions, source: Path, beam: int
) -> tuple[dict[str, str], set[str]]:
    """Return a captioner's captions of the test photographs, and the ids of those without an end.

    :param model: a captioner's file, or a folder whose captioner with the lowest val_loss is taken.
    :param source: the file that the train descriptions were read from.
    :raises InputError: the captioner, the features and the descriptions do not belong together.
    """
    captioner = files.read_captioner(model)
    picked = agreement.pick(files.read_features(features), test, "feature", features)
    stacked = np.concatenate(list(picked.values()))
    agreement.check_features(captioner, stacked.shape[1], files.read_origin(features), features)
    fitted = Tokenizer.fit(wrap(text) for texts in train.values() for text in texts)
    tokenizer = agreement.check_vocabulary(captioner, fitted, source)
    found = dict(zip(picked, decoding.caption(captioner.model, stacked, tokenizer, beam), strict=True))
    captions = {image: caption.text for image, caption in found.items()}
    return captions, {image for image, caption in found.items() if not caption.finished}


def score(
    folder: Path,
    captions: Mapping[str, str],
    unfinished: Collection[str],
    train: Descriptions,
    test: Descriptions,
    references: Descriptions | None,
    **known: Any,
) -> None:
    """Score the captions, print the table and its remarks, and write captions.json and, last, scores.json into the folder.

    :param known: what scores.json also says, `split` among it.
    """
    scores = {**known, **report.make(captions, test, train, references, unfinished)}
    print(f"\n{len(captions):,} photographs of the split {scores['split']}\n\n{report.table(scores)}\n")
    print("\n".join(report.remarks(scores)))
    files.write_captions(folder / "captions.json", captions)
    files.write_json(folder / "scores.json", scores)
    print(f"wrote {folder / 'captions.json'}: {len(captions):,} captions")
    print(f"wrote {folder / 'scores.json'}: {len(scores['protocols'])} protocols")
