"""What lies in a folder as somebody downloaded it, and the commands that make captions of it, in order and with every path filled in."""

import contextlib
import io
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import h5py

from captioning import captioner_file, splits
from captioning.captions import SUFFIXES as TEXTS
from captioning.captions import fitting, lost, read_captions, read_splits, sources
from captioning.formats import columns, parquet
from captioning.tokenizer import read_tokenizer
from core import hdf5
from core.errors import InputError
from encoders import encoder_file, features_file, photographs

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "Pre-trained" / "distilled" / "encoder.keras"
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
CHECKPOINTS = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
MODELS = (".keras", ".h5", ".hdf5", ".onnx")
DATA = (".pkl", ".pickle", ".npz", ".npy", ".gz", ".p", ".h5", ".hdf5")
PARTS = ("train", "dev", "test")


@dataclass
class Found:
    """What is in a folder: the files of each kind, and a line on each."""

    folders: Counter[Path] = field(default_factory=Counter)  # of photographs, and how many lie in each
    captions: dict[Path, list[str]] = field(
        default_factory=dict
    )  # the names of their photographs, one for each caption
    lists: dict[Path, list[str]] = field(default_factory=dict)  # the ids in each
    features: list[Path] = field(default_factory=list)
    encoders: list[Path] = field(default_factory=list)
    packed: list[Path] = field(default_factory=list)  # Parquet with photographs
    lines: dict[Path, str] = field(default_factory=dict)


def look(folder: Path) -> Found:
    """Look at every file of a folder and its sub-folders, hidden ones left out.

    :raises InputError: there is no such folder, or nothing in it.
    """
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    files = [path for path in files if path.is_file()]
    if not files:
        raise InputError(
            f"expected a folder with files at {folder}, found {'none' if folder.is_dir() else 'no folder'}; check the path"
        )
    found = Found()
    for path in files:
        if path.suffix.lower() in photographs.SUFFIXES:
            found.folders[path.parent] += 1
    for path in files:
        if path.suffix.lower() not in photographs.SUFFIXES:
            found.lines[path] = _line(path, found)
    for place in {path.parent for path in found.captions} | {folder}:
        _add_folder(place, found)
    return found


def _line(path: Path, found: Found) -> str:
    """Return what a file is, and remember it."""
    suffix = path.suffix.lower()
    if suffix in CHECKPOINTS:
        return f"a checkpoint: {_command('-m encoders.convert', checkpoint=path)} makes an encoder of it"
    attempts: list[Callable[[Path, Found], str]] = [_model] * (suffix in MODELS) + [_features, _tokenizer] * (
        suffix in DATA
    )
    attempts += [_captions, _list] * (suffix in (*TEXTS, "", ".token", ".lst"))
    for attempt in attempts:
        with contextlib.suppress(InputError, OSError, ValueError), contextlib.redirect_stdout(io.StringIO()):
            if line := attempt(path, found):
                return line
    if suffix in ARCHIVES:
        return "an archive: unpack it first"
    return "not known, left aside"


def _model(path: Path, found: Found) -> str:
    if path.suffix.lower() in (".h5", ".hdf5"):
        with hdf5.opened(path) as file:
            if "train_img" in file and isinstance(file["train_img"], h5py.Dataset):
                return f"{len(file['train_img']):,} photographs for jigsaw.main and simclr.main: --photographs {shlex.quote(str(path))}"
    if path.suffix.lower() != ".onnx":
        with contextlib.suppress(InputError):
            captioner = captioner_file.read(path)
            return f"a captioner of {captioner.model.output_shape[-1]:,} words: --model of steps 3 and 5"
    if path.suffix.lower() in (".keras", ".onnx"):
        (_, height, width, _), (_, dimension) = (encoder := encoder_file.read(path)).input_shape, encoder.output_shape
        found.encoders.append(path)
        return f"an encoder, {height} x {width} pixels -> {dimension:,} numbers"
    return ""


def _features(path: Path, found: Found) -> str:
    features = features_file.read(path)
    found.features.append(path)
    return (
        f"{len(features):,} features of {next(iter(features.values())).shape[1]:,} numbers: --features of steps 2 and 3"
    )


def _tokenizer(path: Path, found: Found) -> str:
    return f"a tokenizer of {len(read_tokenizer(path).word_index):,} words: --tokenizer of step 5"


def _captions(path: Path, found: Found) -> str:
    if not (form := fitting(path)):
        return ""
    names = [name for name, _ in form.captions(path)]
    if form is parquet and parquet.Parquet(path).photographs:
        found.packed.append(path)
    found.captions[path] = names
    return f"{len(names):,} captions of {len(set(names)):,} photographs, {form.NAME.partition(' (')[0]}"


def _list(path: Path, found: Found) -> str:
    names = photographs.read_image_list(path)
    if len(names) < 2 or not _is_list(path, found):
        return ""
    found.lists[path] = names
    part = columns.split_of(path.name)
    return f"a list of {len(names):,} photographs, {part or 'whose name says no split'}"


def _is_list(path: Path, found: Found) -> bool:
    """Tell whether most lines of a text name photographs that are in the folder."""
    known = _stems(tuple(found.folders))
    names = photographs.read_image_list(path, known)
    return 2 * sum(name in known for name in names) >= len(names)


@cache
def _stems(folders: tuple[Path, ...]) -> frozenset[str]:
    names = (
        path.name for folder in folders for path in folder.iterdir() if path.suffix.lower() in photographs.SUFFIXES
    )
    return frozenset(
        name for path in names for name in (photographs.image_id(path), photographs.image_id(path, whole=True))
    )


def _add_folder(folder: Path, found: Found) -> None:
    """Remember a folder with a file of captions for each split."""
    with contextlib.suppress(InputError):
        parts = sources(folder)
        if len(parts) > 1 and all(part in found.captions for part in parts):
            found.captions[folder] = [
                name if part.parent == folder else f"{part.parent.name}/{name}"
                for part in parts
                for name in found.captions[part]
            ]
            found.lines[folder] = f"captions in {len(parts)} files, one for each split"


@dataclass(frozen=True)
class Choice:
    """Which photographs and captions of a folder belong together."""

    photographs: Path
    captions: Path
    ids: dict[str, Path]
    matched: int


def choose(found: Found, top: Path) -> Choice | None:
    """Return the photographs and captions of which most meet, or None where none do; of equals, few photographs and many captions."""
    best: tuple[Any, Choice | None] = ((0,), None)
    for place in _places(found.folders, top):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                ids = photographs.by_id(place)
        except InputError:
            continue
        find = cache(photographs.finder(ids))
        for path, names in found.captions.items():
            matched = len({find(name) for name in set(names)} & ids.keys())
            rank = (matched, -len(ids), len(place.parts), len(names), "lemma" not in path.name.lower(), -len(str(path)))
            if matched and rank > best[0]:
                best = rank, Choice(place, path, ids, matched)
    return best[1]


def lacking(found: Found, folder: Path) -> str:
    """Say what a folder lacks for captions."""
    if found.packed:
        unpack = _command("-m captioning.formats.parquet", data=folder, out=Path(f"{folder.resolve().name}_unpacked"))
        return f"the photographs of {folder} are in Parquet files; run `{unpack}`, then the doctor on what it writes"
    if not found.folders:
        return f"expected photographs ({', '.join(photographs.SUFFIXES)}) in {folder}, found none; get them too, or give the folder above"
    if not found.captions:
        return (
            f"expected captions in {folder}, found none in a form that is known; get them too, or give the folder above"
        )
    path, names = next(iter(found.captions.items()))
    return (
        f"expected captions of the photographs in {folder}, found none: those in {path} are of {names[0]} and so on; "
        "get those of one data set"
    )


def _places(folders: Iterable[Path], top: Path) -> list[Path]:
    """Return the folders that may be the data set's: those with photographs, and what is above them."""
    return sorted({place for folder in folders for place in (folder, *folder.parents) if place.is_relative_to(top)})


def commands(found: Found, choice: Choice, out: Path) -> tuple[list[str], list[str]]:
    """Return the commands to run in order, and lines on what was chosen for what could not be known."""
    notes, lines = [], []
    lists, how = _splits(found, choice, out)
    if isinstance(how, str):
        lines.append(how)
    if len(others := [path for path in found.captions if path != choice.captions and path.is_file()]):
        notes.append(
            f"other captions are left aside: {', '.join(path.name for path in others[:5])}; --captions takes them"
        )
    if how and "--seed" in how:
        notes.append(f"no lists of train and dev were found: they are drawn, {splits.DRAWN}")
    with contextlib.redirect_stdout(io.StringIO()):
        captions = read_captions(choice.captions, choice.ids)
    cleaning = "natural" if lost(captions, "seed") else "seed"
    encoder = found.encoders[0] if found.encoders else SHIPPED
    features, described = out / "features.pkl", out / "descriptions.txt"
    made = found.features[0] if found.features else features
    if found.features:
        notes.append(f"{made} is used by steps 2 and 3; step 5 needs the encoder that made it: --encoder")
    step_1 = {
        "photographs": choice.photographs,
        "captions": choice.captions,
        "encoder": encoder,
        "cleaning": cleaning,
        "out": out,
    }
    train, dev, test = (lists[part] for part in PARTS)
    both = {"features": made, "descriptions": described, "train_images": train}
    lines += [
        _command("1_data_preprocessor.py", **step_1),
        _command("2_train_IC_model.py", **both, dev_images=dev, out=out),
        _command("3_BLEU.py", model=out, **both, test_images=test, references=choice.captions, out=out),
        _command("4_tokenizer.py", descriptions=described, train_images=train, out=out / "tokenizer.pkl"),
        _command(
            "5_test.py",
            photographs=_first(choice),
            model=out,
            tokenizer=out / "tokenizer.pkl",
            encoder=encoder,
            out=out,
        ),
    ]
    return lines, notes


def _first(choice: Choice) -> Path:
    return next(iter(choice.ids.values()))


def _splits(found: Found, choice: Choice, out: Path) -> tuple[dict[str, Path], str | None]:
    """Return the list of each split, and the command that writes them, if they are not there."""
    find = photographs.finder(choice.ids)
    lists = {}
    for path, names in found.lists.items():
        part = columns.split_of(path.name)
        if part and any(find(name) in choice.ids for name in names):
            lists.setdefault(part, path)
    if {"train", "dev"} <= lists.keys() or {"train", "test"} <= lists.keys():
        return _complete(lists), None
    for path in sorted(found.captions, key=lambda path: path != choice.captions):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                said = {
                    part: names
                    for part, names in read_splits(path).items()
                    if any(find(name) in choice.ids for name in names)
                }
        except InputError:
            continue
        if "train" in said and len(said) > 1:
            written = {part: out / f"{splits.named(path)}.{part}Images.txt" for part in said}
            return _complete(written), _command("-m captioning.splits", captions=path, out=out)
    drawn = {part: out / f"random-seed-0.{part}Images.txt" for part in PARTS}
    options = {"captions": choice.captions, "photographs": choice.photographs, "seed": 0, "out": out}
    return drawn, _command("-m captioning.splits", **options)


def _complete(lists: dict[str, Path]) -> dict[str, Path]:
    """Return a list for each split: dev stands for a missing test, and test for a missing dev."""
    dev, test = lists.get("dev", lists.get("test")), lists.get("dev", lists.get("test"))
    return {"train": lists["train"], "dev": dev, "test": test}


def _command(script: str, **options: object) -> str:
    """Return a command line: `python -m captioning.splits --captions FILE`, with paths as the shell needs them."""
    name = script if script.startswith("-m") else shlex.quote(_near(ROOT / script))
    words = [f"--{key.replace('_', '-')} {shlex.quote(_near(value))}" for key, value in options.items()]
    return " ".join(["python", name, *words])


def _near(value: object) -> str:
    """Return a path as seen from here, where it is below; other values as text."""
    if not isinstance(value, Path):
        return str(value)
    relative = os.path.relpath(value)
    return str(value) if relative.startswith("..") else relative
