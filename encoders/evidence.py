"""How a published network begins and wants its photographs: what was told, and what configuration, project and statistics say.

What was told counts first, then a configuration beside the checkpoint, then batch normalisations that settle it, then the project's
own way where they do not contradict it. Nothing else is assumed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np

from core import settings
from core.errors import InputError
from encoders import photographs, statistics
from encoders.networks.loading import Found, Pool, Preprocessing, Project
from encoders.networks.resnet import BASIC, STEMS, PublishedStem
from encoders.normalisations import IMAGENET, KNOWN, Normalisation, configured

EXAMPLES = Path(__file__).resolve().parents[1] / "Examples"
PHOTOGRAPHS = 50  # that are looked at
HABIT = 2  # times the smallest distance: up to here, what is usual for an unknown project is accepted
DOUBTFUL = 0.15  # median distance of all batch normalisations; .01 to .05 is usual

Build = Callable[..., keras.Model]  # of a family: build(found, way, short=...)
Distances = Mapping[Normalisation, float]  # of the first layer's statistics from what each normalisation gives


@dataclass(frozen=True)
class Told:
    """What a person says of a checkpoint. None: find out."""

    prefix: str | None = None
    """If the file holds several networks: how the names in the wanted one begin."""
    mean: tuple[float, float, float] | None = None
    """Mean of red, green and blue, in [0, 1], that the network wants subtracted."""
    deviation: tuple[float, float, float] | None = None
    """Standard deviation of red, green and blue, in [0, 1], that it wants them divided by."""
    stem: PublishedStem | None = None
    """How the network begins: imagenet is 7x7/2 and a max-pool, cifar 3x3/1, small 3x3/2 and a max-pool; docs/encoders.md has all."""
    v1_strides: settings.YesNo = None
    """Whether bottlenecks have their stride in the first 1x1 convolution; torchvision's have it in the 3x3 one."""
    size: settings.Count | None = None
    """Height and width of the photographs."""
    pool: Pool | None = None
    """Which tokens of a Vision Transformer are the feature: the class token, the mean of the patches, or both side by side."""
    heads: settings.Count | None = None
    """Heads of a Vision Transformer."""
    photographs: Path = EXAMPLES
    """Folder of some 50 photographs, with which the batch normalisations are compared."""

    def normalisation(self) -> Normalisation | None:
        """Return the normalisation that was told.

        :raises InputError: only one half of it was.
        """
        if (self.mean is None) != (self.deviation is None):
            raise InputError("expected --mean and --deviation together, found one of them; give both")
        return Normalisation("told", self.mean, self.deviation) if self.mean else None


def decide(build: Build, found: Found, told: Told, configuration: Mapping[str, Any]) -> Preprocessing:
    """Return how the network begins and wants its photographs, and print how this is known.

    :raises InputError: something is not known; the message names the option that tells it.
    """
    named, size = configured(configuration)
    size = told.size or size
    ways = [way._replace(size=size or way.size) for way in _possible(found, told.stem)]
    given = told.normalisation() or named
    candidates = {given, *(way.normalisation for way in ways), *KNOWN} - {None}
    distances = _first_distances(build, found, ways[0], told.photographs, candidates)
    way = ways[0]
    if len(ways) > 1:
        way = _choose(build, found, ways, told.photographs, min(distances, key=distances.get))
    normalisation, how = (given, given.name) if given else _normalisation(found.project, way, distances)
    if (
        way.stem and not given and not size and way.normalisation not in (None, normalisation)
    ):  # not as the project's are
        way = way._replace(size=STEMS[way.stem].size)
    print(f"size: {way.size} x {way.size}" + ("" if told.size else ", usual for such networks; --size takes another"))
    print(f"normalisation: {normalisation}: {how}{_agreement(distances, normalisation)}")
    known = f"{normalisation}: {how}" if given else how
    way = way._replace(normalisation=normalisation, known=known, v1_strides=_strides(found, way, told.v1_strides))
    return _pooled(found, way, told)


def check(network: keras.Model, way: Preprocessing, folder: Path) -> None:
    """Print how well all batch normalisations agree with what they see now, and warn where they do not."""
    if not any(isinstance(layer, keras.layers.BatchNormalization) for layer in network.layers):
        return
    shown = _read(folder, way.size)
    (distances,) = statistics.distances(network, shown, [way.normalisation])
    median = np.median(distances)
    print(
        f"batch normalisations: median distance {_short(median)}, largest {_short(max(distances))} of {len(distances)}, "
        f"on {len(shown)} photographs of {folder}"
    )
    if median > DOUBTFUL:
        print(
            "warning: .01 to .05 is usual; the photographs are unlike those of the training, or --mean, --deviation, --stem "
            "or --v1-strides should be others"
        )


def _possible(found: Found, stem: PublishedStem | None) -> list[Preprocessing]:
    """Return the ways in which the network may begin.

    :raises InputError: no known stem has its first kernel.
    """
    if stem is not None:
        own = [way for way in found.preprocessing if way.stem == stem]
        return own or [Preprocessing(STEMS[stem].size, None, stem)]
    if not found.preprocessing:
        raise InputError(
            f"found {found.words} under {found.prefix!r}, whose first kernel no known stem has: give --stem"
        )
    return list(found.preprocessing)


def _first_distances(
    build: Build, found: Found, way: Preprocessing, folder: Path, candidates: Iterable[Normalisation]
) -> Distances:
    """Return the distance of the first batch normalisation for each candidate; nothing if the network has none."""
    if way.stem is None and not any(name.endswith("/moving_mean") for name in found.tensors):
        return {}
    short, shown = build(found, way, short=True), _read(folder, way.size)
    candidates = [*candidates]
    found = statistics.distances(short, shown, candidates, most=1)
    return {candidate: first for candidate, (first,) in zip(candidates, found, strict=True)}


def _choose(
    build: Build, found: Found, ways: list[Preprocessing], folder: Path, normalisation: Normalisation
) -> Preprocessing:
    """Return the way to begin that the batch normalisations of the first block speak for.

    :raises InputError: they do not speak clearly.
    """
    behind = {}
    for way in ways:
        short = build(found, way, short=True)
        (distances,) = statistics.distances(short, _read(folder, way.size), [normalisation])
        behind[way] = np.median(distances[1:])
    way = min(behind, key=behind.get)
    seen = ", ".join(f"{way.stem} {_short(distance)}" for way, distance in behind.items())
    usual = way is ways[0] and behind[way] <= statistics.FITS
    if not usual and statistics.settled(behind) is None:
        raise InputError(
            f"expected to see from the batch normalisations how the network begins, found distances of {seen}: give --stem, "
            "or --photographs with some 50 photographs"
        )
    print(f"stem: {way.stem}, by the batch normalisations of the first block (distances {seen})")
    return way


def _normalisation(project: Project, way: Preprocessing, distances: Distances) -> tuple[Normalisation, str]:
    """Return the normalisation that the project or the statistics speak for, and in words how it is known.

    :raises InputError: they do not say enough.
    """
    nearest = min(distances.values(), default=float("inf"))
    if way.normalisation and nearest > statistics.FITS:
        return way.normalisation, f"{way.normalisation.name}, as {project.name} feeds its networks"
    claims = [(way.normalisation, statistics.FACTOR, f"as {project.name} feeds its networks")]
    if way.stem == "imagenet":
        claims.append((IMAGENET, HABIT, "usual for such networks"))
    for claim, limit, reason in claims:
        if claim and distances[claim] <= limit * nearest <= limit * statistics.FITS:
            return claim, f"{claim.name}, {reason}"
    if distances and (settled := statistics.settled(distances)):
        return settled, f"{settled.name}, by the batch normalisations"
    raise InputError(
        f"expected to know how the network wants its photographs, found no project that says it, and batch normalisations "
        f"{_seen(distances) or 'nowhere'}: give --mean and --deviation"
        + ", or --photographs with some 50 photographs"
        * bool(distances)
    )


def _agreement(distances: Distances, normalisation: Normalisation) -> str:
    """Return in words whether the batch normalisations speak for a normalisation; nothing if there are none."""
    if not distances:
        return ""
    if min(distances.values()) > statistics.FITS:
        return "; the batch normalisations fit nothing that is known"
    if statistics.contradict(distances, normalisation):
        return f"; warning: the batch normalisations are {_seen(distances)}"
    return f"; the batch normalisations agree: {_seen(distances)}"


def _seen(distances: Distances) -> str:
    nearest = sorted(distances, key=distances.get)[:2]
    return " and ".join(f"{_short(distances[candidate])} from {candidate.name}" for candidate in nearest)


def _strides(found: Found, way: Preprocessing, told: bool | None) -> bool:
    strides = way.v1_strides if told is None else told
    if strides is None and found.depth not in BASIC:
        raise InputError(
            f"expected to know which convolution of a bottleneck has the stride, found networks with either by {found.project.name}: "
            "give --v1-strides yes (the first 1x1, as Spijkervet's modify_resnet_model makes it) or --v1-strides no (the 3x3)"
        )
    return bool(strides)


def _pooled(found: Found, way: Preprocessing, told: Told) -> Preprocessing:
    if way.pool is None and (told.pool or told.heads):
        raise InputError(f"expected --pool and --heads with a Vision Transformer, found {found.words}: leave them away")
    return way._replace(pool=told.pool or way.pool, heads=told.heads or way.heads)


def _read(folder: Path, size: int) -> np.ndarray:
    """Return some photographs of a folder, evenly chosen, uint8 (N, size, size, 3)."""
    paths = _listed(folder)
    some = paths[:: max(1, len(paths) // PHOTOGRAPHS)][:PHOTOGRAPHS]
    return np.stack([photographs.read(path, size, size) for path in some])


_listed = cache(photographs.list_photographs)


def _short(distance: float) -> str:
    return f"{distance:.3f}" if distance < 10 else f"{distance:.0f}"
