"""HDF5 files from strangers: opened only if all their data are in the file and claim no absurd size. Keras' models are read as plain arrays."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from core.disk import check_claim
from core.errors import InputError


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file whose data are all in it and claim no absurd size.

    :raises InputError: some are in another file, or claim an absurd size.
    :raises OSError: it is missing, damaged, or no HDF5 file.
    """
    try:
        with h5py.File(path) as file:
            check(file, Path(path).stat().st_size, path)
            yield file
    except (RuntimeError, SystemError, UnicodeDecodeError) as error:  # h5py's where the damage has no other name
        raise OSError(f"damaged: {error}") from error


def check(file: h5py.File, size: int, path: Path) -> list[h5py.Dataset]:
    """Return all datasets of an HDF5 file of `size` bytes whose data are in it and claim no absurd size."""
    if link := file.visititems_links(lambda name, link: None if isinstance(link, h5py.HardLink) else name):
        raise InputError(f"refused {path}: {link} is a link to somewhere else; get it from elsewhere")
    datasets = _datasets(file)
    if elsewhere := [dataset.name for dataset in datasets if dataset.external or dataset.is_virtual]:
        raise InputError(f"refused {path}: the data of {elsewhere[0]} are in another file; get it from elsewhere")
    if varying := [dataset.name for dataset in datasets if dataset.dtype.hasobject]:
        raise InputError(
            f"refused {path}: {varying[0]} is of varying length, of which a damaged one is read without end; "
            "get it from elsewhere"
        )
    check_claim(claimed_bytes(datasets), size, path)
    return datasets


def claimed_bytes(datasets: Iterable[h5py.Dataset]) -> int:
    """Return how many bytes the datasets have in memory (h5py's own `nbytes` overflows), where a chunk is unpacked whole."""
    return sum(
        max(math.prod(dataset.shape or ()), math.prod(dataset.chunks or ())) * dataset.dtype.itemsize
        for dataset in datasets
    )


class Stored(NamedTuple):
    """A Keras model as its file holds it: its configuration (None: weights alone), the arrays of each layer, and Keras' version."""

    config: dict[str, Any] | None
    weights: dict[str, list[np.ndarray]]
    version: str | None


def read_keras(path: Path) -> Stored:
    """Return the model of an .h5 file of Keras 2 or 3, whole or its weights alone, read as plain HDF5.

    :raises InputError: the file is missing, no such model, points to other files, or claims more data than it has.
    """
    if not Path(path).is_file():
        raise InputError(f"expected a Keras .h5 file at {path}, found nothing; check the path")
    try:
        with opened(path) as file:
            config = json.loads(file.attrs["model_config"])["config"] if "model_config" in file.attrs else None
            weights = read_weights(file, Path(path).stat().st_size, path)
            return Stored(config, weights, version(file.attrs.get("keras_version")))
    except InputError:
        raise
    except Exception as error:  # h5py raises many kinds for a damaged or hostile file
        raise InputError(
            f"expected a Keras model or its weights in {path}, found something else ({error}); check the path"
        ) from error


def read_weights(file: h5py.File, size: int, path: Path) -> dict[str, list[np.ndarray]]:
    """Return `{layer: arrays}` of an HDF5 file of `size` bytes, by the layers' names, or by the groups `dense`, `dense_1` of the later form."""
    group = file.get("model_weights", file)
    if "layer_names" in group.attrs:
        layers = {layer: group[layer] for layer in _stored_names(group, "layer_names")}
        datasets = {layer: [part[name] for name in _stored_names(part)] for layer, part in layers.items()}
    else:
        datasets = {layer: _datasets(part) for layer, part in file["layers"].items()}
    claimed = claimed_bytes(dataset for parts in datasets.values() for dataset in parts)
    check_claim(claimed, size, path)  # once more: one dataset may have a thousand names
    return {layer: [dataset[()] for dataset in parts] for layer, parts in datasets.items()}


def version(stored: Any) -> str | None:
    """Return the version of Keras that a file names, if it is one."""
    found = re.match(r"\d+(\.\d+)*", stored.decode() if isinstance(stored, bytes) else str(stored))
    return found and found[0][:20]


def _datasets(group: h5py.Group) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []
    group.visititems(lambda name, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    return found


def _stored_names(group: h5py.Group, attribute: str = "weight_names") -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[attribute]]
