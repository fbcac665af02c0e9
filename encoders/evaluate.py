"""Judge encoders: how well do their frozen features predict classes, beside the same networks untrained?

    python -m encoders.evaluate --encoder encoder.keras --train imagenette/train --test imagenette/val

Reads encoder files and two folders of photographs with one sub-folder for each class. Prints a line for each encoder, and one for its
configuration built anew with random weights (the floor): top-1 of the 20 nearest neighbours by cosine, each with the weight
exp(similarity / .07) (Wu et al. 2018, arXiv 1805.01978, section 3.4), and top-1 of multinomial logistic regression.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from core import devices, disk, settings
from core.errors import InputError
from core.progress import bar
from encoders import decoded, encoder_file
from encoders.decoded import Labelled
from encoders.encoder_file import Encoder
from encoders.extract import Network
from encoders.make import set_batch_statistics

NEIGHBOURS, TEMPERATURE = 20, 0.07
DECAYS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the logistic regression, chosen on a tenth of the training features
STEPS = 100  # of the logistic regression


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    # Data
    encoder: tuple[Path, ...] = (Path("encoder.keras"),)
    """Encoder files to judge."""
    train: Path = Path("imagenette/train")
    """Labelled photographs: a sub-folder for each class."""
    test: Path = Path("imagenette/val")
    """Labelled photographs of the same classes."""
    cache: Path = Path("cache")
    """Folder for the decoded photographs."""
    out: Path | None = None
    """JSON file for the scores."""

    # The floor
    untrained: bool = True
    """Also judge each encoder's network with new random weights."""
    seed: int = 0
    """Decides these weights."""


@dataclass(frozen=True)
class Scores:
    """Top-1 of one encoder on the test photographs, in [0, 1]."""

    encoder: str
    fingerprint: str
    neighbours: float
    linear: float


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    scores = []
    for name, encoder in encoders(config.encoder, config.untrained, config.seed):
        scores.append(judge(name, encoder, *load_parts(config.train, config.test, encoder, config.cache)))
        print(f"{scores[-1].neighbours:.3f} kNN, {scores[-1].linear:.3f} linear: {name}", flush=True)
    print(f"\n{table(scores)}")
    if config.out:
        disk.write_json(config.out, [asdict(row) for row in scores])
        print(f"wrote {config.out}: {len(scores)} encoders")


def encoders(paths: tuple[Path, ...], untrained: bool, seed: int) -> Iterator[tuple[str, Encoder]]:
    """Yield each encoder with its name and, if asked for, the same network untrained, which an ONNX file cannot tell."""
    for path in paths:
        encoder = encoder_file.read(path)
        yield str(path), encoder
        if untrained and isinstance(encoder, keras.Model):
            yield f"{path}, untrained", forget(encoder, seed)


def forget(encoder: keras.Model, seed: int) -> keras.Model:
    """Return an encoder with the same layers, new random weights, and the batch statistics of drawn photographs.

    Preprocessing stays, also where it is a layer whose mean and variance count as weights.
    """

    def anew(layer: layers.Layer) -> layers.Layer:
        return layer if isinstance(layer, layers.Normalization) else type(layer).from_config(layer.get_config())

    keras.utils.set_random_seed(seed)
    return set_batch_statistics(keras.models.clone_model(encoder, clone_function=anew, recursive=True))


def load(folder: Path, encoder: Encoder, cache: Path) -> Labelled:
    """Return labelled photographs in the size that the encoder takes."""
    return decoded.load_labelled(folder, encoder.input_shape[1:3], cache)


def load_parts(train: Path, test: Path, encoder: Encoder, cache: Path) -> tuple[Labelled, Labelled]:
    """Return the labelled photographs of train and of test.

    :raises InputError: their classes are not the same.
    """
    parts = load(train, encoder, cache), load(test, encoder, cache)
    if parts[0].classes != parts[1].classes:
        raise InputError(
            f"{train} and {test} have other classes: {parts[0].classes} and {parts[1].classes}; check both"
        )
    return parts


def judge(name: str, encoder: Encoder, train: Labelled, test: Labelled) -> Scores:
    """Return how well frozen features predict the classes of the test photographs."""
    network = Network(encoder)
    known, asked = (features(network, part.pixels, name) for part in (train, test))
    return Scores(
        name,
        encoder_file.fingerprint(encoder),
        neighbours_accuracy(known, train.labels, asked, test.labels),
        linear_accuracy(known, train.labels, asked, test.labels),
    )


def table(scores: list[Scores]) -> str:
    """Return the scores as a Markdown table."""
    rows = [f"| {row.encoder} | {row.neighbours:.3f} | {row.linear:.3f} |" for row in scores]
    return "\n".join(["| encoder | kNN top-1 | linear top-1 |", "|---|---|---|", *rows])


def features(
    compute: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, name: str | None = None, batch_size: int = 64
) -> np.ndarray:
    """Return the features of photographs, uint8 (N, H, W, 3), as float32 (N, D), with a progress bar if it has a name."""
    starts = bar(range(0, len(pixels), batch_size), name, unit=" batches", disable=True if name is None else None)
    return np.concatenate([compute(pixels[start : start + batch_size]) for start in starts])


def nearest(among: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each query's nearest features by cosine, nearest first: indices and similarities, (Q, count) each."""
    among, queries = (
        rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in (among, queries)
    )
    found = tf.math.top_k(queries @ among.T, min(count, len(among)))
    return found.indices.numpy(), found.values.numpy()


def neighbours_accuracy(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> float:
    """Return top-1 of the weighted vote of the nearest neighbours."""
    indices, similarities = nearest(train, test, NEIGHBOURS)
    weights = np.exp((similarities - 1) / TEMPERATURE)[:, :, None]
    votes = (weights * np.eye(train_labels.max() + 1)[train_labels[indices]]).sum(axis=1)  # (N, classes)
    return float((votes.argmax(axis=1) == test_labels).mean())


def linear_accuracy(train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray) -> float:
    """Return top-1 of multinomial logistic regression on standardised features, its decay chosen on every tenth training row."""
    mean, deviation = train.mean(axis=0), train.std(axis=0) + 1e-6
    train, test = (train - mean) / deviation, (test - mean) / deviation
    held = np.arange(len(train)) % 10 == 0

    def accuracy(decay: float) -> float:
        return hits(regression(train[~held], train_labels[~held], decay), train[held], train_labels[held])

    best = max(DECAYS, key=accuracy)
    return hits(regression(train, train_labels, best), test, test_labels)


def hits(weights: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of rows whose most probable class, by the weights of `regression`, is their label."""
    return float(((rows @ weights[:-1] + weights[-1]).argmax(axis=1) == labels).mean())


def regression(rows: np.ndarray, labels: np.ndarray, decay: float) -> np.ndarray:
    """Return weights (D + 1, classes), the last for a constant, with the least cross entropy plus `decay` / 2 times their squares.

    Nesterov's accelerated steps with Boehning's bound of the Hessian, half of rows' rows / N (Ann. Inst. Stat. Math. 44, 1992).

    :param rows: float32 (N, D), standardised.
    """
    rows = np.column_stack([rows, np.ones(len(rows), "float32")])
    wanted = np.eye(labels.max() + 1, dtype="float32")[labels]  # (N, classes)
    penalty = np.array([*[decay] * (rows.shape[1] - 1), 0], "float32")[:, None]
    inverse = np.linalg.inv(rows.T @ rows / (2 * len(rows)) + np.diagflat(penalty))
    weights = ahead = np.zeros((rows.shape[1], wanted.shape[1]), "float32")
    for step in range(STEPS):
        errors = tf.nn.softmax(rows @ ahead).numpy() - wanted
        before, weights = weights, ahead - inverse @ (rows.T @ errors / len(rows) + penalty * ahead)
        ahead = weights + step / (step + 3) * (weights - before)
    return weights


def effective_rank(rows: np.ndarray) -> float:
    """Return exp of the entropy of the singular values of features (N, D), 1 to D: RankMe (Garrido et al. 2023, arXiv 2210.02885, equation 2)."""
    values = np.linalg.svd(rows, compute_uv=False)
    shares = values / values.sum() + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


if __name__ == "__main__":
    settings.run(main)
