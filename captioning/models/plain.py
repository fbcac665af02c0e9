"""A captioner's layers on plain arrays, for the Steppers."""

from collections.abc import Callable

import keras
import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


def weights(captioner: keras.Model, name: str) -> list[np.ndarray]:
    """Return a layer's weights as float32."""
    return [np.asarray(weight, "float32") for weight in captioner.get_layer(name).get_weights()]


def dense(captioner: keras.Model, name: str) -> Function:
    """Return a dense layer, with its activation."""
    (kernel, bias), turn = weights(captioner, name), activation(captioner.get_layer(name).activation)
    return lambda inputs: turn(inputs @ kernel + bias)


def activation(function: Callable) -> Function:
    """Return an activation on arrays: numpy's, which is faster here, or Keras'."""
    of_numpy = {"linear": lambda inputs: inputs, "relu": lambda inputs: np.maximum(inputs, 0), "tanh": np.tanh}
    of_numpy["sigmoid"] = lambda inputs: 0.5 * np.tanh(0.5 * inputs) + 0.5  # no overflow
    return of_numpy.get(function.__name__) or (lambda inputs: np.asarray(function(inputs)))
