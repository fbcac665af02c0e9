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
from typing import Any

from captioning.ablation import comparison, plots, study
from captioning.ablation.study import Data, Study
from captioning.captions import Cleaning, read_results
from captioning.pages import ablation_page
from captioning.splits import describe
from captioning.train import read_data
from core import devices, disk, keras_files, settings
from encoders import encoder_file, evaluate, extract

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
    seeds: settings.Count = 3  # captioners for each encoder, with the seeds 0, 1, ...
    cleaning: Cleaning = "seed"  # seed drops one-letter words such as "a", as the original; natural keeps them
    precision: extract.Precision = "float32"  # of step 1; bfloat16 is used where it is faster
    epochs: settings.Count = 20  # times that each description is seen, at most
    batch_size: settings.Count = 128  # descriptions per step
    learning_rate: settings.Positive = 0.006  # Adam's
    epsilon: settings.Positive = 3e-5  # Adam's; the larger, the less rare words move: for few descriptions 1e-7
    average: bool = (
        True  # judge and write the weights' moving average over about an epoch: better from the fourth epoch on
    )
    standardise: bool = True  # features to mean 0, equal deviations and one length first: no encoder gains by its scale
    patience: settings.Count | None = 3  # stop after this many epochs without a lower val_loss
    beam: settings.Count = 1  # captions under way for each photograph


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    encoders, lists = study.named(config.encoders), (config.train_images, config.dev_images, config.test_images)
    for path in encoders.values():
        encoder_file.read(path)  # so that hours of work on one do not come before a mistake in the next
    with disk.locked(config.out):
        data = study.read(config.captions, config.photographs, lists, config.out, config.cleaning)
        compare([carry_out(name, path, data, config) for name, path in encoders.items()], data, config)


def carry_out(name: str, path: Path, data: Data, config: Settings) -> Study:
    """Do what is not yet done of an encoder: its features, and its captioners with their captions and scores."""
    encoder = encoder_file.read(path)
    folder = study.folder_of(config.out, name, keras_files.fingerprint(encoder))
    stored, split = folder / "features.pkl", describe(config.test_images)
    disk.write_json(folder / "encoder.json", study.describe(path, encoder) | judge(encoder, folder, config))
    study.extract(stored, encoder, data, config.cleaning, config.precision)
    training_data = read_data(stored, data.descriptions, config.train_images, config.dev_images)
    names = ("epochs", "batch_size", "learning_rate", "epsilon", "average", "standardise", "patience")
    training = {name: getattr(config, name) for name in names}
    runs = tuple(folder / f"seed-{seed}" for seed in range(config.seeds))
    for seed, run in enumerate(runs):
        study.learn(training_data, run, data, split, config.beam, seed=seed, **training)
    return Study(name, folder, runs)


def judge(encoder: Any, folder: Path, config: Settings) -> dict[str, str | float]:
    """Return what the encoder's features know of classes, if there are labelled photographs."""
    if config.labelled is None:
        return {}
    stored, labelled = folder / "evaluation.json", study.stamp(sorted(config.labelled.rglob("*")))
    if not stored.exists() or disk.read_json(stored)["labelled"] != labelled:
        parts = evaluate.load_parts(config.labelled / "train", config.labelled / "val", encoder, config.out / "cache")
        found = evaluate.judge(folder.name, encoder, *parts)
        known = {"labelled": labelled, "kNN top-1": found.neighbours, "linear top-1": found.linear}
        disk.write_json(stored, known)
    return disk.read_json(stored)


def compare(studies: Sequence[Study], data: Data, config: Settings) -> None:
    """Write the table in its three forms, the plots, and photographs with every encoder's caption."""
    summaries = comparison.summarise(studies, data)
    beside = disk.read_json(studies[0].runs[0] / "scores.json")
    table, notes = comparison.table(summaries, beside), comparison.notes(beside, config.seeds)
    disk.write_text(config.out / "ablation.csv", comparison.as_csv(table))
    disk.write_text(config.out / "ablation.md", comparison.as_markdown(table, notes))
    pictures = plots.draw(config.out, studies, summaries, beside)
    examples = random.Random(0).sample(sorted(data.test), min(EXAMPLES, len(data.test)))
    captions = {study.name: read_results(study.runs[0] / "captions.json") for study in studies}
    shown = {data.photographs[image]: {name: given[image] for name, given in captions.items()} for image in examples}
    ablation_page.write(config.out / "ablation.html", table, notes, pictures, shown)
    print(f"\n{comparison.as_markdown(table, notes)}")
    print(
        f"wrote {config.out / 'ablation'}.csv, .md and .html: {len(studies)} encoders, {config.seeds} captioners each"
    )


if __name__ == "__main__":
    settings.run(main)
