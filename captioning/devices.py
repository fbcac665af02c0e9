"""What a GPU needs to be told before the first tensor."""

import os
from typing import Literal

import keras

Policy = Literal["float32", "mixed_bfloat16", "mixed_float16"]


def prepare(policy: Policy = "float32") -> None:
    """Let a GPU's memory grow as needed instead of taking it all, and build layers from now on in this precision."""
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    keras.config.set_dtype_policy(policy)
