"""Hugging Face's Vision Transformers: ViT and others with its names, DINOv2 with and without registers, DINOv3."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from encoders.networks.loading import Found, Preprocessing, Project
from encoders.networks.torch_names import recognised, renamed
from encoders.networks.vit_loading import found_vit, load_vit, whole
from encoders.normalisations import IMAGENET
from encoders.tensors.checkpoint import Checkpoint

NAME = "Hugging Face's ViT, DINOv2 and DINOv3 (embeddings.patch_embeddings, encoder.layer.0 or layer.0)"
STEM = r"(|.*\.)embeddings\.patch_embeddings\.(projection\.)?weight"
PARTS = r"(embeddings|encoder\.layer|layer|layernorm|norm)\."
ASIDE = r"mask_token$"  # for masked patches, of which there are none when features are computed
AT_224 = (Preprocessing(224, IMAGENET, pool="cls"),)
PLAIN = {"resizing": "plain"}
PROJECTS = (  # the first whose marks are all there
    Project("Hugging Face's DINOv3", AT_224, (r"\blayer\.0\.attention\.q_proj\.",), options={"epsilon": 1e-5, "rope_base": 100.0}),
    Project("Hugging Face's DINOv2 with registers", AT_224, (r"\bregister_tokens$",)),
    Project("Hugging Face's DINOv2", AT_224, (r"\.layer_scale1\.lambda1$",), options=PLAIN),
)  # fmt: skip
VIT = Project("Hugging Face", (Preprocessing(None, None, pool="cls"),), options=PLAIN | {"epsilon": 1e-12})
NUMBER = int | float
CONFIGURED = {
    "epsilon": ("layer_norm_eps", float),
    "rope_base": ("rope_theta", float),
    "activation": ("hidden_act", str),
}
SAME = {  # timm's parts by Hugging Face's
    r"^embeddings\.patch_embeddings\.(projection\.)?": "patch_embed.proj.",
    r"^embeddings\.position_embeddings$": "pos_embed",
    r"^embeddings\.register_tokens$": "reg_token",
    r"^embeddings\.": "",
    r"^(encoder\.)?layer\.": "blocks.",
    r"^(layernorm|norm)\.": "norm.",
    r"\.attention\.(attention\.)?(q|k|v)(uery|ey|alue|_proj)\.": r".attn.\2.",
    r"\.attention\.(output\.dense|o_proj)\.": ".attn.proj.",
    r"\.layernorm_before\.": ".norm1.",
    r"\.layernorm_after\.": ".norm2.",
    r"\.layer_scale([12])\.lambda1$": r".ls\1.gamma",
    r"\.(intermediate\.dense|mlp\.weights_in|mlp\.up_proj)\.": ".mlp.fc1.",
    r"\.(output\.dense|mlp\.weights_out|mlp\.down_proj)\.": ".mlp.fc2.",
}
GATED = {r"\.mlp\.gate_proj\.": ".mlp.fc1_g.", r"\.mlp\.up_proj\.": ".mlp.fc1_x."}

build = load_vit


def find(checkpoint: Checkpoint) -> Iterator[Found]:
    """Yield the networks of this family in a checkpoint."""
    tensors = checkpoint.tensors
    project = _configured(recognised(PROJECTS, tensors, "") or VIT, checkpoint.configuration.get("config", {}))
    same = GATED | SAME if any(".mlp.gate_proj." in name for name in tensors) else SAME
    for prefix in [match[1] for match in map(re.compile(STEM).fullmatch, tensors) if match]:
        own = [
            name for name in tensors if re.match(rf"{re.escape(prefix)}{PARTS}", name) and not re.search(ASIDE, name)
        ]
        names = {renamed(name.removeprefix(prefix), same): name for name in own}
        if "blocks.0.attn.q.weight" in names:
            yield found_vit(prefix, names, tensors, project)


def _configured(project: Project, configuration: Mapping[str, Any]) -> Project:
    """Return the project with what config.json says of the network."""
    options = dict(project.options)
    for ours, (theirs, kind) in CONFIGURED.items():
        if isinstance(configuration.get(theirs), kind):
            options[ours] = configuration[theirs]
    way = project.preprocessing[0]._replace(heads=whole(configuration.get("num_attention_heads")))
    return project._replace(preprocessing=(way,), options=options)
