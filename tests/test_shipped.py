"""What Pre-trained/ ships describes photographs at once: on a fresh clone, with no file of one's own."""

import json
from pathlib import Path
from random import Random

import pytest

from captioning import captioner_file
from core.errors import InputError
from demo import pictures, scenes

NOTICE = "no captioner of yours is here"
ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path.parent for path in ROOT.glob("Pre-trained/*/encoder.keras"))
CARD = ("## What it is", "## Scores", "## What it gets wrong", "## Licence")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder, but for drawn scenes in `photographs`."""
    monkeypatch.chdir(tmp_path)
    Path("photographs").mkdir()
    for number, scene in enumerate(list(scenes.splits(30, seed=0)["train"].values())[:3]):
        pictures.picture(scene, Random(number)).save(f"photographs/{number}.jpg")
    return tmp_path


def test_step_5_and_its_page_describe_with_what_is_shipped(folder, script, capsys, monkeypatch):
    step = script("5_test")
    known = captioner_file.read(step.BEST / "captioner.keras").tokenizer.word_index
    step.main(["--photographs", "photographs"])
    printed = capsys.readouterr().out
    shown = dict(line.split("\t") for line in printed.splitlines() if "\t" in line)
    assert printed.count(NOTICE) == 1 and "efficientnet_lite0" in printed and "supervised" in printed
    assert list(shown) == ["0.jpg", "1.jpg", "2.jpg"] and len(set(shown.values())) > 1
    assert all(text and set(text.split()) <= known.keys() for text in shown.values())
    assert Path("gallery.html").read_text("utf-8").count("</figure>") == 3

    served = []
    monkeypatch.setattr(step.serve, "run", lambda describe, port: served.append(describe))
    step.main(["--serve"])
    with Path("photographs/1.jpg").open("rb") as photograph:
        found = served[0](photograph)
    assert list(found) == ["distilled (labels: none)", "efficientnet_lite0 (labels: 1.28 million)"]
    assert all(len(captions) == 3 for captions in found.values())


def test_files_of_ones_own_are_never_replaced(folder, script, capsys):
    step = script("5_test")
    for option, file in (("model", "other"), ("tokenizer", "a.pkl"), ("encoder", "b")):
        with pytest.raises(InputError):  # these are not there
            step.main([f"--{option}", file])
    own = Path("model-ep001-loss2.000-val_loss3.000.keras")
    own.write_text("no captioner")
    with pytest.raises(InputError, match=own.name):
        step.main([])
    assert NOTICE not in capsys.readouterr().out


def test_with_no_options_step_5_captions_the_examples(folder, script, capsys, monkeypatch):
    root = Path(script("5_test").__file__).parent
    for name in ("Examples", "Pre-trained"):
        Path(name).symlink_to(root / name)
    script("5_test").main([])
    shown = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines() if "\t" in line]
    assert shown == sorted(path.name for path in (root / "Examples").glob("*.jpg")) and len(shown) == 6


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_folder_has_its_card(folder):
    card = (folder / "README.md").read_text("utf-8")
    positions = [card.find(heading) for heading in CARD]
    assert -1 not in positions and positions == sorted(positions)
    assert json.loads((folder / "encoder.json").read_text("utf-8")).keys() >= {"pretext task", "data", "labels"}


def test_what_is_shipped_is_small():
    megabytes = {
        folder: sum(path.stat().st_size for path in (ROOT / folder).rglob("*") if path.is_file()) / 1e6
        for folder in ("Pre-trained", "Examples", "docs")
    }
    assert megabytes["Pre-trained"] < 45 and sum(megabytes.values()) < 55  # 60 with the code and its tests
    encoders = [path.stat().st_size / 1e6 for path in ROOT.glob("Pre-trained/*/encoder.keras")]
    assert len(encoders) == 3 and max(encoders) < 13
