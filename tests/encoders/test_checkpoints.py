"""The containers of published checkpoints: each gives the network's tensors by the names of its `state_dict`, and runs nothing.

The torch fixtures come from the real PyTorch: tests/fixtures/make.
"""

import errno
import json
import pickle
import shutil
import struct
import tracemalloc
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from core.errors import InputError
from encoders.tensors import checkpoint
from tests.core.test_hostile_files import torch_tensor

FIXTURES = Path(__file__).parents[1] / "fixtures" / "checkpoints"
CONTAINERS = FIXTURES / "containers"
EXPECTED = dict(np.load(CONTAINERS / "expected.npz"))
NETWORK = {name: value for name, value in EXPECTED.items() if not name.startswith("odd.")}


def read(path: Path) -> tuple[dict[str, np.ndarray], str]:
    found = checkpoint.read(path)
    return {name: tensor.read() for name, tensor in found.tensors.items()}, found.container


def check_equal(tensors: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert tensors.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(tensors[name], value, err_msg=name)


# PyTorch -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file, container, prefix",
    [
        ("whole.pt", "a torch archive with a whole pickled model", ""),
        ("whole_older.pt", "a torch archive of the older form with a whole pickled model", "model."),
    ],
)
def test_a_whole_model_has_the_names_of_its_state_dict(file, container, prefix):
    """Of float16, float32 and integers; one module under two names; without the buffer that no `state_dict` has."""
    tensors, found = read(CONTAINERS / file)
    assert found == container
    check_equal(tensors, {f"{prefix}{name}": value for name, value in NETWORK.items()})
    assert list(tensors) == [f"{prefix}{name}" for name in NETWORK]


def test_a_torchscript_archive():
    tensors, container = read(CONTAINERS / "script.pt")
    assert container == "a TorchScript archive"
    check_equal(tensors, NETWORK | {"hidden": np.ones(9)})


@pytest.mark.parametrize("file", ["odd.ckpt", "odd_older.ckpt"])
def test_what_people_save_beside_a_network_is_left_aside(file, capsys):
    """Sets, odd keys, objects, a cycle; subclasses of tensors and numbers without a storage of their own are read."""
    tensors, _ = read(CONTAINERS / file)
    assert capsys.readouterr().out == "left aside 5 tensors that are quantised, sparse, complex or expanded\n"
    check_equal(tensors, {f"state_dict.{name.removeprefix('odd.')}": value for name, value in EXPECTED.items()})


def test_tensors_under_numbers_in_lists_in_python_2s_dictionaries_and_compiled_modules(tmp_path):
    two = b"ccollections\nOrderedDict\n(](](U\1w" + torch_tensor() + b"eetR"  # its items as a list of lists
    listed = b"(K\3" + b"](h\6" + two + b"e" + b"G" + struct.pack(">d", 0.5) + b"h\6u"
    compiled = b"U\1bctorch._dynamo.eval_frame\nOptimizedModule\n}U\1wh\6sN\x86Rs"
    path = write_archive(tmp_path / "a.pt", b"\x80\2}U\1a" + torch_tensor() + b"s" + listed + compiled + b".")
    check_equal(read(path)[0], dict.fromkeys(("a", "3.0", "3.1.w", "0.5", "b._orig_mod.w"), np.float32([7])))


def write_archive(path: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip archive as torch does, whose storage 0 is the number 7."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", np.float32([7]).tobytes(), compression)
    return path


def test_a_changed_number_is_noticed(tmp_path):
    path = write_archive(tmp_path / "a.pt", b"\x80\2}U\1a" + torch_tensor() + b"s.")
    path.write_bytes(path.read_bytes().replace(np.float32(7).tobytes(), np.float32(8).tobytes()))
    with pytest.raises(InputError, match=r"archive/data/0 is damaged; download the file again"):
        read(path)


def write_flat(path: Path, count: int, size: int) -> None:
    """Write an archive of tensors that are parts of one storage."""
    number = [pickle.BININT + struct.pack("<i", value) for value in (count * size, size)]
    storage = b"(U\7storagectorch\nFloatStorage\nU\0010U\3cpu" + number[0] + b"tQq\5"
    tensors = b"".join(
        b"K%c" % index + b"ctorch._utils\n_rebuild_tensor_v2\n(h\5" + pickle.BININT + struct.pack("<i", index * size) + number[1]
        + b"\x85K\1\x85\x89}tR" for index in range(count)
    )  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\2" + storage + b"0}(" + tensors + b"u.")
        archive.writestr("archive/data/0", np.ones(count * size, "f4").tobytes())


@pytest.mark.parametrize("form", ["parts of one storage", "safetensors"])
def test_tensors_are_read_one_by_one(form, tmp_path):
    """Memory holds the network once: neither the file, nor a storage for each of its tensors."""
    count, size = 48, 1 << 16
    if form == "safetensors":
        save_file({str(number): np.ones(size, "f4") for number in range(count)}, tmp_path / "network")
    else:
        write_flat(tmp_path / "network", count, size)
    tracemalloc.start()
    tensors, _ = read(tmp_path / "network")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.2 * sum(tensor.nbytes for tensor in tensors.values())


# Hugging Face and .zip -----------------------------------------------------------------------------------------------


FIRST, SECOND = {"a.weight": np.float32([1, 2])}, {"b.weight": np.array([[3]], ml_dtypes.bfloat16)}


def write_shards(folder: Path, places: dict[str, str] | None = None) -> Path:
    for number, tensors in enumerate((FIRST, SECOND), 1):
        save_file(tensors, folder / f"model-0000{number}-of-00002.safetensors")
    own = {"a.weight": "model-00001-of-00002.safetensors", "b.weight": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": own | (places or {})}))
    return folder


def test_shards(tmp_path):
    (write_shards(tmp_path) / "config.json").write_text('{"model_type": "resnet"}')
    for path, container in (
        (tmp_path, "a Hugging Face folder with 2 shards, each a safetensors file"),
        (tmp_path / "model.safetensors.index.json", "2 shards, each a safetensors file"),
    ):
        tensors, found = read(path)
        assert found == container
        check_equal(tensors, FIRST | SECOND)
        assert checkpoint.read(path).configuration == {"config": {"model_type": "resnet"}}


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_hugging_face_folder_and_what_is_beside_its_file(name, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    if name == "model.safetensors":
        save_file(FIRST, folder / name)
    else:
        shutil.copy(CONTAINERS / "whole.pt", folder / name)
    (folder / "config.json").write_text('{"depths": [2, 2]}')
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    beside = {"config": {"depths": [2, 2]}, "preprocessor": {"image_mean": [0.5, 0.5, 0.5]}}
    found = checkpoint.read(folder)
    assert found.configuration == checkpoint.read(folder / name).configuration == beside
    assert found.container == f"a Hugging Face folder with {checkpoint.read(folder / name).container}"
    (folder / name).rename(folder / "other.bin")
    assert checkpoint.read(folder / "other.bin").configuration == {}


@pytest.mark.parametrize(
    "places, message",
    [
        (
            {"c": "gone.safetensors"},
            "index.json names the file 'gone.safetensors', found nothing of that name beside it",
        ),
        ({"c": "../model.safetensors"}, r"names the file '\.\./model\.safetensors', found nothing"),
        ({"c": "/etc/hostname"}, "names the file '/etc/hostname', found nothing"),
        ({"c": "model-00001-of-00002.safetensors"}, "names 1 tensors that its files lack, such as 'c'"),
        ({"c": ["model-00001-of-00002.safetensors"]}, "is damaged"),
    ],
)
def test_an_index_that_is_not_true(places, message, tmp_path):
    (tmp_path / "folder").mkdir()
    save_file(FIRST, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=message):
        checkpoint.read(write_shards(tmp_path / "folder", places))


def raise_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left")


def test_a_zip_around_one_file(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "download.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(CONTAINERS / "whole.pt", "weights/the whole.pt")
        archive.writestr("__MACOSX/weights/._the whole.pt", "")
    tensors, container = read(tmp_path / "download.zip")
    assert container == "a .zip around a torch archive with a whole pickled model"
    check_equal(tensors, NETWORK)
    with (
        monkeypatch.context() as patch,
        pytest.raises(InputError, match=r"cannot read .*download\.zip: No space left; check its"),
    ):
        patch.setattr(shutil, "copyfileobj", raise_full)
        checkpoint.read(tmp_path / "download.zip")
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.write(tmp_path / "download.zip", "download.zip")
    with pytest.raises(
        InputError, match=r"expected one data\.pkl in the zip archive .*twice\.zip/download\.zip, found 0"
    ):
        checkpoint.read(tmp_path / "twice.zip")


# What is none --------------------------------------------------------------------------------------------------------

OTHERS = {
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", r"is a Git LFS pointer, .*`git lfs pull`"),
    "a web page": (b"\n<!DOCTYPE html><html>", "is a web page, not a checkpoint: download the file itself"),
    "nothing": (b"", "is empty: download it again"),
    "the beginning of an archive": (b"PK\3\4 and so on", "is cut short"),
    "a packed file": (b"\x1f\x8b\x08", "is packed with gzip: unpack it"),
    "an HDF5 file": (b"\x89HDF\r\n", "is an HDF5 file that is damaged or cut short"),
    "a tar archive": (b"model.pth".ljust(257, b"\0") + b"ustar", "is a tar archive: unpack it"),
    "a text": (b"words", "begins with the bytes b'words': expected a torch"),
    "a pickle": (pickle.dumps([1, 2]), "is a pickle that PyTorch did not write"),
    "a header cut short": (struct.pack("<Q", 99) + b'{"a": ', "is damaged or cut short"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_named(name, tmp_path):
    content, message = OTHERS[name]
    (tmp_path / "file.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=rf"file\.ckpt {message}") as caught:
        checkpoint.read(tmp_path / "file.ckpt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "members, message",
    [
        (("config.json", "model.weights.h5"), r"is a Keras model \(\.keras\): expected a torch"),
        (("a.npy", "b.npy"), r"is an archive of NumPy arrays \(\.npz\)"),
        (("a/data.pkl", "b/data.pkl"), r"expected one data\.pkl in the zip archive .*, found 2"),
        (("a", "b"), r"is a zip archive without PyTorch's data\.pkl"),
    ],
)
def test_other_archives_are_named(members, message, tmp_path):
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        for member in members:
            archive.writestr(member, "")
    with pytest.raises(InputError, match=message):
        checkpoint.read(tmp_path / "archive")


def test_an_onnx_file_is_named(tmp_path):
    (tmp_path / "network.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(InputError, match="is an ONNX network"):
        checkpoint.read(tmp_path / "network.onnx")
