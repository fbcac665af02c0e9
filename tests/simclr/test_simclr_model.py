"""SimCLR as a model: what it computes, and what it reports. tests/pretext/test_methods.py trains it on two devices."""

import keras
import numpy as np
import pytest
from keras import layers

from pretext.optimizers import optimizer
from pretext.siamese import head, spread
from simclr.loss import nt_xent
from simclr.model import SimCLR

RANDOM = np.random.default_rng(0)
VIEWS = RANDOM.random((16, 2, 16, 16, 3)).astype("float32")


def network():
    """A small network with batch statistics."""
    x = photographs = keras.Input((None, None, 3))
    for _ in range(2):
        x = layers.Conv2D(8, 3, 2, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(photographs, layers.GlobalAveragePooling2D()(x))


def build(learning_rate=0.1):
    keras.utils.set_random_seed(0)
    model = SimCLR(network(), temperature=0.2, dimension=16)
    model.compile(optimizer("sgd", model.trainable_variables, learning_rate, 10, 0, 1e-3), jit_compile=False)
    return model


def test_fit_reports_the_mean_loss_accuracy_and_spread_and_learns():
    model = build(learning_rate=0.0)
    projections = model(VIEWS[:8], training=True)
    model = build(learning_rate=0.0)
    logs = model.fit(VIEWS[:8], batch_size=8, verbose=0).history
    losses, right = nt_xent(projections, 0.2)
    assert np.isclose(logs["loss"][0], np.mean(losses), rtol=1e-4)
    assert np.isclose(logs["accuracy"][0], np.mean(right))
    assert np.isclose(logs["spread"][0], spread(projections[:, 0]), rtol=1e-4)
    losses = build().fit(VIEWS[:8], epochs=6, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.1


def test_views_are_normalised_before_the_network():
    model = build()
    expected = (VIEWS[0, 0, 0, 0] - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.allclose(model.normalisation(VIEWS)[0, 0, 0, 0], expected, atol=1e-5)


def test_spread_is_one_on_a_sphere_and_zero_after_a_collapse():
    assert float(spread(RANDOM.normal(size=(2000, 32)).astype("float32"))) == pytest.approx(1, abs=0.03)
    assert float(spread(np.ones((10, 32), "float32"))) == pytest.approx(0, abs=1e-6)


def test_a_head_has_the_layers_asked_for():
    assert [len(layer.shape) for layer in head(32, 32, 16).weights] == [2, 1, 1, 1, 1, 2]
    assert head(32, 32, 32, 16).output_shape == (None, 16)
    assert [layer.name for layer in head(32, 8, 16, closing=True).layers[1:]] == [
        "dense1",
        "bn1",
        "relu1",
        "dense2",
        "bn2",
    ]
