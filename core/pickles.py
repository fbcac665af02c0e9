"""Pickles from strangers, read without running anything that they name.

Only builtin values, float arrays, one object that NumPy has wrapped, and the old Keras `Tokenizer` are understood. The classes that such pickles name are replaced by small stand-ins;
any other name is refused before it is looked up. The pure-Python unpickler is used because its memory grows with the
file alone, whatever indices and lengths the file claims.
"""

import io
import math
import pickle
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from core.disk import read_bytes
from core.errors import InputError

FLOATS = {kind: np.dtype(kind) for kind in ("f2", "f4", "f8")} | dict.fromkeys(("O", "O8"), np.dtype("O"))
LARGEST_KEY = (
    1 << 60
)  # larger integers can be chosen to have one and the same hash, and a dictionary of them never ends
MOST_ARGUMENTS = 100
KERAS_TOKENIZERS = (
    "keras_preprocessing.text",
    "keras.preprocessing.text",
    "keras.src.preprocessing.text",
    "tensorflow.keras.preprocessing.text",
    "keras.src.legacy.preprocessing.text",
)


def load(data: bytes) -> Any:
    """Return the value of a pickle: builtins, float arrays (`numpy.ndarray`), and for an old `Tokenizer` its attributes as a dictionary.

    :raises pickle.UnpicklingError: it names something outside the allow-list (the message says what), or it is damaged.
    """
    try:
        return _plain(_Values(io.BytesIO(data)).load())
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # whatever a damaged or hostile pickle makes of the reader
        raise pickle.UnpicklingError(f"damaged pickle ({type(error).__name__}: {error})") from error


def read(path: Path) -> Any:
    """Return the value of a pickle file, as `load` does.

    :raises InputError: the file is missing, damaged, or names something outside the allow-list.
    """
    try:
        return load(read_bytes(path))
    except pickle.UnpicklingError as error:
        raise InputError(f"refused {path}: {error}; check the path, or make the file again") from error


def dump(value: Any) -> bytes:
    """Return the pickle of builtins and of float arrays, which come out as arrays under numpy 1.x and 2.x alike (protocol 4)."""
    file = io.BytesIO()
    _Writer(file, protocol=4).dump(value)
    return file.getvalue()


def plausible(shape: Any) -> tuple[int, ...]:
    """Return a shape that a file claims, whose product is quick to take.

    :raises ValueError: it is none of at most 8 whole numbers from 0 to 2^40.
    """
    if (
        not isinstance(shape, list | tuple)
        or len(shape) > 8
        or not all(type(size) is int and 0 <= size <= 1 << 40 for size in shape)
    ):
        raise ValueError("a shape is none of at most 8 whole numbers from 0 to 2^40")
    return tuple(shape)


class _Writer(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):  # numpy's own way names numpy._core, which numpy 1.x lacks
            little = value.astype(value.dtype.newbyteorder("<"), copy=False)
            return np.ndarray, (little.shape, little.dtype.str, little.tobytes())
        return NotImplemented


class Reader(pickle._Unpickler):
    """The reference unpickler without sets, extensions and old-style instances, and with plain keys in dictionaries.

    A subclass says what the names in a pickle stand for (`find_class`), what is outside it (`persistent_load`), and what
    stands for other keys (`other_key`).
    """

    dispatch = dict(pickle._Unpickler.dispatch)  # noqa: RUF012 - what pickle itself calls this table

    def other_key(self, key: Any) -> Any:
        """Return what takes the place of a key that may take long to hash: the hash of some tuples nested a hundred deep never ends."""
        raise pickle.UnpicklingError("a dictionary has a key that is neither text nor a usual number")


def _is_plain(key: Any) -> bool:
    return isinstance(key, str | int | bytes | None) and not (isinstance(key, int) and abs(key) >= LARGEST_KEY)


def _make_keys_plain(reader: Reader, places: slice) -> None:
    reader.stack[places] = [key if _is_plain(key) else reader.other_key(key) for key in reader.stack[places]]


def _set_item(reader: Reader) -> None:
    _make_keys_plain(reader, slice(-2, -1))
    pickle._Unpickler.load_setitem(reader)


def _set_items(reader: Reader) -> None:
    _make_keys_plain(reader, slice(None, None, 2))
    pickle._Unpickler.load_setitems(reader)


def _make_dictionary(reader: Reader) -> None:
    _make_keys_plain(reader, slice(None, None, 2))
    pickle._Unpickler.load_dict(reader)


def _with_few_arguments(load: Callable[[Reader], None], place: int) -> Callable[[Reader], None]:
    """Return an operation whose arguments, at that place of the stack, are few: a file could pass a million again and again."""

    def check(reader: Reader) -> None:
        if len(reader.stack[place]) > MOST_ARGUMENTS:
            raise pickle.UnpicklingError(f"an object is made of more than {MOST_ARGUMENTS} arguments")
        load(reader)

    return check


def _set_state(reader: Reader) -> None:
    kind = type(reader.stack[-2])
    if not hasattr(kind, "__setstate__"):  # otherwise the file could change what was checked before
        raise pickle.UnpicklingError(f"it sets attributes of a {kind.__name__}")
    pickle._Unpickler.load_build(reader)


# Sets, extensions, instances of the old style and buffers outside the file: data never need them.
for _code in (
    pickle.EMPTY_SET,
    pickle.ADDITEMS,
    pickle.FROZENSET,
    pickle.INST,
    pickle.OBJ,
    pickle.EXT1,
    pickle.EXT2,
    pickle.EXT4,
    pickle.NEXT_BUFFER,
):
    del Reader.dispatch[_code[0]]
Reader.dispatch[pickle.SETITEM[0]] = _set_item
Reader.dispatch[pickle.SETITEMS[0]] = _set_items
Reader.dispatch[pickle.DICT[0]] = _make_dictionary
Reader.dispatch[pickle.BUILD[0]] = _set_state
Reader.dispatch[pickle.REDUCE[0]] = _with_few_arguments(pickle._Unpickler.load_reduce, -1)
Reader.dispatch[pickle.NEWOBJ[0]] = _with_few_arguments(pickle._Unpickler.load_newobj, -1)
Reader.dispatch[pickle.NEWOBJ_EX[0]] = _with_few_arguments(pickle._Unpickler.load_newobj_ex, -2)
# Bytes do as well: a bytearray takes the memory that the file claims before a byte of it is read.
Reader.dispatch[pickle.BYTEARRAY8[0]] = Reader.dispatch[pickle.BINBYTES8[0]]


class _Values(Reader):
    def __init__(self, file: io.BytesIO):
        super().__init__(file)
        self.allowed = _stand_ins()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which data never needs; nothing was run")
        return self.allowed[module, name]

    def persistent_load(self, identifier: Any) -> NoReturn:
        raise pickle.UnpicklingError("it refers to objects outside the file; nothing was run")


class _Dtype:
    def __init__(self, kind: str, align: bool = False, copy: bool = False):
        if kind.lstrip("<=|") not in FLOATS:
            raise pickle.UnpicklingError(f"an array of the type {kind!r}, where floats were expected")
        self.dtype = FLOATS[kind.lstrip("<=|")]

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder({"|": "="}.get(state[1], state[1]))


class _Array:
    """Both `numpy.ndarray` itself (its shape, type and bytes) and the empty array that `_reconstruct` fills later."""

    def __init__(self, encode: Callable[[str, str], bytes], shape: tuple, dtype: Any, data: bytes = b""):
        self.encode = encode
        self.value = self._made(shape, dtype, data) if data else None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        self.value = self._made(shape, dtype, data, "F" if fortran else "C")

    def _made(self, shape: tuple, dtype: Any, data: Any, order: str = "C") -> Any:
        dtype = (_Dtype(dtype) if isinstance(dtype, str) else dtype).dtype
        if dtype.hasobject:
            return _only_object(shape, data)
        if isinstance(data, str):
            data = self.encode(data, "latin1")  # protocol 2 and older, written by Python 2
        if math.prod(plausible(shape)) * dtype.itemsize != len(data):
            raise pickle.UnpicklingError(f"an array of shape {shape} and type {dtype} has {len(data)} bytes")
        return np.frombuffer(data, dtype).reshape(shape, order=order)


def _only_object(shape: tuple, data: Any) -> Any:
    """Return what the array that `numpy.save` makes of a dictionary holds: one object, without a place."""
    if shape != () or not isinstance(data, list) or len(data) != 1:
        raise pickle.UnpicklingError("an array of objects, where floats or one object were expected")
    return data[0]


class _Tokenizer:
    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)


def _encode(text: str, encoding: str) -> bytes:
    return text.encode({"latin1": "latin1", "latin-1": "latin1"}[encoding])


def _dictionary(factory: Any = None) -> dict:
    return {}  # its items follow


def _stand_ins() -> Mapping[tuple[str, str], Any]:
    """Return what each allowed name stands for in one file."""
    encode = cache(_encode)  # so that a text that is asked for a million times is there once
    array = partial(_Array, encode)

    def from_buffer(data: bytes, dtype: Any, shape: tuple, order: str) -> _Array:
        made = array(shape, dtype)
        made.__setstate__((1, shape, dtype, order == "F", data))
        return made

    allowed = {
        ("numpy", "ndarray"): array,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): encode,
        ("collections", "OrderedDict"): _dictionary,
        ("collections", "defaultdict"): _dictionary,
        ("builtins", "int"): "int",
        ("__builtin__", "int"): "int",
        ("__builtin__", "long"): "int",
    }
    for core in ("numpy.core", "numpy._core"):
        allowed[f"{core}.multiarray", "_reconstruct"] = lambda kind, shape, code: array(shape, "f4")
        allowed[f"{core}.numeric", "_frombuffer"] = from_buffer
    return allowed | {(module, "Tokenizer"): _Tokenizer for module in KERAS_TOKENIZERS}


def _plain(value: Any) -> Any:
    """Replace the stand-ins at the top and one level below it by what they hold."""
    if isinstance(value, _Array) and isinstance(value.value, dict):
        value = value.value
    if isinstance(value, dict):
        return {key: getattr(item, "value", item) for key, item in value.items()}
    return getattr(value, "value", vars(value) if hasattr(value, "__dict__") else value)
