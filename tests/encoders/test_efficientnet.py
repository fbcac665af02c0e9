"""EfficientNet-lite0: the features equal those of the code that published it (tests/fixtures/make/published.py)."""

import dataclasses

import keras
import numpy as np
import pytest

from core.errors import InputError
from encoders import convert, encoder_file
from encoders.evidence import Told
from encoders.normalisations import SYMMETRIC
from encoders.tensors import checkpoint
from encoders.tensors.tensor import Tensor
from tests.encoders.conftest import CHECKPOINTS

FILE, EXPECTED = CHECKPOINTS / "efficientnet-lite0.pth", dict(np.load(CHECKPOINTS / "features.npz"))


def error(model: keras.Model) -> float:
    """Return the largest difference, relative to the largest feature."""
    expected = EXPECTED["efficientnet"]
    return float(np.abs(np.asarray(model(EXPECTED["photographs"])) - expected).max() / expected.max())


def test_features_equal_pytorchs_and_each_part_is_explained(seen, capsys):
    assert error(convert.convert(FILE, Told(size=64, photographs=seen))) < 1e-4
    printed = capsys.readouterr().out
    assert "network: EfficientNet-lite0 under '', of Google's EfficientNet-lite" in printed
    assert "mean 0.498 0.498 0.498, standard deviation 0.502 0.502 0.502: EfficientNet-lite's, as Google's" in printed
    assert "left aside: _fc" in printed


@pytest.mark.parametrize("mistake", ["epsilon", "ReLU", "padding", "normalisation"])
def test_a_network_built_wrongly_would_show(mistake):
    family, found = convert.choose(checkpoint.read(FILE))
    (way,) = found.preprocessing
    network, feeds = family.build(found, way), SYMMETRIC if mistake == "normalisation" else way.normalisation
    for layer in network.layers:
        if mistake == "epsilon" and isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = 1e-5  # torch's default
        if mistake == "ReLU" and isinstance(layer, keras.layers.ReLU):
            layer.max_value = None
        if mistake == "padding" and layer.name == "conv_stem":
            layer.kernel.assign(
                np.roll(layer.kernel, 1, (0, 1))
            )  # as if a row and a column were added on the other side
    assert error(encoder_file.encoder(network, 64, 64, feeds.mean, feeds.deviation)) > 3e-4


def test_tensors_that_do_not_fit_are_named():
    source = checkpoint.read(FILE)
    for name, shape, message in (
        ("_blocks.1._se_reduce.weight", (4, 4, 1, 1), "_blocks.1._se_reduce.weight has no place in a efficientnet_lite0"),
        ("_blocks.3._depthwise_conv.weight", (4,), r"_blocks.3._depthwise_conv.\w+ should have the shape|has no place"),
        ("_conv_stem.weight", (1 << 30, 3, 3, 3), "does not fit"),  # wider than the file
        ("_conv_head.weight", (0,), "does not fit"),
    ):  # fmt: skip
        changed = {name: Tensor(shape, lambda shape=shape: np.zeros(shape))}
        family, found = convert.choose(dataclasses.replace(source, tensors=source.tensors | changed))
        with pytest.raises(InputError, match=message):
            family.build(found, found.preprocessing[0])
