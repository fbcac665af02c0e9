"""A network in a checkpoint, and how a network of ours gets its weights."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import keras

from core import keras_files
from core.errors import InputError
from encoders.networks.resnet import STEMS, Stem, resnet
from encoders.tensors.tensor import Tensor

WIDEST = 256  # google-research/simclr's 4x


class Preprocessing(NamedTuple):
    """How a family's networks get photographs: their size in pixels, by the network, and the mean and standard deviation of pixels in [0, 1]."""

    size: Callable[[keras.Model], int]
    mean: float | tuple[float, ...]
    deviation: float | tuple[float, ...]


@dataclass(frozen=True)
class Found:
    """A network in a checkpoint: its tensors by their names there, kernels as (height, width, in, out)."""

    prefix: str
    blocks: str  # in words
    depth: int | None  # None if it is no ResNet-18, -34 or -50
    tensors: Mapping[str, Tensor]
    name: Callable[[str, str], str]  # from a layer of `resnet` and its variable to the name in the checkpoint


def load_resnet(found: Found, stem: Stem | None = None, **options: bool) -> keras.Model:
    """Return a ResNet with the checkpoint's weights, and say which it is.

    :param stem: how it begins; by default its first kernel decides.
    :param options: of `resnet`.
    :raises InputError: another architecture, or tensors that are missing, of another shape, or without a place.
    """
    if found.depth is None:
        raise InputError(f"found {found.blocks} under {found.prefix!r}, but no ResNet-18, -34 or -50")
    stem, width = _stem(found, stem)
    always_project = found.name("layer1_0_downsample_0", "kernel") in found.tensors
    build = partial(resnet, found.depth, stem, width, always_project=always_project, **options)
    if problems := keras_files.without_memory(lambda: _misfits(build(), found)):
        raise InputError(f"the network under {found.prefix!r} does not fit: {shortened(problems, '; ')}")
    network = build()
    for name, variable in _places(network, found).items():
        variable.assign(found.tensors[name].read())
    print(f"found ResNet-{found.depth} of width {width} under {found.prefix!r}: {stem} stem")
    return network


def _stem(found: Found, stem: Stem | None) -> tuple[Stem, int]:
    """Return how the network begins (its kernel decides, unless it is known), and its width."""
    name = found.name("conv1", "kernel")
    shape = found.tensors[name].shape if name in found.tensors else ()
    stem = stem or ("imagenet" if shape[:1] == (7,) else "cifar")
    size = STEMS[stem][0]
    if len(shape) != 4 or shape[:3] != (size, size, 3) or not 1 <= shape[3] <= WIDEST:
        raise InputError(f"{name} should have the shape ({size}, {size}, 3, 1 to {WIDEST}), found {shape or 'nothing'}")
    return stem, shape[3]


def _places(network: keras.Model, found: Found) -> dict[str, keras.Variable]:
    return {found.name(layer.name, variable.name): variable for layer in network.layers for variable in layer.weights}


def _misfits(network: keras.Model, found: Found) -> list[str]:
    variables = _places(network, found)
    problems = [f"{name} has no place in a {network.name}" for name in found.tensors if name not in variables]
    for name, variable in variables.items():
        shape = found.tensors[name].shape if name in found.tensors else "nothing"
        if shape != tuple(variable.shape):
            problems.append(f"{name} should have the shape {tuple(variable.shape)}, found {shape}")
    return problems


def shortened(words: Iterable[str], separator: str = ", ", most: int = 6) -> str:
    words = list(words)
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return separator.join(words[:most] + more)
