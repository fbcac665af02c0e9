"""Step 6: several encoders through steps 1 to 3, each with several captioners, and one table that compares them.

    python 6_ablation.py --encoders untrained=untrained.keras simclr=Pre-trained/simclr_encoder.keras --labelled imagenette

Reads what steps 1 and 2 read, and encoder files; FILE.json beside FILE.keras may tell its "pretext task" and "data". Writes, into --out:
    ablation.csv, ablation.md, ablation.html   the table; in the page also plots, and photographs whose captions you can mark
    scores.png, losses.png, neighbours.png     the plots; the last with --labelled only
    NAME-FINGERPRINT/                          features and summary.json of an encoder, and a folder seed-N for each captioner
What is computed is not computed again: kill it, or add encoders or seeds, and the same command goes on.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from captioning import (
    ablation,
    agreement,
    descriptions,
    devices,
    features,
    files,
    marking,
    photographs,
    plots,
    settings,
    splits,
    steps,
)
from captioning.ablation import Study
from captioning.descriptions import Cleaning
from captioning.errors import InputError
from captioning.steps import Descriptions, Lessons
from pretext import evaluation

import keras

EXAMPLES = 12  # photographs on the page


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    encoders: tuple[str, ...] = ("encoder.keras",)  # files, or NAME=FILE; the others are compared with the first
    photographs: Path = Path("Flicker8k_Dataset")  # folder of photographs
    captions: Path = Path("Flickr8k_text/Flickr8k.token.txt")  # their captions
    train_images: Path = Path("Flickr8k_text/Flickr_8k.trainImages.txt")  # photographs to learn from
    dev_images: Path = Path("Flickr8k_text/Flickr_8k.devImages.txt")  # photographs for val_loss
    test_images: Path = Path("Flickr8k_text/Flickr_8k.devImages.txt")  # photographs to describe
    labelled: Path | None = (
        None  # folder with train/ and val/, a sub-folder for each class in both: judges the encoders
    )
    out: Path = Path("ablation")  # folder for everything that is written
    seeds: int = 3  # captioners for each encoder, with the seeds 0, 1, ...
    cleaning: Cleaning = "seed"  # seed drops one-letter words such as "a", as the original; natural keeps them
    precision: features.Precision = "float32"  # of step 1; bfloat16 is quicker on processors with instructions for it
    epochs: int = 20  # times that each description is seen, at most
    batch_size: int = 128  # descriptions per step
    learning_rate: float = 0.003  # Adam's
    patience: int | None = 3  # stop after this many epochs without a lower val_loss
    beam: int = 1  # captions under way for each photograph


class Data(NamedTuple):
    """The same for every encoder: photographs by id, the descriptions of each split, and test captions as people wrote them."""

    paths: dict[str, Path]
    train: Descriptions
    dev: Descriptions
    test: Descriptions
    references: Descriptions


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    if config.seeds < 1:
        raise InputError(f"expected --seeds of at least 1, found {config.seeds}")
    devices.prepare()
    encoders, data = ablation.named(config.encoders), read(config)
    compare([study(name, path, data, config) for name, path in encoders.items()], data, config)


def read(config: Settings) -> Data:
    captions, cleaned = descriptions.read(config.captions), config.out / "descriptions.txt"
    steps.write_descriptions(cleaned, captions, config.cleaning)
    described, lists = files.read_descriptions(cleaned), (config.train_images, config.dev_images, config.test_images)
    train, dev, test = (agreement.described(described, splits.read(path), path) for path in lists)
    paths = photographs.by_id(photographs.list_photographs(config.photographs))
    return Data(paths, train, dev, test, agreement.pick(captions, test, "caption", config.captions))


def study(name: str, path: Path, data: Data, config: Settings) -> Study:
    """Do what is not yet done of an encoder: its features, and its captioners with their captions and scores."""
    folder = extract(name, path, data, config)
    lists = config.train_images, config.dev_images
    lessons = steps.read_lessons(folder / "features.pkl", config.out / "descriptions.txt", *lists)
    runs = tuple(folder / f"seed-{seed}" for seed in range(config.seeds))
    for seed, run in enumerate(runs):
        learn(lessons, run, seed, data, config)
    return Study(name, folder, runs)


def extract(name: str, path: Path, data: Data, config: Settings) -> Path:
    """Return the encoder's folder, with its features and what it is."""
    encoder = files.read_encoder(path)
    fingerprint = files.fingerprint(encoder)
    folder = ablation.folder_of(config.out, name, fingerprint)
    stored, images = folder / "features.pkl", {*data.train, *data.dev, *data.test}
    if not ablation.has_features(stored, images, encoder=fingerprint, precision=config.precision):
        with ablation.timed(folder):
            steps.write_features(
                stored, encoder, list(data.paths.values()), config.cleaning, precision=config.precision
            )
    files.write_json(folder / "encoder.json", ablation.describe(path, encoder) | judge(encoder, folder, config))
    keras.backend.clear_session()
    return folder


def judge(encoder: keras.Model, folder: Path, config: Settings) -> dict[str, str | float]:
    """Return what the encoder's features know of classes, if there are labelled photographs."""
    if config.labelled is None:
        return {}
    stored, labelled = folder / "evaluation.json", str(config.labelled)
    if not stored.exists() or files.read_json(stored)["labelled"] != labelled:
        parts = evaluation.load_parts(config.labelled / "train", config.labelled / "val", encoder, config.out / "cache")
        found = evaluation.judge(folder.name, encoder, *parts)
        known = {"labelled": labelled, "kNN top-1": found.neighbours, "linear top-1": found.linear}
        files.write_json(stored, known)
    return files.read_json(stored)


def learn(lessons: Lessons, run: Path, seed: int, data: Data, config: Settings) -> None:
    """Train a captioner, caption the test photographs and score the captions, unless that is done."""
    names = ("epochs", "batch_size", "learning_rate", "patience")
    training = {"seed": seed, **{name: getattr(config, name) for name in names}}
    learned = lessons.train.fingerprint(), lessons.dev.fingerprint()
    recipe = training | {"beam": config.beam, "data": ablation.digest(*learned, data.test, data.references)}
    if ablation.is_finished(run, recipe):
        print(f"{run} is finished")
        return
    print(f"\n{run}", flush=True)
    stored, cleaned = run.with_name("features.pkl"), config.out / "descriptions.txt"
    known = {"split": splits.describe(config.test_images), "beam": config.beam, "recipe": recipe}
    with ablation.timed(run):
        losses = steps.train(lessons, run, **training)
        captions, unfinished = steps.describe(run, stored, data.train, data.test, cleaned, config.beam)
        steps.score(run, captions, unfinished, data.train, data.test, data.references, val_loss=min(losses), **known)
    keras.backend.clear_session()


def compare(studies: Sequence[Study], data: Data, config: Settings) -> None:
    """Write the table in its three forms, the plots, and photographs with every encoder's caption."""
    summaries = ablation.summarise(studies, data.train, data.test, data.references)
    beside = files.read_json(studies[0].runs[0] / "scores.json")
    table, notes = ablation.table(summaries, beside), ablation.notes(beside, config.seeds)
    files.write_text(config.out / "ablation.csv", ablation.as_csv(table))
    files.write_text(config.out / "ablation.md", ablation.as_markdown(table, notes))
    pictures = plots.draw(config.out, studies, summaries, beside)
    examples = random.Random(0).sample(sorted(data.test), min(EXAMPLES, len(data.test)))
    captions = {study.name: files.read_captions(study.runs[0] / "captions.json") for study in studies}
    shown = {data.paths[image]: {name: given[image] for name, given in captions.items()} for image in examples}
    marking.write(config.out / "ablation.html", table, notes, pictures, shown)
    print(f"\n{ablation.as_markdown(table, notes)}")
    print(
        f"wrote {config.out / 'ablation'}.csv, .md and .html: {len(studies)} encoders, {config.seeds} captioners each"
    )


if __name__ == "__main__":
    settings.run(main)
