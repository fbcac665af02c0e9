"""Fixtures that several tests share: drawn photographs, the scripts as modules, the real data when it is there."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


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
def flickr8k() -> Path:
    """The folder of the real Flickr8k in its official layout, named by the variable FLICKR8K; the test is skipped without it."""
    folder = os.environ.get("FLICKR8K")
    if not folder:
        pytest.skip("set FLICKR8K=DIR (with Flicker8k_Dataset/ and Flickr8k_text/) to run the tests on real data")
    return Path(folder)


def assert_same_losses(one: Path, other: Path, tolerance: float = 1e-4) -> None:
    """Compare the losses in two history.csv: equal but for rounding, which the load of the processors can change."""
    losses = [np.genfromtxt(path, delimiter=",", names=True)["loss"] for path in (one, other)]
    np.testing.assert_allclose(*losses, rtol=tolerance)
