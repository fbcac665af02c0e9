"""Features in the containers that people have: pickles, NumPy's .npy and .npz, HDF5, each also in gzip; known by content, not by name."""

import io
import math
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from core import hdf5, pickles
from core.disk import EXPANSION, check_claim, read_bytes
from core.errors import InputError

NUMPY, ZIP, HDF5, GZIP = b"\x93NUMPY", b"PK\3\4", b"\x89HDF", b"\x1f\x8b"
NUMBERS = "fiu"  # kinds of arrays: floats, integers


def read(path: Path) -> dict[Any, Any]:
    """Return what a file holds for each photograph, by what it calls it: an array, also where it has lists of numbers.

    :raises InputError: the file is missing, damaged, or has no names of photographs.
    """
    data, size = read_bytes(path), Path(path).stat().st_size
    try:
        if data.startswith(GZIP):
            data = _unpacked(data, size, path)
        if data.startswith(HDF5):
            return _by_name(_of_hdf5(data, path), path, len(data))
        if data.startswith(ZIP):
            return _by_name(_of_archive(data, size, path), path, len(data))
        value = _array(data) if data.startswith(NUMPY) else pickles.load(data)
    except pickle.UnpicklingError as error:
        raise InputError(f"refused {path}: {error}; check the path, or make the file again") from error
    except InputError:
        raise
    except Exception as error:  # NumPy, zipfile and h5py raise many kinds for damaged or hostile bytes
        raise _damaged(path, error) from error
    return _by_name(value, path, len(data))


def _unpacked(data: bytes, size: int, path: Path) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    found = unpacker.decompress(data, EXPANSION * size + (1 << 20))
    if unpacker.unconsumed_tail:
        check_claim(2 * EXPANSION * size + (2 << 20), size, path)
    if not unpacker.eof:
        raise ValueError("it is cut short")
    return found


def _of_hdf5(data: bytes, path: Path) -> dict[str, np.ndarray]:
    with h5py.File(io.BytesIO(data)) as file:
        return {dataset.name.strip("/"): dataset[()] for dataset in hdf5.check(file, len(data), path)}


def _of_archive(data: bytes, size: int, path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        check_claim(sum(member.file_size for member in archive.infolist()), size, path)
        return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}


def read_array(data: bytes, path: Path) -> np.ndarray:
    """Return the array of numbers or texts that the content of a .npy file holds.

    :raises InputError: it is damaged, or holds objects.
    """
    try:
        array = _array(data)
    except Exception as error:  # as in `read`
        raise _damaged(path, error) from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"expected an array of numbers in {path}, found {type(array).__name__}; check the path")
    return array


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"expected a whole array or archive in {path}, found a damaged file ({error}); get or make it again"
    )


def _array(data: bytes) -> Any:
    """Return the array of a .npy file, or the value that it holds as a pickle, such as a dictionary."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    rest = data[file.tell() :]
    if dtype.hasobject:
        return pickles.load(rest)
    if dtype.kind not in f"{NUMBERS}US" or math.prod(pickles.plausible(list(shape))) * dtype.itemsize != len(rest):
        raise ValueError(f"{len(rest):,} bytes for {dtype} {shape}")
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C")


def _by_name(value: Any, path: Path, size: int) -> dict[Any, Any]:
    """Return features by name: of a dictionary, of pairs, or of one array of them all beside one of their names."""
    if (
        isinstance(value, list | tuple)
        and value
        and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value)
    ):
        value = {name: getattr(feature, "value", feature) for name, feature in value if isinstance(name, str | int)}
    if isinstance(value, Mapping) and value:
        return _beside_names(value) or _without_lists(value, size)
    found = (
        f"an array of {value.shape}, without" if isinstance(value, np.ndarray) else f"{type(value).__name__} without"
    )
    raise InputError(
        f"expected a dictionary of image ids and features in {path}, found {found} names or entries; run 1_data_preprocessor.py, "
        "or save {name: feature}"
    )


def _without_lists(value: Mapping[Any, Any], size: int) -> dict[Any, Any]:
    """Return the entries with arrays in place of lists of numbers, if all have as many as a file of `size` bytes can have."""
    left, found = size, {}
    for name, entry in value.items():
        if isinstance(entry, list | tuple):
            left -= _count(entry, left)
            if left >= 0:
                with suppress(ValueError, TypeError):  # lists of several lengths, or of something else
                    entry = np.array(entry)
        found[name] = entry
    return found


def _count(value: Any, most: int) -> int:
    """Return how many entries nested lists have, or a little more than the most."""
    count, lists = 0, [value]
    while lists and count <= most:
        entries = lists.pop()
        count += len(entries)
        lists += [entry for entry in entries if isinstance(entry, list | tuple)]
    return count


def _beside_names(value: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    """Return the rows of one array by the names in another of the same length, or nothing where there are no such two."""
    names = [texts for part in value.values() if (texts := _texts(part))]
    arrays = [
        part for part in value.values() if isinstance(part, np.ndarray) and part.dtype.kind in NUMBERS and part.ndim > 1
    ]
    if len(names) != 1 or len(arrays) != 1 or len(names[0]) != len(arrays[0]):
        return {}
    return dict(zip(names[0], arrays[0], strict=True))


def _texts(value: Any) -> list[str]:
    if isinstance(value, np.ndarray) and value.dtype.kind in "US" and value.ndim == 1:
        value = value.tolist()
    if not isinstance(value, list) or not all(isinstance(text, str | bytes) for text in value):
        return []
    return [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in value]
