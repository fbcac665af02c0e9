"""HDF5 files from strangers: opened only if all their data are in the file and claim no absurd size. Keras 2's .h5 models are read as plain arrays."""

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    items: list[h5py.Group | h5py.Dataset] = []
    file.visititems(lambda name, item: items.append(item))
    datasets = [item for item in items if isinstance(item, h5py.Dataset)]
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


def read_keras_2(path: Path) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
    """Return the configuration and `{layer name: arrays}` of a Keras 2 .h5 model, read as plain HDF5.

    :raises InputError: the file is missing, no such model, points to other files, or claims more data than it has.
    """
    if not Path(path).is_file():
        raise InputError(f"expected a Keras .h5 file at {path}, found nothing; check the path")
    try:
        with opened(path) as file:
            group = file["model_weights"]
            config = json.loads(file.attrs["model_config"])["config"]
            layers = {layer: group[layer] for layer in _stored_names(group, "layer_names")}
            weights = {layer: [part[name] for name in _stored_names(part)] for layer, part in layers.items()}
            claimed = claimed_bytes(dataset for datasets in weights.values() for dataset in datasets)
            check_claim(claimed, Path(path).stat().st_size, path)  # once more: one dataset may have a thousand names
            return config, {layer: [dataset[()] for dataset in datasets] for layer, datasets in weights.items()}
    except InputError:
        raise
    except Exception as error:  # h5py raises many kinds for a damaged or hostile file
        raise InputError(
            f"expected a Keras 2 model with its configuration in {path}, found something else ({error}); check the path"
        ) from error


def _stored_names(group: h5py.Group, attribute: str = "weight_names") -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[attribute]]
