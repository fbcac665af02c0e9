"""Keras' Adam, whose step is compiled on processors: once over memory, not once for each operation on millions of weights."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from core import devices


class Adam(keras.optimizers.Adam):
    """A word that a batch has twice counts with the sum of its gradients, as in Keras 2; Keras 3 squares each by itself."""

    def apply(
        self, grads: Sequence[tf.Tensor | tf.IndexedSlices], trainable_variables: Sequence[keras.Variable]
    ) -> None:
        @tf.function(autograph=False, jit_compile=not devices.has_gpu())
        def step(*grads: tf.Tensor) -> None:
            super(Adam, self).apply(grads, trainable_variables)

        step(*map(tf.convert_to_tensor, grads))  # XLA does not know IndexedSlices
