"""Vision Transformers of mmselfsup and mmpretrain (patch_embed.projection, layers.0.ln1, layers.0.ffn.layers.0.0)."""

import re
from collections.abc import Iterator

from encoders.networks.loading import Found, Preprocessing, Project
from encoders.networks.torch_names import renamed
from encoders.networks.vit_loading import HEADS, found_vit, load_vit
from encoders.normalisations import IMAGENET
from encoders.tensors.checkpoint import Checkpoint

NAME = "mmselfsup's Vision Transformers (patch_embed.projection, layers.0.attn.qkv)"
STEM = "patch_embed.projection.weight"
PARTS = r"(cls_token|pos_embed|patch_embed|layers|pre_norm|norm1|ln1)(\.|$)"
PROJECT = Project(
    "mmselfsup",
    (Preprocessing(None, IMAGENET, pool="cls"),),
    evaluated=r"(^|\.)backbone\.",
    options={"resizing": "plain"},
)
MOMENTUM = r"(^|\.)momentum_encoder\."  # MoCo v3, whose networks of width 384 have 12 heads
SAME = {  # timm's parts by mmselfsup's
    r"^patch_embed\.projection\.": "patch_embed.proj.",
    r"^pre_norm\.": "norm_pre.",
    r"^(ln1|norm1)\.": "norm.",
    r"^layers\.": "blocks.",
    r"\.ln([12])\.": r".norm\1.",
    r"\.(attn|ffn)\.gamma([12])\.weight$": r".ls\2.gamma",
    r"\.ffn\.(layers\.0\.0|w12)\.": ".mlp.fc1.",
    r"\.ffn\.(layers\.1|w3)\.": ".mlp.fc2.",
}

build = load_vit


def find(checkpoint: Checkpoint) -> Iterator[Found]:
    """Yield the networks of this family in a checkpoint."""
    tensors = checkpoint.tensors
    others = {width: heads for width, heads in HEADS.items() if width != 384}  # which have 6 in DeiT, and 12 in MoCo v3
    heads = others | {384: 12} if any(re.search(MOMENTUM, name) for name in tensors) else others
    for prefix in [name.removesuffix(STEM) for name in tensors if name.endswith(STEM)]:
        own = [name for name in tensors if re.match(rf"{re.escape(prefix)}{PARTS}", name)]
        names = {renamed(name.removeprefix(prefix), SAME): name for name in own}
        if "blocks.0.attn.qkv.weight" in names:
            yield found_vit(prefix, names, tensors, PROJECT, heads)
