"""Compare methods of pre-training in equal minutes: the same network, photographs and views, each method's own defaults else.

    python -m benchmarks.methods --photographs Flicker8k_Dataset imagenette/train --only Flickr_8k.trainImages.txt imagenette_train.txt \
        --flickr8k . --labelled imagenette --out methods

Times an update of every method in turn, gives each as many epochs as come nearest to the minutes, and trains them one after the other. Step 6
judges the encoders by the captions of one captioner each, and the best two by three. Writes, into --out: seconds.json; a folder for each
method, as it writes it; ablation/, as step 6 writes it; methods.md, the table. Nothing is done twice.
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
COLUMNS = ["method", "epochs", "minutes", "kNN", "linear", "RankMe", "cleaned CIDEr-D", "against untrained"]
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
    """Folder with Flicker8k_Dataset and Flickr8k_text, whose captions step 6 learns."""
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
    untrained = config.out / "untrained.keras"
    call("encoders.make", "--network", "resnet18", "--stem", "small", "--size", 96, "--out", untrained)
    encoders, rows = {"untrained": untrained}, {"untrained": [""] * 5}
    for name, seconds in disk.read_json(stored).items():
        epochs = max(1, round(60 * config.minutes / seconds / updates))
        folder = config.out / name.replace(" ", "-")
        train(METHODS[name], folder, epochs, config)
        encoders[name] = folder / "encoder.keras"
        rows[name] = [str(epochs), f"{epochs * updates * seconds / 60:.1f}", *known(folder)]
    found = judge(encoders, 1, config)
    best = sorted(rows, key=lambda name: found[name][0])[-2:]
    again = judge({name: encoders[name] for name in best}, 3, config)
    table = [[name, *rows[name], *found[name]] for name in rows]
    table += [[f"{name}, three captioners", *rows[name], again[name][0], ""] for name in best]
    write_table(config.out / "methods.md", table)


def known(folder: Path) -> list[str]:
    """Return what a run's encoder knows at its end: kNN, linear probe and RankMe."""
    last = list(csv.DictReader((folder / "history.csv").open()))[-1]
    return [f"{float(last[name]):.{places}f}" for name, places in (("knn", 3), ("linear", 3), ("rankme", 0))]


def write_table(path: Path, rows: list[list[str]]) -> None:
    """Write and print the table in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in (COLUMNS, ["---"] * len(COLUMNS), *rows)]
    disk.write_text(path, "\n".join(lines) + "\n")
    print("\n".join(lines))


def seconds_of_updates(config: Settings) -> dict[str, float]:
    """Return the seconds of each method's update: the median of its turns."""
    shape = (UPDATES * config.batch_size, 96, 96, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, "uint8")  # noise, which changes no time
    turns = {name: turns_of(import_module(module), pixels, config) for name, module in METHODS.items()}
    rounds = [{name: next(turn) for name, turn in turns.items()} for _ in range(1 + ROUNDS)]
    found = {name: median(seconds[name] for seconds in rounds[1:]) for name in METHODS}  # the first built the graphs
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
    options = ["--batch-size", config.batch_size, "--blur", config.blur, "--epochs", epochs, "--out", folder]
    call(module, *data, *watched, *options)


def judge(encoders: dict[str, Path], captioners: int, config: Settings) -> dict[str, list[str]]:
    """Let step 6 compare encoders; return the cleaned CIDEr-D of each, and how it compares with the first."""
    text, out = config.flickr8k / "Flickr8k_text", config.out / "ablation"
    data = ["--photographs", config.flickr8k / "Flicker8k_Dataset", "--captions", text / "Flickr8k.token.txt"]
    for option, split in (("train", "train"), ("dev", "dev"), ("test", "dev")):
        data += [f"--{option}-images", text / f"Flickr_8k.{split}Images.txt"]
    named = [f"{name}={path}" for name, path in encoders.items()]
    call("6_ablation.py", "--encoders", *named, *data, "--seeds", captioners, "--patience", 2, "--out", out)
    header, *rows = csv.reader((out / "ablation.csv").open())
    scores = [row for row in rows if row[0].startswith("cleaned") and row[1] == "CIDEr-D" and "fewer" not in row[0]]
    return {name: [row[header.index(name)] for row in scores] for name in encoders}


def call(command: str, *words: object) -> None:
    """Run a module or a script of this project with this Python."""
    program = [command] if command.endswith(".py") else ["-m", command]
    subprocess.run([sys.executable, *program, *map(str, words)], check=True)


if __name__ == "__main__":
    settings.run(main)
