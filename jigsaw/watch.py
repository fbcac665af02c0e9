"""Draw what a jigsaw run has learned: photographs, their nine tiles shuffled, and the network's answers."""

from pathlib import Path

import numpy as np

from jigsaw import views
from jigsaw.encoder import Solver, cut, standardise
from pretext.watch import draw_grid, spaced

SHUFFLED, RIGHT, WRONG = (255, 255, 255), (120, 200, 120), (230, 120, 110)  # behind the tiles


def draw_puzzles(
    path: Path, solver: Solver, pixels: np.ndarray, permutations: np.ndarray, seed: int, count: int = 8
) -> None:
    """Draw some of the photographs, uint8 (N, S, S, 3), in rows: whole, shuffled, and as solved, on green where it is right."""
    pixels = spaced(pixels, count)
    labels = np.random.default_rng(seed).integers(len(permutations), size=len(pixels))
    tiles_at = np.argsort(permutations[labels], axis=1)  # (count, 9): the tile at each place, as in `views`
    shuffled = np.take_along_axis(np.asarray(cut(pixels)), tiles_at[..., None, None, None], axis=1)
    answers = solver.model.predict(standardise(shuffled), verbose=0).argmax(axis=-1)
    rows = []
    for photograph, puzzle, label, answer in zip(pixels, shuffled, labels, answers, strict=True):
        solved = lay(puzzle[permutations[answer]], RIGHT if answer == label else WRONG, solver.size)
        rows.append([photograph, lay(puzzle, SHUFFLED, solver.size), solved])
    draw_grid(path, np.array(rows))


def lay(tiles: np.ndarray, colour: tuple[int, int, int], size: int) -> np.ndarray:
    """Return nine tiles, uint8 (9, T, T, 3), at their centred places on a ground of one colour: (size, size, 3)."""
    ground = np.full((size, size, 3), colour, "uint8")
    for (top, left), tile in zip(views.centres(size), tiles, strict=True):
        ground[top : top + len(tile), left : left + len(tile)] = tile
    return ground
