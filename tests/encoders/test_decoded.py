"""Photographs for pretext tasks: decoded once, what cannot be read is listed, lists restrict, HDF5 files are read too."""

import json

import h5py
import numpy as np
import pytest
import tensorflow as tf

from core.errors import InputError
from encoders import decoded, photographs

SIZE = (12, 16)


def skipped(folder):
    (report,) = folder.glob("photographs-*.json")
    return json.loads(report.read_text())["skipped"]


def test_all_photographs_are_decoded_and_bad_files_listed(photographs_folder, tmp_path, capsys):
    (photographs_folder / "deeper").mkdir()
    (photographs_folder / "photo5.jpg").rename(photographs_folder / "deeper/photo5.jpg")
    (photographs_folder / "photo2.jpg").write_bytes(b"no photograph")
    pixels = decoded.load([photographs_folder], SIZE, tmp_path / "out")
    readable = sorted(path for path in photographs_folder.rglob("*.jpg") if path.name != "photo2.jpg")
    assert pixels.dtype == np.uint8 and not pixels.flags.writeable
    assert np.array_equal(pixels, [photographs.read(path, *SIZE) for path in readable])
    assert list(skipped(tmp_path / "out")) == [str(photographs_folder / "photo2.jpg")]
    assert "skipped 1 of 6 photographs, listed in" in capsys.readouterr().out


def test_photographs_are_decoded_once_until_they_change(photographs_folder, tmp_path, monkeypatch):
    first = np.array(decoded.load([photographs_folder], SIZE, tmp_path / "out"))
    read_again = []
    read = photographs.read
    monkeypatch.setattr(photographs, "read", lambda path, *size: read_again.append(path.name) or read(path, *size))
    assert np.array_equal(decoded.load([photographs_folder], SIZE, tmp_path / "out"), first)
    assert not read_again
    (photographs_folder / "photo0.jpg").write_bytes((photographs_folder / "photo1.jpg").read_bytes())
    changed = decoded.load([photographs_folder], SIZE, tmp_path / "out")
    assert len(read_again) == 6 and np.array_equal(changed[0], first[1])


def test_a_killed_decoding_begins_anew(photographs_folder, tmp_path, monkeypatch):
    def interrupt(path, *size):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(photographs, "read", interrupt)
        decoded.load([photographs_folder], SIZE, tmp_path / "out")
    assert not list((tmp_path / "out").glob("[!.]*"))
    assert len(decoded.load([photographs_folder], SIZE, tmp_path / "out")) == 6


@pytest.mark.parametrize("damage", ["cut short", "deleted", "another report"])
def test_photographs_that_are_not_whole_are_decoded_again(damage, photographs_folder, tmp_path):
    first = np.array(decoded.load([photographs_folder], SIZE, tmp_path / "out"))
    (path,) = (tmp_path / "out").glob("*.bin")
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "deleted":
        path.unlink()
    else:
        path.with_suffix(".json").write_text("[]")
    assert np.array_equal(decoded.load([photographs_folder], SIZE, tmp_path / "out"), first)


def test_lists_restrict(photographs_folder, tmp_path):
    (tmp_path / "one.txt").write_text("photo1.jpg\nphoto9.jpg\n")
    (tmp_path / "other.txt").write_text("photo4.jpg\n")
    pixels = decoded.load([photographs_folder], SIZE, tmp_path, [tmp_path / "one.txt", tmp_path / "other.txt"])
    assert np.array_equal(pixels, [photographs.read(photographs_folder / f"photo{n}.jpg", *SIZE) for n in (1, 4)])
    (tmp_path / "one.txt").write_text("photo9.jpg\n")
    with pytest.raises(InputError, match="none of the photographs"):
        decoded.load([photographs_folder], SIZE, tmp_path, [tmp_path / "one.txt"])


def test_an_hdf5_file_is_read_without_its_empty_rows(tmp_path):
    images = np.random.default_rng(0).integers(1, 256, (5, 16, 16, 3)).astype("uint8")
    images[3] = 0
    with h5py.File(tmp_path / "photographs.hdf5", "w") as file:
        file["train_img"] = images
    pixels = decoded.load([tmp_path / "photographs.hdf5"], (16, 16), tmp_path / "out")
    assert np.array_equal(pixels, images[[0, 1, 2, 4]])
    assert list(skipped(tmp_path / "out").values()) == ["an empty row"]
    with pytest.raises(InputError, match="no names that a list could restrict"):
        decoded.load([tmp_path / "photographs.hdf5"], (16, 16), tmp_path, [tmp_path / "list.txt"])


def test_a_dataset_is_chosen_by_name_and_its_empty_rows_counted(tmp_path, capsys):
    path = tmp_path / "original.h5"
    with h5py.File(path, "w") as file:  # the original's: three times the rows that it fills
        for number, name in enumerate(("train_img", "val_img")):
            file.create_dataset(name, (300, 8, 8, 3), "uint8")[:100] = number + 1
    pixels = decoded.load_hdf5(path, "val_img", (8, 8), tmp_path / "out")
    assert pixels.shape == (100, 8, 8, 3) and np.all(pixels == 2)
    assert "skipped 200 of 300 photographs" in capsys.readouterr().out
    assert np.all(decoded.load_hdf5(path, "train_img", (8, 8), tmp_path / "out") == 1)


def test_an_hdf5_file_cut_short_or_damaged_within_is_an_error(tmp_path):
    path = tmp_path / "short.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("train_img", data=np.ones((50, 8, 8, 3), "uint8"), chunks=(1, 8, 8, 3), fletcher32=True)
        where = file["train_img"].id.get_chunk_info(7).byte_offset
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) * 2 // 3], whole[:where] + b"\7" + whole[where + 1 :]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"expected a whole HDF5 file .* train_img .*short\.h5"):
            decoded.load_hdf5(path, "train_img", (8, 8), tmp_path / "out")
        assert not list((tmp_path / "out").glob("[!.]*"))


@pytest.mark.parametrize("elsewhere", ["external link", "soft link", "virtual", "nowhere"])
def test_data_that_lie_elsewhere_are_refused(tmp_path, elsewhere):
    path, other = tmp_path / "linked.h5", tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.ones((2, 4, 4, 3), "uint8")
    with h5py.File(path, "w") as file:
        if elsewhere == "external link":
            file["train_img"] = h5py.ExternalLink(other, "secret")
        elif elsewhere == "soft link":
            file["train_img"] = h5py.SoftLink("/nothing")
        elif elsewhere == "virtual":
            layout = h5py.VirtualLayout((2, 4, 4, 3), "uint8")
            layout[:] = h5py.VirtualSource(other, "secret", (2, 4, 4, 3))
            file.create_virtual_dataset("train_img", layout)
        else:
            file.create_dataset("train_img", (10**9, 256, 256, 3), "uint8", chunks=(1, 256, 256, 3))
    with pytest.raises(InputError, match=r"refused .*linked\.h5"):
        decoded.load_hdf5(path, "train_img", (4, 4), tmp_path / "out")


@pytest.mark.parametrize("content", [None, {"other": np.zeros(1)}, {"train_img": np.full((2, 4, 4, 3), 700.0)}, {"train_img": np.zeros((2, 4, 4, 2))},
                                     {"train_img": np.full((2, 4, 4, 3), np.nan)}, {"train_img": np.full((2, 4, 4, 3), -3)}])  # fmt: skip
def test_another_hdf5_file_is_refused(tmp_path, content):
    path = tmp_path / "photographs.h5"
    if content is None:
        path.write_bytes(b"no HDF5")
    else:
        with h5py.File(path, "w") as file:
            file.update(content)
    with pytest.raises(InputError, match=r"photographs\.h5"):
        decoded.load([path], (4, 4), tmp_path / "out")


LAYOUTS = {
    "floats of 0 to 1": lambda pixels: pixels / 255,
    "floats of 0 to 255": lambda pixels: pixels.astype("float32"),
    "floats of -1 to 1": lambda pixels: pixels / 127.5 - 1,
    "integers": lambda pixels: pixels.astype("int64"),
    "colours first": lambda pixels: pixels.transpose(0, 3, 1, 2),
    "colours first, floats": lambda pixels: (pixels.transpose(0, 3, 1, 2) / 255).astype("float16"),
    "grey": lambda pixels: pixels[..., 0],
    "grey, an axis": lambda pixels: pixels[..., :1],
    "grey, an axis first": lambda pixels: pixels[:, None, :, :, 0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_photographs_in_hdf5_of_other_layouts(layout, tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(1, 255, (150, 8, 6, 3)).astype("uint8")
    pixels[0] = [9, 255, 128]
    if "grey" in layout:
        pixels[:] = pixels[..., :1]
    with h5py.File(tmp_path / "photographs.h5", "w") as file:
        file["train_img"] = LAYOUTS[layout](pixels)
    found = decoded.load([tmp_path / "photographs.h5"], (8, 6), tmp_path / "out")
    assert np.array_equal(found, pixels)
    assert "train_img is taken for photographs" in capsys.readouterr().out


def test_a_number_beyond_the_others_is_named(tmp_path):
    pixels = np.full((200, 8, 8, 3), 0.5)
    pixels[7] = 3  # between those that are looked at first
    with h5py.File(tmp_path / "photographs.h5", "w") as file:
        file["train_img"] = pixels
    with pytest.raises(InputError, match=r"expected numbers of 0 to 1, .* in train_img of .*, found 0\.5 to 3; save"):
        decoded.load([tmp_path / "photographs.h5"], (8, 8), tmp_path / "out")


@pytest.mark.parametrize("there", [(), ("val_img",), ("test_img",), ("val_img", "test_img")])
def test_parts_of_train_img_stand_for_what_is_missing(there, tmp_path, capsys):
    pixels = np.broadcast_to(np.arange(1, 61, dtype="uint8")[:, None, None, None], (60, 8, 8, 3))
    with h5py.File(tmp_path / "photographs.h5", "w") as file:
        file["train_img"] = pixels
        for name in there:
            file[name] = pixels[:3]
    train, val, test = (
        part[:, 0, 0, 0] for part in decoded.load_parts(tmp_path / "photographs.h5", (8, 8), tmp_path / "out")
    )
    assert [*val] == ([1, 2, 3] if "val_img" in there else [10, 20, 30, 40, 50, 60])
    assert [*test] == ([1, 2, 3] if "test_img" in there else [9, 29, 49])
    apart = [*val] * ("val_img" not in there) + [*test] * ("test_img" not in there)
    assert [*train] == [number for number in range(1, 61) if number not in apart]
    printed = capsys.readouterr().out
    assert ("has no val_img: each 10th" in printed) == ("val_img" not in there)


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no photograph")
    with pytest.raises(InputError, match="none of 1 photographs can be read"):
        decoded.load([tmp_path], SIZE, tmp_path / "out")


def test_labels_are_the_names_of_sub_folders(photographs_folder, tmp_path):
    for number in range(6):
        folder = photographs_folder / ("cat" if number < 4 else "ant")
        folder.mkdir(exist_ok=True)
        (photographs_folder / f"photo{number}.jpg").rename(folder / f"photo{number}.jpg")
    (photographs_folder / "cat/photo1.jpg").write_bytes(b"no photograph")
    pixels, labels, classes = decoded.load_labelled(photographs_folder, SIZE, tmp_path / "out", most=3)
    assert classes == ("ant", "cat") and labels.tolist() == [0, 0, 1, 1]
    assert np.array_equal(pixels[2], photographs.read(photographs_folder / "cat/photo0.jpg", *SIZE))
    with pytest.raises(InputError, match="one sub-folder for each class"):
        decoded.load_labelled(photographs_folder / "cat", SIZE, tmp_path / "out")


def test_batches_hold_each_photograph_once_in_an_order_of_seed_and_epoch():
    pixels = np.repeat(np.arange(10, dtype="uint8"), 12).reshape(10, 2, 2, 3)

    def epoch(seed, number):
        batches = decoded.batches(pixels, 3, seed, lambda rows, indices, seed: (rows, indices, seed))
        rows, indices, seeds = (np.stack(part) for part in zip(*batches(tf.constant(number, tf.int64)), strict=True))
        assert rows.shape == (3, 3, 2, 2, 3) and np.array_equal(rows[..., 0, 0, 0], indices)
        assert len(set(indices.ravel())) == 9 and len({tuple(seed) for seed in seeds}) == 3
        return indices.tolist(), seeds.tolist()

    assert epoch(0, 0) == epoch(0, 0)
    assert epoch(0, 0)[0] != epoch(0, 1)[0] != epoch(1, 1)[0]
    assert epoch(0, 0)[1] != epoch(0, 1)[1] != epoch(1, 1)[1]


def test_too_few_photographs_for_a_batch_is_an_error():
    assert decoded.steps(np.empty((10, 1, 1, 3)), 4) == 2
    with pytest.raises(InputError, match="fewer than --batch-size 11"):
        decoded.steps(np.empty((10, 1, 1, 3)), 11)
