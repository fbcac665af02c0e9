"""The doctor on folders as people download them: what each file is, and commands that run as they are printed."""

import json
import pickle
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from captioning import doctor, splits
from captioning.captions import read_descriptions
from captioning.tokenizer import Tokenizer, write_tokenizer
from core import disk, keras_files
from core.errors import InputError
from encoders import photographs
from tests.conftest import command, toy_encoder

NAMES = [f"walk {number}" for number in range(10)]
TEXTS = ["Someone walks along a river", "a long walk , a short rest"]


def draw(folder: Path, names: list[str] = NAMES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (8, 8), (25 * number, 99, 9)).save(folder / f"{name}.png")


def rows(pattern: str, names: list[str] = NAMES) -> str:
    return "\n".join(pattern.format(name=name, text=text) for name in names for text in TEXTS) + "\n"


def packaged(folder: Path) -> None:
    """captions.txt and Images, as Flickr8k is re-packaged."""
    draw(folder / "Images")
    disk.write_text(folder / "captions.txt", "image,caption\n" + rows('{name}.png,"{text}"'))


def nested(folder: Path) -> None:
    """results.csv beside a folder in a folder, as Flickr30k is re-packaged; Karpathy's splits."""
    draw(folder / "flickr30k_images" / "flickr30k_images")
    disk.write_text(
        folder / "flickr30k_images" / "results.csv",
        "image_name| comment_number| comment\n" + rows("{name}.png| 0| {text}"),
    )
    images = [
        {"filename": f"{name}.png", "split": split, "sentences": [{"raw": TEXTS[0]}]}
        for name, split in zip(NAMES, ["train"] * 7 + ["val", "val", "test"], strict=True)
    ]
    disk.write_json(folder / "dataset_flickr30k.json", {"images": images, "dataset": "flickr30k"})


def official(folder: Path) -> None:
    """token.txt and lists, as Flickr8k is published, with what else is in its archive."""
    draw(folder / "Flicker8k_Dataset")
    text = folder / "Flickr8k_text"
    disk.write_text(text / "Flickr8k.token.txt", rows("{name}.png#0\t{text}"))
    disk.write_text(text / "Flickr8k.lemma.token.txt", rows("{name}.png#0\t{text}"))
    disk.write_text(text / "ExpertAnnotations.txt", rows("{name}.png\t{name}.png#2\t1\t1\t2"))
    disk.write_text(text / "CrowdFlowerAnnotations.txt", rows("{name}.png\t{name}.png#2\t0.5\t1\t2"))
    disk.write_text(text / "readme.txt", "Please cite this.\n")
    for split, part in (("train", NAMES[:7]), ("dev", NAMES[7:9]), ("test", NAMES[9:])):
        disk.write_text(text / f"Flickr_8k.{split}Images.txt", "".join(f"{name}.png\n" for name in part))


def coco(folder: Path) -> None:
    """annotations and a folder of photographs for each split, as COCO is published."""
    for split, part in (("train", NAMES[:7]), ("val", NAMES[7:])):
        draw(folder / f"{split}2017", part)
        images = [{"id": number, "file_name": f"{name}.png"} for number, name in enumerate(part)]
        annotations = [{"image_id": number, "caption": text} for number in range(len(part)) for text in TEXTS]
        value = {"info": {}, "images": images, "annotations": annotations}
        disk.write_json(folder / "annotations" / f"captions_{split}2017.json", value)
        boxes = {"info": {}, "images": images, "annotations": [{"image_id": 0, "bbox": [1, 2, 3, 4]}]}
        disk.write_json(folder / "annotations" / f"instances_{split}2017.json", boxes)


def hugging_face(folder: Path) -> None:
    """metadata.jsonl beside the photographs of each split; names repeat."""
    for split, part in (("train", NAMES[:7]), ("validation", NAMES[:2]), ("test", NAMES[:1])):
        draw(folder / split, part)
        lines = (json.dumps({"file_name": f"{name}.png", "text": TEXTS}) for name in part)
        disk.write_text(folder / split / "metadata.jsonl", "\n".join(lines))


LAYOUTS: dict[
    Callable[[Path], None], tuple[int, str]
] = {  # how many are to learn from, and how scores name the dev split
    packaged: (8, "dev of random-seed-0 (not comparable with published scores)"),
    nested: (7, "dev of dataset_flickr30k"),
    official: (7, "dev"),
    coco: (7, "dev of a walk's photographs"),
    hugging_face: (7, "dev of a walk's photographs"),
}


def printed_commands(folder: Path, capsys) -> dict[str, list[str]]:
    """Return the words of each command that the doctor prints, by the script's name, in order."""
    capsys.readouterr()
    doctor.main([str(folder)])
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines() if line.startswith("python ")]
    return {words[2] if words[1] == "-m" else Path(words[1]).stem: words for words in lines}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_commands_run_as_they_are_printed(layout, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder, (learned, named) = Path("a walk's photographs"), LAYOUTS[layout]
    layout(folder)
    keras_files.write(folder / "encoder.keras", toy_encoder())
    lines = printed_commands(folder, capsys)
    steps = ["1_data_preprocessor", "2_train_IC_model", "3_BLEU", "4_tokenizer", "5_test"]
    assert list(lines) == ["captioning.splits"] * (layout is not official) + steps
    for name in list(lines)[: 2 - (layout is official)]:
        command(name, *lines[name][3 if lines[name][1] == "-m" else 2 :])()
    assert "have no caption" not in capsys.readouterr().out
    train, dev = (Path(lines["2_train_IC_model"][place]) for place in (7, 9))
    described = read_descriptions(Path("a walk's photographs_run/descriptions.txt"))
    assert len(described) == len({*photographs.by_id(folder)})
    assert len(splits.read(train, described)) == learned and splits.describe(dev) == named
    assert {*splits.read(train, described), *splits.read(dev, described)} <= described.keys()
    assert lines["3_BLEU"][-3] == lines["1_data_preprocessor"][5]  # the references


def test_each_file_is_named(tmp_path, capsys):
    official(tmp_path)
    features = {f"{name}.png": np.ones((7, 7, 4), "f4") for name in NAMES}
    (tmp_path / "features.pkl").write_bytes(pickle.dumps(features))
    write_tokenizer(tmp_path / "tokenizer.pkl", Tokenizer({"startseq": 1, "endseq": 2, "walk": 3}, 5))
    keras_files.write(tmp_path / "encoder.keras", toy_encoder())
    (tmp_path / (checkpoint := "simclr it's.pth")).write_bytes(b"")
    (tmp_path / "notes").write_text("nothing")
    with h5py.File(tmp_path / "photographs.h5", "w") as file:
        file["train_img"] = np.ones((3, 8, 8, 3), "uint8")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a", "b")
    doctor.main([str(tmp_path)])
    printed = capsys.readouterr().out
    for line in (
        "Flicker8k_Dataset: 10 photographs",
        "Flickr8k.token.txt: 20 captions of 10 photographs, lines `name.jpg#0",
        "ExpertAnnotations.txt: a list of 10 photographs, whose name says no split",
        "Flickr_8k.devImages.txt: a list of 2 photographs, dev",
        "features.pkl: 10 features of 4 numbers: --features of steps 2 and 3",
        "tokenizer.pkl: a tokenizer of 3 words: --tokenizer of step 5",
        "encoder.keras: an encoder, 8 x 8 pixels -> 4 numbers",
        f"--checkpoint {shlex.quote(str(tmp_path / checkpoint))} makes an encoder of it",
        "photographs.h5: 3 photographs for jigsaw.main and simclr.main",
        "all.zip: an archive: unpack it first",
        "notes: not known, left aside",
        "ok     10 of 10 photographs",
        "note   other captions are left aside: Flickr8k.lemma.token.txt; --captions takes them",
    ):
        assert line in printed, line


LACKING = {
    "nothing": (lambda folder: None, "expected a folder with files .* found none"),
    "captions alone": (lambda folder: disk.write_text(folder / "a.csv", rows("{name}.png,{text}")), "expected photographs .* found none"),
    "photographs alone": (draw, "expected captions in .* found none in a form that is known"),
    "two data sets": (lambda folder: [draw(folder), disk.write_text(folder / "a.csv", rows("other {name}.png,{text}"))],
        "found none: those in .*a.csv are of other walk 0.png"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LACKING)
def test_what_a_folder_lacks_is_said(kind, tmp_path):
    make, message = LACKING[kind]
    make(tmp_path)
    with pytest.raises(InputError, match=message):
        doctor.main([str(tmp_path)])


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="found no folder; check the path"):
        doctor.main([str(tmp_path / "none")])


def test_parquet_is_to_be_unpacked_first(tmp_path):
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    image = [{"bytes": b"a", "path": f"{name}.jpg"} for name in NAMES]
    parquet.write_table(pyarrow.table({"image": image, "caption": [TEXTS] * 10}), tmp_path / "train-00000.parquet")
    with pytest.raises(InputError, match=r"run `python -m captioning\.formats\.parquet --data .* --out .*_unpacked`"):
        doctor.main([str(tmp_path)])
