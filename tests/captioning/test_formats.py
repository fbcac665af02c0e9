"""Captions in the forms that people have: every caption comes to its photograph, and one line says what a file was taken for."""

import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from PIL import Image

from captioning import splits
from captioning.captions import Captions, read_captions
from captioning.formats import parquet
from core.errors import InputError
from encoders.photographs import by_id, read, read_image_list

CAPTIONS: Captions = {
    "kite": ["A red kite , high above a field", 'The "big" kite is up', "wind; and a kite"],
    "pond": ["Two ducks on a pond", "ducks swim | dive", "It's a café's pond"],
    "tram": ["A tram stops", "people, bags, dogs: all get in", "a yellow tram"],
    "oak": ["An oak", "shade under an old tree", "the tree's 3 birds sing"],
}
SPLITS = {"kite": "train", "pond": "train", "tram": "val", "oak": "test"}
PAIRS = [(image, text) for image, texts in CAPTIONS.items() for text in texts]


def table(rows: Sequence[Sequence[object]], delimiter: str = ",", **how: object) -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\n", **how).writerows(rows)
    return file.getvalue()


def rows(make: Callable[[str, str], Sequence[object]], *header: str) -> list[Sequence[object]]:
    return [header] * bool(header) + [make(f"{image}.jpg", text) for image, text in PAIRS]


def wide(*header: str) -> list[Sequence[object]]:
    return [header, *([f"{image}.jpg", *texts] for image, texts in CAPTIONS.items())]


def bars(name: str, text: str) -> list[str]:
    return [f"{name}| {text}".replace("| An oak", "| 0   An oak") if text == "An oak" else f"{name}| 1| {text}"]


RECORDS = [{"image": f"{image}.jpg", "caption": texts} for image, texts in CAPTIONS.items()]
SINGLE = [{"image": f"val2014/{image}.jpg", "image_id": f"coco_{image}", "caption": text} for image, text in PAIRS]
KARPATHY = [
    {
        "filepath": "val2014",
        "filename": f"{image}.jpg",
        "split": "restval" if image == "pond" else SPLITS[image],
        "sentences": [{"raw": text, "tokens": text.split()} for text in texts],
    }
    for image, texts in CAPTIONS.items()
]
COCO = {
    "info": {"year": 2017},
    "images": [{"id": number, "file_name": f"{image}.jpg"} for number, image in enumerate(CAPTIONS)],
    "annotations": [
        {"id": 1, "image_id": number, "caption": text}
        for number, texts in enumerate(CAPTIONS.values())
        for text in texts
    ],
}
UNQUOTED = "\n".join(f"{image}.jpg,{text}" for image, text in PAIRS)
FORMS = {
    "a header of other words": table(rows(lambda name, text: [name, text], "File Name", "description")),
    "words of another language": table(rows(lambda name, text: [name, text], "bild", "legende")),
    "columns in the other order": table(rows(lambda name, text: [text, name], "caption", "image")),
    "no header": table(rows(lambda name, text: [name, text])),
    "no header, the other order": table(rows(lambda name, text: [text, name])),
    "no quotation marks, no header": UNQUOTED,
    "no quotation marks": "image,caption\n" + UNQUOTED,
    "no quotation marks, a third column": "caption,split,image\n" + "\n".join(f"{text},train,{image}.jpg" for image, text in PAIRS),
    "a third column": table(rows(lambda name, text: [name, text, SPLITS[name[:-4]]], "image", "caption", "split")),
    "a column before": table(rows(lambda name, text: [7, name, text], "id", "image", "caption")),
    "a number, no header": table(rows(lambda name, text: [name, 0, text])),
    "pandas' index": table(rows(lambda name, text: [3, name, text], "", "image", "caption")),
    "pandas' index, no header": table(rows(lambda name, text: [3, name, text])),
    "tabs": table(rows(lambda name, text: [name, text], "image", "caption"), "\t"),
    "tabs, no header": table(rows(lambda name, text: [name, text]), "\t"),
    "tabs, no quotation marks": "\n".join(f"{image}.jpg\t{text}" for image, text in PAIRS),
    "semicolons": table(rows(lambda name, text: [name, text], "image", "caption"), ";"),
    "semicolons, no header": table(rows(lambda name, text: [name, text]), ";"),
    "all in quotation marks": table(rows(lambda name, text: [name, text], "image", "caption"), quoting=csv.QUOTE_ALL),
    "Flickr30k": table(rows(lambda name, text: [name, 0, text], "image_name", "comment_number", "comment")),
    "Flickr30k's results.csv": "image_name| comment_number| comment\n"
    + "\n".join(row for image, text in PAIRS for row in bars(f"{image}.jpg", text)),
    "names with folders": table(rows(lambda name, text: [f"Images/{name}", text], "image", "caption")),
    "names without suffix": table(rows(lambda name, text: [name[:-4], text], "image_id", "caption")),
    "names with the caption's number": table(rows(lambda name, text: [f"{name}#0", text], "image", "caption")),
    "addresses": table(rows(lambda name, text: [f"https://a.b/{name}", text], "url", "caption")),
    "Hugging Face's metadata.csv": table(wide("file_name", "caption_0", "caption_1", "caption_2")),
    "lists in a column": table([["raw", "sentids", "split", "filename", "img_id"], *(
        [json.dumps(texts), "[1, 2]", SPLITS[image], f"{image}.jpg", 1] for image, texts in CAPTIONS.items())]),
    "Python's lists in a column": table([["image", "captions"], *([f"{image}.jpg", str(texts)] for image, texts in CAPTIONS.items())]),
    "line ends in quotation marks": table(rows(lambda name, text: [name, text.replace(" ", "\n")], "image", "caption")),
    "line ends, the other order": table(rows(lambda name, text: [text.replace(" ", "\n"), name], "caption", "image")),
    "Excel's first line": "sep=;\n" + table(rows(lambda name, text: [name, text], "image", "caption"), ";"),
    "a space": "\n".join(f"{image}.jpg {text}" for image, text in PAIRS),
    "Karpathy": json.dumps({"images": KARPATHY, "dataset": "coco"}),
    "COCO": json.dumps(COCO),
    "COCO, annotations first": json.dumps(dict(reversed(COCO.items()))),
    "COCO, its images alone": json.dumps({name: COCO[name] for name in ("images", "annotations")}),
    "BLIP": json.dumps(RECORDS),
    "BLIP, a caption a record": json.dumps(SINGLE, indent=1),
    "metadata.jsonl": "\n".join(json.dumps({"file_name": f"{image}.jpg", "text": text}) for image, text in PAIRS),
    "metadata.jsonl of lists": "\n".join(json.dumps({"file_name": f"a/{image}.jpg", "captions": texts}) for image, texts in CAPTIONS.items()),
    "metadata.jsonl of numbered": "\n".join(json.dumps({"file_name": f"{image}.jpg"} | {f"caption_{number}": text
        for number, text in enumerate(texts)}) for image, texts in CAPTIONS.items()),
    "records with sentences": json.dumps([{"filename": f"{image}.jpg", "sentences": [{"raw": text} for text in texts]}
        for image, texts in CAPTIONS.items()]),
    "by name": json.dumps({f"{image}.jpg": texts for image, texts in CAPTIONS.items()}),
    "by split": json.dumps({"train": RECORDS[:2], "val": RECORDS[2:]}),
    "under data": json.dumps({"dataset_type": "train", "data": RECORDS}),
    "pandas' columns": json.dumps({"image": {str(number): f"{image}.jpg" for number, (image, _) in enumerate(PAIRS)},
        "caption": {str(number): text for number, (_, text) in enumerate(PAIRS)}}),
    "pairs": json.dumps([[f"{image}.jpg", text] for image, text in PAIRS]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_caption_comes_to_its_photograph(form, tmp_path, capsys):
    path, odd = (
        tmp_path / "captions",
        ("quotation marks" in form and "tabs" not in form and form.startswith("no q")) or "results.csv" in form,
    )
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"):
        path.write_bytes(FORMS[form].replace("\n", "\r\n" if encoding != "utf-8" else "\n").encode(encoding))
        assert read_captions(path, CAPTIONS) == CAPTIONS
        printed = capsys.readouterr().out
        assert f"{path} is read as" in printed and ("odd" in printed) == odd


@pytest.mark.parametrize("delimiter", "\t,;")
def test_ids_without_suffix_and_header_are_read(delimiter, tmp_path):
    (tmp_path / "captions").write_text(table([(f"100{image}", text) for image, text in PAIRS], delimiter))
    assert read_captions(tmp_path / "captions") == {f"100{image}": texts for image, texts in CAPTIONS.items()}


def test_what_cannot_be_known_is_asked_for(tmp_path):
    path = tmp_path / "two.csv"
    path.write_text(table(rows(lambda name, text: [name, text, text], "image", "english", "german")))
    with pytest.raises(
        InputError, match=r"one column of captions in .*two\.csv.* 'english', 'german'; rename .* to caption"
    ):
        read_captions(path)


@pytest.mark.parametrize("form", ["a third column", "Karpathy", "lists in a column"])
def test_splits_that_a_file_says_are_taken_and_named(form, tmp_path):
    path = tmp_path / "dataset_parks"
    path.write_text(FORMS[form])
    splits.main(["--captions", str(path), "--out", str(tmp_path)])
    lists = [tmp_path / f"dataset_parks.{split}Images.txt" for split in ("train", "dev", "test")]
    assert [read_image_list(path) for path in lists] == [["kite", "pond"], ["tram"], ["oak"]]
    assert splits.describe(lists[1]) == "dev of dataset_parks"


FOLDERS = {
    "Hugging Face": {"train/metadata.jsonl": CAPTIONS, "test/metadata.jsonl": CAPTIONS},
    "BLIP": {"parks_train.json": CAPTIONS, "parks_test.json": CAPTIONS},
    "COCO": {"captions_train2017.json": CAPTIONS, "captions_test2017.json": CAPTIONS, "instances_train2017.json": {}},
}


@pytest.mark.parametrize("form", FOLDERS)
def test_a_folder_has_a_file_for_each_split(form, tmp_path):
    """Here the photographs of test have the names of those to learn from, in another folder."""
    names = "".join(
        json.dumps({"file_name": f"{image}.jpg", "text": texts}) + "\n" for image, texts in CAPTIONS.items()
    )
    for name in FOLDERS[form]:
        folder = "" if "/" in name else "test/" if "test" in name else "train/"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(names.replace('"file_name": "', f'"file_name": "{folder}'))
    known = [f"{split}/{image}" for split in ("train", "test") for image in CAPTIONS]
    assert read_captions(tmp_path, known) == {image: CAPTIONS[image.split("/")[1]] for image in known}
    found = splits.from_captions(tmp_path)
    assert found == {split: [f"{split}/{image}.jpg" for image in CAPTIONS] for split in ("test", "train")}


def test_a_folder_of_several_files_is_asked_for(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(FORMS["tabs"])
    with pytest.raises(InputError, match=r"found a\.csv, b\.csv; give the file's path"):
        read_captions(tmp_path)


LISTS = {
    "a header": "image\nkite.jpg\npond.jpg\n",
    "pandas' index": ",image\n0,kite.jpg\n1,pond.jpg\n",
    "an index, no header": "0,kite.jpg\n1,pond.jpg\n",
    "a second column": "kite.jpg;train\npond.jpg;train\n",
    "a number and a name": "id,file_name,split\n1,kite.jpg,train\n2,pond.jpg,train\n",
    "ids": "image_id\nkite\npond\n",
    "quotation marks": '"kite.jpg"\n"pond.jpg"\n',
    "JSON": '["kite.jpg", "pond.jpg"]',
    "folders": "Images/kite.jpg\nImages\\pond.jpg\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("form", LISTS)
def test_lists_are_columns_too(form, encoding, tmp_path):
    (tmp_path / "list").write_bytes(LISTS[form].encode(encoding))
    assert read_image_list(tmp_path / "list", CAPTIONS) == read_image_list(tmp_path / "list") == ["kite", "pond"]


def test_a_name_with_a_comma_is_no_table(tmp_path):
    (tmp_path / "list").write_text("dog, beach 001.jpg\ncat, beach.jpg\n")
    assert read_image_list(tmp_path / "list") == ["dog, beach 001", "cat, beach"]


def test_a_photograph_may_be_called_image(tmp_path):
    (tmp_path / "list").write_text("image\nkite\n")
    assert read_image_list(tmp_path / "list", ["image", "kite"]) == ["image", "kite"]


DAMAGED = {
    "Russian": "image,caption\na.jpg,красный змей\n".encode("cp1251"),
    "a byte of UTF-8": "image,caption\na.jpg,é è ê ë à\n".encode().replace(b"\xc3\xa8", b"\xc3"),
    "half of UTF-16": "image,caption\na.jpg,kite\n".encode("utf-16")[:-1],
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_other_encodings_are_not_guessed(kind, tmp_path):
    (tmp_path / "captions.csv").write_bytes(DAMAGED[kind])
    with pytest.raises(
        InputError, match=r"expected text in UTF-8, UTF-16 or Windows-1252, found the byte .* save it as UTF-8"
    ):
        read_captions(tmp_path / "captions.csv")


def test_a_forgotten_quotation_mark_spoils_one_row(tmp_path, capsys):
    lines = FORMS["a header of other words"].split("\n")
    lines[5] = lines[5].replace(",", ',"', 1)
    (tmp_path / "captions.csv").write_text("\n".join(lines))
    found = read_captions(tmp_path / "captions.csv")
    assert {image: len(texts) for image, texts in found.items()} == dict.fromkeys(CAPTIONS, 3)
    assert (
        found["pond"][1] == '"ducks swim | dive'
        and "1 odd lines, read as well as they can be: 6" in capsys.readouterr().out
    )


# Parquet -------------------------------------------------------------------------------------------------------------


def write_parquet(path: Path, columns: dict[str, list]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), path, row_group_size=2)


def drawn(number: int, kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (number * 60, 99, 9)).save(file, kind)
    return file.getvalue()


PARQUET = {
    "lists": {"image": [f"{image}.jpg" for image in CAPTIONS], "caption": [*CAPTIONS.values()]},
    "numbered": {"filename": [*CAPTIONS], **{f"caption_{number}": [texts[number] for texts in CAPTIONS.values()] for number in range(3)}},
    "a caption a row": {"image_id": [image for image, _ in PAIRS], "text": [text for _, text in PAIRS]},
    "photographs": {"image": [{"bytes": b"", "path": f"{image}.jpg"} for image in CAPTIONS], "sentences": [*CAPTIONS.values()]},
    "photographs without names": {"image": [{"bytes": b"", "path": None} for _ in CAPTIONS], "caption": [*CAPTIONS.values()], "filename": [
        f"{image}.jpg" for image in CAPTIONS]},
}  # fmt: skip


@pytest.mark.parametrize("form", PARQUET)
def test_parquet_is_read(form, tmp_path):
    write_parquet(tmp_path / "train-00000-of-00001.parquet", PARQUET[form])
    assert read_captions(tmp_path / "train-00000-of-00001.parquet", CAPTIONS) == CAPTIONS
    assert read_captions(tmp_path, CAPTIONS) == CAPTIONS


def test_parquet_is_unpacked(tmp_path):
    odd = [{"bytes": drawn(2, "JPEG"), "path": "../../kite.jpg"}, {"bytes": b"GIF", "path": "gif.png"}]
    for split, images in {"train": ["kite", "pond"], "test": ["tram", "oak"]}.items():
        photographs = [{"bytes": drawn(number, "PNG"), "path": f"{image}.png"} for number, image in enumerate(images)]
        texts = [*(CAPTIONS[image] for image in images), ["another kite"], ["none"]]
        rows = photographs + odd * (split == "train")
        write_parquet(tmp_path / f"{split}-00000.parquet", {"image": rows, "caption": texts[: len(rows)]})
    parquet.main(["--data", str(tmp_path), "--out", str(tmp_path / "out")])
    ids = by_id(tmp_path / "out/photographs")
    assert ids.keys() == {*CAPTIONS, "train-00000-000002"}
    assert all(read(path, 8, 8).shape == (8, 8, 3) for path in ids.values())
    written = tmp_path / "out/captions.jsonl"
    assert read_captions(written, ids) == CAPTIONS | {"train-00000-000002": ["another kite"]}
    assert splits.from_captions(written)["train"] == ["kite.png", "pond.png", "train-00000-000002.jpg"]


REFUSED = {
    "damaged": (lambda path: path.write_bytes(b"PAR1" + bytes(99)), "expected a whole Parquet file"),
    "no captions": (lambda path: write_parquet(path, {"a": [1.5], "b": [True]}), "found a, b; rename them to image and caption"),
    "no photographs": (lambda path: write_parquet(path, PARQUET["lists"]), "expected photographs in .*, found names alone"),
    "no file": (lambda path: path.mkdir(), "expected Parquet files in .*, found none"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_other_parquet_is_refused(kind, tmp_path):
    pytest.importorskip("pyarrow")
    make, message = REFUSED[kind]
    make(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        parquet.main(["--data", str(tmp_path / "a.parquet"), "--out", str(tmp_path / "out")])


def test_parquet_needs_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"expected pyarrow, .*a\.parquet.* run pip install -e '\.\[cpu,parquet\]'"):
        read_captions(tmp_path / "a.parquet")


CAPTION = st.lists(
    st.sampled_from(["dog", "A", "runs,", '"quoted"', "it's", "x2", ";", "|", "3,5", "été", "狗", "a.jpg", "-", '"', "\n", "train", "#1"]),
    min_size=2, max_size=7,
).map(" ".join).filter(lambda text: sum(part.isalpha() for part in text.split()) > 1 and not text.endswith(".jpg"))  # fmt: skip


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)
@hypothesis.given(
    st.lists(CAPTION, min_size=4, max_size=12),
    st.sampled_from(",;\t"),
    st.booleans(),
    st.permutations(["name", "text", "number"]),
)
def test_what_a_csv_writer_writes_is_read_back(tmp_path_factory, texts, delimiter, header, order):
    names = [f"dog, {number // 2} x.jpg" for number in range(len(texts))]
    cells = {"name": names, "text": texts, "number": [number % 2 for number in range(len(texts))]}
    words = {"name": "image", "text": "caption", "number": "caption_number"}
    written = [[words[column] for column in order]] * header + [*zip(*(cells[column] for column in order), strict=True)]
    path = tmp_path_factory.mktemp("table") / "captions"
    path.write_text(table(written, delimiter), encoding="utf-8")
    found = read_captions(path)
    expected: Captions = {}
    for name, text in zip(names, texts, strict=True):
        expected.setdefault(name.removesuffix(".jpg"), []).append(" ".join(text.split()))
    assert found == expected
