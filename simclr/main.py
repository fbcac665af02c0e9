"""Pre-train an encoder on photographs without labels: SimCLR (Chen et al. 2020, arXiv 2002.05709).

    python -m simclr.main --photographs Flicker8k_Dataset --only Flickr8k_text/Flickr_8k.trainImages.txt --out simclr_run

Reads folders of photographs, or one HDF5 file of jigsaw.to_hdf5. Writes, into --out:
    encoder.keras                         the encoder, for step 1
    checkpoint.weights.h5                 the state after the last epoch; the same command goes on from it
    history.csv, curves.png, tensorboard  loss, contrastive accuracy, spread, kNN, linear probe and effective rank by epoch
    views.png, neighbours.png             the views of some photographs, and their nearest neighbours
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras

from core import settings
from pretext import run
from simclr.model import SimCLR


@dataclass(frozen=True)
class Settings(run.ViewSettings):
    """Edit these here, or override them on the command line."""

    # Data
    out: Path = Path("simclr_run")
    """Folder for everything that is written."""

    # Loss
    temperature: settings.Positive = 0.2
    """Temperature of NT-Xent. A lower one gives the nearest negatives more weight."""
    head_layers: Literal[2, 3] = 2
    """Layers of the projection head."""
    dimension: settings.Count = 128
    """Dimension of the projections."""


def main(arguments: list[str] | None = None) -> None:
    run.train_views(settings.from_command_line(Settings, arguments), build)


def build(config: Settings, network: keras.Model, updates: int) -> SimCLR:
    """Return SimCLR around a network, for training."""
    return SimCLR(network, temperature=config.temperature, head_layers=config.head_layers, dimension=config.dimension)


if __name__ == "__main__":
    settings.run(main)
