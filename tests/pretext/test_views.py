"""Views: crops as Pillow resizes them, blur as a convolution, colours within their limits, the seed alone decides."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pretext import views

RANDOM = np.random.default_rng(0)
SEED = tf.constant([3, 4])
PLAIN = {"strength": 0.0, "grey": 0.0, "blur": 0.0}


@pytest.fixture
def photographs() -> np.ndarray:
    """Photographs of coloured patches, uint8 (8, 24, 32, 3)."""
    return np.kron(RANDOM.integers(0, 256, (8, 6, 8, 3)), np.ones((1, 4, 4, 1))).astype("uint8")


@pytest.mark.parametrize("size", [8, 40])
def test_crops_are_those_of_pillow(photographs, size):
    draws = tf.constant(RANDOM.random((5, 8)), tf.float32)
    rows, columns = views.crop(draws, 24, 32, size, smallest=0.1)
    found = views.resample(views.planes_of(tf.constant(photographs)), rows, columns).numpy()
    for photograph, draw, planes in zip(photographs, draws.numpy().T, found, strict=True):
        expected = cropped(photograph, *draw, size=size, smallest=0.1)
        assert np.allclose(255 * planes, expected, atol=0.02)


def cropped(photograph, area, ratio, top, left, flip, size, smallest):
    """Return planes (3, size, size) in [0, 255], by Pillow."""
    height, width, _ = photograph.shape
    area, ratio = smallest + (1 - smallest) * area, (4 / 3) ** (2 * ratio - 1)
    tall, wide = min((area / ratio) ** 0.5, 1) * height, min((area * ratio) ** 0.5, 1) * width
    top, left = top * (height - tall), left * (width - wide)
    box = (left, top, left + wide, top + tall)
    planes = [
        np.asarray(Image.fromarray(plane.astype("float32")).resize((size, size), Image.Resampling.BILINEAR, box))
        for plane in photograph.transpose(2, 0, 1)
    ]
    return np.stack(planes)[:, :, :: 1 if flip < 0.5 else -1]


def test_a_view_of_the_whole_without_colour_changes_is_the_resized_photograph_or_its_mirror(photographs):
    square = photographs[:, :, :24]
    found = views.two_views(square, views.Recipe(24, smallest=1.0, **PLAIN), SEED)[:, 0].numpy()
    for photograph, view in zip(square, found, strict=True):  # the ratio of sides still varies, by few pixels
        closest = min(np.abs(view - other / 255).mean() for other in (photograph, photograph[:, ::-1]))
        assert closest < 0.12
    flipped = [
        np.abs(v - p[:, ::-1] / 255).mean() < np.abs(v - p / 255).mean() for v, p in zip(found, square, strict=True)
    ]
    assert 0 < np.mean(flipped) < 1


def test_blur_is_a_convolution_with_a_gaussian():
    matrix = views.gaussian(tf.constant([1.5]), 64)[0].numpy()
    kernel = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 1.5**2))
    line = RANDOM.random(64)
    assert np.allclose((matrix @ line)[3:-3], np.convolve(line, kernel / kernel.sum(), "valid"), atol=1e-6)
    assert np.allclose(matrix.sum(axis=1), 1, atol=1e-6)
    assert np.allclose(views.gaussian(tf.constant([1e-3]), 64)[0], np.eye(64))


def test_colour_matrices_are_brightness_contrast_saturation_and_hue():
    recipe = views.Recipe(8, jitter=1.0, grey=0.0)
    luma = tf.constant([[0.4]])
    matrix, offset = (part.numpy()[0] for part in views.colour(luma, recipe, SEED))
    pixels = RANDOM.random((3, 10))
    draws = tf.random.stateless_uniform((6, 1), SEED).numpy()[:4, 0]
    brightness, contrast, saturation, hue = 1 + (2 * draws - 1) * [0.8, 0.8, 0.8, 0.2]
    luminance = views.GREY @ pixels
    turned = np.array(
        [views.hue_rotation(tf.constant([np.float32(2 * np.pi * (hue - 1))]))[0].numpy() @ p for p in pixels.T]
    ).T
    saturated = luminance + saturation * (turned - luminance)
    contrasted = contrast * saturated + (1 - contrast) * 0.4
    assert np.allclose(matrix @ pixels + offset, brightness * contrasted, atol=1e-5)


def test_a_hue_turns_the_colours_and_keeps_the_luma():
    red = np.array([0.8, 0.1, 0.1])
    turned = views.hue_rotation(tf.constant([0.0, 2 * np.pi / 3, 2 * np.pi]))
    none, third, whole = (np.asarray(matrix) @ red for matrix in turned)
    assert np.allclose(none, red, atol=1e-6) and np.allclose(whole, red, atol=1e-5)
    assert third.argmax() != 0
    assert np.allclose(views.GREY @ third, views.GREY @ red, atol=1e-3)


def test_colours_stay_within_their_limits():
    grey = np.full((400, 8, 8, 3), 100, "uint8")
    found = views.two_views(grey, views.Recipe(4, strength=0.5, grey=0.0), SEED).numpy()
    flat = found.reshape(800, -1)
    assert np.allclose(flat, flat[:, :1], atol=1e-4)  # neither hue, saturation nor contrast changes an even grey
    ratios = flat[:, 0] / (100 / 255)
    assert 0.6 - 1e-3 < ratios.min() < 0.65 and 1.35 < ratios.max() < 1.4 + 1e-3
    assert 0.15 < np.isclose(ratios, 1, atol=1e-3).mean() < 0.25  # a jitter's probability is .8
    assert found.min() >= 0 and found.max() <= 1


def test_grey_views_have_equal_channels(photographs):
    found = views.two_views(photographs, views.Recipe(16, grey=1.0), SEED).numpy()
    assert np.allclose(found, found[..., :1], atol=1e-5)
    share = views.two_views(np.repeat(photographs, 50, axis=0), views.Recipe(4), SEED).numpy()
    assert 0.15 < np.mean(np.ptp(share, axis=-1).max(axis=(2, 3)) < 1e-4) < 0.3


def test_equal_seeds_give_equal_views_and_the_two_differ(photographs):
    recipe = views.Recipe(16)
    first, again = (views.two_views(photographs, recipe, SEED).numpy() for _ in range(2))
    other = views.two_views(photographs, recipe, SEED + 1).numpy()
    assert first.shape == (8, 2, 16, 16, 3) and first.dtype == "float32"
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    assert all(np.abs(one - two).mean() > 0.01 for one, two in first)
