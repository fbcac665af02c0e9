"""The encoder of Keras' SimCLR example (keras.io/examples/vision/semisupervised_simclr): four convolutions and a dense layer.

It sees photographs in [0, 1], which the example's augmenter divides by 255.
"""

import math
import re
from collections.abc import Iterator
from functools import partial

import keras
from keras import layers

from core.errors import InputError
from encoders.networks.loading import Found, Preprocessing, Project, check_fit, fill
from encoders.normalisations import UNIT
from encoders.tensors.checkpoint import Checkpoint
from encoders.tensors.tensor import Tensor, parent

NAME = "the encoder of Keras' SimCLR example (conv2d, conv2d_1, conv2d_2, conv2d_3, dense)"
OUTPUT = "those of its dense layer"
DEPTH, USUAL = 4, 96  # convolutions; pixels of STL10
LARGEST = 512  # pixels of photographs that are thought of


def find(checkpoint: Checkpoint) -> Iterator[Found]:
    """Yield the networks of this family in a checkpoint."""
    kernels = [
        name for name, tensor in checkpoint.tensors.items() if name.endswith("/kernel") and len(tensor.shape) == 4
    ]
    for prefix in sorted({_prefix(name) for name in kernels}):
        if found := _found(prefix, checkpoint.tensors):
            yield found


def build(found: Found, way: Preprocessing, *, short: bool = False) -> keras.Model:
    """Return the network with the checkpoint's weights; `short` makes no difference, it is small.

    :raises InputError: photographs of that size do not lead to the dense layer, or tensors do not fit.
    """
    inputs, numbers = found.tensors["dense/kernel"].shape
    width = found.tensors["conv1/kernel"].shape[-1]
    if _after(way.size) ** 2 * width != inputs:
        sizes = _sizes(math.isqrt(inputs // width))
        raise InputError(
            f"expected photographs of {sizes[0]} to {sizes[-1]} pixels for {found.words}, found {way.size}: give such a --size"
        )
    whole = partial(_network, way.size, width, numbers)
    check_fit(whole, found)
    return fill(whole(), found)


def _network(size: int, width: int, numbers: int) -> keras.Model:
    photographs = features = keras.Input((size, size, 3))
    for number in range(1, DEPTH + 1):
        features = layers.Conv2D(width, 3, strides=2, activation="relu", name=f"conv{number}")(features)
    features = layers.Dense(numbers, activation="relu", name="dense")(layers.Flatten()(features))
    return keras.Model(photographs, features, name="simclr_example")


def _found(prefix: str, tensors: dict[str, Tensor]) -> Found | None:
    """Return the network below a prefix, if its layers are those of the example."""
    names = sorted((name for name in tensors if name.endswith("/kernel") and _prefix(name) == prefix), key=_number)
    convolutions = [name for name in names if len(tensors[name].shape) == 4]
    dense = [name for name in names if len(tensors[name].shape) == 2][:1]
    if len(convolutions) != DEPTH or not dense:
        return None
    width, (inputs, numbers) = tensors[convolutions[0]].shape[-1], tensors[dense[0]].shape
    shapes = [(3, 3, before, width) for before in (3, *[width] * (DEPTH - 1))]
    side = math.isqrt(inputs // width) if width else 0
    if [tensors[name].shape for name in convolutions] != shapes or side**2 * width != inputs or not _sizes(side):
        return None
    ours = {f"conv{number}": parent(name) for number, name in enumerate(convolutions, 1)} | {"dense": parent(dense[0])}
    names = {f"{own}/{part}": f"{theirs}/{part}" for own, theirs in ours.items() for part in ("kernel", "bias")}
    if not all(name in tensors for name in names.values()):
        return None
    size = min(_sizes(side), key=lambda size: (size != USUAL, size % 32 != 0, size))
    project = Project("Keras' SimCLR example", (Preprocessing(size, UNIT),))
    words = f"{DEPTH} convolutions of width {width} and a dense layer of {numbers}"
    return Found(
        prefix, words, {own: tensors[name] for own, name in names.items()}, names, project, project.preprocessing
    )


def _prefix(name: str) -> str:
    return parent(name).rpartition("/")[0]


def _number(name: str) -> int:
    """Return the number that Keras gave a layer: 0 for `conv2d`, 3 for `conv2d_3`."""
    return int(re.search(r"(?:_(\d{1,9}))?$", parent(name))[1] or 0)


def _after(size: int) -> int:
    """Return the height of what the convolutions make of photographs of a size."""
    for _ in range(DEPTH):
        size = (size - 3) // 2 + 1
    return size


def _sizes(side: int) -> list[int]:
    """Return the sizes of photographs of which the convolutions make so many rows."""
    return [size for size in range(1, LARGEST + 1) if _after(size) == side > 0]
