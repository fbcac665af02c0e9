"""ResNet-18, -34 and -50 (He et al. 2015, arXiv 1512.03385) in torchvision's layout, "v1.5": stride in the 3x3 convolution.

Layers carry torchvision's names with `_` for `.`: `layer1_0_downsample_0` is torchvision's `layer1.0.downsample.0`.
"""

from functools import partial
from typing import Literal

import keras
from keras import layers

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}  # blocks in each of the four stages, by depth
Stem = Literal["imagenet", "small", "cifar"]
STEMS = {"imagenet": (7, 2, True), "small": (3, 2, True), "cifar": (3, 1, False)}  # kernel, strides, max-pool
SIZES = {"imagenet": 224, "small": 64, "cifar": 32}  # of the photographs that networks with such a stem are trained on


def resnet(
    depth: int,
    stem: Stem = "imagenet",
    width: int = 64,
    *,
    same_pooling: bool = False,
    always_project: bool = False,
    zero_gamma: bool = False,
    synchronized: bool = False,
) -> keras.Model:
    """Network from normalised photographs, float (N, H, W, 3) of any H and W, to pooled features (N, D).

    D is 8 x `width` for depth 18 and 34, 32 x `width` for depth 50. `keras.utils.set_random_seed` decides the weights.
    `stem`: "imagenet" is 7x7/2 and a max-pool; "small" 3x3/2 and a max-pool, for about 64 pixels; "cifar" 3x3/1 alone,
    for about 32 pixels (SimCLR, appendix B.9). `zero_gamma`: each block starts as its shortcut. `synchronized`: batch
    statistics over all replicas. google-research/simclr differs from torchvision in `same_pooling` (TensorFlow's "SAME"
    in the max-pool) and `always_project` (a convolution in the first shortcut of every stage, whatever the depth).
    """
    normalise = partial(_normalise, synchronized=synchronized)
    block = partial(_bottleneck if depth == 50 else _basic, normalise, "zeros" if zero_gamma else "ones")
    photographs = keras.Input((None, None, 3), name="photographs")
    x = _stem(photographs, normalise, stem, width, same_pooling)
    for stage, count in enumerate(BLOCKS[depth]):
        for index in range(count):
            strides = 2 if stage > 0 and index == 0 else 1
            project = index == 0 and (stage > 0 or depth == 50 or always_project)
            x = block(x, width * 2**stage, strides, project, f"layer{stage + 1}_{index}")
    features = layers.GlobalAveragePooling2D(name="avgpool")(x)
    return keras.Model(photographs, features, name=f"resnet{depth}")


def usual_size(network: keras.Model) -> int:
    """Return the height and width, in pixels, of the photographs that a network of `resnet` with such a stem is usually trained on."""
    convolution, pooled = network.get_layer("conv1"), any(layer.name == "maxpool" for layer in network.layers)
    shape = (*convolution.kernel_size[:1], *convolution.strides[:1], pooled)
    return next(SIZES[stem] for stem, known in STEMS.items() if known == shape)


def _stem(x, normalise, stem: Stem, width: int, same_pooling: bool):
    kernel, strides, pooled = STEMS[stem]
    x = _convolve(x, width, kernel, strides, "conv1")
    x = layers.ReLU(name="relu")(normalise(x, "bn1"))  # (N, H / 2, W / 2, width), rounded up
    if not pooled:
        return x
    if not same_pooling:
        x = layers.ZeroPadding2D(1, name="maxpool_padding")(x)  # zero is the least value after a ReLU
    return layers.MaxPooling2D(3, 2, "same" if same_pooling else "valid", name="maxpool")(x)


def _basic(normalise, last_gamma: str, x, filters: int, strides: int, project: bool, name: str):
    y = _convolve(x, filters, 3, strides, f"{name}_conv1")
    y = layers.ReLU(name=f"{name}_relu1")(normalise(y, f"{name}_bn1"))
    y = normalise(_convolve(y, filters, 3, 1, f"{name}_conv2"), f"{name}_bn2", gamma=last_gamma)
    return _join(normalise, x, y, strides, project, name)


def _bottleneck(normalise, last_gamma: str, x, filters: int, strides: int, project: bool, name: str):
    y = _convolve(x, filters, 1, 1, f"{name}_conv1")
    y = layers.ReLU(name=f"{name}_relu1")(normalise(y, f"{name}_bn1"))
    y = _convolve(y, filters, 3, strides, f"{name}_conv2")  # v1 has the strides in the 1x1 convolution before
    y = layers.ReLU(name=f"{name}_relu2")(normalise(y, f"{name}_bn2"))
    y = normalise(_convolve(y, 4 * filters, 1, 1, f"{name}_conv3"), f"{name}_bn3", gamma=last_gamma)
    return _join(normalise, x, y, strides, project, name)


def _join(normalise, shortcut, y, strides: int, project: bool, name: str):
    if project:
        shortcut = _convolve(shortcut, y.shape[-1], 1, strides, f"{name}_downsample_0")
        shortcut = normalise(shortcut, f"{name}_downsample_1")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([shortcut, y]))


def _convolve(x, filters: int, kernel: int, strides: int, name: str):
    if kernel > 1:  # symmetric: Keras' own "same" pads only below and to the right where it strides over even sizes
        x = layers.ZeroPadding2D((kernel - 1) // 2, name=f"{name}_padding")(x)
    initializer = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")  # He's, as torchvision
    return layers.Conv2D(filters, kernel, strides, use_bias=False, kernel_initializer=initializer, name=name)(x)


def _normalise(x, name: str, synchronized: bool, gamma: str = "ones"):
    return layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, synchronized=synchronized, name=name
    )(x)
