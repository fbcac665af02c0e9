"""Checkpoint files of PyTorch and TensorFlow, read without PyTorch and without running anything that a file names.

Four forms are understood: torch archives (zip, since PyTorch 1.6), the older torch form (a row of pickles, then the numbers),
safetensors, and TensorFlow checkpoints (also the variables of a SavedModel).
"""

import mmap
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from encoders.tensors import safetensors_file, tensorflow_checkpoint, torch_archive
from encoders.tensors.tensor import FORMS, Tensor


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds."""

    tensors: dict[str, Tensor]
    """By name, in the file's order; names in nested dictionaries are joined by dots."""
    container: str
    """What the file was taken for, in words."""
    file: str
    """The name of its file or folder."""
    configuration: dict[str, Any]
    """`config`: what config.json beside the tensors says; `preprocessor`: what preprocessor_config.json says."""


def read(path: Path) -> Checkpoint:
    """Return the tensors of a checkpoint, which stay in the file until they are read.

    :param path: a file of one of the forms above; of a TensorFlow checkpoint the prefix, its .index, or its folder.
    :raises InputError: there is no such file, it has another form, or it is damaged.
    """
    try:
        return Checkpoint(*_read(Path(path)), Path(path).name, configuration={})
    except InputError:
        raise
    except Exception as error:  # whatever a damaged or hostile file makes of the readers
        raise InputError(f"{path} is damaged or cut short ({type(error).__name__}: {error}): get it again") from error


def _read(path: Path) -> tuple[dict[str, Tensor], str]:
    if prefix := tensorflow_checkpoint.prefix_of(path):
        return tensorflow_checkpoint.read(prefix), "a TensorFlow checkpoint"
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}: expected {FORMS}; check the path")
    if zipfile.is_zipfile(path):
        return torch_archive.read(path), "a torch archive"
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if data[:1] == b"\x80":
        return torch_archive.read_old(path, data), "a torch archive of the older form"
    if data[8:9] == b"{":
        return safetensors_file.read(data), "a safetensors file"
    raise InputError(f"{path} begins with the bytes {data[:8]!r}: expected {FORMS}")
