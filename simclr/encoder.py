"""Turn a trained SimCLR network into an encoder file.

    python -m simclr.encoder --run simclr_run --out encoder.keras --bits 11

Reads the checkpoint of a run of simclr.main or pretext.supervised, finished or not. Writes the encoder that step 1 loads; the projection head stays behind.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from captioning import files, settings, training
from captioning.errors import InputError
from pretext.encoder import encoder, write
from pretext.resnet import resnet
from simclr.model import SimCLR

import keras
import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    run: Path = Path("simclr_run")  # folder of a run of simclr.main or pretext.supervised
    out: Path = Path("encoder.keras")  # the encoder's file
    size: settings.Count = 96  # height and width of the photographs that the encoder takes, in pixels
    bits: settings.Bits = 24  # significant bits of the weights that are kept; 11, as many as float16's, halve the file


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    network = read_network(config.run)
    write(config.out, encoder(network, config.size, config.size), network.name, bits=config.bits)


def read_network(run: Path) -> keras.Model:
    """Return the encoder's network as the last checkpoint of a run has it.

    :raises InputError: the folder has no checkpoint, or one of something else.
    """
    path = run / training.CHECKPOINT
    if not path.exists():
        raise InputError(
            f"expected the folder of a run of simclr.main at {run}, found no {path.name} in it; check the path"
        )
    state, arrays = training.read_checkpoint(path)
    try:
        epochs = len(state["history"]["loss"])
        build = partial(resnet, *(state["identity"][name] for name in ("depth", "stem", "width")))
        files.check_numbers(build, sum(array.size for array in arrays))
        network = build()
        network.set_weights(arrays[: len(network.weights)])  # the first layer of SimCLR
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"expected the checkpoint of a run of simclr.main at {path}, found another ({error}); check the path"
        ) from error
    print(f"{path}: after epoch {epochs}")
    return network


def features(simclr: SimCLR, size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from photographs, uint8 (N, H, W, 3), resized to `size`, to features, as the network is at the time."""

    @tf.function(reduce_retracing=True)
    def compute(photographs: tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(photographs, "float32") / 255
        if pixels.shape[1:3] != (size, size):
            pixels = tf.image.resize(pixels, (size, size), antialias=True)
        return tf.cast(simclr.network(simclr.normalisation(pixels), training=False), "float32")

    return lambda photographs: compute(tf.constant(photographs)).numpy()


if __name__ == "__main__":
    settings.run(main)
