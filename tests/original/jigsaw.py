"""What the original does with one photograph after the other: re-written to compare with, and to measure against.

Chance comes from `randrange`: `random.randrange`, or a function that gives what a test has drawn, in the original's order.
"""

from collections.abc import Callable, Iterator

import numpy as np

Randrange = Callable[[int], int]  # upper bound -> an integer in [0, upper bound)


def jitter_channels(photograph: np.ndarray, randrange: Randrange, jitter: int = 2) -> np.ndarray:
    """Return a photograph, smaller by twice the jitter, whose red, green and blue lie off by some pixels; grey ones as they are."""
    if (photograph == photograph[..., :1]).all():
        return photograph
    height, width = (length - 2 * jitter for length in photograph.shape[:2])
    channels = []
    for channel in range(3):
        top, left = randrange(2 * jitter + 1), randrange(2 * jitter + 1)
        channels.append(photograph[top : top + height, left : left + width, channel])
    return np.stack(channels, axis=-1)


def create_croppings(
    photograph: np.ndarray, permutations: np.ndarray, cell: int, tile: int, randrange: Randrange
) -> tuple[np.ndarray, int]:
    """Return the nine tiles of a puzzle, float32 (tile, tile, 3, 9) by place, and the permutation's number.

    :param photograph: float32 (S, S, 3).
    """
    photograph = jitter_channels(photograph, randrange)
    height, width, _ = photograph.shape
    left, top = randrange(width - 3 * cell), randrange(height - 3 * cell)
    label = randrange(len(permutations))
    tiles = np.zeros((tile, tile, 3, 9), np.float32)
    for row in range(3):
        for column in range(3):
            x = left + column * cell + randrange(cell - tile)
            y = top + row * cell + randrange(cell - tile)
            tiles[..., permutations[label, 3 * row + column]] = photograph[y : y + tile, x : x + tile]
    for place in range(9):
        mean, deviation = np.mean(tiles[..., place]), np.std(tiles[..., place])
        if deviation != 0:
            tiles[..., place] = (tiles[..., place] - mean) / deviation
    return tiles, label


def batches(
    photographs: np.ndarray, permutations: np.ndarray, cell: int, tile: int, batch_size: int, randrange: Randrange
) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    """Yield nine arrays of tiles, float32 (B, tile, tile, 3) each, and one-hot labels (B, K), photographs in their order, for ever."""
    while True:
        for first in range(0, len(photographs) - batch_size + 1, batch_size):
            chosen = photographs[first : first + batch_size].astype(np.float32)
            places = [np.empty((batch_size, tile, tile, 3), np.float32) for _ in range(9)]
            labels = np.empty(batch_size)
            for number, photograph in enumerate(chosen):
                tiles, labels[number] = create_croppings(photograph, permutations, cell, tile, randrange)
                for place in range(9):
                    places[place][number] = tiles[..., place]
            yield places, np.array([[int(label == k) for k in range(len(permutations))] for label in labels])
