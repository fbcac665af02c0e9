"""What several tests of encoders look at."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CHECKPOINTS = Path(__file__).parents[1] / "fixtures" / "checkpoints"


@pytest.fixture(scope="session")
def seen(tmp_path_factory) -> Path:
    """A folder of the photographs whose statistics the fixtures' networks hold: the drawn ones and their mirror images."""
    folder = tmp_path_factory.mktemp("seen")
    for number, drawn in enumerate(np.load(CHECKPOINTS / "features.npz")["photographs"]):
        turned = {"": drawn, "x": drawn[:, ::-1], "y": drawn[::-1], "xy": drawn[::-1, ::-1]}
        for name, photograph in turned.items():
            Image.fromarray(photograph).save(folder / f"{number}{name}.png")
    return folder
