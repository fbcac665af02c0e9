"""Tensors of safetensors files."""

from functools import partial
from pathlib import Path

from safetensors import safe_open

from core import pickles
from encoders.tensors.tensor import Tensor  # and with it bfloat16, which numpy lacks

DTYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}  # what networks are made of


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    :raises ValueError: a tensor has an absurd shape.
    """
    file = safe_open(path, "numpy", backend="pread")  # mapped into memory, the whole file would count as ours
    entries = {name: file.get_slice(name) for name in file.offset_keys()}
    return {
        name: Tensor(pickles.plausible(entry.get_shape()), partial(file.get_tensor, name))
        for name, entry in entries.items()
        if entry.get_dtype() in DTYPES
    }
