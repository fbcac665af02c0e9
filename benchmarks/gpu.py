"""Measure and use an NVIDIA GPU: which tests fail, how fast the steps are, and what an encoder learns in the minutes that are left.

    python -m benchmarks.gpu --pack photographs.tar --photographs Flicker8k_Dataset --labelled imagenette    # where the photographs are
    make gpu ARCHIVE=photographs.tar MINUTES=60                                                             # where the GPU is

The archive holds JPEGs of 96 pixels, a few kilobytes each. Writes, into --out, what is finished, and does it once:
    tests.json      the tests that failed, with their messages
    timings.json    seconds of the steps and of each method's update, beside what the card's arithmetic allows
    epochs.json     how many passes of pre-training fit into the minutes that are left
    simclr_run/     the encoder
    scores.json     its kNN and linear probe
    report.md       all of these
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

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.methods import METHODS
from benchmarks.simclr_update import operations
from captioning import batches, decoding
from captioning.models import merge
from captioning.tokenizer import Tokenizer, wrap
from captioning.train import Recipe, compiled_trainer
from core import devices, disk, settings
from core.errors import InputError
from encoders import decoded, make, photographs
from encoders.extract import Network
from pretext import run
from pretext.momentum import MomentumSiamese

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
    sizes = TOY if config.dry_run else Sizes()
    devices.prepare()
    folder = unpacked(config.archive, config.out)
    once(config.out / "tests.json", lambda: failures(sizes.tests, config.out / "tests.xml"))
    timings = once(config.out / "timings.json", lambda: timed(sizes))
    write_report(config.out)
    left = 60 * config.minutes - (time.monotonic() - begun)
    once(config.out / "scores.json", lambda: pretrain(folder, config.out, timings, left, sizes))
    write_report(config.out)


def once(path: Path, work: Callable[[], Any]) -> Any:
    """Return what `work` returns, or returned in an earlier run."""
    if not path.exists():
        disk.write_json(path, work())
    return disk.read_json(path)


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


def timed(sizes: Sizes) -> dict[str, Any]:
    """Return what is measured, by name."""
    limits = {name: arithmetic(name) for name in ("float32", "bfloat16")}
    measured = {"device": device(), "operations a second of a large matrix product": limits}
    measured["step 1, photographs a second"] = features_a_second(sizes)
    measured["step 2, seconds of an epoch"], measured["step 3, seconds for the captions"] = captioner(sizes)
    measured["update"] = updates = {}
    for precision, xla in sizes.ways:
        updates[f"SimCLR, {precision}{', XLA' * xla}"] = update("SimCLR", precision, xla, sizes)
    _, precision, *xla = min(updates, key=lambda way: updates[way]["seconds"]).split(", ")
    for method in sizes.methods[1:]:  # in the quickest way
        updates[", ".join([method, precision, *xla])] = update(method, precision, bool(xla), sizes)
    for way, found in updates.items():
        found["limit"] = found["operations"] / limits["bfloat16" if "bfloat16" in way else "float32"]
    return measured


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


def arithmetic(dtype: str, side: int = 4096) -> float:
    """Return the operations a second of a large matrix product."""
    matrix = tf.cast(tf.random.normal((side, side)), dtype)
    return 2 * side**3 / seconds_of(lambda: tf.reduce_sum(tf.matmul(matrix, matrix)).numpy())


def features_a_second(sizes: Sizes) -> float:
    """Return how many photographs of 224 pixels, ready in memory, become features in a second."""
    network = Network(make.untrained(sizes.encoder, "untrained", 224, "imagenet"), batch_size=sizes.batch)
    pixels = np.random.default_rng(0).integers(0, 256, (sizes.batch, 224, 224, 3), "uint8")
    return sizes.batch / seconds_of(lambda: network(pixels))


def captioner(sizes: Sizes) -> tuple[float, float]:
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
    epoch = seconds_of(lambda: learner.fit(data, shuffle=False, verbose=0))
    return epoch, seconds_of(lambda: decoding.caption(model, captions.features[:1000], vocabulary))


def update(method: str, precision: devices.Policy, xla: bool, sizes: Sizes) -> dict[str, float]:
    """Return the seconds of a method's update, its photographs in the device's memory, and the operations that it must do."""
    devices.prepare(precision)
    module = import_module(METHODS[method])
    config = module.Settings(batch_size=sizes.batch, width=sizes.width, precision=precision, xla=xla, winograd=False)
    _, model = run.build_views(config, module.build, sizes.updates)
    pixels = np.random.default_rng(0).integers(0, 256, (sizes.photographs, SIDE, SIDE, 3), "uint8")
    model.draw = run.drawer(pixels, run.recipe_of(config))
    epochs = decoded.batches(pixels, sizes.batch, 0, lambda rows, indices, seed: (indices, seed))
    data = epochs(tf.constant(0, tf.int64)).repeat().prefetch(2)
    seconds = seconds_of(lambda: model.fit(data, steps_per_epoch=sizes.updates, shuffle=False, verbose=0))
    print(f"{method}, {precision}{', XLA' * xla}: {1000 * seconds / sizes.updates:.1f} ms an update", flush=True)
    return {"seconds": seconds / sizes.updates, "operations": work(model, config)}


def work(model: keras.Model, config: run.ViewSettings) -> float:
    """Return the operations of an update: of a view that is learnt from thrice those of its forward pass, for both gradients."""
    moco = "queue" in vars(config)
    learnt, copied = (1, 1) if moco else (2, 2 * isinstance(model, MomentumSiamese))
    network = operations(model.network, (config.size, config.size, 3))
    return config.batch_size * (3 * learnt + copied) * (network + operations(model.head, model.head.input_shape[1:]))


# Pre-training --------------------------------------------------------------------------------------------------------


def pretrain(folder: Path, out: Path, timings: dict[str, Any], seconds: float, sizes: Sizes) -> dict[str, Any]:
    """Train SimCLR in the quickest way for so many seconds, and return what its encoder scores."""
    ways = {way: found["seconds"] for way, found in timings["update"].items() if way.startswith("SimCLR, ")}
    _, precision, *xla = min(ways, key=ways.get).split(", ")
    sources = (folder / "photographs", folder / "labelled/train")
    updates = max(1, len(decoded.select(sources)) // sizes.batch)
    whole = max(1, int(0.8 * seconds / (updates * min(ways.values()))))  # a fifth for kNN, checkpoints and scores
    epochs = once(out / "epochs.json", lambda: whole)  # of the first run, so that a later one goes on from it
    place, labelled = out / "simclr_run", folder / "labelled"
    options = f"--batch-size {sizes.batch} --width {sizes.width} --epochs {epochs} --knn-every {max(1, epochs // 20)} --precision {precision}"
    call("simclr.main", "--photographs", *sources, "--knn-train", labelled / "train", "--knn-test", labelled / "val",
        "--out", place, *options.split(), *(["--xla"] if xla else []))  # fmt: skip
    judged = place / "evaluation.json"
    call("encoders.evaluate", "--encoder", place / "encoder.keras", "--train", labelled / "train",
        "--test", labelled / "val", "--out", judged, "--cache", place)  # fmt: skip
    return {"epochs": epochs, "encoders": disk.read_json(judged)}


def call(module: str, *words: object) -> None:
    subprocess.run([sys.executable, "-m", module, *map(str, words)], check=True)


def write_report(out: Path) -> None:
    """Write report.md of what is finished."""
    tests, timings = (disk.read_json(out / f"{name}.json") for name in ("tests", "timings"))
    lines = [f"# {timings['device']}", "", f"{len(tests['failed'])} of {tests['tests']} tests failed", ""]
    lines += [f"- `{name}`: {message.splitlines()[0] if message else ''}" for name, message in tests["failed"].items()]
    lines += ["", *(f"- {name}: {value:.4g}" for name, value in timings.items() if isinstance(value, float)), ""]
    lines += ["| update | ms | by the card's arithmetic, ms | times |", "|---|---|---|---|"]
    for name, found in timings["update"].items():
        seconds, limit = found["seconds"], found["limit"]
        lines.append(f"| {name} | {1000 * seconds:.1f} | {1000 * limit:.2f} | {seconds / limit:.1f} |")
    if (out / "scores.json").exists():
        scores = disk.read_json(out / "scores.json")
        lines += ["", f"SimCLR, {scores['epochs']} epochs:", ""]
        lines += [
            f"- {row['encoder']}: kNN {row['neighbours']:.3f}, linear {row['linear']:.3f}" for row in scores["encoders"]
        ]
    disk.write_text(out / "report.md", "\n".join(lines) + "\n")
    print(f"wrote {out / 'report.md'}")


if __name__ == "__main__":
    settings.run(main)
