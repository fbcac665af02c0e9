"""The house: imports run one way and in no circle, folders and files are small, and an extension is one file and one word in a tuple."""

import ast
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from captioning import captioner_file, captions, decoding, scores
from captioning.metrics import bleu
from captioning.metrics.protocol import Protocol
from captioning.metrics.text import Text
from captioning.tokenizer import Tokenizer
from encoders import convert
from encoders.networks.loading import Found, Preprocessing
from encoders.tensors.tensor import Tensor
from tests.conftest import ROOT

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


# An extension is one file (here a namespace in its place) and one word in a tuple. -------------------------------------


def test_a_family_of_checkpoints_is_one_file(monkeypatch):
    def find(tensors):
        if "toy" in tensors:
            yield Found("", "a toy", None, {"toy": tensors["toy"]}, lambda layer, variable: layer)

    def build(found, stem=None):
        photographs = keras.Input((None, None, 3))
        network = keras.Model(
            photographs, layers.Dense(2, use_bias=False)(layers.GlobalAveragePooling2D()(photographs))
        )
        network.set_weights([found.tensors["toy"].read()])
        return network

    toy = SimpleNamespace(NAME="toys", find=find, build=build, PREPROCESSING=Preprocessing(lambda network: 8, 0, 1))
    monkeypatch.setattr(convert, "FAMILIES", (*convert.FAMILIES, toy))
    weights = np.arange(6.0).reshape(3, 2)
    family, found = convert.find({"toy": Tensor((3, 2), lambda: weights)})
    features = np.asarray(convert.build(family, found)(np.ones((1, 4, 4, 3))))
    assert family is toy and features == pytest.approx(weights.sum(0)[None])


def test_a_form_of_captions_is_one_file(monkeypatch, tmp_path):
    toy = SimpleNamespace(
        NAME="toys",
        fits=lambda head: head.startswith("toy"),
        captions=lambda path: iter([("a.jpg", "A dog"), ("a.jpg", "A cat")]),
    )
    monkeypatch.setattr(captions, "FORMATS", (*captions.FORMATS, toy))
    (tmp_path / "toy.txt").write_text("toy")
    assert captions.read_captions(tmp_path / "toy.txt") == {"a": ["A dog", "A cat"]}


def test_a_metric_is_one_file():
    toy = SimpleNamespace(
        NAMES=("words",),
        WIDTH=1,
        statistics=lambda references, protocol: lambda texts: np.array([[len(text.words)] for text in texts]),
        values=lambda means, protocol: means,
    )
    protocol = Protocol("toy", (bleu, toy), scores.EQUAL_WEIGHTS, fewest=0)
    lines = scores.evaluate(protocol, [Text("a dog"), Text("a big cat")], [[Text("a dog")]] * 2, Text("dog"))
    assert lines["system"]["words"] == 2.5 and lines["floor"]["words"] == 1 and "BLEU-4" in lines["system"]


def test_a_captioner_is_one_file(monkeypatch, tmp_path):
    """A captioner that counts up to the feature's first number, whatever the words so far."""

    class Stepper:
        def __init__(self, model):
            self.size = model.output_shape[-1]

        def start(self, features):
            return (np.asarray(features, "float32"), np.zeros(len(features)))

        def step(self, state, words):
            features, count = state
            next_words = np.where(count < features[:, 0], 3, 2)
            return np.log(np.eye(self.size)[next_words] * 0.9 + 0.01), (features, count + 1)

    feature, words = keras.Input((2,), name="feature"), keras.Input((None,), dtype="int32", name="words")
    word = layers.Embedding(4, 4, name="toy")(words)
    model = keras.Model([feature, words], layers.Softmax()(word))
    toy = SimpleNamespace(NAME="toy", LAYERS=frozenset({"toy"}), Stepper=Stepper)
    monkeypatch.setattr(captioner_file, "MODELS", (*captioner_file.MODELS, toy))
    tokenizer = Tokenizer({"startseq": 1, "endseq": 2, "dog": 3}, 9)
    captioner_file.write(tmp_path / "toy.keras", model, tokenizer, None)
    found = captioner_file.read(tmp_path / "toy.keras")
    texts = [caption.text for caption in decoding.caption(found.model, np.array([[3.0, 0], [1.0, 0]]), found.tokenizer)]
    assert texts == ["dog dog dog", "dog"]
