"""Vision Transformers with timm's names (patch_embed.proj, blocks.0.attn.qkv), which most authors took over.

`PROJECTS` says how each feeds its own, which tokens its authors evaluate, and what else their code does. Where none is
recognised, a configuration of timm beside the file says how photographs are normalised, or it is asked for.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from encoders.networks.loading import Found, Preprocessing, Project
from encoders.networks.torch_names import recognised
from encoders.networks.vit_loading import HEADS, found_vit, load_vit, whole
from encoders.normalisations import IMAGENET, Normalisation
from encoders.tensors.checkpoint import Checkpoint

NAME = "Vision Transformers with timm's names (patch_embed.proj, blocks.0.attn.qkv), such as DINO, DINOv2, DINOv3, MAE"
STEM = "patch_embed.proj.weight"
PARTS = (
    r"(patch_embed|cls_token|dist_token|pos_embed|\w+_tokens?|rope_embed|blocks|norm|norm_pre|cls_norm|fc_norm)(\.|$)"
)
ASIDE = r"mask_token$"  # for masked patches, of which there are none when features are computed

VIT = Preprocessing(None, IMAGENET, pool="cls")
AT_224 = VIT._replace(size=224)
SATELLITE = Normalisation("that of satellite photographs", (0.430, 0.411, 0.296), (0.213, 0.156, 0.143))
V3 = {"epsilon": 1e-5}
PLAIN, OFFSET = {"resizing": "plain"}, {"resizing": "offset"}
STUDENT, TEACHER = r"(^|\.)student\.", r"(^|\.)teacher\."
MOCO_HEADS = {384: 12, 768: 12}

PROJECTS = (  # a published file's name counts first; else the first project whose marks are all there
    Project("DINOv3", (AT_224._replace(normalisation=SATELLITE),), file=r"^dinov3_vit.*sat493m", options=V3),
    Project("DINOv3", (AT_224,), (r"\bstorage_tokens$|\brope_embed\.periods$",), TEACHER, r"^dinov3_vit", options=V3),
    Project("DINOv2 with registers", (AT_224,), (r"\bregister_tokens$",), TEACHER, r"^dinov2.*reg"),
    Project("DINOv2", (AT_224,), (r"\bmask_token$", r"\.ls1\.gamma$"), TEACHER, r"^dinov2", options=OFFSET),
    Project("MoCo v3", (VIT,), (r"\bbase_encoder\.", r"\bmomentum_encoder\."), r"\bbase_encoder\.", r"^(linear-)?vit-[sb]-\d+ep", options=PLAIN),
    Project("I-JEPA", (VIT,), (r"\btarget_encoder\.", r"\bpredictor\."), r"\btarget_encoder\.", options=PLAIN),
    Project("MSN", (VIT,), (r"\btarget_encoder\.",), r"\btarget_encoder\.", options=PLAIN | {"class_before_norm": True}),
    Project("MAE", (VIT,), (r"\bdecoder_blocks\.",), file=r"^mae[_.]", options=PLAIN),
    Project("iBOT", (VIT,), (STUDENT, TEACHER, r"\bmasked_embed$"), TEACHER, r"^ibot|^checkpoint_teacher", options=OFFSET),
    Project("DINO", (VIT,), (STUDENT, TEACHER), TEACHER, r"^dino[_.]", options=OFFSET),
)  # fmt: skip
USUAL = Project("an unknown project", (VIT._replace(normalisation=None),))

build = load_vit


def find(checkpoint: Checkpoint) -> Iterator[Found]:
    """Yield the networks of this family in a checkpoint."""
    tensors, configuration = checkpoint.tensors, checkpoint.configuration.get("config", {})
    timms = _configured(configuration) if isinstance(configuration.get("architecture"), str) else None
    project = timms or recognised(PROJECTS, tensors, checkpoint.file) or USUAL
    heads = MOCO_HEADS if project.name == "MoCo v3" else HEADS
    for prefix in [name.removesuffix(STEM) for name in tensors if name.endswith(STEM)]:
        own = [
            name for name in tensors if re.match(rf"{re.escape(prefix)}{PARTS}", name) and not re.search(ASIDE, name)
        ]
        names = {_timms_name(name.removeprefix(prefix)): name for name in own}
        if "blocks.0.attn.qkv.weight" in names:
            yield found_vit(prefix, names, tensors, project, heads)


def _configured(configuration: Mapping[str, Any]) -> Project:
    """Return timm as the project, with what its config.json says of the network."""
    architecture, arguments = configuration["architecture"], configuration.get("model_args") or {}
    pool = {"avg": "mean", "token": "cls"}.get(configuration.get("global_pool"))
    options = {}
    if "_clip_" in architecture or "dinov3" in architecture:
        options["epsilon"] = 1e-5
    if "dinov3" in architecture:
        options["rope_base"] = 100.0
    if "quickgelu" in architecture:
        options["activation"] = "quick_gelu"
    way = Preprocessing(None, None, pool=pool, heads=whole(arguments.get("num_heads")))
    return Project("timm", (way,), options=options)


def _timms_name(name: str) -> str:
    """Return timm's name of what authors name otherwise."""
    name = re.sub(r"^blocks\.\d+\.(?=\d+\.)", "blocks.", name)  # DINOv2 trains chunks of blocks
    name = re.sub(r"^(register|storage)_tokens$", "reg_token", name).replace("rope_embed.periods", "periods")
    name = re.sub(r"\.gamma_([12])$", r".ls\1.gamma", name)
    for theirs, timms in {"w12": "fc1", "w1": "fc1_g", "w2": "fc1_x", "w3": "fc2"}.items():
        name = name.replace(f".mlp.{theirs}.", f".mlp.{timms}.")
    return name
