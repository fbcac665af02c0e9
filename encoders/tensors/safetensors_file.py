"""Tensors of a safetensors file."""

import json
import math
import mmap
import struct
from functools import partial

import numpy as np

from core import pickles
from encoders.tensors.tensor import BFLOAT16, Tensor

DTYPES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": BFLOAT16, "I64": "<i8", "I32": "<i4", "U8": "u1"}


def read(data: mmap.mmap) -> dict[str, Tensor]:
    """Return the tensors of a file's bytes by name.

    :raises ValueError: a tensor does not fit its bytes.
    """
    (length,) = struct.unpack_from("<Q", data)
    entries = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in entries.items():
        if entry.get("dtype") not in DTYPES:  # the metadata, or numbers that no network is made of
            continue
        shape, dtype = pickles.plausible(entry["shape"]), np.dtype(DTYPES[entry["dtype"]])
        count = math.prod(shape)
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        if end - start != count * dtype.itemsize or not 8 + length <= start <= end <= len(data):
            raise ValueError(f"{name} of shape {shape} does not fit its {end - start} bytes")
        tensors[name] = Tensor(shape, partial(np.frombuffer, data, dtype, count, start))
    return tensors
