"""SimCLR as a Keras model: an encoder network, a projection head, and NT-Xent between the two views of each photograph."""

import keras
import tensorflow as tf
from keras import ops

from pretext.siamese import Siamese, gather, head
from simclr.loss import nt_xent


class SimCLR(Siamese):
    """Views, float (N, 2, H, W, 3) in [0, 1] -> projections (N, 2, `dimension`), trained to bring each photograph's two together.

    `fit` reports `accuracy` too: how often a view's positive is the nearest of all other views.
    """

    def __init__(self, network: keras.Model, *, temperature: float, head_layers: int = 2, dimension: int = 128):
        features = network.output_shape[-1]
        super().__init__(network, head(features, *[features] * (head_layers - 1), dimension))
        self.temperature = temperature
        self.accuracy = keras.metrics.Mean("accuracy")

    def objective(self, views, projections):
        position = tf.distribute.get_replica_context().replica_id_in_sync_group
        losses, right = nt_xent(projections, self.temperature, gather, position)
        self.accuracy.update_state(ops.cast(right, "float32"))
        return ops.mean(losses)
