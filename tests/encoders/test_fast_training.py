"""Convolutions arranged for processors compute what Keras' layers compute, gradients and batch statistics included."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from encoders.fast import TrainableConvolution, accelerate
from encoders.networks.resnet import resnet

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("stem, size", [("small", 32), ("cifar", 22)])
def test_a_fast_network_trains_as_the_one_it_copies(stem, size):
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)  # its own, so that no other test moves a ReLU's turning point
    network = resnet(18, stem, width=8)
    network.set_weights([weight + 0.02 * random.random(weight.shape) for weight in network.get_weights()])
    fast = accelerate(network)
    assert sum(type(layer) is TrainableConvolution for layer in fast.layers) == (14 if stem == "cifar" else 13)
    x = tf.constant(random.random((8, size, size, 3)), tf.float32)
    assert np.allclose(network(x, training=False), fast(x, training=False), rtol=1e-4, atol=1e-4)
    for one, other in zip(step(network, x), step(fast, x), strict=True):
        assert np.linalg.norm(one - other) < 0.01 * np.linalg.norm(one)  # ReLUs turn at other places by rounding
    for one, other in zip(network.get_weights(), fast.get_weights(), strict=True):  # moving averages too
        assert np.allclose(one, other, rtol=1e-4, atol=1e-4)
    network.set_weights(fast.get_weights())
    assert np.allclose(network(x, training=False), fast(x, training=False), rtol=1e-4, atol=1e-4)


def test_a_fast_network_computes_in_bfloat16_under_a_mixed_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        fast = accelerate(resnet(18, "small", width=8))
        features = fast(RANDOM.random((2, 16, 16, 3)).astype("float32"), training=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert features.dtype == "bfloat16" and np.isfinite(np.float32(features)).all()


def step(network, x):
    """Return features while training and their gradients towards fixed directions."""
    with tf.GradientTape() as tape:
        features = network(x, training=True)
        loss = tf.reduce_sum(features * tf.cos(tf.range(float(features.shape[1]))))
    return features, *tape.gradient(loss, network.trainable_variables)
