"""What a network's batch normalisations say about the photographs that it was trained on.

A batch normalisation stores the mean and the variance of what it saw in training. Where it sees other photographs prepared in
the same way, it sees nearly the same; where they are prepared in another way, it does not. Measured on 50 photographs: the
right preparation is at a distance of .002 to .02, a wrong scale at .9 or more. Channel order and padding do not show.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from encoders.normalisations import Normalisation

FACTOR = 5  # times nearer than every other: settled
FITS = 0.3  # the largest distance of a first layer that still speaks for a preparation
BATCH = 2  # photographs a forward pass
LEAST_VARIANCE = 1e-3  # of the median of a layer: channels below it are dead

Candidate = TypeVar("Candidate")


def distances(
    network: keras.Model, photographs: np.ndarray, normalisations: Sequence[Normalisation], most: int | None = None
) -> list[list[float]]:
    """Return how far what each batch normalisation sees is from what it stores, 0 for equal: a list for each way to normalise.

    The distance is the median over channels of the symmetric Kullback-Leibler divergence of two normal distributions.

    :param network: float (N, H, W, 3) -> features.
    :param photographs: uint8 (N, H, W, 3).
    :param most: how many batch normalisations, from the first on; by default all.
    """
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)][:most]
    model = keras.Model(network.inputs, [_moments(layer.input) for layer in layers])
    signature = [tf.TensorSpec((None, *photographs.shape[1:]))]
    moments = tf.function(
        lambda pixels: model([pixels]), signature, autograph=False
    )  # drops what no layer takes any more
    found = []
    for normalisation in normalisations:
        totals = [0.0] * len(layers)
        for start in range(0, len(photographs), BATCH):
            batch = photographs[start : start + BATCH]
            pixels = (batch / 255 - normalisation.mean) / normalisation.deviation
            seen = keras.tree.flatten(moments(pixels.astype("float32")))
            totals = [total + len(batch) * np.float64(values) for total, values in zip(totals, seen, strict=True)]
        pairs = zip(layers, totals, strict=True)
        found.append([_distance(layer, *total / len(photographs)) for layer, total in pairs])
    return found


def _moments(tensor):
    """Return the means of a tensor (..., C) and of its squares: (2, C)."""
    axes = tuple(range(len(tensor.shape) - 1))
    return ops.stack([ops.mean(tensor, axes), ops.mean(ops.square(tensor), axes)])


def _distance(layer: keras.layers.BatchNormalization, mean: np.ndarray, square: np.ndarray) -> float:
    """Return the distance of what a layer sees, its mean and mean square (C,), from the mean and variance that it stores."""
    stored = np.float64(layer.moving_variance)
    shift = (mean - np.float64(layer.moving_mean)) ** 2
    variance = np.maximum(square - mean**2, 1e-12)
    alive = stored > LEAST_VARIANCE * np.median(stored)
    divergence = ((variance + shift) / np.maximum(stored, 1e-12) + (stored + shift) / variance - 2) / 2
    return float(np.median(divergence[alive])) if alive.any() else float("inf")


def settled(found: Mapping[Candidate, float]) -> Candidate | None:
    """Return the candidate whose distance is at least `FACTOR` times smaller than every other's; None if there is none or it does not fit."""
    best, *others = sorted(found, key=found.get)
    nearer = all(found[other] >= FACTOR * found[best] for other in others)
    return best if nearer and found[best] <= FITS else None


def contradict(found: Mapping[Candidate, float], candidate: Candidate) -> bool:
    """Tell whether another candidate fits, and is at least `FACTOR` times nearer than this one."""
    nearest = min(found.values(), default=float("inf"))
    return nearest <= FITS and found[candidate] >= FACTOR * nearest
