"""Convolutions arranged for processors: batch normalisation folded into them, and 3x3 ones by Winograd's minimal filtering.

For m x m outputs a 3x3 kernel multiplies 9 m^2 times, and Winograd's (m + 2)^2 times, between transforms of the inputs and of the
products (Lavin & Gray 2015, arXiv 1509.09308). The transforms of whole rows and columns are matrix products too once the
photographs come after rows and columns.
"""

from collections import defaultdict
from collections.abc import Container, Iterator
from functools import cache
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from core import devices

# By a tile's outputs in a line, the points beside infinity where its polynomials meet. Those of 7 leave the least error in float32
# among pairs of simple fractions: twice the error of 4, for a third of the multiplications less.
POINTS = {2: (0, 1, -1), 4: (0, 1, -1, 2, -2), 7: (1 / 4, -1 / 4, 3 / 4, -3 / 4, 1, -1, 2, -2)}
LONGEST = 28  # pixels of a line up to which the transforms of float32 cost less than they save
FEWEST = 8  # photographs in a batch from which on they do


def folded(model: keras.Model, winograd: bool, narrow: Container[str] = ()) -> keras.Model:
    """Return a copy of a model that is faster on processors and cannot be trained. It computes the same, except for rounding.

    The layers named in `narrow` compute in bfloat16.

    A batch normalisation that alone takes what a convolution gives is folded into its kernel and bias. What is left is a
    convolution, a bias, a sum and a ReLU in this order, which TensorFlow does in one pass over memory.
    """
    weights = {
        layer.name: layer.get_weights()
        for layer in model.layers
        if layer.weights and not isinstance(layer, keras.Model)
    }
    convolution = WinogradConvolution if winograd else Convolution
    changed, dropped = defaultdict(dict), set()
    for layer in model.layers:
        taker = _only_taker(layer, model)
        pads = type(layer) is layers.ZeroPadding2D and layer.padding == ((1, 1), (1, 1))
        if pads and suits_winograd(taker) and taker.padding == "valid":
            dropped.add(layer.name)
            changed[taker.name]["padding"] = "same"
        if _takes_convolution(taker, layer):
            dropped.add(taker.name)
            changed[layer.name]["use_bias"] = True
            weights[layer.name], weights[taker.name] = _fold(layer, taker), []

    def copy(layer: layers.Layer) -> layers.Layer:
        if isinstance(layer, keras.Model):
            return folded(layer, winograd, narrow)
        if layer.name in dropped:
            return Nothing(name=layer.name, autocast=False)
        if layer.name in narrow:
            changed[layer.name]["dtype"] = "mixed_bfloat16"
        kind = convolution if type(layer) is layers.Conv2D else type(layer)
        return kind.from_config(layer.get_config() | changed[layer.name])

    fast = keras.models.clone_model(model, clone_function=copy)
    for name, values in weights.items():
        fast.get_layer(name).set_weights(values)
    return fast


def leaves(model: keras.Model) -> Iterator[layers.Layer]:
    """Yield the layers of a model, and of models in it, each after its inputs."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


def _only_taker(layer: layers.Layer, model: keras.Model) -> layers.Layer | None:
    """Return the one layer that uses a layer's output, if it uses nothing else; otherwise None."""
    takers = [node.operation for node in layer._outbound_nodes]
    alone = len(takers) == len(layer._inbound_nodes) == 1 and len(takers[0]._inbound_nodes) == 1
    return takers[0] if alone and all(layer.output is not output for output in model.outputs) else None


def _takes_convolution(normalisation: layers.Layer | None, layer: layers.Layer) -> bool:
    """Tell whether a layer is a batch normalisation of a convolution's channels."""
    linear = type(layer) is layers.Conv2D and layer.activation is keras.activations.linear and layer.name != "grid"
    return linear and type(normalisation) is layers.BatchNormalization and normalisation.axis in (-1, 3)


def suits_winograd(layer: layers.Layer | None) -> bool:
    """Tell whether a layer is a 3x3 convolution without strides, dilation and groups."""
    if not isinstance(layer, layers.Conv2D):
        return False
    shape = layer.kernel_size, layer.strides, layer.dilation_rate, layer.groups
    return shape == ((3, 3), (1, 1), (1, 1), 1)


def _fold(convolution: layers.Conv2D, normalisation: layers.BatchNormalization) -> list[np.ndarray]:
    """Return the kernel and the bias of one convolution that equals the two layers."""
    kernel, *bias = convolution.get_weights()
    scale = np.float64(normalisation.moving_variance + normalisation.epsilon) ** -0.5
    shift = (bias[0] if bias else 0) - np.float64(normalisation.moving_mean)
    if normalisation.scale:
        scale = scale * np.float64(normalisation.gamma)
    offset = np.float64(normalisation.beta) if normalisation.center else 0
    return [kernel * scale, shift * scale + offset]


class Nothing(layers.Layer):
    """Stands in for a padding or a normalisation that its convolution now includes."""

    def call(self, x, mask=None):
        return x


class Convolution(layers.Conv2D):
    """A convolution whose bias is an operation that TensorFlow fuses with the next ones."""

    def call(self, x):
        y = self.convolution_op(x, self.kernel)
        return self.activation(tf.nn.bias_add(y, self.bias) if self.use_bias else y)


class WinogradConvolution(Convolution):
    """The same, by Winograd's filtering, in a graph where the kernel is a constant and the sides are known and small enough."""

    def convolution_op(self, x, kernel):
        constant = tf.get_static_value(kernel.value)
        if constant is None or not self._pays(*x.shape[:3]):
            return super().convolution_op(x, kernel)
        with tf.init_scope():  # once, and beside the graph, where so large a constant would be copied again and again
            tiles = in_tiles(tf.constant(constant), *_sides(x))
        return multiply(x, tiles)

    def _pays(self, count: int | None, height: int | None, width: int | None) -> bool:
        known = None not in (count, height, width)
        return (
            known
            and suits_winograd(self)
            and self.padding == "same"
            and count >= FEWEST
            and max(height, width) <= LONGEST
        )


def winograd(x, kernel):
    """Convolve (N, H, W, C), H and W static, with a (3, 3, C, filters) kernel: stride 1, padding "same", (N, H, W, filters)."""
    return multiply(x, in_tiles(kernel, *_sides(x)))


def in_tiles(kernel, rows: "Transforms", columns: "Transforms"):
    """Transform a (3, 3, C, filters) kernel into (9, 1, 9, C, filters), or 6, 4 or 1 for 9, as a tile's inputs are."""
    *_, channels, filters = kernel.shape
    kernel = ops.reshape(kernel, (9, channels * filters))
    kernel = ops.matmul(np.kron(rows.of_kernel, columns.of_kernel), kernel)
    return ops.reshape(kernel, (len(rows.of_kernel), 1, len(columns.of_kernel), channels, filters))


def multiply(x, kernel):
    """Convolve (N, H, W, C), H and W static, with a kernel in tiles."""
    count, height, width, channels = ops.shape(x)
    rows, columns = _sides(x)
    size, _, other, _, filters = kernel.shape
    x = ops.transpose(x, (1, 2, 0, 3))  # (H, W, N, C)
    x = ops.matmul(rows.into, ops.reshape(x, (height, -1)))  # (9 x H / 7, W x N x C)
    x = ops.matmul(columns.into, ops.reshape(x, (len(rows.into), width, -1)))  # (9 x H / 7, 9 x W / 7, N x C)
    x = ops.reshape(x, (size, len(rows.into) // size, other, -1, channels))  # (9, H / 7, 9, W / 7 x N, C)
    x = ops.matmul(x, ops.cast(kernel, x.dtype))  # (9, H / 7, 9, W / 7 x N, filters)
    x = ops.matmul(columns.out, ops.reshape(x, (len(rows.into), len(columns.into), -1)))
    x = ops.matmul(rows.out, ops.reshape(x, (len(rows.into), -1)))
    return ops.transpose(ops.reshape(x, (height, width, count, filters)), (2, 0, 1, 3))


class Transforms(NamedTuple):
    """Matrices for a line of L pixels that is padded with zeros and cut into tiles of I inputs each."""

    of_kernel: np.ndarray  # (I, 3)
    into: np.ndarray  # (I x tiles, L)
    out: np.ndarray  # (L, I x tiles)


def _sides(x) -> tuple[Transforms, Transforms]:
    largest = 7 if x.dtype == "float32" else 4
    return transforms(x.shape[1], largest), transforms(x.shape[2], largest)


@cache
def transforms(length: int, largest: int) -> Transforms:
    """Return the matrices for `length` pixels, in the tiles of at most `largest` outputs that multiply least."""
    if length == 1:  # all but the kernel's centre meets the padding
        return Transforms(*(np.array(matrix, "float32") for matrix in ([[0, 1, 0]], [[1]], [[1]])))
    tiles_by = {outputs: -(-length // outputs) for outputs in POINTS if outputs <= largest}
    outputs, tiles = min(tiles_by.items(), key=lambda item: (item[0] + 2) * item[1])
    of_kernel, of_input, of_output = cook_toom(outputs)
    inputs = outputs + 2
    into = np.zeros((inputs, tiles, tiles * outputs + 2), "float32")
    out = np.zeros((tiles * outputs, inputs, tiles), "float32")
    for tile in range(tiles):
        first = tile * outputs
        into[:, tile, first : first + inputs] = of_input
        out[first : first + outputs, :, tile] = of_output
    into = into[:, :, 1 : length + 1].reshape(inputs * tiles, length)
    return Transforms(of_kernel.astype("float32"), into, out[:length].reshape(length, inputs * tiles))


def cook_toom(outputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a line's transforms of the kernel G, of the input B^T and of the output A^T (Barabasz et al. 2018, arXiv 1803.10986).

    A product of polynomials is known from its values at as many points as it has terms, infinity being one, and filtering is
    the transpose of multiplying. B^T are Lagrange's polynomials without their denominators, which G has.
    """
    points = np.array(POINTS[outputs])
    lagrange = [np.poly(np.delete(points, number)) for number in range(len(points))]
    denominators = [*map(np.polyval, lagrange, points), 1]
    of_input = np.zeros((len(points) + 1, len(points) + 1))
    of_input[:-1, :-1], of_input[-1] = np.fliplr(lagrange), np.poly(points)[::-1]
    of_kernel, of_output = (
        np.vstack([np.vander(points, terms, increasing=True), np.eye(terms)[-1]]) for terms in (3, outputs)
    )
    return of_kernel / np.reshape(denominators, (-1, 1)), of_input, of_output.T


# For training -----------------------------------------------------------------------------------------------------


def accelerate(network: keras.Model) -> keras.Model:
    """Copy a network of `encoders.networks.resnet`, weights included, into layers that train faster on processors.

    Layers keep their names and weights their order: `network.set_weights(fast.get_weights())` brings the training back.
    """
    convolutions = {layer.name for layer in network.layers if suits_winograd(layer)}

    def clone(layer: layers.Layer) -> layers.Layer:
        if layer.name in convolutions:
            return TrainableConvolution.from_config(layer.get_config() | {"padding": "same"})
        if layer.name.removesuffix("_padding") in convolutions:  # the convolution pads by itself
            return layers.Identity(name=layer.name)
        if type(layer) is layers.BatchNormalization and not layer.synchronized:
            return FusedNormalisation.from_config(layer.get_config())
        return type(layer).from_config(layer.get_config())

    fast = keras.models.clone_model(network, clone_function=clone)
    fast.set_weights(network.get_weights())
    return fast


def for_training(network: keras.Model, winograd: bool) -> keras.Model:
    """Return the network, or its fast copy where that is wanted and there is no GPU."""
    return accelerate(network) if winograd and not devices.has_gpu() else network


class TrainableConvolution(layers.Conv2D):
    """A 3x3 convolution of stride 1 and padding "same", without bias, as matrix products."""

    def call(self, x):
        return winograd(x, self.kernel)


class FusedNormalisation(layers.BatchNormalization):
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
