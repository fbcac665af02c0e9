"""google-research/simclr's ResNets (v1, or v2 without selective kernels), whose layers TensorFlow numbered; they see photographs in [0, 1]."""

import re
from collections.abc import Iterator, Mapping

import keras

from encoders.networks.loading import Found, Preprocessing, load_resnet
from encoders.networks.resnet import BLOCKS, Stem, usual_size
from encoders.tensors.tensor import Tensor, parent

NAME = "google-research/simclr's r18, r34 or r50 without selective kernels (sk0)"
PREPROCESSING = Preprocessing(usual_size, 0.0, 1.0)
VARIABLES = ("kernel", "gamma", "beta", "moving_mean", "moving_variance", "bias")


def find(tensors: Mapping[str, Tensor]) -> Iterator[Found]:
    """Yield the networks of this family among the tensors."""
    scopes = [re.match(r"((ema_model/)?(base_model|resnet\w*)/).*conv2d\w*/kernel$", name) for name in tensors]
    for scope in sorted({match[1] for match in scopes if match}):  # base_model before its moving average, ema_model
        yield _found(tensors, scope)


def build(found: Found, stem: Stem | None = None) -> keras.Model:
    """Return the network with the checkpoint's weights; raises as `load_resnet`."""
    return load_resnet(found, stem, same_pooling=True)


def _found(tensors: Mapping[str, Tensor], scope: str) -> Found:
    """Return the network whose layers TensorFlow numbered as google-research/simclr made them."""
    roles = tuple(f"/{variable}" for variable in VARIABLES)
    own = {name: tensor for name, tensor in tensors.items() if name.startswith(scope) and name.endswith(roles)}
    convolutions, normalisations = (
        sorted({parent(name) for name in own if kind in name.split("/")[-2]}, key=_number)
        for kind in ("conv2d", "batch_normalization")
    )
    depth = {len(list(_google_order(depth))): depth for depth in BLOCKS}.get(len(convolutions))
    pairs = zip(_google_order(depth or 50), zip(convolutions, normalisations, strict=False), strict=False)
    homes = {layer: name for layers, names in pairs for layer, name in zip(layers, names, strict=True)}

    def name(layer: str, variable: str) -> str:
        return f"{homes.get(layer, scope + layer)}/{variable}"

    return Found(scope, f"{len(convolutions)} convolutions", depth, own, name)


def _google_order(depth: int) -> Iterator[tuple[str, str]]:
    """Yield the names of each convolution and its normalisation in the order of google-research/simclr: shortcuts first."""
    yield "conv1", "bn1"
    for stage, count in enumerate(BLOCKS[depth], 1):
        for index in range(count):
            block = f"layer{stage}_{index}_"
            if index == 0:
                yield f"{block}downsample_0", f"{block}downsample_1"
            for number in range(1, 4 if depth == 50 else 3):
                yield f"{block}conv{number}", f"{block}bn{number}"


def _number(name: str) -> int:
    """Return the number that TensorFlow gave: 0 for `conv2d`, 7 for `conv2d_7`."""
    return int(re.search(r"(?:_(\d+))?$", name)[1] or 0)
