"""Turn a trained jigsaw network into an encoder file.

    python -m jigsaw.encoder --run jigsaw_run --mode full --out encoder.keras
    python -m jigsaw.encoder --run model.hdf5 --mode single --caffe --out encoder.keras

Reads the best weights of a run of jigsaw.main, finished or not, or the model.hdf5 that the original wrote. Writes the encoder that
step 1 loads. `full` solves the unshuffled puzzle: it cuts the nine centred tiles of the whole photograph, and its features are the last
dense layer before the softmax. `single` shows the whole photograph to the shared network, and averages over places.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from core import hdf5, keras_files, settings, training
from core.errors import InputError
from encoders.encoder_file import encoder, write
from jigsaw import views
from jigsaw.model import jigsaw, shared

BEST = "best.weights.h5"
CAFFE = {"mean": (103.939 / 255, 116.779 / 255, 123.68 / 255), "deviation": 1 / 255, "blue_first": True}


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    run: Path = Path("jigsaw_run")
    """Folder of a run of jigsaw.main, or the original's model.hdf5."""
    mode: Literal["full", "single"] = "full"
    """full: nine tiles and the head. single: the shared network alone, on the whole photograph."""
    size: settings.Count | None = None
    """For single: the height and width that the encoder takes, in pixels. By default those of the puzzles."""
    caffe: bool = False
    """For single: the original's preprocessing for networks trained on ImageNet, instead of a tile's."""
    out: Path = Path("encoder.keras")
    """The encoder's file."""
    bits: settings.Bits = 24
    """Significant bits of each weight. 11, as many as float16 has, halve the file."""


class Solver(NamedTuple):
    """A trained model of `jigsaw.model`, the network that its tiles share, and the size of the photographs it was trained on."""

    model: keras.Model
    network: keras.Model
    size: int


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    solver = read_run(config.run) if config.run.is_dir() else read_original(config.run)
    if config.mode == "single":
        model = single(solver.network, config.size or solver.size, caffe=config.caffe)
    elif config.size or config.caffe:
        raise InputError(
            f"--size and --caffe are for --mode single: full takes {solver.size} pixels and standardises each tile"
        )
    else:
        model = full(solver)
    write(config.out, model, f"{solver.network.name}, {config.mode}", bits=config.bits)


def read_run(run: Path) -> Solver:
    """Return what a run of jigsaw.main has trained, with the weights of its best epoch so far.

    :raises InputError: the folder has no such weights, or they are of something else.
    """
    path = run / BEST
    if not path.exists():
        raise InputError(f"expected the folder of a run of jigsaw.main at {run}, found no {path.name} in it")
    state, arrays = training.read_checkpoint(path)
    try:
        config = state["identity"]
        build = partial(_build, *(config[name] for name in ("network", "stem", "width", "size", "permutations")))
        keras_files.check_numbers(lambda: build()[1], sum(array.size for array in arrays))
        network, model = build()
        model.set_weights(arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"expected the best weights of a run of jigsaw.main at {path}: {error}") from error
    return Solver(model, network, config["size"])


def _build(network: str, stem: str, width: int, size: int, permutations: int) -> tuple[keras.Model, keras.Model]:
    """Return the network that the tiles share, and the model around it, as a run's settings have them."""
    tiles = shared(network, stem, width)
    return tiles, jigsaw(tiles, views.tile(size), permutations)


def read_original(path: Path) -> Solver:
    """Return the solver of the original's model.hdf5 (Keras 2.4), a ResNet-50 or an AlexNet shared by nine inputs.

    A network within a model is stored as its trained arrays and then its moving averages, in the order of its layers, which
    in keras.applications is the same for all versions: its published weights rely on it.

    :raises InputError: the file is missing, damaged, or of another model.
    """
    config, weights, _ = hdf5.read_keras(path)
    try:
        tile = next(layer["config"]["batch_input_shape"][1] for layer in config["layers"])
        body, *head = (arrays for arrays in weights.values() if arrays)
        network = shared({7: "resnet50", 11: "alexnet"}[len(body[0])])  # by the kernel of the first convolution
        model = jigsaw(network, tile, head[-1][1].size)
        head_weights = model.weights[len(network.weights) :]
        places = [*network.trainable_weights, *network.non_trainable_weights, *head_weights]
        for place, array in zip(places, chain(body, *head), strict=True):
            place.assign(array)
    except (KeyError, ValueError, IndexError, TypeError, StopIteration) as error:
        raise InputError(
            f"expected the original's jigsaw model, ResNet-50 or AlexNet, in {path}, found the layers {', '.join(weights)}"
        ) from error
    return Solver(model, network, 4 * tile)


def full(solver: Solver) -> keras.Model:
    """Return the encoder from photographs, uint8 (N, size, size, 3), to the solver's last dense layer, float32 (N, 1024)."""
    photographs = keras.Input((solver.size, solver.size, 3), dtype="uint8", name="photographs")
    features = keras.Model(solver.model.input, solver.model.get_layer("permutation").input, name="solver")
    return keras.Model(photographs, features(standardise(cut(photographs))), name="encoder")


def single(network: keras.Model, size: int, *, caffe: bool = False) -> keras.Model:
    """Return the encoder from photographs, uint8 (N, `size`, `size`, 3), to the shared network's averages over places, float32 (N, D).

    The photograph is standardised as a tile is or, if `caffe`, ImageNet's mean colour is taken from it, blue first.
    """
    if len(network.output_shape) > 2:  # AlexNet's maps
        pooled = layers.GlobalAveragePooling2D(name="avgpool")(network.output)
        network = keras.Model(network.input, pooled, name=network.name)
    if caffe:
        return encoder(network, size, size, **CAFFE)
    photographs = keras.Input((size, size, 3), dtype="uint8", name="photographs")
    return keras.Model(photographs, network(standardise(photographs)), name="encoder")


def compute(network: keras.Model, size: int) -> Callable[[np.ndarray], tf.Tensor]:
    """Return the function from photographs, uint8 (N, size, size, 3), to the features of `single`, as the network is at the time."""
    model = single(network, size)
    return tf.function(
        lambda pixels: tf.cast(model(pixels, training=False), "float32"), autograph=False, reduce_retracing=True
    )


def cut(photographs):
    """Return the nine centred tiles of photographs, (N, S, S, 3) -> (N, 9, S // 4, S // 4, 3), in reading order."""
    tile = views.tile(photographs.shape[1])
    corners = views.centres(photographs.shape[1])
    return ops.stack([photographs[:, top : top + tile, left : left + tile] for top, left in corners], axis=1)


def standardise(pixels):
    """Give each tile, uint8 (..., H, W, 3), mean 0 and standard deviation 1; a flat one stays as it is, in [0, 1], as in `views.normalise`."""
    pixels = ops.cast(pixels, "float32")
    mean = ops.mean(pixels, axis=(-3, -2, -1), keepdims=True)
    variance = ops.mean((pixels - mean) ** 2, axis=(-3, -2, -1), keepdims=True)
    flat = variance < 1e-6
    return (pixels - ops.where(flat, 0.0, mean)) * ops.where(flat, 1 / 255, ops.rsqrt(variance))


if __name__ == "__main__":
    settings.run(main)
