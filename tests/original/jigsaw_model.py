"""What the original's jigsaw models compute, and the form in which Keras 2.4 wrote them: the oracle of the tests of jigsaw/."""

import json
from pathlib import Path

import h5py
import keras
import numpy as np


def features(network: keras.Model, head: list[np.ndarray], tiles: np.ndarray) -> np.ndarray:
    """Call the shared network on each of the nine tiles, (N, 9, T, T, 3), and the two hidden layers, normalised or not, on what it says."""
    seen = [np.asarray(network(tiles[:, place], training=False)) for place in range(9)]
    x = np.concatenate(seen, axis=-1).reshape(len(tiles), -1)  # Concatenate, then Flatten
    half = len(head) // 2 - 1  # arrays of a hidden layer
    for kernel, bias, *normalisation in (head[:half], head[half : 2 * half]):
        x = x @ kernel + bias
        if normalisation:
            gamma, beta, mean, variance = normalisation
            x = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
        x = np.maximum(x, 0)
    return x


def probabilities(network: keras.Model, head: list[np.ndarray], tiles: np.ndarray) -> np.ndarray:
    """Return the softmax over what the last layer says, (N, permutations)."""
    scores = np.exp(features(network, head, tiles) @ head[-2] + head[-1])
    return scores / scores.sum(axis=-1, keepdims=True)


def disturb(network: keras.Model) -> None:
    """Give biases, batch normalisation and its averages values of their own, which a new network has all alike."""
    random = np.random.default_rng(1)
    network.set_weights(
        [weight + 0.1 * random.random(weight.shape) if weight.ndim == 1 else weight for weight in network.get_weights()]
    )


def write(path: Path, name: str, network: keras.Model, head: list[np.ndarray], tile: int) -> None:
    """Write model.hdf5: nine inputs, the shared network as one layer `name`, and the head, in the order of Keras 2.4."""
    body = [*network.trainable_weights, *network.non_trainable_weights]
    layers = {f"input_{place}": [] for place in range(1, 10)}
    layers |= {name: [(weight.path, weight.numpy()) for weight in body], "concatenate": [], "dropout": []}
    for number in range(3):
        dense = f"dense_{number}"
        kernel, bias = head[2 * number : 2 * number + 2]
        layers[dense] = [(f"{dense}/kernel", kernel), (f"{dense}/bias", bias)]
    shape = {"batch_input_shape": [None, tile, tile, 3]}
    config = [
        {"name": layer, "class_name": "InputLayer" if "input" in layer else "Dense", "config": shape}
        for layer in layers
    ]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": {"layers": config}})
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, arrays in layers.items():
            group.create_group(layer).attrs["weight_names"] = [f"{weight}:0".encode() for weight, _ in arrays]
            for weight, array in arrays:
                group[layer][f"{weight}:0"] = array
