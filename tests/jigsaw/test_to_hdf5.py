"""Photographs into one HDF5 file: any shape of them, parts that the seed decides, whole or not there."""

import json

import h5py
import numpy as np
import pytest
from PIL import Image

from core import disk
from core.errors import InputError
from encoders import decoded
from jigsaw import to_hdf5

RANDOM = np.random.default_rng(0)


def run(folder, out, *more):
    to_hdf5.main(["--photographs", str(folder), "--out", str(out), "--size", "16", *more])
    with h5py.File(out) as file:
        return {name: file[name][:] for name in file}


def test_the_file_has_three_parts_without_what_cannot_be_read(tmp_path, capsys):
    folder, out = tmp_path / "photographs", tmp_path / "out/all.h5"
    folder.mkdir()
    for number in range(40):
        Image.new("RGB", (20 + number, 30), (number + 1, 0, 0)).save(folder / f"{number:02}.png")
    (folder / "99.jpg").write_bytes(b"no photograph")
    parts = run(folder, out)
    counts = {name: len(images) for name, images in parts.items()}
    assert counts == {"train_img": 33, "val_img": 4, "test_img": 3}  # 34 but for the file that is no photograph
    numbers = np.concatenate([images[:, 0, 0, 0] for images in parts.values()])
    assert sorted(numbers) == list(range(1, 41))
    assert list(numbers) != sorted(numbers)
    report = json.loads(out.with_suffix(".json").read_text())
    assert list(report["skipped"]) == [str(folder / "99.jpg")] and report["train_img"] == len(parts["train_img"])
    assert "skipped 1 files" in capsys.readouterr().out
    with h5py.File(out) as file:
        assert file["train_img"].chunks == (1, 16, 16, 3)
    assert len(decoded.load_hdf5(out, "val_img", (16, 16), tmp_path)) == len(parts["val_img"])
    again = run(folder, out)
    assert all(np.array_equal(again[name], images) for name, images in parts.items())
    assert not np.array_equal(run(folder, out, "--seed", "1")["train_img"], parts["train_img"])


@pytest.mark.parametrize("shape", [(1, 60), (60, 1), (2, 3), (1, 1), (300, 200), (40, 30)])
def test_photographs_of_any_shape_become_squares_of_themselves(tmp_path, shape):
    pixels = RANDOM.integers(0, 256, (*shape, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "one.png")
    side = min(shape)
    found = to_hdf5.square(tmp_path / "one.png", 16, 0)
    candidates = (
        Image.fromarray(pixels[top : top + side, left : left + side]).resize((16, 16), Image.Resampling.LANCZOS)
        for top in range(shape[0] - side + 1)
        for left in range(shape[1] - side + 1)
    )
    assert any(np.array_equal(found, candidate) for candidate in candidates)


def test_grey_photographs_get_three_channels_and_huge_ones_are_skipped(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.fromarray(RANDOM.integers(0, 256, (20, 20), "uint8")).save(folder / "grey.png")
    Image.new("1", (9500, 9500)).save(folder / "huge.png")  # 90 million pixels
    parts = run(folder, tmp_path / "all.h5")
    (image,) = [image for images in parts.values() for image in images]
    assert np.ptp(image, axis=-1).max() == 0 < np.ptp(image)
    assert "decompression bomb" in next(iter(json.loads((tmp_path / "all.json").read_text())["skipped"].values()))


def test_an_interrupted_run_leaves_nothing_and_begins_anew(photographs_folder, tmp_path, monkeypatch):
    out = tmp_path / "out/all.h5"

    def interrupt(path, size, seed):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(to_hdf5, "square", interrupt)
        run(photographs_folder, out)
    assert not [path for path in out.parent.iterdir() if path.name != ".lock"]
    (out.parent / ".all.partial.h5").write_bytes(b"what a killed run leaves")
    assert sum(map(len, run(photographs_folder, out).values())) == 6
    assert not (out.parent / ".all.partial.h5").exists()


def test_a_second_run_at_once_is_refused(photographs_folder, tmp_path):
    with disk.locked(tmp_path), pytest.raises(InputError, match="another run is writing"):
        run(photographs_folder, tmp_path / "all.h5")


def test_lists_restrict_and_nothing_readable_is_an_error(photographs_folder, tmp_path):
    (tmp_path / "list.txt").write_text("photo1.jpg\nphoto4.jpg\n")
    parts = run(photographs_folder, tmp_path / "all.h5", "--only", str(tmp_path / "list.txt"))
    assert sum(map(len, parts.values())) == 2
    for number in (1, 4):
        (photographs_folder / f"photo{number}.jpg").write_bytes(b"no photograph")
    with pytest.raises(InputError, match="none of 2 photographs can be read"):
        run(photographs_folder, tmp_path / "other.h5", "--only", str(tmp_path / "list.txt"))
    assert not (tmp_path / "other.h5").exists()


def test_too_little_room_is_told_beforehand(photographs_folder, tmp_path, monkeypatch):
    room = to_hdf5.shutil.disk_usage(tmp_path)._replace(free=6 * 16 * 16 * 3 - 1)
    monkeypatch.setattr(to_hdf5.shutil, "disk_usage", lambda folder: room)
    with pytest.raises(InputError, match=r"expected 0\.0 GB free in .* free space, choose another place"):
        run(photographs_folder, tmp_path / "all.h5")
    assert not (tmp_path / "all.h5").exists()
