"""ResNets for training on processors: the same functions as Keras' layers, arranged as what processors do best.

A 3x3 convolution by Winograd's minimal filtering (Lavin & Gray 2015, arXiv 1509.09308) multiplies 4 times less for each tile of
4x4 outputs, and its transforms of whole rows and columns are matrix products too once the photographs come after rows and
columns. The library's own gradients are slow on maps of 2 to 8 pixels, and Keras' batch statistics pass over memory more often
than TensorFlow's fused operation.
"""

from functools import cache

from captioning import devices

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

# By the outputs of a tile: transform of the kernel G, of the input B^T and of the output A^T (Lavin & Gray, section 4).
TRANSFORMS = {
    1: ([[0, 1, 0]], [[0, 1, 0]], [[1]]),  # of a single pixel: all but the kernel's centre meets the padding
    2: (
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}


def accelerate(network: keras.Model) -> keras.Model:
    """Copy a network of `pretext.resnet`, weights included, into layers that train faster on processors.

    Layers keep their names and weights their order: `network.set_weights(fast.get_weights())` brings the training back.
    """
    convolutions = {layer.name for layer in network.layers if _fits(layer)}

    def clone(layer: layers.Layer) -> layers.Layer:
        if layer.name in convolutions:
            return Convolution.from_config(layer.get_config() | {"padding": "same"})
        if layer.name.removesuffix("_padding") in convolutions:  # the convolution pads by itself
            return layers.Identity(name=layer.name)
        if type(layer) is layers.BatchNormalization and not layer.synchronized:
            return Normalisation.from_config(layer.get_config())
        return type(layer).from_config(layer.get_config())

    fast = keras.models.clone_model(network, clone_function=clone)
    fast.set_weights(network.get_weights())
    return fast


def for_training(network: keras.Model, winograd: bool) -> keras.Model:
    """Return the network, or its fast copy where that is wanted and there is no GPU."""
    return accelerate(network) if winograd and not devices.has_gpu() else network


def _fits(layer: layers.Layer) -> bool:
    return type(layer) is layers.Conv2D and layer.kernel_size == (3, 3) and layer.strides == (1, 1)


class Convolution(layers.Conv2D):
    """A 3x3 convolution of stride 1 and padding "same", without bias, as matrix products."""

    def call(self, x):
        return winograd(x, self.kernel)


class Normalisation(layers.BatchNormalization):
    """Batch normalisation by TensorFlow's fused operation while training."""

    def call(self, x, training: bool | None = None, mask=None):
        if not training or not self.trainable or len(x.shape) != 4:
            return super().call(x, training=training)
        x, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=self.gamma.value, offset=self.beta.value, mean=[], variance=[], epsilon=self.epsilon
        )
        count = tf.cast(tf.size(x) // x.shape[-1], "float32")
        for average, value in (self.moving_mean, mean), (self.moving_variance, variance * (count - 1) / count):
            average.assign(average * self.momentum + value * (1 - self.momentum))  # biased variance, as Keras keeps it
        return x


def winograd(x, kernel):
    """Convolve (N, H, W, C), H and W static, with a (3, 3, C, filters) kernel: stride 1, padding "same", (N, H, W, filters)."""
    _, height, width, channels = x.shape
    filters = kernel.shape[-1]
    size, rows_of_kernel, rows_in, rows_out = transforms(height)  # size 6 (or 4, or 1): a tile and its margin
    other, columns_of_kernel, columns_in, columns_out = transforms(width)
    kernel = ops.matmul(np.kron(rows_of_kernel, columns_of_kernel), ops.reshape(kernel, (9, channels * filters)))
    kernel = ops.reshape(kernel, (size, 1, other, channels, filters))
    x = ops.transpose(x, (1, 2, 0, 3))  # (H, W, N, C)
    x = ops.matmul(rows_in, ops.reshape(x, (height, -1)))  # (6 x H / 4, W x N x C)
    x = ops.matmul(columns_in, ops.reshape(x, (len(rows_in), width, -1)))  # (6 x H / 4, 6 x W / 4, N x C)
    x = ops.reshape(x, (size, len(rows_in) // size, other, -1, channels))  # (6, H / 4, 6, W / 4 x N, C)
    x = ops.matmul(x, ops.cast(kernel, x.dtype))  # (6, H / 4, 6, W / 4 x N, filters)
    x = ops.matmul(columns_out, ops.reshape(x, (len(rows_in), len(columns_in), -1)))
    x = ops.matmul(rows_out, ops.reshape(x, (len(rows_in), -1)))
    return ops.transpose(ops.reshape(x, (height, width, -1, filters)), (2, 0, 1, 3))


@cache
def transforms(length: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Return a tile's inputs, and the matrices of kernel, input and output for a line of `length` pixels padded with zeros."""
    outputs = 4 if length > 2 else length
    of_kernel, of_input, of_output = (np.array(matrix, "float32") for matrix in TRANSFORMS[outputs])
    inputs, tiles = len(of_input), -(-length // outputs)
    into = np.zeros((inputs, tiles, tiles * outputs + 2), "float32")
    out = np.zeros((tiles * outputs, inputs, tiles), "float32")
    for tile in range(tiles):
        first = tile * outputs
        into[:, tile, first : first + outputs + 2] = of_input
        out[first : first + outputs, :, tile] = of_output
    into = into[:, :, 1 : length + 1].reshape(inputs * tiles, length)
    return inputs, of_kernel, into, out[:length].reshape(length, inputs * tiles)
