"""Heads: what a method of pre-training puts on top of the network, and leaves behind."""

import keras
from keras import layers


def projection_head(features: int, head_layers: int, dimension: int, *, synchronized: bool = False) -> keras.Model:
    """Return the head g: features (N, D) -> projections float32 (N, `dimension`), hidden layers as wide as the features (section 4.2)."""
    x = inputs = keras.Input((features,), name="features")
    for number in range(1, head_layers):
        x = layers.Dense(features, use_bias=False, name=f"dense{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=synchronized, name=f"bn{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    projections = layers.Dense(dimension, use_bias=False, dtype="float32", name=f"dense{head_layers}")(x)
    return keras.Model(inputs, projections, name="projection_head")
