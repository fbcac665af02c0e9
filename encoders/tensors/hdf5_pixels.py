"""Photographs in HDF5 as people store them: bytes or floats, colours last or first, or grey."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from core.errors import InputError

RANGES = {(0.0, 1.0): "0 to 1", (0.0, 255.0): "0 to 255", (-1.0, 1.0): "-1 to 1"}  # of floats, the narrowest first
SAMPLE = 64  # photographs from which the range is found


class Photographs:
    """A dataset of photographs, read as uint8 (N, H, W, 3), whatever their layout; a line says what it was taken for.

    :raises InputError: it is no such dataset, or its numbers have another range.
    """

    def __init__(self, images: h5py.Dataset | h5py.Group, path: Path) -> None:
        self._images, self.name, self._path = images, images.name.strip("/"), path
        self._layout = (
            _layout(images.shape) if isinstance(images, h5py.Dataset) and images.dtype.kind in "fiu" else None
        )
        if self._layout is None:
            found = f"{images.dtype} {images.shape}" if isinstance(images, h5py.Dataset) else "a group"
            raise InputError(
                f"expected uint8 N x S x S x 3 in {self.name} of {path}, or floats, colours first or grey, found {found}; check the path"
            )
        self._range = None if images.dtype == np.uint8 else self._found_range()
        odd = [self._layout] * (self._layout != "colours last") + (
            [f"{images.dtype} of {RANGES[self._range]}"] if self._range else []
        )
        if odd:
            print(f"{path}: {self.name} is taken for photographs, {' and '.join(odd)}")

    def __len__(self) -> int:
        return len(self._images)

    def read(self, rows: Sequence[int]) -> np.ndarray:
        """Return some photographs, uint8 (B, H, W, 3); rows must rise.

        :raises InputError: some numbers are not in the range that the first photographs have.
        """
        first, last = rows[0], rows[-1] + 1
        if isinstance(rows, range):
            pixels = self._images[first : last : rows.step]
        else:  # the few between are read too, which HDF5 does faster than a choice
            pixels = self._images[first:last][np.asarray(rows) - first]
        if self._range:
            least, most = self._range
            if not (np.isfinite(pixels).all() and pixels.min() >= least and pixels.max() <= most):
                raise self._other_range(pixels)
            pixels = np.rint((pixels.astype("float32") - least) * (255 / (most - least))).astype("uint8")
        if self._layout == "colours first":
            pixels = np.moveaxis(pixels, 1, -1)
        elif self._layout == "grey":
            height, width = (length for length in (*pixels.shape[1:], 1)[:3] if length > 1)
            pixels = pixels.reshape(-1, height, width, 1)
        return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:3], 3)))

    def _found_range(self) -> tuple[float, float]:
        sample = self._images[:: max(1, len(self._images) // SAMPLE)]
        for least, most in RANGES:
            if sample.size and np.isfinite(sample).all() and sample.min() >= least and sample.max() <= most:
                return least, most
        raise self._other_range(sample)

    def _other_range(self, pixels: np.ndarray) -> InputError:
        found = f"{pixels.min():g} to {pixels.max():g}" if pixels.size else "none"
        return InputError(
            f"expected numbers of {', of '.join(RANGES.values())} in {self.name} of {self._path}, found {found}; save photographs as uint8"
        )


def _layout(shape: tuple[int, ...]) -> str | None:
    """Return how the axes of photographs lie, or None for another shape."""
    if len(shape) == 3 and min(shape[1:]) > 3:
        return "grey"
    if len(shape) != 4:
        return None
    if shape[3] == 3:
        return "colours last"
    if shape[1] == 3:
        return "colours first"
    return "grey" if sorted((shape[1], shape[3]))[0] == 1 < min(shape[2], max(shape[1], shape[3])) else None
