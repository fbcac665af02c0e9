"""Pre-train an encoder on photographs without labels: SimCLR (Chen et al. 2020, arXiv 2002.05709).

    python -m simclr.main --photographs Flicker8k_Dataset --only Flickr8k_text/Flickr_8k.trainImages.txt --out simclr_run

Reads folders of photographs, or one HDF5 file of jigsaw.to_hdf5. Writes, into --out:
    encoder.keras                         the encoder, for step 1
    checkpoint.weights.h5                 the state after the last epoch; the same command goes on from it
    history.csv, curves.png, tensorboard  loss, contrastive accuracy, spread and kNN by epoch
    views.png, neighbours.png             the views of some photographs, and their nearest neighbours
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras
import tensorflow as tf

from core import settings
from encoders import decoded
from pretext import run, views
from pretext.run import ResNetSettings
from pretext.watch import compute, draw_curves
from simclr import watch
from simclr.model import SimCLR


@dataclass(frozen=True)
class Settings(ResNetSettings):
    """Edit these here, or override them on the command line."""

    # Data
    only: tuple[Path, ...] = ()
    """Files that name the photographs to take. Without one, all are taken."""
    out: Path = Path("simclr_run")
    """Folder for everything that is written."""

    # Loss
    temperature: settings.Positive = 0.2
    """Temperature of NT-Xent. A lower one gives the nearest negatives more weight."""
    head_layers: Literal[2, 3] = 2
    """Layers of the projection head."""
    dimension: settings.Count = 128
    """Dimension of the projections."""

    # Views
    strength: float = 0.5
    """Strength of the colour jitter. The paper has 1 for ImageNet."""
    blur: settings.Share = 0.5
    """Probability of a Gaussian blur."""


def main(arguments: list[str] | None = None) -> None:
    with run.started(settings.from_command_line(Settings, arguments)) as going:
        config = going.config
        pixels = decoded.load(config.photographs, (config.stored,) * 2, config.out, config.only)
        network, simclr = going.build(pixels, lambda updates: build(config, updates))
        features = compute(simclr.network, config.encoder_size)
        recipe = views.Recipe(config.size, config.smallest_crop, config.strength, blur=config.blur, worker=going.worker)

        def example(rows: tf.Tensor, _: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            return views.two_views(rows, recipe, seed)

        def show(_: dict | None) -> None:  # only after the checkpoint's settings have been compared
            watch.draw_views(config.out / "views.png", pixels, recipe, config.seed)

        history = going.fit(
            simclr,
            pixels,
            example,
            features,
            size=config.encoder_size,
            identity=run.identity(config),
            callbacks=[watch.Alarm(), keras.callbacks.LambdaCallback(on_train_begin=show)],
        )
        if going.worker.number:  # the main worker writes the results
            return
        going.export(network, simclr.network)
        draw_curves(config.out / "curves.png", history, ("loss",), ("accuracy", "spread", "knn"))
        watch.draw_neighbours(config.out / "neighbours.png", features, pixels)


def build(config: Settings, updates: int) -> tuple[keras.Model, SimCLR]:
    """Return the encoder's network, and SimCLR around it or around its fast copy, compiled for so many updates an epoch."""
    network, fast = run.networks(config)
    simclr = SimCLR(fast, temperature=config.temperature, head_layers=config.head_layers, dimension=config.dimension)
    run.compile_model(simclr, config, updates, peak=config.learning_rate * config.batch_size / 256)
    return network, simclr


if __name__ == "__main__":
    settings.run(main)
