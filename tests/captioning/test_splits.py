"""Image lists from Karpathy's JSON, and drawn ones that say so."""

import json
from itertools import chain
from pathlib import Path

import pytest

from captioning import splits
from core.errors import InputError


@pytest.fixture
def karpathy(tmp_path) -> Path:
    path = tmp_path / "dataset_flickr8k.json"
    images = [
        {"filename": f"{number}.jpg", "split": split, "sentences": [{"raw": "A dog"}]}
        for number, split in enumerate(["train", "val", "test", "train", "restval"])
    ]
    path.write_text(json.dumps({"images": images}))
    return path


@pytest.fixture
def photographed(tmp_path) -> Path:
    """A folder of 20 photographs (empty files: only names count) and captions of 17 of them and of a missing one."""
    (tmp_path / "photographs").mkdir()
    for number in range(20):
        (tmp_path / "photographs" / f"p{number}.png").touch()
    (tmp_path / "token.txt").write_text("".join(f"p{number}.jpg#0\tA dog\n" for number in [*range(17), 99]))
    return tmp_path


def test_karpathys_splits_take_the_official_names(karpathy, tmp_path, capsys):
    splits.main(["--captions", str(karpathy), "--out", str(tmp_path / "lists")])
    assert (tmp_path / "lists" / "Flickr_8k.trainImages.txt").read_text() == "0.jpg\n3.jpg\n4.jpg\n"
    assert splits.read(tmp_path / "lists" / "Flickr_8k.devImages.txt") == ["1"]
    assert splits.read(tmp_path / "lists" / "Flickr_8k.testImages.txt") == ["2"]
    assert "not comparable" not in capsys.readouterr().out


def test_drawn_lists_cover_the_captioned_photographs_once(photographed, capsys):
    def drawn(seed):
        folders = ["--photographs", str(photographed / "photographs"), "--out", str(photographed)]
        splits.main(["--captions", str(photographed / "token.txt"), "--seed", str(seed), *folders])
        return {
            split: splits.read(photographed / f"random-seed-{seed}.{split}Images.txt")
            for split in ("train", "dev", "test")
        }

    first = drawn(1)
    assert {split: len(ids) for split, ids in first.items()} == {"train": 13, "dev": 2, "test": 2}
    assert sorted(chain(*first.values())) == sorted(f"p{number}" for number in range(17))
    assert drawn(1) == first != drawn(2)
    assert (
        "devImages.txt: 2 photographs, dev of random-seed-1 (not comparable with published scores)"
        in capsys.readouterr().out
    )
    assert (photographed / "random-seed-1.devImages.txt").read_text().endswith(".png\n")  # the photograph's own name


def test_what_cannot_be_split_is_refused(karpathy, photographed):
    with pytest.raises(InputError, match=r"no splits.*--seed 1"):
        splits.main(["--captions", str(photographed / "token.txt")])
    with pytest.raises(InputError, match=r"at least 8 .* found 7"):
        splits.draw(list("abcdefg"), 1)
    karpathy.write_text(karpathy.read_text().replace('"val"', '"holiday"'))
    with pytest.raises(InputError, match="holiday"):
        splits.from_captions(karpathy)


def test_a_missing_list_is_an_error_that_says_where_lists_come_from(tmp_path):
    with pytest.raises(InputError, match=r"devImages\.txt.*Flickr8k_text\.zip.*captioning\.splits.*--seed"):
        splits.read(tmp_path / "Flickr_8k.devImages.txt")


@pytest.mark.parametrize(("name", "expected"), [
    ("Flickr_8k.devImages.txt", "dev"),
    ("Flickr_8k.trainImages.txt", "train"),
    ("random-seed-7.testImages.txt", "test of random-seed-7 (not comparable with published scores)"),
    ("holiday.txt", "holiday.txt"),
    ("dataset_coco.devImages.txt", "dev of dataset_coco"),
])  # fmt: skip
def test_scores_name_their_split(name, expected):
    assert splits.describe(Path("folder") / name) == expected
