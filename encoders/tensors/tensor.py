"""A named tensor of a checkpoint, which stays in its file until it is read."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from core.errors import InputError

FORMS = (
    "a torch archive (.ckpt, .pth, .pt, .tar, .bin), also of TorchScript, a .safetensors file, a Hugging Face folder, "
    "a TensorFlow checkpoint or SavedModel folder, or Keras' weights (.h5)"
)
# Of torch and of a profiler; no feature depends on them.
COUNTERS = (".num_batches_tracked", "total_ops", "total_params")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file. Only its shape is in memory until it is read."""

    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]

    def read(self) -> np.ndarray:
        """Return the tensor as float32.

        :raises InputError: its bytes are damaged.
        """
        try:
            return np.asarray(self.load()).astype("float32").reshape(self.shape)
        except Exception as error:
            raise InputError(
                f"a tensor of shape {self.shape} cannot be read: {error}; download the file again"
            ) from error


def product(tensor: Tensor, factor: Tensor | float) -> Tensor:
    """Return a tensor times a number, or times a vector along its last axis."""
    return Tensor(tensor.shape, lambda: tensor.read() * (factor.read() if isinstance(factor, Tensor) else factor))


def parent(name: str) -> str:
    """Return the name of the layer that a tensor belongs to."""
    return re.sub(r"[./][^./]*$", "", name)
