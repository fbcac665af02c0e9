"""Step 6: each encoder goes through steps 1 to 3 with several captioners. What is finished is not done again.

Each encoder has a folder, named by its name and fingerprint, with features.pkl, extracted.json (of which photographs), encoder.json,
minutes.json and a folder for each captioner (`runs`): what step 2 writes, captions.json, minutes.json,
attention.json of a captioner that looks, for the photographs on the page, and, last, scores.json.
"""

import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from captioning import checks, report, reward
from captioning.captions import Captions, clean_into, read_captions, read_descriptions
from captioning.cleaning import Cleaning
from captioning.describe import describe as describe_photographs
from captioning.describe import texts
from captioning.models import merge
from captioning.train import Recipe, TrainingData, train
from core import disk
from core.errors import InputError
from encoders import convert, encoder_file, evaluate, photographs
from encoders.encoder_file import Encoder
from encoders.evidence import Told
from encoders.extract import Precision, write
from encoders.features_file import grid_path

# What FILE.json beside an encoder's file may say. A person writes the first three; encoders.convert writes the others.
SIDECAR = ("pretext task", "data", "labels", "checkpoint", "family", "network", "normalisation")

EXAMPLES = 12  # photographs on the page


class Data(NamedTuple):
    """The same for every encoder: photographs by id, the file and parts of the descriptions, and test captions as people wrote them."""

    photographs: dict[str, Path]
    stamp: str  # changes with the photographs' files
    descriptions: Path
    train: Captions
    dev: Captions
    test: Captions
    references: Captions


class Study(NamedTuple):
    """An encoder's name, its folder, and those of its captioners."""

    name: str
    folder: Path
    runs: tuple[Path, ...]


def read(captions: Path, folder: Path, lists: Sequence[Path], out: Path, cleaning: Cleaning) -> Data:
    """Read what all encoders share, and write descriptions.txt into `out`.

    :param lists: image lists of train, dev and test.
    :raises InputError: a file is missing, or they do not belong together.
    """
    paths = photographs.by_id(folder)
    written, cleaned = read_captions(captions, paths), out / "descriptions.txt"
    clean_into(cleaned, written, cleaning)
    described = read_descriptions(cleaned)
    train, dev, test = (checks.described(described, path) for path in lists)
    checks.check_apart(train, dev, lists[1])
    checks.pick(paths, [*train, *dev, *test], "file", folder)
    references = checks.pick(written, test, "caption", captions)
    return Data(paths, stamp(paths.values()), cleaned, train, dev, test, references)


def named(words: Sequence[str]) -> dict[str, Path]:
    """Return encoder files by name: `simclr=FILE` is called simclr, `FILE` by its own name, also where there is a = in its path.

    A file that is called encoder.keras has its folder's name.

    :raises InputError: two have one name.
    """
    parts = [
        word.partition("=") if "=" in word and not Path(word).exists() else (_own_name(Path(word)), "", word)
        for word in words
    ]
    paths = {name: Path(path) for name, _, path in parts}
    if len(paths) < len(words):
        raise InputError(
            f"expected different names for {len(words)} encoders, found {', '.join(paths)}: give NAME=FILE"
        )
    return paths


def _own_name(path: Path) -> str:
    return (path.parent.name if path.stem == "encoder" else "") or path.stem


def as_file(name: str, path: Path, folder: Path, photographs: Path) -> Path:
    """Return an encoder's file: the one that is named, or what a checkpoint gives whose conversion needs nothing told, in `folder`.

    :param photographs: with which batch normalisations are compared.
    :raises InputError: there is no such file, or the conversion needs something; the message has the command.
    """
    if path.suffix == ".keras" or (path.suffix == ".onnx" and path.with_suffix(".json").exists()):
        return path
    made = f"{_plain(name)}{'.onnx' if path.suffix == '.onnx' else '.keras'}"
    try:
        convert.write(path, folder / made, Told(photographs=photographs))
    except InputError as error:
        command = f"python -m encoders.convert --checkpoint {path} --out {made}"
        raise InputError(f"{error}; convert it with {command} and give {made}") from error
    return folder / made


def folder_of(out: Path, name: str, fingerprint: str) -> Path:
    """Return the folder of an encoder: the one that an earlier run made for this fingerprint, whatever its name was then."""
    short = fingerprint[:12]
    return next(out.glob(f"*-{short}"), out / f"{_plain(name)}-{short}")


def _plain(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name)


def describe(path: Path, encoder: Encoder) -> dict[str, Any]:
    """Return what is known of an encoder: its parameters and D, and what the .json file beside it says."""
    facts = encoder_file.facts(path)
    if not facts:
        print(f"no {path.stem}.json beside {path}: the table does not show its {', '.join(SIDECAR)}")
    known = {key: str(facts[key]) for key in SIDECAR if key in facts}
    return {**known, "parameters": encoder.count_params(), "D": encoder.output_shape[-1]}


def judge(encoder: Encoder, folder: Path, labelled: Path | None, cache: Path) -> dict[str, str | float]:
    """Return what an encoder's features know of classes, if there are labelled photographs.

    :param labelled: folder with train/ and val/.
    :param cache: folder for the decoded photographs.
    """
    if labelled is None:
        return {}
    stored, made = folder / "evaluation.json", stamp(sorted(labelled.rglob("*")))
    if not stored.exists() or disk.read_json(stored)["labelled"] != made:
        parts = evaluate.load_parts(labelled / "train", labelled / "val", encoder, cache)
        found = evaluate.judge(folder.name, encoder, *parts)
        known = {"labelled": made, "kNN top-1": found.neighbours, "linear top-1": found.linear}
        disk.write_json(stored, known)
    return disk.read_json(stored)


def extract(
    path: Path, encoder: Encoder, data: Data, cleaning: Cleaning, precision: Precision, *, grid: bool = False
) -> None:
    """Write the features, and if `grid` the grids, unless the files have them already, of these photographs and in this precision."""
    stored, made = path.with_name("extracted.json"), {"photographs": data.stamp, "precision": precision}
    there = path.exists() and (grid_path(path).exists() or not grid)
    if stored.exists():
        if there and disk.read_json(stored) == made:
            return
        stored.unlink()
        path.with_name("minutes.json").unlink(missing_ok=True)
    with timed(path.parent):
        write(path, encoder, data.photographs, cleaning, precision=precision, grid=grid)
    disk.write_json(stored, made)
    keras.backend.clear_session()  # the encoder's graph is not needed while captioners are trained


def learn(training_data: TrainingData, run: Path, data: Data, split: str, beam: int, recipe: Recipe, seed: int) -> None:
    """Train a captioner, caption the test photographs and score the captions, unless all that is done.

    :param run: the captioner's folder, within that of its encoder.
    """
    settings = {name: value for name, value in asdict(recipe).items() if name != "reduce_after"} | {"seed": seed}
    made_of = disk.digest(training_data.fingerprints(), data.stamp, data.test, data.references)
    identity = settings | {"split": split, "beam": beam, "data": made_of}

    def trained() -> tuple[Path, float]:
        found = train(training_data, run, recipe, seed)
        return found.captioner, min(found.losses)

    _scored(run, identity, trained, data)


def runs(folder: Path, captioner: str, seeds: int) -> list[Path]:
    """Return the folders of an encoder's captioners."""
    kind = "" if captioner == merge.NAME else f"{captioner}-"
    return [folder / f"{kind}seed-{seed}" for seed in range(seeds)]


def learn_reward(start: Path, data: Data, split: str, beam: int, lists: Sequence[Path], seed: int) -> Path:
    """Let the captioner of the folder `start` learn from its reward, and score its captions, unless all that is done; return its folder.

    :param lists: image lists of train and dev.
    """
    run = start.with_name(f"cider-{start.name}")
    before, recipe = disk.read_json(start / "scores.json"), reward.Recipe()
    identity = before["recipe"] | {"reward": asdict(recipe), "split": split, "beam": beam}

    def trained() -> tuple[Path, float]:
        files = (start, run.with_name("features.pkl"), data.descriptions, lists)
        return reward.train(*files, run, recipe, seed), before["val_loss"]

    _scored(run, identity, trained, data)
    return run


def _scored(run: Path, identity: dict[str, Any], trained: Callable[[], tuple[Path, float]], data: Data) -> None:
    scores, beam = run / "scores.json", identity["beam"]
    found = disk.read_json(scores) if scores.exists() else {}
    if isinstance(found, dict) and found.get("recipe") == identity:
        print(f"{run} is finished")
        return
    print(f"\n{run}", flush=True)
    with timed(run):
        captioner, val_loss = trained()
        found = describe_photographs(
            captioner, run.with_name("features.pkl"), data.train, data.test, data.descriptions, beam
        )
        captions, unfinished = texts(found)
        _write_attention(run / "attention.json", {image: found[image].attention for image in examples(data)})
        about = {"split": identity["split"], "beam": beam, "recipe": identity, "val_loss": val_loss}
        report.write(run, captions, unfinished, data.train, data.test, data.references, **about)
    keras.backend.clear_session()


def examples(data: Data) -> list[str]:
    """Return the ids of the test photographs that are on the page."""
    return random.Random(0).sample(sorted(data.test), min(EXAMPLES, len(data.test)))


def _write_attention(path: Path, looked: Mapping[str, np.ndarray | None]) -> None:
    """Write where a captioner looked for each word of some photographs' captions, (words, h, w); nothing if it does not look."""
    if found := {image: maps.round(6).tolist() for image, maps in looked.items() if maps is not None}:
        disk.write_json(path, found)


def stamp(paths: Iterable[Path]) -> str:
    """Return a fingerprint of files by their paths, sizes and times."""
    return disk.digest(*((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths))


@contextmanager
def timed(folder: Path) -> Iterator[None]:
    """Add the block's minutes to those in minutes.json, also where it stops halfway; only a kill loses those of its own session."""
    path, start = folder / "minutes.json", time.monotonic()
    try:
        yield
    finally:
        before = disk.read_json(path) if path.exists() else 0
        disk.write_json(path, before + (time.monotonic() - start) / 60)
