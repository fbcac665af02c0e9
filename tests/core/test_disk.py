"""The files that pass from step to step: written whole, read without running anything, the original's among them."""

import json
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

from captioning import captioner_file
from captioning.captions import read_descriptions, read_results, write_descriptions, write_results
from captioning.models import merge
from captioning.tokenizer import Tokenizer, read_tokenizer, write_tokenizer
from core import disk, hdf5, keras_files
from core.errors import InputError
from encoders import encoder_file, features_file, photographs

TOKENIZER = Tokenizer({"startseq": 1, "endseq": 2, "dog": 3}, 5)
ORIGIN = {"encoder": "abc", "height": 32, "width": 32, "dimension": 6, "precision": "float32", "cleaning": "seed"}


@pytest.fixture
def model():
    """A captioner of features of length 6 and a vocabulary of 4."""
    return merge.build((6,), 4)


@pytest.fixture
def encoder():
    """A toy encoder: photographs of 8 x 8 to their mean colours."""
    photographs = keras.Input((8, 8, 3), dtype="uint8", name="photographs")
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(photographs))
    return keras.Model(photographs, keras.layers.Dense(4, name="dense")(mean), name="toy")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """Nothing half written takes the final name, and no temporary file stays."""
    path = tmp_path / "deep" / "file.txt"
    disk.write_text(path, "old")

    with pytest.raises(RuntimeError), disk.replacing(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_a_clear_error(tmp_path):
    """A write that the disk refuses says so and leaves nothing."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from core import disk, settings;"
        f"settings.run(lambda: disk.write_text({str(tmp_path / 'a.txt')!r}, 'x' * 5000))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "error: cannot write" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("data", ["a b\nc\n".encode("utf-8-sig"), b"a b\r\nc\r\n", b"a b\rc\r"])
def test_text_of_any_editor(data, tmp_path):
    """A byte order mark and other line ends are taken off."""
    (tmp_path / "t.txt").write_bytes(data)
    assert disk.read_text(tmp_path / "t.txt") == "a b\nc\n"


def test_half_a_character_is_written_as_its_escape(tmp_path):
    path = tmp_path / "file"
    disk.write_json(path, name := "caf\udce9")
    assert disk.read_json(path) == name and path.read_bytes() == b'"caf\\udce9"\n'


def test_features_go_and_come(tmp_path):
    """Features are equal after writing and reading, and the same features give the same bytes."""
    features = {"a": np.arange(3, dtype="float32")[None], "b": np.ones((1, 3), "float32")}
    features_file.write(tmp_path / "features.pkl", features)
    read = features_file.read(tmp_path / "features.pkl")
    np.testing.assert_array_equal(read["a"], features["a"])
    features_file.write(tmp_path / "again.pkl", read)
    assert (tmp_path / "again.pkl").read_bytes() == (tmp_path / "features.pkl").read_bytes()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "found dict without names or entries"),
        ({"a": np.zeros((1, 3), "f4"), "b": np.zeros((1, 4), "f4")}, r"\(1, 3\) and \(1, 4\)"),
        ({"a": np.full((1, 3), np.nan, "f4")}, "not finite"),
        ({"a": "text"}, "found str"),
    ],
)
def test_unfit_features(features, message, tmp_path):
    """Features of other forms are refused with what was found."""
    features_file.write(tmp_path / "features.pkl", features)
    with pytest.raises(InputError, match=message):
        features_file.read(tmp_path / "features.pkl")


def test_origin_beside_the_features(tmp_path, capsys):
    """features.json is found beside features.pkl; without it there is a single line."""
    assert features_file.read_origin(tmp_path / "features.pkl") is None
    assert len(capsys.readouterr().out.splitlines()) == 1
    features_file.write_origin(tmp_path / "features.pkl", ORIGIN)
    assert features_file.read_origin(tmp_path / "features.pkl") == ORIGIN


def test_descriptions_lists_and_captions(tmp_path):
    """Descriptions, an image list and captions keep their order and lose nothing."""
    descriptions = {"b": ["two dogs", ""], "a": ["man"]}
    write_descriptions(tmp_path / "d.txt", descriptions)
    assert (tmp_path / "d.txt").read_text() == "b two dogs\nb \na man"
    assert read_descriptions(tmp_path / "d.txt") == descriptions
    disk.write_text(tmp_path / "l.txt", "b.jpg\na.jpg\nb.jpg\n\n")
    assert photographs.read_image_list(tmp_path / "l.txt") == ["b", "a"]
    write_results(tmp_path / "c.json", {"a": "a ‘man’"})
    assert json.loads((tmp_path / "c.json").read_text()) == [{"image_id": "a", "caption": "a ‘man’"}]
    assert read_results(tmp_path / "c.json") == {"a": "a ‘man’"}


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_descriptions, "", "found none"),
        (photographs.read_image_list, "\n", "found an empty file"),
        (disk.read_json, "{", "expected JSON"),
        (disk.read_json, "[" * 100000, "expected JSON"),
        (read_results, '{"a": 1}', "something else"),
        (disk.read_text, b"caf\xe9", "0xe9 at position 3"),
        (read_tokenizer, b"\x80\x04}.", "expected a tokenizer"),
        (keras_files.read, b"text", "zip archive"),
        (hdf5.read_keras, b"text", "something else"),
    ],
)
def test_wrong_files(read, content, message, tmp_path):
    """Each reader refuses another kind of file, and a missing one, naming the path."""
    path = tmp_path / "file"
    with pytest.raises(InputError, match=str(path)):
        read(path)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_tokenizer_goes_and_comes(tmp_path):
    """tokenizer.pkl is builtins only."""
    write_tokenizer(tmp_path / "tokenizer.pkl", TOKENIZER)
    assert read_tokenizer(tmp_path / "tokenizer.pkl") == TOKENIZER


def test_captioner_remembers(model, tmp_path):
    """A captioner comes back with its vocabulary, the origin of its features and equal weights; a folder gives the last of the lowest val_loss."""
    other = merge.build((6,), 4)
    captioner_file.write(tmp_path / "model-ep001-loss5.000-val_loss4.100.keras", other, TOKENIZER, None)
    captioner_file.write(tmp_path / "model-ep002-loss4.500-val_loss4.100.keras", model, TOKENIZER, ORIGIN)
    captioner_file.write(tmp_path / "model-ep003-loss4.000-val_loss10.200.keras", other, TOKENIZER, None)
    read = captioner_file.read(tmp_path)
    assert read.tokenizer == TOKENIZER and read.origin == ORIGIN
    for ours, theirs in zip(read.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found none"):
        captioner_file.read(tmp_path / "empty")


def test_encoder_is_checked(model, encoder, tmp_path):
    """An encoder is read; a captioner, an archive with a Lambda layer and one of absurd size are refused."""
    keras_files.write(tmp_path / "encoder.keras", encoder)
    read = encoder_file.read(tmp_path / "encoder.keras")
    assert keras_files.fingerprint(read) == keras_files.fingerprint(encoder_file.read(tmp_path / "encoder.keras"))
    keras_files.write(tmp_path / "captioner.keras", model)
    with pytest.raises(InputError, match="expected an encoder"):
        encoder_file.read(tmp_path / "captioner.keras")
    with pytest.raises(InputError, match="found a model with the layers"):
        captioner_file.read(tmp_path / "encoder.keras")
    runs = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Lambda(lambda x: x)])
    keras_files.write(tmp_path / "lambda.keras", runs)
    with pytest.raises(InputError, match="cannot load"):
        keras_files.read(tmp_path / "lambda.keras")
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b"0" * 50_000_000)
    with pytest.raises(InputError, match="unpack"):
        keras_files.read(tmp_path / "bomb.keras")


def write_old_captioner(path, model, suffix="_3", **change):
    """Write a model's weights as Keras 2.4 did, with layer names that end in numbers."""
    old = {
        "feature_dense": "dense" + suffix,
        "word_embedding": "embedding_1",
        "lstm": "lstm_7",
        "decoder_dense": "dense_4",
        "next_word": "dense_5",
    }
    inbound = {
        "input_4": [], "input_3": [], "embedding_1": ["input_4"], "dropout_2": ["input_3"], "dropout_3": ["embedding_1"],
        old["feature_dense"]: ["dropout_2"], "lstm_7": ["dropout_3"], "add_1": [old["feature_dense"], "lstm_7"], "dense_4": ["add_1"], "dense_5": ["dense_4"],
    }  # fmt: skip
    kinds = {
        "input": "InputLayer",
        "embedding": "Embedding",
        "dropout": "Dropout",
        "dense": "Dense",
        "lstm": "LSTM",
        "add": "Add",
    }
    layers = [
        {
            "name": name,
            "class_name": kinds[name.split("_")[0]],
            "inbound_nodes": [[[source, 0, 0, {}] for source in sources]] if sources else [],
        }
        for name, sources in inbound.items()
    ]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": {"layers": layers}})
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in inbound]
        for name in inbound:
            group.create_group(name).attrs["weight_names"] = []
        for ours, theirs in old.items():
            names = []
            for number, array in enumerate(model.get_layer(ours).get_weights()):
                names.append(f"{theirs}/weight_{number}:0".encode())
                group[theirs].create_dataset(names[-1].decode(), data=array)
            group[theirs].attrs["weight_names"] = names


def test_captioner_of_the_original(model, tmp_path):
    """The weights of a Keras 2.4 .h5 take their places by the graph, whatever numbers end the names."""
    for suffix in ("", "_3", "_11"):
        write_old_captioner(tmp_path / "old.h5", model, suffix)
        read = captioner_file.read(tmp_path / "old.h5")
        assert read.tokenizer is None and read.origin is None
        inputs = [np.random.rand(2, 6).astype("f"), np.array([[1, 3], [1, 0]])]
        np.testing.assert_array_equal(read.model(inputs), model(inputs))


def test_old_model_with_data_elsewhere(model, tmp_path):
    """External links, external storage and data that the file does not hold are refused."""
    write_old_captioner(tmp_path / "old.h5", model)
    changes = {
        "link": lambda group, name: group.__setitem__(name, h5py.ExternalLink("/etc/hostname", "/")),
        "storage": lambda group, name: group.create_dataset(
            name, (1 << 33,), "u1", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)]
        ),
        "absurd": lambda group, name: group.create_dataset(name, (1 << 40, 6), "f4", chunks=(1, 6)),
    }
    for change in changes.values():
        write_old_captioner(tmp_path / "old.h5", model)
        with h5py.File(tmp_path / "old.h5", "r+") as file:
            group, name = file["model_weights"]["dense_3"], "dense_3/weight_0:0"
            del group[name]
            change(group, name)
        with pytest.raises(InputError, match="refused"):
            captioner_file.read(tmp_path / "old.h5")


@pytest.mark.parametrize("bits, share", [(11, 0.6), (5, 0.35)])
def test_fewer_bits_of_the_weights_make_a_smaller_file(tmp_path, bits, share):
    random = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((300,)), keras.layers.Dense(200), keras.layers.BatchNormalization()])
    model.set_weights([random.normal(size=weight.shape) * 10.0 ** random.integers(-9, 9) for weight in model.weights])
    keras_files.write(tmp_path / "whole.keras", model)
    keras_files.write(tmp_path / "compact.keras", model, bits=bits)
    whole, compact = (keras_files.read(tmp_path / f"{name}.keras") for name in ("whole", "compact"))
    for weight, rounded in zip(whole.get_weights(), compact.get_weights(), strict=True):
        assert rounded.dtype == np.float32
        assert np.all(np.abs(rounded - weight) <= 2.0**-bits * np.abs(weight))
        assert not np.any(rounded.view(np.uint32) & (2 ** (24 - bits) - 1))
    sizes = [(tmp_path / f"{name}.keras").stat().st_size for name in ("whole", "compact")]
    assert sizes[1] < share * sizes[0]
    keras_files.write(tmp_path / "again.keras", compact, bits=bits)
    assert keras_files.fingerprint(keras_files.read(tmp_path / "again.keras")) == keras_files.fingerprint(compact)
