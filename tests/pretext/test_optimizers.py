"""Optimizers: LARS against its formula, what decays and what does not, the learning rate's course."""

import keras
import numpy as np
import pytest

from pretext.optimizers import LARS, optimizer

RANDOM = np.random.default_rng(0)


def variables():
    kernel = keras.Variable(RANDOM.normal(size=(3, 4)).astype("float32"), name="kernel")
    return kernel, keras.Variable(np.ones(4, "float32"), name="gamma")


def test_lars_moves_as_the_paper_says():
    kernel, gamma = variables()
    expected, velocity = kernel.numpy(), np.zeros((3, 4))
    lars = LARS(0.5, momentum=0.9, decay=0.01, trust=0.02)
    for _ in range(3):
        gradient = RANDOM.normal(size=(3, 4)).astype("float32")
        norm, gradient_norm = np.linalg.norm(expected), np.linalg.norm(gradient)
        local = 0.02 * norm / (gradient_norm + 0.01 * norm)
        velocity = 0.9 * velocity + 0.5 * local * (gradient + 0.01 * expected)
        expected = expected - velocity
        lars.apply([keras.ops.array(gradient), keras.ops.ones(4)], [kernel, gamma])
    assert np.allclose(kernel, expected, rtol=1e-5)
    assert np.allclose(gamma, 1 - 0.5 * (1 + 1.9 + 2.71), rtol=1e-5)  # momentum alone: neither trust nor decay


def test_lars_starts_from_zero_weights_and_survives_zero_gradients():
    kernel = keras.Variable(np.zeros((2, 2), "float32"))
    lars = LARS(0.1)
    lars.apply([keras.ops.zeros((2, 2))], [kernel])
    assert np.array_equal(kernel, np.zeros((2, 2)))
    lars.apply([keras.ops.ones((2, 2))], [kernel])
    assert np.allclose(kernel, -0.1)


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_only_kernels_decay(name):
    kernel, gamma = variables()
    before = kernel.numpy()
    chosen = optimizer(name, [kernel, gamma], peak=0.1, steps=10, warm_up=0, decay=0.5)
    chosen.apply([keras.ops.zeros((3, 4)), keras.ops.zeros(4)], [kernel, gamma])
    shrunk = 1 - 0.1 * (1e-3 if name == "lars" else 0.5)  # LARS: trust * |w| / (0 + .5 |w|) * .5
    assert np.allclose(kernel, shrunk * before, rtol=1e-4)
    assert np.array_equal(gamma, np.ones(4))


@pytest.mark.parametrize("warm_up", [0, 4])
def test_the_learning_rate_warms_up_and_falls_on_a_cosine(warm_up):
    rate = optimizer("sgd", [], peak=0.2, steps=20, warm_up=warm_up, decay=0.0)._learning_rate
    found = [float(rate(step)) for step in range(21)]
    rising = [0.2 * step / 4 for step in range(warm_up)]
    falling = [0.1 * (1 + np.cos(np.pi * step / (20 - warm_up))) for step in range(21 - warm_up)]
    assert np.allclose(found, rising + falling, atol=1e-6)


def test_lars_is_rebuilt_from_its_configuration():
    rebuilt = LARS.from_config(LARS(0.5, momentum=0.8, decay=0.1, trust=0.01).get_config())
    assert (rebuilt.momentum, rebuilt.decay, rebuilt.trust) == (0.8, 0.1, 0.01)
