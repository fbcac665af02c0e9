"""Turn a published checkpoint into an encoder file.

    python -m encoders.convert --checkpoint simclr_imagenet.ckpt --out Pre-trained/imagenet_encoder.keras

Reads a ResNet-18, -34 or -50 in torchvision's layout, under any prefix, from a torch archive or a safetensors file; or a
checkpoint or SavedModel of google-research/simclr (v1, or v2 without selective kernels). PyTorch is not needed, and nothing
in the file is run. Writes an encoder: photographs, uint8 (N, size, size, 3), to features, float32 (N, D), normalised inside
as the network's authors did.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import keras

from core import keras_files, settings
from core.errors import InputError
from encoders.encoder_file import describe, encoder
from encoders.families import google, torchvision
from encoders.networks.loading import Found, shortened
from encoders.networks.resnet import Stem
from encoders.tensors import checkpoint
from encoders.tensors.tensor import COUNTER, Tensor, parent

FAMILIES = (torchvision, google)


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    checkpoint: Path = Path("Pre-trained/simclr_imagenet.ckpt")
    """The file. Of a TensorFlow checkpoint its prefix, its .index, or its folder."""
    out: Path = Path("Pre-trained/imagenet_encoder.keras")
    """The encoder's file."""
    prefix: str | None = None
    """If the file holds several networks: how the names in the wanted one begin."""
    stem: Stem | None = None
    """How the network begins. By default imagenet for 7x7 kernels and cifar for 3x3; small is 3x3/2 and a max-pool."""
    size: settings.Count | None = None
    """Height and width of the photographs. By default 224; 64 for the stem small, 32 for cifar."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    source = checkpoint.read(config.checkpoint)
    print(f"{config.checkpoint} is {source.container}")
    family, found = find(source.tensors, config.prefix)
    network = build(family, found, config.stem)
    print(f"left aside: {_left_aside(source.tensors, found)}")
    seen = family.PREPROCESSING
    size = config.size or seen.size(network)
    model = encoder(network, size, size, seen.mean, seen.deviation)
    keras_files.write(config.out, model)
    print(f"wrote {config.out}: {network.name}, {config.checkpoint.name}, {describe(model)}")


def find(tensors: Mapping[str, Tensor], prefix: str | None = None) -> tuple[ModuleType, Found]:
    """Return the first network among the tensors, or the one whose names begin with `prefix`, and its family; the others are printed.

    :raises InputError: there is none; the message says what was found and what would fit.
    """
    networks = {found.prefix: (family, found) for family in FAMILIES for found in family.find(tensors)}
    if not networks:
        raise InputError(f"found no network that fits among {shortened(tensors) or 'no tensors at all'}\n{_fits()}")
    chosen = next(iter(networks)) if prefix is None else prefix
    if chosen not in networks:
        raise InputError(f"found no network under {prefix!r}, but under {', '.join(map(repr, networks))}")
    if others := [repr(other) for other in networks if other != chosen]:
        print(f"there are other networks: --prefix with {', '.join(others)} takes another than {chosen!r}")
    return networks[chosen]


def build(family: ModuleType, found: Found, stem: Stem | None = None) -> keras.Model:
    """Return the network with the checkpoint's weights.

    :raises InputError: they do not fit; the message says what would.
    """
    try:
        return family.build(found, stem)
    except InputError as error:
        raise InputError(f"{error}\n{_fits()}") from error


def _fits() -> str:
    return f"what would fit: {'; '.join(family.NAME for family in FAMILIES)}"


def _left_aside(tensors: Iterable[str], found: Found) -> str:
    others = [name for name in tensors if name not in found.tensors and not name.endswith(COUNTER)]
    return shortened(dict.fromkeys(map(parent, others))) or "nothing"


if __name__ == "__main__":
    settings.run(main)
