"""Small ONNX files, as exporters write them: a convolution, its map pooled, and a classifier."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

KERNEL = np.random.default_rng(3).normal(size=(5, 3, 2, 2)).astype("float32")  # (out, in, height, width)
BIAS = np.linspace(-1, 2, 5, dtype="float32")
CLASSES = np.ones((5, 40), "float32")
FLOAT, HALF, BYTES = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8


def network(
    *, layout: str = "NCHW", kind: int = FLOAT, batch: str | int = "N", size: str | int = 8, more: Sequence[Any] = ()
) -> Any:
    """Return a network of photographs whose tensors `map`, (N, 5, h, w), `features`, (N, 5), and `classes`, (N, 40), are known.

    :param more: nodes after these.
    """
    sides = [3, size, size] if layout == "NCHW" else [size, size, 3]
    nodes = [helper.make_node("Cast", ["photographs"], ["pixels"], to=FLOAT)]
    order = [0, 1, 2, 3] if layout == "NCHW" else [0, 3, 1, 2]
    nodes += [
        helper.make_node("Transpose", ["pixels"], ["turned"], perm=order),
        helper.make_node("Conv", ["turned", "kernel", "bias"], ["before"], strides=[2, 2]),
        helper.make_node("Relu", ["before"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("MatMul", ["features", "weights"], ["classes"]),
        *more,
    ]
    weights = [
        numpy_helper.from_array(value, name)
        for name, value in (("kernel", KERNEL), ("bias", BIAS), ("weights", CLASSES))
    ]
    inputs = [helper.make_tensor_value_info("photographs", kind, [batch, *sides])]
    outputs = [helper.make_tensor_value_info("classes", FLOAT, [batch, 40])]
    return model(helper.make_graph(nodes, "small", inputs, outputs, weights))


def model(graph: Any) -> Any:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="tests")


def write(path: Path, **options: Any) -> Path:
    path.write_bytes(network(**options).SerializeToString())
    return path


def grid(pixels: np.ndarray) -> np.ndarray:
    """Return what `map` is of normalised photographs (N, H, W, 3), by NumPy: (N, H / 2, W / 2, 5)."""
    count, height, width, _ = pixels.shape
    patches = pixels.reshape(count, height // 2, 2, width // 2, 2, 3)
    return np.maximum(np.einsum("nhiwjc,ocij->nhwo", patches, KERNEL) + BIAS, 0)


def parameters(*arrays: np.ndarray) -> int:
    return sum(math.prod(array.shape) for array in arrays)
