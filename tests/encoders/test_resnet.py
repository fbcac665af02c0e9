"""The network has torchvision's layout: its sizes, names, padding, strides and initial weights."""

import keras
import numpy as np
import pytest

from encoders.networks.resnet import resnet

TORCHVISION = {18: 11_689_512 - 513_000, 34: 21_797_672 - 513_000, 50: 25_557_032 - 2_049_000}  # without fc


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_has_as_many_parameters_as_torchvision(depth):
    network = resnet(depth)
    assert sum(np.prod(weight.shape) for weight in network.trainable_weights) == TORCHVISION[depth]
    if depth == 50:
        assert network.count_params() == 23_561_152  # with the moving means and variances


@pytest.mark.parametrize("stem, before_the_stages, at_the_end", [("imagenet", 8, 1), ("small", 8, 1), ("cifar", 32, 4)])
def test_stems_shrink_a_photograph_of_32_pixels(stem, before_the_stages, at_the_end):
    network = resnet(18, stem, width=4)
    photographs = np.zeros((1, 32, 32, 3), "float32")
    assert _output(network, "layer1_0_add", photographs).shape == (1, before_the_stages, before_the_stages, 4)
    assert _output(network, "layer4_1_add", photographs).shape == (1, at_the_end, at_the_end, 32)


@pytest.mark.parametrize("depth, features", [(18, 32), (50, 128)])
def test_takes_photographs_of_any_size(depth, features):
    network = resnet(depth, width=4)
    for height, width in ((33, 47), (64, 64)):
        assert network(np.zeros((2, height, width, 3), "float32")).shape == (2, features)


def test_strides_are_in_the_3x3_convolutions_and_padding_is_symmetric():
    network = resnet(50, width=4)
    assert network.get_layer("layer2_0_conv1").strides == (1, 1)
    assert network.get_layer("layer2_0_conv2").strides == (2, 2)
    assert network.get_layer("conv1_padding").padding == ((3, 3), (3, 3))
    assert network.get_layer("maxpool_padding").padding == ((1, 1), (1, 1))


def test_two_builds_have_the_same_configuration_and_the_seed_decides_the_weights():
    first, second, other = (_seeded(seed) for seed in (7, 7, 8))
    assert first.get_config() == second.get_config()
    assert all(np.array_equal(*pair) for pair in zip(first.get_weights(), second.get_weights(), strict=True))
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])


def test_kernels_start_as_he_says_by_fan_out():
    kernel = resnet(18).get_layer("layer1_0_conv1").kernel.numpy()
    assert kernel.std() == pytest.approx(np.sqrt(2 / (3 * 3 * 64)), rel=0.02)


def test_zero_gamma_makes_each_block_start_as_its_shortcut():
    network = resnet(18, width=4, zero_gamma=True)
    assert not network.get_layer("layer1_0_bn2").gamma.numpy().any()
    assert network.get_layer("layer1_0_bn1").gamma.numpy().all()


def test_batch_statistics_can_be_those_of_all_replicas():
    assert resnet(18, width=4, synchronized=True).get_layer("layer4_1_bn2").synchronized
    assert not resnet(18, width=4).get_layer("layer4_1_bn2").synchronized


def _seeded(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return resnet(18, width=4)


def _output(network: keras.Model, layer: str, photographs: np.ndarray):
    return keras.Model(network.input, network.get_layer(layer).output)(photographs)
