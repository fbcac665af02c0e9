"""Turn a published SimCLR checkpoint into an encoder file.

    python -m simclr.convert_checkpoint --checkpoint simclr_imagenet.ckpt --out Pre-trained/imagenet_encoder.keras

Reads a ResNet-18, -34 or -50 in torchvision's layout, under any prefix, from a torch archive or a safetensors file; or a
checkpoint or SavedModel of google-research/simclr (v1, or v2 without selective kernels). PyTorch is not needed, and nothing
in the file is run. Writes an encoder: photographs, uint8 (N, size, size, 3), to features, float32 (N, D), normalised inside
as the network's authors did.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from captioning import files, settings
from captioning.errors import InputError
from pretext.encoder import IMAGENET_DEVIATION, IMAGENET_MEAN, describe, encoder
from pretext.resnet import BLOCKS, STEMS, Stem, resnet
from simclr import checkpoints
from simclr.checkpoints import Tensor

import keras

FITS = (
    "what would fit: ResNet-18, -34 or -50 in torchvision's layout (conv1, bn1, layer1.0.conv1 to layer4, under any prefix, "
    "or a numbered Sequential of them), or google-research/simclr's r18, r34 or r50 without selective kernels (sk0)"
)
SIZES = {"imagenet": 224, "small": 64, "cifar": 32}  # of the photographs that networks with such a stem are trained on
WIDEST = 256  # google-research/simclr's 4x
ROLES = {"kernel": "weight", "gamma": "weight", "beta": "bias",
         "moving_mean": "running_mean", "moving_variance": "running_var"}  # fmt: skip
COUNTER = ".num_batches_tracked"  # torch's, which no feature depends on


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    checkpoint: Path = Path("Pre-trained/simclr_imagenet.ckpt")  # the file; of TensorFlow its prefix, .index, or folder
    out: Path = Path("Pre-trained/imagenet_encoder.keras")  # the encoder's file
    prefix: str | None = None  # if the file holds several networks: how the names in the wanted one begin
    stem: Stem | None = None  # by default imagenet for 7x7 kernels, cifar for 3x3; small: 3x3/2 and a max-pool
    size: settings.Count | None = (
        None  # height and width of the photographs; by default 224, or 64 for small and 32 for cifar
    )


@dataclass(frozen=True)
class Found:
    """A network in a checkpoint: its tensors by their names there, kernels as (height, width, in, out)."""

    prefix: str
    layout: str  # torchvision or google
    blocks: str  # in words
    depth: int | None  # None if it is no ResNet-18, -34 or -50
    tensors: Mapping[str, Tensor]
    name: Callable[[str, str], str]  # from a layer of `resnet` and its variable to the name in the checkpoint


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    tensors = checkpoints.read(config.checkpoint)
    found = find(tensors, config.prefix)
    network, stem = build(found, config.stem)
    width = network.get_layer("conv1").filters
    print(f"found ResNet-{found.depth} of width {width} under {found.prefix!r}: {stem} stem")
    print(f"left aside: {_left_aside(tensors, found)}")
    size = config.size or SIZES[stem]
    own = (0.0, 1.0) if found.layout == "google" else (IMAGENET_MEAN, IMAGENET_DEVIATION)
    model = encoder(network, size, size, *own)
    files.write_model(config.out, model)
    print(f"wrote {config.out}: {network.name}, {config.checkpoint.name}, {describe(model)}")


def find(tensors: Mapping[str, Tensor], prefix: str | None = None) -> Found:
    """Return the first network among the tensors, or the one whose names begin with `prefix`; the others are printed.

    :raises InputError: there is none; the message says what was found and what would fit.
    """
    networks = {found.prefix: found for found in (*_in_torchvision_layout(tensors), *_in_google_layout(tensors))}
    if not networks:
        raise InputError(f"found no network that fits among {_shortened(tensors) or 'no tensors at all'}\n{FITS}")
    chosen = next(iter(networks)) if prefix is None else prefix
    if chosen not in networks:
        raise InputError(f"found no network under {prefix!r}, but under {', '.join(map(repr, networks))}")
    if others := [repr(other) for other in networks if other != chosen]:
        print(f"there are other networks: --prefix with {', '.join(others)} takes another than {chosen!r}")
    return networks[chosen]


def build(found: Found, stem: Stem | None = None) -> tuple[keras.Model, Stem]:
    """Return the network with the checkpoint's weights, and its stem.

    :raises InputError: another architecture, or tensors that are missing, of another shape, or without a place.
    """
    if found.depth is None:
        raise InputError(f"found {found.blocks} under {found.prefix!r}, but no ResNet-18, -34 or -50\n{FITS}")
    stem, width = _stem(found, stem)
    always_project = found.name("layer1_0_downsample_0", "kernel") in found.tensors
    same = found.layout == "google"
    build = partial(resnet, found.depth, stem, width, same_pooling=same, always_project=always_project)
    if problems := files.without_memory(lambda: _misfits(build(), found)):
        raise InputError(f"the network under {found.prefix!r} does not fit: {_shortened(problems, '; ')}\n{FITS}")
    network = build()
    for name, variable in _places(network, found).items():
        variable.assign(found.tensors[name].read())
    return network, stem


def _stem(found: Found, stem: Stem | None) -> tuple[Stem, int]:
    """Return how the network begins (its kernel decides, unless it is known), and its width."""
    name = found.name("conv1", "kernel")
    shape = found.tensors[name].shape if name in found.tensors else ()
    stem = stem or ("imagenet" if shape[:1] == (7,) else "cifar")
    size = STEMS[stem][0]
    if len(shape) != 4 or shape[:3] != (size, size, 3) or not 1 <= shape[3] <= WIDEST:
        raise InputError(
            f"{name} should have the shape ({size}, {size}, 3, 1 to {WIDEST}), found {shape or 'nothing'}\n{FITS}"
        )
    return stem, shape[3]


def _places(network: keras.Model, found: Found) -> dict[str, keras.Variable]:
    return {found.name(layer.name, variable.name): variable for layer in network.layers for variable in layer.weights}


def _misfits(network: keras.Model, found: Found) -> list[str]:
    variables = _places(network, found)
    problems = [f"{name} has no place in a {network.name}" for name in found.tensors if name not in variables]
    for name, variable in variables.items():
        shape = found.tensors[name].shape if name in found.tensors else "nothing"
        if shape != tuple(variable.shape):
            problems.append(f"{name} should have the shape {tuple(variable.shape)}, found {shape}")
    return problems


def _in_torchvision_layout(tensors: Mapping[str, Tensor]) -> Iterator[Found]:
    stages: dict[str, list[str]] = {}  # by prefix
    for name in tensors:
        if match := re.fullmatch(r"(|.*\.)(layer\d+|\d+)\.0\.conv1\.weight", name):
            stages.setdefault(match[1], []).append(match[2])
    for prefix, names in stages.items():
        if len(names) == 4:
            yield _torchvision(tensors, prefix, sorted(names, key=lambda name: (len(name), name)))


def _torchvision(tensors: Mapping[str, Tensor], prefix: str, stages: list[str]) -> Found:
    stem = ("0", "1") if stages[0].isdigit() else ("conv1", "bn1")  # a numbered Sequential of torchvision's children
    parts = dict(zip(("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"), (*stem, *stages), strict=True))
    beginnings = tuple(f"{prefix}{part}." for part in parts.values())
    own = {name: tensor for name, tensor in tensors.items() if name.startswith(beginnings)}
    own = {name: _as_keras(tensor) for name, tensor in own.items() if not name.endswith(COUNTER)}
    shortcut = "shortcut" if f"{prefix}{stages[1]}.0.shortcut.0.weight" in own else "downsample"

    def name(layer: str, variable: str) -> str:
        part, *rest = layer.replace("downsample", shortcut).split("_")
        return prefix + ".".join([parts[part], *rest, ROLES[variable]])

    counts = tuple(_count_blocks(own, f"{prefix}{stage}.") for stage in stages)
    kind = "bottleneck" if f"{prefix}{stages[0]}.0.conv3.weight" in own else "basic"
    depth = {(BLOCKS[18], "basic"): 18, (BLOCKS[34], "basic"): 34, (BLOCKS[50], "bottleneck"): 50}.get((counts, kind))
    return Found(prefix, "torchvision", f"stages of {counts} {kind} blocks", depth, own, name)


def _count_blocks(names: Iterable[str], stage: str) -> int:
    return len({name.removeprefix(stage).split(".")[0] for name in names if name.startswith(stage)})


def _as_keras(tensor: Tensor) -> Tensor:
    """Turn torch's kernels, (out, in, height, width), into Keras' (height, width, in, out)."""
    if len(tensor.shape) != 4:
        return tensor
    out, inside, height, width = tensor.shape
    return Tensor((height, width, inside, out), lambda: tensor.read().transpose(2, 3, 1, 0))


def _in_google_layout(tensors: Mapping[str, Tensor]) -> Iterator[Found]:
    scopes = [re.match(r"((ema_model/)?(base_model|resnet\w*)/).*conv2d\w*/kernel$", name) for name in tensors]
    for scope in sorted({match[1] for match in scopes if match}):  # base_model before its moving average, ema_model
        yield _google(tensors, scope)


def _google(tensors: Mapping[str, Tensor], scope: str) -> Found:
    """Return the network whose layers TensorFlow numbered as google-research/simclr made them."""
    roles = tuple(f"/{variable}" for variable in (*ROLES, "bias"))
    own = {name: tensor for name, tensor in tensors.items() if name.startswith(scope) and name.endswith(roles)}
    convolutions, normalisations = (
        sorted({_parent(name) for name in own if kind in name.split("/")[-2]}, key=_number)
        for kind in ("conv2d", "batch_normalization")
    )
    depth = {len(list(_google_order(depth))): depth for depth in BLOCKS}.get(len(convolutions))
    pairs = zip(_google_order(depth or 50), zip(convolutions, normalisations, strict=False), strict=False)
    homes = {layer: name for layers, names in pairs for layer, name in zip(layers, names, strict=True)}

    def name(layer: str, variable: str) -> str:
        return f"{homes.get(layer, scope + layer)}/{variable}"

    return Found(scope, "google", f"{len(convolutions)} convolutions", depth, own, name)


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


def _left_aside(tensors: Iterable[str], found: Found) -> str:
    others = [name for name in tensors if name not in found.tensors and not name.endswith(COUNTER)]
    return _shortened(dict.fromkeys(map(_parent, others))) or "nothing"


def _number(name: str) -> int:
    """Return the number that TensorFlow gave: 0 for `conv2d`, 7 for `conv2d_7`."""
    return int(re.search(r"(?:_(\d+))?$", name)[1] or 0)


def _parent(name: str) -> str:
    return re.sub(r"[./][^./]*$", "", name)


def _shortened(words: Iterable[str], separator: str = ", ", most: int = 6) -> str:
    words = list(words)
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return separator.join(words[:most] + more)


if __name__ == "__main__":
    settings.run(main)
