"""Hugging Face's Parquet files: captions, and the photographs themselves, which this unpacks.

    python -m captioning.formats.parquet --data DIR --out unpacked

Reads one .parquet file, or all of a folder. Writes, into --out: photographs/, and captions.jsonl with the names, captions and splits.
"""

import importlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PureWindowsPath
from types import ModuleType
from typing import Any, NamedTuple

from captioning.formats import columns
from core import disk, progress, settings
from core.errors import InputError
from encoders.photographs import is_named_photograph

NAME = "Parquet (Hugging Face)"
KINDS = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp"}  # by a file's first bytes
AT_ONCE = 256  # rows in memory


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    data: Path = Path("data")
    """A Parquet file, or a folder of them."""
    out: Path = Path("unpacked")
    """Folder for the photographs and captions.jsonl."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    paths = sorted(config.data.rglob("*.parquet")) if config.data.is_dir() else [config.data]
    if not paths:
        raise InputError(f"expected Parquet files in {config.data}, found none; check the path")
    with disk.locked(config.out):
        taken: set[str] = set()
        rows = [row for path in paths for row in unpack(path, config.out / "photographs", taken)]
        records = [row for row in rows if row]
        disk.write_text(config.out / "captions.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    if len(records) < len(rows):
        print(f"skipped {len(rows) - len(records):,} rows whose photograph is missing, or neither JPEG, PNG nor WebP")
    print(f"wrote {config.out}: {len(records):,} photographs in photographs/, their captions in captions.jsonl")


def fits(head: str) -> bool:
    """Tell by the head of a file whether it has this form."""
    return head.startswith("PAR1")


def captions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and each caption of each row.

    :raises InputError: pyarrow is missing, or the file is damaged or has no names and captions.
    """
    file = Parquet(path)
    print(f"{path}: {file.count:,} rows; {file.columns.described()}")
    for row in file.rows():
        yield from ((row.name, text) for text in row.captions)


def splits(path: Path) -> dict[str, list[str]]:
    """Return the photographs' names in each split: train, dev and test; nothing if the file has no such column."""
    file = Parquet(path)
    if file.columns.split is None:
        return {}
    return columns.by_split(((row.name, row.split) for row in file.rows()), path)


class Row(NamedTuple):
    """A photograph of a Parquet file."""

    name: str
    captions: list[str]
    split: str | None
    photograph: bytes


class Parquet:
    """A Parquet file, of which a part of a row group at a time is in memory.

    :raises InputError: pyarrow is missing, or the file is damaged or has no names and captions.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = _library(path).ParquetFile(path)
            groups = [self._file.metadata.row_group(number) for number in range(self._file.num_row_groups)]
            disk.check_claim(sum(group.total_byte_size for group in groups), path.stat().st_size, path)
            self.count = self._file.metadata.num_rows
            fields = {field.name: _parts(field.type) for field in self._file.schema_arrow}
            self._light = [f"{name}.path" if "bytes" in parts else name for name, parts in fields.items()]
            self.photographs = next((name for name, parts in fields.items() if "bytes" in parts), None)
            self._names = list(fields)
            sample = list(itertools.islice(self._values(self._light), columns.SAMPLE))
        except InputError:
            raise
        except Exception as error:  # pyarrow raises many kinds for a damaged or hostile file
            raise self._damaged(error) from error
        shown = [[columns.shown(values.get(name)) for name in self._names] for values in sample]
        found = columns.choose(self._names, shown)
        if found is None:
            raise InputError(
                f"expected columns of names and captions in {path}, found {', '.join(self._names)[:200]}; rename them to image and caption"
            )
        self.columns = found.check(path)

    def rows(self, *, photographs: bool = False) -> Iterator[Row]:
        """Yield the rows, with the bytes of their photographs or without.

        :raises InputError: what they hold is far more than the file, or is damaged.
        """
        name, split = self._names[self.columns.name], self.columns.split
        texts = [self._names[place] for place in self.columns.captions]
        needed = {name, *texts, *([] if split is None else [self._names[split]])}
        light = [leaf for leaf in self._light if leaf.removesuffix(".path") in needed or leaf in needed]
        claimed, size = 0, self.path.stat().st_size
        try:
            for number, values in enumerate(self._values([*light, self.photographs] if photographs else light)):
                photograph = values.get(self.photographs) if photographs else None
                row = Row(
                    self._name(values.get(name), number),
                    [text for key in texts for text in columns.texts(values.get(key)) if text],
                    None if split is None else str(values.get(self._names[split])),
                    (photograph or {}).get("bytes") or b"",
                )
                claimed += len(row.photograph) + sum(map(len, row.captions))
                disk.check_claim(claimed, size, self.path)
                yield row
        except InputError:
            raise
        except Exception as error:  # as above, in a later part of the file
            raise self._damaged(error) from error

    def _values(self, leaves: Sequence[str]) -> Iterator[dict[str, Any]]:
        for batch in self._file.iter_batches(AT_ONCE, columns=leaves):
            yield from batch.to_pylist()

    def _name(self, value: Any, number: int) -> str:
        """Return the name in a row, or one of the file's name and the row's number."""
        path = value.get("path") if isinstance(value, dict) else value
        return str(path) if isinstance(path, str | int) and path != "" else f"{self.path.stem}-{number:06d}"

    def _damaged(self, error: Exception) -> InputError:
        line = " ".join(str(error).split())[:200]
        return InputError(f"expected a whole Parquet file with names and captions at {self.path}: {line}; get it again")


def unpack(path: Path, folder: Path, taken: set[str]) -> Iterator[dict[str, Any] | None]:
    """Write each row's photograph into the folder; yield its name, captions and split, or None where it has none.

    :param taken: the names, without suffix, of the photographs that are there; these are added.
    :raises InputError: as `Parquet`, or the file has no photographs.
    """
    file = Parquet(path)
    if not file.photographs:
        raise InputError(f"expected photographs in {path}, found names alone; give the file as --captions")
    for number, row in enumerate(progress.bar(file.rows(photographs=True), path.name, file.count, unit=" rows")):
        suffix = next((suffix for start, suffix in KINDS.items() if row.photograph.startswith(start)), None)
        if not suffix:
            yield None
            continue
        name = PureWindowsPath(row.name).name
        name = name if is_named_photograph(name) else f"{name}{suffix}"
        if PurePath(name).stem in taken or name.startswith("."):
            name = f"{path.stem}-{number:06d}{suffix}"
        taken.add(PurePath(name).stem)
        disk.write_bytes(folder / name, row.photograph)
        split = row.split or columns.split_of(path.as_posix())
        yield {"file_name": name, "captions": row.captions} | ({"split": split} if split else {})


def _library(path: Path) -> ModuleType:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InputError(
            f"expected pyarrow, without which {path} is not read, found none; run pip install -e '.[cpu,parquet]'"
        ) from error


def _parts(kind: Any) -> set[str]:
    """Return the names of a struct's fields."""
    return {kind.field(place).name for place in range(kind.num_fields)} if str(kind).startswith("struct") else set()


if __name__ == "__main__":
    settings.run(main)
