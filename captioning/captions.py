"""Captions as people wrote them, in any form that captioning/formats knows; descriptions, which are cleaned captions; and results.

descriptions.txt and captions.json are written and read here.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

from captioning.cleaning import MOST, Cleaning, clean, dropped, is_unspaced, without_special
from captioning.formats import (
    coco_json,
    columns,
    csv_table,
    flickr_token,
    karpathy_json,
    parquet,
    plain_lines,
    records_json,
)
from core.disk import read_head, read_json, read_text, write_json, write_text
from core.errors import InputError
from encoders.photographs import finder

FORMATS = (
    parquet,
    coco_json,
    karpathy_json,
    records_json,
    csv_table,
    flickr_token,
    plain_lines,
)  # the first that fits is taken
SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".txt", ".parquet")  # of files in folders
HEAD = 100_000  # bytes of a file from which its form is recognised

Captions = dict[str, list[str]]  # image id -> captions or descriptions


def read_captions(path: Path, known: Iterable[str] = ()) -> Captions:
    """Return the raw captions of each image, `{image id: [caption, ...]}` in the file's order, whatever the file's form.

    The spaces between a caption's words become single ones, and special words such as startseq are taken off.

    :param path: a file, or a folder with some, see `sources`.
    :param known: the ids of the photographs, among which `encoders.photographs.finder` finds the file's names.
    :raises InputError: the file is missing, has none of the forms, or no caption.
    """
    captions: Captions = {}
    find = cache(finder(known))
    for source in sources(path):
        special = 0
        for name, caption in _pairs(source):
            text = without_special(caption)
            captions.setdefault(find(_below(path, source, name)), []).append(text)
            special += text != caption and text != " ".join(caption.split())
        if special:
            print(f"{source}: {special:,} captions had special words, such as startseq or </s>: these are taken off")
    return captions


def read_splits(path: Path) -> dict[str, list[str]]:
    """Return the photographs' names in train, dev and test, as the captions' form says, or in a folder each file's path; or nothing.

    :raises InputError: a split is unknown.
    """
    found: dict[str, list[str]] = {}
    for source in sources(path):
        form = form_of(source)
        own = form.splits(source) if hasattr(form, "splits") else {}
        if not own and path.is_dir() and (split := columns.split_of(source.relative_to(path).as_posix())):
            own = {split: list(dict.fromkeys(name for name, _ in form.captions(source)))}
        for split, names in own.items():
            found.setdefault(split, []).extend(_below(path, source, name) for name in names)
    return found


def sources(path: Path) -> list[Path]:
    """Return the files that hold the captions: the file itself, or those of a folder, such as Hugging Face's or BLIP's, a file a split.

    :raises InputError: a folder has none, or several and no name says which to take.
    """
    if not path.is_dir():
        return [path]
    inside = [
        file for pattern in ("*", "*/*") for file in sorted(path.glob(pattern)) if file.suffix.lower() in SUFFIXES
    ]
    known = [file for file in inside if file.is_file() and not file.name.startswith(".") and fitting(file)]
    for chosen in (
        [file for file in known if file.stem == "metadata" or file.suffix == ".parquet"],
        [file for file in known if "caption" in file.stem.lower()],
        [file for file in known if columns.split_of(file.name)],
        known,
    ):
        kept = [file for file in chosen if columns.split_of(file.relative_to(path).as_posix())] or chosen
        if kept and (len(kept) == 1 or kept is not chosen):
            return kept
    raise InputError(
        f"expected a file of captions, or one for each split, in the folder {path}, "
        f"found {', '.join(file.name for file in known[:5]) or 'none'}; give the file's path"
    )


def _below(folder: Path, source: Path, name: str) -> str:
    """Return the name of a photograph as seen from the folder that was given, not from the file in it."""
    return name if source == folder or source.parent == folder else f"{source.parent.name}/{name}"


def _pairs(path: Path) -> Iterable[tuple[str, str]]:
    form = form_of(path)
    try:
        yield from form.captions(path)
    except InputError as error:
        raise InputError(f"{error}; the forms that can be read: {_forms()}") from error


def form_of(path: Path) -> ModuleType:
    """Return the module of captioning/formats that reads a file of captions, and say which one it is.

    :raises InputError: the file is missing, or has none of the forms.
    """
    if form := fitting(path):
        print(f"{path} is read as {form.NAME}")
        return form
    head = read_head(path, HEAD).strip()
    found = repr(head.partition("\n")[0][:60]) if head else "no line"
    raise InputError(f"expected captions in {path}: {_forms()}; found {found}; check the path")


def fitting(path: Path) -> ModuleType | None:
    """Return the module of captioning/formats that reads a file, or None where none does."""
    head = read_head(path, HEAD)
    return next((form for form in FORMATS if form.fits(head)), None)


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
