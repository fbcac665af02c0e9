"""Distil a large encoder into a small one, without labels: SEED (Fang et al. 2021, arXiv 2101.04731).

    python -m pretext.distil --photographs DIR --teacher teacher.keras --out distil_run

Reads photographs and the large encoder, the teacher: a .keras file, an .onnx file with its .json, or the features.pkl that step 1 has written
with it. The teacher's features of the whole photographs are computed once. The small network, the student, sees crops of each photograph,
mirrored or not, in other light, and learns these features. Writes, into --out:
    teacher/features.pkl                  the teacher's features, if it is an encoder
    encoder.keras                         the student, for step 1
    checkpoint.weights.h5                 the state after the last epoch; the same command goes on from it
    history.csv, curves.png, tensorboard  loss, cosine to the teacher, kNN, linear probe and effective rank by epoch
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from core import settings
from core.errors import InputError
from core.workers import ALONE, Worker
from encoders import decoded, encoder_file, extract, features_file
from encoders.encoder_file import normalisation
from pretext import run, views
from pretext.optimizers import Optimizer
from pretext.run import ResNetSettings
from pretext.watch import compute, draw_curves

FARTHEST = 6  # standard deviations; a teacher's number farther from the mean is clipped


@dataclass(frozen=True)
class Settings(ResNetSettings):
    """Edit these here, or override them on the command line."""

    # Data
    only: tuple[Path, ...] = ()
    """Files that name the photographs to take. Without one, all are taken."""
    teacher: Path = Path("teacher.keras")
    """The large encoder, a .keras or .onnx file, or its features of the photographs, from step 1."""
    out: Path = Path("distil_run")
    """Folder for everything that is written."""

    # Network
    size: settings.Count = 128
    """Height and width of a crop, in pixels. Time grows with its square."""
    stored: settings.Count = 128
    """Height and width in which photographs are kept; crops are cut from these."""
    encoder_size: settings.Count = 128
    """Height and width that encoder.keras takes."""

    # Targets
    dimension: settings.Count = 512
    """Principal components of the teacher's features that are learnt, at most as many as it has numbers."""

    # Training
    epochs: settings.Count = 60
    """Passes over the photographs."""
    optimizer: Optimizer = "adamw"
    """sgd has momentum .9. lars is for batches of thousands."""
    learning_rate: settings.Positive = 0.001
    """The highest learning rate, for 256 photographs a batch; it is scaled by batch_size / 256."""
    weight_decay: float = 0.05
    """Weight decay per update, times the learning rate. Biases and batch normalisation have none."""

    # Crops
    smallest_crop: views.Smallest = 0.35
    """The smallest share of the area in a crop."""
    strength: settings.Share = 0.4
    """Brightness and contrast change by a factor within 1 +- this."""


def main(arguments: list[str] | None = None) -> None:
    with run.started(settings.from_command_line(Settings, arguments)) as going:
        config = going.config
        pixels, ids = decoded.load_named(config.photographs, (config.stored,) * 2, config.out, config.only)
        paths = dict(decoded.named(config.photographs, config.only))
        features = teacher_features(config.teacher, {image: paths[image] for image in ids}, config.out)
        targets = principal(features, config.dimension)
        network, student = going.build(pixels, lambda updates: build(config, targets.shape[1], updates))
        trained, size = student.get_layer(network.name), config.encoder_size
        history = going.fit(
            student,
            pixels,
            examples(config, targets, going.worker),
            compute(trained, size),
            size=size,
            identity=run.identity(config) | {"targets": hashlib.sha256(targets.tobytes()).hexdigest()[:12]},
        )
        if going.worker.number:  # the main worker writes the results
            return
        going.export(network, trained)
        draw_curves(config.out / "curves.png", history, ("loss",), ("cosine",))


def teacher_features(teacher: Path, photographs: dict[str, Path], folder: Path) -> np.ndarray:
    """Return the teacher's features of photographs, float32 (N, D). Those of an encoder are computed into `folder`, unless they are there.

    :param photographs: by image id.
    :raises InputError: as `encoder_file.read` and `extract.write`, or a file of features lacks a photograph.
    """
    path = written(teacher, photographs, folder) if teacher.suffix in (".keras", ".onnx") else teacher
    features = features_file.read(path)
    if missing := [image for image in photographs if image not in features]:
        raise InputError(
            f"expected the teacher's features of {len(photographs):,} photographs in {path}, found none of {len(missing):,} of them "
            f"({missing[0]} and so on); run step 1 with the teacher on all photographs"
        )
    return np.concatenate([features[image] for image in photographs])


def written(teacher: Path, photographs: dict[str, Path], folder: Path) -> Path:
    """Return the file of an encoder's features of photographs, which an earlier run may have written."""
    encoder, path = encoder_file.read(teacher), folder / "teacher/features.pkl"
    origin = features_file.read_origin(path) if path.exists() else {}
    same = origin.get("encoder") == encoder_file.fingerprint(encoder)
    if not same or not photographs.keys() <= features_file.read(path).keys():
        extract.write(path, encoder, photographs, cleaning="seed")
    return path


def principal(features: np.ndarray, dimension: int) -> np.ndarray:
    """Standardise and clip features (N, D), and return their first principal components (N, `dimension`), with a mean square of 1."""
    rows = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    rows = np.clip(rows, -FARTHEST, FARTHEST)
    variances, vectors = np.linalg.eigh(rows.T @ rows / len(rows))  # (D,) and (D, D), the least first
    variances, vectors = variances[::-1][:dimension], vectors[:, ::-1][:, :dimension]
    whole = np.square(rows).mean(axis=0).sum()
    print(f"{len(variances)} principal components keep {variances.sum() / whole:.3f} of the variance", flush=True)
    return (rows @ vectors / np.sqrt(variances.mean())).astype("float32")


def build(config: Settings, dimension: int, updates: int) -> tuple[keras.Model, keras.Model]:
    """Return the encoder's network, and the student around it or around its fast copy: crops in [0, 1] -> targets (N, `dimension`)."""
    network, fast = run.networks(config)
    crop = keras.Input((config.size, config.size, 3))
    x = layers.Dense(2048, use_bias=False, name="dense1")(fast(normalisation(1)(crop)))
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="bn1")(x))
    student = keras.Model(crop, layers.Dense(dimension, dtype="float32", name="dense2")(x))
    peak = config.learning_rate * config.batch_size / 256
    run.compile_model(student, config, updates, peak, loss=distance, metrics=[cosine])
    return network, student


def cosine(targets, predictions):
    """Return the cosine of each row: (N, D) and (N, D) -> (N,)."""
    lengths = ops.sum(targets**2, axis=-1) * ops.sum(predictions**2, axis=-1)
    return ops.sum(targets * predictions, axis=-1) / ops.sqrt(lengths + 1e-12)


def distance(targets, predictions):
    """Return the loss of each row: 1 - cosine + .1 x the mean squared error."""
    return 1 - cosine(targets, predictions) + 0.1 * ops.mean((targets - predictions) ** 2, axis=-1)


def examples(config: Settings, targets: np.ndarray, worker: Worker = ALONE) -> Callable:
    """Return the function from photographs, uint8 (B, H, W, 3), their indices and a seed to crops (B, size, size, 3) and targets."""

    with tf.device("CPU:0"):
        of_all = tf.constant(targets)

    def example(rows: tf.Tensor, indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        draws = views.uniform(7, tf.shape(rows)[0], seed, worker)
        matrices = views.crop(draws[:5], rows.shape[1], rows.shape[2], config.size, config.smallest_crop)
        planes = views.resample(views.planes_of(rows), *matrices)  # (B, 3, size, size)
        brightness, contrast = tf.unstack((1 + (2 * draws[5:] - 1) * config.strength)[:, :, None, None, None])
        luma = tf.tensordot(tf.reduce_mean(planes, (2, 3)), views.GREY, 1)[:, None, None, None]
        planes = tf.clip_by_value(brightness * (contrast * planes + (1 - contrast) * luma), 0, 1)
        return tf.transpose(planes, (0, 2, 3, 1)), tf.gather(of_all, indices)

    return example


if __name__ == "__main__":
    settings.run(main)
