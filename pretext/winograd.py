"""ResNets for training on processors: the same functions as Keras' layers, arranged as what processors do best.

3x3 convolutions go by Winograd's way (`captioning.convolutions`), with its gradients: the library's own are slow on maps of 2 to 8
pixels. Keras' batch statistics pass over memory more often than TensorFlow's fused operation.
"""

from captioning import devices
from captioning.convolutions import suits_winograd, winograd

import keras
import tensorflow as tf
from keras import layers


def accelerate(network: keras.Model) -> keras.Model:
    """Copy a network of `pretext.resnet`, weights included, into layers that train faster on processors.

    Layers keep their names and weights their order: `network.set_weights(fast.get_weights())` brings the training back.
    """
    convolutions = {layer.name for layer in network.layers if suits_winograd(layer)}

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
