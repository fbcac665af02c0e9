"""ConvNeXt (Liu et al. 2022, arXiv 2201.03545) of Keras' own layers, and how it gets a checkpoint's weights.

Layers carry the authors' names with `_` for `.`: `stages_0_1_pwconv1` is the authors' `stages.0.1.pwconv1`. LayerScale has no
layer: it is multiplied into the last dense layer of its block.
"""

import dataclasses
import re
from collections.abc import Mapping

import keras
from keras import layers

from core.errors import InputError
from encoders.networks.loading import Found, Pool, Preprocessing, Project, check_fit, fill
from encoders.networks.torch_names import as_keras, depthwise, our_name
from encoders.networks.vit import pooled
from encoders.tensors.tensor import Tensor, product

EPSILON = 1e-6
STAGES = 4


def convnext(depths: tuple[int, ...], widths: tuple[int, ...], pool: Pool | None = None) -> keras.Model:
    """Network from normalised photographs, float (N, H, W, 3) of any H and W, to features (N, D): the mean of the last map, normalised.

    :param depths: blocks in each stage; `widths`: their channels, the last of which is D.
    :param pool: DINOv3's ways. "cls" is the same; "mean" is the mean of the normalised last map, which the layer `grid` then
        gives, (N, h, w, D); "both" is both.
    """
    x = photographs = keras.Input((None, None, 3), name="photographs")
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        x = _downsample(x, width, stage)
        for index in range(depth):
            x = _block(x, width, f"stages_{stage}_{index}")
    return keras.Model(photographs, _features(x, pool), name="convnext")


def _downsample(x, width: int, stage: int):
    name = f"downsample_layers_{stage}"
    if stage == 0:
        return _normalise(layers.Conv2D(width, 4, 4, name=f"{name}_0")(x), f"{name}_1")
    return layers.Conv2D(width, 2, 2, name=f"{name}_1")(_normalise(x, f"{name}_0"))


def _block(x, width: int, name: str):
    y = layers.DepthwiseConv2D(7, padding="same", name=f"{name}_dwconv")(x)
    y = layers.Dense(4 * width, "gelu", name=f"{name}_pwconv1")(_normalise(y, f"{name}_norm"))
    return layers.Add(name=f"{name}_add")([x, layers.Dense(width, name=f"{name}_pwconv2")(y)])


def _features(x, pool: Pool | None):
    normalise = layers.LayerNormalization(epsilon=EPSILON, name="norm")
    token = normalise(layers.GlobalAveragePooling2D(keepdims=pool is not None, name="avgpool")(x))
    if pool is None:
        return token
    grid = layers.Identity(name="grid")(normalise(x))
    token = layers.Reshape((1, x.shape[-1]), name="class_token")(token)
    mean = layers.Reshape((1, x.shape[-1]), name="mean_token")(layers.GlobalAveragePooling2D(name="mean")(grid))
    return pooled(token, mean, pool)


def _normalise(x, name: str):
    return layers.LayerNormalization(epsilon=EPSILON, name=name)(x)


def found_convnext(prefix: str, names: Mapping[str, str], tensors: Mapping[str, Tensor], project: Project) -> Found:
    """Return the ConvNeXt in a checkpoint's tensors.

    :param names: the tensors' names in the checkpoint, by the authors' without a prefix, such as `stages.0.1.pwconv1.weight`.
    """
    found, own = {}, {}
    for name, theirs in names.items():
        weight = tensors[names.get(f"{name.rpartition('.')[0]}.weight", theirs)]
        ours = our_name(name, weight)
        found[ours], own[ours] = as_keras(tensors[theirs]), theirs
    words = f"a ConvNeXt of {', '.join(map(str, _depths(found)))} blocks"
    return Found(prefix, words, found, own, project, project.preprocessing)


def load_convnext(found: Found, way: Preprocessing) -> keras.Model:
    """Return a ConvNeXt with the checkpoint's weights.

    :raises InputError: tensors are missing, of another shape, or without a place.
    """
    ready = dataclasses.replace(found, tensors=_prepared(found.tensors))

    def build() -> keras.Model:
        return convnext(_depths(found.tensors), _widths(found), way.pool)

    check_fit(build, ready)
    return fill(build(), ready)


def _depths(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    blocks = {match[1]: match[2] for match in map(re.compile(r"stages_(\d)_(\d+)_").match, tensors) if match}
    return tuple(1 + int(blocks.get(str(stage), -1)) for stage in range(STAGES))


def _widths(found: Found) -> tuple[int, ...]:
    widths = []
    for stage in range(STAGES):
        name = f"downsample_layers_{stage}_{int(stage > 0)}/kernel"
        shape = found.tensors[name].shape if name in found.tensors else ()
        if len(shape) != 4 or 0 in shape:
            raise InputError(
                f"expected a convolution's kernel as {found.names.get(name, name)} under {found.prefix!r}, found {shape or 'nothing'}: "
                "get the file again"
            )
        widths.append(shape[-1])
    return tuple(widths)


def _prepared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that the variables of our network are, by their names. Each is made when it is read."""
    ready = dict(tensors)
    for name, tensor in tensors.items():
        if name.endswith("_dwconv/kernel"):
            ready[name] = depthwise(tensor)
        block, _, scale = name.rpartition("/")
        if re.fullmatch(r"stages_\d_\d+", block) and scale == "gamma":
            ready |= _scaled(ready, f"{block}_pwconv2", name)
    return ready


def _scaled(ready: dict[str, Tensor], layer: str, name: str) -> dict[str, Tensor]:
    """Return a dense layer's tensors times a LayerScale, which is taken away. One that does not fit is left, which is said later."""
    own = {variable: ready[variable] for variable in (f"{layer}/kernel", f"{layer}/bias") if variable in ready}
    if any(tensor.shape[-1:] != ready[name].shape for tensor in own.values()):
        return {}
    scale = ready.pop(name)
    return {variable: product(tensor, scale) for variable, tensor in own.items()}
