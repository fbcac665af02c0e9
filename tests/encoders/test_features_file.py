"""Features that people drop in: every shape and container with names comes to its photographs; what was done is said in one line."""

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from core import pickles
from core.errors import InputError
from encoders import features_file

NAMES = ("oak", "pond", "tram")
VECTORS = dict(zip(NAMES, np.random.default_rng(0).random((3, 8), "float32"), strict=True))
GRIDS = {name: np.random.default_rng(number).random((49, 8), "float32") for number, name in enumerate(NAMES)}
MEANS = {name: grid.mean(0) for name, grid in GRIDS.items()}


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    assert list(found) == list(expected)
    assert all(found[name].shape == (1, 8) and found[name].dtype == np.float32 for name in found)
    return all(np.allclose(found[name][0], expected[name], atol=1e-6) for name in expected)


VECTOR_SHAPES = [(8,), (1, 8), (1, 1, 8), (1, 1, 1, 8), (8, 1, 1)]


@pytest.mark.parametrize("shape", VECTOR_SHAPES)
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_vectors_of_any_shape(shape, kind, tmp_path, capsys):
    path, given = tmp_path / "features.pkl", {name: value.astype(kind) for name, value in VECTORS.items()}
    path.write_bytes(pickle.dumps({name: value.reshape(shape) for name, value in given.items()}))
    assert same(features_file.read(path), given)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("shape", [(49, 8), (1, 49, 8), (7, 7, 8), (1, 7, 7, 8)])
def test_grids_are_pooled_in_one_line(shape, tmp_path, capsys):
    path = tmp_path / "features.pkl"
    path.write_bytes(pickle.dumps({name: grid.reshape(shape) for name, grid in GRIDS.items()}))
    assert same(features_file.read(path), MEANS)
    (line,) = capsys.readouterr().out.splitlines()
    assert (
        line.startswith(f"{path}: features of {shape} are taken for grids, and pooled to the mean")
        and "8 numbers" in line
    )


def test_channels_may_come_first(tmp_path):
    wide = np.random.default_rng(0).random((7, 7, 80), "float32")
    for value in (wide.transpose(2, 0, 1), wide.reshape(49, 80).T):
        (tmp_path / "features.pkl").write_bytes(pickle.dumps({"oak": np.ascontiguousarray(value)}))
        assert np.allclose(features_file.read(tmp_path / "features.pkl")["oak"], wide.mean((0, 1)), atol=1e-6)


def npz(path: Path, **arrays: np.ndarray) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def npy(path: Path, value: object) -> None:
    with path.open("wb") as file:
        np.save(file, value, allow_pickle=True)


def hdf5(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value


STACKED = np.stack([*VECTORS.values()])
CONTAINERS: dict[str, Callable[[Path], object]] = {
    "a pickle": lambda path: path.write_bytes(pickle.dumps(VECTORS)),
    "a pickle of protocol 2": lambda path: path.write_bytes(pickle.dumps(VECTORS, 2)),
    "a pickle in gzip": lambda path: path.write_bytes(gzip.compress(pickle.dumps(VECTORS))),
    "lists": lambda path: path.write_bytes(pickle.dumps({name: value.tolist() for name, value in VECTORS.items()})),
    "lists of a list": lambda path: path.write_bytes(pickle.dumps({name: [value.tolist()] for name, value in VECTORS.items()})),
    "pairs": lambda path: path.write_bytes(pickle.dumps([*VECTORS.items()])),
    "one array and names": lambda path: path.write_bytes(pickle.dumps({"features": STACKED, "names": [*NAMES]})),
    "a dictionary in .npy": lambda path: npy(path, VECTORS),
    "a dictionary of grids in .npy": lambda path: npy(path, {name: value[None] for name, value in VECTORS.items()}),
    ".npz": lambda path: npz(path, **VECTORS),
    ".npz of one array and names": lambda path: npz(path, ids=np.array(NAMES), features=STACKED),
    "HDF5": lambda path: hdf5(path, VECTORS),
    "HDF5 of one array and names": lambda path: hdf5(path, {"features": STACKED, "ids": np.array(NAMES, "S9")}),
    "HDF5 in folders": lambda path: hdf5(path, {f"a/{name}": value for name, value in VECTORS.items()}),
}  # fmt: skip


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_are_known_by_content(container, tmp_path):
    CONTAINERS[container](tmp_path / "features.pkl")
    assert same(features_file.read(tmp_path / "features.pkl"), VECTORS)


@pytest.mark.parametrize("key", ["{}.jpg", "Images/{}.jpg", "C:\\data\\{}.PNG", "Images/{}", "/content/{}.jpeg"])
def test_keys_are_names_of_files(key, tmp_path, capsys):
    path = tmp_path / "features.pkl"
    path.write_bytes(pickle.dumps({key.format(name): value for name, value in VECTORS.items()}))
    assert same(features_file.read(path), VECTORS)
    assert "image ids are made of them, such as oak" in capsys.readouterr().out


def test_our_own_ids_with_folders_stay(tmp_path):
    path, own = tmp_path / "features.pkl", {f"one/{name}": value[None] for name, value in VECTORS.items()}
    features_file.write(path, own)
    features_file.write_origin(path, {"encoder": "abc"})
    assert [*features_file.read(path)] == [*own]
    features_file.write(path, own | {"two/oak": VECTORS["oak"][None]})
    path.with_suffix(".json").unlink(missing_ok=True)
    assert [*features_file.read(path)] == [*own, "two/oak"]


REFUSED = {
    "an array without names": (lambda path: npy(path, STACKED), r"found an array of \(3, 8\), without names"),
    "a list of numbers": (lambda path: path.write_bytes(pickle.dumps([1.5, 2.5])), "found list without names"),
    "NaN": (lambda path: path.write_bytes(pickle.dumps(VECTORS | {"tram": np.full(8, np.nan, "f4")})),
        r"1 of 3 features .* not finite \(the first is tram: NaN\)"),
    "infinite": (lambda path: path.write_bytes(pickle.dumps(VECTORS | {"oak": np.full(8, 1e300)})), r"oak: infinite"),
    "text": (lambda path: path.write_bytes(pickle.dumps({"oak": "a tree"})), r"found str for 'oak'"),
    "lists of several lengths": (lambda path: path.write_bytes(pickle.dumps({"oak": [[1.0], [1.0, 2.0]]})), r"found list for 'oak'"),
    "integers in a pickle": (lambda path: path.write_bytes(pickle.dumps({"oak": np.arange(8)})), "an array of the type 'i8', where floats"),
    "texts in .npz": (lambda path: npz(path, oak=np.array(["a"])), r"found <U1 \(1,\) for 'oak'"),
    "a grid of grids": (lambda path: npz(path, oak=np.zeros((2, 3, 4, 5))), r"\(rows, columns, D\), found \(2, 3, 4, 5\)"),
    "neither places nor numbers first": (lambda path: npz(path, oak=np.zeros((70, 50))), r"found \(70, 50\)"),
    "nothing": (lambda path: npz(path, oak=np.zeros((1, 0))), r"found \(1, 0\)"),
    "two lengths": (lambda path: npz(path, oak=np.zeros(8), tram=np.zeros(9)), r"found \(8,\) and \(9,\)"),
    "half an archive": (lambda path: path.write_bytes(b"PK\3\4half"), "found a damaged file"),
    "half of gzip": (lambda path: path.write_bytes(gzip.compress(pickle.dumps(VECTORS))[:-20]), "found a damaged file"),
    "HDF5 of text": (lambda path: hdf5(path, {"oak": "a tree"}), "is of varying length"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_others_are_refused_with_what_was_found(kind, tmp_path):
    make, message = REFUSED[kind]
    make(tmp_path / "features.pkl")
    with pytest.raises(InputError, match=message) as caught:
        features_file.read(tmp_path / "features.pkl")
    assert "features.pkl" in str(caught.value) and "\n" not in str(caught.value)


def test_our_pickles_are_read_as_before(tmp_path):
    own = {name: value[None] for name, value in VECTORS.items()}
    features_file.write(tmp_path / "features.pkl", own)
    assert (tmp_path / "features.pkl").read_bytes() == pickles.dump(own)
    assert same(features_file.read(tmp_path / "features.pkl"), VECTORS)
