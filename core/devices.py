"""Devices: what they can do, how a GPU is prepared, and how several share a batch."""

import os
from pathlib import Path
from typing import Literal

import keras
import tensorflow as tf

from core import workers
from core.errors import InputError

Policy = Literal["float32", "mixed_bfloat16", "mixed_float16"]
PROCESSORS = Path("/proc/cpuinfo")


def prepare(policy: Policy = "float32") -> None:
    """Set the precision of layers built from now on. A GPU takes memory as needed, and computes the same each time."""
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    keras.config.set_dtype_policy(policy)
    if tf.config.list_physical_devices("GPU"):  # processors compute the same each time without it
        tf.config.experimental.enable_op_determinism()


def has_gpu() -> bool:
    """Tell whether TensorFlow computes on a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def faster_in_bfloat16() -> bool:
    """Tell whether TensorFlow computes on a processor that multiplies faster in bfloat16 than in float32.

    AMD's do from Zen 4 on, and Intel's with AMX by their maker's word; with AVX512_BF16 alone these take nearly twice as long. Outside Linux
    it is not known.
    """
    known = PROCESSORS.read_text() if PROCESSORS.exists() else ""
    return not has_gpu() and ("amx_bf16" in known or ("AuthenticAMD" in known and "avx512_bf16" in known))


def of_this_machine() -> tf.distribute.Strategy:
    """Return one device, or all GPUs of this machine."""
    several = len(tf.config.list_logical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()


def strategy(batch_size: int) -> tf.distribute.Strategy:
    """Return one device, all GPUs of this machine, or those of all workers: each then takes its part of a batch.

    With several workers, call this before the first tensor is made; it waits for all of them.

    :raises InputError: the devices cannot have equal parts, TF_CONFIG has another form, or an address in it is in use.
    """
    chosen = _of_workers() if workers.worker().count > 1 else of_this_machine()
    if batch_size % chosen.num_replicas_in_sync:
        raise InputError(
            f"{chosen.num_replicas_in_sync} devices cannot have equal parts of --batch-size {batch_size}: "
            "choose a multiple of their number"
        )
    return chosen


def _of_workers() -> tf.distribute.Strategy:
    number, count = workers.worker()
    print(f"worker {number} of {count}: waiting until all have started", flush=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise InputError(
            f"worker {number} cannot join the others ({error.message}): check the addresses in TF_CONFIG, and "
            "whether another program uses them"
        ) from error


def replicas() -> int:
    """Return how many devices share a batch within the scope of the present strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def part_of_mean(mean, count):
    """Return this device's loss, where devices have different numbers of examples.

    Gradients, summed over the devices, are those of the mean over all examples. The value is `mean` divided by the number of devices.
    Keras averages these values with the numbers of examples as weights.

    :param mean: the mean loss of this device's `count` examples.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return mean
    count = tf.cast(count, "float32")
    part = mean * count / context.all_reduce(tf.distribute.ReduceOp.SUM, count)
    return part + tf.stop_gradient(mean / context.num_replicas_in_sync - part)
