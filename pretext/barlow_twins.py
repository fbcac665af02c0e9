"""Pre-train an encoder on photographs without labels: Barlow Twins (Zbontar et al. 2021, arXiv 2103.03230).

    python -m pretext.barlow_twins --photographs Flicker8k_Dataset --only Flickr8k_text/Flickr_8k.trainImages.txt --out barlow_twins_run

Each number of the projection must be equal in both views of a photograph, and uncorrelated with the other numbers.
Reads and writes what simclr.main reads and writes.
"""

from dataclasses import dataclass
from pathlib import Path

import keras
from keras import ops

from core import settings
from pretext import run
from pretext.siamese import Siamese, gather, head


@dataclass(frozen=True)
class Settings(run.ViewSettings):
    """Edit these here, or override them on the command line."""

    # Data
    out: Path = Path("barlow_twins_run")
    """Folder for everything that is written."""

    # Loss
    off_diagonal: settings.Positive = 0.005
    """Weight of the correlations between different numbers (lambda)."""
    dimension: settings.Count = 2048
    """Dimension of the projections, and width of the head's three layers."""

    # Training
    learning_rate: settings.Positive = 0.004
    """The highest learning rate, for 256 photographs a batch; it is scaled by batch_size / 256. It is low because the loss is a sum over all numbers."""

    # Views
    solarize: settings.Share = 0.2
    """Probability that the second view is solarized."""


def main(arguments: list[str] | None = None) -> None:
    run.train_views(settings.from_command_line(Settings, arguments), build)


class BarlowTwins(Siamese):
    """Views (N, 2, H, W, 3) -> projections (N, 2, D). The correlation matrix of the two views is trained to be the identity."""

    def __init__(self, network: keras.Model, off_diagonal: float, dimension: int):
        super().__init__(network, head(network.output_shape[-1], dimension, dimension, dimension))
        self.off_diagonal = off_diagonal

    def objective(self, views, projections):
        return barlow_twins(gather(projections[:, 0]), gather(projections[:, 1]), self.off_diagonal)


def barlow_twins(first, second, off_diagonal: float):
    """Return sum_i (1 - C_ii)^2 + lambda x sum_(i != j) C_ij^2 of the views' correlation C (equations 1 and 2).

    :param first: (N, D), projections of one view of each photograph of the whole batch; `second`, of the other.
    """
    count = ops.cast(ops.shape(first)[0], "float32")
    correlation = ops.matmul(ops.transpose(standardised(first)), standardised(second)) / count  # (D, D)
    diagonal = ops.diagonal(correlation)
    others = ops.sum(correlation**2) - ops.sum(diagonal**2)
    return ops.sum((1 - diagonal) ** 2) + off_diagonal * others


def standardised(projections):
    """Return projections (N, D) whose numbers have a mean of 0 and a variance of 1 over the batch."""
    mean, variance = ops.moments(ops.cast(projections, "float32"), axes=0)
    return (projections - mean) / ops.sqrt(variance + 1e-5)


def build(config: Settings, network: keras.Model, updates: int) -> BarlowTwins:
    """Return the method around a network, for training."""
    return BarlowTwins(network, config.off_diagonal, config.dimension)


if __name__ == "__main__":
    settings.run(main)
