"""Fixtures that several tests share: drawn photographs, the scripts as modules, the real data when it is there."""

import contextlib
import importlib
import importlib.util
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # tests that run at the same time share a GPU
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # what they compare is float32, not its first 10 bits

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from core import disk, keras_files, training

tf.config.experimental.enable_tensor_float_32_execution(False)  # as NVIDIA_TF32_OVERRIDE, which subprocesses inherit

ROOT = Path(__file__).parents[1]
TOKEN = "Flickr8k_text/Flickr8k.token.txt"
TRAIN = "Flickr8k_text/Flickr_8k.trainImages.txt"
ALONE = """
import sys, keras, numpy
model = keras.models.load_model(sys.argv[1], safe_mode=True)
numpy.save(sys.argv[3], model.predict(numpy.load(sys.argv[2]), verbose=0))
assert not any(name.split(".")[0] in ("captioning", "pretext", "simclr", "jigsaw") for name in sys.modules)
"""


LONG = (
    "test_crashes",
    "test_workers",
    "test_demo",
    "test_ablation",
    "test_jigsaw_main",
    "test_hostile_files",
    "test_bad_input",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that two processes end at the same time."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


def pytest_terminal_summary(terminalreporter) -> None:
    """Count what a soak has borne."""
    counts = Counter()
    for report in terminalreporter.getreports("passed"):
        counts.update(dict(report.user_properties))
        counts["hostile files refused"] += "test_hostile_files" in report.nodeid
    if "SOAK_KILLS" in os.environ:
        terminalreporter.write_line(", ".join(f"{name}: {count:,}" for name, count in sorted(counts.items())))


@pytest.fixture
def script() -> Callable[[str], ModuleType]:
    """Load a numbered script, whose name cannot be imported, as a module: `script("4_tokenizer").main([...])`."""

    def load(name: str) -> ModuleType:
        specification = importlib.util.spec_from_file_location(f"script_{name}", ROOT / f"{name}.py")
        module = importlib.util.module_from_spec(specification)
        sys.modules[specification.name] = module
        specification.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def photographs_folder(tmp_path: Path) -> Path:
    """A folder of six drawn photographs, 48 x 40, named photo0.jpg to photo5.jpg."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(6):
        ramp = np.linspace(0, 255, 48 * 40 * 3).reshape(40, 48, 3)
        pixels = np.roll(ramp, number * 700).astype("uint8")
        Image.fromarray(pixels).save(folder / f"photo{number}.jpg", quality=95)
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """A folder in which steps 1, 2 and 4 have run on eight drawn photographs, with every default in its place."""
    folder = tmp_path_factory.mktemp("world")
    with contextlib.chdir(folder):
        draw(folder)
        for words in ("1_data_preprocessor --encoder encoder.keras", "2_train_IC_model --epochs 1", "4_tokenizer"):
            command(words)()
    return folder


def draw(folder: Path) -> None:
    random, names = np.random.default_rng(0), [f"photo{number}" for number in range(8)]
    for place in ("Flicker8k_Dataset", "Examples", "labelled/cat", "labelled/dog"):
        (folder / place).mkdir(parents=True)
        for name in names:
            Image.fromarray(random.integers(0, 256, (16, 16, 3), "uint8")).save(folder / place / f"{name}.png")
    captions = zip(names, ["red", "blue"] * 4, strict=True)
    disk.write_text(folder / TOKEN, "".join(f"{name}.png#0\tA {colour} dog and cat run\n" for name, colour in captions))
    for split, part in (("train", names[:6]), ("dev", names[6:])):
        disk.write_text(
            folder / f"Flickr8k_text/Flickr_8k.{split}Images.txt", "".join(f"{name}.png\n" for name in part)
        )
    with h5py.File(folder / "photographs.h5", "w") as file:
        for part, count in (("train", 8), ("val", 5), ("test", 4)):
            file[f"{part}_img"] = random.integers(1, 256, (count, 48, 48, 3), "uint8")
    keras_files.write(folder / "encoder.keras", toy_encoder())


def command(words: str, *more: str) -> Callable[[], None]:
    """Return what a command line calls: `command("4_tokenizer --out FILE")()`; more words may have spaces."""
    name, *arguments = [*words.split(), *more]
    if ROOT not in map(Path, sys.path):
        sys.path.append(str(ROOT))
    return lambda: importlib.import_module(name).main(arguments)


def run_in_two_parts(run: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop a training run after its second epoch, and start it again."""

    def stop(self: training.Checkpoint, epoch: int, logs: dict[str, float]) -> None:
        finish(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    finish = training.Checkpoint.on_epoch_end
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(training.Checkpoint, "on_epoch_end", stop)
        run()
    run()


def toy_encoder(height: int | None = 8, channels: int = 3, dimension: int = 4, scale: float = 1) -> keras.Model:
    """Return an encoder of a photograph's mean colour."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((height, height, channels), dtype="uint8")
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(scale)(pixels))
    return keras.Model(pixels, keras.layers.Dense(dimension)(mean))


@pytest.fixture(scope="session")
def flickr8k() -> Path:
    """The folder of the real Flickr8k in its official layout, named by the variable FLICKR8K; the test is skipped without it."""
    folder = os.environ.get("FLICKR8K")
    if not folder:
        pytest.skip("set FLICKR8K=DIR (with Flicker8k_Dataset/ and Flickr8k_text/) to run the tests on real data")
    return Path(folder)


def draw_classes(folder: Path, count: int) -> Path:
    """Draw two classes into the folder, some photographs each: reddish patches and bluish ones, 24 x 24."""
    random = np.random.default_rng(0)
    for name, colour in (("blue", (60, 90, 250)), ("red", (250, 80, 60))):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            patches = np.kron(random.random((4, 4, 1)), np.ones((6, 6, 1))) * colour
            Image.fromarray(patches.astype("uint8")).save(folder / name / f"{name}{number}.png")
    return folder


def features_alone(path: Path, photographs: np.ndarray) -> np.ndarray:
    """Return an encoder's features as another process computes them, which has none of our modules; files lie beside it."""
    inputs, outputs = path.with_name("photographs.npy"), path.with_name("features.npy")
    np.save(inputs, photographs)
    subprocess.run([sys.executable, "-c", ALONE, path, inputs, outputs], check=True, cwd=path.parent)
    return np.load(outputs)


def assert_same_losses(one: Path, other: Path, tolerance: float = 1e-4) -> None:
    """Compare the losses in two history.csv: equal but for rounding, which the load of the processors can change."""
    losses = [np.genfromtxt(path, delimiter=",", names=True)["loss"] for path in (one, other)]
    np.testing.assert_allclose(*losses, rtol=tolerance)
