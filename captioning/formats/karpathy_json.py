"""Karpathy's dataset_flickr8k.json: captions, and the official splits."""

import json
from collections.abc import Iterator
from pathlib import Path

from core.disk import read_text
from core.errors import InputError

NAME = "Karpathy's JSON (dataset_flickr8k.json)"
SPLITS = {"train": "train", "restval": "train", "val": "dev", "test": "test"}  # his names and ours


def fits(head: str) -> bool:
    """Tell by the head of a file whether it has this form: it is JSON."""
    return head.lstrip().startswith("{")


def captions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the file name of an image and a caption, for each caption.

    :raises InputError: the file has another form, or no image has a sentence.
    """
    images = _images(path)
    if not any(image["sentences"] for image in images):
        raise InputError(
            f"expected captions in {path}, found none of its {len(images):,} images with a sentence; get it again"
        )
    for image in images:
        for sentence in image["sentences"]:
            yield image["filename"], sentence["raw"]


def splits(path: Path) -> dict[str, list[str]]:
    """Return the photographs' names in each split: train, dev and test.

    :raises InputError: the file has another form, or a split is unknown.
    """
    found: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for image in _images(path):
        if image["split"] not in SPLITS:
            raise InputError(
                f"expected the splits {', '.join(SPLITS)} in {path}, found {image['split']!r}; get it again"
            )
        found[SPLITS[image["split"]]].append(image["filename"])
    return found


def _images(path: Path) -> list[dict]:
    """Return the images of Karpathy's JSON: each with `filename`, `split`, and `sentences` with a `raw` caption.

    :raises InputError: the file has another form.
    """
    try:
        images = json.loads(read_text(path))["images"]
        usable = images and all(
            isinstance(image["filename"], str)
            and isinstance(image["split"], str)
            and all(isinstance(sentence["raw"], str) for sentence in image["sentences"])
            for image in images
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        usable = False
    if not usable:
        raise InputError(
            f'expected Karpathy\'s JSON in {path}: {{"images": [{{"filename", "split", "sentences": [{{"raw"}}]}}]}}; '
            f"found other JSON or a damaged file; get it again"
        )
    return images
