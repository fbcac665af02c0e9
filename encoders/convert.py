"""Turn a published checkpoint into an encoder file.

    python -m encoders.convert --checkpoint simclr_imagenet.ckpt --out Pre-trained/imagenet_encoder.keras

Reads torch archives, safetensors files, Hugging Face folders and TensorFlow checkpoints; PyTorch is not needed, and nothing in
a file is run. Prints which network it found and how that network wants its photographs, and how this is known. What cannot be
known is asked for: the message names the option. Writes the encoder, and beside it NAME.json, which says the same.

    python -m encoders.convert --checkpoint network.onnx --out Pre-trained/network.onnx --mean 0.5 0.5 0.5 --deviation 0.5 0.5 0.5

Every other network comes as an ONNX file. Its graph stays what it is: only --output and what that needs is taken.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import keras

from core import disk, settings
from core.errors import InputError
from encoders import encoder_file, evidence, onnx_file
from encoders.evidence import Told
from encoders.families import (
    classy,
    clip,
    convnexts,
    efficientnets,
    google,
    huggingface,
    huggingface_vit,
    keras_example,
    mmselfsup,
    timm,
    timm_vit,
    torchvision,
)
from encoders.networks.loading import Found, shortened
from encoders.tensors import checkpoint
from encoders.tensors.checkpoint import Checkpoint
from encoders.tensors.tensor import COUNTERS, parent

FAMILIES = (
    torchvision,
    timm,
    huggingface,
    classy,
    google,
    timm_vit,
    huggingface_vit,
    mmselfsup,
    clip,
    convnexts,
    efficientnets,
    keras_example,
)
TEACHERS = r"teacher|momentum|target|ema"  # in names: a moving average of the student, and better
STUDENTS = r"student|online|query"
OUTPUTS = {  # what the features are, by the pooling
    None: "the mean over space of its last map",
    "cls": "its class token; --pool takes another",
    "mean": "the mean of its patches' tokens",
    "both": "its class token and the mean of its patches' tokens",
}
DETECTORS = r"(^|\.)(rpn|rpn_head|roi_heads?|bbox_head|class_embed|fpn)\."  # in names


@dataclass(frozen=True)
class Settings(Told):
    """Edit these here, or override them on the command line."""

    checkpoint: Path = Path("Pre-trained/simclr_imagenet.ckpt")
    """The file or folder. Of a TensorFlow checkpoint its prefix, its .index, or its folder."""
    out: Path = Path("Pre-trained/imagenet_encoder.keras")
    """The encoder's file."""
    output: str | None = None
    """Of an ONNX file: the tensor that is the feature, or the grid whose mean over space is. By default its only output."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    write(config.checkpoint, config.out, config, config.output)


def write(path: Path, out: Path, told: Told = Told(), output: str | None = None) -> None:  # noqa: B008 - it is frozen
    """Write the encoder that a checkpoint or an ONNX file makes, and into NAME.json beside it what it is and how this is known.

    :raises InputError: as `convert`, or as `onnx_file.convert`.
    """
    if path.suffix == ".onnx":
        if given := [
            name for name in ("prefix", "stem", "v1_strides", "pool", "heads") if getattr(told, name) is not None
        ]:
            raise InputError(
                f"expected options of ONNX files with {path}, found --{given[0].replace('_', '-')}: leave it away"
            )
        normalisation = told.normalisation() or (None, None, None)
        encoder = onnx_file.convert(path, out, output, told.size, *normalisation[1:])
        encoder_file.say_written(out, encoder, path.name)
        return
    if output is not None:
        raise InputError(f"expected --output with an ONNX file, found it with {path}: leave it away")
    model, card = _convert(path, told)
    encoder_file.write(out, model, path.name)
    disk.update_json(out.with_suffix(".json"), card)


def convert(path: Path, told: Told = Told()) -> keras.Model:  # noqa: B008 - it is frozen
    """Return the encoder that a checkpoint makes, and print how each part of it is known.

    :raises InputError: no network fits, or something is unknown; the message names the option that tells it.
    """
    return _convert(path, told)[0]


def _convert(path: Path, told: Told) -> tuple[keras.Model, dict[str, str]]:
    source = checkpoint.read(path)
    print(f"checkpoint: {path}, {source.container}")
    family, found = choose(source, told.prefix)
    print(f"network: {found.words} under {found.prefix!r}, of {found.project.name}")
    way = evidence.decide(family.build, found, told, source.configuration)
    network = family.build(found, way)
    print(
        f"output: {network.output_shape[-1]:,} numbers of {network.name}, {getattr(family, 'OUTPUT', OUTPUTS[way.pool])}"
    )
    print(f"left aside: {_left_aside(source, found)}")
    evidence.check(network, way, told.photographs)
    model = encoder_file.encoder(network, way.size, way.size, way.normalisation.mean, way.normalisation.deviation)
    card = {"checkpoint": f"{source.file}, {source.container}", "family": found.project.name}
    return model, card | {"network": found.words, "normalisation": way.known}


def choose(source: Checkpoint, prefix: str | None = None) -> tuple[ModuleType, Found]:
    """Return the network of a checkpoint that its authors evaluate, or the one whose names begin with `prefix`, and its family.

    :raises InputError: there is none, or several of equal rank; the message says what was found and what would fit.
    """
    networks = {found.prefix: (family, found) for family in FAMILIES for found in family.find(source)}
    if not networks:
        fits = "; ".join(family.NAME for family in FAMILIES)
        found = shortened(source.tensors) or "no tensors at all"
        raise InputError(f"found no network that fits among {found} in {source.file}; what would fit: {fits}")
    if prefix is not None:
        if prefix not in networks:
            raise InputError(
                f"found no network under {prefix!r} in {source.file}: give --prefix one of {_listed(networks)}"
            )
        return networks[prefix]
    if any(re.search(DETECTORS, name) for name in source.tensors):
        raise InputError(
            f"found a detector in {source.file}; its backbone is taken with --prefix, one of {_listed(networks)}"
        )
    best, reason = _best([found for _, found in networks.values()])
    if len(best) > 1:
        raise InputError(
            f"found {len(best)} networks of equal rank in {source.file}: give --prefix one of {_listed(best)}"
        )
    if len(networks) > 1:
        others = _listed(other for other in networks if other != best[0])
        print(f"took the network under {best[0]!r}: {reason}; --prefix takes another: {others}")
    return networks[best[0]]


def _best(networks: list[Found]) -> tuple[list[str], str]:
    """Return the prefixes of the best networks of a checkpoint, and why they are."""
    evaluated = [found.prefix for found in networks if re.search(found.project.evaluated or "(?!)", found.prefix)]
    if evaluated:
        return evaluated, f"the authors of {networks[0].project.name} evaluate it"
    prefixes = [found.prefix for found in networks]
    teachers = [prefix for prefix in prefixes if re.search(TEACHERS, prefix)]
    if teachers:
        return teachers, "it is the moving average of another, and usually better"
    return [prefix for prefix in prefixes if not re.search(STUDENTS, prefix)] or prefixes, "it is not a student"


def _listed(prefixes: Iterable[str]) -> str:
    return ", ".join(map(repr, prefixes))


def _left_aside(source: Checkpoint, found: Found) -> str:
    taken = set(found.names.values())
    others = [name for name in source.tensors if name not in taken and not name.endswith(COUNTERS)]
    return shortened(dict.fromkeys(map(parent, others))) or "nothing"


if __name__ == "__main__":
    settings.run(main)
