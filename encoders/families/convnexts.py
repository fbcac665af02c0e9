"""ConvNeXt with its authors' names (downsample_layers.0.0, stages.0.0.dwconv) or timm's, and DINOv3's."""

import re
from collections.abc import Iterator

from encoders.networks.convnext import found_convnext, load_convnext
from encoders.networks.loading import Found, Preprocessing, Project
from encoders.networks.torch_names import recognised, renamed
from encoders.normalisations import IMAGENET
from encoders.tensors.checkpoint import Checkpoint

NAME = "ConvNeXt (downsample_layers.0.0, stages.0.0.dwconv), such as DINOv3's"
STEM = r"(|.*\.)(downsample_layers\.0|stem)\.0\.weight"
PARTS = r"(downsample_layers|stem|stages|norm|head\.norm)\."
WAY = Preprocessing(224, IMAGENET)
PROJECTS = (  # the first whose marks are all there
    Project("DINOv3", (WAY._replace(pool="cls"),), (r"(^|\.)norms\.3\.weight$",)),
    Project("ConvNeXt", (WAY,), (r"(^|\.)downsample_layers\.0\.0\.weight$",)),
)
USUAL = Project("an unknown project", (WAY._replace(normalisation=None),))
SAME = {  # the authors' parts by timm's
    r"^stem\.": "downsample_layers.0.",
    r"^stages\.(\d)\.downsample\.": r"downsample_layers.\1.",
    r"^(stages\.\d)\.blocks\.": r"\1.",
    r"\.conv_dw\.": ".dwconv.",
    r"\.mlp\.fc([12])\.": r".pwconv\1.",
    r"^head\.norm\.": "norm.",
}

build = load_convnext


def find(checkpoint: Checkpoint) -> Iterator[Found]:
    """Yield the networks of this family in a checkpoint."""
    tensors = checkpoint.tensors
    project = recognised(PROJECTS, tensors, checkpoint.file) or USUAL
    for prefix in [match[1] for match in map(re.compile(STEM).fullmatch, tensors) if match]:
        own = [name for name in tensors if re.match(rf"{re.escape(prefix)}{PARTS}", name)]
        names = {renamed(name.removeprefix(prefix), SAME): name for name in own}
        if "stages.0.0.dwconv.weight" in names:
            yield found_convnext(prefix, names, tensors, project)
