"""Pickles from strangers: data is read, everything else is refused before it runs."""

import collections
import os
import pickle
import sys
import types

import numpy as np
import pytest

from core import pickles


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_arrays_of_every_protocol(protocol, core):
    """Dictionaries of arrays pickled by numpy 1.x and 2.x are read."""
    features = {f"image{i}": np.random.rand(1, 7).astype("float32") for i in range(3)}
    data = pickle.dumps(features, protocol=protocol)
    if protocol < 4:  # names are stored as lines
        data = data.replace(b"numpy._core", core.encode())
    else:  # names are stored with their lengths
        for module in ("multiarray", "numeric"):
            old, new = f"numpy._core.{module}".encode(), f"{core}.{module}".encode()
            data = data.replace(bytes([0x8C, len(old)]) + old, bytes([0x8C, len(new)]) + new)
        data = data if core == "numpy._core" else _without_frames(data)
    read = pickles.load(data)
    assert list(read) == list(features)
    for key in features:
        np.testing.assert_array_equal(read[key], features[key])
        assert read[key].dtype == np.float32


def _without_frames(data):
    """Drop the frame's header, whose length no longer holds."""
    at = data.index(pickle.FRAME)
    return data[:at] + data[at + 9 :]


def test_what_we_write_is_read_by_plain_pickle():
    """Users open our features.pkl with `pickle.load`; it names nothing that numpy 1.x lacks."""
    features = {"a": np.arange(4, dtype="float32")[None]}
    data = pickles.dump(features)
    assert b"_core" not in data
    np.testing.assert_array_equal(pickle.loads(data)["a"], features["a"])
    np.testing.assert_array_equal(pickles.load(data)["a"], features["a"])


@pytest.mark.parametrize("module", pickles.KERAS_TOKENIZERS)
def test_old_tokenizer(module, monkeypatch):
    """The attributes of a pickled Keras `Tokenizer` come out as a dictionary, without Keras."""
    names = module.split(".")
    for depth in range(1, len(names) + 1):
        monkeypatch.setitem(sys.modules, ".".join(names[:depth]), types.ModuleType(".".join(names[:depth])))
    old = type("Tokenizer", (), {"__module__": module})
    sys.modules[module].Tokenizer = old
    tokenizer = old()
    tokenizer.word_counts = collections.OrderedDict([("startseq", 2), ("dog", 1)])
    tokenizer.word_docs = collections.defaultdict(int, {"dog": 1})
    tokenizer.word_index = {"startseq": 1, "dog": 2}
    for protocol in (2, 3, 4, 5):
        assert pickles.load(pickle.dumps(tokenizer, protocol=protocol))["word_index"] == {"startseq": 1, "dog": 2}


class Runs:
    """Would run a command when it is unpickled."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def _nested_key():
    """Return a pickle with a key of tuples nested a hundred deep, whose hash never ends."""
    nest = b"".join(pickle.MEMOIZE + pickle.BINGET + bytes([number]) + pickle.TUPLE2 for number in range(100))
    return b"\x80\x04" + pickle.EMPTY_DICT + pickle.EMPTY_TUPLE + nest + pickle.NONE + pickle.SETITEM + b"."


HOSTILE = {
    "os.system": pickle.dumps({"a": Runs(os.system, "touch pwned")}),
    "eval": pickle.dumps(Runs(eval, "open('pwned', 'w')")),
    "nested reduce": pickle.dumps([Runs(getattr, Runs(__import__, "os"), "system")]),
    "protocol 0": pickle.dumps(Runs(os.system, "touch pwned"), protocol=0),
    "bytearray of 64 GB": pickle.dumps(Runs(bytearray, 1 << 36)),
    "array of 64 GB": pickle.dumps({"a": Runs(np.ndarray, (1, 1 << 36), "<f4")}) ,
    "array larger than its bytes": pickle.dumps({"a": Runs(np.ndarray, (1, 1 << 36), "<f4", b"1234")}),
    "object array": pickle.dumps({"a": np.array([None])}),
    "endless hash": _nested_key(),
    "memo index of 2**31": b"\x80\x04N" + pickle.LONG_BINPUT + b"\xff\xff\xff\x7f" + b"0",
    "bytes of 2**62": b"\x80\x04" + pickle.BINBYTES8 + (1 << 62).to_bytes(8, "little") + b"x.",
    "persistent id": b"\x80\x04N" + pickle.BINPERSID + b".",
    "text": b"GIF89a, not a pickle",
    "nothing": b"",
    "cut short": pickle.dumps({"a": np.zeros((1, 9))})[:-20],
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(name, tmp_path, monkeypatch):
    """Each is refused with our error (an array without its bytes comes out as nothing), and none has run."""
    monkeypatch.chdir(tmp_path)
    try:
        assert pickles.load(HOSTILE[name]) == {"a": None}
    except pickle.UnpicklingError as error:
        assert str(error)
    assert not list(tmp_path.iterdir())


def test_the_refused_name_is_said():
    """The message names what the pickle asked for."""
    with pytest.raises(pickle.UnpicklingError, match=r"system.*nothing was run"):
        pickles.load(HOSTILE["os.system"])
