"""Pickles of PyTorch, read without it: tensors come out by name, and everything else that they name is inert."""

import math
import mmap
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from core import pickles
from encoders.tensors.tensor import BFLOAT16, Tensor

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
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
    "QInt8Storage": "i1",
    "QUInt8Storage": "u1",
    "QInt32Storage": "<i4",
}
UNTYPED = {  # numbers that are stored as bytes, and whose type stands beside the tensor
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}
LAYERS = r"torch\.nn\.modules\.(conv|linear|batchnorm|container)"  # one of them is in every pickled network
LONGEST_NAME = 1000  # characters; those of real networks have less than 200
CONTAINERS = dict | list | tuple
MOST_NAMES = 4  # of one module; a hostile file could give it a name for every two of its bytes


class Object(dict):
    """Stands for anything that is no tensor: keeps its items and its attributes, and does nothing."""

    attributes: Any = None

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        self.attributes = state

    def __call__(self, *_: Any) -> "Object":
        return Object()

    def ignore(self, *_: Any) -> None:
        pass

    append = extend = ignore


@dataclass
class Storage:
    """A row of numbers, from which tensors are cut. Its place in the file is known only after the pickle."""

    dtype: np.dtype
    count: int
    read: Callable[[int, int], bytes] | None = None
    """From which of its bytes, how many bytes."""

    @property
    def size(self) -> int:
        return self.count * self.dtype.itemsize

    def cut(self, dtype: np.dtype, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
        if 0 in shape:
            return np.zeros(shape, dtype)
        count = _span(shape, strides)
        numbers = np.frombuffer(self.read(offset * dtype.itemsize, count * dtype.itemsize), dtype, count)
        steps = [stride * dtype.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(numbers, shape, steps, writeable=False)


def _span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Return how many numbers a tensor spans, from its first to its last."""
    return 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))


class TorchReader(pickles.Reader):
    """Reads a pickle of torch. `load` returns its value, whose tensors `named` finds.

    `storages` is what the tensors are cut from, `has_layers` tells a pickled network, and `unread` counts the tensors
    that are quantised, sparse, complex, or longer than their storage.
    """

    dispatch = pickles.Reader.dispatch | {  # a set becomes a list, whose members need no hash
        pickle.EMPTY_SET[0]: pickle._Unpickler.load_empty_list,
        pickle.ADDITEMS[0]: pickle._Unpickler.load_appends,
        pickle.FROZENSET[0]: pickle._Unpickler.load_list,
        pickle.INST[0]: pickle._Unpickler.load_inst,
        pickle.OBJ[0]: pickle._Unpickler.load_obj,
    }

    def __init__(self, file: BinaryIO | mmap.mmap):
        super().__init__(file, encoding="latin1")  # in which any byte of Python 2's texts is a character
        self.storages: dict[str, Storage] = {}
        self.has_layers = False
        self.unread = 0
        self.known = {("collections", "OrderedDict"): _dictionary}
        for module in ("builtins", "__builtin__"):
            self.known |= {(module, "set"): _same, (module, "frozenset"): _same}
        self.known |= {("torch._utils", f"_rebuild_tensor{version}"): self._tensor for version in ("", "_v2")}
        self.known |= {("torch._utils", "_rebuild_tensor_v3"): self._typed_tensor}
        self.known |= {("torch._utils", f"_rebuild_parameter{more}"): _same for more in ("", "_with_state")}
        for module in ("torch._tensor", "torch.tensor"):
            self.known |= {(module, f"_rebuild_from_type{version}"): _rebuild for version in ("", "_v2")}
        self.known |= {("torch", name): np.dtype(dtype) for name, dtype in (STORAGES | UNTYPED).items()}
        self.known |= {("torch.storage", "UntypedStorage"): np.dtype("u1")}
        self.known |= {("torch._dynamo.eval_frame", "OptimizedModule"): _compiled}

    def find_class(self, module: str, name: str) -> Any:
        self.has_layers |= bool(re.fullmatch(LAYERS, module))
        other = self._unread if module == "torch._utils" and name.startswith("_rebuild_") else Object
        return self.known.get((module, name), other)

    def other_key(self, key: Any) -> Any:
        return str(key) if isinstance(key, float) else object()

    def persistent_load(self, identifier: tuple) -> Storage | Object | type[Object]:
        if identifier[0] == "module":  # a class with its source, in whole models of the older form
            return Object
        _, dtype, key, _, count, *view = identifier
        if not isinstance(dtype, np.dtype):
            return Object()
        if not isinstance(key, str) or any(view):
            raise ValueError("a storage is a view of another, as in PyTorch before 0.4")
        return self.storages.setdefault(key, Storage(dtype, *pickles.plausible((count,))))

    def _unread(self, *_: Any) -> Object:
        self.unread += 1
        return Object()

    def _typed_tensor(
        self, storage: Any, offset: int, shape: tuple, strides: tuple, _: bool, hooks: Any, dtype: Any, *more: Any
    ) -> Tensor | Object:
        return self._tensor(storage if isinstance(dtype, np.dtype) else None, offset, shape, strides, dtype=dtype)

    def _tensor(
        self, storage: Any, offset: int, shape: tuple, strides: tuple, *_: Any, dtype: np.dtype | None = None
    ) -> Tensor | Object:
        if not isinstance(storage, Storage) or storage.dtype.kind == "c":
            return self._unread()
        dtype = storage.dtype if dtype is None else dtype
        (offset,), shape, strides = map(pickles.plausible, ((offset,), shape, strides))
        count = storage.size // dtype.itemsize
        if 0 not in shape and offset + _span(shape, strides) > count:
            raise ValueError(f"a tensor of shape {shape} does not fit its storage of {count} numbers")
        if math.prod(shape) > count:  # expanded: its numbers are used several times
            return self._unread()
        return Tensor(shape, partial(storage.cut, dtype, offset, shape, strides))


def _dictionary(pairs: Sequence = ()) -> Object:
    """Return an OrderedDict. Python 2 gives its items as a list, which is emptied: a file could ask for many copies of it."""
    made = Object()
    if pairs:
        made.update((name, value) for name, value in pairs if isinstance(name, str))
        pairs.clear()
    return made


def _same(value: Any = None, *_: Any) -> Any:
    return value


def _compiled(module: Any, *_: Any) -> Object:
    """Return a module that went through `torch.compile`."""
    made = Object()
    made["_orig_mod"] = module
    return made


def _rebuild(rebuild: Callable, _: Any, arguments: tuple, *state: Any) -> Any:
    """Return the tensor that is inside an object of a subclass."""
    return rebuild(*arguments[: pickles.MOST_ARGUMENTS])


def named(value: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in nested dictionaries, lists and objects under names joined by dots; a module's as its `state_dict` names them."""
    visits, above = Counter(), set()

    def walk(prefix: str, value: Any, hidden: Any = ()) -> Iterator[tuple[str, Tensor]]:
        place = id(value)
        if not isinstance(value, CONTAINERS) or place in above or visits[place] == MOST_NAMES:
            return
        visits[place] += 1
        above.add(place)
        hidden = {name for name in hidden[: len(value)] if isinstance(name, str)}
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            if not isinstance(name, str | int) or name in hidden or not isinstance(item, Tensor | CONTAINERS):
                continue
            full = f"{prefix}{name}"
            if len(full) > LONGEST_NAME:
                raise ValueError(f"a tensor's name has more than {LONGEST_NAME:,} characters")
            if isinstance(item, Tensor):
                yield full, item
            else:
                yield from walk(f"{full}.", item)
        for part, hidden in _attributes(value):
            yield from walk(prefix, part, hidden)
        above.remove(place)

    return walk("", value)


def _attributes(value: Any) -> Iterator[tuple[Any, Sequence]]:
    """Yield what hangs on an object, and which names in it to omit: buffers of a module that its `state_dict` omits."""
    attributes = getattr(value, "attributes", None)
    if isinstance(attributes, dict) and "_modules" in attributes:
        hidden = attributes.get("_non_persistent_buffers_set")
        yield attributes.get("_parameters"), ()
        yield attributes.get("_buffers"), hidden if isinstance(hidden, list) else ()
        yield attributes["_modules"], ()
    else:
        yield attributes, ()
