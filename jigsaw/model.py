"""The jigsaw task as a Keras model: one network shared by nine tiles, and a head that names the permutation which shuffled them."""

from typing import Literal

import keras
from keras import layers, ops

from encoders.networks.resnet import Stem, resnet

Network = Literal["resnet18", "resnet50", "alexnet"]
ALEXNET = ((96, 11, 2, True), (256, 11, 1, True), (384, 3, 1, False), (384, 3, 1, False), (256, 3, 1, True))


def shared(name: Network, stem: Stem = "small", width: int = 64, *, synchronized: bool = False) -> keras.Model:
    """Return the network of one tile, standardised, float (N, H, W, 3) -> pooled features (N, D), or AlexNet's maps (N, h, w, 512).

    "resnet50" is that of keras.applications, as the original has it (D 2048), "resnet18" that of `encoders.networks.resnet` for small
    machines, which alone has a `stem` and a `width` (D 8 x `width`). If `synchronized`, batch statistics are those of all devices.
    """
    if name == "resnet18":
        return resnet(18, stem, width, synchronized=synchronized)
    network = (
        alexnet() if name == "alexnet" else keras.applications.ResNet50(include_top=False, weights=None, pooling="avg")
    )
    return _synchronised(network) if synchronized else network


def _synchronised(network: keras.Model) -> keras.Model:
    """Return an untrained copy of the network whose batch statistics are those of all devices."""

    def copy(layer: layers.Layer) -> layers.Layer:
        other = {"synchronized": True} if isinstance(layer, layers.BatchNormalization) else {}
        return type(layer).from_config(layer.get_config() | other)

    return keras.models.clone_model(network, clone_function=copy)


def alexnet() -> keras.Model:
    """Network of the original's `base_Alexnet`: tiles, float (N, H, W, 3) -> maps (N, H / 16, W / 16, 512), rounded up.

    Krizhevsky's five convolutions with stride 2 in the first, 11x11 in the second too, batch normalisation after each, and a
    dense layer at each place.
    """
    x = tiles = keras.Input((None, None, 3), name="tiles")
    for number, (filters, kernel, strides, pooled) in enumerate(ALEXNET, 1):
        x = layers.Conv2D(filters, kernel, strides, "same", activation="relu", name=f"conv{number}")(x)
        if pooled:
            x = layers.MaxPooling2D(2, 2, "same", name=f"maxpool{number}")(x)
        x = layers.BatchNormalization(name=f"bn{number}")(x)
    maps = layers.Dense(512, activation="relu", name="maps")(x)
    return keras.Model(tiles, maps, name="alexnet")


def jigsaw(network: keras.Model, tile: int, permutations: int, *, synchronized: bool = False) -> keras.Model:
    """Return the solver: nine shuffled tiles, standardised, float (N, 9, `tile`, `tile`, 3) -> probabilities of the permutations, float32.

    The context-free network (section 3.1): the shared network sees no tile beside another, once for the 9N tiles stacked, so batch
    statistics are over them all. What goes into the layer `permutation`, (N, 1024), is the last before the softmax. Heads are the
    original's: 2048 and 1024 after a ResNet; 4096 and 1024 after AlexNet, where tiles of 64 pixels make the first 302 million
    parameters, 1.2 GB, and with gradients and Adam's two moments 4.8 GB. After "resnet18", which the original has not, both are
    batch-normalised, `synchronized` over several GPUs: without it, Adam's first updates of .001 leave 99% of `hidden` at 0 for ever.
    """
    tiles = keras.Input((9, tile, tile, 3), name="tiles")
    seen = network(ops.reshape(tiles, (-1, tile, tile, 3)))  # (9N, D), or maps (9N, h, w, D)
    seen = ops.reshape(seen, (-1, 9, *seen.shape[1:]))
    x = layers.Flatten(name="nine")(
        ops.moveaxis(seen, 1, -2)
    )  # (N, 9D), or (N, h x w x 9D): tiles side by side in the channels
    maps = len(seen.shape) > 3
    if maps:
        x = layers.Dropout(0.5, name="nine_dropout")(x)
    normalised = network.name == "resnet18"
    x = rectified(x, 4096 if maps else 2048, "hidden", normalised, synchronized)
    x = layers.Dropout(0.5, name="hidden_dropout")(x)
    x = rectified(x, 1024, "features", normalised, synchronized)
    if not maps:
        x = layers.Dropout(0.5, name="features_dropout")(x)
    permutation = layers.Dense(permutations, activation="softmax", dtype="float32", name="permutation")(x)
    return keras.Model(tiles, permutation, name="jigsaw")


def rectified(x, units: int, name: str, normalised: bool, synchronized: bool):
    """Apply a dense layer with ReLU, batch-normalised between the two or not: (N, D) -> (N, units)."""
    if not normalised:
        return layers.Dense(units, activation="relu", name=name)(x)
    x = layers.Dense(units, name=name)(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=synchronized, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
