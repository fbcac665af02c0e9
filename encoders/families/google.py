"""google-research/simclr's ResNets (v1, or v2 without selective kernels), whose layers TensorFlow numbered; they see photographs in [0, 1]."""

import re
from collections.abc import Iterator, Mapping

import keras

from core.errors import InputError
from encoders.networks.loading import Found, Preprocessing, Project, described, fitting, load_resnet
from encoders.networks.resnet import BASIC, BLOCKS
from encoders.normalisations import UNIT
from encoders.tensors.checkpoint import Checkpoint
from encoders.tensors.tensor import Tensor, parent

NAME = "google-research/simclr's r18 to r200 without selective kernels (sk0)"
PROJECT = Project(
    "google-research/simclr",
    (Preprocessing(224, UNIT, "imagenet"), Preprocessing(32, UNIT, "cifar")),
    evaluated=r"^(base_model|resnet)",  # not its moving average, ema_model
)
VARIABLES = ("kernel", "gamma", "beta", "moving_mean", "moving_variance", "bias")


def find(checkpoint: Checkpoint) -> Iterator[Found]:
    """Yield the networks of this family in a checkpoint."""
    scopes = [
        re.match(r"((ema_model/)?(base_model|resnet\w*)/).*conv2d\w*/kernel$", name) for name in checkpoint.tensors
    ]
    for scope in sorted({match[1] for match in scopes if match}):
        yield _found(checkpoint.tensors, scope)


def build(found: Found, way: Preprocessing, *, short: bool = False) -> keras.Model:
    """Return the network with the checkpoint's weights; raises as `load_resnet`, and for selective kernels."""
    if found.depth is None and found.words in map(_words, _with_selective_kernels()):
        raise InputError(
            f"found selective kernels (sk1) under {found.prefix!r}, which are not built; get the same with sk0"
        )
    return load_resnet(found, way, short=short, same_pooling=True)


def _found(tensors: Mapping[str, Tensor], scope: str) -> Found:
    """Return the network whose layers TensorFlow numbered as google-research/simclr made them."""
    roles = tuple(f"/{variable}" for variable in VARIABLES)
    own = [name for name in tensors if name.startswith(scope) and name.endswith(roles)]
    convolutions, normalisations = (
        sorted({parent(name) for name in own if kind in name.split("/")[-2]}, key=_number)
        for kind in ("conv2d", "batch_normalization")
    )
    depth = {len(list(_google_order(depth))): depth for depth in BLOCKS}.get(len(convolutions))
    pairs = zip(_google_order(depth or 50), zip(convolutions, normalisations, strict=False), strict=False)
    layers = {name: layer for ours, names in pairs for layer, name in zip(ours, names, strict=True)}
    names = {f"{layers.get(parent(name), parent(name))}/{name.rpartition('/')[2]}": name for name in own}
    found = {ours: tensors[name] for ours, name in names.items()}
    words = described(depth, found, _words(len(convolutions)))
    return Found(scope, words, found, names, PROJECT, fitting(PROJECT, PROJECT, found), depth)


def _words(convolutions: int) -> str:
    return f"{convolutions} convolutions"


def _with_selective_kernels() -> Iterator[int]:
    """Yield the numbers of convolutions of ResNet-50, -101 and -152 with selective kernels: two more a block, and two in the stem."""
    for depth in (50, 101, 152):
        yield len(list(_google_order(depth))) + 2 * sum(BLOCKS[depth]) + 2


def _google_order(depth: int) -> Iterator[tuple[str, str]]:
    """Yield the names of each convolution and its normalisation in the order of google-research/simclr: shortcuts first."""
    yield "conv1", "bn1"
    for stage, count in enumerate(BLOCKS[depth], 1):
        for index in range(count):
            block = f"layer{stage}_{index}_"
            if index == 0:
                yield f"{block}downsample_0", f"{block}downsample_1"
            for number in range(1, 3 if depth in BASIC else 4):
                yield f"{block}conv{number}", f"{block}bn{number}"


def _number(name: str) -> int:
    """Return the number that TensorFlow gave: 0 for `conv2d`, 7 for `conv2d_7`."""
    return int(re.search(r"(?:_(\d+))?$", name)[1] or 0)
