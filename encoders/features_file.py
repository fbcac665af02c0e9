"""features.pkl, the features of photographs; features.json beside it, which says where they come from; and grid.h5, their grids."""

import json
import math
import mmap
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from itertools import takewhile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from core import hdf5, pickles
from core.disk import PatientFile, check_claim, read_json, replacing, write_bytes, write_json
from core.errors import InputError
from encoders import photographs
from encoders.tensors import feature_containers


def write(path: Path, features: Mapping[str, np.ndarray]) -> None:
    """Write `{image id: float32 (1, D)}` as a pickle that numpy 1.x and 2.x load, and delete the features.json of earlier features."""
    _origin_path(path).unlink(missing_ok=True)
    write_bytes(path, pickles.dump(dict(features)))


def read(path: Path) -> dict[str, np.ndarray]:
    """Return `{image id: float32 (1, D)}` from our features.pkl, the original's, or another container of `feature_containers`.

    Features of any shape with one long axis are vectors; grids are pooled to their mean, of which a line is printed. Names become ids.

    :raises InputError: the file is missing, holds no features, or they are of several lengths or not finite.
    """
    found = {str(key): value for key, value in feature_containers.read(path).items()}
    arrays = {key: _numbers(value, key, path) for key, value in found.items()}
    check_claim(sum(value.nbytes for value in arrays.values()), Path(path).stat().st_size, path)
    shapes = Counter(value.shape for value in arrays.values())
    places = {shape: _places(shape) for shape in shapes}
    lengths = {
        math.prod(n for axis, n in enumerate(shape) if axis not in places[shape])
        for shape in shapes
        if places[shape] is not None
    }
    if None in places.values() or len(lengths) != 1 or 0 in lengths:
        raise InputError(
            f"expected one feature of a length D for each image in {path}, (1, D), (D,), or a grid (places, D) or (rows, columns, D), "
            f"found {' and '.join(sorted(map(str, shapes))[:3])}; run 1_data_preprocessor.py"
        )
    if pooled := [shape for shape in shapes if places[shape]]:
        print(
            f"{path}: features of {pooled[0]} are taken for grids, and pooled to the mean of their places, {max(lengths):,} numbers"
        )
    features = {key: _pooled(value, places[value.shape]) for key, value in arrays.items()}
    if unfit := [key for key, value in features.items() if not np.isfinite(value).all()]:
        kind = "NaN" if np.isnan(features[unfit[0]]).any() else "infinite"
        raise InputError(
            f"{len(unfit)} of {len(features)} features in {path} are not finite (the first is {unfit[0]}: {kind}); "
            "check the encoder and run 1_data_preprocessor.py again"
        )
    return _by_id(features, path)


def _numbers(value: Any, key: str, path: Path) -> np.ndarray:
    """Return a feature, which is an array of numbers.

    :raises InputError: it is something else.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in feature_containers.NUMBERS:
        found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(
            f"expected the numbers of a feature for each image in {path}, found {found} for {key[:60]!r}; run 1_data_preprocessor.py"
        )
    return value


def _places(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the axes of a feature that count places, none for a vector; or None where these cannot be told."""
    long = [axis for axis, length in enumerate(shape) if length != 1] or [len(shape) - 1]
    lengths = [shape[axis] for axis in long] if shape else []
    if len(lengths) == 1:
        return ()
    if len(lengths) == 2:
        first, second = lengths
        channels_first = first > second and _is_square(second) and not (_is_square(first) and first < 256)
        return None if first > second and not (channels_first or _is_square(first)) else (long[channels_first],)
    if len(lengths) == 3:
        rows, columns, last = lengths
        if rows == columns or last > max(rows, columns):
            return tuple(long[:2])
        return tuple(long[1:]) if columns == last else None
    return None


def _is_square(number: int) -> bool:
    return math.isqrt(number) ** 2 == number


def _pooled(value: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """Return a feature as float32 (1, D): the mean over the axes of its places."""
    with np.errstate(over="ignore", invalid="ignore"):  # numbers beyond float32 become infinite, which is named
        return (value.mean(places, dtype="float64") if places else value).astype("float32").reshape(1, -1)


def _by_id(features: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Return features by image id; keys of drop-ins may be file names, with folders before them."""
    names = sum(map(photographs.is_named_photograph, features))
    folders = not _origin_path(path).exists() and any(mark in key for key in features for mark in "/\\")
    short = [photographs.image_id(key) for key in features]
    distinct = len(set(short)) == len(short)
    if 2 * names < len(features) and not (folders and distinct):
        return features
    ids = short if distinct else [photographs.image_id(key, whole=True) for key in features]
    print(
        f"{path}: its keys are names of files, such as {next(iter(features))}: image ids are made of them, such as {ids[0]}"
    )
    return dict(zip(ids, features.values(), strict=True))


def read_seen(path: Path, *, grid: bool) -> tuple["dict[str, np.ndarray] | Grid", dict[str, Any] | None, Path]:
    """Return what a captioner sees of photographs, the features or if `grid` the grids beside them, with their origin and file.

    :raises InputError: as `read` and `read_grid`.
    """
    if grid:
        found = read_grid(grid_path(path))
        return found, found.origin, grid_path(path)
    return read(path), read_origin(path), path


def write_origin(features_path: Path, origin: Mapping[str, Any]) -> None:
    """Write features.json beside the features: the encoder's fingerprint, height, width, dimension, precision and the cleaning."""
    write_json(_origin_path(features_path), dict(origin))


def read_origin(features_path: Path) -> dict[str, Any] | None:
    """Return what features.json beside the features says, or None (with one line) where a drop-in has none."""
    path = _origin_path(features_path)
    if not path.exists():
        print(
            f"no {path.name} beside {features_path}: which encoder made these features is not known, so it is not checked"
        )
        return None
    return check_origin(read_json(path), path)


def _origin_path(features_path: Path) -> Path:
    return Path(features_path).with_suffix(".json")


def check_origin(value: Any, path: Path) -> dict[str, Any]:
    """Return the origin of features as the file `path` has it.

    :raises InputError: it has another form.
    """
    if not isinstance(value, dict) or not isinstance(value.get("encoder"), str):
        raise InputError(
            f"expected the origin of the features in {path}, found something else; run 1_data_preprocessor.py"
        )
    return value


# Grids: HDF5 whose arrays have their places from the start. Rows are written past HDF5, so that a killed run damages none ----


class Grid:
    """Grids of photographs, mapped into memory: `grid[rows]` copies some, float16 (B, cells, C), and the process keeps no more of the file."""

    def __init__(self, path: Path, start: int, shape: tuple[int, int, int], ids: list[str], origin: dict[str, Any]):
        self.shape, self.ids, self.origin = shape, ids, origin  # (N, cells, C), cells row by row
        with path.open("rb") as file:
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._cells = np.frombuffer(self._mapped, "<f2", math.prod(shape), start).reshape(shape)
        self._rows = {image: row for row, image in enumerate(ids)}
        self._order = np.arange(len(ids))

    def __contains__(self, image: str) -> bool:
        return image in self._rows

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        found = np.array(self._cells[self._order[rows]])
        self._mapped.madvise(mmap.MADV_DONTNEED)
        return found

    def of(self, images: Iterable[str]) -> "Grid":
        """Return the grids of some photographs, in their order, from the same mapped file. All must have one."""
        found = copy(self)
        found.ids = [*images]
        found._rows = {image: self._rows[image] for image in found.ids}
        found._order = np.array([*found._rows.values()])
        found.shape = (len(found.ids), *self.shape[1:])
        return found

    def fingerprint(self) -> bytes:
        """Return what the grids are known by: their encoder, photographs and shape. The numbers are not read."""
        return json.dumps([self.origin, self.ids, self.shape]).encode()


def grid_path(features_path: Path) -> Path:
    """Return where the grids are of the photographs whose features are in a file: `grid.h5` beside `features.pkl`."""
    return Path(features_path).with_name(f"{Path(features_path).stem.replace('features', 'grid')}.h5")


def create_grid(path: Path, ids: Sequence[str], shape: Sequence[int], origin: Mapping[str, Any]) -> None:
    """Write a grid file with room for the photographs with these ids, of grids of the shape (h, w, C)."""
    height, width, channels = shape
    longest = max(len(image.encode()) for image in ids)
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    with replacing(path) as temporary, PatientFile(temporary, "w+b") as raw:
        with h5py.File(raw, "w") as file:
            file.create_dataset("grid", (len(ids), height * width, channels), "<f2", dcpl=early, fill_time="never")
            file.create_dataset("ids", (len(ids),), f"S{longest}", dcpl=early, fill_time="never")
            file["origin"] = np.bytes_(json.dumps({**origin, "rows": height, "columns": width}))
        raw.check()


def fill_grid(path: Path, first: int, grids: np.ndarray) -> None:
    """Write grids, float16 (B, h, w, C), into a grid file from row `first` on, and wait until the disk has them."""
    _fill(path, "grid", first, grids.astype("<f2", copy=False))


def finish_grid(partial: Path, path: Path, ids: Sequence[str]) -> None:
    """Write the ids of the rows into a grid file, give it its name, and say so."""
    _fill(partial, "ids", 0, np.array([image.encode() for image in ids]))
    partial.replace(path)
    count, cells, channels = read_grid(path).shape
    print(f"wrote {path}: {count:,} photographs x {cells} cells x {channels}, {path.stat().st_size / 1e6:,.1f} MB")


def _fill(path: Path, name: str, first: int, values: np.ndarray) -> None:
    with h5py.File(path) as file:
        array = file[name]
        start = array.id.get_offset() + first * math.prod(array.shape[1:]) * array.dtype.itemsize
        values = values.astype(array.dtype, copy=False)  # text of the file's length
    with path.open("r+b") as file:
        file.seek(start)
        file.write(values.tobytes())
        file.flush()
        os.fsync(file.fileno())


def read_grid(path: Path) -> Grid:
    """Return the grids of a grid.h5. Rows without an id, of photographs that cannot be decoded, come last and are left out.

    :raises InputError: the file is missing, or is no such file.
    """
    try:
        with hdf5.opened(path) as file:
            grid, start = file["grid"], file["grid"].id.get_offset()
            ids = [image.decode() for image in takewhile(len, file["ids"][()].tolist())]
            origin = check_origin(json.loads(file["origin"][()]), path)
            height, width = origin["rows"], origin["columns"]
            _, cells, channels = grid.shape
            fits = grid.dtype == "<f2" and 0 < len({*ids}) == len(ids) <= len(grid) and channels and start is not None
            if not fits or {type(height), type(width)} != {int} or not 0 < height * width == cells:
                raise ValueError(f"{grid.dtype} {grid.shape} of {len(ids)} ids")
            return Grid(path, start, (len(ids), cells, channels), ids, origin)
    except InputError:
        raise
    except Exception as error:  # h5py raises many kinds for a damaged or hostile file
        raise InputError(
            f"expected photographs' grids, float16 (N, cells, C), with ids and origin in {path}, found something else ({error}); "
            "run 1_data_preprocessor.py --grid"
        ) from error
