"""Containers that PyTorch writes: the zip archive, which TorchScript uses too, and the older row of pickles and numbers."""

import mmap
import re
import struct
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import InputError
from encoders.tensors.tensor import FORMS, Tensor
from encoders.tensors.torch_pickle import TorchReader, named

OLD_TORCH = 0x1950A86A20F9469CFC6C  # the number that an archive of the older form starts with
PICKLE = re.compile(r"[^/]+/data\.pkl")


def fits(path: Path) -> bool:
    """Return whether a zip archive has the pickle that PyTorch's have."""
    with zipfile.ZipFile(path) as archive:
        return any(PICKLE.fullmatch(name) for name in archive.namelist())


def read(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a zip archive, which PyTorch writes since 1.6, by name; and what the archive is."""
    archive = zipfile.ZipFile(path)
    pickled = [name for name in archive.namelist() if PICKLE.fullmatch(name)]
    if len(pickled) != 1:
        raise InputError(f"expected one data.pkl in the zip archive {path}, found {len(pickled)}; get the file again")
    folder = pickled[0].removesuffix("data.pkl")
    with archive, archive.open(_uncompressed(archive, pickled[0])) as file:
        reader = TorchReader(file)
        value = reader.load()
        for key, storage in reader.storages.items():
            record = _uncompressed(archive, f"{folder}data/{key}")
            found = min(record.file_size, path.stat().st_size - record.header_offset)
            if found < storage.size:
                raise ValueError(f"{record.filename} has {found} bytes where its tensors need {storage.size}")
            storage.read = partial(_stored, path, record)
    script = f"{folder}constants.pkl" in archive.namelist()
    return _described(reader, value, "a TorchScript archive" if script else "a torch archive")


def read_old(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of the older form, a row of pickles and then the numbers, by name; and what the archive is."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if TorchReader(data).load() != OLD_TORCH:
            raise InputError(f"{path} is a pickle that PyTorch did not write: expected {FORMS}")
        for _ in ("the form's version", "the machine that wrote it"):
            TorchReader(data).load()
        reader = TorchReader(data)
        value = reader.load()
        keys = TorchReader(data).load()
        end = data.tell()
        for key in keys:  # of each storage: how many numbers (int64), then the numbers
            storage = reader.storages[key]
            start, end = end + 8, end + 8 + storage.size
            if end > len(data) or struct.unpack_from("<q", data, start - 8) != (storage.count,):
                raise ValueError(f"storage {key} is not as long as its tensors need")
            storage.read = partial(_part, path, start)
    return _described(reader, value, "a torch archive of the older form")


def _uncompressed(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    record = archive.getinfo(name)
    if record.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed, which PyTorch never does")
    return record


def _part(path: Path, start: int, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start + offset)
        return file.read(size)


def _stored(path: Path, record: zipfile.ZipInfo, offset: int, size: int) -> bytes:
    """Return part of a record that is not compressed. A whole one is compared with its checksum."""
    name, extra = struct.unpack("<HH", _part(path, record.header_offset, 26, 4))
    data = _part(path, record.header_offset + 30 + name + extra, offset, size)
    if size == record.file_size and zlib.crc32(data) != record.CRC:
        raise ValueError(f"{record.filename} is damaged")
    return data


def _described(reader: TorchReader, value: Any, container: str) -> tuple[dict[str, Tensor], str]:
    if reader.unread:
        print(f"left aside {reader.unread} tensors that are quantised, sparse, complex or expanded")
    return dict(named(value)), container + " with a whole pickled model" * reader.has_layers
