"""Pre-train an encoder on photographs without labels: SimSiam (Chen & He 2021, arXiv 2011.10566).

    python -m pretext.simsiam --photographs Flicker8k_Dataset --only Flickr8k_text/Flickr_8k.trainImages.txt --out simsiam_run

A small network predicts one view's projection from the other's. No gradient flows into what is predicted: that alone keeps all
projections from becoming equal. Reads and writes what simclr.main reads and writes.
"""

from dataclasses import dataclass
from pathlib import Path

import keras
from keras import ops

from core import settings
from pretext import run
from pretext.siamese import Siamese, head, unit


@dataclass(frozen=True)
class Settings(run.ViewSettings):
    """Edit these here, or override them on the command line."""

    # Data
    out: Path = Path("simsiam_run")
    """Folder for everything that is written."""

    # Loss
    dimension: settings.Count = 2048
    """Dimension of the projections, and width of the head's three layers. The predictor's hidden layer has a quarter of it."""


def main(arguments: list[str] | None = None) -> None:
    run.train_views(settings.from_command_line(Settings, arguments), build)


class SimSiam(Siamese):
    """Views (N, 2, H, W, 3) -> projections z (N, 2, D), each of which is predicted from the other view's."""

    def __init__(self, network: keras.Model, dimension: int):
        super().__init__(network, head(network.output_shape[-1], dimension, dimension, dimension, closing=True))
        self.predictor = head(dimension, max(dimension // 4, 1), dimension, name="predictor")

    def objective(self, views, projections):
        first, second = projections[:, 0], projections[:, 1]
        return simsiam(self.predictor(first, training=True), self.predictor(second, training=True), first, second)


def simsiam(first_predicted, second_predicted, first, second):
    """Return D(p1, z2) / 2 + D(p2, z1) / 2 with D = -cosine and without a gradient into z (equations 1 to 4): all (N, D).

    :param first_predicted: p1, what is predicted from z1, `first`.
    """

    def distance(predicted, projections):
        return -ops.mean(ops.sum(unit(predicted) * unit(ops.stop_gradient(projections)), axis=-1))

    return distance(first_predicted, second) / 2 + distance(second_predicted, first) / 2


def build(config: Settings, network: keras.Model, updates: int) -> SimSiam:
    """Return the method around a network, for training."""
    return SimSiam(network, config.dimension)


if __name__ == "__main__":
    settings.run(main)
