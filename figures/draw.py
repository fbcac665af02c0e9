"""Draw the README's pictures: SimCLR's curves from the log of the encoder that is shipped, its views and neighbours from drawn scenes.

    python -m figures.draw

Reads Pre-trained/. Writes simclr_curves.png, simclr_views.png and simclr_neighbours.png beside this file. No photograph of a data set is in them.
"""

import csv
from pathlib import Path
from random import Random

from captioning import devices, files
from captioning.features import Network
from demo import pictures, scenes
from pretext.watch import draw_curves
from simclr import watch
from simclr.views import Recipe

import numpy as np

FOLDER = Path(__file__).parent
TRAINED = FOLDER.parent / "Pre-trained"


def main() -> None:
    devices.prepare()
    network = Network(files.read_encoder(TRAINED / "simclr_encoder.keras"))
    pixels = drawn(600, network.height)
    draw_curves(FOLDER / "simclr_curves.png", history(), ("loss",), ("accuracy", "spread", "knn"))
    watch.draw_views(FOLDER / "simclr_views.png", pixels, Recipe(64, 0.2, 0.5, blur=0.2), seed=0, count=12)
    watch.draw_neighbours(FOLDER / "simclr_neighbours.png", network, pixels, count=4)


def history() -> dict[str, list[float]]:
    """Return the log of the shipped encoder's training."""
    rows = list(csv.DictReader(files.read_text(TRAINED / "simclr_history.csv").splitlines()))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def drawn(count: int, size: int) -> np.ndarray:
    """Draw scenes of the demo's world: uint8 (count, size, size, 3)."""
    chosen = list(scenes.splits(count, seed=0)["train"].values())[:count]
    return np.stack(
        [pictures.picture(scene, Random(number)).resize((size, size)) for number, scene in enumerate(chosen)]
    )


if __name__ == "__main__":
    main()
