"""Step 1: the features of a folder's photographs. Threads decode them beside the encoder, and a killed extraction goes on."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, TypeVar

import keras
import numpy as np
import tensorflow as tf

from core import devices, disk, keras_files, machine
from core.errors import InputError
from core.progress import bar
from encoders import features_file, photographs
from encoders.fast import folded, leaves
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


class Network:
    """An encoder as a graph for batches of one size, with its convolutions arranged for processors.

    It takes uint8 (N, H, W, 3), N >= 1, and returns float32 (N, D). "bfloat16" lets processors that have instructions for it
    compute in it from the second quarter of the convolutions on. What is rounded earlier would go through them all, and
    put features off by 0.02 of the largest in place of 0.01.

    :raises InputError: the encoder's weights are not finite.
    """

    def __init__(self, encoder: keras.Model, precision: Precision = "float32", batch_size: int = 32):
        (_, self.height, self.width, _), (_, self.dimension) = encoder.input_shape, encoder.output_shape
        self.batch_size = batch_size
        self.at_once = 1 if devices.has_gpu() else 2  # one batch uses the core that the other leaves idle
        if precision == "bfloat16":
            fast = folded(encoder, winograd=False, narrow=_narrow(encoder))
        elif _is_folded(encoder):
            fast = folded(encoder, winograd=not devices.has_gpu())
        else:
            fast = encoder
        if not all(np.isfinite(weight).all() for weight in fast.weights):  # fused ReLUs make them 0
            raise InputError("the encoder's weights are not finite: check its file, and the training that made it")
        call = _of_constants(fast) if _is_folded(encoder) else partial(fast, training=False)
        self.graph = tf.compat.v1.wrap_function(call, [tf.TensorSpec((batch_size, *encoder.input_shape[1:]), tf.uint8)])

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        batches = np.split(pixels, range(self.batch_size, len(pixels), self.batch_size))
        return np.concatenate(list(_in_order(self._batch, batches, self.at_once, self.at_once - 1)))

    def _batch(self, pixels: np.ndarray) -> np.ndarray:
        whole = np.resize(pixels, (self.batch_size, *pixels.shape[1:]))  # photographs again where there are fewer
        return self.graph(tf.constant(whole)).numpy()[: len(pixels)].astype("float32", copy=False)


def _is_folded(encoder: keras.Model) -> bool:
    """Tell whether it gains by folded convolutions and constants, which are copies. Without batch normalisations it does not."""
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in leaves(encoder))


def _of_constants(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the model as a function whose weights are constants."""
    weights = [
        [np.array(weight) for weight in group] for group in (model.trainable_variables, model.non_trainable_variables)
    ]

    def call(pixels: tf.Tensor) -> tf.Tensor:
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


def possible(precision: Precision) -> Precision:
    """Return the precision to compute in: bfloat16 only where it is faster, and a line says so where it is not."""
    if precision == "bfloat16" and not devices.faster_in_bfloat16():
        print("bfloat16 is not known to be faster than float32 here: features are computed in float32")
        return "float32"
    return precision


def needs(encoder: keras.Model, count: int, batch_size: int) -> tuple[float, float]:
    """Estimate the bytes of disk and of memory that `extract_resumably` takes for `count` photographs.

    For a moment the features are on disk twice, as features.partial and features.pkl. The memory is scaled, by pixels in a batch, from
    the 3.7 GB measured with ResNet-50 at 224 pixels and 32 photographs; TensorFlow alone takes 1 GB.
    """
    _, height, width, _ = encoder.input_shape
    pixels = batch_size * height * width / (32 * 224 * 224)
    return 2 * 4 * count * encoder.output_shape[-1], max(1e9, 3.7e9 * pixels)


def extract(encoder: keras.Model, paths: Sequence[Path], batch_size: int = 32) -> Extraction:
    """Return the features of a folder's photographs, by their files' names in place of image ids.

    :raises InputError: no file can be decoded, or a feature is not finite.
    """
    names = {path.name: path for path in paths}
    return _join(names, batches(Network(encoder, batch_size=min(batch_size, len(paths))), paths))


def extract_resumably(
    encoder: keras.Model,
    ids: Mapping[str, Path],
    partial: Path,
    fingerprint: str,
    batch_size: int,
    precision: Precision,
) -> Extraction:
    """Do as `extract` for photographs by image id, but save each whole batch in the file `partial`, and skip the batches that an earlier run has saved there.

    Only the same encoder (by its fingerprint), files (by name, size and time), batch size and precision go on from it, so that
    the features have the same bits as without an interruption. The caller deletes the file.
    """
    paths = list(ids.values())
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    identity = hashlib.sha256(json.dumps([fingerprint, stats, batch_size, precision]).encode()).digest()
    network = Network(encoder, precision, batch_size)
    disk.make_folder(partial.parent)
    with partial.open("r+b" if partial.exists() else "w+b") as file:
        done = _whole_batches(file, identity)
        for batch in batches(network, paths, start=len(done) * batch_size):
            _append(file, *batch)
            done.append(batch)
    return _join(ids, done)


def batches(network: Network, paths: Sequence[Path], start: int = 0) -> Iterator[Batch]:
    """Yield the batches of files from number `start` on, with a progress bar, while threads decode the next ones.

    :raises InputError: a feature is not finite.
    """
    pixels = _decode(paths[start:], network.height, network.width, ahead=2 * network.batch_size)
    groups = _groups(pixels, network.batch_size)
    with bar(total=len(paths), initial=start, unit=" photographs") as progress:
        for batch in _in_order(lambda group: _encode(network, group), groups, network.at_once, network.at_once - 1):
            if not np.isfinite(batch.features).all():
                raise InputError(
                    f"the encoder's features are not finite in the batch of {paths[progress.n]}; check its file"
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
    features = network(np.stack(readable)) if readable else np.empty((0, network.dimension), "float32")
    return Batch(reasons, features)


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
    reasons, features = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    skipped = {path.name: str(reason) for path, reason in zip(ids.values(), reasons, strict=True) if reason}
    if not len(features):
        name, reason = next(iter(skipped.items()))
        raise InputError(f"none of the {len(ids)} photographs can be decoded; {name}: {reason}; check the files")
    readable = [image for image, reason in zip(ids, reasons, strict=True) if not reason]
    return Extraction(dict(zip(readable, features[:, None], strict=True)), skipped)


def write(
    path: Path,
    encoder: keras.Model,
    ids: Mapping[str, Path],
    cleaning: str,
    batch_size: int = 32,
    precision: Precision = "float32",
) -> None:
    """Write the features of photographs by image id, with their origin beside them, and skipped.txt, going on where an earlier call was killed.

    :raises InputError: as `extract`.
    """
    precision = possible(precision)
    machine.warn(path.parent, *needs(encoder, len(ids), batch_size))
    partial, fingerprint = path.with_suffix(".partial"), keras_files.fingerprint(encoder)
    extracted, skipped = extract_resumably(encoder, ids, partial, fingerprint, batch_size, precision)
    (_, height, width, _), (_, dimension) = encoder.input_shape, encoder.output_shape
    shape = {"height": height, "width": width, "dimension": dimension}
    features_file.write(path, extracted)
    features_file.write_origin(path, {"encoder": fingerprint, **shape, "precision": precision, "cleaning": cleaning})
    list_skipped(path.with_name(f"{path.stem.replace('features', 'skipped')}.txt"), skipped)
    partial.unlink()
    print(f"wrote {path}: {len(extracted):,} photographs x {dimension}")


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
