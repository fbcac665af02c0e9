"""COCO's captions_train2017.json, and data sets in its form: images, and annotations that name them by number."""

import re
from collections.abc import Iterator
from pathlib import Path

from captioning.formats import json_text
from core.errors import InputError

NAME = "COCO's JSON (captions_train2017.json)"


def fits(head: str) -> bool:
    """Tell by the head of a file whether it has this form: an object with images that have file names and numbers, or annotations."""
    start = head.lstrip()
    keys = r'"(?:info|licenses|annotations|type|categories)"\s*:|"images"\s*:\s*\[\s*\{[^{}]*"(?:file_name|id)"\s*:'
    return start.startswith("{") and re.match(rf"\{{\s*(?:{keys})", start) is not None


def captions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the file name of an image and a caption, for each annotation.

    :raises InputError: the file has another form, or no annotation is a caption of one of its images.
    """
    names, annotations = _parts(path)
    found = [(names.get(image), caption) for image, caption in annotations]
    kept = [(name, caption) for name, caption in found if name is not None]
    if not kept:
        raise InputError(
            f"expected captions of the {len(names):,} images in {path}, found {len(found):,} of other images; get it again"
        )
    if len(kept) < len(found):
        print(f"{path}: {len(found) - len(kept):,} of {len(found):,} captions are of images that it does not name")
    yield from kept


def _parts(path: Path) -> tuple[dict[int | str, str], list[tuple[int | str, str]]]:
    """Return the images' names by number, and the captions with their images' numbers."""
    try:
        value = json_text.load(path)
        names = {image["id"]: str(image.get("file_name") or image["coco_url"]) for image in value["images"]}
        pairs = [(annotation["image_id"], annotation["caption"]) for annotation in value["annotations"]]
        usable = pairs and all(isinstance(caption, str) and isinstance(image, int | str) for image, caption in pairs)
    except (ValueError, TypeError, KeyError, AttributeError):
        usable = False
    if not usable:
        raise InputError(
            f'expected COCO\'s captions in {path}: {{"images": [{{"id", "file_name"}}], "annotations": [{{"image_id", "caption"}}]}}; '
            "found other JSON or a damaged file; give captions_*.json (instances_*.json has none)"
        )
    return names, pairs
