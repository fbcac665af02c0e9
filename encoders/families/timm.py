"""timm's ResNets with a deep stem, such as resnet50d: three 3x3 convolutions, and shortcuts that halve the map by averages."""

import re
from collections.abc import Iterator

import keras

from encoders.networks.loading import Found, Preprocessing, Project, load_resnet
from encoders.networks.torch_names import found_resnet
from encoders.normalisations import IMAGENET
from encoders.tensors.checkpoint import Checkpoint

NAME = "timm's resnet18d to resnet200d"
PROJECT = Project("timm", (Preprocessing(224, IMAGENET, "deep"),))
STEM = "conv1.0.weight"


def find(checkpoint: Checkpoint) -> Iterator[Found]:
    """Yield the networks of this family in a checkpoint."""
    tensors = checkpoint.tensors
    for prefix in [name.removesuffix(STEM) for name in tensors if name.endswith(STEM)]:
        own = [name for name in tensors if re.match(rf"{re.escape(prefix)}(conv1|bn1|layer[1-4])\.", name)]
        averaged = any(name.endswith("downsample.2.weight") for name in own)
        names = {_torchvisions_name(name.removeprefix(prefix), averaged): name for name in own}
        yield found_resnet(prefix, names, tensors, PROJECT, PROJECT)


def build(found: Found, way: Preprocessing, *, short: bool = False) -> keras.Model:
    """Return the network with the checkpoint's weights; raises as `load_resnet`."""
    averaged = ".downsample.1." in found.names.get("layer2_0_downsample_0/kernel", "")
    return load_resnet(found, way, short=short, average_shortcut=averaged)


def _torchvisions_name(name: str, averaged: bool) -> str:
    """Count a shortcut's layers without the average before them."""
    if not averaged:
        return name
    return re.sub(r"downsample\.(\d)", lambda match: f"downsample.{int(match[1]) - 1}", name)
