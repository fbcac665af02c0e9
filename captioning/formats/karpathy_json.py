"""Karpathy's dataset_flickr8k.json, dataset_flickr30k.json and dataset_coco.json: captions, and the usual splits."""

from collections.abc import Iterator
from pathlib import Path

from captioning.formats import columns, json_text
from core.errors import InputError

NAME = "Karpathy's JSON (dataset_flickr8k.json)"


def fits(head: str) -> bool:
    """Tell by the head of a file whether it has this form: an object with images."""
    start = head.lstrip()
    return start.startswith("{") and not json_text.is_lines(start) and '"images"' in start


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
            yield _name(image), sentence["raw"]


def splits(path: Path) -> dict[str, list[str]]:
    """Return the photographs' names in each split: train, dev and test.

    :raises InputError: the file has another form, or a split is unknown.
    """
    return columns.by_split(((_name(image), image["split"]) for image in _images(path)), path)


def _name(image: dict) -> str:
    """Return an image's name, with its folder where it has one, as COCO's do."""
    return f"{image['filepath']}/{image['filename']}" if image.get("filepath") else image["filename"]


def _images(path: Path) -> list[dict]:
    """Return the images of Karpathy's JSON: each with `filename`, `split`, and `sentences` with a `raw` caption.

    :raises InputError: the file has another form.
    """
    try:
        images = json_text.load(path)["images"]
        usable = images and all(
            isinstance(image["filename"], str)
            and isinstance(image["split"], str)
            and isinstance(image.get("filepath", ""), str)
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
