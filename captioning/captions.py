"""Captions as people wrote them, in any form that captioning/formats knows; descriptions, which are cleaned captions; and results.

descriptions.txt and captions.json are written and read here.
"""

import string
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Literal

from captioning.formats import csv_table, flickr_token, karpathy_json
from core.disk import read_json, read_text, write_json, write_text
from core.errors import InputError
from encoders.photographs import image_id

FORMATS = (karpathy_json, csv_table, flickr_token)  # the first that fits is taken
HEAD = 100_000  # characters of a file from which its form is recognised

Captions = dict[str, list[str]]  # image id -> captions or descriptions
Cleaning = Literal["seed", "natural"]
SHORTEST = {"seed": 2, "natural": 1}  # letters of the shortest word that a cleaning keeps
PUNCTUATION = str.maketrans("", "", string.punctuation)


def read_captions(path: Path) -> Captions:
    """Return the raw captions of each image, `{image id: [caption, ...]}` in the file's order, whatever the file's form.

    An image's id is its name up to the first dot; the spaces between a caption's words become single ones.

    :raises InputError: the file is missing, has none of the forms, or no caption.
    """
    captions: Captions = {}
    form = form_of(path)
    try:
        for name, caption in form.captions(path):
            captions.setdefault(image_id(name), []).append(" ".join(caption.split()))
    except InputError as error:
        raise InputError(f"{error}; the forms that can be read: {_forms()}") from error
    return captions


def form_of(path: Path) -> ModuleType:
    """Return the module of captioning/formats that reads a file of captions.

    :raises InputError: the file is missing, or has none of the forms.
    """
    head = read_text(path)[:HEAD]
    for form in FORMATS:
        if form.fits(head):
            return form
    found = repr(head.strip().partition("\n")[0][:60]) if head.strip() else "no line"
    raise InputError(f"expected captions in {path}: {_forms()}; found {found}; check the path")


def _forms() -> str:
    return ", or ".join(form.NAME for form in FORMATS)


def clean(text: str, cleaning: Cleaning = "seed") -> str:
    """Return the words of a caption in lower case and without punctuation; those with anything but letters are dropped.

    "seed", the original's way, also drops words of one letter, such as "a"; "natural" keeps them.
    """
    words = (word.lower().translate(PUNCTUATION) for word in text.split())
    return " ".join(word for word in words if word.isalpha() and len(word) >= SHORTEST[cleaning])


def clean_into(path: Path, captions: Captions, cleaning: Cleaning) -> None:
    """Clean the captions, write them as descriptions, and say how many there are.

    :raises InputError: the name of a captioned photograph has a space, or is empty: in descriptions.txt it could not be told from the words.
    """
    if unfit := [image for image in captions if image.split() != [image]]:
        raise InputError(
            f"expected names of photographs without spaces among the captions, found {len(unfit)} others, such as "
            f"{unfit[0]!r}: rename the photographs, there and in their folder"
        )
    cleaned = {image: [clean(text, cleaning) for text in texts] for image, texts in captions.items()}
    write_descriptions(path, cleaned)
    texts = [text for texts in cleaned.values() for text in texts]
    words = {word for text in texts for word in text.split()}
    print(f"wrote {path}: {len(texts):,} descriptions of {len(cleaned):,} images, {len(words):,} different words")


def write_descriptions(path: Path, descriptions: Mapping[str, list[str]]) -> None:
    """Write a line `image-id word word ...` for each description, byte for byte as the original does (no line end at the end)."""
    write_text(path, "\n".join(f"{image} {text}" for image, texts in descriptions.items() for text in texts))


def read_descriptions(path: Path) -> dict[str, list[str]]:
    """Return `{image id: [description, ...]}` in the file's order, without start and end tokens.

    :raises InputError: the file is missing or has no description.
    """
    descriptions: dict[str, list[str]] = {}
    for line in read_text(path).split("\n"):
        if words := line.split():
            descriptions.setdefault(words[0], []).append(" ".join(words[1:]))
    if not any(any(texts) for texts in descriptions.values()):
        raise InputError(f"expected lines `image-id word word ...` in {path}, found none; run 1_data_preprocessor.py")
    return descriptions


def write_results(path: Path, captions: Mapping[str, str]) -> None:
    """Write captions in the COCO result format, `[{"image_id": ..., "caption": ...}, ...]`."""
    write_json(path, [{"image_id": image, "caption": caption} for image, caption in captions.items()])


def read_results(path: Path) -> dict[str, str]:
    """Return `{image id: caption}` from a file in the COCO result format; ids are cut at the first dot.

    :raises InputError: the file is missing or of another form.
    """
    try:
        captions = {image_id(str(entry["image_id"])): entry["caption"] for entry in read_json(path)}
        "".join(captions.values())  # texts, all of them
        return captions
    except (TypeError, KeyError) as error:
        raise InputError(
            f'expected [{{"image_id": ..., "caption": ...}}, ...] in {path}, found something else; check the path'
        ) from error
