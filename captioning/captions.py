"""Captions as people wrote them, in any form that captioning/formats knows; descriptions, which are cleaned captions; and results.

descriptions.txt and captions.json are written and read here.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from captioning.cleaning import MOST, Cleaning, clean, dropped, is_unspaced, without_special
from captioning.formats import csv_table, flickr_token, karpathy_json
from core.disk import read_json, read_text, write_json, write_text
from core.errors import InputError
from encoders.photographs import finder

FORMATS = (karpathy_json, csv_table, flickr_token)  # the first that fits is taken
HEAD = 100_000  # characters of a file from which its form is recognised

Captions = dict[str, list[str]]  # image id -> captions or descriptions


def read_captions(path: Path, known: Iterable[str] = ()) -> Captions:
    """Return the raw captions of each image, `{image id: [caption, ...]}` in the file's order, whatever the file's form.

    The spaces between a caption's words become single ones, and special words such as startseq are taken off.

    :param known: the ids of the photographs, among which `encoders.photographs.finder` finds the file's names.
    :raises InputError: the file is missing, has none of the forms, or no caption.
    """
    captions: Captions = {}
    form, find, special = form_of(path), finder(known), 0
    try:
        for name, caption in form.captions(path):
            text = without_special(caption)
            captions.setdefault(find(name), []).append(text)
            special += text != " ".join(caption.split())
    except InputError as error:
        raise InputError(f"{error}; the forms that can be read: {_forms()}") from error
    if special:
        print(f"{path}: {special:,} captions had special words, such as startseq or </s>: these are taken off")
    return captions


def form_of(path: Path) -> ModuleType:
    """Return the module of captioning/formats that reads a file of captions, and say which one it is.

    :raises InputError: the file is missing, or has none of the forms.
    """
    head = read_text(path)[:HEAD]
    for form in FORMATS:
        if form.fits(head):
            print(f"{path} is read as {form.NAME}")
            return form
    found = repr(head.strip().partition("\n")[0][:60]) if head.strip() else "no line"
    raise InputError(f"expected captions in {path}: {_forms()}; found {found}; check the path")


def _forms() -> str:
    return ", or ".join(form.NAME for form in FORMATS)


def lost(captions: Captions, cleaning: Cleaning) -> str:
    """Return a line on what a cleaning drops, or nothing where that is at most a tenth of the words."""
    share = dropped(captions.values()) if cleaning == "seed" else 0
    if share <= MOST:
        return ""
    return (
        f"the original's cleaning drops {share:.0%} of the captions' words; give --cleaning natural, which keeps them"
    )


def clean_into(path: Path, captions: Captions, cleaning: Cleaning) -> None:
    """Clean the captions, write them as descriptions, and say how many there are and what the cleaning did.

    :raises InputError: some captions are of a photograph without a name.
    """
    if "" in captions:
        raise InputError(
            f"expected a photograph's name with each caption, found {len(captions[''])} without one, such as "
            f"{captions[''][0][:60]!r}; give it its name, or take it out"
        )
    if line := lost(captions, cleaning):
        print(f"warning: {line}")
    if cleaning == "natural" and any(is_unspaced(text) for texts in captions.values() for text in texts):
        print(
            "text of a script without spaces, such as Thai or Chinese, is cut: each character with its marks is a word"
        )
    cleaned = {image: [clean(text, cleaning) for text in texts] for image, texts in captions.items()}
    write_descriptions(path, cleaned)
    texts = [text for texts in cleaned.values() for text in texts]
    words = {word for text in texts for word in text.split()}
    print(f"wrote {path}: {len(texts):,} descriptions of {len(cleaned):,} images, {len(words):,} different words")


def write_descriptions(path: Path, descriptions: Mapping[str, list[str]]) -> None:
    """Write a line `image-id word word ...` for each description, byte for byte as the original does (no line end at the end).

    A space in an id becomes %20.
    """
    ids = {image: image.replace(" ", "%20") for image in descriptions}
    write_text(path, "\n".join(f"{ids[image]} {text}" for image, texts in descriptions.items() for text in texts))


def read_descriptions(path: Path) -> dict[str, list[str]]:
    """Return `{image id: [description, ...]}` in the file's order, without start and end tokens.

    :raises InputError: the file is missing or has no description.
    """
    descriptions: dict[str, list[str]] = {}
    for line in read_text(path).split("\n"):
        if words := line.split():
            descriptions.setdefault(words[0].replace("%20", " "), []).append(" ".join(words[1:]))
    if not any(any(texts) for texts in descriptions.values()):
        raise InputError(f"expected lines `image-id word word ...` in {path}, found none; run 1_data_preprocessor.py")
    return descriptions


def write_results(path: Path, captions: Mapping[str, str]) -> None:
    """Write captions in the COCO result format, `[{"image_id": ..., "caption": ...}, ...]`."""
    write_json(path, [{"image_id": image, "caption": caption} for image, caption in captions.items()])


def read_results(path: Path, known: Iterable[str] = ()) -> dict[str, str]:
    """Return `{image id: caption}` from a file in the COCO result format, without special words such as startseq.

    :param known: the ids of the photographs, among which the file's are found.
    :raises InputError: the file is missing or of another form.
    """
    find = finder(known)
    try:
        return {find(str(entry["image_id"])): without_special(entry["caption"]) for entry in read_json(path)}
    except (TypeError, KeyError) as error:
        raise InputError(
            f'expected [{{"image_id": ..., "caption": ...}}, ...] in {path}, found something else; check the path'
        ) from error
