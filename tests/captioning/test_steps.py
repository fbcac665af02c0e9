"""Steps 3, 4 and 5 and the doctor through their `main()`, on a toy captioner with random weights and six drawn photographs."""

import json
import os
import warnings
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras.src.legacy.preprocessing.text import Tokenizer as KerasTokenizer

from captioning import captioner_file, doctor
from captioning.captions import clean, read_captions, read_descriptions, read_results, write_descriptions, write_results
from captioning.describe import Describer
from captioning.models import merge
from captioning.tokenizer import END, START, Tokenizer, read_tokenizer, wrap, write_tokenizer
from core import disk, keras_files, machine
from core.errors import InputError
from encoders import extract, features_file, onnx_file, photographs
from tests.captioning.test_scores import by_nltk
from tests.core.test_disk import write_old_captioner
from tests.encoders import exported
from tests.original import captioning as original

DESCRIPTIONS = {
    f"photo{number}": [f"{size} {colour} {thing} runs", f"{thing} in the {place}", f"{thing} runs"]
    for number, (size, colour, thing, place) in enumerate(
        [("big", "red", "dog", "grass"), ("small", "blue", "cat", "snow"), ("big", "green", "boy", "sand"),
         ("tall", "red", "girl", "snow"), ("big", "blue", "dog", "sand"), ("tall", "red", "cat", "grass")]
    )
}  # fmt: skip
TEST = ["photo4", "photo5"]


@pytest.fixture
def folder(tmp_path, monkeypatch, photographs_folder):
    """The working folder as steps 1 and 2 leave it, with Flickr8k's lists, so that every default holds."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((16, 16, 3), dtype="uint8")
    encoder = keras.Model(
        pixels, keras.layers.Dense(5)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels)))
    )
    extracted = extract.extract(encoder, photographs.list_photographs(photographs_folder)).features
    found = {photographs.image_id(name): feature for name, feature in extracted.items()}
    origin = {"encoder": keras_files.fingerprint(encoder), "height": 16, "width": 16, "dimension": 5}
    tokenizer = Tokenizer.fit(
        wrap(text) for image, texts in DESCRIPTIONS.items() if image not in TEST for text in texts
    )
    model = merge.build((5,), tokenizer.vocabulary_size)
    random = np.random.default_rng(3)
    model.set_weights([random.normal(scale=0.12, size=weight.shape) for weight in model.get_weights()])
    keras_files.write(tmp_path / "encoder.keras", encoder)
    features_file.write(tmp_path / "features.pkl", found)
    features_file.write_origin(tmp_path / "features.pkl", origin)
    write_descriptions(tmp_path / "descriptions.txt", DESCRIPTIONS)
    captioner_file.write(tmp_path / "model-ep001-loss2.000-val_loss3.000.keras", model, tokenizer, origin)
    lists = {"train": [image for image in DESCRIPTIONS if image not in TEST], "dev": TEST}
    for split, images in lists.items():
        text = "".join(f"{image}.jpg\n" for image in images)
        disk.write_text(tmp_path / "Flickr8k_text" / f"Flickr_8k.{split}Images.txt", text)
    photographs_folder.rename(tmp_path / "Examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_captioner_of_few_bits_is_smaller_and_remembers_the_same(folder):
    whole = captioner_file.read(folder)
    captioner_file.write(folder / "few.keras", *whole, bits=8)
    few = captioner_file.read(folder / "few.keras")
    sizes = [path.stat().st_size for path in (folder / "few.keras", *folder.glob("model-ep*"))]
    assert sizes[0] < 0.6 * sizes[1] and few[1:] == whole[1:]
    for ours, theirs in zip(few.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2**-8)


def test_step_3_writes_the_originals_captions_and_scores(folder, script, capsys):
    script("3_BLEU").main([])
    kept = captioner_file.read(folder)
    model = original.build(5, kept.tokenizer.vocabulary_size, kept.tokenizer.maximum_length)
    original.copy_weights(kept.model, model)
    stored = features_file.read(folder / "features.pkl")
    theirs = [original.generate(model, kept.tokenizer, stored[image]) for image in TEST]
    captions = json.loads((folder / "captions.json").read_text())
    assert [entry["image_id"] for entry in captions] == TEST
    assert [entry["caption"] for entry in captions] == [
        text.removeprefix("startseq").removesuffix("endseq").strip() for text in theirs
    ]
    scores = json.loads((folder / "scores.json").read_text())
    people = [list(map(wrap, DESCRIPTIONS[image])) for image in TEST]
    assert list(scores["protocols"]["seed"]["system"].values()) == pytest.approx(by_nltk(theirs, people), abs=1e-6)
    printed = capsys.readouterr().out
    assert "2 photographs of the split dev" in printed
    assert "the standard protocol is left out: --references" in printed
    assert "| standard" not in printed and "leak" not in printed


def test_step_3_scores_captions_made_elsewhere_without_a_captioner(folder, script, capsys):
    raw = {image: [f"A {text.capitalize()}." for text in texts] for image, texts in DESCRIPTIONS.items()}
    lines = [f"{image}.jpg#{number}\t{text}\n" for image, texts in raw.items() for number, text in enumerate(texts)]
    disk.write_text(folder / "token.txt", "".join(lines))
    disk.write_json(folder / "made.json", [{"image_id": f"{image}.jpg", "caption": raw[image][0]} for image in TEST])
    elsewhere = ["--candidates", "made.json", "--model", "none", "--features", "none"]
    script("3_BLEU").main([*elsewhere, "--references", "token.txt", "--out", "out"])
    scores = json.loads((folder / "out" / "scores.json").read_text())["protocols"]
    assert {name: protocol["system"]["BLEU-4"] for name, protocol in scores.items()} == {
        "seed": 1,
        "cleaned": 1,
        "standard": 1,
    }
    assert "| standard" in capsys.readouterr().out


def test_step_3_compares_captions_with_others_photograph_by_photograph(folder, script, capsys):
    right = [{"image_id": image, "caption": DESCRIPTIONS[image][0]} for image in TEST]
    disk.write_json(folder / "right.json", right)
    disk.write_json(folder / "wrong.json", [{**entry, "caption": "cat"} for entry in right])

    def difference(ours, others):
        script("3_BLEU").main(["--candidates", f"{ours}.json", "--against", f"{others}.json"])
        lines = json.loads((folder / "scores.json").read_text())["protocols"]["cleaned"]
        return lines["difference"]["CIDEr-D"], lines["interval of the difference"]["CIDEr-D"]

    (better, (low, high)), (worse, _) = difference("right", "wrong"), difference("wrong", "right")
    assert better == -worse > 0 and low <= better <= high
    assert difference("right", "right") == (0, [0, 0])
    assert "its 95% interval, paired" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"expected a caption for each of 2 photographs in few\.json"):
        disk.write_json(folder / "few.json", right[:1])
        difference("right", "few")


def test_step_3_warns_of_photographs_that_the_captioner_has_seen(folder, script, capsys):
    script("3_BLEU").main(["--test-images", "Flickr8k_text/Flickr_8k.trainImages.txt"])
    assert "warning: leak: 4 of 4 photographs are in the train split too" in capsys.readouterr().out


@pytest.mark.parametrize("beam", ["1", "3"])
def test_step_5_prints_and_shows_the_captions_of_step_3(folder, script, capsys, beam):
    script("3_BLEU").main(["--beam", beam])
    script("4_tokenizer").main([])
    script("5_test").main(["--encoder", "encoder.keras", "--beam", beam])
    printed = capsys.readouterr().out
    for image, caption in read_results(folder / "captions.json").items():
        assert f"{image}.jpg\t{caption}\n" in printed
        assert f'alt="{caption}"' in (folder / "gallery.html").read_text("utf-8")


def test_step_5_takes_names_that_are_alike_up_to_a_dot(folder, script, capsys):
    script("4_tokenizer").main([])
    for name in ("2024.01.02.jpg", "2024.01.03.jpg"):
        (folder / "Examples" / name).write_bytes((folder / "Examples" / "photo1.jpg").read_bytes())
    script("5_test").main(["--encoder", "encoder.keras"])
    printed = capsys.readouterr().out
    assert "2024.01.02.jpg\t" in printed and "2024.01.03.jpg\t" in printed


def test_step_5_takes_one_photograph_and_lists_what_it_cannot_read(folder, script, capsys):
    script("4_tokenizer").main([])
    (folder / "Examples" / "broken.jpg").write_text("no picture")
    script("5_test").main(["--encoder", "encoder.keras", "--out", "all"])
    assert "skipped broken.jpg" in capsys.readouterr().out
    assert "<li>broken.jpg: " in (folder / "all" / "gallery.html").read_text("utf-8")
    script("5_test").main(["--encoder", "encoder.keras", "--photographs", "Examples/photo1.jpg"])
    assert (folder / "gallery.html").read_text("utf-8").count("</figure>") == 1


def test_another_encoder_is_refused(folder, script):
    script("4_tokenizer").main([])
    features_file.write_origin(folder / "features.pkl", {"encoder": "0" * 64})
    with pytest.raises(InputError, match=r"found those of 000000000000 in features\.pkl"):
        script("3_BLEU").main([])
    pixels = keras.Input((16, 16, 3), dtype="uint8")
    for dimension, message in ((5, "expected the features of the encoder"), (7, "features of 5 numbers.* found 7 in")):
        other = keras.layers.Dense(dimension)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels)))
        keras_files.write(folder / "other.keras", keras.Model(pixels, other))
        with pytest.raises(InputError, match=message):
            script("5_test").main(["--encoder", "other.keras"])


def test_a_captioners_own_vocabulary_wins(folder, script, capsys):
    script("3_BLEU").main([])
    ours = read_results(folder / "captions.json")
    write_descriptions(folder / "more.txt", {**DESCRIPTIONS, "photo0": ["an elephant"]})
    (folder / "tokenizer.pkl").write_text("no pickle")
    capsys.readouterr()
    script("3_BLEU").main(["--descriptions", "more.txt"])
    assert read_results(folder / "captions.json") == ours
    script("5_test").main(["--encoder", "encoder.keras"])
    printed = capsys.readouterr().out
    assert all(f"{image}.jpg\t{caption}\n" in printed for image, caption in ours.items())
    size = captioner_file.read(folder).tokenizer.vocabulary_size
    line = f"val_loss3.000.keras: a captioner of step 2 (merge), saved by Keras {keras.__version__}: feature 5, {size} words of its own, at most 6 words"
    assert printed.count(line) == 2


def test_another_vocabulary_is_refused_where_the_captioner_has_none(folder, script):
    write_old_captioner(folder / "old.h5", captioner_file.read(folder).model)
    write_descriptions(folder / "more.txt", {**DESCRIPTIONS, "photo0": [*DESCRIPTIONS["photo0"], "an elephant"]})
    with pytest.raises(InputError, match=r"expected a vocabulary of \d+ words.* in more\.txt"):
        script("3_BLEU").main(["--model", "old.h5", "--descriptions", "more.txt"])
    write_tokenizer(folder / "tokenizer.pkl", Tokenizer({START: 1, END: 2}, 6))
    with pytest.raises(InputError, match=r"expected a vocabulary of \d+ words.* found 3 in tokenizer\.pkl"):
        script("5_test").main(["--model", "old.h5", "--encoder", "encoder.keras"])


def test_photographs_without_feature_or_caption_or_description_are_named(folder, script, capsys):
    disk.write_text(folder / "list.txt", "photo4.jpg\nunknown.jpg\n")
    script("3_BLEU").main(["--test-images", "list.txt"])
    assert "list.txt: 1 of 2 photographs have no description: left out" in capsys.readouterr().out
    disk.write_text(folder / "list.txt", "unknown.jpg\n")
    with pytest.raises(InputError, match=r"descriptions of the 1 photographs in list\.txt, found none"):
        script("3_BLEU").main(["--test-images", "list.txt"])
    write_results(folder / "some.json", {"photo4": "dog"})
    with pytest.raises(
        InputError, match=r"a caption for each of 2 photographs in some\.json, found none for 1 of them \(photo5"
    ):
        script("3_BLEU").main(["--candidates", "some.json"])


def test_features_without_origin_get_one_line(folder, script, capsys):
    (folder / "features.json").unlink()
    script("3_BLEU").main([])
    assert capsys.readouterr().out.count("not checked") == 1


def test_files_of_the_original_are_accepted_with_a_line(folder, script, capsys):
    script("3_BLEU").main([])
    ours = read_results(folder / "captions.json")
    kept = captioner_file.read(folder)
    write_old_captioner(folder / "old.h5", kept.model)
    write_tokenizer(folder / "tokenizer.pkl", Tokenizer(kept.tokenizer.word_index, None))
    capsys.readouterr()
    script("3_BLEU").main(["--model", "old.h5"])
    script("5_test").main(["--encoder", "encoder.keras", "--model", "old.h5"])
    assert read_results(folder / "captions.json") == ours
    assert capsys.readouterr().out.count("does not say which encoder") == 2


def test_step_4_numbers_words_as_keras_does(folder, script):
    script("4_tokenizer").main([])
    assert_as_keras(read_tokenizer(folder / "tokenizer.pkl"), DESCRIPTIONS, set(DESCRIPTIONS) - set(TEST))


def test_step_4_numbers_all_of_flickr8k_as_keras_does(flickr8k, tmp_path, script):
    text = flickr8k / "Flickr8k_text"
    captions = read_captions(text / "Flickr8k.token.txt")
    cleaned = {image: [clean(caption) for caption in texts] for image, texts in captions.items()}
    write_descriptions(tmp_path / "descriptions.txt", cleaned)
    lists = text / "Flickr_8k.trainImages.txt"
    named = {
        "--descriptions": tmp_path / "descriptions.txt",
        "--train-images": lists,
        "--out": tmp_path / "tokenizer.pkl",
    }
    script("4_tokenizer").main([os.fspath(word) for pair in named.items() for word in pair])
    tokenizer = read_tokenizer(tmp_path / "tokenizer.pkl")
    assert (tokenizer.vocabulary_size, tokenizer.maximum_length) == (7579, 34)
    assert_as_keras(tokenizer, cleaned, set(photographs.read_image_list(lists)))


def assert_as_keras(tokenizer, cleaned, images):
    texts = [wrap(text) for image, texts in cleaned.items() if image in images for text in texts]
    with warnings.catch_warnings(action="ignore"):
        theirs = KerasTokenizer()
    theirs.fit_on_texts(texts)
    assert tokenizer.word_index == theirs.word_index
    assert tokenizer.maximum_length == max(len(text.split()) for text in texts)


def test_step_5_serves_the_captions_that_it_shows_in_the_gallery(folder, script, capsys, monkeypatch):
    script("4_tokenizer").main([])
    script("5_test").main(["--encoder", "encoder.keras", "--beam", "3"])
    shown = dict(line.split("\t") for line in capsys.readouterr().out.splitlines() if "\t" in line)
    (folder / "gallery.html").unlink()

    def answer(describe, port):
        assert port == 4321
        for name, text in shown.items():
            with (folder / "Examples" / name).open("rb") as photograph:
                captions = describe(photograph)[""]
            assert captions[0].text == text and len(captions) == 3

    step = script("5_test")
    monkeypatch.setattr(step.serve, "run", answer)
    step.main(["--encoder", "encoder.keras", "--serve", "--port", "4321"])
    assert len(shown) == 6 and not (folder / "gallery.html").exists()


def test_there_must_be_captioners_to_compare(folder, script, monkeypatch):
    step = script("5_test")
    monkeypatch.setattr(step, "SHIPPED", folder)
    with pytest.raises(InputError, match=r"captioners in folders of .*, found none; .* leave out --compare"):
        step.main(["--compare"])


def test_three_lines_of_python_caption_a_photograph(folder, capsys):
    (captioner,) = folder.glob("model-ep*")
    describer = Describer("encoder.keras", captioner)
    found = describer("Examples/photo1.jpg", beam=3)
    assert len(found) == 3 and found[0].finished >= found[1].finished
    assert describer.all_of([Path("Examples/photo1.jpg")], 1)[0][Path("Examples/photo1.jpg")].words
    write_old_captioner(folder / "old.h5", captioner_file.read(captioner).model)
    with pytest.raises(InputError, match=r"captioner with its vocabulary in old\.h5, found none; give its tokenizer"):
        Describer("encoder.keras", "old.h5")


def write_token_file(folder):
    lines = [
        f"{image}.jpg#{number}\t{text}\n" for image, texts in DESCRIPTIONS.items() for number, text in enumerate(texts)
    ]
    disk.write_text(folder / "Flickr8k_text" / "Flickr8k.token.txt", "".join(lines))  # fmt: skip


def states(printed):
    """The doctor's verdict on each of its checks."""
    return {line[7:].split(":")[0]: line.split()[0] for line in printed.splitlines() if line[:7].strip() in ("ok", "fix", "later")}  # fmt: skip


def test_the_doctor_finds_nothing_in_what_the_steps_wrote(folder, script, capsys):
    write_token_file(folder)
    doctor.main(["--encoder", "encoder.keras", "--photographs", "Examples"])
    found = states(capsys.readouterr().out)
    assert set(found.values()) == {"ok"} and len(found) == 12


def test_the_doctor_names_what_is_missing_before_the_first_step(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="3 to fix"):
        doctor.main([])
    printed = capsys.readouterr().out
    assert "fix    photographs: expected a folder of photographs at Flicker8k_Dataset, found nothing" in printed
    assert "fix    splits: expected an image list" in printed and "fix    encoder: expected an encoder" in printed
    assert "later  room of step 1: needs what is to be fixed above" in printed
    assert "later  captioner and features: 2_train_IC_model.py writes the model" in printed


def test_the_doctor_goes_on_after_a_name_that_no_file_can_have(folder, capsys):
    write_token_file(folder)
    with pytest.raises(InputError, match="to fix"):
        doctor.main(["--encoder", "encoder.keras", "--photographs", "Examples", "--features", "a" * 300])
    printed = capsys.readouterr().out
    assert "fix    features: [Errno" in printed and "; check that path" in printed
    assert "ok     captioner and encoder" in printed


def test_the_doctor_finds_what_does_not_belong_together(folder, script, capsys):
    write_token_file(folder)
    stored = features_file.read(folder / "features.pkl")
    features_file.write(folder / "features.pkl", {image: stored[image] for image in stored if image != "photo0"})
    features_file.write_origin(folder / "features.pkl", {"encoder": "0" * 64})
    disk.write_text(folder / "both.txt", "photo5.jpg\nphoto1.jpg\n")
    with pytest.raises(InputError, match="to fix"):
        doctor.main(["--encoder", "encoder.keras", "--photographs", "Examples", "--dev-images", "both.txt"])
    printed = capsys.readouterr().out
    wrong = {name for name, state in states(printed).items() if state == "fix"}
    assert wrong == {"splits", "features", "captioner and features"}
    assert "found 1 of 2 in both lists (photo1 and so on)" in printed


def test_the_doctor_compares_a_tokenizer_with_a_captioner_that_has_none(folder, capsys):
    write_token_file(folder)
    write_old_captioner(folder / "old.h5", captioner_file.read(folder).model)
    write_tokenizer(folder / "tokenizer.pkl", Tokenizer({START: 1, END: 2}, 6))
    with pytest.raises(InputError, match="1 to fix"):
        doctor.main(["--encoder", "encoder.keras", "--photographs", "Examples", "--model", "old.h5"])
    assert states(capsys.readouterr().out)["captioner and tokenizer"] == "fix"


def test_the_doctor_names_a_cleaning_that_drops_words(folder, capsys):
    path = folder / "Flickr8k_text" / "Flickr8k.token.txt"
    disk.write_text(path, "".join(f"{image}.jpg#0\t\u0915\u0941\u0924\u094d\u0924\u093e\n" for image in DESCRIPTIONS))
    words = ["--encoder", "encoder.keras", "--photographs", "Examples"]
    with pytest.raises(InputError, match="1 to fix"):
        doctor.main(words)
    printed = capsys.readouterr().out
    assert f"fix    cleaning: {path.relative_to(folder)}: the original's cleaning drops 100%" in printed
    assert "Examples: image ids are names up to the first dot" in printed and "token.txt is read as lines" in printed
    doctor.main([*words, "--cleaning", "natural"])


@pytest.mark.parametrize("names", [
    ("2021.05.03_{}.jpg", "C:\\data\\2021.05.03_{}.JPG", "Images/2021.05.03_{}.jpg"),
    ("dog, beach {}.jpg", "Dog, Beach {}.jpg", "dog,%20beach%20{}.jpg"),
    ("{}/e\u0301t\u00e9.jpg", "D:\\{}\\\u00e9t\u00e9.jpg", "{}/\u00e9te\u0301.jpg"),
])  # fmt: skip
def test_captions_lists_and_photographs_of_odd_names_meet(names, folder, script, capsys):
    """Every step finds the same photographs by the names of files, of captions and of lists."""
    files, captioned, listed = ([name.format(number) for number in range(6)] for name in names)
    colours = ["red", "blue", "green", "grey", "white", "black"]
    for number, name in enumerate(files):
        (folder / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"Examples/photo{number}.jpg").rename(folder / "new" / name)
    text = folder / "Flickr8k_text"
    disk.write_text(text / "Flickr8k.token.txt",
                    "".join(f"{name}#0\tA {colour} dog runs\n" for name, colour in zip(captioned, colours, strict=True)))  # fmt: skip
    for split, part in (("train", listed[:4]), ("dev", listed[4:])):
        disk.write_text(text / f"Flickr_8k.{split}Images.txt", "".join(f"{name}\n" for name in part))
    made = [{"image_id": name, "caption": f"a {colour} dog runs"} for name, colour in zip(listed, colours, strict=True)]
    disk.write_json(folder / "made.json", made)
    (folder / "model-ep001-loss2.000-val_loss3.000.keras").unlink()
    step_1 = ["--encoder", "encoder.keras", "--photographs", "new"]
    for shard in ("1/2", "2/2"):  # in each alone no two would share an id
        script("1_data_preprocessor").main([*step_1, "--shard", shard])
    script("1_data_preprocessor").main([*step_1, "--merge"])
    described = read_descriptions(folder / "descriptions.txt")
    assert list(described) == list(features_file.read(folder / "features.pkl")) and len(described) == 6
    assert list(described.values()) == [[f"{colour} dog runs"] for colour in colours]
    script("2_train_IC_model").main(["--epochs", "1"])
    script("4_tokenizer").main([])
    script("3_BLEU").main([])
    assert list(read_results(folder / "captions.json", described)) == list(described)[4:]
    script("3_BLEU").main(["--candidates", "made.json", "--references", str(text / "Flickr8k.token.txt")])
    scores = json.loads((folder / "scores.json").read_text())["protocols"]
    assert [scores[name]["system"]["BLEU-3"] for name in ("cleaned", "standard")] == [1, 1]
    doctor.main(step_1)
    printed = capsys.readouterr().out
    assert not any(line in printed for line in ("fix ", "no caption", "no photograph here", "no description"))


def test_step_2_refuses_to_judge_by_what_it_learns_from(folder, script):
    lists = "Flickr8k_text/Flickr_8k.trainImages.txt"
    with pytest.raises(InputError, match="found 4 of 4 in both lists"):
        script("2_train_IC_model").main(["--dev-images", lists])


def test_step_1_warns_of_what_the_machine_lacks(folder, script, capsys, monkeypatch):
    write_token_file(folder)
    monkeypatch.setattr(machine, "free_memory", lambda: 10**8)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    script("1_data_preprocessor").main(
        ["--encoder", "encoder.keras", "--photographs", "Examples", "--out", "new/folder"]
    )
    printed = capsys.readouterr().out
    assert "warning: expected 0.00 GB on the disk of new/folder, found 0.00 GB" in printed
    assert "warning: expected 1.00 GB of memory, found 0.10 GB" in printed


def test_step_5_takes_an_onnx_file_whose_features_the_captioner_knows(folder):
    exported.write(folder / "bytes.onnx", kind=exported.BYTES)
    encoder = onnx_file.convert(folder / "bytes.onnx", folder / "encoder.onnx", "map")
    (path,) = folder.glob("model-*")
    with pytest.raises(InputError, match="expected the features of the encoder"):
        Describer(folder / "encoder.onnx", path)
    found = captioner_file.read(path)
    captioner_file.write(folder / "other.keras", found.model, found.tokenizer, {"encoder": encoder.fingerprint})
    describer, paths = (
        Describer(folder / "encoder.onnx", folder / "other.keras"),
        photographs.list_photographs(folder / "Examples"),
    )
    captions, unreadable = describer.all_of(paths, beam=1)
    assert {path: describer(path, beam=1)[0].text for path in paths} == {
        path: caption.text for path, caption in captions.items()
    }
    assert len(captions) == len(paths) and not unreadable


OTHERS = {  # versions that fit
    "keras": "3.15.1", "filelock": "4.3.1", "numpy": "2.4.6", "pillow": "12.3.0", "h5py": "3.14.0", "safetensors": "0.8.0", "nltk": "3.10.4", "tqdm": "4.67", "tyro": "1.0.17", "matplotlib": "3.10.1"
}  # fmt: skip


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        ({"tensorflow": "2.21.0", "tensorflow-cpu": "2.21.0"}, "found tensorflow and tensorflow-cpu"),
        (OTHERS, "one build of TensorFlow, found none"),
        ({"tensorflow": "2.16.1", **OTHERS}, r"tensorflow>=2\.21, found 2\.16\.1"),
        ({"tensorflow_cpu": "2.21.0", **OTHERS, "keras": "3.9.0"}, r"keras>=3\.15\.1, found 3\.9\.0"),
        ({"tensorflow": "2.21.0", **OTHERS, "h5py": "3.15.0"}, r"h5py>=3\.11,<3\.15, found 3\.15\.0"),
    ],
)
def test_versions_with_known_trouble_are_named(installed, message, monkeypatch):
    found = [SimpleNamespace(name=name, version=version) for name, version in {None: None, **installed}.items()]
    monkeypatch.setattr(machine, "distributions", lambda: found)
    with pytest.raises(InputError, match=message):
        machine.check_versions()


def test_of_two_distributions_of_one_name_the_first_counts(monkeypatch):
    fits = [
        SimpleNamespace(name=name, version=version) for name, version in ({"tensorflow": "2.21.0"} | OTHERS).items()
    ]
    monkeypatch.setattr(machine, "distributions", lambda: [*fits, SimpleNamespace(name="h5py", version="3.16.0")])
    assert "tensorflow 2.21.0" in machine.check_versions()
