"""Step 1: the features of a folder's photographs. Threads decode them beside the encoder, and a killed extraction goes on."""

import functools
import hashlib
import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeVar

import keras
import numpy as np
import tensorflow as tf

from core import devices, disk, machine
from core.errors import InputError
from core.progress import bar
from encoders import encoder_file, features_file, photographs
from encoders.encoder_file import Encoder
from encoders.fast import folded, leaves
from encoders.onnx_file import OnnxEncoder
from encoders.photographs import Unreadable

Precision = Literal["float32", "bfloat16"]
Item, Result = TypeVar("Item"), TypeVar("Result")


class Extraction(NamedTuple):
    """Features by image id, float32 (1, D) each, and why a file has none, by its name."""

    features: dict[str, np.ndarray]
    skipped: dict[str, str]


class Batch(NamedTuple):
    """The result of one batch of files."""

    reasons: np.ndarray  # (B,) text: why a file could not be read, empty where it could
    features: np.ndarray  # float32 (R, D) of the R files that could
    grid: np.ndarray | None = None  # float16 (R, h, w, C)


class Network:
    """An encoder as a graph for batches of one size, if it is of Keras with its convolutions arranged for processors.

    It takes uint8 (N, H, W, 3), N >= 1, and returns float32 (N, D). "bfloat16" lets processors that have instructions for it
    compute in it from the second quarter of the convolutions on. What is rounded earlier would go through them all, and
    put features off by 0.02 of the largest in place of 0.01. If `grid`, its `outputs` are the features and the grids.

    :raises InputError: the encoder's weights are not finite, or it has no grid.
    """

    def __init__(self, encoder: Encoder, precision: Precision = "float32", batch_size: int = 32, *, grid: bool = False):
        (_, self.height, self.width, _), (_, self.dimension) = encoder.input_shape, encoder.output_shape
        self.precision, self.batch_size = precision, batch_size
        self.at_once = 1 if devices.has_gpu() else 2  # one batch uses the core that the other leaves idle
        (self._of_onnx if isinstance(encoder, OnnxEncoder) else self._of_keras)(encoder, grid)

    def _of_onnx(self, encoder: OnnxEncoder, grid: bool) -> None:
        if grid and not encoder.grid:
            raise InputError(
                "expected an encoder with a grid, found an ONNX file that gives features; leave out --grid, or give --output of "
                "encoders.convert the tensor of its last grid"
            )
        self.precision, self.batch_size = "float32", encoder.batch_size or self.batch_size
        self.grid = encoder.grid if grid else None
        self.compute = lambda pixels: encoder.outputs(pixels)[: 1 + grid]

    def _of_keras(self, encoder: keras.Model, grid: bool) -> None:
        if self.precision == "bfloat16":
            fast = folded(encoder, winograd=False, narrow=_narrow(encoder))
        elif _is_folded(encoder):
            fast = folded(encoder, winograd=not devices.has_gpu())
        else:
            fast = encoder
        if grid:
            fast = encoder_file.with_grid(fast)
        if not all(np.isfinite(weight).all() for weight in fast.weights):  # fused ReLUs make them 0
            raise InputError("the encoder's weights are not finite: check its file, and the training that made it")
        model = _of_constants(fast) if _is_folded(encoder) else functools.partial(fast, training=False)
        signature = [tf.TensorSpec((self.batch_size, *encoder.input_shape[1:]), tf.uint8)]
        self.graph = tf.compat.v1.wrap_function(lambda pixels: tf.nest.flatten(model(pixels)), signature)
        self.grid = tuple(self.graph.outputs[1].shape[1:]) if grid else None  # (h, w, C)
        self.compute = lambda pixels: [output.numpy() for output in self.graph(tf.constant(pixels))]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a photograph's feature (D,), or of its grid (cells, C)."""
        return (self.dimension,) if self.grid is None else (math.prod(self.grid[:2]), self.grid[2])

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self.outputs(pixels)[0]

    def outputs(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Return the features of photographs, float32 (N, D), and if wanted their grids, float16 (N, h, w, C), from one pass."""
        batches = np.split(pixels, range(self.batch_size, len(pixels), self.batch_size))
        found = _in_order(self._batch, batches, self.at_once, self.at_once - 1)
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    def _batch(self, pixels: np.ndarray) -> list[np.ndarray]:
        whole = np.resize(pixels, (self.batch_size, *pixels.shape[1:]))  # photographs again where there are fewer
        features, *grid = (output[: len(pixels)] for output in self.compute(whole))
        with np.errstate(over="ignore"):  # `batches` refuses what is not finite
            return [features.astype("float32", copy=False), *(cells.astype("float16") for cells in grid)]


def _is_folded(encoder: keras.Model) -> bool:
    """Tell whether it gains by folded convolutions and constants, which are copies. Without batch normalisations it does not."""
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in leaves(encoder))


def _of_constants(model: keras.Model) -> Callable[[tf.Tensor], Any]:
    """Return the model as a function whose weights are constants."""
    weights = [
        [np.array(weight) for weight in group] for group in (model.trainable_variables, model.non_trainable_variables)
    ]

    def call(pixels: tf.Tensor) -> Any:
        constants = ([tf.constant(weight) for weight in group] for group in weights)
        return model.stateless_call(*constants, pixels, training=False)[0]

    return call


def _narrow(encoder: keras.Model) -> set[str]:
    """Return the names of the layers to compute in bfloat16: all after the first quarter of the convolutions, except the last, which averages.

    They begin where a residual block ends: after the last layer of that quarter whose output alone feeds the rest.
    """
    line = list(leaves(encoder))  # each after those that it takes from
    taken = {giver: number for number, layer in enumerate(line) for giver in _givers(layer)}  # the last time
    left = sum(isinstance(layer, keras.layers.Conv2D) for layer in line) // 4
    first = reach = 0
    for number, layer in enumerate(line):
        left -= isinstance(layer, keras.layers.Conv2D)
        if left < 0:
            break
        if reach <= number:
            first = number + 1
        reach = max(reach, taken.get(layer, 0))
    return {layer.name for layer in line[first:-1]}


def _givers(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    return (tensor._keras_history.operation for node in layer._inbound_nodes for tensor in node.input_tensors)


def possible(precision: Precision, encoder: Encoder | None = None) -> Precision:
    """Return the precision to compute in: bfloat16 only where it is faster, and not of ONNX files; a line says so where it is not."""
    if precision == "bfloat16" and isinstance(encoder, OnnxEncoder):
        print("ONNX files compute as they were exported: bfloat16 is not used")
        return "float32"
    if precision == "bfloat16" and not devices.faster_in_bfloat16():
        print("bfloat16 is not known to be faster than float32 here: features are computed in float32")
        return "float32"
    return precision


def needs(encoder: Encoder, count: int, batch_size: int, grid: Sequence[int] | None = None) -> tuple[float, float]:
    """Estimate the bytes of disk and of memory that `extract_resumably` takes for `count` photographs, with grids of that shape.

    For a moment the features are on disk twice, as features.partial and features.pkl. The memory is scaled, by pixels in a batch, from
    the 3.7 GB measured with ResNet-50 at 224 pixels and 32 photographs; TensorFlow alone takes 1 GB.
    """
    _, height, width, _ = encoder.input_shape
    pixels = batch_size * height * width / (32 * 224 * 224)
    cells = math.prod(grid) if grid else 0
    return count * (2 * 4 * encoder.output_shape[-1] + 2 * cells), max(1e9, 3.7e9 * pixels)


def extract(encoder: Encoder, paths: Sequence[Path], batch_size: int = 32, *, grid: bool = False) -> Extraction:
    """Return the features of a folder's photographs, by their files' names in place of image ids.

    :param grid: return the grids, float16 (1, cells, C), in their place.
    :raises InputError: no file can be decoded, a feature is not finite, or the encoder has no grid.
    """
    names = {path.name: path for path in paths}
    found = batches(Network(encoder, batch_size=min(batch_size, len(paths)), grid=grid), paths)
    if grid:
        found = (batch if batch.grid is None else batch._replace(features=cells_of(batch.grid)) for batch in found)
    return _join(names, found)


def cells_of(grids: np.ndarray) -> np.ndarray:
    """Return grids (N, h, w, C) as cells (N, h * w, C), row by row."""
    return grids.reshape(len(grids), -1, grids.shape[-1])


def extract_resumably(
    network: Network, ids: Mapping[str, Path], partial: Path, grid: Path, origin: Mapping[str, Any]
) -> Extraction:
    """Do as `extract` for photographs by image id, but save each whole batch in the file `partial`, and skip the batches that an earlier run has saved there.

    Only the same encoder and precision (its `origin`), files (by name, size and time) and batch size go on from it, so that the
    features have the same bits as without an interruption. If the network gives grids, the file `grid` takes those of each
    batch before `partial` takes its features. The caller deletes the one, and gives the other its name.
    """
    paths = list(ids.values())
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    identity = hashlib.sha256(json.dumps([origin, stats, network.batch_size, network.grid]).encode()).digest()
    disk.make_folder(partial.parent)
    if network.grid and not grid.exists():
        partial.unlink(missing_ok=True)
    with partial.open("r+b" if partial.exists() else "w+b") as file:
        done = _whole_batches(file, identity)
        if not done:
            grid.unlink(missing_ok=True)
            if network.grid:
                features_file.create_grid(grid, [*ids], network.grid, origin)
        for batch in batches(network, paths, start=len(done) * network.batch_size):
            if batch.grid is not None:
                features_file.fill_grid(grid, sum(len(earlier.features) for earlier in done), batch.grid)
            _append(file, batch.reasons, batch.features)
            done.append(batch._replace(grid=None))
    return _join(ids, done)


def batches(network: Network, paths: Sequence[Path], start: int = 0) -> Iterator[Batch]:
    """Yield the batches of files from number `start` on, with a progress bar, while threads decode the next ones.

    :raises InputError: a feature or a grid is not finite.
    """
    pixels = _decode(paths[start:], network.height, network.width, ahead=2 * network.batch_size)
    groups = _groups(pixels, network.batch_size)
    with bar(total=len(paths), initial=start, unit=" photographs") as progress:
        for batch in _in_order(lambda group: _encode(network, group), groups, network.at_once, network.at_once - 1):
            for name, numbers in ("features", batch.features), ("grids in float16", batch.grid):
                if numbers is not None and not np.isfinite(numbers).all():
                    raise InputError(
                        f"the encoder's {name} are not finite in the batch of {paths[progress.n]}; check its file"
                    )
            yield batch
            progress.update(len(batch.reasons))


def _groups(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of `size`, the last perhaps shorter."""
    while group := list(islice(items, size)):
        yield group


def _encode(network: Network, decoded: list[np.ndarray | Unreadable]) -> Batch:
    reasons = np.array([str(item) if isinstance(item, Unreadable) else "" for item in decoded])
    readable = [item for item in decoded if not isinstance(item, Unreadable)]
    if not readable:
        return Batch(reasons, np.empty((0, network.dimension), "float32"))
    return Batch(reasons, *network.outputs(np.stack(readable)))


def _decode(paths: Iterable[Path], height: int, width: int, ahead: int) -> Iterator[np.ndarray | Unreadable]:
    """Yield the pixels (height, width, 3) of each file, or why it has none, in order. Threads decode at most `ahead` files ahead."""

    def attempt(path: Path) -> np.ndarray | Unreadable:
        try:
            return photographs.read(path, height, width)
        except Unreadable as reason:
            return reason

    return _in_order(attempt, paths, os.cpu_count(), ahead)


def _in_order(work: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int) -> Iterator[Result]:
    """Yield the result of `work` for each item, in order. Threads work at most `ahead` items ahead."""
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _join(ids: Mapping[str, Path], batches: Iterable[Batch]) -> Extraction:
    reasons, features = (np.concatenate(parts) for parts in zip(*(batch[:2] for batch in batches), strict=True))
    skipped = {path.name: str(reason) for path, reason in zip(ids.values(), reasons, strict=True) if reason}
    if not len(features):
        name, reason = next(iter(skipped.items()))
        raise InputError(f"none of the {len(ids)} photographs can be decoded; {name}: {reason}; check the files")
    readable = [image for image, reason in zip(ids, reasons, strict=True) if not reason]
    return Extraction(dict(zip(readable, features[:, None], strict=True)), skipped)


def write(
    path: Path,
    encoder: Encoder,
    ids: Mapping[str, Path],
    cleaning: str,
    batch_size: int = 32,
    precision: Precision = "float32",
    *,
    grid: bool = False,
) -> None:
    """Write the features of photographs by image id, with their origin beside them, and skipped.txt, going on where an earlier call was killed.

    :param grid: write their grids too, into the file that `features_file.grid_path` names.
    :raises InputError: as `extract`, or the encoder has no grid.
    """
    network = Network(encoder, possible(precision, encoder), batch_size, grid=grid)
    machine.warn(path.parent, *needs(encoder, len(ids), batch_size, network.grid))
    origin = {
        "encoder": encoder_file.fingerprint(encoder),
        "height": network.height,
        "width": network.width,
        "dimension": network.dimension,
        "precision": network.precision,
    }
    grids = features_file.grid_path(path)
    partial, partial_grids = path.with_suffix(".partial"), grids.with_suffix(".partial")
    extracted, skipped = extract_resumably(network, ids, partial, partial_grids, origin)
    features_file.write(path, extracted)
    features_file.write_origin(path, {**origin, "cleaning": cleaning})
    list_skipped(path.with_name(f"{path.stem.replace('features', 'skipped')}.txt"), skipped)
    if network.grid:
        features_file.finish_grid(partial_grids, grids, [*extracted])
    partial.unlink()
    print(f"wrote {path}: {len(extracted):,} photographs x {network.dimension}")


def list_skipped(path: Path, skipped: Mapping[str, str]) -> None:
    """Write the names of undecodable files with the reasons, or remove an earlier list where there are none."""
    if not skipped:
        path.unlink(missing_ok=True)
        return
    disk.write_text(path, "".join(f"{name}\t{reason}\n" for name, reason in skipped.items()))
    print(f"skipped {len(skipped):,} files that cannot be decoded: {path} says why")


# The file of whole batches: consecutive arrays in NumPy's own format, first the identity, then each batch's fields ---------


def _append(file: BinaryIO, *arrays: np.ndarray) -> None:
    for array in arrays:
        np.lib.format.write_array(file, array, allow_pickle=False)
    file.flush()
    os.fsync(file.fileno())


def _whole_batches(file: BinaryIO, identity: bytes) -> list[Batch]:
    """Return the whole batches of an earlier run with this identity, and set the file to where the next batch goes."""
    done, end = [], 0
    with suppress(ValueError):  # the file's end, perhaps within a batch
        if _read(file).tobytes() == identity:
            end = file.tell()
            while True:
                done.append(Batch(_read(file), _read(file)))
                end = file.tell()
        print(f"{file.name} belongs to another encoder, other photographs or settings: starting anew")
    file.seek(end)
    file.truncate()
    if not end:
        _append(file, np.frombuffer(identity, "uint8"))
    if done:
        print(f"resuming after {sum(len(batch.reasons) for batch in done):,} photographs ({file.name})")
    return done


def _read(file: BinaryIO) -> np.ndarray:
    return np.lib.format.read_array(file, allow_pickle=False)
