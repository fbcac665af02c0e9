"""Checkpoint files of PyTorch and TensorFlow, read without PyTorch and without running anything that a file names.

The forms: torch archives (zip, since PyTorch 1.6), also of TorchScript; the older torch form (a row of pickles, then the
numbers); safetensors; folders of Hugging Face, also in shards; a .zip around one such file; and TensorFlow checkpoints,
also the variables of a SavedModel.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from encoders.tensors import huggingface, other_files, safetensors_file, tensorflow_checkpoint, torch_archive
from encoders.tensors.tensor import FORMS, Tensor


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds."""

    tensors: dict[str, Tensor]
    """By name, in the file's order; names in nested dictionaries are joined by dots."""
    container: str
    """What the file was taken for, in words."""
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
    file = huggingface.file_in(path) or path
    if prefix := file == path and tensorflow_checkpoint.prefix_of(path):
        return Checkpoint(tensorflow_checkpoint.read(prefix), "a TensorFlow checkpoint", {})
    if not file.is_file():
        raise InputError(f"there is no checkpoint {path}: expected {FORMS}; check the path")
    if file.name.endswith(huggingface.INDEX):
        tensors, container = huggingface.read_shards(file, _read_file)
    elif zipfile.is_zipfile(file) and not torch_archive.fits(file):
        tensors, container = _read_packed(file)
    else:
        tensors, container = _read_file(file)
    if file != path:
        container = f"a Hugging Face folder with {container}"
    return Checkpoint(tensors, container, huggingface.configuration(file))


def _read_file(path: Path) -> tuple[dict[str, Tensor], str]:
    if zipfile.is_zipfile(path):
        return torch_archive.read(path)
    with path.open("rb") as file:
        beginning = file.read(512)
    if beginning[:1] == b"\x80":
        return torch_archive.read_old(path)
    if beginning[8:9] == b"{":
        return safetensors_file.read(path), "a safetensors file"
    raise other_files.refusal(path, beginning)


def _read_packed(path: Path) -> tuple[dict[str, Tensor], str]:
    file = other_files.unpacked(path)
    try:
        tensors, container = _read_file(file)
    except InputError as error:
        raise InputError(str(error).replace(str(file), f"{path}/{file.name}")) from error
    return tensors, f"a .zip around {container}"
