"""Weights that Keras saved as HDF5: weights alone or whole models, of Keras 2 and 3."""

import re
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from core import hdf5
from core.errors import InputError
from encoders.tensors.tensor import Tensor

PLACES = {
    "vars/0": "kernel",
    "vars/1": "bias",
    "kernel:0": "kernel",
    "bias:0": "bias",
    "kernel": "kernel",
    "bias": "bias",
}


def read(path: Path) -> dict[str, Tensor]:
    """Return the kernels and biases by the layers' paths: `encoder/layers/conv2d_1/kernel`.

    :raises InputError: the file is damaged, or refused as `core.hdf5` refuses.
    """
    found: dict[str, Tensor] = {}

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        place = re.fullmatch(r"(?:model_weights/)?(.+)/(vars/[01]|(?:kernel|bias)(?::0)?)", name)
        if isinstance(item, h5py.Dataset) and place and not name.startswith("optimizer"):
            layer = re.sub(r"^([^/]+)/((?:.*/)?\1)$", r"\2", place[1])  # .h5 of whole models repeat a layer's name
            found[f"{layer}/{PLACES[place[2]]}"] = Tensor(item.shape, partial(_array, path, name))

    try:
        with hdf5.opened(path) as file:
            file.visititems(add)
    except OSError as error:
        raise InputError(f"{path} is an HDF5 file that is damaged or cut short ({error}): get it again") from error
    return found


def _array(path: Path, name: str) -> np.ndarray:
    with h5py.File(path) as file:
        return file[name][()]
