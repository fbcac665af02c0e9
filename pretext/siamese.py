"""What methods share that compare two views of each photograph: the model, and the head that a method puts on top of the network."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf
from keras import layers, ops

from core import devices
from encoders.encoder_file import normalisation


class Siamese(keras.Model):
    """Views, float (N, 2, H, W, 3) in [0, 1] -> projections (N, 2, D). A method adds its `objective`.

    `fit` reports, beside the loss, `spread`: the standard deviation of the normalised projections times the root of their dimension.
    It is 1 when they fill the sphere, and 0 when all are equal.
    """

    draw: Callable | None = None  # where photographs lie in a GPU's memory: (indices, seed) of a batch -> its views

    def __init__(self, network: keras.Model, head: keras.Model):
        super().__init__()
        self.network = network  # the first: pretext.export relies on it
        self.head = head
        self.normalisation = normalisation(1)
        self.spread = keras.metrics.Mean("spread")

    def build(self, views_shape: Sequence[int | None]) -> None:
        self.built = True  # the network and the head are built already

    def call(self, views, training: bool | None = None):
        return self.project(views, self.network, self.head, training)

    def project(self, views, network: keras.Model, head: keras.Model, training: bool | None):
        """Return what a network and a head make of views: (N, V, H, W, 3) -> (N, V, D)."""
        flat = ops.reshape(views, (-1, *views.shape[2:]))  # (NV, H, W, 3)
        projections = head(network(self.normalisation(flat), training=training), training=training)
        return ops.reshape(projections, (-1, views.shape[1], projections.shape[-1]))

    def train_step(self, data):
        return super().train_step(self.draw(*data) if self.draw else data)

    def objective(self, views, projections):
        """Return the loss of this device's part of a batch. The mean over the devices is the batch's."""
        raise NotImplementedError

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.spread.update_state(spread(gather(y_pred[:, 0])))
        return self.objective(x, y_pred) / devices.replicas()  # gradients are summed over the devices


def gather(tensor):
    """Return the rows of all devices, in the same order on each: (N, D) -> (M, D). Gradients flow to all of them."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tensor
    return tf.ensure_shape(context.all_gather(tensor, axis=0), (None, tensor.shape[1]))


def head(inputs: int, *widths: int, closing: bool = False, name: str = "head") -> keras.Model:
    """Return dense layers (N, inputs) -> float32 (N, the last width); batch normalisation and ReLU follow all but the last.

    :param closing: batch normalisation follows the last one too.
    """
    synchronized = devices.replicas() > 1
    x = features = keras.Input((inputs,), name="features")
    for number, width in enumerate(widths, start=1):
        last = number == len(widths)
        x = layers.Dense(width, use_bias=False, dtype="float32" if last else None, name=f"dense{number}")(x)
        if closing or not last:
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=synchronized, name=f"bn{number}")(x)
        if not last:
            x = layers.ReLU(name=f"relu{number}")(x)
    return keras.Model(features, x, name=name)


def unit(vectors):
    """Return vectors (..., D) in float32 with a length of 1."""
    vectors = ops.cast(vectors, "float32")
    return vectors / ops.sqrt(ops.sum(vectors**2, axis=-1, keepdims=True) + 1e-12)


def spread(projections):
    """Return the standard deviation over (N, D) of the normalised projections times the root of D: 1 on the whole sphere, 0 after a collapse."""
    return ops.mean(ops.std(unit(projections), axis=0)) * projections.shape[-1] ** 0.5
