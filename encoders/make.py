"""Write an encoder that has not learned a pretext task: an untrained network (the floor), or a supervised one of keras.applications.

    python -m encoders.make --network resnet50 --weights untrained --out encoder.keras
    python -m encoders.make --network ResNet50 --weights imagenet --out supervised.keras

Reads nothing, Keras' own download (--weights imagenet), or a weights file of a keras.applications network without its
classifier ("notop"). Writes one file that takes photographs, uint8 (N, size, size, 3), and returns features, float32 (N, D).
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from core import settings
from core.errors import InputError
from encoders import encoder_file
from encoders.fast import leaves
from encoders.networks.resnet import Stem, resnet

DEPTHS = {"resnet18": 18, "resnet34": 34, "resnet50": 50}


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    network: str = "resnet50"
    """resnet18, resnet34, resnet50, or any name in keras.applications, such as ResNet50."""
    weights: str = "untrained"
    """untrained. For keras.applications also imagenet (downloaded) or a weights file."""
    size: settings.Count = 224
    """Height and width of the photographs that the encoder takes, in pixels."""
    stem: Stem = "imagenet"
    """How resnet18 to 50 begin. imagenet: 7x7/2 and max-pool. small: 3x3/2 and max-pool. cifar: 3x3/1."""
    seed: int = 0
    """Decides the weights of an untrained network."""
    out: Path = Path("encoder.keras")
    """The encoder's file."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    keras.utils.set_random_seed(config.seed)
    if config.network in DEPTHS:
        model = untrained(config.network, config.weights, config.size, config.stem)
    else:
        model = application(config.network, config.weights, config.size)
    encoder_file.write(config.out, model, f"{config.network}, {config.weights}")


def untrained(network: str, weights: str, size: int, stem: Stem) -> keras.Model:
    """Return the encoder of an untrained ResNet.

    :raises InputError: weights are asked for, which only keras.applications and converted checkpoints have.
    """
    if weights != "untrained":
        raise InputError(
            f"--weights {weights} does not fit --network {network}, which is torchvision's layout and comes untrained: choose a "
            "network of keras.applications (--network ResNet50), or convert a checkpoint with python -m encoders.convert"
        )
    return set_batch_statistics(encoder_file.encoder(resnet(DEPTHS[network], stem), size, size))


def application(network: str, weights: str, size: int) -> keras.Model:
    """Return the encoder of a keras.applications network, average-pooled, with the network's own preprocessing inside.

    :param weights: "untrained", "imagenet" (Keras downloads them once), or the path of a weights file without the classifier.
    :raises InputError: no such network, no such file, a file of another network, no download, or a size too small.
    """
    build = getattr(keras.applications, network, None)
    if not callable(build):
        raise InputError(f"--network {network} is unknown: choose one of {', '.join([*DEPTHS, *_applications()])}")
    if weights not in ("untrained", "imagenet") and not Path(weights).is_file():
        raise InputError(f"--weights {weights} is no file: give untrained, imagenet, or {network}'s weights file")
    source = None if weights == "untrained" else weights
    try:
        body = build(include_top=False, weights=source, input_shape=(size, size, 3), pooling="avg")
    except Exception as error:  # Keras raises plain Exception where a download fails
        reason = str(error).partition("\n")[0]  # Keras may list all layers after it
        raise InputError(f"{network}, {weights}, {size} x {size}: {reason}\n{_advice(weights)}") from error
    model = encoder_file.encoder(body, size, size, **_preprocessing(sys.modules[build.__module__].preprocess_input))
    return model if source else set_batch_statistics(model)


def set_batch_statistics(model: keras.Model) -> keras.Model:
    """Set an untrained encoder's batch statistics to those of drawn photographs, in place, and return it.

    As a network starts, they are mean 0 and variance 1 whatever comes in. Then sums grow along the blocks, all photographs' features
    are nearly the same, and a captioner learns to leave them aside: too low a floor for encoders that normalise.
    """
    normalisations = [layer for layer in leaves(model) if isinstance(layer, layers.BatchNormalization)]
    momenta = [layer.momentum for layer in normalisations]
    for layer in normalisations:
        layer.momentum = 0.0  # one pass is enough
    in_a_graph = tf.function(
        model, autograph=False
    )  # which drops what no layer takes any more: 1 GB instead of 6 for ResNet-50
    in_a_graph(_clouds(32, *model.input_shape[1:3]), training=True)
    for layer, momentum in zip(normalisations, momenta, strict=True):
        layer.momentum = momentum
    return model


def _clouds(count: int, height: int, width: int) -> np.ndarray:
    """Draw clouds of colour, uint8 (count, height, width, 3), as rough at each scale as photographs are."""
    random = np.random.default_rng(0)
    grids = [random.normal(size=(count, side, side, 3)) for side in (2, 4, 8, 16, 32, 64)]
    sums = sum(ops.convert_to_numpy(ops.image.resize(grid, (height, width), "bicubic")) for grid in grids)
    return np.clip(128 + 64 * sums / sums.std(), 0, 255).astype("uint8")


def _applications() -> list[str]:
    return [name for name in dir(keras.applications) if name[0].isupper()]


def _advice(weights: str) -> str:
    if weights == "imagenet":
        return "without a network, download the file named above elsewhere and give it: --weights FILE"
    if weights == "untrained":
        return "choose another --size"
    return 'give the weights of this very network without its classifier: Keras calls such files "notop"'


def _preprocessing(preprocess) -> dict:
    """Return as arguments of `encoder` what a keras.applications network does to pixels in [0, 255].

    Each such function is a scale and an offset for each channel, some after turning RGB into BGR; what it makes of black
    and of full red, green and blue determines them all.
    """
    colours = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype("float32")
    black, *full = preprocess(colours[:, None, None])[:, 0, 0].astype("float64")  # 4 x (3,)
    slopes = (np.stack(full) - black) / 255  # (channel in, channel out)
    deviation = 1 / (255 * slopes.max(axis=0))
    return {"mean": tuple(-black * deviation), "deviation": tuple(deviation), "blue_first": bool(slopes[0, 2] > 0)}


if __name__ == "__main__":
    settings.run(main)
