"""Puzzles: tile for tile those of the original for the same draws, within its bounds; what the shortcut probe takes away."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from core.errors import InputError
from encoders import decoded
from jigsaw import views
from tests.original import jigsaw as original

RANDOM = np.random.default_rng(0)
SEED = tf.constant([3, 4])
PERMUTATIONS = np.array([RANDOM.permutation(9) for _ in range(20)], "int32")
PLAIN = views.Recipe(64, grey=0.0)


@pytest.fixture
def photographs() -> np.ndarray:
    """Coloured noise, uint8 (10, 64, 64, 3), the third photograph grey, the fourth with a flat half, the last black."""
    pixels = RANDOM.integers(0, 256, (10, 64, 64, 3), "uint8")
    pixels[2] = pixels[2, ..., :1]
    pixels[3, :, 32:] = (200, 200, 200)
    pixels[9] = 0
    return pixels


def bounds(draws: views.Draws, number: int, coloured: bool) -> Iterator[int]:
    """Yield what was drawn for a puzzle in the order in which the original draws."""
    if coloured:
        yield from draws.planes[number].numpy().ravel()
    yield from draws.crop[number].numpy()[::-1]  # the original's x before y
    yield draws.labels[number].numpy()
    yield from draws.tiles[number].numpy()[:, ::-1].ravel()


def original_puzzles(photographs: np.ndarray, draws: views.Draws, size: int) -> np.ndarray:
    found = []
    for number, photograph in enumerate(photographs):
        drawn = bounds(draws, number, coloured=not (photograph == photograph[..., :1]).all())

        def randrange(limit: int, drawn: Iterator[int] = drawn) -> int:
            value = int(next(drawn))
            assert 0 <= value < limit
            return value

        pixels = photograph.astype("float32")
        tiles, label = original.create_croppings(pixels, PERMUTATIONS, views.cell(size), views.tile(size), randrange)
        assert label == draws.labels[number] and next(drawn, None) is None
        found.append(tiles.transpose(3, 0, 1, 2))
    return np.array(found)


@pytest.mark.parametrize("size", [64, 96])
def test_puzzles_are_those_of_the_original(photographs, size):
    if size != 64:
        photographs = np.pad(photographs, ((0, 0), (0, size - 64), (0, size - 64), (0, 0)), "symmetric")
    recipe = views.Recipe(size, grey=0.0)
    tiles, labels = views.puzzles(tf.constant(photographs), PERMUTATIONS, recipe, SEED)
    draws = views.draw(views.colourless(photographs), len(PERMUTATIONS), recipe, SEED)
    expected = original_puzzles(photographs, draws, size)
    flat = np.ptp(expected, axis=(2, 3, 4)) == 0
    assert flat[9].all() and flat.any(axis=1).sum() > 1
    expected[flat] /= 255  # in [0, 1], where the original leaves it in [0, 255]
    assert tiles.dtype == "float32" and labels.dtype == "int32"
    assert np.allclose(tiles, expected, atol=1e-5) and np.array_equal(labels, draws.labels)


def test_a_permutation_puts_tile_i_at_its_ith_place(photographs):
    tiles, labels = views.puzzles(photographs, PERMUTATIONS, PLAIN, SEED)
    ordered, same = views.puzzles(photographs, np.tile(np.arange(9, dtype="int32"), (20, 1)), PLAIN, SEED)
    assert np.array_equal(labels, same)
    for shuffled, label, whole in zip(tiles.numpy(), labels, ordered.numpy(), strict=True):
        assert np.array_equal(shuffled[PERMUTATIONS[label]], whole)


def test_sizes_are_the_originals():
    assert [(3 * views.cell(size), views.cell(size), views.tile(size)) for size in (256, 384)] == [
        (225, 75, 64),
        (339, 113, 96),
    ]
    with pytest.raises(InputError, match="photographs of 40 pixels are too small"):
        views.Recipe(40)


def test_draws_reach_their_bounds_and_go_no_further():
    grey = np.arange(4000) % 2 == 0
    draws = views.draw(tf.constant(grey), 7, views.Recipe(64, grey=0.5), SEED)
    assert 0.7 < np.mean(draws.grey) < 0.8 and np.all(draws.grey.numpy()[grey])
    coloured = ~draws.grey.numpy()
    assert set(np.unique(draws.planes.numpy()[coloured])) == set(range(5)) and not draws.planes.numpy()[~coloured].any()
    assert set(np.unique(draws.crop.numpy()[coloured])) == set(range(64 - 4 - 57))
    assert set(np.unique(draws.crop.numpy()[~coloured])) == set(range(64 - 57))
    assert set(np.unique(draws.tiles)) == set(range(19 - 16)) and set(np.unique(draws.labels)) == set(range(7))


def test_grey_puzzles_are_those_of_the_grey_photograph(photographs):
    grey = np.stack([np.asarray(Image.fromarray(pixels).convert("L").convert("RGB")) for pixels in photographs])
    for recipe in (replace(PLAIN, grey=1.0), replace(PLAIN, colour=False)):
        draws = views.draw(views.colourless(photographs), 20, recipe, SEED)
        found = views.cut(photographs, PERMUTATIONS, recipe, draws).numpy().astype(int)
        expected = views.cut(grey, PERMUTATIONS, recipe, draws).numpy()
        assert np.abs(found - expected).max() <= 1
        assert np.ptp(found, axis=-1).max() == 0


def test_without_gaps_tiles_touch(photographs):
    recipe = replace(PLAIN, gap=False, channel_jitter=0)
    draws = views.draw(views.colourless(photographs), 20, recipe, SEED)
    tiles = views.cut(photographs, PERMUTATIONS, recipe, draws).numpy()
    for pixels, puzzle, label, (top, left) in zip(
        photographs, tiles, draws.labels, draws.crop.numpy() + 4, strict=True
    ):
        grid = puzzle[PERMUTATIONS[label]].reshape(3, 3, 16, 16, 3).transpose(0, 2, 1, 3, 4).reshape(48, 48, 3)
        assert np.array_equal(grid, pixels[top : top + 48, left : left + 48])


def test_tiles_are_normalised_each_or_together(photographs):
    tiles = views.puzzles(photographs[:2], PERMUTATIONS, PLAIN, SEED)[0].numpy()
    assert np.allclose(tiles.mean((2, 3, 4)), 0, atol=1e-5) and np.allclose(tiles.std((2, 3, 4)), 1, atol=1e-4)
    tiles = views.puzzles(photographs[:2], PERMUTATIONS, replace(PLAIN, normalise=False), SEED)[0].numpy()
    assert np.allclose(tiles.mean((1, 2, 3, 4)), 0, atol=1e-5) and np.allclose(tiles.std((1, 2, 3, 4)), 1, atol=1e-4)
    assert np.abs(tiles.mean((2, 3, 4))).max() > 0.01


def test_centres_lie_in_the_middle_of_the_photograph_and_of_their_cells():
    assert views.centres(256) == [(row, column) for row in (20, 95, 170) for column in (20, 95, 170)]


def test_a_pipeline_gives_the_puzzles_of_its_seeds(photographs):
    def example(rows, indices, seed):
        return *views.puzzles(rows, tf.constant(PERMUTATIONS), PLAIN, seed), indices, seed

    batches = decoded.batches(photographs, 4, 0, example)
    first, second = (list(batches(tf.constant(epoch, tf.int64))) for epoch in (0, 1))
    for tiles, labels, indices, seed in first:
        assert tiles.shape == (4, 9, 16, 16, 3)
        expected = views.puzzles(photographs[indices], PERMUTATIONS, PLAIN, seed)
        assert np.allclose(tiles, expected[0], atol=1e-5) and np.array_equal(labels, expected[1])
    assert not np.array_equal(first[0][0], second[0][0])
