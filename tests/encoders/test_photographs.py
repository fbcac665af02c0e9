"""Photographs of all kinds, and files that are none."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import InputError
from encoders import photographs
from encoders.photographs import Unreadable

GREEN = np.zeros((20, 30, 3), "uint8") + np.array([40, 200, 80], "uint8")


@pytest.mark.parametrize(
    "name", ["RGB.jpg", "CMYK.jpg", "RGB.png", "P.png", "RGBA.png", "RGB.webp", "RGBA.webp", "RGB.MPO"]
)
def test_colour_survives_every_mode_and_format(tmp_path, name):
    mode, suffix = name.split(".")
    path = tmp_path / f"photograph.{suffix.replace('MPO', 'JPG')}"
    photograph = Image.fromarray(GREEN).convert(mode)
    if suffix == "MPO":  # what many phones and cameras write as .jpg
        photograph.save(path, "MPO", save_all=True, append_images=[photograph])
    else:
        photograph.save(path, quality=95)
    pixels = photographs.read(path, 8, 12)
    assert pixels.shape == (8, 12, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels - GREEN[0, 0].astype(int)).max() < 12  # lossy, or 256 colours


@pytest.mark.filterwarnings("error")
def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path):
    Image.fromarray(GREEN).convert("P").save(tmp_path / "p.png", transparency=bytes(range(256)))
    assert np.abs(photographs.read(tmp_path / "p.png", 8, 12) - GREEN[0, 0].astype(int)).max() < 30


def test_a_film_after_a_photograph_counts_for_nothing(tmp_path):
    Image.fromarray(GREEN).save(tmp_path / "motion.jpg")
    with (tmp_path / "motion.jpg").open("ab") as file:  # as phones do
        file.write(b"\xff\xda" * 1000)
    assert photographs.read(tmp_path / "motion.jpg", 8, 12).shape == (8, 12, 3)


@pytest.mark.parametrize(
    ("mode", "dtype", "level"), [("L", "uint8", 100), ("LA", "uint8", 100), ("1", "bool", 255), ("I;16", "uint16", 100)]
)
def test_grey_becomes_three_equal_channels(tmp_path, mode, dtype, level):
    grey = np.full((20, 30), level, dtype) * (256 if mode == "I;16" else 1)
    Image.fromarray(grey.astype(dtype)).convert(mode).save(tmp_path / "grey.png")
    assert (photographs.read(tmp_path / "grey.png", 5, 5) == level).all()


def test_transparency_is_dropped_as_by_convert(tmp_path):
    pixels = np.dstack([GREEN, np.zeros((20, 30), "uint8")])
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    assert (photographs.read(tmp_path / "clear.png", 20, 30) == GREEN).all()


@pytest.mark.parametrize(("orientation", "stored"), [
    (1, lambda upright: upright),
    (2, np.fliplr),
    (3, lambda upright: np.rot90(upright, 2)),
    (4, np.flipud),
    (5, lambda upright: upright.transpose(1, 0, 2)),
    (6, np.rot90),
    (7, lambda upright: np.rot90(upright, 2).transpose(1, 0, 2)),
    (8, lambda upright: np.rot90(upright, -1)),
])  # fmt: skip
def test_exif_orientation_is_undone(tmp_path, orientation, stored):
    upright = np.random.default_rng(0).integers(0, 256, (6, 9, 3), "uint8")
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored(upright))).save(tmp_path / "turned.png", exif=exif)
    assert (photographs.read(tmp_path / "turned.png", 6, 9) == upright).all()


def test_shrinking_averages_instead_of_picking(tmp_path):
    stripes = np.tile(np.array([0, 0, 255, 255], "uint8")[:, None], (16, 64))  # (64, 64)
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    inner = photographs.read(tmp_path / "stripes.png", 8, 8)[1:-1]
    assert np.abs(inner - 127.5).max() < 20


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 1_000) + b"IDAT"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("content", "reason"), [
    (b"", "cannot identify"),
    (b"hello", "cannot identify"),
    (png_header(9_500, 9_500), "9500 x 9500 pixels .* bomb"),
    (png_header(60_000, 60_000), "bomb"),
    (png_header(100, 100), "truncated"),
    (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "cannot identify"),
], ids=["empty", "text", "bomb", "large bomb", "cut", "gif"])  # fmt: skip
def test_what_cannot_be_decoded_says_why(tmp_path, content, reason):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=reason) as error:
        photographs.read(path, 8, 8)
    assert str(tmp_path) not in str(error.value)  # skipped.txt names the file already


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_truncated_files_are_unreadable(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), "uint8")
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(Unreadable):
        photographs.open_rgb(path)


@pytest.mark.filterwarnings("ignore:.*EXIF")
@pytest.mark.parametrize("exif", [b"garbage", b"II*\0\x08\0\0\0\xff\xff", b"MM\0*\xff\xff\xff\xff", b""])
def test_broken_exif_does_not_lose_the_photograph(tmp_path, exif):
    Image.fromarray(GREEN).save(tmp_path / "p.jpg", exif=b"Exif\0\0" + exif)
    assert photographs.open_rgb(tmp_path / "p.jpg").size == (30, 20)


def test_listing_is_sorted_and_ignores_other_files(tmp_path, capsys):
    for name in ("b.JPG", "a.png", "C.webp", "d.jpeg", "notes.txt", "._a.png", "inner/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in photographs.list_photographs(tmp_path)] == ["C.webp", "a.png", "b.JPG", "d.jpeg"]
    assert capsys.readouterr().out == f"{tmp_path}: 2 other files ignored\n"
    assert tmp_path / "inner" / "e.jpg" in photographs.list_photographs(tmp_path, recursive=True)


def test_links_to_nothing_are_counted(tmp_path, capsys):
    (tmp_path / "a.jpg").symlink_to("nowhere")
    (tmp_path / "b.jpg").touch()
    assert photographs.list_photographs(tmp_path) == [tmp_path / "b.jpg"]
    assert capsys.readouterr().out == f"{tmp_path}: 1 other files ignored\n"


def test_folders_without_photographs_are_errors(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"\.jpeg.*found 1 other files"):
        photographs.list_photographs(tmp_path)
    with pytest.raises(InputError, match="found a file"):
        photographs.list_photographs(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="found nothing"):
        photographs.list_photographs(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [b"\xff.jpg", b"two\nlines.jpg", b"\x1b[2J.png"])
def test_names_that_are_no_text_are_refused(tmp_path, name):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    with pytest.raises(InputError, match="names that can be written as text"):
        photographs.list_photographs(tmp_path)


@pytest.mark.parametrize("name", ["at 3.04\u202fPM.jpg", "family \U0001f468\u200d\U0001f469.jpg", "\u00e9t\u00e9.jpg"])
def test_names_in_any_writing_are_names(tmp_path, name):
    (tmp_path / name).touch()
    assert photographs.list_photographs(tmp_path) == [tmp_path / name]


def ids(folder, *names):
    """Return the image ids of such files in a new folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    found = photographs.by_id(folder)
    assert [path.relative_to(folder).as_posix() for path in found.values()] == sorted(names)
    return list(found)


def test_ids_are_names_up_to_the_first_dot(tmp_path, capsys):
    assert ids(tmp_path, "a.b.jpg", "c.png", "inner/d.JPG", "two  words.jpg") == ["a", "c", "d", "two words"]
    assert capsys.readouterr().out == f"{tmp_path}: image ids are names up to the first dot\n"


@pytest.mark.parametrize(("names", "expected", "shared"), [
    (["2021.05.03_000.jpg", "2021.05.03_001.jpg", "b.jpg"], ["2021.05.03_000", "2021.05.03_001", "b"], "2021"),
    (["2021.05.03_000.jpg", "2021.jpg"], ["2021.05.03_000", "2021"], "2021"),
    (["one/a.jpg", "two/a.jpg", "two/b.jpg"], ["one/a", "two/a", "two/b"], "a"),
])  # fmt: skip
def test_ids_are_whole_where_two_photographs_would_share_one(names, expected, shared, tmp_path, capsys):
    assert ids(tmp_path, *names) == expected
    line = f"{tmp_path}: 2 photographs are '{shared}' up to the first dot: image ids are paths without suffix\n"
    assert capsys.readouterr().out == line


def test_photographs_that_differ_in_their_suffix_alone_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.jpg and a\.png in .* share the image id 'a'"):
        ids(tmp_path, "a.jpg", "a.png")


def test_what_is_in_hidden_folders_is_no_photograph(tmp_path):
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails/a.jpg").touch()
    assert ids(tmp_path, "a.jpg") == ["a"]


NFC, NFD = "\u00e9t\u00e9", "e\u0301te\u0301"


@pytest.mark.parametrize(("known", "name", "expected"), [
    (["a", "b"], "a.jpg", "a"),
    (["a", "b"], "a.jpg.1", "a"),  # as in the original
    (["a", "b"], "Images/a.jpg", "a"),
    (["a", "b"], "C:\\data\\Images\\a.jpg", "a"),
    (["a", "b"], "./a.jpg", "a"),
    (["a", "b"], "A.JPG", "a"),
    (["a", "A"], "A.jpg", "A"),
    (["IMG", "Img"], "img.jpg", "img"),  # either could be meant
    (["a", "b"], "c.jpg", "c"),
    ([NFC], f"{NFD}.jpg", NFC),
    (["dog, beach 001"], "dog, beach 001.jpg", "dog, beach 001"),
    (["dog, beach 001"], "dog,%20beach%20001.jpg", "dog, beach 001"),
    (["2021", "2021.05"], "2021.jpg", "2021"),
    (["2021", "2021.05"], "2021.05.jpg", "2021.05"),
    (["2021", "2021.05"], "2021.05", "2021.05"),  # already an id
    (["2021", "2021.05"], "2021.06.jpg", "2021.06"),  # and not 2021
    (["one/a", "two/a", "two/b"], "two/a.jpg", "two/a"),
    (["one/a", "two/a", "two/b"], "D:\\all\\two\\a.jpg", "two/a"),
    (["one/a", "two/a", "two/b"], "b.jpg", "two/b"),
    (["one/a", "two/a", "two/b"], "B.JPG", "two/b"),
    (["one/a", "two/a", "two/b"], "a.jpg", "a"),  # either could be meant
    (["one/a", "two/a", "two/b"], "one/b.jpg", "one/b"),  # and not two/b
])  # fmt: skip
def test_names_find_their_photographs(known, name, expected, tmp_path):
    assert photographs.finder(known)(name) == expected
    (tmp_path / "list.txt").write_text(f"{name}\n", "utf-8")
    assert photographs.read_image_list(tmp_path / "list.txt", known) == [expected]


def test_photographs_one_folder_down_are_found(tmp_path, capsys):
    for name in ("Images/Images/a.jpg", "Images/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in photographs.list_photographs(tmp_path)] == ["a.jpg", "b.png"]
    assert f"{tmp_path}: its 2 photographs are in sub-folders" in capsys.readouterr().out
    (tmp_path / "Images/a.jpg").touch()  # two of one name
    with pytest.raises(InputError, match=r"expected photographs .* found no other files"):
        photographs.list_photographs(tmp_path)
