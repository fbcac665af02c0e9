"""Permutations: far from each other, in little memory; files of several forms are read, wrong rows named."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputError
from jigsaw import maximal_hamming

STATUS = Path("/proc/self/status")


@pytest.mark.parametrize(("count", "least"), [(100, 6), (1000, 5)])
def test_permutations_are_far_from_each_other(count, least):
    chosen = maximal_hamming.permutations(count, seed=1)
    assert np.array_equal(np.sort(chosen, axis=1), np.tile(np.arange(9), (count, 1)))
    found, mean = maximal_hamming.distances(chosen)
    assert found >= least and mean >= 8.0


@pytest.mark.skipif(not STATUS.exists(), reason="the peak of a process' memory is read in /proc, which Linux has")
def test_the_command_needs_little_memory(tmp_path):
    code = f"from jigsaw import maximal_hamming\nmaximal_hamming.main({['--out', str(tmp_path / 'set.txt')]})\nprint(open('{STATUS}').read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (kilobytes,) = re.findall(r"VmHWM:\s*(\d+) kB", done.stdout)
    assert int(kilobytes) < 200_000  # importing Keras alone takes more


def test_distances_are_counted_over_all_pairs():
    chosen = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 8], [1, 0, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1, 0]])
    pairs = [(one != other).sum() for i, one in enumerate(chosen) for other in chosen[i + 1 :]]
    assert maximal_hamming.distances(chosen) == (2, np.mean(pairs))


def test_the_seed_decides():
    assert np.array_equal(maximal_hamming.permutations(3), maximal_hamming.permutations(3))
    assert not np.array_equal(maximal_hamming.permutations(3), maximal_hamming.permutations(3, 1))


@pytest.mark.parametrize("count", [1, 362_881])
def test_impossible_numbers_are_refused(count):
    with pytest.raises(InputError, match="expected 2 to 362,880 permutations"):
        maximal_hamming.permutations(count)


def test_the_command_writes_what_is_read(tmp_path, capsys):
    path = tmp_path / "out/permutations.txt"
    maximal_hamming.main(["--permutations", "100", "--out", str(path)])
    assert "in at least 6 of 9 places, in 8.08 on average" in capsys.readouterr().out
    assert np.array_equal(maximal_hamming.read(path, 30), maximal_hamming.permutations(100)[:30])


@pytest.mark.parametrize(
    "text",
    [
        "8 0 1 2 3 4 5 6 7 \n0 1 2 3 4 5 6 8 7 \n",  # the original's: a space after each number
        "8,0,1,2,3,4,5,6,7\r\n\r\n0,1,2,3,4,5,6,8,7\r\n",
        "[[8, 0, 1, 2, 3, 4, 5, 6, 7],\n [0, 1, 2, 3, 4, 5, 6, 8, 7]]",
        "9\t1 2 3 4 5 6 7 8\n1 2 3 4 5 6 7 9 8",
        "8.0 0.0 1.0 2.0 3.0 4.0 5.0 6.0 7.0\n0.0 1.0 2.0 3.0 4.0 5.0 6.0 8.0 7.0",
        "".join(" ".join(f"{tile:.18e}" for tile in row) + "\n" for row in ([9, *range(1, 9)], [*range(1, 8), 9, 8])),
    ],
)
def test_other_forms_are_read(tmp_path, text):
    (tmp_path / "set.txt").write_bytes(text.encode())
    expected = [[8, 0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 8, 7]]
    assert maximal_hamming.read(tmp_path / "set.txt", 2).tolist() == expected


@pytest.mark.parametrize(
    "row", ["0 1 2 3 4 5 6 7 7", "0 1 2 3 4 5 6 7", "1 2 3 4 5 6 7 8 9", "0 1 2 3 4 5 6 7 x 8", "-0 1 2 3 4 5 6 7 8"]
)
def test_a_wrong_row_is_named(tmp_path, row):
    (tmp_path / "set.txt").write_text(f"8 0 1 2 3 4 5 6 7\n\n{row}\n")
    with pytest.raises(InputError, match=rf"0 to 8, each once, in line 3 of .*set\.txt, found '{row}'"):
        maximal_hamming.read(tmp_path / "set.txt", 2)
    assert len(maximal_hamming.read(tmp_path / "set.txt", 1)) == 1  # what is not asked for may be anything


def test_repeated_and_missing_rows_are_refused(tmp_path):
    (tmp_path / "set.txt").write_text("8 0 1 2 3 4 5 6 7\n8 0 1 2 3 4 5 6 7\n")
    with pytest.raises(InputError, match=r"line 2 of .* repeats line 1"):
        maximal_hamming.read(tmp_path / "set.txt", 2)
    with pytest.raises(InputError, match=r"expected 3 permutations, one a line, .* found 2"):
        maximal_hamming.read(tmp_path / "set.txt", 3)


@pytest.mark.parametrize("kind", ["uint8", "int64", "float32"])
@pytest.mark.parametrize("first", [0, 1])
def test_numpys_files_are_read(first, kind, tmp_path):
    expected = np.array([[8, 0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 8, 7]])
    np.save(tmp_path / "set.npy", (expected + first).astype(kind))
    assert np.array_equal(maximal_hamming.read(tmp_path / "set.npy", 2), expected)
    with pytest.raises(InputError, match=r"expected 3 permutations, .* found 2"):
        maximal_hamming.read(tmp_path / "set.npy", 3)


@pytest.mark.parametrize(
    "array", [np.zeros(9), np.zeros((4, 8)), np.full((4, 9), 0.5), np.array({"a": 1}), np.full((4, 9), "a")]
)
def test_other_arrays_are_refused(array, tmp_path):
    np.save(tmp_path / "set.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=r"set\.npy"):
        maximal_hamming.read(tmp_path / "set.npy", 2)
    (tmp_path / "set.npy").write_bytes((tmp_path / "set.npy").read_bytes()[:-3])
    with pytest.raises(InputError, match=r"set\.npy"):
        maximal_hamming.read(tmp_path / "set.npy", 2)
