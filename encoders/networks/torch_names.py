"""ResNets whose tensors PyTorch named, told by torchvision's names."""

import re
from collections.abc import Mapping

from encoders.networks.loading import Found, Project, depth_of, described, fitting
from encoders.tensors.tensor import COUNTERS, Tensor

VARIABLES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}  # Keras' by torch's, of normalisations


def found_resnet(
    prefix: str, names: Mapping[str, str], tensors: Mapping[str, Tensor], project: Project, usual: Project
) -> Found:
    """Return the ResNet in a checkpoint's tensors.

    :param names: the tensors' names in the checkpoint, by torchvision's without a prefix, such as `layer1.0.conv1.weight`.
    :param project: who published it.
    :param usual: whose preprocessing counts where the project has none for such a stem.
    """
    own = {our_name(ours, tensors[theirs]): theirs for ours, theirs in names.items() if not theirs.endswith(COUNTERS)}
    found = {ours: as_keras(tensors[theirs]) for ours, theirs in own.items()}
    blocks = tuple(_count_blocks(found, f"layer{stage}_") for stage in range(1, 5))
    bottleneck = "layer1_0_conv3/kernel" in found
    depth = depth_of(blocks, bottleneck)
    words = described(depth, found, f"stages of {blocks} {'bottleneck' if bottleneck else 'basic'} blocks")
    return Found(prefix, words, found, own, project, fitting(project, usual, found), depth)


def recognised(projects: tuple[Project, ...], tensors: Mapping[str, Tensor], file: str) -> Project | None:
    """Return the project whose published file has this name, else the first whose marks are all among the tensors' names."""
    named = (project for project in projects if project.file and re.search(project.file, file))
    marked = (project for project in projects if project.marks and _marked(project, tensors))
    return next(named, None) or next(marked, None)


def _marked(project: Project, names: Mapping[str, Tensor]) -> bool:
    return all(any(re.search(mark, name) for name in names) for mark in project.marks)


def our_name(name: str, weight: Tensor) -> str:
    """Return our name of `layer1.0.conv1.weight`: `layer1_0_conv1/kernel`.

    :param weight: of the same layer; that of a normalisation is a vector.
    """
    layer, dot, variable = name.rpartition(".")
    if len(weight.shape) == 1:
        variable = VARIABLES.get(variable, variable)
    elif variable == "weight":
        variable = "kernel"
    return f"{layer.replace('.', '_')}/{variable}" if dot else name


def _count_blocks(names: Mapping[str, Tensor], stage: str) -> int:
    return len({name.split("_")[1] for name in names if name.startswith(stage)})


def as_keras(tensor: Tensor) -> Tensor:
    """Turn torch's kernels, (out, in) or (out, in, height, width), into Keras' (in, out) or (height, width, in, out)."""
    order = {2: (1, 0), 4: (2, 3, 1, 0)}.get(len(tensor.shape))
    return (
        tensor
        if order is None
        else Tensor(tuple(tensor.shape[axis] for axis in order), lambda: tensor.read().transpose(order))
    )


def depthwise(tensor: Tensor) -> Tensor:
    """Turn a kernel of groups of one, (height, width, 1, out), into Keras' depthwise one, (height, width, out, 1)."""
    return tensor if len(tensor.shape) != 4 else Tensor((*tensor.shape[:2], *tensor.shape[:1:-1]), tensor.read)


def renamed(name: str, parts: Mapping[str, str]) -> str:
    """Return a name in which each regular expression is replaced by what it stands for, in this order."""
    for theirs, ours in parts.items():
        name = re.sub(theirs, ours, name)
    return name
