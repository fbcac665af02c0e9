"""What Pre-trained/ ships describes photographs at once: on a fresh clone, with no file of one's own."""

from pathlib import Path
from random import Random

import pytest

from captioning.tokenizer import read_tokenizer
from demo import pictures, scenes

NOTICE = "no captioner of yours is here"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder, but for drawn scenes in `photographs`."""
    monkeypatch.chdir(tmp_path)
    Path("photographs").mkdir()
    for number, scene in enumerate(list(scenes.splits(30, seed=0)["train"].values())[:3]):
        pictures.picture(scene, Random(number)).save(f"photographs/{number}.jpg")
    return tmp_path


def test_step_5_and_its_page_describe_with_what_is_shipped(folder, script, capsys, monkeypatch):
    step, known = script("5_test"), read_tokenizer(script("5_test").SHIPPED / "tokenizer.pkl").word_index
    step.main(["--photographs", "photographs"])
    printed = capsys.readouterr().out
    shown = dict(line.split("\t") for line in printed.splitlines() if "\t" in line)
    assert printed.count(NOTICE) == 1 and step.QUALITY in printed
    assert list(shown) == ["0.jpg", "1.jpg", "2.jpg"] and len(set(shown.values())) > 1
    assert all(text and set(text.split()) <= known.keys() for text in shown.values())
    assert Path("gallery.html").read_text("utf-8").count("</figure>") == 3

    served = []
    monkeypatch.setattr(step.serve, "run", lambda describe, port: served.append(describe))
    step.main(["--serve"])
    with Path("photographs/1.jpg").open("rb") as photograph:
        assert len(served[0](photograph)[""]) == 3
    assert NOTICE in capsys.readouterr().out


def test_files_of_ones_own_are_never_replaced(folder, script, capsys):
    step = script("5_test")
    named = [
        step.Settings(model=Path("other")),
        step.Settings(tokenizer=Path("a.pkl")),
        step.Settings(encoder=Path("b")),
    ]
    assert [step.own_or_shipped(config) for config in named] == named
    Path("model-ep001-loss2.000-val_loss3.000.keras").touch()
    assert step.own_or_shipped(step.Settings()) == step.Settings()
    assert NOTICE not in capsys.readouterr().out


def test_with_no_options_step_5_captions_the_examples(folder, script, capsys, monkeypatch):
    root = Path(script("5_test").__file__).parent
    for name in ("Examples", "Pre-trained"):
        Path(name).symlink_to(root / name)
    script("5_test").main([])
    shown = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines() if "\t" in line]
    assert shown == sorted(path.name for path in (root / "Examples").glob("*.jpg")) and len(shown) == 6
