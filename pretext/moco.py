"""Pre-train an encoder on photographs without labels: MoCo v2 (He et al. 2020, arXiv 1911.05722; Chen et al. 2020, arXiv 2003.04297).

    python -m pretext.moco --photographs Flicker8k_Dataset --only Flickr8k_text/Flickr_8k.trainImages.txt --out moco_run

A view's projection, the query, must be nearer to the key of the other view than to the keys of other photographs. Keys come from a copy that
follows the network slowly. Those of earlier batches stay in a queue. Reads and writes what simclr.main reads and writes.
"""

from dataclasses import dataclass
from pathlib import Path

import keras
from keras import ops

from core import settings
from core.errors import InputError
from pretext import run
from pretext.momentum import MomentumSiamese, Queue
from pretext.siamese import head, unit


@dataclass(frozen=True)
class Settings(run.ViewSettings):
    """Edit these here, or override them on the command line."""

    # Data
    out: Path = Path("moco_run")
    """Folder for everything that is written."""

    # Loss
    temperature: settings.Positive = 0.2
    """Temperature of the loss. A lower one gives the nearest negatives more weight."""
    momentum: settings.Share = 0.99
    """Momentum of the copy that makes the keys. The paper has .999 for long training."""
    queue: settings.Count = 4096
    """Keys of earlier batches that are the negatives: a multiple of --batch-size."""
    dimension: settings.Count = 128
    """Dimension of the projections."""


def main(arguments: list[str] | None = None) -> None:
    run.train_views(settings.from_command_line(Settings, arguments), build)


class MoCo(MomentumSiamese):
    """Views (N, 2, H, W, 3) -> queries (N, 1, D) of the first views; the copy makes keys of the second ones.

    `fit` reports `accuracy` too: how often a query's own key is nearer than all of the queue.
    """

    def __init__(self, network: keras.Model, temperature: float, momentum: float, queue: int, dimension: int):
        features = network.output_shape[-1]
        super().__init__(network, head(features, features, dimension), momentum)
        self.queue = Queue(queue, dimension)
        self.temperature = temperature
        self.accuracy = keras.metrics.Mean("accuracy")

    def call(self, views, training: bool | None = None):
        return super().call(views[:, :1], training)

    def objective(self, views, projections):
        queries, keys = unit(projections[:, 0]), unit(self.targets(views[:, 1:])[:, 0])
        losses, right = info_nce(queries, keys, self.queue.keys, self.temperature)
        self.queue.push(keys)
        self.accuracy.update_state(ops.cast(right, "float32"))
        return ops.mean(losses)


def info_nce(queries, keys, negatives, temperature: float):
    """Return -log(exp(q k / t) / (exp(q k / t) + sum_i exp(q k_i / t))) of each query (equation 1), (N,), and whether q k is the largest.

    :param queries: q (N, D) of length 1; `keys`, k (N, D), their positives; `negatives`, k_i (K, D).
    """
    positive = ops.sum(queries * keys, axis=-1) / temperature  # (N,)
    negative = ops.matmul(queries, ops.transpose(negatives)) / temperature  # (N, K)
    everything = ops.concatenate([positive[:, None], negative], axis=1)
    return ops.logsumexp(everything, axis=1) - positive, positive > ops.max(negative, axis=1)


def build(config: Settings, network: keras.Model, updates: int) -> MoCo:
    """Return the method around a network, for training.

    :raises InputError: the queue is no multiple of the batch.
    """
    if config.queue % config.batch_size:
        raise InputError(
            f"expected a --queue that is a multiple of --batch-size {config.batch_size}, found {config.queue}; "
            f"give for example {config.batch_size * max(1, config.queue // config.batch_size)}"
        )
    return MoCo(network, config.temperature, config.momentum, config.queue, config.dimension)


if __name__ == "__main__":
    settings.run(main)
