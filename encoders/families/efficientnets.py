"""EfficientNet-lite0 with the names of lukemelas' EfficientNet-PyTorch (_conv_stem, _blocks.0._depthwise_conv)."""

import re
from collections.abc import Iterator
from functools import partial

import keras

from encoders.networks.efficientnet import BLOCKS, efficientnet_lite0
from encoders.networks.loading import Found, Preprocessing, Project, check_fit, fill
from encoders.networks.torch_names import as_keras, depthwise, our_name
from encoders.normalisations import Normalisation
from encoders.tensors.checkpoint import Checkpoint
from encoders.tensors.tensor import COUNTERS, Tensor

NAME = "EfficientNet-lite0 (_conv_stem, _blocks.0._depthwise_conv)"
STEM = "_conv_stem.weight"
CENTRED = Normalisation("EfficientNet-lite's", (127 / 255,) * 3, (128 / 255,) * 3)
PROJECT = Project("Google's EfficientNet-lite", (Preprocessing(224, CENTRED),))


def find(checkpoint: Checkpoint) -> Iterator[Found]:
    """Yield the networks of this family in a checkpoint."""
    for prefix in [name.removesuffix(STEM) for name in checkpoint.tensors if name.endswith(STEM)]:
        yield _found(prefix, checkpoint.tensors)


def build(found: Found, way: Preprocessing, *, short: bool = False) -> keras.Model:
    """Return the network with the checkpoint's weights; `short` makes no difference, it is small.

    :raises InputError: tensors are missing, of another shape, or without a place.
    """
    stem, *widths, head = (_width(found, name) for name in ("conv_stem", *_projections(), "conv_head"))
    whole = partial(efficientnet_lite0, stem, tuple(widths), head)
    check_fit(whole, found)
    return fill(whole(), found)


def _found(prefix: str, tensors: dict[str, Tensor]) -> Found:
    found, names = {}, {}
    for name in tensors:
        if re.match(rf"{re.escape(prefix)}_(conv_stem|bn0|blocks|conv_head|bn1)\.", name) and not name.endswith(
            COUNTERS
        ):
            ours = our_name(re.sub(r"(^|\.)_", r"\1", name.removeprefix(prefix)), tensors[name])
            tensor = as_keras(tensors[name])
            found[ours] = depthwise(tensor) if "depthwise_conv/" in ours else tensor
            names[ours] = name
    return Found(prefix, "EfficientNet-lite0", found, names, PROJECT, PROJECT.preprocessing)


def _projections() -> list[str]:
    return [f"blocks_{index}_project_conv" for index in range(BLOCKS)]


def _width(found: Found, layer: str) -> int:
    """Return the number of channels that a convolution of the checkpoint gives, 1 where it has none: that is said later."""
    kernel = found.tensors.get(f"{layer}/kernel")
    return max(1, kernel.shape[-1]) if kernel and len(kernel.shape) == 4 else 1
