"""Compare methods of pre-training in equal minutes: the same network, photographs and views, each method's own defaults else.

    python -m benchmarks.methods --photographs Flicker8k_Dataset imagenette/train --only Flickr_8k.trainImages.txt imagenette_train.txt \
        --flickr8k . --labelled imagenette --out methods

Times an update of every method in turn, gives each as many epochs as come nearest to the minutes, trains them one after the other, and lets
step 6 judge the encoders: kNN, linear probe and the captions of a merge captioner. Then three captioners of the best two.
Writes, into --out: seconds.json; a folder for each method, as it writes it; ablation/ and best/, as step 6 writes them. Nothing is done twice.
"""

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median

import numpy as np
import tensorflow as tf

from core import devices, disk, settings
from encoders import decoded
from pretext import run, views

METHODS = {
    "SimCLR": "simclr.main",
    "Barlow Twins": "pretext.barlow_twins",
    "VICReg": "pretext.vicreg",
    "SimSiam": "pretext.simsiam",
    "BYOL": "pretext.byol",
    "MoCo v2": "pretext.moco",
}
ROUNDS, UPDATES = 3, 5  # turns that each method takes while it is timed, and its updates in a turn


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    # Data
    photographs: tuple[Path, ...] = (Path("Flicker8k_Dataset"), Path("imagenette/train"))
    """Folders of photographs to learn from."""
    only: tuple[Path, ...] = ()
    """Files that name the photographs to take. Without one, all are taken."""
    flickr8k: Path = Path()
    """Folder with Flicker8k_Dataset and Flickr8k_text, for step 6."""
    labelled: Path = Path("imagenette")
    """Folder with train/ and val/, each with a sub-folder for each class."""
    out: Path = Path("methods")
    """Folder for everything that is written."""

    # Training
    minutes: settings.Positive = 12.0
    """Minutes of all processor cores for each method's training."""
    batch_size: settings.Count = 128
    """Photographs in a batch."""
    blur: settings.Share = 0.2
    """Probability of a Gaussian blur."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    updates = len(decoded.select(config.photographs, config.only)) // config.batch_size
    stored = config.out / "seconds.json"
    if not stored.exists():
        disk.write_json(stored, seconds_of_updates(config))
    encoders, trained = {}, {}
    for name, seconds in disk.read_json(stored).items():
        epochs = max(1, round(60 * config.minutes / seconds / updates))
        folder = config.out / name.replace(" ", "-")
        train(METHODS[name], folder, epochs, config)
        encoders[name] = folder / "encoder.keras"
        last = list(csv.DictReader((folder / "history.csv").open()))[-1]
        trained[name] = (
            f"{epochs} epochs, {epochs * updates * seconds / 60:.1f} minutes, RankMe {float(last['rankme']):.0f}"
        )
    untrained = config.out / "untrained.keras"
    call("encoders.make", "--network", "resnet18", "--stem", "small", "--size", 96, "--out", untrained)
    judge({"untrained": untrained, **encoders}, config.out / "ablation", 1, config)
    for name, said in trained.items():
        print(f"{name}: {said}")


def seconds_of_updates(config: Settings) -> dict[str, float]:
    """Return the seconds of each method's update: the median of its turns."""
    shape = (UPDATES * config.batch_size, 96, 96, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, "uint8")  # noise, which changes no time
    turns = {name: turns_of(import_module(module), pixels, config) for name, module in METHODS.items()}
    rounds = [
        {name: next(turn) for name, turn in turns.items()} for _ in range(1 + ROUNDS)
    ]  # the first builds the graphs
    found = {name: median(seconds[name] for seconds in rounds[1:]) for name in METHODS}
    for name, seconds in found.items():
        print(f"{name}: {seconds:.3f} s an update of {config.batch_size} photographs", flush=True)
    return found


def turns_of(module, pixels: np.ndarray, config: Settings) -> Iterator[float]:
    """Yield again and again the mean seconds of some updates, live views included.

    They are seconds of all processor cores together, so that other programs do not change them.
    """
    chosen = module.Settings(batch_size=config.batch_size, blur=config.blur)
    _, model = run.build_views(chosen, module.build, UPDATES)
    recipe = run.recipe_of(chosen)
    epoch = decoded.batches(pixels, config.batch_size, 0, lambda rows, _, seed: views.two_views(rows, recipe, seed))
    data = tf.data.Dataset.from_tensors(tf.constant(0, tf.int64)).repeat().flat_map(epoch).prefetch(2)
    while True:
        start = time.process_time()
        model.fit(data, steps_per_epoch=UPDATES, shuffle=False, verbose=0)
        yield (time.process_time() - start) / UPDATES / os.cpu_count()


def train(module: str, folder: Path, epochs: int, config: Settings) -> None:
    """Train one method, going on where an earlier call stopped."""
    data = ["--photographs", *config.photographs, *(["--only", *config.only] if config.only else [])]
    watched = ["--knn-train", config.labelled / "train", "--knn-test", config.labelled / "val", "--knn-every", epochs]
    call(
        module,
        *data,
        *watched,
        "--batch-size",
        config.batch_size,
        "--blur",
        config.blur,
        "--epochs",
        epochs,
        "--out",
        folder,
    )


def judge(encoders: dict[str, Path], out: Path, captioners: int, config: Settings) -> None:
    """Let step 6 compare encoders by so many captioners each."""
    text = config.flickr8k / "Flickr8k_text"
    lists = [text / f"Flickr_8k.{name}Images.txt" for name in ("train", "dev", "dev")]
    data = ["--photographs", config.flickr8k / "Flicker8k_Dataset", "--captions", text / "Flickr8k.token.txt"]
    data += [
        word for pair in zip(("--train-images", "--dev-images", "--test-images"), lists, strict=True) for word in pair
    ]
    named = [f"{name}={path}" for name, path in encoders.items()]
    options = ["--labelled", config.labelled, "--seeds", captioners, "--patience", 2, "--out", out]
    call("6_ablation.py", "--encoders", *named, *data, *options)


def call(command: str, *words: object) -> None:
    """Run a module or a script of this project with this Python."""
    program = [command] if command.endswith(".py") else ["-m", command]
    subprocess.run([sys.executable, *program, *map(str, words)], check=True)


if __name__ == "__main__":
    settings.run(main)
