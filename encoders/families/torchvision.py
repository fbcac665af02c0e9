"""ResNets with torchvision's names (conv1, bn1, layer1.0.conv1 to layer4), under any prefix, or a numbered Sequential of them.

Most projects in PyTorch publish such networks. `PROJECTS` says how each feeds its own. Where none is recognised, ImageNet's way
is usual for a 7x7 stem; the batch normalisations must agree.
"""

import re
from collections.abc import Iterator, Mapping

from encoders.networks.loading import Found, Preprocessing, Project, load_resnet
from encoders.networks.torch_names import found_resnet, recognised
from encoders.normalisations import CIFAR10, CIFAR10_PIXELS, IMAGENET, STL10, UNIT
from encoders.tensors.checkpoint import Checkpoint
from encoders.tensors.tensor import Tensor

NAME = (
    "ResNet-18 to -200 in torchvision's layout (conv1, bn1, layer1.0.conv1 to layer4, under any prefix, "
    "or a numbered Sequential of them)"
)

LARGE = Preprocessing(224, IMAGENET, "imagenet")
UNIT_LARGE = Preprocessing(224, UNIT, "imagenet")
STL = Preprocessing(96, STL10, "stl10")
SMALL = Preprocessing(32, None, "cifar")
CIFAR = Preprocessing(32, CIFAR10, "cifar")
PIXELS = Preprocessing(32, CIFAR10_PIXELS, "cifar")
SOLO = Preprocessing(32, None, "solo")
SCAN = Preprocessing(96, IMAGENET, "scan")
HACKED = Preprocessing(32, UNIT, "cifar", v1_strides=None)  # by modify_resnet_model, with or without v1's strides

PROJECTS = (  # a published file's name counts first; else the first project whose marks are all there
    Project("DINO", (LARGE,), (r"(^|\.)student\.", r"(^|\.)teacher\."), r"(^|\.)teacher\.", r"^dino_"),
    Project("MoCo v3", (LARGE,), (r"\bbase_encoder\.", r"\bmomentum_encoder\."), r"\bbase_encoder\.", r"^r-50-\d+ep"),
    Project("MoCo", (LARGE, SMALL), (r"\bencoder_q\.",), r"\bencoder_q\.", r"^moco_v[12]"),
    Project("SwAV or DeepCluster-v2", (LARGE,), (r"\bprototypes\.",), file=r"^(swav|deepclusterv2)_"),
    Project("SimSiam", (LARGE,), (r"\bmodule\.encoder\.", r"\bmodule\.predictor\.")),
    Project("Barlow Twins or VICReg", (LARGE,), (r"\bmodule\.backbone\.", r"\bmodule\.projector\.")),
    Project("VISSL", (LARGE,), (r"\b_feature_blocks\.",), r"\btrunk\."),
    Project("Lightning-Bolts", (LARGE, STL, PIXELS), (r"\bencoder\.conv1\.", r"\bprojection\.model\.")),
    Project("Lightning-Bolts", (LARGE, PIXELS), (r"\bonline_network\.encoder\.",), r"\bonline_network\."),
    Project("PyTorch-BYOL", (UNIT_LARGE,), (r"^online_network_state_dict\.",), r"^online_network_state_dict\."),
    Project("sthalles' SimCLR", (UNIT_LARGE._replace(size=96),), (r"\bbackbone\.conv1\.", r"\bbackbone\.fc\.2\.")),
    Project(
        "Spijkervet's SimCLR", (UNIT_LARGE, HACKED), (r"^(module\.)?encoder\.conv1\.", r"^(module\.)?projector\.\d\.")
    ),
    Project("leftthomas' SimCLR", (CIFAR,), (r"\bf\.0\.weight$", r"\bg\.0\.weight$")),
    Project("SupContrast", (CIFAR,), (r"\bencoder\.(module\.)?conv1\.", r"\bhead\.")),
    Project("SCAN", (LARGE, SMALL, SCAN), (r"\bbackbone\.", r"\b(contrastive|cluster)_head\.")),
    Project("lightly", (LARGE, SMALL), (r"\bbackbone\.0\.weight$", r"_head\.layers\.\d\.")),
    Project(
        "solo-learn",
        (LARGE, SOLO),
        (r"\bbackbone\.conv1\.", r"\b(projector|classifier|predictor|momentum_backbone)\."),
        r"(^|\.)backbone\.",
    ),
    Project("Google's SimCLR, converted by tonylins", (UNIT_LARGE,), file=r"^resnet50-[124]x\."),
    Project("SSCD", (LARGE,), file=r"^sscd_"),
    Project("torchvision", (LARGE,), file=r"^resnet\d+-[0-9a-f]{8}\."),
)
USUAL = Project(
    "an unknown project",
    (
        Preprocessing(224, None, "imagenet"),
        Preprocessing(96, None, "stl10"),
        Preprocessing(32, None, "cifar", v1_strides=None),
        Preprocessing(64, None, "small", v1_strides=None),
        Preprocessing(96, None, "scan", v1_strides=None),
    ),
)

build = load_resnet


def find(checkpoint: Checkpoint) -> Iterator[Found]:
    """Yield the networks of this family in a checkpoint."""
    tensors = checkpoint.tensors
    project = recognised(PROJECTS, tensors, checkpoint.file) or USUAL
    stages: dict[str, list[str]] = {}  # by prefix
    for name in tensors:
        if match := re.fullmatch(r"(|.*\.)(layer\d+|\d+)\.0\.conv1\.weight", name):
            stages.setdefault(match[1], []).append(match[2])
    for prefix, found in stages.items():
        if len(found) == 4 and f"{prefix}conv1.0.weight" not in tensors:  # a deep stem is timm's
            names = _names(tensors, prefix, sorted(found, key=lambda name: (len(name), name)))
            yield found_resnet(prefix, names, tensors, project, USUAL)


def _names(tensors: Mapping[str, Tensor], prefix: str, stages: list[str]) -> dict[str, str]:
    """Return the names of a network's tensors by torchvision's."""
    stem = ("0", "1") if stages[0].isdigit() else ("conv1", "bn1")  # a numbered Sequential of torchvision's children
    parts = dict(zip((*stem, *stages), ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"), strict=True))
    names = {}
    for name in tensors:
        part, _, rest = name.removeprefix(prefix).partition(".")
        if name.startswith(prefix) and part in parts:
            names[f"{parts[part]}.{rest.replace('shortcut.', 'downsample.')}"] = name
    return names
