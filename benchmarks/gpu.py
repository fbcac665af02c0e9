"""Measure and use an NVIDIA GPU: which tests fail, how fast the steps are, and what an encoder learns in the minutes that are left.

    python -m benchmarks.gpu --pack photographs.tar --photographs Flicker8k_Dataset --labelled imagenette    # where the photographs are
    make gpu ARCHIVE=photographs.tar MINUTES=60                                                             # where the GPU is

The archive holds JPEGs of 96 pixels, a few kilobytes each. Writes, into --out:
    results.json    the tests that failed with their messages, seconds of the steps and of each method's update, and the encoder's scores
    report.md       the same to read
    simclr_run/     an encoder, trained for the minutes that are left
Each result is written as it comes, and none is measured twice: kill it, and the same command goes on.
"""

import io
import subprocess
import sys
import tarfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.methods import METHODS, call
from benchmarks.simclr_update import operations, speed
from captioning import batches, decoding
from captioning.models import merge
from captioning.tokenizer import Tokenizer, wrap
from captioning.train import Recipe, compiled_trainer
from core import devices, disk, settings
from core.errors import InputError
from encoders import decoded, make, photographs
from encoders.extract import Network
from pretext import run

SIDE = 96  # pixels of a photograph in the archive
TESTS = (  # what computes on the GPU
    "tests/simclr",
    "tests/pretext",
    "tests/jigsaw",
    "tests/core/test_training.py",
    *(
        f"tests/captioning/test_{name}.py"
        for name in ("attention", "merge", "reward", "losses", "decoding", "tutorial")
    ),
    *(f"tests/encoders/test_{name}.py" for name in ("extract", "grid", "resnet", "vit", "convnext", "efficientnet")),
)
ROUNDS = 3
PASSES = {"BYOL": 8, "MoCo v2": 4}  # of a photograph through the network, a gradient as two; 6 for the other methods
UPDATE = "update of "  # before the name of a method, its precision and XLA


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    # Data
    archive: Path = Path("photographs.tar")
    """The photographs, as --pack has written them."""
    out: Path = Path("gpu_run")
    """Folder for everything that is written."""
    minutes: settings.Positive = 60.0
    """Minutes for all of it. Pre-training gets what the rest leaves."""
    dry_run: bool = False
    """Do everything once with toy sizes, on any processor."""

    # To make the archive
    pack: Path | None = None
    """Write this archive, and do nothing else."""
    photographs: tuple[Path, ...] = (Path("Flicker8k_Dataset"),)
    """Folders of photographs to learn from."""
    only: tuple[Path, ...] = ()
    """Files that name the photographs to take. Without one, all are taken."""
    labelled: Path = Path("imagenette")
    """Folder with train/ and val/, each with a sub-folder for each class. Those of train/ are learnt from too, without labels."""


@dataclass(frozen=True)
class Sizes:
    """What is measured."""

    batch: int = 256
    width: int = 64
    updates: int = 20
    photographs: int = 2048
    encoder: str = "resnet50"
    tests: tuple[str, ...] = TESTS
    ways: tuple[tuple[str, bool], ...] = tuple(product(("float32", "mixed_bfloat16"), (False, True)))  # precision, XLA
    methods: tuple[str, ...] = tuple(METHODS)


TOY = Sizes(
    8, 4, 2, 16, "resnet18", ("tests/pretext/test_optimizers.py",), (("float32", False),), ("SimCLR", "MoCo v2")
)


def main(arguments: list[str] | None = None) -> None:
    config, begun = settings.from_command_line(Settings, arguments), time.monotonic()
    if config.pack:
        pack(config.pack, decoded.named(config.photographs, config.only), config.labelled)
        return
    devices.prepare()
    results = Results(config.out)
    measure(results, TOY if config.dry_run else Sizes())
    left = 60 * config.minutes - (time.monotonic() - begun)
    pretrain(results, unpacked(config.archive, config.out), left, TOY if config.dry_run else Sizes())


class Results:
    """What is measured, by name, in results.json and report.md of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "results.json"
        self.values = disk.read_json(self.path) if self.path.exists() else {}

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """Return what `work` returns, or returned in an earlier run, and write it."""
        if name not in self.values:
            self.values[name] = work()
            disk.write_json(self.path, self.values)
            disk.write_text(self.folder / "report.md", report(self.values))
            print(f"{name}: {self.values[name]}", flush=True)
        return self.values[name]


# Photographs ---------------------------------------------------------------------------------------------------------


def pack(path: Path, named: list[tuple[str, Path]], labelled: Path) -> None:
    """Write the archive: photographs/ID.jpg, and labelled/train and labelled/val with their classes."""
    members = {f"photographs/{image}.jpg": file for image, file in named}
    for part in ("train", "val"):
        for file in photographs.list_photographs(labelled / part, recursive=True):
            members[f"labelled/{part}/{file.parent.name}/{file.stem}.jpg"] = file
    with disk.replacing(path) as temporary, tarfile.open(temporary, "w") as archive:
        for name, file in members.items():
            content = io.BytesIO()
            Image.fromarray(photographs.read(file, SIDE, SIDE)).save(content, "JPEG", quality=80)
            member = tarfile.TarInfo(name)
            member.size = len(content.getvalue())
            content.seek(0)
            archive.addfile(member, content)
    print(f"wrote {path}: {len(members):,} photographs, {path.stat().st_size / 1e6:.1f} MB")


def unpacked(archive: Path, out: Path) -> Path:
    """Return the folder of the archive's photographs."""
    folder, partial = out / "unpacked", out / "unpacked.partial"
    if not folder.exists():
        try:
            with tarfile.open(archive) as file:
                file.extractall(partial, filter="data")  # nothing outside the folder
            partial.rename(folder)
        except (OSError, tarfile.TarError) as error:
            raise InputError(
                f"expected an archive of photographs at {archive}, found none that can be read ({error}); make one with --pack"
            ) from error
    return folder


# Tests ---------------------------------------------------------------------------------------------------------------


def failures(tests: tuple[str, ...], xml: Path) -> dict[str, Any]:
    """Run tests, and return how many there were, and the message of each that failed by its name."""
    subprocess.run([sys.executable, "-m", "pytest", "-q", *tests, "--junitxml", xml.absolute()])
    cases = list(ElementTree.parse(xml).getroot().iter("testcase"))
    failed = {
        f"{case.get('classname')}::{case.get('name')}": found.get("message", "")
        for case in cases
        if (found := case.find("failure")) is not None or (found := case.find("error")) is not None
    }
    return {"tests": len(cases), "failed": failed}


# Timings -------------------------------------------------------------------------------------------------------------


def measure(results: Results, sizes: Sizes) -> None:
    """Run the tests, and time the steps and each method's update."""
    results.once("device", device)
    results.once("tests", lambda: failures(sizes.tests, results.folder / "tests.xml"))
    for dtype in ("float32", "bfloat16"):
        results.once(f"operations a second, {dtype}", lambda dtype=dtype: speed(dtype))
    results.once("step 1, photographs a second", lambda: features_a_second(sizes))
    results.once("steps 2 and 3, seconds", lambda: captioner(sizes))
    for precision, xla in sizes.ways:
        timed("SimCLR", precision, xla, results, sizes)
    for method in sizes.methods:
        timed(method, *quickest(results, sizes), results, sizes)


def timed(method: str, precision: devices.Policy, xla: bool, results: Results, sizes: Sizes) -> dict[str, float]:
    """Return the seconds of a method's update, and those that its operations take at the speed of a large matrix product."""
    dtype = precision.removeprefix("mixed_")

    def work() -> dict[str, float]:
        seconds, operations = update(method, precision, xla, sizes)
        return {"seconds": seconds, "by arithmetic": operations / results.values[f"operations a second, {dtype}"]}

    return results.once(f"{UPDATE}{method}, {precision}{', XLA' * xla}", work)


def quickest(results: Results, sizes: Sizes) -> tuple[devices.Policy, bool]:
    """Return the precision, and whether with XLA, in which an update of SimCLR takes least."""
    return min(sizes.ways, key=lambda way: timed("SimCLR", *way, results, sizes)["seconds"])


def device() -> str:
    found = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(found[0]).get("device_name", "a GPU") if found else "no GPU"


def seconds_of(work: Callable[[], Any]) -> float:
    """Return the median seconds of some calls, after one that does not count."""
    found = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return median(found[1:])


def features_a_second(sizes: Sizes) -> float:
    """Return how many photographs of 224 pixels, ready in memory, become features in a second."""
    network = Network(make.untrained(sizes.encoder, "untrained", 224, "imagenet"), batch_size=sizes.batch)
    pixels = np.random.default_rng(0).integers(0, 256, (sizes.batch, 224, 224, 3), "uint8")
    return sizes.batch / seconds_of(lambda: network(pixels))


def captioner(sizes: Sizes) -> dict[str, float]:
    """Return the seconds of an epoch of step 2 on as many random captions as Flickr8k has, and of 1,000 captions in step 3."""
    random, count = np.random.default_rng(0), 3 * sizes.photographs
    words = [f"word{number}" for number in range(3 * sizes.photographs)]
    texts = {str(image): [" ".join(random.choice(words, 10)) for _ in range(5)] for image in range(count)}
    vocabulary = Tokenizer.fit(wrap(text) for of_one in texts.values() for text in of_one)
    features = {image: random.normal(size=(1, 512)).astype("float32") for image in texts}
    captions = batches.gather(texts, features, vocabulary)
    recipe = Recipe(1, *(merge.RECIPE[name] for name in ("batch_size", "learning_rate", "epsilon", "average")), None)
    model = merge.build((512,), vocabulary.vocabulary_size)
    learner = compiled_trainer(model, merge.optimizer(recipe, captions.steps(recipe.batch_size)))
    data = captions.ordered(recipe.batch_size)
    return {
        "an epoch": seconds_of(lambda: learner.fit(data, shuffle=False, verbose=0)),
        "1,000 captions": seconds_of(lambda: decoding.caption(model, captions.features[:1000], vocabulary)),
    }


def update(method: str, precision: devices.Policy, xla: bool, sizes: Sizes) -> tuple[float, float]:
    """Return the seconds of a method's update, its photographs in the device's memory, and its operations."""
    devices.prepare(precision)
    module = import_module(METHODS[method])
    config = module.Settings(batch_size=sizes.batch, width=sizes.width, precision=precision, xla=xla, winograd=False)
    _, model = run.build_views(config, module.build, sizes.updates)
    pixels = np.random.default_rng(0).integers(0, 256, (sizes.photographs, SIDE, SIDE, 3), "uint8")
    model.draw = run.drawer(pixels, run.recipe_of(config))
    epoch = decoded.batches(pixels, sizes.batch, 0, lambda rows, indices, seed: (indices, seed))
    data = epoch(tf.constant(0, tf.int64)).repeat().prefetch(2)
    seconds = seconds_of(lambda: model.fit(data, steps_per_epoch=sizes.updates, shuffle=False, verbose=0))
    forward = operations(model.network, (config.size, config.size, 3))
    forward += operations(model.head, model.head.input_shape[1:])
    return seconds / sizes.updates, sizes.batch * PASSES.get(method, 6) * forward


# Pre-training --------------------------------------------------------------------------------------------------------


def pretrain(results: Results, folder: Path, seconds: float, sizes: Sizes) -> None:
    """Train SimCLR in the quickest way for so many seconds, and judge its encoder."""
    (precision, xla), labelled, out = quickest(results, sizes), folder / "labelled", results.folder / "simclr_run"
    sources = (folder / "photographs", labelled / "train")
    epoch = len(decoded.select(sources)) // sizes.batch * timed("SimCLR", precision, xla, results, sizes)["seconds"]
    # A fifth is for kNN, checkpoints and scores. A later run goes on to the epochs of the first.
    epochs = results.once("epochs of SimCLR", lambda: max(1, int(0.8 * seconds / epoch)))
    words = ["--batch-size", sizes.batch, "--width", sizes.width, "--epochs", epochs, "--precision", precision]
    words += ["--knn-train", labelled / "train", "--knn-test", labelled / "val", "--knn-every", max(1, epochs // 20)]
    call("simclr.main", "--photographs", *sources, "--out", out, *words, *["--xla"] * xla)
    results.once("scores", lambda: scores(out, labelled))


def scores(run: Path, labelled: Path) -> list[dict[str, Any]]:
    """Return what a run's encoder knows of classes, and what it knew before its training."""
    data = ["--train", labelled / "train", "--test", labelled / "val", "--cache", run, "--out", run / "scores.json"]
    call("encoders.evaluate", "--encoder", run / "encoder.keras", *data)
    return disk.read_json(run / "scores.json")


def report(values: dict[str, Any]) -> str:
    """Return what is measured so far as Markdown."""
    tests = values.get("tests", {"tests": 0, "failed": {}})
    lines = [f"# {values['device']}", "", f"{len(tests['failed'])} of {tests['tests']} tests failed", ""]
    lines += [f"- `{name}`: {' '.join(message.split())[:200]}" for name, message in tests["failed"].items()]
    lines += ["", *(f"- {name}: {value:.4g}" for name, value in values.items() if isinstance(value, int | float))]
    lines += [f"- {name}: {value:.4g} s" for name, value in values.get("steps 2 and 3, seconds", {}).items()]
    lines += ["", "| an update of | ms | by arithmetic, ms | ratio |", "|---|---|---|---|"]
    for name, found in values.items():
        if name.startswith(UPDATE):
            seconds, limit = found["seconds"], found["by arithmetic"]
            lines.append(
                f"| {name.removeprefix(UPDATE)} | {1e3 * seconds:.1f} | {1e3 * limit:.2f} | {seconds / limit:.1f} |"
            )
    for row in values.get("scores", ()):
        lines += ["", f"{row['encoder']}: kNN {row['neighbours']:.3f}, linear {row['linear']:.3f}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    settings.run(main)
