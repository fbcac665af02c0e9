"""The house: imports run one way and in no circle, folders and files are small, and an extension is one file and one word in a tuple."""

import ast
import importlib
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from captioning import batches, captioner_file, captions, decoding, train
from captioning.metrics import bleu, scores
from captioning.metrics.protocol import Protocol
from captioning.metrics.text import Text
from captioning.tokenizer import Tokenizer
from encoders import convert, encoder_file
from encoders.tensors.checkpoint import Checkpoint
from encoders.tensors.tensor import Tensor
from tests.conftest import ROOT, draw_classes

FLOORS = {  # what each package may import, beside itself
    "core": set(),
    "encoders": {"core"},
    "captioning": {"core", "encoders"},
    "pretext": {"core", "encoders"},
    "simclr": {"core", "encoders", "pretext"},
    "jigsaw": {"core", "encoders", "pretext"},
}
TOPS = {"demo", "docs", "benchmarks"}  # which, like the numbered scripts, may import all that stands below
MODULES, LINES = 14, 400


def sources() -> dict[str, Path]:
    """Return the files of the packages and the scripts by their modules' names."""
    files = [*ROOT.glob("[1-6]_*.py"), *(path for folder in {*FLOORS, *TOPS} for path in (ROOT / folder).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imports(path: Path, modules: set[str]) -> set[str]:
    """Return which of the modules a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found & modules


def test_imports_run_one_way():
    files = sources()
    upwards = []
    for name, path in files.items():
        own = name.split(".")[0]
        allowed = {own, *FLOORS.get(own, {*FLOORS, *TOPS})}
        upwards += [f"{name} -> {other}" for other in imports(path, {*files}) if other.split(".")[0] not in allowed]
    assert not upwards


def test_no_imports_go_in_a_circle():
    files = sources()
    left = {name: imports(path, {*files}) - {name} for name, path in files.items() if path.name != "__init__.py"}
    left = {name: {other for other in needed if other in left} for name, needed in left.items()}
    while free := [name for name, needed in left.items() if not needed & left.keys()]:
        for name in free:
            del left[name]
    assert not left, "these import each other"


def test_folders_and_files_are_small():
    files = [path for path in sources().values() if path.name != "__init__.py"]
    counts = Counter(path.parent for path in files if path.parent != ROOT)
    assert max(counts.values()) <= MODULES, counts.most_common(1)
    longest = max(files, key=lambda path: len(path.read_text(encoding="utf-8").splitlines()))
    assert len(longest.read_text(encoding="utf-8").splitlines()) <= LINES, longest


def test_one_name_means_one_thing():
    mirrored = {"__init__", "main", "model", "views", "watch"}  # what each method has of its own
    names = Counter(path.stem for path in sources().values() if path.stem not in mirrored)
    assert not [name for name, count in names.items() if count > 1]


WATCH = """
import os, runpy, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            os.write(1, os.environ.get("TF_ENABLE_ONEDNN_OPTS", "unset").encode() + b" when it is imported\\n")
sys.meta_path.insert(0, Watch())
name, sys.argv[1:] = sys.argv[1], ["--help"]
runpy.run_path(name + ".py", run_name="__main__") if name[0].isdigit() else runpy.run_module(name, run_name="__main__")
"""


@pytest.mark.parametrize("command", ["2_train_IC_model", "5_test", "encoders.make", "simclr.main", "jigsaw.main"])
def test_onednn_is_on_in_a_fresh_process(command):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    run = subprocess.run(
        [sys.executable, "-c", WATCH, command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert "1 when it is imported" in run.stdout, run.stdout + run.stderr
    assert not run.stderr


# An extension is one file, here CONTRIBUTING.md's example, and one word in a tuple. -------------------------------------


@pytest.fixture
def extension(tmp_path, monkeypatch) -> Callable[[str], ModuleType]:
    """Import CONTRIBUTING.md's example of a kind of extension: `extension("A metric")`."""

    def load(kind: str) -> ModuleType:
        section = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split(f"## {kind}\n")[1].split("\n## ")[0]
        (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
        (tmp_path / "extension.py").write_text(code, "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "extension", raising=False)
        return importlib.import_module("extension")

    return load


def test_a_family_of_checkpoints_is_one_file(extension, monkeypatch):
    toy = extension("An encoder family")
    monkeypatch.setattr(convert, "FAMILIES", (*convert.FAMILIES, toy))
    weights = np.arange(6.0).reshape(3, 2)
    source = Checkpoint({"toy.weight": Tensor((3, 2), lambda: weights)}, "a toy", "toy.pth", {})
    monkeypatch.setattr(convert.checkpoint, "read", lambda path: source)
    features = convert.convert(Path("toy.pth"))(np.full((1, 8, 8, 3), 255, "uint8"))  # white is 1 after [-1, 1]
    assert np.asarray(features) == pytest.approx(weights.sum(0)[None])


def test_a_form_of_captions_is_one_file(extension, monkeypatch, tmp_path):
    monkeypatch.setattr(captions, "FORMATS", (*captions.FORMATS, extension("A caption format")))
    (tmp_path / "toy.txt").write_text("a.jpg: A dog: brown\na.jpg: A cat\n", "utf-8")
    assert captions.read_captions(tmp_path / "toy.txt") == {"a": ["A dog: brown", "A cat"]}


def test_a_metric_is_one_file(extension):
    protocol = Protocol("toy", (bleu, extension("A metric")), scores.EQUAL_WEIGHTS, fewest=0)
    lines = scores.evaluate(protocol, [Text("a dog"), Text("a big cat")], [[Text("a dog")]] * 2, Text("dog"))
    assert lines["system"]["words"] == 2.5 and lines["floor"]["words"] == 1 and "BLEU-4" in lines["system"]


def test_a_captioner_is_one_file(extension, monkeypatch, tmp_path):
    """It learns that photographs of one kind are of dogs and those of the other of cats; a word at a time it gives what the model gives."""
    toy = extension("A captioner")
    monkeypatch.setattr(captioner_file, "MODELS", (*captioner_file.MODELS, toy))
    tokenizer = Tokenizer({"startseq": 1, "endseq": 2, "dog": 3, "cat": 4}, 4)
    photographs = {"a": np.array([[1.0, 0]], "float32"), "b": np.array([[0, 1.0]], "float32")}
    data = batches.gather({"a": ["dog"] * 4, "b": ["cat"] * 4}, photographs, tokenizer)
    model = toy.build((2,), tokenizer.vocabulary_size)
    trained = train.compiled_trainer(model, toy.optimizer(train.Recipe(8, 4, 0.5, 1e-7, False, None, None, False), 1))
    losses = trained.fit(data.ordered(4), epochs=8, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 10

    captioner_file.write(tmp_path / "toy.keras", model, tokenizer, None)
    found, features = captioner_file.read(tmp_path / "toy.keras"), np.eye(2, dtype="float32")
    texts = [caption.text for caption in decoding.caption(found.model, features, found.tokenizer)]
    assert texts == ["dog", "cat"]
    stepper, words = toy.Stepper(found.model), np.array([1, 4])
    logits, _ = stepper.step(stepper.start(features), words)
    assert np.exp(logits) / np.exp(logits).sum(1, keepdims=True) == pytest.approx(
        np.asarray(found.model([features, words[:, None]]))[:, 0], rel=1e-4
    )


def test_a_method_is_one_file(extension, tmp_path):
    folder = draw_classes(tmp_path / "patches", 8)
    words = "--width 4 --size 16 --stored 20 --encoder-size 24 --batch-size 8 --epochs 2"
    extension("A method of pre-training").main(
        [*words.split(), "--photographs", str(folder), "--out", str(tmp_path / "out")]
    )
    assert encoder_file.read(tmp_path / "out" / "encoder.keras").output_shape == (None, 32)
    assert (tmp_path / "out" / "history.csv").read_text().startswith("epoch,accuracy,loss")
