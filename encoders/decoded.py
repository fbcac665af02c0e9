"""Photographs for pre-training: decoded once to uint8 of one size, into a file that epochs and restarts map into memory.

A photograph is its whole frame, resized as steps 1 and 5 resize it: nothing is cut off, and random crops vary the ratio of sides anyway.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import tensorflow as tf
from PIL import Image

from core import disk, hdf5
from core.errors import InputError
from core.progress import bar
from core.workers import ALONE, Worker
from encoders import photographs
from encoders.photographs import Unreadable
from encoders.tensors import hdf5_pixels

THREADS = 4  # decoding leaves Python's lock, so a few threads keep the cores busy
APART = {"val_img": (9, 10), "test_img": (8, 20)}  # the first row of train_img that stands for them, and the step
AHEAD = 128  # photographs read in one go: 57 MB at 384 pixels


class Labelled(NamedTuple):
    """Photographs with the names of their folders as classes."""

    pixels: np.ndarray  # uint8 (N, H, W, 3)
    labels: np.ndarray  # int64 (N,), in [0, len(classes))
    classes: tuple[str, ...]


def load(sources: Sequence[Path], size: tuple[int, int], folder: Path, lists: Sequence[Path] = ()) -> np.ndarray:
    """Return photographs as a read-only memory map, uint8 (N, *size, 3), made once in `folder`. Unreadable files are skipped.

    :param sources: folders, searched recursively, or one HDF5 file with the uint8 dataset `train_img` of jigsaw.to_hdf5.
    :param lists: files that name photographs; those in folders whose id is in none of them are left out.
    :raises InputError: there is nothing to read, or `lists` restrict an HDF5 file.
    """
    if len(sources) == 1 and sources[0].suffix in (".h5", ".hdf5"):
        if lists:
            raise InputError(
                f"{sources[0]} has no names that a list could restrict: leave out the list, or give folders"
            )
        return load_hdf5(sources[0], "train_img", size, folder)
    pixels, _ = _load_files(select(sources, lists), size, folder)
    return pixels


def load_named(
    sources: Sequence[Path], size: tuple[int, int], folder: Path, lists: Sequence[Path] = ()
) -> tuple[np.ndarray, list[str]]:
    """Return the photographs of folders, as `load` does, and their image ids."""
    ids, paths = zip(*named(sources, lists), strict=True)
    pixels, readable = _load_files(paths, size, folder)
    return pixels, [ids[number] for number in readable]


def select(sources: Sequence[Path], lists: Sequence[Path] = ()) -> list[Path]:
    """Return the photographs in folders, searched recursively; where there are lists, those whose id is in one of them.

    :raises InputError: there are none.
    """
    if lists:
        return [path for _, path in named(sources, lists)]
    return [path for source in sources for path in photographs.list_photographs(source, recursive=True)]


def named(sources: Sequence[Path], lists: Sequence[Path] = ()) -> list[tuple[str, Path]]:
    """Return the photographs as `select` does, each with its image id."""
    named = [pair for source in sources for pair in photographs.by_id(source).items()]
    if lists:
        known = [image for image, _ in named]
        wanted = {image for path in lists for image in photographs.read_image_list(path, known)}
        named = [(image, path) for image, path in named if image in wanted]
        if not named:
            raise InputError(f"none of the photographs in {_names(sources)} is named in {_names(lists)}: check both")
    return named


def decode(paths: Sequence[Path], read: Callable[[Path], np.ndarray]) -> Iterator[np.ndarray | Unreadable]:
    """Yield the result of `read` for each photograph, in order, or why it cannot be read. Threads read ahead."""

    def attempt(path: Path) -> np.ndarray | Unreadable:
        try:
            return read(path)
        except Unreadable as error:
            return error

    with ThreadPoolExecutor(THREADS) as threads:
        for first in range(0, len(paths), AHEAD):
            yield from threads.map(attempt, paths[first : first + AHEAD])


def load_labelled(source: Path, size: tuple[int, int], folder: Path, most: int | None = None) -> Labelled:
    """Return the photographs of a folder that has one sub-folder for each class, as `load` does.

    :param most: the most photographs of each class, the first by name.
    :raises InputError: there are not at least two such sub-folders.
    """
    classes = [path for path in sorted(source.iterdir()) if path.is_dir()] if source.is_dir() else []
    if len(classes) < 2:
        raise InputError(
            f"expected a folder with one sub-folder for each class at {source}, found {len(classes)} sub-folders; check the path"
        )
    by_class = [photographs.list_photographs(path, recursive=True)[:most] for path in classes]
    labels = np.repeat(np.arange(len(classes)), [len(paths) for paths in by_class])
    pixels, readable = _load_files([path for paths in by_class for path in paths], size, folder)
    return Labelled(pixels, labels[readable], tuple(path.name for path in classes))


def steps(pixels: np.ndarray, batch_size: int) -> int:
    """Return how many whole batches an epoch has.

    :raises InputError: there are fewer photographs than a batch takes.
    """
    if len(pixels) < batch_size:
        raise InputError(
            f"{len(pixels):,} photographs are fewer than --batch-size {batch_size}: lower it, or give more"
        )
    print(f"{len(pixels):,} photographs, {len(pixels) // batch_size:,} steps an epoch", flush=True)
    return len(pixels) // batch_size


def batches(
    pixels: np.ndarray,
    batch_size: int,
    seed: int,
    example: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Any],
    worker: Worker = ALONE,
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """Return the function epoch -> whole batches for `training.fit`, in an order that the seed and the epoch decide.

    :param example: photographs uint8 (B, H, W, 3), their indices (B,) and a seed, int32 (2,) -> what the model is trained on.
    :param worker: whose part of each batch is given.
    """
    steps = len(pixels) // batch_size

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = tf.random.fold_in(tf.constant([seed, 0], tf.int32), epoch)
        order = tf.random.experimental.stateless_shuffle(tf.range(len(pixels)), epoch_seed)

        @tf.autograph.experimental.do_not_convert
        def batch(step: tf.Tensor, indices: tf.Tensor) -> Any:
            indices = worker.part(indices)
            return example(rows(pixels, indices), indices, tf.random.fold_in(epoch_seed, step))

        indices = tf.reshape(order[: steps * batch_size], (steps, batch_size))
        return tf.data.Dataset.from_tensor_slices(indices).enumerate().map(batch, num_parallel_calls=2)

    return of_epoch


def rows(pixels: np.ndarray, indices: tf.Tensor) -> tf.Tensor:
    """Return, inside a tf.data pipeline, the photographs at some indices: (B,) -> uint8 (B, H, W, 3)."""
    batch = tf.numpy_function(lambda wanted: pixels[wanted], [indices], tf.uint8, stateful=False)
    return tf.ensure_shape(batch, (indices.shape[0], *pixels.shape[1:]))


def _load_files(paths: Sequence[Path], size: tuple[int, int], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of the readable files, and which files these are, (N,) of indices."""

    decoded = decode(paths, lambda path: photographs.read(path, *size))
    versions = [(path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return _kept(folder, size, [path.as_posix() for path in paths], versions, decoded)


def load_hdf5(path: Path, dataset: str, size: tuple[int, int], folder: Path) -> np.ndarray:
    """Return one dataset of a file of jigsaw.to_hdf5, or of the original's, as `load` does; rows without a photograph are skipped.

    :param dataset: `train_img`, `val_img` or `test_img`: photographs as `hdf5_pixels` reads them.
    :raises InputError: there is no such dataset, the file is cut short, or its data are in another file.
    """
    return _load_rows(path, dataset, size, folder, "", lambda count: range(count))


def load_parts(path: Path, size: tuple[int, int], folder: Path) -> list[np.ndarray]:
    """Return the photographs of train_img, val_img and test_img, as `load_hdf5` does.

    Where there is no val_img, each tenth photograph of train_img takes its place; where there is no test_img, each twentieth.
    """
    with _opened(path, "train_img") as file:
        taken = {name: place for name, place in APART.items() if name not in file}

    def is_apart(row: int) -> bool:
        return any(row % step == first for first, step in taken.values())

    for name, (_, step) in taken.items():
        print(f"{path} has no {name}: each {step}th photograph of train_img takes its place")
    train = _load_rows(path, "train_img", size, folder, f"without {sorted(taken)}" * bool(taken),
        lambda count: [row for row in range(count) if not is_apart(row)])  # fmt: skip
    others = [
        _load_rows(
            path, "train_img", size, folder, name, lambda count, place=taken[name]: range(place[0], count, place[1])
        )
        if name in taken
        else load_hdf5(path, name, size, folder)
        for name in APART
    ]
    return [train, *others]


def _load_rows(
    path: Path, dataset: str, size: tuple[int, int], folder: Path, part: str, choose: Callable[[int], Sequence[int]]
) -> np.ndarray:
    """Return some rows of a dataset; `part` is what tells them from others of it."""
    with _opened(path, dataset) as file:
        images = hdf5_pixels.Photographs(file[dataset], path)
        rows = choose(len(images))
        if not len(rows):
            raise InputError(f"expected photographs in {dataset} of {path}, found too few, {len(images)}; give more")
        names = [f"{path} {dataset} row {row}" for row in rows]
        version = (path.stat().st_size, path.stat().st_mtime_ns, *([part] if part else []))
        decoded = (_resized(image, size) for image in _rows_of(images, rows, path))
        return _kept(folder, size, names, version, decoded)[0]


@contextmanager
def _opened(path: Path, dataset: str) -> Iterator[h5py.File]:
    """Open an HDF5 file that has such a dataset."""
    try:
        with hdf5.opened(path) as file:
            file[dataset]
            yield file
    except (OSError, KeyError) as error:
        raise _damaged(path, dataset, error) from error


def _rows_of(images: hdf5_pixels.Photographs, rows: Sequence[int], path: Path) -> Iterator[np.ndarray]:
    for first in range(0, len(rows), AHEAD):
        try:
            chunk = images.read(rows[first : first + AHEAD])
        except OSError as error:
            raise _damaged(path, images.name, error) from error
        yield from chunk


def _damaged(path: Path, dataset: str, error: Exception) -> InputError:
    return InputError(
        f"expected a whole HDF5 file with the dataset {dataset} at {path}: {error}; "
        "copy it again, or make one with `python -m jigsaw.to_hdf5`"
    )


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray | Unreadable:
    if not image.any():  # the original allocates three times the rows that it fills
        return Unreadable("an empty row")
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def _kept(
    folder: Path,
    size: tuple[int, int],
    names: Sequence[str],
    version: object,
    decoded: Iterator[np.ndarray | Unreadable],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of `decoded`, and their indices. Pixels that an earlier run has written into the folder are used instead."""
    key = hashlib.sha256(repr((size, names, version)).encode()).hexdigest()[:12]
    path = folder / f"photographs-{size[0]}x{size[1]}-{key}.bin"
    report = path.with_suffix(".json")
    if not _is_whole(path, len(names), size):
        with disk.locked(folder):
            disk.write_json(report, {"skipped": _write(path, names, decoded)})
    skipped = disk.read_json(report)["skipped"]
    if skipped:
        print(f"skipped {len(skipped):,} of {len(names):,} photographs, listed in {report}", flush=True)
    if len(skipped) == len(names):
        raise InputError(f"none of {len(names):,} photographs can be read; see {report} for why")
    pixels = np.memmap(path, np.uint8, "r").reshape(-1, *size, 3)
    return pixels, np.flatnonzero([name not in skipped for name in names])


def _is_whole(path: Path, count: int, size: tuple[int, int]) -> bool:
    """Tell whether an earlier run has written the pixels of all `count` photographs, except those that its report lists as skipped."""
    try:
        skipped = disk.read_json(path.with_suffix(".json"))["skipped"]
        return path.stat().st_size == (count - len(skipped)) * math.prod(size) * 3
    except (InputError, OSError, TypeError, KeyError):
        return False


def _write(path: Path, names: Sequence[str], decoded: Iterator[np.ndarray | Unreadable]) -> dict[str, str]:
    """Write the photographs one after the other, and return why some are missing."""
    skipped = {}
    with disk.replacing(path) as temporary, temporary.open("wb") as file:
        for name, result in zip(names, bar(decoded, "decoding", len(names), unit=" photographs"), strict=True):
            if isinstance(result, Unreadable):
                skipped[name] = str(result)
            else:
                file.write(result)
    return skipped


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))
