"""ConvNeXts: the features equal those of their authors' code, which made the fixtures (tests/fixtures/make_vit_checkpoints.py)."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from core.errors import InputError
from encoders import convert
from encoders.encoder_file import IMAGENET_DEVIATION, IMAGENET_MEAN
from encoders.evidence import Told
from encoders.tensors import checkpoint
from encoders.tensors.tensor import Tensor
from tests.encoders.test_vit import EXPECTED, FILES, error

TOLD = {"size": 64, "mean": IMAGENET_MEAN, "deviation": IMAGENET_DEVIATION}


@pytest.mark.parametrize(
    "name, told", [("convnext_tiny_1k", {"size": 64}), ("dinov3_convnext", {"size": 64}), ("convnext_timm", TOLD)]
)
def test_features_equal_the_authors(name, told):
    assert error(convert.convert(FILES[name], Told(**told))(EXPECTED["photographs_64"]), name) < 1e-5


def test_dinov3s_grid_and_pooling():
    model = convert.convert(FILES["dinov3_convnext"], Told(size=64, pool="both"))
    network, photographs = model.layers[-1], EXPECTED["photographs_64"]
    grid = keras.Model(network.inputs, network.get_layer("grid").output)(model.get_layer("normalisation")(photographs))
    assert error(grid, "dinov3_convnext_grid") < 1e-5
    features = np.asarray(model(photographs))
    assert error(features[:, :16], "dinov3_convnext") < 1e-5
    np.testing.assert_allclose(features[:, 16:], np.asarray(grid).mean((1, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"downsample_layers.2.1.weight": (12, 8)}, r"downsample_layers.2.1.weight under '', found \(8, 12\)"),
        ({"stages.2.0.pwconv1.weight": (12, 48)}, r"stages.2.0.pwconv1.weight should have the shape \(12, 48\), found \(48, 12\)"),
        ({"stages.0.0.gamma": (1,)}, "stages.0.0.gamma has no place in a convnext"),
        ({"stages.0.0.grn.gamma": (16,)}, "stages.0.0.grn.gamma has no place in a convnext"),
        ({"downsample_layers.0.0.weight": (1 << 20, 3, 4, 4)}, "does not fit"),  # wider than the file
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(change, message):
    source = checkpoint.read(FILES["dinov3_convnext"])
    changed = {name: Tensor(shape, lambda shape=shape: np.zeros(shape)) for name, shape in change.items()}
    family, found = convert.choose(replace(source, tensors=source.tensors | changed))
    with pytest.raises(InputError, match=message):
        family.build(found, found.preprocessing[0])
