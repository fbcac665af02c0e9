"""A network in a checkpoint, and how a network of ours gets its weights."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import keras

from core import keras_files
from core.errors import InputError
from encoders.networks.resnet import BASIC, BLOCKS, STEMS, PublishedStem, resnet
from encoders.normalisations import Normalisation
from encoders.tensors.tensor import Tensor

WIDEST = 320  # pl_bolts' and SwAV's 5x
LATER = r"layer([2-9]|1_[1-9])"  # what lies behind a ResNet's first block
Pool = Literal["cls", "mean", "both"]


class Preprocessing(NamedTuple):
    """How a project's networks begin, and how it feeds them. None: it has more than one way."""

    size: (
        int | None
    )  # height and width of the photographs in pixels; None: as many as a Vision Transformer has positions for
    normalisation: Normalisation | None
    stem: PublishedStem | None = None  # of a ResNet
    v1_strides: bool | None = False
    pool: Pool | None = None  # of a Vision Transformer: which of its tokens are the feature
    heads: int | None = None  # of a Vision Transformer
    known: str = ""  # which normalisation it is, and how it is known


class Project(NamedTuple):
    """Who publishes such networks, how their checkpoints are recognised, and how the authors use them."""

    name: str
    preprocessing: tuple[Preprocessing, ...]
    marks: tuple[str, ...] = ()  # regular expressions, each found in the name of some tensor
    evaluated: str = ""  # a regular expression found in the prefix of the network that the authors evaluate
    file: str = ""  # a regular expression of the names of published files: they tell as much as the marks
    options: Mapping[str, Any] = {}  # of the function that builds the network: what its tensors do not say


@dataclass(frozen=True)
class Found:
    """A network in a checkpoint. Its tensors have our names, such as `layer1_0_conv1/kernel`; kernels are (height, width, in, out)."""

    prefix: str
    words: str  # what it is
    tensors: Mapping[str, Tensor]
    names: Mapping[str, str]  # in the checkpoint, by ours
    project: Project
    preprocessing: tuple[Preprocessing, ...]  # the project's for such a network, the usual one first
    depth: int | None = None  # of a ResNet; None if there is no such one


def depth_of(blocks: tuple[int, ...], bottleneck: bool) -> int | None:
    """Return the depth of the ResNet with such stages, None if there is no such one."""
    depths = {(counts, depth not in BASIC): depth for depth, counts in BLOCKS.items()}
    return depths.get((blocks, bottleneck))


def described(depth: int | None, tensors: Mapping[str, Tensor], otherwise: str) -> str:
    """Return in words which ResNet the tensors make, or what else they are."""
    last = tensors.get("conv1_6/kernel") or tensors.get("conv1/kernel")
    return f"ResNet-{depth} of width {last.shape[-1]}" if depth and last else otherwise


def fitting(project: Project, usual: Project, tensors: Mapping[str, Tensor]) -> tuple[Preprocessing, ...]:
    """Return the project's ways to feed a ResNet that begins with these tensors; where it has none, the usual ways."""
    deep = "conv1_0/kernel" in tensors
    first = tensors.get("conv1_0/kernel" if deep else "conv1/kernel")
    kernel = first.shape[0] if first and len(first.shape) == 4 else None

    def fits(way: Preprocessing) -> bool:
        return deep == (way.stem == "deep") and STEMS[way.stem].kernel == kernel

    own = tuple(filter(fits, project.preprocessing))
    return own or tuple(filter(fits, usual.preprocessing))


def load_resnet(found: Found, way: Preprocessing, *, short: bool = False, **options: bool) -> keras.Model:
    """Return a ResNet with the checkpoint's weights.

    :param short: the stem and the first block alone.
    :param options: of `resnet`.
    :raises InputError: another architecture, or tensors that are missing, of another shape, or without a place.
    """
    if found.depth is None:
        raise InputError(f"found {found.words} under {found.prefix!r}, but no ResNet-18, -34, -50, -101, -152 or -200")
    tensors = found.tensors
    build = partial(
        resnet,
        found.depth,
        way.stem,
        _width(found, way.stem),
        deep_widths=_deep_widths(tensors) if way.stem == "deep" else None,
        v1_strides=bool(way.v1_strides),
        always_project="layer1_0_downsample_0/kernel" in tensors,
        **options,
    )
    if short:
        build = partial(build, blocks=(1,))
        found = replace(found, tensors={name: tensors[name] for name in tensors if not re.match(LATER, name)})
    check_fit(build, found)
    return fill(build(), found)


def check_fit(build: Callable[[], keras.Model], found: Found) -> None:
    """Check, before memory is given to the network, that the tensors fit it one to one.

    :raises InputError: they do not.
    """
    if problems := keras_files.without_memory(lambda: _misfits(build(), found)):
        raise InputError(f"the network under {found.prefix!r} does not fit: {shortened(problems, '; ')}")


def fill(network: keras.Model, found: Found) -> keras.Model:
    """Return the network with the checkpoint's weights, which are read one by one."""
    for name, variable in _places(network).items():
        variable.assign(found.tensors[name].read())
    return network


def _width(found: Found, stem: PublishedStem) -> int:
    """Return the number of channels of the stem.

    :raises InputError: its kernel has another shape than such a stem's.
    """
    name = "conv1_6/kernel" if stem == "deep" else "conv1/kernel"
    shape = found.tensors[name].shape if name in found.tensors else ()
    size = STEMS[stem].kernel
    if len(shape) != 4 or shape[:2] != (size, size) or not 1 <= shape[3] <= WIDEST:
        raise InputError(
            f"{found.names.get(name, name)} should have the shape ({size}, {size}, 3, 1 to {WIDEST}), found {shape or 'nothing'}"
        )
    return shape[3]


def _deep_widths(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    return tuple(min(tensors[f"{name}/kernel"].shape[-1], WIDEST) for name in ("conv1_0", "conv1_3"))


def _places(network: keras.Model) -> dict[str, keras.Variable]:
    return {f"{layer.name}/{variable.name}": variable for layer in network.layers for variable in layer.weights}


def _misfits(network: keras.Model, found: Found) -> list[str]:
    variables = _places(network)
    problems = [
        f"{found.names[name]} has no place in a {network.name}" for name in found.tensors if name not in variables
    ]
    for name, variable in variables.items():
        shape = found.tensors[name].shape if name in found.tensors else "nothing"
        if shape != tuple(variable.shape):
            problems.append(
                f"{found.names.get(name, name)} should have the shape {tuple(variable.shape)}, found {shape}"
            )
    return problems


def shortened(words: Iterable[str], separator: str = ", ", most: int = 6) -> str:
    words = list(words)
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return separator.join(words[:most] + more)
