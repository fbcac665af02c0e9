"""Step 6: compare encoders. Each goes through steps 1 to 3 with several captioners, and one table compares them all.

    python 6_ablation.py --encoders untrained=untrained.keras simclr=Pre-trained/simclr_260/encoder.keras --labelled imagenette

Reads what steps 1 and 2 read, and encoders: .keras files, .onnx files with their .json, and checkpoints whose conversion needs nothing
told. FILE.json beside an encoder's file may hold its "pretext task", "data" and "labels". Writes, into --out:
    ablation.csv, ablation.md, ablation.html   the table; the page also has plots, and photographs whose captions you can mark
    scores.png, losses.png, neighbours.png     the plots; the last with --labelled only
    NAME-FINGERPRINT/                          features and summary.json of an encoder, and a folder for each captioner: seed-N, attention-seed-N, cider-seed-N

Nothing is computed twice: kill it, or add encoders or seeds, and the same command goes on.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from captioning.ablation import results, study
from captioning.ablation.study import Data, Study
from captioning.cleaning import Cleaning
from captioning.splits import describe
from captioning.train import Recipe, find, read_data
from core import devices, disk, settings
from encoders import encoder_file, extract


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    # Data
    encoders: tuple[str, ...] = ("Pre-trained/distilled/encoder.keras",)
    """Encoder files or checkpoints, each as FILE or NAME=FILE. The others are compared with the first."""
    photographs: Path = Path("Flicker8k_Dataset")
    """Folder of photographs."""
    captions: Path = Path("Flickr8k_text/Flickr8k.token.txt")
    """Their captions."""
    train_images: Path = Path("Flickr8k_text/Flickr_8k.trainImages.txt")
    """List of the photographs to learn from."""
    dev_images: Path = Path("Flickr8k_text/Flickr_8k.devImages.txt")
    """List of the photographs for val_loss."""
    test_images: Path = Path("Flickr8k_text/Flickr_8k.devImages.txt")
    """List of the photographs to caption and score."""
    labelled: Path | None = None
    """Folder with train/ and val/, each with a sub-folder for each class. The encoders are then also judged by kNN and a linear probe."""
    out: Path = Path("ablation")
    """Folder for everything that is written."""

    # Features
    cleaning: Cleaning = "seed"
    """seed drops words of one letter and words with digits, as the original does. natural keeps all, in every script."""
    precision: extract.Precision = "float32"
    """Of step 1. bfloat16 is only used on processors where it is faster."""

    # Captioner
    captioner: str = "merge"
    """merge or attention, which looks at the grid of an encoder that has one, and else at its feature."""
    dimensions: settings.Count | None = None
    """attention: principal components of each place's numbers. Default 512."""
    reward: Literal["cider"] | None = None
    """Then learn from the CIDEr-D of the captioner's own captions, as step 2 --reward does."""

    # Training. None: the captioner's own default, as in step 2.
    seeds: settings.Count = 3
    """Captioners for each encoder, with the seeds 0, 1, ..."""
    epochs: settings.Count | None = None
    """Passes over the descriptions, at most."""
    batch_size: settings.Count | None = None
    """Descriptions per update; attention: photographs."""
    learning_rate: settings.Positive | None = None
    """Adam's learning rate."""
    epsilon: settings.Positive | None = None
    """Adam's epsilon. Larger values slow down the learning of rare words; with little data use 1e-7."""
    average: bool = True
    """Validate and write the moving average of the weights over about an epoch."""
    standardise: bool = True
    """Standardise the features first, so that no encoder gains by its scale."""
    patience: settings.Count | None = 3
    """Stop after so many epochs without a lower val_loss."""

    # Captions
    beam: settings.Count = 1
    """Beam width. 1 is greedy search."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments, complete)
    devices.prepare()
    named, lists = study.named(config.encoders), (config.train_images, config.dev_images, config.test_images)
    with disk.locked(config.out):
        made = config.out / "encoders"
        encoders = {name: study.as_file(name, path, made, config.photographs) for name, path in named.items()}
        for path in encoders.values():
            encoder_file.read(path)  # so that hours of work on one do not come before a mistake in the next
        data = study.read(config.captions, config.photographs, lists, config.out, config.cleaning)
        studies = [carry_out(name, path, data, config) for name, path in encoders.items()]
        results.write(config.out, studies, data)


def complete(config: Settings) -> Settings:
    return settings.filled(config, find(config.captioner).RECIPE)


def carry_out(name: str, path: Path, data: Data, config: Settings) -> Study:
    """Do what is not yet done of an encoder: its features, and its captioners with their captions and scores."""
    encoder = encoder_file.read(path)
    folder = study.folder_of(config.out, name, encoder_file.fingerprint(encoder))
    stored, split = folder / "features.pkl", describe(config.test_images)
    known = study.describe(path, encoder) | study.judge(encoder, folder, config.labelled, config.out / "cache")
    disk.write_json(folder / "encoder.json", known)
    looks = find(config.captioner).BY_PHOTOGRAPH and encoder_file.has_grid(encoder)
    study.extract(stored, encoder, data, config.cleaning, config.precision, grid=looks)
    lists = (config.train_images, config.dev_images)
    training_data = read_data(stored, data.descriptions, *lists, config.captioner)
    recipe, runs = settings.shared(Recipe, config), study.runs(folder, config.captioner, config.seeds)
    for seed, run in enumerate(runs):
        study.learn(training_data, run, data, split, config.beam, recipe, seed)
    if config.reward:
        runs = [study.learn_reward(run, data, split, config.beam, lists, seed) for seed, run in enumerate(runs)]
    return Study(name, folder, tuple(runs))


if __name__ == "__main__":
    settings.run(main)
