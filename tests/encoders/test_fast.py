"""Convolutions arranged for processors compute what Keras' layers compute, folded normalisations and gradients included."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from core import devices
from encoders import fast
from encoders.encoder_file import encoder
from encoders.extract import Network
from encoders.fast import folded
from encoders.networks.resnet import resnet

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    "height, width", [(1, 1), (2, 2), (3, 5), (4, 4), (5, 2), (8, 8), (9, 13), (16, 6), (7, 14), (28, 21)]
)
def test_outputs_and_gradients_equal_those_of_a_convolution(height, width):
    x = tf.constant(RANDOM.normal(size=(3, height, width, 5)), tf.float32)
    kernel = tf.constant(RANDOM.normal(size=(3, 3, 5, 7)), tf.float32)
    towards = tf.constant(RANDOM.normal(size=(3, height, width, 7)), tf.float32)
    found = outputs_and_gradients(fast.winograd, x, kernel, towards)
    expected = outputs_and_gradients(lambda x, kernel: tf.nn.conv2d(x, kernel, 1, "SAME"), x, kernel, towards)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max())


def test_tiles_multiply_least_and_are_of_seven_outputs_only_in_float32():
    assert [len(fast.transforms(length, 7).into) for length in (1, 2, 8, 14, 28)] == [1, 4, 12, 18, 36]
    x, kernel = (tf.constant(RANDOM.normal(size=shape), tf.bfloat16) for shape in ((3, 7, 7, 5), (3, 3, 5, 7)))
    expected = tf.nn.conv2d(tf.cast(x, tf.float32), tf.cast(kernel, tf.float32), 1, "SAME")
    difference = np.abs(tf.cast(fast.winograd(x, kernel), tf.float32) - expected)
    assert difference.max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("depth", [18, 50])
def test_an_encoders_features_are_equal_by_winograds_way(depth, monkeypatch):
    monkeypatch.setattr(devices, "has_gpu", lambda: False)
    taken, multiply = [], fast.multiply
    monkeypatch.setattr(fast, "multiply", lambda x, kernel: taken.append(x.shape[0]) or multiply(x, kernel))
    small = encoder(randomised(resnet(depth, "small", width=8)), 112, 112)  # sides of 28, 14, 7 and 4 in the blocks
    pixels = RANDOM.integers(0, 256, (9, 112, 112, 3), "uint8")
    expected = small(pixels, training=False)
    for batch_size in (8, 2):  # the last batch has one
        found = Network(small, batch_size=batch_size)(pixels)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert taken == 13 * [8]  # all convolutions of stride 1, and none for batches too small to pay


def test_a_folded_model_keeps_no_normalisation_that_a_convolution_can_do():
    small = encoder(randomised(resnet(18, "small", width=8)), 32, 32)
    kinds = Counter(type(layer) for layer in folded(small, winograd=False).layers[-1].layers)
    assert kinds[fast.Convolution] == 20 and not kinds[layers.BatchNormalization] and not kinds[layers.Conv2D]
    assert kinds[layers.ZeroPadding2D] == 5  # before strides and the max-pool
    assert any(isinstance(layer, layers.BatchNormalization) for layer in small.layers[-1].layers)  # it was a copy


def test_only_what_a_normalisation_alone_takes_is_folded():
    shared = layers.Conv2D(4, 1)
    photographs = x = keras.Input((6, 6, 4))
    x = layers.BatchNormalization(name="of_photographs")(x)
    x = layers.BatchNormalization(name="after_relu")(layers.Conv2D(4, 3, activation="relu")(x))
    taken = layers.Conv2D(4, 1)(x)
    x = layers.Add()([taken, layers.BatchNormalization(name="beside_a_sum")(taken)])
    x = layers.BatchNormalization(name="after_one_of_two_calls")(shared(shared(x)))
    x = layers.BatchNormalization(name="of_rows", axis=1)(layers.Conv2D(4, 1)(x))
    given = layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(name="of_an_output")(given)
    x = layers.BatchNormalization(name="folded", scale=False)(layers.Conv2D(4, 3, padding="same")(x))
    x = layers.BatchNormalization(name="of_another_kind", center=False)(layers.DepthwiseConv2D(3)(x))
    model = randomised(keras.Model(photographs, [given, x]))
    fast = folded(model, winograd=False)
    kept = {layer.name for layer in fast.layers if isinstance(layer, layers.BatchNormalization)}
    assert kept == {layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)} - {"folded"}
    pixels = RANDOM.random((2, 6, 6, 4)).astype("float32")
    for one, other in zip(fast(pixels, training=False), model(pixels, training=False), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_sequential_encoder_is_folded():
    parts = [keras.Input((8, 8, 3)), layers.ZeroPadding2D(), layers.Conv2D(4, 3), layers.BatchNormalization()]
    model = randomised(keras.Sequential(parts))
    fast = folded(model, winograd=True)
    assert [type(layer).__name__ for layer in fast.layers] == ["Nothing", "WinogradConvolution", "Nothing"]
    x = RANDOM.random((2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(fast(x, training=False), model(x, training=False), rtol=1e-4, atol=1e-5)


def randomised(model: keras.Model) -> keras.Model:
    """Return a model with other weights than those it starts with, variances above 0 among them."""
    model.set_weights([weight + 0.1 * RANDOM.random(weight.shape) for weight in model.get_weights()])
    return model


def outputs_and_gradients(convolve, x, kernel, towards):
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        y = convolve(x, kernel)
        loss = tf.reduce_sum(y * towards)
    return y, *tape.gradient(loss, [x, kernel])
