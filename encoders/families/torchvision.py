"""ResNets in torchvision's layout (conv1, bn1, layer1.0.conv1 to layer4), under any prefix, or a numbered Sequential of them.

MoCo, Lightning's SimCLR and many others publish them. All are taken to need ImageNet's mean and standard deviation.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

import keras

from encoders.encoder_file import IMAGENET_DEVIATION, IMAGENET_MEAN
from encoders.networks.loading import Found, Preprocessing, load_resnet
from encoders.networks.resnet import BLOCKS, Stem, usual_size
from encoders.tensors.tensor import COUNTER, Tensor

NAME = (
    "ResNet-18, -34 or -50 in torchvision's layout (conv1, bn1, layer1.0.conv1 to layer4, under any prefix, "
    "or a numbered Sequential of them)"
)
PREPROCESSING = Preprocessing(usual_size, IMAGENET_MEAN, IMAGENET_DEVIATION)
# Keras' variables by torch's names.
ROLES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def find(tensors: Mapping[str, Tensor]) -> Iterator[Found]:
    """Yield the networks of this family among the tensors."""
    stages: dict[str, list[str]] = {}  # by prefix
    for name in tensors:
        if match := re.fullmatch(r"(|.*\.)(layer\d+|\d+)\.0\.conv1\.weight", name):
            stages.setdefault(match[1], []).append(match[2])
    for prefix, names in stages.items():
        if len(names) == 4:
            yield _found(tensors, prefix, sorted(names, key=lambda name: (len(name), name)))


def build(found: Found, stem: Stem | None = None) -> keras.Model:
    """Return the network with the checkpoint's weights; raises as `load_resnet`."""
    return load_resnet(found, stem)


def _found(tensors: Mapping[str, Tensor], prefix: str, stages: list[str]) -> Found:
    stem = ("0", "1") if stages[0].isdigit() else ("conv1", "bn1")  # a numbered Sequential of torchvision's children
    parts = dict(zip(("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"), (*stem, *stages), strict=True))
    beginnings = tuple(f"{prefix}{part}." for part in parts.values())
    own = {name: tensor for name, tensor in tensors.items() if name.startswith(beginnings)}
    own = {name: _as_keras(tensor) for name, tensor in own.items() if not name.endswith(COUNTER)}
    shortcut = "shortcut" if f"{prefix}{stages[1]}.0.shortcut.0.weight" in own else "downsample"

    def name(layer: str, variable: str) -> str:
        part, *rest = layer.replace("downsample", shortcut).split("_")
        return prefix + ".".join([parts[part], *rest, ROLES[variable]])

    counts = tuple(_count_blocks(own, f"{prefix}{stage}.") for stage in stages)
    kind = "bottleneck" if f"{prefix}{stages[0]}.0.conv3.weight" in own else "basic"
    depth = {(BLOCKS[18], "basic"): 18, (BLOCKS[34], "basic"): 34, (BLOCKS[50], "bottleneck"): 50}.get((counts, kind))
    return Found(prefix, f"stages of {counts} {kind} blocks", depth, own, name)


def _count_blocks(names: Iterable[str], stage: str) -> int:
    return len({name.removeprefix(stage).split(".")[0] for name in names if name.startswith(stage)})


def _as_keras(tensor: Tensor) -> Tensor:
    """Turn torch's kernels, (out, in, height, width), into Keras' (height, width, in, out)."""
    if len(tensor.shape) != 4:
        return tensor
    out, inside, height, width = tensor.shape
    return Tensor((height, width, inside, out), lambda: tensor.read().transpose(2, 3, 1, 0))
