"""JSON records: BLIP's lists, Hugging Face's metadata.jsonl, and dictionaries of photographs' names and captions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from captioning.formats import columns, json_text
from captioning.formats.columns import SPLITS
from core.errors import InputError
from encoders.photographs import NAME_WORDS, is_named_photograph, plain_word

NAME = "JSON records of names and captions (BLIP's, metadata.jsonl)"
Record = dict[str, Any]


def fits(head: str) -> bool:
    """Tell by the head of a file whether it has this form: it is JSON, of whatever kind."""
    return head.lstrip().startswith(("{", "["))


def captions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of a photograph and a caption, for each caption of each record.

    :raises InputError: the file has another form.
    """
    records, taken = _records(path)
    name, places, _ = taken
    print(f"{path}: {len(records):,} records; names from {name!r}, captions from {', '.join(map(repr, places))}")
    try:
        found = [
            (_name(record[name]), text)
            for record in records
            for place in places
            for text in columns.texts(record.get(place))
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise _other(path) from error
    if not found:
        raise _other(path)
    yield from found


def splits(path: Path) -> dict[str, list[str]]:
    """Return the photographs' names in each split: train, dev and test; nothing if the records have none."""
    records, (name, _, split) = _records(path)
    if split is None:
        return {}
    try:
        return columns.by_split(((_name(record[name]), str(record[split])) for record in records), path)
    except (ValueError, KeyError, TypeError) as error:
        raise _other(path) from error


def _records(path: Path) -> tuple[list[Record], tuple[str, list[str], str | None]]:
    """Return the records, and the keys of their names, captions and split."""
    try:
        records = _listed(json_text.load(path))
        headers = list(dict.fromkeys(key for record in records[: columns.SAMPLE] for key in record))
        rows = [[columns.shown(record.get(key)) for key in headers] for record in records[: columns.SAMPLE]]
        found = columns.choose(headers, rows) if headers else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _other(path) from error
    if found is None:
        raise _other(path)
    found.check(path)
    split = None if found.split is None else headers[found.split]
    return records, (headers[found.name], [headers[place] for place in found.captions], split)


def _listed(value: Any) -> list[Record]:
    """Return records of a list, of lists by split, of columns as pandas writes them, or of a dictionary by name."""
    if isinstance(value, list):
        pairs = all(isinstance(part, list) and len(part) == 2 for part in value)
        return [{"image": part[0], "caption": part[1]} if pairs else {**part} for part in value]
    lists = {key: part for key, part in value.items() if isinstance(part, list) and part and isinstance(part[0], dict)}
    if lists and not any(map(is_named_photograph, lists)):
        splits = {key: {"split": key} if key.lower() in SPLITS else {} for key in lists}
        return [{**splits[key], **record} for key, part in lists.items() for record in part]
    named = any(plain_word(key) in NAME_WORDS for key in value)
    if named and all(isinstance(part, dict) for part in value.values()):  # columns of cells by the row's number
        return [{key: part.get(row) for key, part in value.items()} for row in next(iter(value.values()))]
    if named and not any(map(is_named_photograph, value)):  # metadata.jsonl of one line
        return [value]
    return [{"image": name, "caption": caption} for name, caption in value.items()]


def _name(value: Any) -> str:
    """Return the name that a record has as a text, a number, a list of one, or the path of an image."""
    if isinstance(value, list):
        (value,) = value
    if isinstance(value, dict):
        value = next(value[key] for key in ("path", "file_name", "filename") if isinstance(value.get(key), str))
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"{type(value).__name__} for a name")
    return str(value)


def _other(path: Path) -> InputError:
    return InputError(
        f"expected records of a photograph's name and its captions in {path}, such as "
        '[{"image": "a.jpg", "caption": ["a dog"]}]; found other JSON or a damaged file; rename their keys to image and caption'
    )
