"""Tensors in checkpoint files of PyTorch and TensorFlow, read without PyTorch and without running anything that a file names.

Four forms are understood: torch archives (zip, since PyTorch 1.6), the older torch form (a row of pickles, then the numbers),
safetensors, and TensorFlow checkpoints (also the variables of a SavedModel).
"""

import json
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

from captioning import pickles
from captioning.errors import InputError

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

FORMS = "a torch archive (.ckpt, .pth, .pt, .tar), a .safetensors file, or a TensorFlow checkpoint or SavedModel folder"
BFLOAT16 = tf.bfloat16.as_numpy_dtype
STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": BFLOAT16,
            "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1",
            "ByteStorage": "u1", "BoolStorage": "?"}  # fmt: skip
SAFETENSORS = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": BFLOAT16, "I64": "<i8", "I32": "<i4", "U8": "u1"}
OLD_TORCH = 0x1950A86A20F9469CFC6C  # the number that an archive of the older form starts with
LONGEST_NAME = 1000  # characters; those of real networks have less than 200
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # where TensorFlow 2 keeps the variables' full names


@dataclass(frozen=True)
class Tensor:
    """A tensor that lies in a file: only its shape is in memory until it is read."""

    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]

    def read(self) -> np.ndarray:
        """Return the tensor as float32.

        :raises InputError: its bytes are damaged.
        """
        try:
            return np.asarray(self.load()).astype("float32").reshape(self.shape)
        except Exception as error:
            raise InputError(
                f"a tensor of shape {self.shape} cannot be read: {error}; download the file again"
            ) from error


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, in the file's order; names in nested dictionaries are joined by dots.

    :param path: a file of one of the forms above; of a TensorFlow checkpoint the prefix, its .index, or its folder.
    :raises InputError: there is no such file, it has another form, or it is damaged.
    """
    try:
        return _read(Path(path))
    except InputError:
        raise
    except Exception as error:  # whatever a damaged or hostile file makes of the readers
        raise InputError(f"{path} is damaged or cut short ({type(error).__name__}: {error}): get it again") from error


def _read(path: Path) -> dict[str, Tensor]:
    if prefix := _tensorflow_prefix(path):
        return _tensorflow(prefix)
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}: expected {FORMS}; check the path")
    if zipfile.is_zipfile(path):
        return _torch(path)
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if data[:1] == b"\x80":
        return _old_torch(path, data)
    if data[8:9] == b"{":
        return _safetensors(data)
    raise InputError(f"{path} begins with the bytes {data[:8]!r}: expected {FORMS}")


# Torch archives.


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
    """A row of numbers, from which tensors are cut; where they lie is known only after the pickle."""

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


def _torch(path: Path) -> dict[str, Tensor]:
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


def _old_torch(path: Path, data: mmap.mmap) -> dict[str, Tensor]:
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


# Safetensors.


def _safetensors(data: mmap.mmap) -> dict[str, Tensor]:
    (length,) = struct.unpack_from("<Q", data)
    entries = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in entries.items():
        if entry.get("dtype") not in SAFETENSORS:  # the metadata, or numbers that no network is made of
            continue
        shape = pickles.plausible(entry["shape"])
        storage = _Storage(np.dtype(SAFETENSORS[entry["dtype"]]), math.prod(shape))
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        if end - start != storage.size or not 8 + length <= start <= end <= len(data):
            raise ValueError(f"{name} of shape {shape} does not fit its {end - start} bytes")
        tensors[name] = Tensor(shape, partial(np.frombuffer, data, storage.dtype, storage.count, start))
    return tensors


# TensorFlow.


def _tensorflow_prefix(path: Path) -> str | None:
    """Return what TensorFlow calls the checkpoint that a path means: its files' common name without .index."""
    prefix = re.sub(r"\.(index|data-\d+-of-\d+)$", "", str(path))
    if Path(f"{prefix}.index").is_file():
        return prefix
    if not path.is_dir():
        return None
    found = sorted([*path.glob("*.index"), *path.glob("variables/*.index")])
    if len(found) != 1:
        names = ", ".join(str(index) for index in found) or "none"
        raise InputError(f"expected one TensorFlow checkpoint (a file .index) in the folder {path}, found {names}")
    return str(found[0]).removesuffix(".index")


def _tensorflow(prefix: str) -> dict[str, Tensor]:
    reader = tf.train.load_checkpoint(prefix)
    shapes = reader.get_variable_to_shape_map()
    keys = {name: name for name in sorted(shapes) if name != OBJECT_GRAPH}
    if shapes.get(OBJECT_GRAPH) == []:
        graph = TrackableObjectGraph.FromString(reader.get_tensor(OBJECT_GRAPH))
        keys = {attribute.full_name: attribute.checkpoint_key for node in graph.nodes for attribute in node.attributes}
    return {
        name: Tensor(tuple(shapes[key]), partial(reader.get_tensor, key)) for name, key in keys.items() if key in shapes
    }
