"""Checkpoint files of PyTorch and TensorFlow, read without PyTorch and without running anything that a file names.

The forms: torch archives (zip, since PyTorch 1.6), also of TorchScript; the older torch form (a row of pickles, then the
numbers); safetensors; folders of Hugging Face, also in shards; a .zip around one such file; Keras' weights in HDF5; and
TensorFlow checkpoints, also the variables of a SavedModel.
"""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import InputError
from encoders.tensors import folder, keras_weights, other_files, safetensors_file, tensorflow_checkpoint, torch_archive
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
        return _read(Path(path))
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}; check its permissions and the free space"
        ) from error
    except Exception as error:  # whatever a damaged or hostile file makes of the readers
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{path} is damaged or cut short ({reason}): get it again") from error


def _read(path: Path) -> Checkpoint:
    if file := folder.file_in(path):
        found = _read(file)
        return replace(found, container=f"a Hugging Face folder with {found.container}", file=path.name)
    if prefix := tensorflow_checkpoint.prefix_of(path):
        return Checkpoint(tensorflow_checkpoint.read(prefix), "a TensorFlow checkpoint", path.name, {})
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}: expected {FORMS}; check the path")
    if path.name.endswith(folder.INDEX):
        tensors, container = folder.read_shards(path, _read_file)
    elif zipfile.is_zipfile(path) and not torch_archive.fits(path):
        tensors, container = _read_packed(path)
    else:
        tensors, container = _read_file(path)
    return Checkpoint(tensors, container, path.name, folder.configuration(path))


def _read_file(path: Path) -> tuple[dict[str, Tensor], str]:
    if zipfile.is_zipfile(path):
        return torch_archive.read(path)
    with path.open("rb") as file:
        beginning = file.read(512)
    if beginning[:1] == b"\x80":
        return torch_archive.read_old(path)
    if beginning[8:9] == b"{":
        return safetensors_file.read(path), "a safetensors file"
    if beginning.startswith(b"\x89HDF"):
        return keras_weights.read(path), "Keras' weights in HDF5"
    raise other_files.refusal(path, beginning)


def _read_packed(path: Path) -> tuple[dict[str, Tensor], str]:
    file = other_files.unpacked(path)
    try:
        tensors, container = _read_file(file)
    except InputError as error:
        raise InputError(str(error).replace(str(file), f"{path}/{file.name}")) from error
    return tensors, f"a .zip around {container}"
