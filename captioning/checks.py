"""Checks: do the files that steps wrote, or that people dropped in, belong together?"""

from collections.abc import Collection, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from captioning import splits
from captioning.captioner_file import Captioner
from core.errors import InputError

Value = TypeVar("Value")


def check_captions(captions: Collection[str], photographs: Mapping[str, Path], source: Path) -> None:
    """Say how many photographs and captioned images lack the other.

    :param captions: the image ids that have captions in the file `source`.
    :param photographs: their files by image id.
    :raises InputError: no photograph has a caption.
    """
    bare = [image for image in photographs if image not in captions]
    orphans = [image for image in captions if image not in photographs]
    if len(bare) == len(photographs):
        path = photographs[bare[0]]
        raise InputError(
            f"expected captions of the photographs in {path.parent}, found none in {source}: its images are "
            f"called {orphans[0]} and so on, the photographs {path.name}; give those of one data set"
        )
    if bare:
        print(f"{len(bare):,} of {len(photographs):,} photographs have no caption ({bare[0]} and so on)")
    if orphans:
        print(
            f"{len(orphans):,} of {len(captions):,} captioned images have no photograph here ({orphans[0]} and so on)"
        )


def check_apart(train: Collection[str], dev: Collection[str], source: Path) -> None:
    """Check that no photograph to learn from is in the list `source` of those to judge by.

    :raises InputError: some are in both.
    """
    if both := set(train) & set(dev):
        raise InputError(
            f"expected other photographs in {source} than those to learn from, found {len(both):,} of {len(dev):,} in both lists "
            f"({min(both)} and so on), which would flatter val_loss; take them out of one"
        )


def described(descriptions: Mapping[str, list[str]], source: Path) -> dict[str, list[str]]:
    """Return the descriptions of the images that the list `source` names, in the order of the descriptions.

    :raises InputError: the list is missing or empty, or no image of it has a description.
    """
    wanted = set(splits.read(source, descriptions))
    found = {image: texts for image, texts in descriptions.items() if image in wanted}
    if not found:
        raise InputError(
            f"expected descriptions of the {len(wanted):,} photographs in {source}, found none: the descriptions are of other "
            f"photographs ({next(iter(descriptions))} and so on); give the list and the descriptions of one data set"
        )
    if missing := wanted - found.keys():
        print(
            f"{source}: {len(missing):,} of {len(wanted):,} photographs have no description: left out ({min(missing)} and so on)"
        )
    return found


def pick(values: Mapping[str, Value], images: Collection[str], what: str, source: Path) -> dict[str, Value]:
    """Return the values of all the images, in their order.

    :raises InputError: some image has none in the file `source`.
    """
    check_all(values, images, what, source)
    return {image: values[image] for image in images}


def check_all(values: Container[str], images: Collection[str], what: str, source: Path) -> None:
    """Check that each image has a value.

    :raises InputError: some image has none in the file `source`.
    """
    missing = [image for image in images if image not in values]
    if missing:
        hint = ": skipped.txt names the files that step 1 could not decode" if what == "feature" else ""
        raise InputError(
            f"expected a {what} for each of {len(images):,} photographs in {source}, found none for {len(missing):,} of them "
            f"({missing[0]} and so on); make it for all, or take these out of the list{hint}"
        )


def check_features(captioner: Captioner, shape: Sequence[int], origin: Mapping[str, Any] | None, source: Path) -> None:
    """Check that the features or grids of the file or encoder `source` are of the kind that the captioner was trained on.

    :param shape: of one feature (D,) or grid (cells, C).
    :param origin: what is known of the features; only its encoder's fingerprint counts.
    :raises InputError: their shape is another, or they are known to come from another encoder.
    """
    expected = captioner.model.inputs[0].shape[1:]
    if tuple(shape) != expected:
        found = f"{shape[0]:,}" if len(shape) == len(expected) == 1 else _named(shape)
        raise InputError(
            f"expected {_named(expected)}, which the captioner was trained on, found {found} in {source}; "
            "use the encoder that made the captioner's features, or train a captioner on these"
        )
    if captioner.origin is None:
        print("the captioner does not say which encoder its features came from: only their length is checked")
    elif origin and origin["encoder"] != captioner.origin["encoder"]:
        raise InputError(
            f"expected the features of the encoder {captioner.origin['encoder'][:12]}, which the captioner was trained on, found "
            f"those of {origin['encoder'][:12]} in {source}; use that encoder, or train a captioner on these features"
        )


def _named(shape: Sequence[int]) -> str:
    if len(shape) == 1:
        return f"features of {shape[0]:,} numbers"
    return f"grids of {shape[0]:,} cells of {shape[1]:,} numbers"
