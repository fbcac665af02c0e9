"""What an encoder is: a file that takes photographs, uint8 (N, H, W, 3) RGB, and returns features, float32 (N, D).

In its first form, .keras, all preprocessing is inside, made of Keras' own layers, so that the file loads with `safe_mode=True` and
without any code of ours. The second is .onnx with .json beside it.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from core import disk, keras_files
from core.errors import InputError
from encoders import onnx_file
from encoders.fast import leaves
from encoders.onnx_file import OnnxEncoder

Encoder = keras.Model | OnnxEncoder

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's, of RGB in [0, 1]


def read(path: Path) -> Encoder:
    """Return an encoder: uint8 `(N, H, W, 3)` photographs -> float32 `(N, D)` features.

    :raises InputError: the file is missing or holds something else.
    """
    if not Path(path).exists():
        raise InputError(
            f"expected an encoder at {path}, found nothing; make one, for instance with "
            f"`python -m encoders.make --network resnet50 --weights untrained --out {path}`"
        )
    if Path(path).suffix == ".onnx":
        return onnx_file.read(Path(path))
    model = keras_files.read(path)
    shapes = [tuple(tensor.shape) for tensor in (*model.inputs, *model.outputs)]
    fits = (
        len(shapes) == 2
        and len(shapes[0]) == 4
        and None not in shapes[0][1:]
        and shapes[0][3] == 3
        and len(shapes[1]) == 2
    )
    if not fits or model.inputs[0].dtype != "uint8":
        raise InputError(
            f"expected an encoder, uint8 (N, H, W, 3) -> (N, D), in {path}; found "
            f"{model.inputs[0].dtype} {' -> '.join(map(str, shapes))}; make one with `python -m encoders.make`"
        )
    return model


def write(path: Path, model: keras.Model, name: str, *, bits: int = 24) -> None:
    """Write an encoder, and say what was written."""
    keras_files.write(path, model, bits=bits)
    say_written(path, model, name)


def say_written(path: Path, model: Encoder, name: str) -> None:
    """Print what was written."""
    print(f"wrote {path}: {name}, {describe(model)}, {path.stat().st_size / 1e6:.1f} MB")


def facts(path: Path) -> dict[str, Any]:
    """Return what FILE.json beside an encoder's file says of it; nothing where there is none.

    :raises InputError: it holds no JSON object.
    """
    beside = path.with_suffix(".json")
    found = disk.read_json(beside) if beside.exists() else {}
    if not isinstance(found, dict):
        raise InputError(
            f'expected an object such as {{"pretext task": "SimCLR"}} in {beside}, found {type(found).__name__}; '
            "give one, or remove the file"
        )
    return found


def fingerprint(encoder: Encoder) -> str:
    """Return the SHA-256, in hexadecimal, of all that decides its features."""
    return encoder.fingerprint if isinstance(encoder, OnnxEncoder) else keras_files.fingerprint(encoder)


def describe(model: Encoder) -> str:
    """Return an encoder's shapes as words: `224 x 224 x 3 -> 2048`."""
    return f"{' x '.join(map(str, model.input_shape[1:]))} -> {model.output_shape[-1]}"


def with_grid(model: keras.Model) -> keras.Model:
    """Return an encoder with a second output, the grid (N, h, w, C): what its layer `grid` gives, else what its last average pooling takes.

    Both outputs come from one pass. Layers of models in the encoder count; the new model shares them all.

    :raises InputError: it has no such layer, or one that does not see whole photographs, such as jigsaw's, which sees tiles.
    """
    found = [*leaves(model)]
    named = [layer for layer in found if layer.name == "grid"]
    pooling = [layer for layer in found if isinstance(layer, layers.GlobalAveragePooling2D)]
    if chosen := (named or pooling)[-1:]:
        both = _with_grid_of(chosen[0], model)
        _, grid = both.compute_output_spec(keras.KerasTensor((1, *model.input_shape[1:]), "uint8"))
        if len(grid.shape) == 4 and grid.shape[0] == 1:
            return both
    raise InputError(
        "expected an encoder with a grid (a layer named grid, or a GlobalAveragePooling2D of whole photographs), "
        "found one without; leave out --grid, or choose another encoder"
    )


def has_grid(encoder: Encoder) -> bool:
    """Tell whether an encoder gives a grid."""
    if isinstance(encoder, OnnxEncoder):
        return bool(encoder.grid)
    try:
        with_grid(encoder)
    except InputError:
        return False
    return True


def _with_grid_of(layer: layers.Layer, model: keras.Model) -> keras.Model:
    if layer in model.layers:
        return keras.Model(model.inputs, [*model.outputs, layer.output if layer.name == "grid" else layer.input])
    holder = next(part for part in model.layers if isinstance(part, keras.Model) and layer in [*leaves(part)])
    both, grids = _with_grid_of(layer, holder), []

    def call(part: layers.Layer, *args, **kwargs):
        if part is not both:
            return part(*args, **kwargs)
        output, grid = both(*args, **kwargs)
        grids.append(grid)
        return output

    copy = keras.models.clone_model(
        keras.Model(model.inputs, model.outputs),  # not a Sequential, which could not give two
        clone_function=lambda part: both if part is holder else part,
        call_function=call,
    )
    return keras.Model(copy.inputs, [*copy.outputs, grids[-1]])


def encoder(
    network: keras.Model,
    height: int,
    width: int,
    mean: float | tuple[float, ...] = IMAGENET_MEAN,
    deviation: float | tuple[float, ...] = IMAGENET_DEVIATION,
    *,
    blue_first: bool = False,
) -> keras.Model:
    """Wrap a network, float (N, H, W, 3) -> (N, D), into an encoder: photographs, uint8 (N, height, width, 3) RGB -> float32 (N, D).

    The network sees (photographs / 255 - `mean`) / `deviation`, with the channels as blue, green, red if `blue_first`
    (`mean` and `deviation`, one number or one a channel, then are in this order). It computes in float32, whatever
    precision it was trained in.
    """
    photographs = keras.Input((height, width, 3), dtype="uint8", name="photographs")
    pixels = ops.flip(photographs, axis=-1) if blue_first else photographs
    normalised = normalisation(255, mean, deviation)(pixels)
    return keras.Model(photographs, _in_float32(network)(normalised), name="encoder")


def normalisation(
    white: float,
    mean: float | tuple[float, ...] = IMAGENET_MEAN,
    deviation: float | tuple[float, ...] = IMAGENET_DEVIATION,
) -> layers.Rescaling:
    """Return the layer from pixels in [0, `white`] to float32 (pixels / `white` - `mean`) / `deviation`."""
    deviation = np.broadcast_to(deviation, 3)
    scale, offset = 1 / (white * deviation), -np.asarray(mean) / deviation
    return layers.Rescaling(scale.tolist(), offset.tolist(), dtype="float32", name="normalisation")


def _in_float32(network: keras.Model) -> keras.Model:
    if all(layer.dtype_policy.compute_dtype == "float32" for layer in network.layers):
        return network

    def in_float32(layer):
        return type(layer).from_config(layer.get_config() | {"dtype": "float32"})

    clone = keras.models.clone_model(network, clone_function=in_float32, recursive=True)
    clone.set_weights(network.get_weights())
    return clone
