"""Pre-train an encoder on photographs without labels: VICReg (Bardes et al. 2022, arXiv 2105.04906).

    python -m pretext.vicreg --photographs Flicker8k_Dataset --only Flickr8k_text/Flickr_8k.trainImages.txt --out vicreg_run

The two views of a photograph must have equal projections (invariance). Each number must vary over the batch (variance), and be uncorrelated
with the other numbers (covariance). Reads and writes what simclr.main reads and writes.
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
    out: Path = Path("vicreg_run")
    """Folder for everything that is written."""

    # Loss
    invariance: settings.Positive = 25.0
    """Weight of the distance of the two views (lambda)."""
    variance: settings.Positive = 25.0
    """Weight of standard deviations below 1 (mu)."""
    covariance: settings.Positive = 1.0
    """Weight of the covariances (nu)."""
    dimension: settings.Count = 2048
    """Dimension of the projections, and width of the head's three layers."""


def main(arguments: list[str] | None = None) -> None:
    run.train_views(settings.from_command_line(Settings, arguments), build)


class VICReg(Siamese):
    """Views (N, 2, H, W, 3) -> projections (N, 2, D), near for the views of one photograph, and spread over the batch."""

    def __init__(self, network: keras.Model, weights: tuple[float, float, float], dimension: int):
        super().__init__(network, head(network.output_shape[-1], dimension, dimension, dimension))
        self.terms = weights

    def objective(self, views, projections):
        return vicreg(gather(projections[:, 0]), gather(projections[:, 1]), *self.terms)


def vicreg(first, second, invariance: float, variance: float, covariance: float):
    """Return lambda x s(Z, Z') + mu x (v(Z) + v(Z')) + nu x (c(Z) + c(Z')) (equation 6), with s as the mean over numbers of algorithm 1.

    :param first: Z (N, D), projections of one view of each photograph of the whole batch; `second`, Z', of the other.
    """
    spreads, shared = zip(*map(spread_of, (first, second)), strict=True)
    return invariance * ops.mean((first - second) ** 2) + variance * sum(spreads) + covariance * sum(shared)


def spread_of(projections):
    """Return v, the mean of max(0, 1 - standard deviation), and c, the sum of squared covariances over D (equations 1 to 4)."""
    count, dimension = ops.cast(ops.shape(projections)[0], "float32"), projections.shape[1]
    centred = projections - ops.mean(projections, axis=0)
    covariances = ops.matmul(ops.transpose(centred), centred) / (count - 1)  # (D, D)
    variances = ops.diagonal(covariances)
    v = ops.mean(ops.relu(1 - ops.sqrt(variances + 1e-4)))
    return v, (ops.sum(covariances**2) - ops.sum(variances**2)) / dimension


def build(config: Settings, network: keras.Model, updates: int) -> VICReg:
    """Return the method around a network, for training."""
    return VICReg(network, (config.invariance, config.variance, config.covariance), config.dimension)


if __name__ == "__main__":
    settings.run(main)
