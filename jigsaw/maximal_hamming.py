"""Write a set of permutations of nine tiles that differ from each other in as many places as possible.

    python -m jigsaw.maximal_hamming --permutations 100 --out permutations.txt

Reads nothing. Writes one permutation a line, of the tiles 0 to 8; prints the least and the mean distance of two of them. The more
places differ, the less often one look at few tiles decides (Noroozi & Favaro 2016, arXiv 1603.09246, section 4.2).
"""

import math
import re
from dataclasses import dataclass
from itertools import permutations as arrangements
from pathlib import Path

import numpy as np

from core import disk, settings
from core.errors import InputError
from encoders.tensors import feature_containers

TILES = 9


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    permutations: int = 100
    """How many permutations. More make a harder task."""
    seed: int = 0
    """Decides the first permutation, and with it the others."""
    out: Path = Path("permutations.txt")
    """File to write."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    chosen = permutations(config.permutations, config.seed)
    write(config.out, chosen)
    print(f"wrote {config.out}: {len(chosen):,} permutations, {describe(chosen)}")


def permutations(count: int, seed: int = 0) -> np.ndarray:
    """Return different permutations of nine, uint8 (count, 9), each as far as possible from those before it.

    The first is random. Each next one has the largest least distance (in how many places two permutations differ) to those before it
    and, among these, the largest sum of distances. The original went by the sum alone, which lets two permutations be close.

    :raises InputError: `count` is not between 2 and 9!.
    """
    if not 2 <= count <= math.factorial(TILES):
        raise InputError(
            f"expected 2 to {math.factorial(TILES):,} permutations of nine tiles, found {count:,}; see --help"
        )
    everything = np.fromiter(arrangements(range(TILES)), np.dtype(("uint8", TILES)))  # (9!, 9)
    columns = np.ascontiguousarray(everything.T)  # for each place, one after the other, what permutations hold there
    least = np.full(columns.shape[1], TILES, "uint8")  # distance to the nearest permutation chosen
    total = np.zeros(columns.shape[1], "int32")  # sum of the distances to all that are chosen
    chosen = [np.random.default_rng(seed).integers(columns.shape[1])]
    while len(chosen) < count:
        distance = (columns != columns[:, chosen[-1], None]).sum(axis=0, dtype="uint8")
        np.minimum(least, distance, out=least)
        total += distance
        chosen.append(np.where(least == least.max(), total, -1).argmax())
    return everything[chosen]


def distances(chosen: np.ndarray) -> tuple[int, float]:
    """Return in how many places two different ones of some permutations, integers (K, 9), differ: at least, and on average."""
    pairs = np.concatenate([(chosen[row + 1 :] != chosen[row]).sum(axis=1) for row in range(len(chosen) - 1)])
    return int(pairs.min()), float(pairs.mean())


def describe(chosen: np.ndarray) -> str:
    """Return the distances as words."""
    least, mean = distances(chosen)
    return f"two of which differ in at least {least} of {TILES} places, in {mean:.2f} on average"


def write(path: Path, chosen: np.ndarray) -> None:
    """Write one permutation a line: `8 0 1 2 3 4 5 6 7`."""
    disk.write_text(path, "".join(f"{' '.join(map(str, row))}\n" for row in chosen))


def read(path: Path, count: int) -> np.ndarray:
    """Return the first permutations of a file, uint8 (count, 9), of the tiles 0 to 8.

    Ours and the original's have one a line, numbers between spaces; commas, brackets, tiles counted from 1 and numbers with a decimal
    point, as others write them, are understood, and NumPy's .npy.

    :raises InputError: there are fewer, or one of them is no permutation of nine or is there twice.
    """
    lines = _lines(path)
    if len(lines) < count:
        raise InputError(
            f"expected {count:,} permutations, one a line, in {path}, found {len(lines):,}; "
            f"write more with `python -m jigsaw.maximal_hamming --permutations {count} --out FILE`"
        )
    rows: dict[tuple[int, ...], int] = {}
    first = 0 if 0 in map(_number, _words(lines[0][1])) else 1
    for number, line in lines[:count]:
        found = [_number(word) for word in _words(line)]
        if sorted(found) != list(range(first, first + TILES)):
            raise InputError(
                f"expected the numbers {first} to {first + TILES - 1}, each once, in line {number} of {path}, "
                f"found {line.strip()[:80]!r}"
            )
        row = tuple(tile - first for tile in found)
        if row in rows:
            raise InputError(
                f"line {number} of {path} repeats line {rows[row]}: each permutation is an answer of its own"
            )
        rows[row] = number
    return np.array(list(rows), "uint8")


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines that hold something, with their numbers; of an array in a .npy file, its rows.

    :raises InputError: the file is missing, or no text and no such array.
    """
    data = disk.read_bytes(path)
    if not data.startswith(feature_containers.NUMPY):
        return [(number, line) for number, line in enumerate(disk.read_any_text(path).split("\n"), 1) if line.strip()]
    array = feature_containers.read_array(data, path)
    if array.ndim != 2 or array.shape[1] != TILES:
        raise InputError(
            f"expected permutations, numbers (K, {TILES}), in {path}, found {array.dtype} {array.shape}; check the path"
        )
    return [(number, " ".join(map(str, row))) for number, row in enumerate(array.tolist(), 1)]


def _number(word: str) -> int:
    """Return the whole number that a word is, also as 3.0 or 3.000e+00; -1 if it is none."""
    number = float(word) if re.fullmatch(r"\d+(?:\.\d*)?(?:[eE][+-]?\d\d?)?", word) else -1.0
    return int(number) if number.is_integer() else -1


def _words(line: str) -> list[str]:
    return re.split(r"[\s,;]+", line.strip(" \t,;[]()"))


if __name__ == "__main__":
    settings.run(main)
