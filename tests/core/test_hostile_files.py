"""Files from strangers that mean harm: each is refused before anything in it runs, in a second and a gigabyte beyond the imports."""

import gzip
import io
import json
import os
import pickle
import resource
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from onnx import helper
from PIL import Image

import jigsaw.encoder
import pretext.export
from captioning import captioner_file
from captioning.captions import read_captions
from captioning.models import merge
from captioning.tokenizer import Tokenizer, read_tokenizer
from core import keras_files, training
from core.errors import InputError
from encoders import convert, features_file, onnx_file, photographs
from encoders.decoded import load
from encoders.photographs import Unreadable
from encoders.tensors import checkpoint, tensor
from tests.core.test_disk import write_old_captioner
from tests.core.test_pickles import Runs
from tests.encoders import exported

GIGABYTE, SECOND = 1 << 30, 1.0
MARK = "was_run"  # the file that a hostile one would make in the working folder


@contextmanager
def bounded():
    """Allow a gigabyte more than the process has, and a second of all its threads."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + GIGABYTE, limits[1]))
    start = time.process_time()
    try:
        yield
        assert time.process_time() - start < SECOND
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.fixture
def refused(tmp_path, monkeypatch) -> Callable:
    """Check that a reader refuses a file by an error that names it, without the limit's help and without running anything."""
    monkeypatch.chdir(tmp_path)

    def check(read: Callable, path: Path, message: str) -> None:
        with bounded(), pytest.raises(InputError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value) and not isinstance(caught.value.__cause__, MemoryError)
        assert not list(tmp_path.rglob(MARK))

    return check


# Pickles -------------------------------------------------------------------------------------------------------------


def laughs() -> bytes:
    """Return a pickle of lists of ten lists each, eleven deep: 100 billion when written out."""
    value = ["ha"]
    for _ in range(11):
        value = [value] * 10
    return pickle.dumps({"word_index": {"dog": value}, "maximum_length": 5})


def encoded() -> bytes:
    """Return a pickle that asks ten thousand times for one text of a megabyte in bytes."""
    text = pickle.BINUNICODE + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + pickle.BINPUT + b"\0"
    encode = pickle.GLOBAL + b"_codecs\nencode\n" + pickle.BINPUT + b"\1"
    latin = pickle.SHORT_BINUNICODE + b"\6latin1" + pickle.BINPUT + b"\2"
    once = b"".join(pickle.BINGET + bytes([number]) for number in (1, 0, 2)) + pickle.TUPLE2 + pickle.REDUCE
    return b"\x80\4" + text + encode + latin + pickle.EMPTY_LIST + (once + pickle.APPEND) * 10_000 + pickle.STOP


def widened() -> bytes:
    """Return a pickle of ten thousand features that are one and the same array of half a megabyte, two bytes a number."""
    return pickle.dumps(dict.fromkeys(map(str, range(10_000)), np.zeros((1, 1 << 18), "f2")))


def colliding() -> bytes:
    """Return a pickle of integers of one and the same hash as keys, each of which is compared with all before it."""
    numbers = ((number * ((1 << 61) - 1)).to_bytes(12, "little") for number in range(1, 30_000))
    keys = b"".join(pickle.LONG1 + b"\x0c" + number + pickle.NONE for number in numbers)
    return b"\x80\4" + pickle.EMPTY_DICT + pickle.MARK + keys + pickle.SETITEMS + pickle.STOP


def endless_shape() -> bytes:
    """Return a pickle of an array whose shape has sixty thousand times one integer of 2000 bits."""
    size = pickle.LONG1 + bytes([251]) + (1 << 2000).to_bytes(251, "little") + pickle.BINPUT + b"\0"
    shape = pickle.MARK + size + (pickle.BINGET + b"\0") * 60_000 + pickle.TUPLE
    array = shape + pickle.SHORT_BINUNICODE + b"\3<f4" + pickle.SHORT_BINBYTES + b"\4abcd"
    array = pickle.GLOBAL + b"numpy\nndarray\n" + pickle.MARK + array + pickle.TUPLE + pickle.REDUCE
    return b"\x80\4" + pickle.EMPTY_DICT + pickle.NONE + array + pickle.SETITEM + pickle.STOP


def shaped_tokenizer() -> bytes:
    """Return a pickle of a feature that is a tokenizer, whose shape is 100 billion words when written out."""
    tokenizer = pickle.GLOBAL + b"keras.preprocessing.text\nTokenizer\n" + pickle.EMPTY_TUPLE + pickle.NEWOBJ
    state = laughs()[2:-1].replace(b"word_index", b"shape_shap").replace(b"\x8c\x0ashape_shap", b"\x8c\x05shape")
    return b"\x80\4" + pickle.EMPTY_DICT + pickle.NONE + tokenizer + state + pickle.BUILD + pickle.SETITEM + pickle.STOP


PICKLES = {
    "a shape without end": (endless_shape(), "a shape is none of"),
    "a tokenizer of a shape": (shaped_tokenizer(), "expected"),
    "os.system": (pickle.dumps({"a": Runs(os.system, f"touch {MARK}")}), "names posix.system"),
    "eval": (pickle.dumps(Runs(eval, f"open('{MARK}', 'w')")), "names builtins.eval"),
    "nested reduces": (pickle.dumps(Runs(getattr, Runs(__import__, "os"), "system")), "names builtins.getattr"),
    "huge array": (pickle.dumps({"a": Runs(np.ndarray, (1, 1 << 36), "<f4", b"1234")}), "has 4 bytes"),
    "huge bytearray": (b"\x80\x05" + pickle.BYTEARRAY8 + struct.pack("<Q", 1 << 36) + b"x.", "damaged pickle"),
    "billion laughs": (laughs(), "expected"),
    "one text, encoded ten thousand times": (encoded(), "expected"),
    "one array, widened ten thousand times": (widened(), "would unpack to|expected a tokenizer"),
    "integers that collide": (colliding(), "neither text nor a usual number"),
    "deep": (b"\x80\4" + pickle.EMPTY_LIST + pickle.TUPLE1 * 50_000 + pickle.STOP, "expected"),
}


@pytest.mark.parametrize("read", [features_file.read, read_tokenizer])
@pytest.mark.parametrize("name", PICKLES)
def test_pickles(name, read, refused, tmp_path):
    data, message = PICKLES[name]
    (tmp_path / "file.pkl").write_bytes(data)
    refused(read, tmp_path / "file.pkl", message)


def test_a_text_that_parquet_repeats(refused, tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 100_000, "int32"), ["a " * 50_000])
    names = [f"{number}.jpg" for number in range(100_000)]
    parquet.write_table(pyarrow.table({"image": names, "caption": texts}), tmp_path / "a.parquet")
    refused(read_captions, tmp_path / "a.parquet", "would unpack to")


VOCABULARIES = {
    "deep JSON": "[" * 100_000,
    "deep JSON in a text": json.dumps({"config": {"word_index": "[" * 100_000}}),
    "a text in a text": json.dumps(json.dumps(json.dumps({"startseq": 1, "endseq": 2}))),
    "numbers without end": json.dumps({"1" * 5000: "startseq", "2" * 5000: "endseq"}),
    "words that are none": json.dumps({"word_index": {"startseq": [1], "endseq": {}}}),
}


@pytest.mark.parametrize("name", VOCABULARIES)
def test_vocabularies(name, refused, tmp_path):
    (tmp_path / "tokenizer.json").write_text(VOCABULARIES[name])
    refused(read_tokenizer, tmp_path / "tokenizer.json", "expected|refused")


# Features ------------------------------------------------------------------------------------------------------------


def numpy_file(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + data


def archive(member: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.npy", member)
    return file.getvalue()


def lists() -> bytes:
    """Return a pickle of lists of ten lists each as a feature: 100 million numbers when written out."""
    value = [1.5]
    for _ in range(8):
        value = [value] * 10
    return pickle.dumps({str(number): value for number in range(1000)})


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1099511627776)}"
FEATURES = {
    "a bomb in gzip": (gzip.compress(bytes(1 << 28)), "would unpack to"),
    "a bomb in an archive": (archive(bytes(1 << 27)), "would unpack to"),
    "an array larger than its file": (numpy_file(HUGE, b"1234"), "damaged file"),
    "an array larger than its member": (archive(numpy_file(HUGE, b"1234")), "damaged file"),
    "a deep header": (numpy_file("(" * 9000), "damaged file"),
    "code in a header": (numpy_file(f"open('{MARK}', 'w')"), "damaged file"),
    "code in objects": (numpy_file("{'descr': '|O', 'fortran_order': False, 'shape': ()}", pickle.dumps(Runs(os.system, f"touch {MARK}"))), "names posix"),
    "lists of lists": (lists(), "found list"),
    "one list, a thousand times": (pickle.dumps(dict.fromkeys(map(str, range(1000)), [1.5] * 100_000)), "found list"),
}  # fmt: skip


@pytest.mark.parametrize("name", FEATURES)
def test_features(name, refused, tmp_path):
    data, message = FEATURES[name]
    (tmp_path / "features.pkl").write_bytes(data)
    refused(features_file.read, tmp_path / "features.pkl", message)


# Captions ------------------------------------------------------------------------------------------------------------


TEXTS = {
    "a quotation mark without end": 'image,caption\nx,"' + "y\n" * 30_000,
    "quotation marks by turns": "image,caption\n" + 'x,"y\n' * 30_000,
    "doubled quotation marks": 'image,caption\n"' + '""' * 500_000,
    "delimiters without end": "image,caption\n" + "," * 1_000_000,
    "spaces without end": "image,caption\n" + " " * 1_000_000 + "x",
    "a cell of marks": 'image;caption\n[' + "'a' " * 200_000,
    "deep": "[" * 30_000,
    "deep objects": '{"images":' + '{"a":' * 30_000,
    "a deep line": '{"file_name": "a.jpg", "text": "b"}\n{"a":' + "[" * 30_000,
    "a number without end": '[{"image": ' + "1" * 1_000_000 + ', "caption": "b"}]',
    "one image of many": '{"images": [], "annotations": [' + '{"image_id": 1, "caption": "b"},' * 50_000 + '{"image_id": 1, "caption": "b"}]}',
    "a folder in a folder": '[{"image": "' + "a/" * 500_000 + '", "caption": 3}]',
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_captions(name, refused, tmp_path):
    (tmp_path / "captions.txt").write_text(TEXTS[name])
    refused(read_captions, tmp_path / "captions.txt", "expected")


# Archives ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def members(tmp_path_factory) -> dict[str, bytes]:
    """The members of a captioner's archive."""
    path = tmp_path_factory.mktemp("whole") / "model.keras"
    tokenizer = Tokenizer({"startseq": 1, "endseq": 2, "dog": 3}, 5)
    captioner_file.write(path, merge.build((6,), 4), tokenizer, {"encoder": "abc"})
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def model_config(layer: dict) -> bytes:
    """Return the configuration of a model of 30,000 numbers and one more layer."""
    model = keras.Sequential([keras.Input((30_000,)), keras.layers.Activation("linear", name="victim")])
    config = json.loads(model.to_json())
    config["config"]["layers"][1] = {**config["config"]["layers"][1], "build_config": None, **layer}
    return json.dumps(config).encode()


def layer(name: str, module: str = "keras.layers", **config: object) -> dict:
    return {"class_name": name, "module": module, "registered_name": None, "config": {"name": "victim", **config}}


def weights(change: Callable[[h5py.File], object]) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        change(opened)
    return file.getvalue()


CODE = keras.layers.Lambda(lambda x: os.system(f"touch {MARK}")).get_config()["function"]
ARCHIVES = {
    "Lambda": ({"config.json": model_config(layer("Lambda", function=CODE))}, "cannot load"),
    "a module": ({"config.json": model_config(layer("system", "os"))}, "cannot load"),
    "a class of a module": ({"config.json": model_config(layer("Popen", "subprocess", args=["touch", MARK]))}, "cannot load"),
    "a function of Keras": ({"config.json": model_config(layer("get_file", "keras.utils", origin="file:///etc/hostname"))}, "cannot load"),
    "a SavedModel": ({"config.json": model_config(layer("TFSMLayer", filepath="/tmp"))}, "cannot load"),
    "a torch module": ({"config.json": model_config(layer("TorchModuleWrapper", module="x"))}, "cannot load"),
    "a vocabulary elsewhere": ({"config.json": model_config(layer("StringLookup", vocabulary="/etc/hostname"))}, "cannot load"),
    "more weights than numbers": ({"config.json": model_config(layer("Dense", units=40_000))}, "more weights than"),
    "many layers": ({"config.json": model_config(layer("Sequential", layers=[layer("Activation")] * 5000))}, "layers are more than"),
    "a deep configuration": ({"config.json": b"[" * 100_000}, "cannot load"),
    "a path upwards": ({"../" + MARK: b"x"}, "is none that a model needs"),
    "an absolute path": ({"/tmp/" + MARK: b"x"}, "is none that a model needs"),
    "a bomb": ({"metadata.json": b"0" * (1 << 26)}, "would unpack to"),
    "a large configuration": ({"config.json": os.urandom(5 << 20)}, "configuration has more than"),
    "external link": ({keras_files.WEIGHTS: weights(lambda file: file.__setitem__("a", h5py.ExternalLink("/etc/hostname", "/")))}, "is a link to"),
    "soft link": ({keras_files.WEIGHTS: weights(lambda file: file.__setitem__("a", h5py.SoftLink("/b")))}, "is a link to"),
    "external storage": (
        {keras_files.WEIGHTS: weights(lambda file: file.create_dataset("a", (9,), "u1", external=[("/etc/hostname", 0, 9)]))},
        "are in another file",
    ),
    "absurd shape": ({keras_files.WEIGHTS: weights(lambda file: file.create_dataset("a", (1 << 40, 1 << 30), "f4", chunks=(1, 6)))}, "would unpack to"),
    "no weights": ({keras_files.WEIGHTS: b""}, "found something else"),
    "memory of another form": ({keras_files.MEMORY: b"[]"}, "expected a tokenizer and an origin"),
    "origin of another form": ({keras_files.MEMORY: b'{"origin": {"encoder": 3}}'}, "expected the origin"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(name, members, refused, tmp_path):
    changed, message = ARCHIVES[name]
    read = captioner_file.read if keras_files.MEMORY in changed else keras_files.read
    with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in (members | changed).items():
            archive.writestr(member, data)
    refused(read, tmp_path / "model.keras", message)
    refused(captioner_file.read, tmp_path / "model.keras", str(tmp_path))


# HDF5 ----------------------------------------------------------------------------------------------------------------


def test_one_dataset_under_a_thousand_names(refused, tmp_path):
    write_old_captioner(tmp_path / "old.h5", merge.build((6,), 4))
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        group = file["model_weights/dense_3"]
        group["large"] = np.zeros((1 << 20,), "f4")
        group.attrs["weight_names"] = ["large"] * 1000
    refused(captioner_file.read, tmp_path / "old.h5", "would unpack to")


def test_a_layer_of_no_width(refused, tmp_path):
    write_old_captioner(tmp_path / "old.h5", merge.build((6,), 4))
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        group, name = file["model_weights/dense_3"], "dense_3/weight_0:0"
        del group[name]
        group[name] = np.zeros((1 << 40, 0), "f4")
    refused(captioner_file.read, tmp_path / "old.h5", "dense_3 has weights of")


GRAPHS = {
    "a circle of dropouts": (
        "input_3",
        {"class_name": "Dropout", "inbound_nodes": [[["dropout_2", 0, 0, {}]]]},
        "recursion",
    ),
    "a node without end": ("dropout_2", {"inbound_nodes": [[[]] * 1000]}, "one layer fits where"),
    "a long caption": ("input_4", {"config": {"batch_input_shape": [None, 1 << 40]}}, "asks for 1099511627776 words"),
    "a function": ("dense_4", {"config": {"activation": "os.system"}}, "dense_4 has activation=os.system"),
    "a class": ("dense_4", {"class_name": "Lambda"}, "dense_4 is Lambda, where Dense fits"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_of_old_captioners(name, refused, tmp_path):
    changed, change, message = GRAPHS[name]
    write_old_captioner(tmp_path / "old.h5", merge.build((6,), 4))
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        stored = json.loads(file.attrs["model_config"])
        next(layer for layer in stored["config"]["layers"] if layer["name"] == changed).update(change)
        file.attrs["model_config"] = json.dumps(stored)
    refused(captioner_file.read, tmp_path / "old.h5", message)


ELSEWHERE = {
    "links": lambda file, name: file.__setitem__(name, h5py.ExternalLink("/etc/hostname", "/")),
    "storage": lambda file, name: file.create_dataset(name, (1, 8, 8, 3), "u1", external=[("/etc/hostname", 0, 192)]),
    "chunks": lambda file, name: file.create_dataset(
        name, (1, 8, 8, 3), "u1", chunks=(1 << 20, 8, 8, 3), maxshape=(None, 8, 8, 3)
    ),
    "shapes": lambda file, name: file.create_dataset(name, (1 << 30, 99, 99, 3), "u1", chunks=(1, 9, 9, 3)),
    "lengths that vary": lambda file, name: file.__setitem__(name, "damaged, such text is read without end"),
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_photographs_checkpoints_and_grids_in_hdf5(kind, refused, tmp_path):
    for name, read in (
        ("train_img", lambda path: load([path], (8, 8), tmp_path)),
        ("variables/00000", training.read_checkpoint),
        ("grid", features_file.read_grid),
        ("conv2d/kernel", checkpoint.read),
        ("photo", features_file.read),
    ):
        with h5py.File(tmp_path / "file.h5", "w") as file:
            ELSEWHERE[kind](file, name)
        refused(read, tmp_path / "file.h5", "refused")


GRIDS = {
    "places without end": {"origin": np.bytes_(json.dumps({"encoder": "a", "rows": "a" * 999, "columns": 1 << 60}))},
    "a deep origin": {"origin": np.frombuffer(b"[" * 100_000, "S100000")[0]},
    "ids longer than the file": {"ids": np.zeros(0, f"S{1 << 30}")},
    "more rows than the file has": {"grid": h5py.Empty("f2")},
}


@pytest.mark.parametrize("name", GRIDS)
def test_grids(name, refused, tmp_path):
    features_file.create_grid(tmp_path / "grid.h5", ["a", "b"], (1, 2, 3), {"encoder": "a"})
    with h5py.File(tmp_path / "grid.h5", "r+") as file:
        for key, value in GRIDS[name].items():
            del file[key]
            file[key] = value
    refused(features_file.read_grid, tmp_path / "grid.h5", "expected photographs' grids|would unpack to")


# Photographs and checkpoints of other frameworks ---------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def before_another(jpeg: bytes) -> bytes:
    """Say in a JPEG that another photograph comes after it, as phones do."""
    file, picture = io.BytesIO(), Image.new("RGB", (8, 8))
    picture.save(file, "MPO", save_all=True, append_images=[picture])
    data = file.getvalue()
    start = data.index(b"MPF\0") - 4
    return jpeg[:2] + data[start : start + 2 + int.from_bytes(data[start + 2 : start + 4])] + jpeg[2:]


def webp(width: int, height: int) -> bytes:
    """Return the beginning of a WebP of that size, as far as its header."""
    header = b"\x2f" + struct.pack("<I", width - 1 | height - 1 << 14) + bytes(8)
    return b"RIFF" + struct.pack("<I", len(header) + 13) + b"WEBPVP8L" + struct.pack("<I", len(header)) + header + b"\0"


PICTURES = {
    "a scan repeated": scans(400),
    "a scan repeated before another photograph": before_another(scans(400)),
    "a large WebP": webp(9459, 9459),
    "a bomb": png(40_000, 40_000, chunk(b"IDAT", zlib.compress(bytes(1 << 20)))),
    "a larger bomb": png(1 << 30, 1 << 30, chunk(b"IDAT", zlib.compress(bytes(1 << 20)))),
    "a text that is a bomb": png(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 28)))),
    "a profile that is a bomb": png(8, 8, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 28)))),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(was_run) (w) file\n",
    "a vector": b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>',
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picture.png").write_bytes(PICTURES[name])
    with (
        bounded(),
        pytest.raises(Unreadable, match="scans" if "scan" in name else "pixels" if "WebP" in name else None),
    ):
        photographs.read(tmp_path / "picture.png", 8, 8)
    assert not (tmp_path / MARK).exists()


def text(value: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(value)) + value.encode()


def torch_tensor(count: int = 1) -> bytes:
    """Return the pickle of a row of numbers as torch writes it, its storage's memo under 5 and its own under 6."""
    name, number = b"ctorch._utils\n_rebuild_tensor_v2\n(", pickle.BININT + struct.pack("<i", count)
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number + b"tQq\x05"
    return name + storage + b"K\0" + number + b"\x85K\1\x85\x89}tRq\x06"


def longest_names() -> bytes:
    """Return a torch pickle of 300 tensors, whose names repeat a key of a megabyte twenty times."""
    deep = b"\x80\2}" + text("k" * (1 << 20)) + b"q\0" + b"}h\0" * 19 + b"}("
    return (
        deep
        + text("a")
        + torch_tensor()
        + b"".join(text(str(number)) + b"h\6" for number in range(300))
        + b"u"
        + b"s" * 20
        + b"."
    )


def endless_key() -> bytes:
    """Return tuples nested a hundred deep, whose hash never ends."""
    return b")" + b"".join(pickle.MEMOIZE + pickle.BINGET + bytes([number]) + pickle.TUPLE2 for number in range(100))


LONG_LIST = b"](" + b"N" * 50_000 + b"e" + pickle.MEMOIZE  # memo 0, as the first of a pickle
LONG_TUPLE = b"(" + b"N" * 100_000 + b"t" + pickle.MEMOIZE
PAIR = text("a") + b"N\x86" + pickle.MEMOIZE
OBJECT = b"c__main__\nObject\n" + pickle.MEMOIZE  # memo 1


def shared_attributes() -> bytes:
    """Return 5,000 objects of the same 5,000 attributes, each a tensor."""
    attributes = torch_tensor() + b"0}(" + b"".join(text(str(number)) + b"h\6" for number in range(5_000)) + b"uq\7"
    objects = b"".join(b"c__main__\nObject\n)\x81h\7b" for _ in range(5_000))
    return b"\x80\2" + attributes + b"0](" + objects + b"e."


CHECKPOINTS = {
    "an endless key": b"\x80\4" + endless_key() + b"\x940}h\x64Ns.",
    "a set of endless members": b"\x80\4" + endless_key() + b"\x940\x8f(h\x64\x90.",
    "a frozen set of endless members": b"\x80\4" + endless_key() + b"\x940(h\x64\x91.",
    "an endless storage": b"\x80\4"
    + endless_key()
    + b"\x940("
    + text("storage")
    + b"ctorch\nFloatStorage\nh\x64"
    + text("cpu")
    + b"K\1tQ.",
    "arguments without end": b"\x80\4" + LONG_TUPLE + b"0" + OBJECT + b"0(" + b"h\1h\0R0" * 100_000 + b"t.",
    "a list for many dictionaries": b"\x80\4"
    + PAIR
    + b"0]("
    + b"h\0" * 50_000
    + b"e"
    + pickle.MEMOIZE
    + b"0]("
    + b"ccollections\nOrderedDict\nh\1\x85R" * 10_000
    + b"e.",
    "a list for many sets": b"\x80\4" + LONG_LIST + b"0](" + b"cbuiltins\nset\nh\0\x85R" * 20_000 + b"e.",
    "attributes shared by many objects": shared_attributes(),
    "a storage that shrinks afterwards": b"\x80\2}"
    + text("w")
    + torch_tensor(1 << 20)
    + b"sh\5}"
    + text("count")
    + b"K\1sb0.",
    "a tensor that grows afterwards": b"\x80\2}" + text("w") + torch_tensor() + b"}" + text("shape") + b"K\2\x85sbs.",
    "names without end": longest_names(),
    "huge bytearray": b"\x80\x05" + pickle.BYTEARRAY8 + struct.pack("<Q", 1 << 36) + b"x.",
    "deep": b"\x80\x04" + b"".join(b"}\x8c\x01a" for _ in range(50_000)) + b"N" + b"s" * 50_000 + b".",
    "code": pickle.dumps({"state_dict": Runs(os.system, f"touch {MARK}")}, 2),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(tmp_path / "model.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", CHECKPOINTS[name])
        archive.writestr("archive/data/0", bytes(4))
    with (
        bounded(),
        pytest.raises(InputError, match="sets attributes" if "afterwards" in name else "damaged|no network that fits"),
    ):
        convert.choose(checkpoint.read(tmp_path / "model.ckpt"))
    assert not (tmp_path / MARK).exists()


def test_a_record_that_claims_more_than_its_file(refused, tmp_path):
    pickled = b"\x80\2}" + text("w") + torch_tensor(1 << 30) + b"s."
    with zipfile.ZipFile(tmp_path / "model.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", bytes(4))
        record = archive.getinfo("archive/data/0")
        record.file_size = record.compress_size = 1 << 32
    refused(checkpoint.read, tmp_path / "model.ckpt", "data/0 has .* bytes where its tensors need 4294967296")


def test_a_packed_file_that_is_a_bomb(refused, tmp_path):
    with zipfile.ZipFile(tmp_path / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.pt", bytes(1 << 26))
    refused(checkpoint.read, tmp_path / "model.zip", "would unpack to")


def test_safetensors_that_claim_more_than_they_hold(refused, tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    refused(checkpoint.read, tmp_path / "model.safetensors", "not fully covered")
    header = header.replace(str(1 << 40).encode(), b",".join([b"9" * 4200] * 2000))
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    refused(checkpoint.read, tmp_path / "model.safetensors", "number out of range")
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    refused(checkpoint.read, tmp_path / "model.safetensors", "header")


# ONNX files ------------------------------------------------------------------------------------------------------------


def outwards(location: str, **more: str) -> Callable[[Any], None]:
    """Say that the weights of a network, a few numbers, are in another file."""

    def change(model: Any) -> None:
        for weights in model.graph.initializer:
            weights.ClearField("raw_data")
            weights.data_location = 1
            for key, value in {"location": location, **more}.items():
                weights.external_data.add(key=key, value=value)

    return change


def node(kind: str, *, where: str = "", output: str = "classes", **options: Any) -> Callable[[Any], None]:
    """Make a network's output by another node."""

    def change(model: Any) -> None:
        model.graph.node[-1].CopyFrom(
            helper.make_node(kind, [model.graph.node[-1].input[0]], [output], domain=where, **options)
        )

    return change


def endless(model: Any) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["more"], body=body))


def functions(model: Any) -> None:
    """Add functions of which each calls the one before ten times."""
    for number in range(1, 30):
        calls = [helper.make_node(f"f{number - 1}", ["a"], [f"b{call}"], domain="own") for call in range(10)]
        opsets = [helper.make_opsetid("own", 1)]
        model.functions.append(helper.make_function("own", f"f{number}", ["a"], ["b0"], calls, opsets))


def crowd(model: Any) -> None:
    for _ in range(60_000):
        model.graph.node.add()


def large(name: str, *dims: int) -> Callable[[Any], None]:
    """Let a tensor claim other dimensions than its few numbers have."""
    return lambda model: next(one for one in model.graph.initializer if one.name == name).dims.__setitem__(
        slice(None), dims
    )


def filled(model: Any) -> None:
    """Add a constant of four terabytes to what the output is."""
    model.graph.initializer.append(helper.make_tensor("many", 7, [1], [1 << 40]))
    model.graph.node[-1].output[0] = "before classes"
    more = [
        ("ConstantOfShape", ["many"], "filled"),
        ("ReduceMax", ["filled"], "most"),
        ("Add", ["before classes", "most"], "classes"),
    ]
    model.graph.node.extend(helper.make_node(kind, takes, [gives]) for kind, takes, gives in more)


NETWORKS = {
    "weights above": (outwards("../secret.bin"), "refused .*its own folder|in another file"),
    "weights at the root": (outwards("/etc/hostname"), "refused .*its own folder|in another file"),
    "weights behind a link": (outwards("link.bin"), "refused .*its own folder|in another file"),
    "weights in memory": (outwards("*/_ORT_MEM_ADDR_/*", offset="4096", length="60"), "refused .*its own folder|in another file"),
    "one file for all weights, again and again": (outwards("large.bin"), "would unpack to|in another file"),
    "one file, read to its end again and again": (outwards("large.bin", length="-1"), "cannot be read|in another file"),
    "weights after the end": (outwards("small.bin", offset="1" + "0" * 30), "cannot be read|in another file"),
    "an operation of a library": (node("Run", where="library"), "cannot load"),
    "a loop": (endless, "it has loops"),
    "functions of functions": (functions, "loops, branches or functions"),
    "many nodes": (crowd, "60,007 nodes are more than"),
    "a kernel larger than the file": (large("kernel", 1 << 40, 3, 2, 2), "cannot load"),
    "a kernel of no size": (large("kernel", -1, 3, 2, 2), "cannot load"),
    "a constant larger than memory": (filled, "cannot run"),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("pair", [False, True])
def test_onnx_files(name, pair, refused, tmp_path):
    change, message = NETWORKS[name]
    (folder := tmp_path / "folder").mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(900))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "small.bin").write_bytes(bytes(900))
    with (folder / "large.bin").open("wb") as file:
        file.truncate(1 << 24)  # of zeros, without room on the disk
    onnx_file.convert(exported.write(tmp_path / "sound.onnx", kind=exported.BYTES), tmp_path / "warm" / "up.onnx")
    model = exported.network(kind=exported.BYTES)
    if "again and again" in name:
        model.graph.initializer.extend([model.graph.initializer[0]] * 20)
    change(model)
    (folder / "network.onnx").write_bytes(model.SerializeToString())
    shutil.copy(tmp_path / "warm" / "up.json", folder / "network.json")
    read = onnx_file.read if pair else lambda path: onnx_file.convert(path, tmp_path / "out.onnx")
    refused(read, folder / "network.onnx", message)


@pytest.mark.parametrize(
    "changed",
    [{"size": [1 << 20, 1 << 20]}, {"size": [8, -8]}, {"size": 8}, {"mean": [10**400] * 3, "deviation": [1, 1, 1]}, {"layout": ["NCHW"]}, {"output": None}],
)  # fmt: skip
def test_what_an_onnx_file_is_said_to_take(changed, refused, tmp_path):
    out = tmp_path / "network.onnx"
    onnx_file.convert(exported.write(tmp_path / "sound.onnx", kind=exported.BYTES), out)
    out.with_suffix(".json").write_text(json.dumps(json.loads(out.with_suffix(".json").read_text()) | changed))
    refused(
        lambda card: onnx_file.read(card.with_suffix(".onnx")),
        out.with_suffix(".json"),
        "expected how network.onnx is fed",
    )


# Networks, listings ----------------------------------------------------------------------------------------------------


WIDE = {
    "simclr": (pretext.export.read_network, training.CHECKPOINT, {"depth": 18, "stem": "small", "width": 5000}),
    "jigsaw": (jigsaw.encoder.read_run, jigsaw.encoder.BEST,
               {"network": "resnet18", "stem": "small", "width": 5000, "size": 64, "permutations": 5}),
    "jigsaw's head": (jigsaw.encoder.read_run, jigsaw.encoder.BEST,
                      {"network": "resnet18", "stem": "small", "width": 4, "size": 64, "permutations": 1 << 30}),
}  # fmt: skip


@pytest.mark.parametrize("task", WIDE)
def test_networks_wider_than_their_files(task, refused, tmp_path):
    read, name, identity = WIDE[task]
    state = {"identity": identity, "history": {"loss": []}}
    training.write_checkpoint(tmp_path / name, state, [keras.Variable(np.zeros(1 << 20, "f4"))])
    refused(lambda path: read(path.parent), tmp_path / name, "more weights than the 1,048,576 numbers")


def test_a_converted_network_wider_than_its_file():
    one = tensor.Tensor((1, 1, 1, 1), lambda: np.zeros((1, 1, 1, 1)))
    blocks = [f"layer{stage}.{block}.conv1.weight" for stage in range(1, 5) for block in range(2)]
    wide = dict.fromkeys(blocks, one) | {"conv1.weight": tensor.Tensor((256, 3, 7, 7), one.load)}
    with bounded(), pytest.raises(InputError, match="does not fit"):
        family, found = convert.choose(checkpoint.Checkpoint(wide, "a torch archive", "wide.pth", {}))
        family.build(found, found.preprocessing[0])


def test_a_name_of_folders(tmp_path):
    name = "a" + "/" * 1_000_000 + "b"
    (tmp_path / "list.txt").write_text(f"{name}.jpg\nb.jpg\n")
    with bounded():
        assert photographs.read_image_list(tmp_path / "list.txt", [name, "one/c", "two/c"]) == [name]


@pytest.mark.parametrize(
    "line", [" " * 100_000 + "x", "\n" * 100_000 + "x", '"' * 100_001, "a.jpg#" * 20_000, ".jpg " * 20_000]
)
@pytest.mark.parametrize("header", ["image,caption\n", ""])
def test_lines_that_fit_again_and_again(header, line, tmp_path):
    (tmp_path / "captions.txt").write_text(f"{header}{line}\n")
    with bounded(), pytest.raises(InputError):
        read_captions(tmp_path / "captions.txt")


def test_a_header_of_commas(refused, tmp_path):
    (tmp_path / "captions.txt").write_text("image" + "," * 40_000)
    refused(read_captions, tmp_path / "captions.txt", "expected captions")
