"""ResNet-18 to -200 (He et al. 2015, arXiv 1512.03385) in torchvision's layout, "v1.5": stride in the 3x3 convolution.

Layers carry torchvision's names with `_` for `.`: `layer1_0_downsample_0` is torchvision's `layer1.0.downsample.0`.
"""

from functools import partial
from typing import Literal, NamedTuple

import keras
from keras import layers

BLOCKS = {  # blocks in each of the four stages, by depth
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
BASIC = (18, 34)  # depths whose blocks have two 3x3 convolutions; the others have bottlenecks


class Beginning(NamedTuple):
    """How a network begins: its first convolution, its max-pool (size, strides, padding), and the usual size of photographs."""

    kernel: int
    strides: int
    padding: int
    pool: tuple[int, int, int] | None
    size: int


Stem = Literal["imagenet", "small", "cifar"]  # of the networks that are trained here
PublishedStem = Literal[Stem, "stl10", "solo", "scan", "deep"]
STEMS = {
    "imagenet": Beginning(7, 2, 3, (3, 2, 1), 224),
    "stl10": Beginning(7, 2, 3, None, 96),  # Lightning-Bolts' for STL-10
    "small": Beginning(3, 2, 1, (3, 2, 1), 64),
    "cifar": Beginning(3, 1, 1, None, 32),  # SimCLR, appendix B.9
    "solo": Beginning(3, 1, 2, None, 32),  # solo-learn's for CIFAR
    "scan": Beginning(3, 1, 1, (2, 2, 1), 96),  # SCAN's for STL-10
    "deep": Beginning(3, 2, 1, (3, 2, 1), 224),  # timm's resnet50d and others
}


def resnet(
    depth: int,
    stem: PublishedStem = "imagenet",
    width: int = 64,
    *,
    blocks: tuple[int, ...] | None = None,
    deep_widths: tuple[int, ...] | None = None,
    same_pooling: bool = False,
    always_project: bool = False,
    average_shortcut: bool = False,
    v1_strides: bool = False,
    zero_gamma: bool = False,
    synchronized: bool = False,
) -> keras.Model:
    """Network from normalised photographs, float (N, H, W, 3) of any H and W, to pooled features (N, D).

    D is 8 x `width` for depth 18 and 34, else 32 x `width`. `keras.utils.set_random_seed` decides the weights.
    `stem`: "imagenet" is 7x7/2 and a max-pool; "small" 3x3/2 and a max-pool, for about 64 pixels; "cifar" 3x3/1 alone,
    for about 32 pixels; the others are in `STEMS`. `deep_widths`: channels of the deep stem's first two convolutions. `blocks`: in each stage, in place of the depth's.
    `average_shortcut`: shortcuts halve the map by averages (He et al. 2018, arXiv 1812.01187, "ResNet-D"). `v1_strides`:
    the stride is in the first 1x1 convolution of a bottleneck. `zero_gamma`: each block starts as its shortcut.
    `synchronized`: batch statistics over all replicas. google-research/simclr differs from torchvision in `same_pooling`
    (TensorFlow's "SAME" in the max-pool) and `always_project` (a convolution in the first shortcut of every stage).
    """
    normalise = partial(_normalise, synchronized=synchronized)
    bottleneck = partial(_bottleneck, v1_strides=v1_strides)
    block = partial(_basic if depth in BASIC else bottleneck, normalise, "zeros" if zero_gamma else "ones")
    join = partial(_join, normalise, average_shortcut)
    photographs = keras.Input((None, None, 3), name="photographs")
    before = (deep_widths or (width // 2, width // 2)) if stem == "deep" else ()
    x = _stem(photographs, normalise, STEMS[stem], (*before, width), same_pooling)
    for stage, count in enumerate(blocks or BLOCKS[depth]):
        for index in range(count):
            strides = 2 if stage > 0 and index == 0 else 1
            project = index == 0 and (stage > 0 or depth not in BASIC or always_project)
            name = f"layer{stage + 1}_{index}"
            x = join(x, block(x, width * 2**stage, strides, name), strides, project, name)
    features = layers.GlobalAveragePooling2D(name="avgpool")(x)
    return keras.Model(photographs, features, name=f"resnet{depth}")


def _stem(x, normalise, stem: Beginning, widths: tuple[int, ...], same_pooling: bool):
    strides = stem.strides
    for number, width in enumerate(
        widths[:-1]
    ):  # torchvision's names of a Sequential: convolution, normalisation, ReLU
        x = _convolve(x, width, stem.kernel, strides, f"conv1_{3 * number}", stem.padding)
        x = layers.ReLU(name=f"relu_{number}")(normalise(x, f"conv1_{3 * number + 1}"))
        strides = 1
    last = f"conv1_{3 * len(widths) - 3}" if len(widths) > 1 else "conv1"
    x = _convolve(x, widths[-1], stem.kernel, strides, last, stem.padding)
    x = layers.ReLU(name="relu")(normalise(x, "bn1"))  # imagenet: (N, H / 2, W / 2, width), rounded up
    if stem.pool is None:
        return x
    size, strides, padding = stem.pool
    if same_pooling:
        return layers.MaxPooling2D(size, strides, "same", name="maxpool")(x)
    if padding:
        x = layers.ZeroPadding2D(padding, name="maxpool_padding")(x)  # zero is the least value after a ReLU
    return layers.MaxPooling2D(size, strides, name="maxpool")(x)


def _basic(normalise, last_gamma: str, x, filters: int, strides: int, name: str):
    y = _convolve(x, filters, 3, strides, f"{name}_conv1")
    y = layers.ReLU(name=f"{name}_relu1")(normalise(y, f"{name}_bn1"))
    return normalise(_convolve(y, filters, 3, 1, f"{name}_conv2"), f"{name}_bn2", gamma=last_gamma)


def _bottleneck(normalise, last_gamma: str, x, filters: int, strides: int, name: str, *, v1_strides: bool):
    first, second = (strides, 1) if v1_strides else (1, strides)
    y = _convolve(x, filters, 1, first, f"{name}_conv1")
    y = layers.ReLU(name=f"{name}_relu1")(normalise(y, f"{name}_bn1"))
    y = _convolve(y, filters, 3, second, f"{name}_conv2")
    y = layers.ReLU(name=f"{name}_relu2")(normalise(y, f"{name}_bn2"))
    return normalise(_convolve(y, 4 * filters, 1, 1, f"{name}_conv3"), f"{name}_bn3", gamma=last_gamma)


def _join(normalise, average: bool, shortcut, y, strides: int, project: bool, name: str):
    if project:
        if average and strides > 1:
            shortcut = layers.AveragePooling2D(strides, strides, "same", name=f"{name}_average")(shortcut)
            strides = 1
        shortcut = _convolve(shortcut, y.shape[-1], 1, strides, f"{name}_downsample_0")
        shortcut = normalise(shortcut, f"{name}_downsample_1")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([shortcut, y]))


def _convolve(x, filters: int, kernel: int, strides: int, name: str, padding: int | None = None):
    padding = (kernel - 1) // 2 if padding is None else padding
    if padding:  # symmetric: Keras' own "same" pads only below and to the right where it strides over even sizes
        x = layers.ZeroPadding2D(padding, name=f"{name}_padding")(x)
    initializer = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")  # He's, as torchvision
    return layers.Conv2D(filters, kernel, strides, use_bias=False, kernel_initializer=initializer, name=name)(x)


def _normalise(x, name: str, synchronized: bool, gamma: str = "ones"):
    return layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, synchronized=synchronized, name=name
    )(x)
