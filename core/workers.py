"""Several machines that train one model together: the same command on each, and the variable TF_CONFIG, which numbers them.

    TF_CONFIG='{"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 0}}'

Worker 0 is the main worker: it writes into the run's folder, and all begin with its weights and its checkpoint. Each of the others
writes into a sub-folder of its own. So only the photographs must be reachable from all machines.
"""

import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import keras
import numpy as np
import tensorflow as tf

from core import disk
from core.errors import InputError

FORM = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
Batch = TypeVar("Batch")


class Worker(NamedTuple):
    """Worker `number`, counted from 0, of `count` processes that train together."""

    number: int = 0
    count: int = 1

    def part(self, batch: Batch) -> Batch:
        """Return this worker's part of a batch: every `count`-th element."""
        return batch[self.number :: self.count]

    def folder(self, out: Path) -> Path:
        """Return where this worker writes: the main worker into `out`, each of the others into a sub-folder."""
        return out / f"worker-{self.number}" if self.number else out


ALONE = Worker()


def worker() -> Worker:
    """Return this process's number and the count of workers, from the variable TF_CONFIG; without it, the only worker.

    :raises InputError: TF_CONFIG has another form.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return ALONE
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        hosts, index = cluster["worker"], task["index"]
        ports = [re.fullmatch(r".+:(\d{1,5})", host) for host in hosts]
        fits = isinstance(hosts, list) and type(index) is int and len({*hosts}) == len(hosts)
        fits = fits and all(port and int(port[1]) < 1 << 16 for port in ports)
        if not fits or [*cluster] != ["worker"] or task["type"] != "worker" or index not in range(len(hosts)):
            raise ValueError("other kinds, no such worker, or a host twice or without its port")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"expected TF_CONFIG of the form {FORM}, with an index for each host and ports up to 65535, "
            f"found {text[:300]} ({error}); see the README"
        ) from error
    return Worker(index, len(hosts))


def worker_of(strategy: tf.distribute.Strategy) -> Worker:
    """Return this process's worker under a strategy. TF_CONFIG counts only for a strategy of several workers."""
    return worker() if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) else ALONE


@contextmanager
def short_errors() -> Iterator[None]:
    """Replace TensorFlow's long errors by one line when another worker has stopped.

    :raises InputError: one has.
    """
    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
    ) as error:
        if worker().count == 1:
            raise
        raise InputError(
            "another worker has stopped, was given another command, or cannot be reached: see what it says, then run all "
            "workers again with the same command; they go on from the main worker's last checkpoint"
        ) from error


def from_main_worker(data: bytes, strategy: tf.distribute.Strategy) -> bytes:
    """Return the main worker's bytes on every worker. A variable begins on all of them with its value."""
    with strategy.scope():
        length = int(tf.Variable(len(data)).numpy())
        words = np.zeros(-(-length // 4), "int32")  # of the types that can be sent the nearest
        if worker().number == 0:
            words = np.frombuffer(data.ljust(4 * len(words), b"\0"), "int32")
        return tf.Variable(words).numpy().tobytes()[:length] if length else b""


def agree(identity: dict[str, Any], checkpoint: Path, strategy: tf.distribute.Strategy) -> None:
    """Give every worker the main worker's checkpoint, or none where that has none.

    :param identity: plain values that must be the same for all.
    :raises InputError: the main worker has other values.
    """
    expected = json.loads(from_main_worker(json.dumps(identity).encode(), strategy))
    other = [name for name, value in expected.items() if identity.get(name) != value]
    if other:
        found = ", ".join(f"{name} {identity.get(name)}, not {expected[name]}" for name in other)
        raise InputError(
            f"worker {worker().number} has other settings than the main worker: {found}; give all the same"
        )
    content = from_main_worker(checkpoint.read_bytes() if checkpoint.exists() else b"", strategy)
    if worker().number and content:
        disk.write_bytes(checkpoint, content)
    elif worker().number:
        checkpoint.unlink(missing_ok=True)


def fit(
    model: keras.Model,
    batches: tf.data.Dataset,
    *,
    steps_per_epoch: int,
    initial_epoch: int,
    epochs: int,
    validation_data: tf.data.Dataset | None,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: int,
    in_parts: bool,
) -> None:
    """Do what `model.fit` does, with the same steps of the same model. Keras 3.15's own `fit` fails with several workers
    ("PerReplica cannot become a tensor"), and with parts of different lengths; delete this function once it works.

    :param batches: this worker's part of each batch; so is `validation_data`.
    :param in_parts: a batch comes as one element for each of this worker's devices.
    """
    strategy = model.distribute_strategy
    train, test = (_everywhere(step, strategy) for step in (model.train_step, model.test_step))
    callback_list = keras.callbacks.CallbackList(
        callbacks, model=model, add_progbar=False, verbose=verbose, epochs=epochs, steps=steps_per_epoch
    )
    model.stop_training = False
    callback_list.on_train_begin()
    count = 1 if in_parts else strategy.num_replicas_in_sync // worker_of(strategy).count
    parts = iter(_on_devices(batches, strategy, count))
    validation = _on_devices(validation_data, strategy, count) if validation_data else None
    for epoch in range(initial_epoch, epochs):
        callback_list.on_epoch_begin(epoch)
        logs = _run(model, train, itertools.islice(parts, steps_per_epoch), callback_list.on_train_batch_end)
        if validation:
            callback_list.on_test_begin()
            found = _run(model, test, validation)
            callback_list.on_test_end(found)
            logs |= {f"val_{name}": value for name, value in found.items()}
        callback_list.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    callback_list.on_train_end(logs)


def _everywhere(step: Callable[[Any], dict], strategy: tf.distribute.Strategy) -> Callable[[Any], dict[str, tf.Tensor]]:
    """Return the function that takes a model's step on every device, and returns the means of what the devices report."""

    @tf.function(autograph=False, reduce_retracing=True)
    def on_batch(batch: Any) -> dict[str, tf.Tensor]:
        logs = strategy.run(step, args=(batch,))
        return {name: strategy.reduce("mean", value, axis=None) for name, value in logs.items()}

    return on_batch


def _on_devices(batches: tf.data.Dataset, strategy: tf.distribute.Strategy, count: int) -> Iterable[Any]:
    """Return a worker's batches, each split in so many parts, a part for each device."""
    return strategy.distribute_datasets_from_function(lambda _: split(batches, count))


def split(batches: tf.data.Dataset, devices: int) -> tf.data.Dataset:
    """Return the parts of each batch for some devices, one after the other."""

    @tf.autograph.experimental.do_not_convert
    def parts(*batch: Any) -> tf.data.Dataset:
        of_device = tf.data.Dataset.range(devices)
        return of_device.map(
            tf.autograph.experimental.do_not_convert(
                lambda first: tf.nest.map_structure(lambda tensor: tensor[first::devices], batch)
            )
        )

    return batches.flat_map(parts) if devices > 1 else batches


def _run(
    model: keras.Model,
    step: Callable[[Any], dict[str, tf.Tensor]],
    batches: Iterable[Any],
    after_batch: Callable[[int, dict], None] = lambda number, logs: None,
) -> dict[str, float]:
    """Take a step for each batch, and return the metrics over them all, on all workers."""
    model.reset_metrics()
    for number, batch in enumerate(batches):
        after_batch(number, step(batch))
    return {name: float(value) for name, value in model.get_metrics_result().items()}
