"""Vision Transformers in checkpoints, told by timm's names, and how a network of ours gets their weights."""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import keras
import numpy as np

from core.errors import InputError
from encoders.networks.loading import Found, Pool, Preprocessing, Project, check_fit, fill
from encoders.networks.positions import Resizing, resized, rotations
from encoders.networks.torch_names import as_keras, our_name
from encoders.networks.vit import Form, vit
from encoders.tensors.tensor import Tensor, product

# Heads by width, or by width and depth, as nearly all projects have them.
HEADS = {width: width // 64 for width in (192, 256, 320, 384, 512, 640, 768, 832, 896, 1024, 1536)}
HEADS |= dict.fromkeys((1152, 1280, 1408, 1664, 1792), 16) | {(768, 8): 8}
NORMS = ("norm_pre", "norm", "cls_norm", "fc_norm")
QUICK_GELU = 1.702
BLOCK = r"blocks_(\d+)_(.*)"
BIASES = ("cls_token", "reg_token", "pos_embed", "patch_embed_proj/bias")  # of the tokens
TOKENS = rf"^({'|'.join(BIASES)}|periods)$|/bias_mask$"  # what becomes a part of others


def found_vit(
    prefix: str,
    names: Mapping[str, str],
    tensors: Mapping[str, Tensor],
    project: Project,
    heads: Mapping[int | tuple[int, int], int] = HEADS,
) -> Found:
    """Return the Vision Transformer in a checkpoint's tensors.

    :param names: the tensors' names in the checkpoint, by timm's without a prefix, such as `blocks.0.attn.qkv.weight`.
        SwiGLU's two dense layers are `fc1_g`, which silu takes, and `fc1_x`, or one `fc1`. Also: `periods`, and `bias_mask`
        beside a bias.
    :param heads: known ones by width.
    """
    found, own = {}, {}
    for ours, tensor, theirs in _separate(names, tensors):
        found[ours], own[ours] = as_keras(tensor) if ours.endswith("/kernel") else tensor, theirs
    way = project.preprocessing[0]
    patch, *_, width = _shape(found, "patch_embed_proj/kernel", 4)
    depth = len(_blocks(found))
    known = way.heads or _heads(found) or heads.get((width, depth), heads.get(width))
    words = f"a ViT of width {width} with {depth} blocks, patches of {patch} pixels" + (
        f" and {known} heads" if known else ""
    )
    way = way._replace(size=_size(found, way, patch), heads=known, pool=_pool(found, way))
    return Found(prefix, words, found, own, project, (way,))


def load_vit(found: Found, way: Preprocessing) -> keras.Model:
    """Return a Vision Transformer with the checkpoint's weights.

    Its project's options: `epsilon`, `activation` and `class_before_norm` as in `Form`; `resizing` of positions; `rope_base`, of
    which the periods of rotary positions are powers where the checkpoint has neither periods nor positions.

    :raises InputError: what is wanted is impossible, or tensors are missing, of another shape, or without a place.
    """
    options = dict(found.project.options)
    resizing, base = options.pop("resizing", "antialiased"), options.pop("rope_base", None)
    form = _form(found, way, base is not None)._replace(**options)
    if form.activation not in ("gelu", "quick_gelu") and not form.gated:
        raise InputError(
            f"expected the activation gelu or quick_gelu, found {form.activation} in {found.words}: take another network"
        )
    ready = dataclasses.replace(found, tensors=_prepared(found, form, resizing, base))
    check_fit(lambda: vit(form), ready)
    return fill(vit(form), ready)


def whole(number: Any) -> int | None:
    """Return what a configuration says if it is a whole number from 1, else None."""
    return number if isinstance(number, int) and number > 0 else None


# What a checkpoint holds ------------------------------------------------------------------------------------------------


def _separate(names: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor, str]]:
    """Yield our name of each tensor, the tensor, and its name in the checkpoint; several layers in one are taken apart."""
    for name, theirs in names.items():
        tensor, (layer, _, variable) = tensors[theirs], name.rpartition(".")
        mask = names.get(f"{layer}.bias_mask")
        if mask and variable == "bias":
            tensor = product(tensor, tensors[mask])
        weight = tensors[names.get(f"{layer}.weight", theirs)]
        parts = _parts(layer, names, tensors) if variable in ("weight", "bias") else [layer]
        for number, part in enumerate(parts):
            row = _rows(tensor, number, len(parts)) if len(parts) > 1 else tensor
            yield our_name(f"{part}.{variable}".removeprefix("."), weight), row, theirs


def _parts(layer: str, names: Mapping[str, str], tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the layers that a dense layer of a checkpoint is: queries, keys and values, or SwiGLU's two."""
    if layer.endswith(".attn.qkv"):
        return [layer.replace(".qkv", f".{role}") for role in "qkv"]
    after = names.get(f"{layer.replace('.fc1', '.fc2')}.weight")
    if layer.endswith(".mlp.fc1") and after and f"{layer}.weight" in names:
        rows, columns = tensors[names[f"{layer}.weight"]].shape[:1], tensors[after].shape[1:]
        if rows and rows == tuple(2 * count for count in columns):
            return [f"{layer}_g", f"{layer}_x"]
    return [layer]


def _rows(tensor: Tensor, number: int, parts: int) -> Tensor:
    count, *rest = tensor.shape or (0,)
    rows = count // parts
    return Tensor((rows, *rest), lambda: tensor.read()[number * rows : (number + 1) * rows])


def _heads(found: Mapping[str, Tensor]) -> int | None:
    """Return the number of heads that the periods of rotary positions tell: there is one for each four numbers of a head."""
    if "periods" not in found:
        return None
    return _shape(found, "patch_embed_proj/kernel", 4)[-1] // (4 * _shape(found, "periods", 1)[0])


def _pool(found: Mapping[str, Tensor], way: Preprocessing) -> Pool:
    return "mean" if "cls_token" not in found or "fc_norm/gamma" in found else way.pool or "cls"


def _size(found: Mapping[str, Tensor], way: Preprocessing, patch: int) -> int:
    """Return the height and width of photographs: those of the positions, at most those that the project evaluates at."""
    if "pos_embed" not in found:
        return way.size or 224
    trained = _side(found)[0] * patch
    return min(way.size or trained, trained)


def _side(found: Mapping[str, Tensor]) -> tuple[int, int]:
    """Return how many patches in a row there are positions for, and for how many of the tokens before them."""
    count = math.prod(found["pos_embed"].shape[:-1])
    side = math.isqrt(count)
    return side, count - side**2


def _shape(found: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    """Return the shape of a tensor that every network has.

    :raises InputError: it is missing, or has other dimensions.
    """
    shape = found[name].shape if name in found else ()
    if len(shape) != dimensions or 0 in shape:
        raise InputError(
            f"expected a Vision Transformer's {name} with {dimensions} dimensions, found {shape or 'nothing'}: get the file again"
        )
    return shape


# What the network of ours needs -----------------------------------------------------------------------------------------


def _form(found: Found, way: Preprocessing, rotary: bool) -> Form:
    """Return what the network is made of.

    :raises InputError: something is not known, or does not go together; the message names the option.
    """
    tensors = found.tensors
    patch, *_, width = _shape(tensors, "patch_embed_proj/kernel", 4)
    _check_blocks(found)
    class_token = "cls_token" in tensors
    registers = math.prod(tensors["reg_token"].shape[:-1]) if "reg_token" in tensors else 0
    gated = "blocks_0_mlp_fc1_g/kernel" in tensors
    rotary = "pos_embed" not in tensors and ("periods" in tensors or rotary)
    form = Form(
        patch=patch,
        cells=way.size // patch,
        width=width,
        depth=len(_blocks(tensors)),
        heads=_checked_heads(found, way, width // 4 if rotary else width),
        hidden=_shape(tensors, f"blocks_0_mlp_{'fc1_g' if gated else 'fc1'}/kernel", 2)[1],
        class_token=class_token,
        registers=registers,
        gated=gated,
        rotary=rotary,
        norms=frozenset(norm for norm in NORMS if f"{norm}/gamma" in tensors),
        pool=way.pool,
    )
    _check_options(found, way, form)
    return form


def _checked_heads(found: Found, way: Preprocessing, numbers: int) -> int:
    if way.heads is None:
        raise InputError(
            f"expected to know the number of heads, found {found.words} under {found.prefix!r}, which does not say it: give --heads"
        )
    if numbers % way.heads:
        raise InputError(f"found {found.words}, which cannot have {way.heads} heads: give another --heads")
    return way.heads


def _check_options(found: Found, way: Preprocessing, form: Form) -> None:
    if way.size % form.patch:
        fits = max(form.cells, 1) * form.patch
        raise InputError(
            f"expected --size as a multiple of the patches' {form.patch} pixels, found {way.size}: give --size {fits}"
        )
    if way.pool != "mean" and not form.class_token:
        raise InputError(f"found {found.words}, which has no class token for --pool {way.pool}: give --pool mean")
    before = _side(found.tensors)[1] if "pos_embed" in found.tensors else -1
    if not form.rotary and before not in (0, form.class_token, form.extra):
        raise InputError(
            f"expected positions for a square of patches and for at most {form.extra} tokens before them under "
            f"{found.prefix!r}, found {found.tensors['pos_embed'].shape if before >= 0 else 'none'}: take another network"
        )


def _blocks(tensors: Mapping[str, Tensor]) -> dict[str, set[str]]:
    """Return the names of the tensors in each block, by its number."""
    blocks: dict[str, set[str]] = {}
    for match in map(partial(re.match, BLOCK), tensors):
        if match:
            blocks.setdefault(match[1], set()).add(match[2])
    return blocks


def _check_blocks(found: Found) -> None:
    blocks = _blocks(found.tensors)
    some = set.union(*blocks.values()) - set.intersection(*blocks.values())
    if some or blocks.keys() != {str(number) for number in range(len(blocks))}:
        raise InputError(
            f"expected the same tensors in each of the blocks 0 to {len(blocks) - 1} under {found.prefix!r}, found "
            f"{min(some) if some else 'other numbers'} in some of {', '.join(blocks)}: get the file again"
        )


def _prepared(found: Found, form: Form, resizing: Resizing, rope_base: float | None) -> dict[str, Tensor]:
    """Return the tensors that the variables of our network are, by their names. Each is made when it is read."""
    ready = {name: tensor for name, tensor in found.tensors.items() if not re.search(TOKENS, name)}
    shape = (form.tokens, form.width)
    ready["tokens/kernel"] = Tensor(shape[1:], lambda: np.ones(form.width))
    ready["tokens/bias"] = Tensor(shape, lambda: _token_biases(found, form, resizing))
    if form.rotary:
        ready["rotation/kernel"] = _turns(found, form, rope_base)
    for index in range(form.depth):
        _prepare_block(ready, form, f"blocks_{index}")
    return ready


def _prepare_block(ready: dict[str, Tensor], form: Form, block: str) -> None:
    """Split attention into heads, multiply LayerScale and QuickGELU's factor into the kernels, and give each layer a bias."""
    width, size = form.width, form.width // form.heads
    heads = (form.heads, size)
    pairs = (form.heads, 2, size // 2) if form.rotary else heads
    for role, shape in (("q", pairs), ("k", pairs), ("v", heads)):
        _prepare(ready, f"{block}_attn_{role}", (width, *shape), shape)
    _prepare(ready, f"{block}_attn_proj", (*heads, width), (width,), _scale(ready, f"{block}_ls1/gamma", width))
    quick = QUICK_GELU if form.activation == "quick_gelu" and not form.gated else 1.0
    for layer in ("fc1_g", "fc1_x") if form.gated else ("fc1",):
        _prepare(ready, f"{block}_mlp_{layer}", (width, form.hidden), (form.hidden,), quick)
    last = f"{block}_mlp_fc2"
    _prepare(ready, last, (form.hidden, width), (width,), _scale(ready, f"{block}_ls2/gamma", width))
    for kernel in {f"{last}/kernel"} & ready.keys():
        ready[kernel] = product(ready[kernel], 1 / quick)


def _prepare(
    ready: dict[str, Tensor], layer: str, kernel: tuple[int, ...], bias: tuple[int, ...], factor: Tensor | float = 1.0
) -> None:
    """Give a dense layer's tensors their shapes, and multiply them by a factor. A bias that is missing in all blocks is zero."""
    ready.setdefault(f"{layer}/bias", Tensor((math.prod(bias),), lambda: np.zeros(bias)))
    for name, shape in ((f"{layer}/kernel", kernel), (f"{layer}/bias", bias)):
        if name in ready and _flattened(shape, ready[name].shape):  # others do not fit, which is said later
            ready[name] = product(Tensor(shape, ready[name].read), factor)


def _flattened(shape: tuple[int, ...], flat: tuple[int, ...]) -> bool:
    """Tell whether a shape is another one with its neighbouring axes joined."""
    pairs = [(math.prod(shape[:axis]), math.prod(shape[axis:])) for axis in range(1, len(shape))]
    return flat in [(math.prod(shape),), *pairs]


def _scale(ready: dict[str, Tensor], name: str, width: int) -> Tensor | float:
    """Return a LayerScale, or 1 if there is none."""
    return ready.pop(name) if name in ready and ready[name].shape == (width,) else 1.0


def _token_biases(found: Found, form: Form, resizing: Resizing) -> np.ndarray:
    """Return what is added to each token, (tokens, D)."""
    read = {name: tensor.read().reshape(-1, form.width) for name, tensor in found.tensors.items() if name in BIASES}
    added = np.zeros((form.tokens, form.width), "float32")
    if form.extra:
        added[: form.extra] = np.concatenate([read[name] for name in ("cls_token", "reg_token") if name in read])
    if "patch_embed_proj/bias" in read:
        added[form.extra :] = read["patch_embed_proj/bias"]
    if "pos_embed" in read:
        _, before = _side(found.tensors)
        added[:before] += read["pos_embed"][:before]
        added[form.extra :] += resized(read["pos_embed"][before:], form.cells, resizing)
    return added


def _turns(found: Found, form: Form, rope_base: float | None) -> Tensor:
    quarter = form.width // form.heads // 4
    periods = found.tensors.get("periods") or Tensor((quarter,), lambda: rope_base ** (np.arange(quarter) / quarter))
    shape = (form.tokens, 2, 2, 2 * periods.shape[0])
    return Tensor(shape, lambda: rotations(periods.read(), form.cells, form.extra))
