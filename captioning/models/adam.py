"""Keras' Adam, whose step is compiled on processors: once over memory, not once for each operation on millions of weights; and AdamW."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from core import devices


class Adam(keras.optimizers.Adam):
    """A word that a batch has twice counts with the sum of its gradients, as in Keras 2; Keras 3 squares each by itself."""

    def apply(
        self, grads: Sequence[tf.Tensor | tf.IndexedSlices], trainable_variables: Sequence[keras.Variable]
    ) -> None:
        if devices.replicas() > 1:  # they synchronise in each update, which cannot be done inside another tf.function
            super().apply([*map(tf.convert_to_tensor, grads)], trainable_variables)
            return

        @tf.function(autograph=False, jit_compile=not devices.has_gpu())
        def step(*grads: tf.Tensor) -> None:
            super(Adam, self).apply(grads, trainable_variables)

        step(*map(tf.convert_to_tensor, grads))  # XLA does not know IndexedSlices


class AdamW(keras.optimizers.AdamW):
    """AdamW that clips the sum of all devices' gradients. Keras' own clips each device's gradients."""

    def _clip_gradients(self, grads: Sequence[tf.Tensor | tf.IndexedSlices]) -> list[tf.Tensor]:
        context = tf.distribute.get_replica_context()
        if (count := context.num_replicas_in_sync) == 1:
            return super()._clip_gradients(grads)
        summed = context.all_reduce(tf.distribute.ReduceOp.SUM, [*map(tf.convert_to_tensor, grads)])
        return [gradient / count for gradient in super()._clip_gradients(summed)]  # Keras sums them again
