"""The image towers of OpenAI's CLIP and of OpenCLIP (visual.conv1, visual.transformer.resblocks.0); features before the projection."""

import re
from collections.abc import Iterator

from encoders.networks.loading import Found, Preprocessing, Project
from encoders.networks.torch_names import recognised, renamed
from encoders.networks.vit_loading import HEADS, found_vit, load_vit
from encoders.normalisations import CLIP
from encoders.tensors.checkpoint import Checkpoint

NAME = "CLIP's and OpenCLIP's Vision Transformers (visual.conv1, visual.transformer.resblocks.0)"
STEM = "class_embedding"
PARTS = r"(conv1|class_embedding|positional_embedding|ln_pre|transformer|ln_post)(\.|$)"
WAY = (Preprocessing(None, CLIP, pool="cls"),)
QUICK = {"epsilon": 1e-5, "activation": "quick_gelu"}
PROJECTS = (  # the tensors have the same names; OpenAI's archives hold three integers too
    Project("OpenAI's CLIP", WAY, (r"(^|\.)input_resolution$",), file=r"^(ViT-[BL]-\d+(-336px)?|clip)\.pt$", options=QUICK),
    Project("OpenCLIP with QuickGELU", WAY, file=r"quickgelu", options=QUICK),
)  # fmt: skip
OPENAI_HEADS = {64 * heads: heads for heads in range(1, 33)}
USUAL = Project("OpenCLIP with the exact GELU", WAY, options={"epsilon": 1e-5})
SAME = {  # timm's parts by CLIP's
    r"^conv1\.": "patch_embed.proj.",
    r"^class_embedding$": "cls_token",
    r"^positional_embedding$": "pos_embed",
    r"^ln_pre\.": "norm_pre.",
    r"^ln_post\.": "norm.",
    r"^transformer\.resblocks\.": "blocks.",
    r"\.ln_([12])\.": r".norm\1.",
    r"\.ls_([12])\.": r".ls\1.",
    r"\.attn\.in_proj_": ".attn.qkv.",
    r"\.attn\.out_proj\.": ".attn.proj.",
    r"\.mlp\.c_fc\.": ".mlp.fc1.",
    r"\.mlp\.c_proj\.": ".mlp.fc2.",
}

build = load_vit


def find(checkpoint: Checkpoint) -> Iterator[Found]:
    """Yield the networks of this family in a checkpoint."""
    tensors = checkpoint.tensors
    project = recognised(PROJECTS, tensors, checkpoint.file) or USUAL
    heads = OPENAI_HEADS if project is PROJECTS[0] else HEADS
    for prefix in [name.removesuffix(STEM) for name in tensors if name.endswith(STEM)]:
        own = [name for name in tensors if re.match(rf"{re.escape(prefix)}{PARTS}", name)]
        names = {renamed(name.removeprefix(prefix), SAME): name for name in own}
        if "patch_embed.proj.weight" in names and "blocks.0.attn.qkv.weight" in names:
            yield found_vit(prefix, names, tensors, project, heads)
