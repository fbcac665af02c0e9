"""Pre-train an encoder on photographs without labels: BYOL (Grill et al. 2020, arXiv 2006.07733).

    python -m pretext.byol --photographs Flicker8k_Dataset --only Flickr8k_text/Flickr_8k.trainImages.txt --out byol_run

The network sees one view, and predicts the projection of the other view by a copy that follows the network slowly.
Reads and writes what simclr.main reads and writes.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import keras
from keras import ops

from core import settings
from pretext import run
from pretext.momentum import MomentumSiamese
from pretext.siamese import head, unit


@dataclass(frozen=True)
class Settings(run.ViewSettings):
    """Edit these here, or override them on the command line."""

    # Data
    out: Path = Path("byol_run")
    """Folder for everything that is written."""

    # Loss
    momentum: settings.Share = 0.99
    """Momentum of the copy in the first update. It rises to 1 on a cosine."""
    hidden: settings.Count = 2048
    """Width of the hidden layers of the head and of the predictor."""
    dimension: settings.Count = 256
    """Dimension of the projections."""

    # Views
    solarize: settings.Share = 0.2
    """Probability that the second view is solarized."""


def main(arguments: list[str] | None = None) -> None:
    run.train_views(settings.from_command_line(Settings, arguments), build)


class BYOL(MomentumSiamese):
    """Views (N, 2, H, W, 3) -> projections (N, 2, D), from which the copy's projections of the other view are predicted.

    :param updates: of the whole training, over which the momentum rises.
    """

    def __init__(self, network: keras.Model, momentum: float, hidden: int, dimension: int, updates: int):
        super().__init__(network, head(network.output_shape[-1], hidden, dimension), momentum)
        self.predictor = head(dimension, hidden, dimension, name="predictor")
        self.updates = updates

    def momentum_now(self):
        done = ops.minimum(ops.cast(self.optimizer.iterations, "float32") / self.updates, 1.0)
        return 1 - (1 - self.momentum) * (ops.cos(math.pi * done) + 1) / 2  # section 3.3

    def objective(self, views, projections):
        predicted = self.predictor(ops.reshape(projections, (-1, projections.shape[-1])), training=True)  # (2N, D)
        return byol(ops.reshape(predicted, ops.shape(projections)), self.targets(views))


def byol(predicted, targets):
    """Return the mean of |q1 - z2|^2 + |q2 - z1|^2 over photographs, all of length 1 (equation 2, for both orders of the views).

    :param predicted: q (N, 2, D), the predictions from each view; `targets`, z, the copy's projections.
    """
    cosines = ops.sum(unit(predicted) * unit(targets)[:, ::-1], axis=-1)  # (N, 2)
    return ops.mean(ops.sum(2 - 2 * cosines, axis=-1))


def build(config: Settings, network: keras.Model, updates: int) -> BYOL:
    """Return the method around a network, for training."""
    return BYOL(network, config.momentum, config.hidden, config.dimension, config.epochs * updates)


if __name__ == "__main__":
    settings.run(main)
