"""EfficientNet-lite0 (Tan & Le 2019, arXiv 1905.11946, without squeeze and excitation, and with ReLU6 for Swish) of Keras' own layers.

Layers carry the names of lukemelas' EfficientNet-PyTorch without its leading underscores: `blocks_0_depthwise_conv` is `_blocks.0._depthwise_conv`.
"""

import keras
from keras import layers

STAGES = (  # of lite0: blocks, kernel, strides of the first block, expansion
    (1, 3, 1, 1),
    (2, 3, 2, 6),
    (2, 5, 2, 6),
    (3, 3, 2, 6),
    (3, 5, 1, 6),
    (4, 5, 2, 6),
    (1, 3, 1, 6),
)
BLOCKS = sum(count for count, *_ in STAGES)


def efficientnet_lite0(stem: int, widths: tuple[int, ...], head: int) -> keras.Model:
    """Network from normalised photographs, float (N, H, W, 3) of any H and W, to pooled features (N, `head`).

    :param widths: channels of each block; `stem` and `head`: of the convolutions before and after them.
    """
    shapes = [
        (kernel, strides if index == 0 else 1, expansion)
        for count, kernel, strides, expansion in STAGES
        for index in range(count)
    ]
    photographs = keras.Input((None, None, 3), name="photographs")
    x = _convolve(photographs, stem, "conv_stem", "bn0", kernel=3, strides=2)
    for index, (shape, width) in enumerate(zip(shapes, widths, strict=True)):
        x = _block(x, width, f"blocks_{index}", *shape)
    x = _convolve(x, head, "conv_head", "bn1")
    return keras.Model(photographs, layers.GlobalAveragePooling2D(name="avg_pooling")(x), name="efficientnet_lite0")


def _block(x, width: int, name: str, kernel: int, strides: int, expansion: int):
    y = x
    if expansion > 1:
        y = _convolve(y, expansion * x.shape[-1], f"{name}_expand_conv", f"{name}_bn0")
    y = layers.DepthwiseConv2D(kernel, strides, "same", use_bias=False, name=f"{name}_depthwise_conv")(y)
    y = _activate(_normalise(y, f"{name}_bn1"), f"{name}_bn1")
    y = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_project_conv")(y)
    y = _normalise(y, f"{name}_bn2")
    return layers.Add(name=f"{name}_add")([x, y]) if strides == 1 and width == x.shape[-1] else y


def _convolve(x, filters: int, name: str, normalisation: str, kernel: int = 1, strides: int = 1):
    x = layers.Conv2D(filters, kernel, strides, "same", use_bias=False, name=name)(x)
    return _activate(_normalise(x, normalisation), normalisation)


def _normalise(x, name: str):
    return layers.BatchNormalization(epsilon=1e-3, name=name)(x)


def _activate(x, name: str):
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
