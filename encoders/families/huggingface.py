"""Hugging Face's ResNets (`ResNetModel` of transformers, such as microsoft/resnet-50)."""

import re
from collections.abc import Iterator

from encoders.networks.loading import Found, Preprocessing, Project, load_resnet
from encoders.networks.torch_names import found_resnet
from encoders.normalisations import IMAGENET
from encoders.tensors.checkpoint import Checkpoint

NAME = "Hugging Face's ResNet (embedder.embedder.convolution, encoder.stages.0.layers.0)"
STEM = "embedder.embedder.convolution.weight"

build = load_resnet


def find(checkpoint: Checkpoint) -> Iterator[Found]:
    """Yield the networks of this family in a checkpoint; its configuration says where the strides are."""
    tensors = checkpoint.tensors
    v1_strides = bool(checkpoint.configuration.get("config", {}).get("downsample_in_bottleneck", False))
    project = Project("Hugging Face", (Preprocessing(224, IMAGENET, "imagenet", v1_strides),))
    for prefix in [name.removesuffix(STEM) for name in tensors if name.endswith(STEM)]:
        own = [name for name in tensors if name.startswith((f"{prefix}embedder.", f"{prefix}encoder."))]
        names = {_torchvisions_name(name.removeprefix(prefix)): name for name in own}
        yield found_resnet(prefix, names, tensors, project, project)


def _torchvisions_name(name: str) -> str:
    """Return torchvision's name of `encoder.stages.0.layers.1.layer.2.convolution.weight`: `layer1.1.conv3.weight`."""
    name = name.replace("embedder.embedder.convolution", "conv1").replace("embedder.embedder.normalization", "bn1")
    name = name.replace("shortcut.convolution", "downsample.0").replace("shortcut.normalization", "downsample.1")
    name = re.sub(r"encoder\.stages\.(\d+)\.layers\.", lambda match: f"layer{int(match[1]) + 1}.", name)
    name = re.sub(r"\.layer\.(\d)\.convolution", lambda match: f".conv{int(match[1]) + 1}", name)
    return re.sub(r"\.layer\.(\d)\.normalization", lambda match: f".bn{int(match[1]) + 1}", name)
