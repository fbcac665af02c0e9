"""Captions in their three forms, and their cleaning beside the original's."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioning.captions import clean, read_captions, read_descriptions, read_results, write_descriptions, write_results
from captioning.cleaning import SPECIAL
from core.errors import InputError
from tests.original.descriptions import descriptions_file

TOKEN = """\
2.b.jpg#0\tA dog , with 2 sticks , runs .
2.b.jpg#1\tThe dog's tail wags
1.jpg#0\tA "big" cat
1.jpg#1\tA
"""
CSV = """\
image,caption
2.b.jpg,"A dog , with 2 sticks , runs ."
2.b.jpg,The dog's tail wags
1.jpg,"A ""big"" cat"
1.jpg,A
"""
CAPTIONS = {
    "2": ["A dog , with 2 sticks , runs .", "The dog's tail wags"],
    "1": ['A "big" cat', "A"],
}


def karpathy() -> str:
    images = [
        {"filename": f"{image}.jpg", "split": "train", "sentences": [{"raw": text} for text in texts]}
        for image, texts in CAPTIONS.items()
    ]
    return json.dumps({"dataset": "flickr8k", "images": images})


def cleaned(path, cleaning="seed"):
    captions = read_captions(path)
    return {image: [clean(text, cleaning) for text in texts] for image, texts in captions.items()}


@pytest.mark.parametrize("text", [TOKEN, CSV, karpathy(), "\ufeff" + TOKEN, CSV.replace("\n", "\r\n")])
def test_all_forms_give_the_same_captions(tmp_path, text):
    path = tmp_path / "captions"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_captions(path) == CAPTIONS
    assert list(read_captions(path)) == ["2", "1"]  # the file's order


def test_cleanings():
    text = "A dog's 2nd bone - e-mail , I saw x2 ."
    assert clean(text) == "dogs bone email saw"
    assert clean(text, "natural") == "a dogs 2nd bone email i saw x2"
    assert clean("A .") == ""


word = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n"), max_size=6)
word = word.filter(lambda text: not SPECIAL.search(text))  # the original kept these
caption = st.lists(st.one_of(word, st.sampled_from(["a", "Dog", "dog's", "x2", "-", "É"])), max_size=5).map(" ".join)
line = st.tuples(st.sampled_from(["1.jpg#0", "1.jpg#1", "2.jpg.1#0", "odd"]), st.sampled_from("\t "), caption).map(
    "".join
)


@given(st.lists(st.one_of(line, st.sampled_from(["", "x"])), max_size=6))
def test_descriptions_equal_the_originals_byte_for_byte(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("hypothesis")
    text = "\n".join(["first.jpg#0\tA first caption", *lines])
    (folder / "token.txt").write_bytes(text.encode())
    write_descriptions(folder / "descriptions.txt", cleaned(folder / "token.txt"))
    assert (folder / "descriptions.txt").read_bytes() == descriptions_file(text).encode()


def test_real_descriptions_equal_the_originals(flickr8k, tmp_path):
    path = flickr8k / "Flickr8k_text" / "Flickr8k.token.txt"
    write_descriptions(tmp_path / "descriptions.txt", cleaned(path))
    assert (tmp_path / "descriptions.txt").read_bytes() == descriptions_file(path.read_text(encoding="utf-8")).encode()


def test_odd_lines_are_read_and_named(tmp_path, capsys):
    path = tmp_path / "token.txt"
    path.write_text("1.jpg#0\tA dog\n   \n1.jpg#1\n2.jpg no number here\n")
    assert read_captions(path) == {"1": ["A dog", ""], "2": ["no number here"]}
    assert "2 odd lines, read as well as they can be: 3, 4" in capsys.readouterr().out

    path.write_text('image,caption\n1.jpg,"A dog, no end\n2.jpg,A cat, two commas\n3.jpg,A bird\n')
    assert read_captions(path) == {"1": ['"A dog, no end'], "2": ["A cat, two commas"], "3": ["A bird"]}
    assert "2 odd lines, read as well as they can be: 2, 3" in capsys.readouterr().out


NAMES = {"dog, beach 001.jpg": "dog, beach 001", "Images/b.jpg": "b", "C:\\data\\c.JPG": "c", 'd "x".png': 'd "x"'}


@pytest.mark.parametrize(
    "row", ["{name}#0\t{caption}", "{name}#1 {caption}", '"{quoted}","{caption}"', '"{quoted}",{caption}']
)
def test_names_have_spaces_commas_quotation_marks_and_folders(row, tmp_path, capsys):
    rows = [row.format(name=name, quoted=name.replace('"', '""'), caption="A dog runs") for name in NAMES]
    path = tmp_path / "captions"
    path.write_text("\n".join(["image,caption"] * row.startswith('"') + rows))
    assert read_captions(path) == {image: ["A dog runs"] for image in NAMES.values()}
    form = "commas between columns, a header" if row.startswith('"') else "lines `name.jpg#0"
    assert f"{path} is read as" in (printed := capsys.readouterr().out) and form in printed and "odd" not in printed


def test_a_name_with_an_unquoted_comma_is_read_and_counted(tmp_path, capsys):
    path = tmp_path / "captions.txt"
    path.write_text("image,caption\n1.jpg,A dog\ndog, beach.jpg,A cat, not a.jpg, runs\n")
    assert read_captions(path) == {"1": ["A dog"], "dog, beach": ["A cat, not a.jpg, runs"]}
    assert "1 odd lines, read as well as they can be: 3" in capsys.readouterr().out


def test_captions_go_to_the_known_photographs(tmp_path):
    path = tmp_path / "token.txt"
    path.write_text("2021.05.03_001.jpg#0\tA dog\n2021.05.03_002.jpg#0\tA cat\n")
    assert read_captions(path, ["2021.05.03_001", "2021"]) == {"2021.05.03_001": ["A dog"], "2021.05.03_002": ["A cat"]}
    assert read_captions(path) == {"2021": ["A dog", "A cat"]}  # as the original


def test_ids_with_spaces_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "descriptions.txt"
    write_descriptions(path, {"dog, beach 001": ["dog runs", ""], "b": ["cat"]})
    assert path.read_bytes() == b"dog,%20beach%20001 dog runs\ndog,%20beach%20001 \nb cat"
    assert read_descriptions(path) == {"dog, beach 001": ["dog runs", ""], "b": ["cat"]}


def test_results_are_found_among_the_known_photographs(tmp_path):
    path = tmp_path / "captions.json"
    write_results(path, {"dog, beach 001": "dog runs", "2021.05": "startseq cat sits endseq", "7": "bird"})
    assert '"image_id": "dog, beach 001"' in path.read_text()
    expected = {"dog, beach 001": "dog runs", "2021.05": "cat sits", "7": "bird"}
    assert read_results(path, expected) == expected


@pytest.mark.parametrize("text", ["", "\n\n", "hello\nworld out there\n", "image,caption\n", "{", '{"images": []}',
                                  '{"images": [{"filename": "1.jpg", "split": "train", "sentences": [{}]}]}'])  # fmt: skip
def test_what_holds_no_captions_is_refused(tmp_path, text):
    path = tmp_path / "captions.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=r"captions\.txt.*dataset_flickr8k\.json"):
        read_captions(path)
