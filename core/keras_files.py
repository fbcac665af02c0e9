"""Models as .keras archives: written whole, read without running anything that they name, and known by a fingerprint.

Keras is imported when a model is read or described, not before: tools that need none start at once.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import h5py
import numpy as np

from core import hdf5
from core.disk import check_claim, replacing
from core.errors import InputError

if TYPE_CHECKING:
    import keras

Result = TypeVar("Result")
# The member of a captioner's archive that holds its vocabulary and the origin of its features.
MEMORY = "captioning.json"
WEIGHTS = "model.weights.h5"  # the member of every .keras archive that holds the weights
MEMBERS = {"config.json", "metadata.json", WEIGHTS, MEMORY}  # all that the archive of an encoder or captioner holds
LARGEST_CONFIG = 4 << 20  # bytes of a member other than the weights; keras.applications have less than one million
MOST_LAYERS = 3000  # of a model; the deepest of keras.applications have about a thousand


def write(path: Path, model: keras.Model, *, bits: int = 24) -> None:
    """Write a model as a .keras file, all or nothing. Its weights are rounded to `bits` significant bits; 11, as float16 has, halve the file.

    :raises InputError: the path ends otherwise, or cannot be written.
    """
    if path.suffix != ".keras":
        raise InputError(f"expected a name that ends in .keras, found {path}; choose such a name")
    with replacing(path) as temporary:
        _save(temporary, model)
        if bits < 24:
            _compact(temporary, bits)


def _save(path: Path, model: keras.Model) -> None:
    """Save a model as Keras does, but member by member: Keras itself puts a copy of all weights into memory first."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        model.save(folder, zipped=False)
        with zipfile.ZipFile(path, "w") as archive:
            for member in ("metadata.json", "config.json", WEIGHTS):
                archive.write(Path(folder) / member, member)


def _compact(path: Path, bits: int) -> None:
    """Round the weights of a .keras file and compress them; readers still get float32."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    compressed = io.BytesIO()
    with h5py.File(io.BytesIO(members[WEIGHTS])) as old, h5py.File(compressed, "w") as new:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                copied = new.require_group(name)
            else:
                copied = _compressed(new, name, _rounded(item[()], bits))
            copied.attrs.update(item.attrs)

        new.attrs.update(old.attrs)
        old.visititems(copy)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (members | {WEIGHTS: compressed.getvalue()}).items():
            archive.writestr(name, data)


def _compressed(file: h5py.File, name: str, array: np.ndarray) -> h5py.Dataset:
    """Store an array as one chunk, compressed as HDF5's own filters do, but by runs: weights hold no other repetitions."""
    if array.size < 2:
        return file.create_dataset(name, data=array)
    dataset = file.create_dataset(name, array.shape, array.dtype, chunks=array.shape, compression="gzip", shuffle=True)
    planes = np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.itemsize).T  # first bytes, second bytes, ...
    deflate = zlib.compressobj(9, strategy=zlib.Z_RLE)
    dataset.id.write_direct_chunk((0,) * array.ndim, deflate.compress(planes.tobytes()) + deflate.flush())
    return dataset


def _rounded(array: np.ndarray, bits: int) -> np.ndarray:
    """Round float32 numbers to `bits` significant bits, halves to even, for any exponent. Other types are not changed.

    Halves are frequent in weights that were rounded before. Always upwards, they would make all weights larger.
    """
    if array.dtype != np.float32 or bits == 24:
        return array
    unit, numbers = 1 << (24 - bits), array.view(np.uint32)
    odd = numbers // np.uint32(unit) % 2
    return ((numbers + np.uint32(unit // 2 - 1) + odd) & np.uint32(2**32 - unit)).view(np.float32)


def fingerprint(model: keras.Model) -> str:
    """Return the SHA-256, in hexadecimal, of a model's configuration and weights: equal models have equal fingerprints."""
    import keras

    digest = hashlib.sha256(
        json.dumps(keras.saving.serialize_keras_object(model), sort_keys=True, default=str).encode()
    )
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()))
    return digest.hexdigest()


def read(path: Path) -> keras.Model:
    """Return the model of a .keras file, loaded with `safe_mode=True` and not compiled.

    :raises InputError: the file is missing, no .keras file, or asks for code or for absurd sizes.
    """
    import keras

    numbers = _check_archive(path)
    with _loading(path):
        config = _read_config(path)
        check_numbers(lambda: keras.saving.deserialize_keras_object(config, safe_mode=True), numbers)
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def read_stored(path: Path) -> hdf5.Stored:
    """Return what a .keras file of Keras 2 or 3 holds, as plain data, without building a model.

    :raises InputError: the file is missing, no .keras file, or asks for absurd sizes.
    """
    _check_archive(path)
    with _loading(path), zipfile.ZipFile(path) as archive:
        config = _read_config(path)["config"]
        version = hdf5.version(json.loads(archive.read("metadata.json"))["keras_version"])
        data = archive.read(WEIGHTS)
        with h5py.File(io.BytesIO(data)) as file:
            groups = hdf5.read_weights(file, len(data), path)
        return hdf5.Stored(config, _by_layer(config, groups), version)


def _by_layer(config: dict[str, Any], groups: dict[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """Return the arrays of each layer. A group is named by its layer's class, and how many of that class came before."""
    counts: Counter[str] = Counter()
    weights = {}
    for layer in config["layers"]:
        kind = re.sub(r"(?<=.)(?=[A-Z][a-z])", "_", layer["class_name"]).lower()
        weights[layer["name"]] = groups.get(f"{kind}_{counts[kind]}" if counts[kind] else kind, [])
        counts[kind] += 1
    return weights


@contextmanager
def _loading(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # Keras raises many kinds for a damaged or hostile file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"cannot load {path} as a Keras model: {reason}; make it again, or get it again") from error


def _check_archive(path: Path) -> int:
    """Return how many numbers a .keras file holds. Members that no model needs and absurd sizes are refused."""
    if not Path(path).is_file():
        raise InputError(
            f"expected a .keras file at {path}, found {'a folder' if Path(path).is_dir() else 'nothing'}; check the path"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            if odd := sizes.keys() - MEMBERS:
                raise InputError(
                    f"refused {path}: its member {min(odd)!r} is none that a model needs; get it from elsewhere"
                )
            check_claim(sum(sizes.values()), Path(path).stat().st_size, path)
            if max(size for name, size in sizes.items() if name != WEIGHTS) > LARGEST_CONFIG:
                raise InputError(
                    f"refused {path}: its configuration has more than {LARGEST_CONFIG:,} bytes; get it from elsewhere"
                )
            with h5py.File(io.BytesIO(archive.read(WEIGHTS))) as weights:
                return sum(math.prod(dataset.shape) for dataset in hdf5.check(weights, sizes[WEIGHTS], path))
    except InputError:
        raise
    except Exception as error:  # zipfile and h5py raise many kinds for a damaged or hostile file
        raise InputError(
            f"expected a .keras file (a zip archive with {WEIGHTS}) at {path}, found something else; check the path"
        ) from error


def _read_config(path: Path) -> dict[str, Any]:
    """Return the configuration of a .keras file's model.

    :raises ValueError: it has absurdly many layers, on which Keras would spend minutes.
    """
    counts = []

    def count(item: dict[str, Any]) -> dict[str, Any]:
        layers = item.get("layers")
        if isinstance(layers, list):
            counts.append(len(layers))
        return item

    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"), object_hook=count)
    if sum(counts) > MOST_LAYERS:
        raise ValueError(f"its {sum(counts):,} layers are more than {MOST_LAYERS:,}")
    return config | {"compile_config": None}


def without_memory(function: Callable[[], Result]) -> Result:
    """Call a function that builds models, without memory for their weights: these have shapes, but no values."""
    import keras

    def scoped() -> Result:
        with keras.StatelessScope(initialize_variables=False):
            return function()

    with ThreadPoolExecutor(1) as thread:  # Keras forgets the variables without values when the thread ends
        return thread.submit(scoped).result()


def check_numbers(build: Callable[[], keras.Model], numbers: int) -> None:
    """Check, before memory is given to a model that a file describes, that the file has numbers enough for it.

    :raises ValueError: the model has more weights than `numbers`.
    """
    if without_memory(lambda: build().count_params()) > numbers:
        raise ValueError(f"its layers have more weights than the {numbers:,} numbers in the file")
