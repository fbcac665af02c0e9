"""The jigsaw model: one call on all tiles is nine calls of the original's, and its networks are the original's."""

import keras
import numpy as np
import pytest

from encoders.fast import accelerate
from jigsaw.model import alexnet, jigsaw, shared
from tests.original import jigsaw_model as original

TILES = np.random.default_rng(0).normal(size=(3, 9, 32, 32, 3)).astype("float32")


def untrained(name):
    """A network, small where it can be, with batch statistics that matter, and the model around it."""
    keras.utils.set_random_seed(0)
    network = shared(name, "small", 4)
    original.disturb(network)
    return network, jigsaw(network, 32, 7)


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_one_call_on_all_tiles_equals_nine_calls(name):
    network, model = untrained(name)
    head = [weight.numpy() for weight in model.weights[len(network.weights) :]]
    found = model.predict(TILES, verbose=0)
    assert found.shape == (3, 7) and found.dtype == "float32"
    assert np.allclose(found, original.probabilities(network, head, TILES), atol=1e-5)
    assert found.std(axis=0).max() > 1e-4  # other tiles, other answers


def test_a_model_around_the_fast_network_has_the_weights_in_the_same_order():
    network, model = untrained("resnet18")
    fast = jigsaw(accelerate(network), 32, 7)
    fast.set_weights(model.get_weights())
    assert np.allclose(fast.predict(TILES, verbose=0), model.predict(TILES, verbose=0), atol=1e-5)


def test_networks_have_the_originals_sizes():
    network = alexnet()
    maps = network.compute_output_shape((9, 64, 64, 3))
    assert maps == (9, 4, 4, 512)  # so that the head's first layer has 9 x 4 x 4 x 512 x 4096 + 4096 parameters
    assert network.count_params() == 6_243_584
    layers = [layer.name for layer in shared("resnet50").layers]
    first = layers.index("conv2_block1_0_conv")
    expected = ["0_conv", "3_conv", "0_bn", "3_bn"]  # as Keras 2.4 orders them, and so the weights in its files
    assert layers[first : first + 4] == [f"conv2_block1_{part}" for part in expected]


def test_the_heads_are_the_originals():
    def dense(model):
        return [(layer.name, layer.units) for layer in model.layers if isinstance(layer, keras.layers.Dense)]

    def dropped(model):
        return [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)]

    (_, small), (_, alex) = untrained("resnet18"), untrained("alexnet")
    assert dense(small) == [("hidden", 2048), ("features", 1024), ("permutation", 7)]
    assert dense(alex) == [("hidden", 4096), ("features", 1024), ("permutation", 7)]
    assert dropped(small) == ["hidden_dropout", "features_dropout"]
    assert dropped(alex) == ["nine_dropout", "hidden_dropout"]


@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_batch_statistics_can_be_those_of_all_devices(name):
    network, plain = shared(name, "small", 4, synchronized=True), shared(name, "small", 4)
    found = [layer.synchronized for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert found and all(found)
    assert [weight.shape for weight in network.weights] == [weight.shape for weight in plain.weights]
