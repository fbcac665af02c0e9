"""Step 6 on toy encoders and drawn photographs: interrupted, gone on with, compared; and its page."""

import base64
import csv
import hashlib
import importlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from captioning import report
from captioning.ablation import comparison, study
from captioning.captions import read_results
from captioning.pages import ablation_page
from core import disk, keras_files
from core.errors import InputError
from encoders import convert, encoder_file, features_file
from tests.captioning.test_gallery import Page
from tests.encoders import exported
from tests.encoders.conftest import CHECKPOINTS

HOSTILE = "2 <b>|\"'$_{$"  # an encoder's name
STEP = importlib.import_module("6_ablation")


class Cells(HTMLParser):
    """Collects the text of each cell, row by row; a cell beside several rows counts in each."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.rows, self.beside = [], 0
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([self.rows[-1][0]] if self.beside else [])
            self.beside -= bool(self.beside)
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            self.beside = int(dict(attributes).get("rowspan", self.beside + 1)) - 1

    def handle_endtag(self, tag):
        if tag == "table":
            self.handle_data = lambda data: None

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n")


def write_world(folder: Path) -> None:
    """16 noisy photographs, dark or light as their captions say, in Flickr8k's layout, and a few in labelled folders."""
    random = np.random.default_rng(0)
    lines, names = [], [f"photo{number:02d}.jpg" for number in range(16)]
    for directory in (
        "photographs",
        *(f"labelled/{part}/{name}" for part in ("train", "val") for name in ("dark", "light")),
    ):
        (folder / directory).mkdir(parents=True)
    for number, name in enumerate(names):
        light = ("dark", "light")[number % 2]
        photograph = Image.fromarray(
            random.integers(100 * (number % 2), 150 + 100 * (number % 2), (10, 12, 3)).astype("uint8")
        )
        photograph.save(folder / "photographs" / name)
        photograph.save(folder / "labelled" / ("train" if number < 12 else "val") / light / name)
        lines += [f"{name}#{text}\tA {light} {thing} runs fast .\n" for text, thing in enumerate(("dog", "boy", "cat"))]
    (folder / "token.txt").write_text("".join(lines))
    for part, listed in (("train", names[:10]), ("dev", names[10:13]), ("test", names[13:])):
        (folder / f"Flickr_8k.{part}Images.txt").write_text("\n".join(listed))


def write_encoder(path: Path, dimension: int) -> None:
    keras.utils.set_random_seed(dimension)
    photographs = keras.Input((8, 8, 3), dtype="uint8")
    pixels = layers.Flatten()(layers.Rescaling(1 / 255)(photographs))
    keras_files.write(path, keras.Model(photographs, layers.Dense(dimension)(pixels)))


def options(folder: Path, *encoders: str) -> list[str]:
    lists = [
        word
        for part in ("train", "dev", "test")
        for word in (f"--{part}-images", f"{folder}/Flickr_8k.{part}Images.txt")
    ]
    return ["--encoders", *encoders, *lists, *f"--photographs {folder}/photographs --captions {folder}/token.txt --labelled {folder}/labelled "
            f"--out {folder}/out --seeds 2 --epochs 2 --batch-size 8".split()]  # fmt: skip


def stamps(out: Path) -> dict[Path, int]:
    """When each file was written whose making takes long."""
    wanted = ("features.pkl", "evaluation.json", "captions.json", "scores.json", "checkpoint.weights.h5")
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name in wanted}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A finished ablation of two encoders, which was interrupted in its third captioner."""
    folder = tmp_path_factory.mktemp("ablation")
    write_world(folder)
    write_encoder(folder / "plain.keras", 4)
    write_encoder(folder / "other.keras", 5)
    (folder / "other.json").write_text('{"pretext task": "none", "data": "16 photographs"}')
    words = options(folder, f"{folder}/plain.keras", f"{HOSTILE}={folder}/other.keras")
    score, scored = report.write, []

    def interrupted(run: Path, *arguments, **known) -> None:
        scored.append(run)
        if len(scored) == 3:
            raise KeyboardInterrupt
        score(run, *arguments, **known)

    with pytest.MonkeyPatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(report, "write", interrupted)
        STEP.main(words)
    before = stamps(folder / "out")
    assert sum(path.name == "scores.json" for path in before) == 2
    STEP.main(words)
    after = stamps(folder / "out")
    assert sum(path.name == "scores.json" for path in after) == 4
    assert before.items() <= after.items()  # nothing that was there is written anew
    return folder


@pytest.fixture(scope="module")
def table(world) -> list[list[str]]:
    return list(csv.reader((world / "out" / "ablation.csv").open(encoding="utf-8", newline="")))


def summaries(world: Path) -> list[dict]:
    found = [json.loads(path.read_text()) for path in (world / "out").glob("*/summary.json")]
    return sorted(found, key=lambda summary: summary["name"] != "plain")


def test_a_finished_captioner_is_trained_again_for_no_new_name_and_scored_again_for_a_wider_beam(world, capsys):
    before = stamps(world / "out")
    words = options(world, f"renamed={world}/plain.keras")
    STEP.main(words)
    assert capsys.readouterr().out.count("is finished") == 2
    assert stamps(world / "out") == before
    STEP.main([*words, "--beam", "2", "--seeds", "1"])
    changed = {path.name for path, stamp in stamps(world / "out").items() if stamp != before[path]}
    assert changed == {"captions.json", "scores.json"}
    STEP.main(options(world, f"{world}/plain.keras", f"{HOSTILE}={world}/other.keras"))


def test_the_table_is_the_same_in_all_three_forms(world, table):
    assert table[0] == ["about", "measure", "one caption for all", "plain", HOSTILE, "a person"]
    lines = [line for line in (world / "out" / "ablation.md").read_text("utf-8").split("\n") if line.startswith("|")]
    split = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert [row for row in split if set(row[0]) != {"-"}] == table
    assert Cells((world / "out" / "ablation.html").read_text("utf-8")).rows == table


def test_the_table_tells_everything_of_each_encoder(table):
    rows = {tuple(row[:2]): row[2:] for row in table[1:]}
    assert rows["encoder", "pretext task"] == ["", "", "none", ""]
    assert rows["encoder", "data"] == ["", "", "16 photographs", ""]
    assert rows["encoder", "parameters"] == ["", "772", "965", ""]
    assert rows["encoder", "D"] == ["", "4", "5", ""]
    assert all(re.fullmatch(r"[01]\.\d{3}", cell) for cell in rows["encoder", "kNN top-1"][1:3])
    for protocol, metrics in (("seed", 4), ("cleaned", 6), ("standard", 6)):
        for about in (protocol, f"{protocol}, one reference fewer", f"{protocol}, compared with plain"):
            assert sum(key[0] == about for key in rows) == metrics
    floor, plain, other, person = rows["standard", "BLEU-1"]
    assert floor and not person
    assert all(re.fullmatch(r"0\.\d{3} ± 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", cell) for cell in (plain, other))
    assert rows["standard, one reference fewer", "BLEU-1"][3]
    assert re.match(r"(tie|higher|lower): [+-]", rows["standard, compared with plain", "BLEU-1"][2])


def numbers(value) -> set[str]:
    """All numbers within a value read from JSON, as the table may show them."""
    if isinstance(value, dict | list):
        return set().union(*map(numbers, value.values() if isinstance(value, dict) else value))
    shown = ("{:,}", "{:,.1f}", "{:,.3f}", "{:+.3f}")
    return {form.format(value).lstrip("+") for form in shown} if isinstance(value, int | float) else set()


def test_every_number_can_be_traced_to_a_file(world, table):
    beside = json.loads(next((world / "out").glob("plain-*/seed-0/scores.json")).read_text())
    sources = [beside, *summaries(world), beside]
    for column, source in enumerate(sources, start=2):
        cells = [row[column] for row in table[1:] if row[1] not in ("folder", "data")]
        shown = {number.lstrip("+") for cell in cells for number in re.findall(r"[+-]?\d[\d,.]*", cell)}
        assert shown and shown <= numbers(source)


def test_summaries_are_means_of_the_captioners_files(world):
    for summary in summaries(world):
        runs = [world / "out" / summary["encoder"]["folder"] / f"seed-{seed}" for seed in (0, 1)]
        scores = [json.loads((run / "scores.json").read_text()) for run in runs]
        for protocol, lines in summary["protocols"].items():
            for metric, value in lines["mean"].items():
                each = [found["protocols"][protocol]["system"][metric] for found in scores]
                assert value == pytest.approx(np.mean(each), abs=2e-6)
                assert lines["deviation"][metric] == pytest.approx(np.std(each, ddof=1), abs=2e-6)
        losses = [min(comparison.read_losses(run / "history.csv")) for run in runs]
        assert summary["captioners"]["val_loss"]["mean"] == pytest.approx(np.mean(losses))
        minutes = [json.loads((run / "minutes.json").read_text()) for run in runs]
        assert summary["captioners"]["minutes for a captioner"]["mean"] == pytest.approx(np.mean(minutes))


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [([-0.01, 0.02], "tie: +0.010 (-0.010 to +0.020)"), ([0, 0.02], "tie: +0.010 (+0.000 to +0.020)"),
     ([0.005, 0.02], "higher: +0.010 (+0.005 to +0.020)"), ([-0.02, -0.005], "lower: +0.010 (-0.020 to -0.005)")],
)  # fmt: skip
def test_a_tie_is_called_a_tie(interval, verdict):
    lines = {"mean": {"BLEU-1": 0.5}, "interval": {"BLEU-1": [0.4, 0.6]}}
    second = lines | {"difference": {"BLEU-1": 0.01}, "interval of the difference": {"BLEU-1": interval}}
    compared = [
        {"name": name, "encoder": {"D": 4}, "captioners": {}, "protocols": {"seed": found}}
        for name, found in (("first", lines), ("second", second))
    ]
    *_, row = comparison.table(compared, {"protocols": {"seed": {"floor": {"BLEU-1": 0.3}}}})
    assert row == ["seed, compared with first", "BLEU-1", "", "", verdict, ""]


def test_the_page_holds_everything_and_fetches_nothing(world):
    source = (world / "out" / "ablation.html").read_text("utf-8")
    page = Page(source)
    captions = [read_results(next((world / "out").glob(f"{name}-*/seed-0/captions.json"))) for name in ("plain", "2")]
    questions = page.all("fieldset")
    assert len(questions) == 2 * 3
    shown = {
        (question["data-photograph"], question["data-encoder"], question["data-caption"]) for question in questions
    }
    assert shown == {(f"{image}.jpg", name, text) for name, given in zip(("plain", HOSTILE), captions, strict=True)
                     for image, text in given.items()}  # fmt: skip
    radios = [tag for tag in page.all("input") if tag["type"] == "radio"]
    assert len(radios) == 6 * len(ablation_page.MARKS)
    assert len({radio["name"] for radio in radios}) == 6
    assert "Save the marks as CSV" in page.text
    images = page.all("img")
    assert len(images) == 3 + 3 and all(image["src"].startswith("data:image/") and image["alt"] for image in images)
    assert not re.search(r"https?:|url\(|@import", source)
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "b"}


def test_the_page_shows_where_a_captioner_looked_and_goes_on_without_it(tmp_path):
    write_world(tmp_path)
    photographs = keras.Input((8, 8, 3), dtype="uint8")
    grid = layers.AveragePooling2D((4, 2), name="grid")(layers.Rescaling(1 / 255)(photographs))  # 2 x 4 cells
    keras_files.write(tmp_path / "plain.keras", keras.Model(photographs, layers.Flatten()(grid)))
    words = [
        *options(tmp_path, f"{tmp_path}/plain.keras"),
        *["--seeds", "1", "--epochs", "1", "--captioner", "attention"],
    ]
    STEP.main(words)
    (run,) = (tmp_path / "out").glob("plain-*/attention-seed-0")
    captions, looked = read_results(run / "captions.json"), disk.read_json(run / "attention.json")
    assert {image: np.shape(maps) for image, maps in looked.items()} == {
        image: (len(caption.split()), 2, 4) for image, caption in captions.items() if caption
    }
    assert np.sum(next(iter(looked.values())), axis=(1, 2)) == pytest.approx(1, abs=1e-3)
    page = (tmp_path / "out" / "ablation.html").read_text("utf-8")
    assert page.count('<span class="looked"') == sum(len(caption.split()) for caption in captions.values())
    (run / "attention.json").unlink()  # as in a folder of an earlier version
    STEP.main(words)
    old = (tmp_path / "out" / "ablation.html").read_text("utf-8")
    assert 'class="looked"' not in old
    kept = [re.search(r'data-captions="(\w+)"', source)[1] for source in (page, old)]
    assert kept[0] == kept[1], "marks would be lost"


def test_only_the_pages_own_script_may_run(world):
    source = (world / "out" / "ablation.html").read_text("utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'" in source


def test_names_are_told_or_the_files_own(tmp_path):
    (tmp_path / "rate=1.keras").touch()
    assert study.named([f"{tmp_path}/rate=1.keras"]) == {"rate=1": tmp_path / "rate=1.keras"}
    assert study.named(["a/b.keras", "c=d.keras"]) == {"b": Path("a/b.keras"), "c": Path("d.keras")}
    assert list(study.named(["a/encoder.keras", "c/encoder.keras", "encoder.keras"])) == ["a", "c", "encoder"]
    with pytest.raises(InputError, match=r"different names for 2 encoders, found b: give NAME=FILE"):
        study.named(["a/b.keras", "c/b.keras"])


@pytest.mark.parametrize("setting", ["seeds", "epochs", "batch-size", "learning-rate", "patience", "beam"])
def test_nothing_at_all_is_an_error_before_the_work(world, setting):
    with pytest.raises(InputError, match=f"--{setting} between 1"):
        STEP.main([*options(world, f"{world}/plain.keras"), f"--{setting}", "0"])


def test_mistakes_are_told_before_the_work(tmp_path):
    write_world(tmp_path)
    write_encoder(tmp_path / "plain.keras", 4)
    words = options(tmp_path, f"{tmp_path}/plain.keras")
    with pytest.raises(InputError, match=r"expected an encoder at none\.keras"):
        STEP.main(options(tmp_path, f"{tmp_path}/plain.keras", "none.keras"))
    with pytest.raises(InputError, match="3 of 3 in both lists"):
        STEP.main([*words, "--train-images", f"{tmp_path}/Flickr_8k.devImages.txt"])
    with disk.locked(tmp_path / "out"), pytest.raises(InputError, match="another run is writing"):
        STEP.main(words)
    (tmp_path / "photographs" / "photo14.jpg").unlink()
    with pytest.raises(InputError, match=r"a file for each of 16 .* found none for 1 of them \(photo14"):
        STEP.main(words)
    assert not list((tmp_path / "out").glob("plain-*"))


def test_onnx_files_are_encoders_and_the_page_says_what_they_are(tmp_path):
    write_world(tmp_path)
    exported.write(tmp_path / "bytes.onnx", kind=exported.BYTES)
    exported.write(tmp_path / "floats.onnx")
    convert.main(f"--checkpoint {tmp_path}/bytes.onnx --out {tmp_path}/pair.onnx --output map".split())
    command = f"convert it with python -m encoders.convert --checkpoint {tmp_path}/floats.onnx --out floats.onnx"
    with pytest.raises(InputError, match=f"give --mean and --deviation .*{command}"):
        STEP.main(options(tmp_path, f"{tmp_path}/pair.onnx", f"{tmp_path}/floats.onnx"))
    STEP.main([*options(tmp_path, f"{tmp_path}/pair.onnx", f"{tmp_path}/bytes.onnx"), "--seeds", "1", "--epochs", "1"])
    rows = {row[1]: row[3:-1] for row in csv.reader((tmp_path / "out/ablation.csv").open()) if row[0] == "encoder"}
    assert rows["family"] == ["ONNX"] * 2 and rows["network"] == ["small"] * 2
    assert rows["checkpoint"] == ["bytes.onnx, an ONNX file by tests"] * 2
    assert rows["parameters"] == ["65", "265"] and rows["D"] == ["5", "40"]
    assert rows["normalisation"] == ["none: the graph takes bytes, and does it itself"] * 2
    assert "the graph takes bytes" in (tmp_path / "out/ablation.html").read_text()


def test_a_checkpoint_that_needs_nothing_told_is_converted_and_explained(tmp_path):
    write_world(tmp_path)
    path = study.as_file("net 1", CHECKPOINTS / "efficientnet-lite0.pth", tmp_path, tmp_path / "photographs")
    found = study.describe(path, encoder_file.read(path))
    assert path == tmp_path / "net-1.keras" and found["parameters"] == 57_664 and found["D"] == 128
    assert found["checkpoint"] == "efficientnet-lite0.pth, a torch archive"
    assert found["family"] == "Google's EfficientNet-lite" and found["network"] == "EfficientNet-lite0"
    assert found["normalisation"] == "EfficientNet-lite's, as Google's EfficientNet-lite feeds its networks"


def test_what_has_changed_is_done_again(tmp_path):
    write_world(tmp_path)
    write_encoder(tmp_path / "plain.keras", 4)
    words = [*options(tmp_path, f"{tmp_path}/plain.keras"), "--seeds", "1"]
    STEP.main([*words, "--learning-rate", "0.05"])
    (run,) = (tmp_path / "out").glob("plain-*/seed-0")
    (run / "scores.json").write_text("[]")  # as of no captioner
    before, seen = stamps(run.parent), features_file.read(run.parent / "features.pkl")
    for name in ("photographs/photo14.jpg", "labelled/val/dark/photo14.jpg"):
        Image.new("RGB", (10, 12), "white").save(tmp_path / name)
    STEP.main([*words, "--learning-rate", "0.05"])
    after, now = stamps(run.parent), features_file.read(run.parent / "features.pkl")
    assert {path.name for path in after if after[path] != before[path]} == {
        "features.pkl", "evaluation.json", "captions.json", "scores.json"
    }  # fmt: skip
    assert [image for image in seen if not np.array_equal(seen[image], now[image])] == ["photo14"]
    with pytest.raises(InputError, match=r"learning rate: 0\.05 there, 1e-06 now"):
        STEP.main([*words, "--learning-rate", "0.000001"])
    (run / "checkpoint.weights.h5").unlink()  # as the error says; better captioners of the other run stay
    chosen, describe = [], study.describe_photographs
    with pytest.MonkeyPatch.context() as context:
        context.setattr(
            study, "describe_photographs", lambda model, *others: chosen.append(model) or describe(model, *others)
        )
        STEP.main([*words, "--learning-rate", "0.000001"])
    loss = disk.read_json(run / "scores.json")["val_loss"]
    assert chosen[0].name.endswith(f"-val_loss{loss:.3f}.keras")
    (tmp_path / "token.txt").write_text((tmp_path / "token.txt").read_text().replace("dog", "hund"))
    with pytest.raises(InputError, match=r"settings:\s+vocabulary: \w+ there, \w+ now\s+repeat"):
        STEP.main([*words, "--learning-rate", "0.000001"])
