"""Captioners of the well-known tutorial, which the original copied: what Keras 2 or 3 stored of one, made a captioner of `merge`.

The tutorial's model takes a feature and one prefix, padded with zeros on the left, and gives one next word. Ours gives the same
probabilities after all prefixes of a caption at once.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import keras
import numpy as np
from keras import ops

from captioning.models import merge
from core.hdf5 import Stored

FITTING = "2 InputLayer, Embedding, LSTM, Add, 3 Dense, any Dropout, BatchNormalization of the feature"
DROPOUTS = {"Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout"}  # they only act in training
LONGEST = 1000  # words of a prefix that a file may ask for
FIXED = {  # of a layer's configuration; other values make another model
    "go_backwards": False,
    "stateful": False,
    "return_sequences": False,
    "return_state": False,
}
ACTIVATIONS = {  # which Keras 2 and 3 share, but for the slope of hard_sigmoid
    *("relu", "tanh", "sigmoid", "hard_sigmoid", "softmax", "linear"),
    *("elu", "selu", "gelu", "swish", "softplus", "softsign"),
}
BY_ORDER = ("word_embedding", "feature_dense", "decoder_dense", "next_word", "lstm")  # by their number of arrays

Layer = Mapping[str, Any]  # as Keras stores it: name, class_name, config, inbound_nodes


def build(stored: Stored) -> keras.Model:
    """Return the captioner of a stored model; weights alone are taken for those of the tutorial's own configuration.

    :raises ValueError: it is another model. The message names the layer that does not fit.
    """
    roles = _roles_by_order(stored.weights) if stored.config is None else _roles(stored.config)
    weights = {role: stored.weights[layer["name"]] for role, layer in roles.items() if role != "words"}
    sizes = _sizes(roles, weights)
    if normalisation := weights.pop("normalisation", None):
        epsilon = roles["normalisation"]["config"]["epsilon"]
        weights["feature_dense"] = _folded(*normalisation, *weights["feature_dense"], epsilon)
    configuration = {
        role: merge.CONFIGURATION[role] | sizes.get(role, {}) | _activations(roles[role], stored.version)
        for role in weights
    }
    if configuration["next_word"]["activation"] != "softmax":
        raise ValueError(f"{roles['next_word']['name']} is no softmax")
    masked = roles["word_embedding"]["config"].get("mask_zero", True)
    length = _length(roles["words"]) if "words" in roles else None
    if not masked and length is None:
        raise ValueError(f"{roles['words']['name']} says no length, to which the words are padded")
    dimension, vocabulary_size = len(weights["feature_dense"][0]), len(weights["word_embedding"][0])
    model = merge.build((dimension,), vocabulary_size, configuration, length, bool(masked))
    for role, arrays in weights.items():
        model.get_layer(role).set_weights(arrays)
    return model


def _roles(config: Mapping[str, Any]) -> dict[str, Layer]:
    """Find which layer plays which part, from the graph: from the last layer back to the inputs."""
    layers = {
        layer["name"]: {"config": {}, **layer}
        for layer in config["layers"]
        if layer["class_name"] != "NotEqual"  # of Keras 3, for the mask
    }
    takes = {name: _givers(layer["inbound_nodes"]) for name, layer in layers.items()}

    def found(names: list[str], *kinds: str) -> Layer:
        """Return the only layer of the names, or the one before it if it is a dropout."""
        if len(names) != 1:
            raise ValueError(f"one layer fits where {names} are")
        layer = layers[names[0]]
        if layer["class_name"] in DROPOUTS:
            return found(takes[names[0]], *kinds)
        if layer["class_name"] not in kinds:
            raise ValueError(f"{names[0]} is {layer['class_name']}, where {' or '.join(kinds)} fits")
        return layer

    def before(layer: Layer, *kinds: str) -> Layer:
        return found(takes[layer["name"]], *kinds)

    given = set(chain(*takes.values()))
    next_word = found([name for name in layers if name not in given], "Dense")
    decoder = before(next_word, "Dense")
    merged = before(decoder, "Add")["name"]
    sides = {side["class_name"]: side for side in (found([name], "Dense", "LSTM") for name in takes[merged])}
    if len(sides) != len(takes[merged]) or len(sides) != 2:
        raise ValueError(f"{merged} adds {takes[merged]}, where a Dense and an LSTM fit")
    feature_dense, lstm = sides["Dense"], sides["LSTM"]
    embedding = before(lstm, "Embedding")
    below = before(feature_dense, "InputLayer", "BatchNormalization")
    normalisation = {}
    if below["class_name"] == "BatchNormalization":
        before(below, "InputLayer")
        normalisation = {"normalisation": below}
    return normalisation | {
        "feature_dense": feature_dense,
        "word_embedding": embedding,
        "lstm": lstm,
        "decoder_dense": decoder,
        "next_word": next_word,
        "words": before(embedding, "InputLayer"),
    }


def _givers(node: Any) -> list[str]:
    """Return the names of the layers that one takes, as Keras 2 ([name, 0, 0, {}]) or 3 (`keras_history`) stores them, without the mask's."""
    if isinstance(node, dict):
        if history := node.get("config", {}).get("keras_history"):
            return history[:1]
        node = [value for key, value in node.items() if key != "mask"]
    if not isinstance(node, list):
        return []
    own, rest = (node[:1], node[3:]) if node and isinstance(node[0], str) else ([], node)
    return [*own, *chain(*map(_givers, rest))]


def _roles_by_order(weights: Mapping[str, list[np.ndarray]]) -> dict[str, Layer]:
    """Find which layer plays which part without a graph: the Dense layers come in the model's order."""
    named = sorted((name for name, arrays in weights.items() if arrays), key=lambda name: len(weights[name]))
    if [len(weights[name]) for name in named] != [1, 2, 2, 2, 3]:
        raise ValueError("as weights alone, 1, 2, 2, 2 and 3 arrays of five layers fit")
    return {role: {"name": name, "config": {}} for role, name in zip(BY_ORDER, named, strict=True)}


def _sizes(roles: Mapping[str, Layer], weights: Mapping[str, list[np.ndarray]]) -> dict[str, dict[str, int]]:
    """Return the sizes that the weights give each layer, after a check that all agree."""
    dimension, units = weights["feature_dense"][0].shape
    vocabulary_size, width = weights["word_embedding"][0].shape
    _, decoded = weights["decoder_dense"][0].shape
    fitting = {
        "normalisation": [(dimension,)] * 4,
        "feature_dense": [(dimension, units), (units,)],
        "word_embedding": [(vocabulary_size, width)],
        "lstm": [(width, 4 * units), (units, 4 * units), (4 * units,)],
        "decoder_dense": [(units, decoded), (decoded,)],
        "next_word": [(decoded, vocabulary_size), (vocabulary_size,)],
    }
    for role, arrays in weights.items():
        shapes = [array.shape for array in arrays]
        if shapes != fitting[role] or not all(array.size and array.dtype.kind == "f" for array in arrays):
            raise ValueError(f"{roles[role]['name']} has weights of {shapes}, where {fitting[role]} fit")
    return {
        "feature_dense": {"units": units},
        "word_embedding": {"output_dim": width},
        "lstm": {"units": units},
        "decoder_dense": {"units": decoded},
    }


def _folded(
    gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray, kernel: np.ndarray, bias: np.ndarray, epsilon: float
) -> list[np.ndarray]:  # fmt: skip
    """Return the kernel (D, U) and the bias (U,) of a Dense layer that normalises its inputs too."""
    scale = gamma / np.sqrt(variance + epsilon)  # (D,)
    return [kernel * scale[:, None], bias + (beta - mean * scale) @ kernel]


def _activations(layer: Layer, version: str | None) -> dict[str, Any]:
    """Return the activations that a layer's configuration names, as its version of Keras computes them."""
    config, name = layer["config"], layer["name"]
    for key, value in FIXED.items():
        if config.get(key, value) != value:
            raise ValueError(f"{name} has {key}={config[key]}")
    stored = {key: config[key] for key in ("activation", "recurrent_activation") if key in config}
    for key, activation in stored.items():
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(f"{name} has {key}={activation}")
        if activation == "hard_sigmoid" and version is None:
            raise ValueError(
                f"{name} has {key}=hard_sigmoid, which is another in Keras 2 and 3, and the file names none"
            )
        if activation == "hard_sigmoid" and int(version.split(".")[0]) < 3:
            stored[key] = hard_sigmoid_of_keras_2
    return stored


def hard_sigmoid_of_keras_2(inputs: Any) -> Any:
    """Return the line of slope 1/5 between 0 and 1; that of Keras 3 has the slope 1/6."""
    return ops.clip(0.2 * inputs + 0.5, 0, 1)


def _length(words: Layer) -> int | None:
    """Return to how many words the tutorial pads a prefix; None where the input does not say."""
    config = words["config"]
    shape = config.get("batch_shape") or config.get("batch_input_shape") or (None, None)
    if shape[1] is not None and not (isinstance(shape[1], int) and 1 <= shape[1] <= LONGEST):
        raise ValueError(f"{words['name']} asks for {shape[1]} words, where 1 to {LONGEST:,} fit")
    return shape[1]
