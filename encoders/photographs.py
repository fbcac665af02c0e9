"""Photographs: any JPEG, PNG or WebP file that a person has, as upright RGB pixels."""

import contextlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from core import disk
from core.errors import InputError
from core.tables import Grammar

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
FORMATS = ("JPEG", "PNG", "WEBP")  # what such files may hold; nothing of Pillow's many other decoders is reachable
SCANS = 64  # of a JPEG; those of cameras and of the web have 10 at most, and a small file can repeat one for minutes
SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # a JPEG's marker that a length follows, or its last
NAMED = re.compile(r"\S\.(?i:jpe?g|png|webp)(?:#\d+)?\Z")  # the end of a name, with a caption's number or without
NAME_WORDS = (  # of headers, as `plain_word` gives them: the first is the surest
    *("filename", "filepath", "imagefilename", "imagefile", "imagename", "imagepath", "imgname", "imgpath", "imgfile"),
    *(
        "image",
        "images",
        "img",
        "photograph",
        "photo",
        "picture",
        "file",
        "path",
        "name",
        "imageid",
        "imgid",
        "url",
        "imageurl",
        "id",
    ),
)
DEEPEST = 16  # folders in a photograph's path that can be told apart: a hostile name may have millions
LARGEST_WEBP = 1 << 25  # pixels: 8K; its decoder takes some 18 bytes each
LARGEST = 89_478_485  # pixels: where Pillow begins to suspect a decompression bomb; four bytes each once decoded


class Unreadable(Exception):
    """A file that cannot be decoded; the message is the reason."""


def list_photographs(folder: Path, *, recursive: bool = False) -> list[Path]:
    """Return the photographs in a folder, sorted, by their names' endings. Other files are counted in one printed line.

    Hidden files (such as macOS' `._name.jpg`) and what is in hidden folders are never photographs. A folder without any, whose
    sub-folders have some of different names, is searched with them, and a line says so.

    :raises InputError: there is no such folder, no photograph in it, or one whose name is no printable text.
    """
    if not folder.is_dir():
        raise InputError(
            f"expected a folder of photographs at {folder}, found {'a file' if folder.exists() else 'nothing'}; check the path"
        )
    found = [path for path in sorted(folder.rglob("*") if recursive else folder.iterdir()) if not path.is_dir()]
    named = [path for path in found if path.suffix.lower() in SUFFIXES and not _is_hidden(path.relative_to(folder))]
    photographs = [path for path in named if path.is_file()]  # and no link to nothing
    if odd := [path for path in photographs if any(map(_ends_a_line, path.name))]:
        raise InputError(f"expected names that can be written as text in {folder}, found {odd[0].name!r}: rename it")
    ignored = len(found) - len(photographs)
    if not photographs and not recursive and (below := _named_apart(folder)):
        print(f"{folder}: its {len(below):,} photographs are in sub-folders")
        return below
    if not photographs:
        raise InputError(
            f"expected photographs ({', '.join(SUFFIXES)}) in {folder}, found {ignored or 'no'} other files; check the path"
        )
    if ignored:
        print(f"{folder}: {ignored} other files ignored")
    return photographs


def _named_apart(folder: Path) -> list[Path]:
    """Return the photographs in a folder's sub-folders, or none where two have one name."""
    with contextlib.suppress(InputError):
        found = list_photographs(folder, recursive=True)
        return found if len({path.name for path in found}) == len(found) else []
    return []


def _ends_a_line(character: str) -> bool:
    """Tell whether a character controls, ends a line or a paragraph, or stands for bytes that are no UTF-8."""
    return unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def by_id(folder: Path) -> dict[str, Path]:
    """Return the photographs in a folder and its sub-folders by image id, in the order of their paths.

    An id is what `image_id` makes of the path below the folder: a whole one where two photographs would share a short one. A line says
    which.

    :raises InputError: as `list_photographs`, or two photographs differ in their suffix alone.
    """
    paths = list_photographs(folder, recursive=True)
    names = [path.relative_to(folder).as_posix() for path in paths]
    (shared, count), *_ = Counter(map(image_id, names)).most_common(1)
    if count > 1:
        print(f"{folder}: {count:,} photographs are {shared!r} up to the first dot: image ids are paths without suffix")
    else:
        print(f"{folder}: image ids are names up to the first dot")
    ids: dict[str, Path] = {}
    for name, path in zip(names, paths, strict=True):
        image = image_id(name, whole=count > 1)
        if image in ids:
            raise InputError(
                f"{ids[image].name} and {path.name} in {path.parent} share the image id {image!r}: rename or remove one of them"
            )
        ids[image] = path
    return ids


def image_id(name: str, whole: bool = False) -> str:
    """Return the id of a photograph of this name: as in the original, what stands before the first dot; or the whole path without suffix.

    Both are in Unicode's form NFC, with single spaces, and `/` between folders; the short one has no folders.
    """
    plain = " ".join(unicodedata.normalize("NFC", name).replace("\\", "/").replace("%20", " ").split())
    if not whole:
        return plain.rpartition("/")[2].split(".")[0].strip()
    stem, _, suffix = plain.removeprefix("./").rpartition(".")
    return stem.strip() if f".{suffix.lower()}" in SUFFIXES else plain.removeprefix("./")


def finder(known: Iterable[str]) -> Callable[[str], str]:
    """Return a function that gives the known image id that a caption file or a list means by a name.

    Folders before either, Unicode's forms, %20 and suffixes make no difference; nor does letter case where the exact name is unknown
    and one id alone fits. A name that fits none gets its id by `image_id`, whole if the known ones are: they have dots or folders.
    """
    known = list(known)
    whole = any(mark in image for image in known for mark in "./")
    tables = [
        (
            form,
            _unique((form(image), image) for image in known),
            _unique((end, image) for image in known for end in _ends(form(image))),
        )
        for form in (str, str.casefold)
    ]

    def find(name: str) -> str:
        own = image_id(name, whole)
        for form, ids, ends_of_ids in tables:
            if match := next((ids[end] for end in _ends(form(own)) if end in ids), ends_of_ids.get(form(own))):
                return match
        return own

    return find


def plain_word(header: str) -> str:
    """Return the letters and digits of a table's header, in lower case."""
    return re.sub(r"[\W_]", "", header).lower()


def is_named_photograph(text: str) -> bool:
    """Tell whether a text ends as a photograph's name does, a caption's number after it or not."""
    return NAMED.search(text.strip()[-20:]) is not None and not any(end in text for end in "\t\n")


def _ends(path: str) -> list[str]:
    """Return a path and what is left of it without its first folder, without its first two, and so on."""
    parts = path.rsplit("/", DEEPEST)
    return ["/".join(parts[first:]) for first in range(len(parts))]


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the value of each key that has no other value."""
    values: dict[str, set[str]] = {}
    for key, value in pairs:
        values.setdefault(key, set()).add(value)
    return {key: value for key, (value, *others) in values.items() if not others}


def read_image_list(path: Path, known: Iterable[str] = ()) -> list[str]:
    """Return the image ids of a split's list, each once, in the file's order: a file name a line, a JSON list of them, or a table's column.

    :param known: the ids of the photographs, among which `finder` finds the names.
    :raises InputError: the list is missing or empty.
    """
    known = list(known)
    find, names = finder(known), _listed(disk.read_any_text(path), path, known)
    ids = [find(name) for name in names if name.strip()]
    if not ids:
        raise InputError(f"expected one photograph's name a line in {path}, found an empty file; check the path")
    return list(dict.fromkeys(ids))


def _listed(text: str, path: Path, known: Collection[str]) -> list[str]:
    """Return the names in a list, and say so where they are not just a line each."""
    if re.match(r'\s*\[\s*"', text):
        try:
            return [str(name) for name in json.loads(text)]
        except (ValueError, RecursionError) as error:
            raise InputError(f"expected a JSON list of photographs' names in {path}: {error}; get it again") from error
    lines = [line for line in text.split("\n") if line.strip()]
    maybe = len(lines) > 1 and not is_named_photograph(lines[0].strip(' "')) and image_id(lines[0]) not in known
    header = lines[0] if maybe else ""
    for delimiter in "\t;,|":
        words = [plain_word(cell) if re.fullmatch(r'[\w" ]*', cell) else "" for cell in header.split(delimiter)]
        ranks = [NAME_WORDS.index(word) if word in NAME_WORDS else len(NAME_WORDS) for word in words]
        grammar = Grammar(delimiter)
        rows = [grammar.cells(line)[0] for line in lines]
        body = rows[1:] if min(ranks) < len(NAME_WORDS) else rows
        place = _names_place(body, ranks)
        if place is not None:
            print(f"{path}: names from column {place + 1} of a table, {'a' if len(body) < len(rows) else 'no'} header")
            return [row[place] for row in body if place < len(row)]
    return [line.strip().strip('"') for line in lines]


def _names_place(rows: list[list[str]], ranks: list[int]) -> int | None:
    """Return the column of a table's names, or None where each line is a name: it may have commas.

    :param ranks: the places of its header's words in NAME_WORDS.
    """
    named = [
        place
        for place in range(max(map(len, rows), default=0))
        if all(is_named_photograph(row[place]) for row in rows[:300] if place < len(row))
    ]
    if min(ranks) < len(NAME_WORDS):
        return min(
            named or range(len(ranks)), key=lambda place: ranks[place] if place < len(ranks) else len(NAME_WORDS)
        )
    wide = all(len(row) > 1 for row in rows)
    first = wide and named == [0]  # what comes after the name is no part of it
    numbered = wide and named == [1] and all(re.fullmatch(r"\d*", row[0].strip()) for row in rows)  # pandas' index
    return named[0] if first or numbered else None


def open_rgb(source: Path | BinaryIO) -> Image.Image:
    """Return the photograph of a file, named or open, in RGB, turned upright as its EXIF orientation says.

    Transparency is dropped, as by Pillow's own `convert("RGB")` and torchvision's loader, so that features agree with theirs;
    16 bits a channel become 8.

    :raises Unreadable: it cannot be decoded, is truncated, or is so large that it may be a decompression bomb.
    """
    try:
        with Image.open(source, formats=FORMATS) as photograph:
            width, height = photograph.size  # from the file's header: no pixel is decoded yet
            largest = LARGEST_WEBP if photograph.format == "WEBP" else LARGEST
            if width * height > largest:
                raise Unreadable(f"{width} x {height} pixels are more than {largest:,}: perhaps a decompression bomb")
            if photograph.format in ("JPEG", "MPO") and _count_scans(photograph.fp) > SCANS:
                raise Unreadable(f"more than {SCANS} scans: perhaps a decompression bomb")
            ImageOps.exif_transpose(photograph, in_place=True)
            photograph.info.pop("transparency", None)  # of which Pillow would warn as it drops it
            return _eight_bits(photograph).convert("RGB")
    except Unreadable:
        raise
    except Exception as error:  # decoders raise all kinds for damaged or hostile bytes
        named = repr(str(source) if isinstance(source, Path) else source)  # as Pillow calls it
        raise Unreadable(str(error).replace(named, "").strip(" :") or type(error).__name__) from error


def read(source: Path | BinaryIO, height: int, width: int) -> np.ndarray:
    """Return the whole frame, resized with antialiased bilinear interpolation: uint8 (height, width, 3), RGB.

    :raises Unreadable: as `open_rgb`.
    """
    return np.asarray(open_rgb(source).resize((width, height), Image.Resampling.BILINEAR))


def _count_scans(file: BinaryIO) -> int:
    """Count a JPEG's scans up to its end, which a phone's film may follow, and leave the file where it was."""
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    count = here = 0
    while (segment := SEGMENT.search(data, here)) and segment[0] != b"\xff\xd9":
        count += segment[0] == b"\xff\xda"
        here = segment.end() + int.from_bytes(data[segment.end() : segment.end() + 2])
    return count


def _eight_bits(photograph: Image.Image) -> Image.Image:
    """Keep the upper 8 bits of 16-bit grey, which Pillow's `convert` would clip at 255."""
    if not photograph.mode.startswith("I;16"):
        return photograph
    return Image.fromarray((np.asarray(photograph) >> 8).astype(np.uint8))
