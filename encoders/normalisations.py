"""How networks get their photographs: the mean and standard deviation of RGB in [0, 1] that projects subtract and divide by."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from encoders.encoder_file import IMAGENET_DEVIATION, IMAGENET_MEAN


class Normalisation(NamedTuple):
    """A network sees (pixels / 255 - mean) / deviation."""

    name: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __str__(self) -> str:
        return f"mean {_shown(self.mean)}, standard deviation {_shown(self.deviation)}"


def _shown(numbers: tuple[float, ...]) -> str:
    return " ".join(f"{number:.4g}" for number in numbers)


IMAGENET = Normalisation("ImageNet's", IMAGENET_MEAN, IMAGENET_DEVIATION)
UNIT = Normalisation("[0, 1]", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
SYMMETRIC = Normalisation("[-1, 1]", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
BYTES = Normalisation("0 to 255", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
CENTRED_BYTES = Normalisation("0 to 255 less ImageNet's mean", IMAGENET_MEAN, (1 / 255, 1 / 255, 1 / 255))
# Of CIFAR-10 two standard deviations are in use: the mean of each photograph's own, and that of all pixels.
CIFAR10 = Normalisation("CIFAR-10's", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CIFAR10_PIXELS = Normalisation("CIFAR-10's of all pixels", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
CIFAR100 = Normalisation("CIFAR-100's", (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
STL10 = Normalisation("STL-10's", (0.43, 0.42, 0.39), (0.27, 0.26, 0.27))
CLIP = Normalisation("CLIP's", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

KNOWN = (IMAGENET, UNIT, SYMMETRIC, BYTES, CENTRED_BYTES, CIFAR10, CIFAR10_PIXELS, CIFAR100, STL10, CLIP)


def configured(configuration: Mapping[str, Any]) -> tuple[Normalisation | None, int | None]:
    """Return the normalisation and the size of photographs that Hugging Face's or timm's configuration names; None for what it does not.

    :param configuration: `preprocessor` as in preprocessor_config.json, `config` as in config.json.
    """
    timms, says = _table(_table(configuration, "config"), "pretrained_cfg"), _table(configuration, "preprocessor")
    mean, deviation = says.get("image_mean", timms.get("mean")), says.get("image_std", timms.get("std"))
    size = says.get("crop_size") or says.get("size") or timms.get("input_size", [None])[-1]
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge")
    if says.get("do_normalize") is False:
        mean, deviation = UNIT.mean, UNIT.deviation
    numbers = [mean, deviation]
    known = all(isinstance(values, list | tuple) and len(values) == 3 for values in numbers)
    return Normalisation("its configuration's", *map(tuple, numbers)) if known else None, size


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = table.get(key)
    return found if isinstance(found, dict) else {}
