"""Tensors of TensorFlow's checkpoints, and of the variables of a SavedModel."""

import re
from functools import partial
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from core.errors import InputError
from encoders.tensors.tensor import Tensor

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # where TensorFlow 2 keeps the variables' full names


def prefix_of(path: Path) -> str | None:
    """Return what TensorFlow calls the checkpoint that a path means: its files' common name without .index."""
    prefix = re.sub(r"\.(index|data-\d+-of-\d+)$", "", str(path))
    if Path(f"{prefix}.index").is_file():
        return prefix
    if not path.is_dir():
        return None
    found = sorted([*path.glob("*.index"), *path.glob("variables/*.index")])
    if len(found) != 1:
        names = ", ".join(str(index) for index in found) or "none"
        raise InputError(
            "expected one TensorFlow checkpoint (a file .index), or model.safetensors or pytorch_model.bin of Hugging Face, "
            f"in the folder {path}, found {names}"
        )
    return str(found[0]).removesuffix(".index")


def read(prefix: str) -> dict[str, Tensor]:
    """Return the tensors of the checkpoint with this prefix by their full names."""
    reader = tf.train.load_checkpoint(prefix)
    shapes = reader.get_variable_to_shape_map()
    keys = {name: name for name in sorted(shapes) if name != OBJECT_GRAPH}
    if shapes.get(OBJECT_GRAPH) == []:
        graph = TrackableObjectGraph.FromString(reader.get_tensor(OBJECT_GRAPH))
        keys = {attribute.full_name: attribute.checkpoint_key for node in graph.nodes for attribute in node.attributes}
    return {
        name: Tensor(tuple(shapes[key]), partial(reader.get_tensor, key)) for name, key in keys.items() if key in shapes
    }
