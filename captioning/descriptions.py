"""Descriptions: captions read in any of the three forms in which Flickr8k is handed round, and cleaned as the original does."""

import json
import re
import string
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from captioning import files
from captioning.errors import InputError

Captions = dict[str, list[str]]
Cleaning = Literal["seed", "natural"]
SHORTEST = {"seed": 2, "natural": 1}  # letters of the shortest word that a cleaning keeps
PUNCTUATION = str.maketrans("", "", string.punctuation)
FORMS = (
    "lines `name.jpg#0<TAB>caption` (Flickr8k.token.txt), the header `image,caption` and lines `name.jpg,caption` "
    "(captions.txt), or Karpathy's JSON (dataset_flickr8k.json)"
)


def read(path: Path) -> Captions:
    """Return the raw captions of each image, `{image id: [caption, ...]}` in the file's order, whatever the file's form.

    An image's id is its name up to the first dot; the spaces between a caption's words become single ones.

    :raises InputError: the file is missing, has none of the three forms, or no caption.
    """
    text = files.read_text(path)
    if is_karpathy(text):
        images = read_karpathy(text, path)
        pairs = [(image["filename"], sentence["raw"]) for image in images for sentence in image["sentences"]]
        if not pairs:
            raise InputError(
                f"expected captions in {path}, found none of its {len(images):,} images with a sentence; get it again"
            )
        return _grouped(pairs)
    header, *lines = text.split("\n")
    if len(header) < 200 and re.fullmatch(r"\W*image\W*,\W*caption\W*", header, re.IGNORECASE):
        return _grouped(_pairs(lines, _split_row, r'[^,]+,("([^"]|"")*"|[^,"]*)', path, first=2))
    return _grouped(_pairs([header, *lines], _split_line, r"\S+#\d+\s+\S.*", path, first=1))


def clean(text: str, cleaning: Cleaning = "seed") -> str:
    """Return the words of a caption in lower case and without punctuation; those with anything but letters are dropped.

    "seed", the original's way, also drops words of one letter, such as "a"; "natural" keeps them.
    """
    words = (word.lower().translate(PUNCTUATION) for word in text.split())
    return " ".join(word for word in words if word.isalpha() and len(word) >= SHORTEST[cleaning])


def is_karpathy(text: str) -> bool:
    """Tell by its first character whether a captions file is Karpathy's JSON."""
    return text.lstrip().startswith("{")


def read_karpathy(text: str, path: Path) -> list[dict]:
    """Return the images of Karpathy's JSON, read from `path`: each with `filename`, `split`, and `sentences` with a `raw` caption.

    :raises InputError: the text has another form.
    """
    try:
        images = json.loads(text)["images"]
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
            f"found other JSON or a damaged file; give one of the forms that can be read: {FORMS}"
        )
    return images


def _grouped(pairs: Iterable[tuple[str, str]]) -> Captions:
    captions: Captions = {}
    for name, caption in pairs:
        captions.setdefault(files.image_id(name), []).append(" ".join(caption.split()))
    return captions


def _pairs(
    lines: list[str], split: Callable[[str], tuple[str, str]], usual: str, path: Path, first: int
) -> list[tuple[str, str]]:
    """Split the lines into names and captions; odd lines are taken as well as they can be, counted and named.

    :raises InputError: no line is as usual.
    """
    filled = {number: line for number, line in enumerate(lines, first) if len(line) > 1 and line.strip()}
    odd = [number for number, line in filled.items() if not re.fullmatch(usual, line.strip())]
    if len(odd) == len(filled):
        found = repr(next(iter(filled.values()))[:60]) if filled else "no line"
        raise InputError(f"expected captions in {path}: {FORMS}; found {found}; check the path")
    if odd:
        print(f"{path}: {len(odd)} odd lines, read as well as they can be: {_some(odd)}")
    return [split(line) for line in filled.values()]


def _some(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")


def _split_line(line: str) -> tuple[str, str]:
    name, *words = line.split()
    return name, " ".join(words)


def _split_row(line: str) -> tuple[str, str]:
    """Split a CSV row; each line is one, so that a forgotten quotation mark spoils no other caption."""
    name, _, caption = line.partition(",")
    if quoted := re.fullmatch(r'\s*"(.*)"\s*', caption):
        caption = quoted[1].replace('""', '"')
    return name.strip('" '), caption
