"""Optimizers of the pretext tasks: SGD, AdamW and LARS, on a learning rate that warms up and falls on a cosine."""

from collections.abc import Sequence
from typing import Literal

import keras
from keras import ops
from keras.optimizers.schedules import CosineDecay

Optimizer = Literal["sgd", "lars", "adamw"]


def optimizer(
    name: Optimizer, variables: Sequence[keras.Variable], peak: float, steps: int, warm_up: int, decay: float
) -> keras.optimizers.Optimizer:
    """Return an optimizer whose learning rate rises to `peak` in `warm_up` steps and falls to 0 on a cosine until `steps`.

    Weights decay by `decay` times the learning rate a step (LARS: by its own formula); biases and batch normalisation do not.
    """
    if warm_up:
        rate = CosineDecay(0.0, max(steps - warm_up, 1), warmup_target=peak, warmup_steps=warm_up)
    else:
        rate = CosineDecay(peak, steps)
    if name == "lars":
        return LARS(rate, decay=decay)
    if name == "adamw":
        chosen = keras.optimizers.AdamW(rate, weight_decay=decay)
    else:
        chosen = keras.optimizers.SGD(rate, momentum=0.9, weight_decay=decay)
    chosen.exclude_from_weight_decay(var_list=[variable for variable in variables if len(variable.shape) == 1])
    return chosen


class LARS(keras.optimizers.Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017, arXiv 1708.03888, algorithm 1), as SimCLR uses it.

    Each matrix or kernel w with gradient g moves by trust * |w| / (|g| + decay * |w|) times the learning rate; biases and what
    batch normalisation learns move by plain momentum SGD, without decay.
    """

    def __init__(self, learning_rate=0.3, momentum: float = 0.9, decay: float = 1e-6, trust: float = 1e-3, **options):
        super().__init__(learning_rate=learning_rate, **options)
        self.momentum, self.decay, self.trust = momentum, decay, trust

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient, variable, learning_rate):
        if len(variable.shape) > 1:
            weight_norm, gradient_norm = ops.norm(ops.reshape(variable, -1)), ops.norm(ops.reshape(gradient, -1))
            together = gradient_norm + self.decay * weight_norm
            local = ops.where(weight_norm * together > 0, self.trust * weight_norm / (together + 1e-12), 1.0)
            gradient = local * (gradient + self.decay * variable)
        velocity = self.velocities[self._get_variable_index(variable)]
        self.assign(velocity, self.momentum * velocity + ops.cast(learning_rate, variable.dtype) * gradient)
        self.assign_sub(variable, velocity)

    def get_config(self):
        own = {"momentum": self.momentum, "decay": self.decay, "trust": self.trust}
        return super().get_config() | own
