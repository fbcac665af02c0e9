"""What methods share whose targets come from a copy that follows the network slowly (MoCo, He et al. 2020, arXiv 1911.05722)."""

import keras
import tensorflow as tf
from keras import initializers, layers, ops

from pretext.siamese import Siamese, gather


class MomentumSiamese(Siamese):
    """A `Siamese` with a copy of its network and one of its head, which follow them after each update (equation 2).

    Each weight of a copy becomes momentum x itself + (1 - momentum) x the weight that it follows. No gradient moves it.
    Statistics of batch normalisation do not follow: each copy has its own.
    """

    def __init__(self, network: keras.Model, head: keras.Model, momentum: float):
        super().__init__(network, head)
        self.target_network, self.target_head = copy(network), copy(head)
        self.momentum = momentum

    def targets(self, views):
        """Return the projections that the copies give of views: (N, V, H, W, 3) -> (N, V, D)."""
        return ops.stop_gradient(self.project(views, self.target_network, self.target_head, training=True))

    def momentum_now(self):
        """Return the momentum of this update."""
        return self.momentum

    def train_step(self, data):
        logs = super().train_step(data)
        pairs = [
            (follower.value, followed.value)
            for copied, source in ((self.target_network, self.network), (self.target_head, self.head))
            for follower, followed in zip(copied.weights, source.weights, strict=True)
            if followed.trainable
        ]
        tf.distribute.get_replica_context().merge_call(_follow, (pairs, self.momentum_now()))
        return logs


def copy(model: keras.Model) -> keras.Model:
    """Return a copy of a model with the same weights, which no optimizer changes."""
    copied = keras.models.clone_model(model)
    copied.set_weights(model.get_weights())
    for variable in copied.trainable_variables:
        variable.trainable = False  # not the layers: their batch normalisation would stop using the batch
    return copied


def _follow(strategy: tf.distribute.Strategy, pairs: list[tuple], momentum) -> None:
    """Move the first variable of each pair towards the second, on all devices."""

    def move(follower, followed, momentum):
        follower.assign(momentum * follower + (1 - momentum) * followed)

    for follower, followed in pairs:
        strategy.extended.update(follower, move, args=(followed, momentum))


class Queue(layers.Layer):
    """The last `length` keys, (length, D), the newest first; random ones before there are as many."""

    def __init__(self, length: int, dimension: int):
        super().__init__(name="queue", dtype="float32")
        normal = initializers.RandomNormal(stddev=dimension**-0.5)  # a length of about 1, as keys have
        self.keys = self.add_weight((length, dimension), normal, trainable=False, name="keys")

    def push(self, keys) -> None:
        """Put the keys (N, D) of all devices in front. The oldest leave."""
        self.keys.assign(ops.concatenate([gather(keys), self.keys])[: self.keys.shape[0]])
