"""ResNets of Classy Vision, such as Meta's SSCD: initial_block._module.0, blocks.0.block0-0.convolutional_block.0."""

import re
from collections.abc import Iterator

from encoders.networks.loading import Found, Preprocessing, Project, load_resnet
from encoders.networks.torch_names import found_resnet
from encoders.normalisations import IMAGENET
from encoders.tensors.checkpoint import Checkpoint

NAME = "Classy Vision's ResNet (initial_block._module.0, blocks.0.block0-0), such as SSCD"
PROJECT = Project("Classy Vision", (Preprocessing(224, IMAGENET, "imagenet"),))
STEM = "initial_block._module.0.weight"

build = load_resnet


def find(checkpoint: Checkpoint) -> Iterator[Found]:
    """Yield the networks of this family in a checkpoint."""
    tensors = checkpoint.tensors
    for prefix in [name.removesuffix(STEM) for name in tensors if name.endswith(STEM)]:
        own = [name for name in tensors if name.startswith((f"{prefix}initial_block.", f"{prefix}blocks."))]
        last = 3 if any(name.endswith("convolutional_block.6.weight") for name in own) else 2
        names = {_torchvisions_name(name.removeprefix(prefix), last): name for name in own}
        yield found_resnet(prefix, names, tensors, PROJECT, PROJECT)


def _torchvisions_name(name: str, last: int) -> str:
    """Return torchvision's name of `blocks.0.block0-1.convolutional_block.3.weight`: `layer1.1.conv2.weight`.

    :param last: how many convolutions a block has; the last one's normalisation stands outside of its Sequential.
    """
    name = name.replace("initial_block._module.0.", "conv1.").replace("initial_block._module.1.", "bn1.")
    name = re.sub(r"blocks\.(\d)\.block\d-(\d+)\.", lambda match: f"layer{int(match[1]) + 1}.{match[2]}.", name)
    name = re.sub(r"(layer\d\.\d+\.)bn\.", rf"\1bn{last}.", name)
    numbers = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3"}
    return re.sub(r"convolutional_block\.([01346])", lambda match: numbers[match[1]], name)
