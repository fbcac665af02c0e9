"""Tensors of PyTorch's files, read without PyTorch. Everything else that their pickles name is inert."""

import math
import mmap
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from core import pickles
from core.errors import InputError
from encoders.tensors.tensor import BFLOAT16, FORMS, Tensor

STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
OLD_TORCH = 0x1950A86A20F9469CFC6C  # the number that an archive of the older form starts with
LONGEST_NAME = 1000  # characters; those of real networks have less than 200


class _Inert:
    """Stands for anything that is no tensor: takes what a pickle does to it, and does nothing."""

    def __init__(self, *_: Any):
        pass

    def ignore(self, *_: Any) -> None:
        pass

    __call__ = __setstate__ = __setitem__ = append = extend = ignore


class _Dictionary(dict):
    def __setstate__(self, _: Any) -> None:
        """Drop the attributes that torch hangs on a state dictionary."""


@dataclass
class _Storage:
    """A row of numbers, from which tensors are cut. Its place in the file is known only after the pickle."""

    dtype: np.dtype
    count: int
    load: Callable[[], bytes] | None = None

    @property
    def size(self) -> int:
        return self.count * self.dtype.itemsize

    def cut(self, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
        numbers = np.frombuffer(self.load(), self.dtype, self.count)[offset:]
        steps = [stride * self.dtype.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(numbers, shape, steps, writeable=False)


class _TorchReader(pickles.Reader):
    """Reads a pickle of torch: dictionaries and tensors come out, and whatever else it names is inert."""

    keys = pickles.Reader.keys | type | _Inert  # Lightning keys its callbacks by their classes

    def __init__(self, file: BinaryIO | mmap.mmap):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}
        self.known = {("collections", "OrderedDict"): _Dictionary}
        self.known |= {("torch._utils", f"_rebuild_tensor{version}"): self._tensor for version in ("", "_v2")}
        self.known |= {("torch._utils", f"_rebuild_parameter{more}"): self._parameter for more in ("", "_with_state")}
        self.known |= {("torch", name): np.dtype(dtype) for name, dtype in STORAGES.items()}

    def find_class(self, module: str, name: str) -> Any:
        return self.known.get((module, name), _Inert)

    def persistent_load(self, identifier: tuple) -> _Storage | _Inert:
        _, dtype, key, _, count, *view = identifier
        if not isinstance(dtype, np.dtype):
            return _Inert()
        if any(view):
            raise ValueError("a storage is a view of another, as in PyTorch before 0.4")
        return self.storages.setdefault(key, _Storage(dtype, *pickles.plausible((count,))))

    @staticmethod
    def _parameter(tensor: Tensor, *_: Any) -> Tensor:
        return tensor

    @staticmethod
    def _tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> Tensor | _Inert:
        if not isinstance(storage, _Storage):
            return _Inert()
        (offset,), shape, strides = map(pickles.plausible, ((offset,), shape, strides))
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if max(math.prod(shape), last + 1) > storage.count:
            raise ValueError(f"a tensor of shape {shape} does not fit its storage of {storage.count} numbers")
        return Tensor(shape, partial(storage.cut, offset, shape, strides))


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a zip archive, which PyTorch writes since 1.6, by name; nested names are joined by dots."""
    archive = zipfile.ZipFile(path)
    pickled = [name for name in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(pickled) != 1:
        raise InputError(f"{path} is a zip archive without PyTorch's data.pkl: expected {FORMS}")
    if any(record.compress_type != zipfile.ZIP_STORED for record in archive.infolist()):
        raise ValueError("it is compressed, which PyTorch never does")
    with archive.open(pickled[0]) as file:
        reader = _TorchReader(file)
        value = reader.load()
    for key, storage in reader.storages.items():
        record = archive.getinfo(pickled[0].removesuffix(".pkl") + f"/{key}")
        if record.file_size < storage.size:
            raise ValueError(f"{record.filename} has {record.file_size} bytes where its tensors need {storage.size}")
        storage.load = partial(archive.read, record)
    return dict(_named(value))


def read_old(path: Path, data: mmap.mmap) -> dict[str, Tensor]:
    """Return the tensors of the older form, a row of pickles and then the numbers, by name."""
    if _TorchReader(data).load() != OLD_TORCH:
        raise InputError(f"{path} is a pickle that PyTorch did not write: expected {FORMS}")
    for _ in ("the form's version", "the machine that wrote it"):
        _TorchReader(data).load()
    reader = _TorchReader(data)
    value = reader.load()
    keys = _TorchReader(data).load()
    end = data.tell()
    for key in keys:  # of each storage: how many numbers (int64), then the numbers
        storage = reader.storages[key]
        start, end = end + 8, end + 8 + storage.size
        if end > len(data) or struct.unpack_from("<q", data, start - 8) != (storage.count,):
            raise ValueError(f"storage {key} is not as long as its tensors need")
        storage.load = partial(data.__getitem__, slice(start, end))
    return dict(_named(value))


def _named(value: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in nested dictionaries, each dictionary once, under names joined by dots."""
    met = set()

    def walk(prefix: str, value: Any) -> Iterator[tuple[str, Tensor]]:
        if len(prefix) > LONGEST_NAME:
            raise ValueError(f"a tensor's name has more than {LONGEST_NAME:,} characters")
        if isinstance(value, Tensor):
            yield prefix.removesuffix("."), value
        elif isinstance(value, dict) and id(value) not in met:
            met.add(id(value))
            for name, item in value.items():
                if isinstance(name, str | int):
                    yield from walk(f"{prefix}{name}.", item)

    return walk("", value)
