"""SimCLR as a Keras model: an encoder network, a projection head, and NT-Xent between the two views of each photograph."""

from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import ops

from core import devices
from encoders.encoder_file import normalisation
from pretext.heads import projection_head
from simclr.loss import nt_xent


class SimCLR(keras.Model):
    """Views, float (N, 2, H, W, 3) in [0, 1] -> projections (N, 2, `dimension`), trained to bring each photograph's two together.

    `fit` reports, beside the loss: `accuracy`, how often a view's positive is the nearest of all other views; `spread`, the
    standard deviation of the normalised projections times the root of their dimension: 1 when they fill the sphere, 0 when all are equal.
    """

    def __init__(self, network: keras.Model, *, temperature: float, head_layers: int = 2, dimension: int = 128):
        super().__init__(name="simclr")
        self.network = network
        self.temperature = temperature
        self.normalisation = normalisation(1)
        synchronized = devices.replicas() > 1
        self.head = projection_head(network.output_shape[-1], head_layers, dimension, synchronized=synchronized)
        self.accuracy = keras.metrics.Mean("accuracy")
        self.spread = keras.metrics.Mean("spread")

    def build(self, views_shape: Sequence[int | None]) -> None:
        self.built = True  # the network and the head are built already

    def call(self, views, training: bool | None = None):
        flat = ops.reshape(views, (-1, *views.shape[2:]))  # (2N, H, W, 3)
        projections = self.head(self.network(self.normalisation(flat), training=training), training=training)
        return ops.reshape(projections, (-1, 2, projections.shape[-1]))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync

        def gather(tensor):
            if replicas == 1:
                return tensor
            return tf.ensure_shape(context.all_gather(tensor, axis=0), (None, tensor.shape[1]))  # (M, D)

        losses, right = nt_xent(y_pred, self.temperature, gather, context.replica_id_in_sync_group)
        self.accuracy.update_state(ops.cast(right, "float32"))
        self.spread.update_state(spread(gather(y_pred[:, 0])))
        return ops.mean(losses) / replicas  # gradients are summed over the replicas


def spread(projections):
    """Return the standard deviation over (N, D) of the normalised projections times the root of D: 1 on the whole sphere, 0 after a collapse."""
    projections = ops.cast(projections, "float32")
    normalised = projections / ops.sqrt(ops.sum(projections**2, axis=-1, keepdims=True) + 1e-12)
    return ops.mean(ops.std(normalised, axis=0)) * projections.shape[-1] ** 0.5
