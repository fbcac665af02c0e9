"""Published checkpoints: the features equal those of the framework that wrote the file, and no file is trusted.

The fixtures come from the real PyTorch and the real TensorFlow: tests/fixtures/make.
"""

import contextlib
import dataclasses
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from core.errors import InputError
from encoders import convert, encoder_file, evidence
from encoders.evidence import Told
from encoders.normalisations import IMAGENET
from encoders.tensors import checkpoint, torch_archive, torch_pickle

FIXTURES = Path(__file__).parents[1] / "fixtures" / "checkpoints"
EXPECTED = dict(np.load(FIXTURES / "features.npz"))
PHOTOGRAPHS = EXPECTED["photographs"]


def test_a_checkpoint_becomes_an_encoder_file_and_each_part_is_explained(seen, tmp_path, capsys):
    out = tmp_path / "simclr_encoder.keras"
    source = str(FIXTURES / "lightning.ckpt")
    convert.main(["--checkpoint", source, "--out", str(out), "--size", "64", "--photographs", str(seen)])
    printed = capsys.readouterr().out
    for line in (
        f"checkpoint: {source}, a torch archive",
        "network: ResNet-50 of width 2 under 'state_dict.encoder.', of Lightning-Bolts",
        "stem: imagenet, by the batch normalisations of the first block (distances imagenet 0.",
        "size: 64 x 64",
        "normalisation: mean 0.485 0.456 0.406, standard deviation 0.229 0.224 0.225: ImageNet's, as Lightning-Bolts feeds",
        "output: 64 numbers of resnet50, the mean over space of its last map",
        "left aside: state_dict.encoder.fc, state_dict.projection.model.0",
        "batch normalisations: median distance 0.",
        f"wrote {out}: lightning.ckpt, 64 x 64 x 3 -> 64",
    ):
        assert line in printed
    assert _error(encoder_file.read(out)(PHOTOGRAPHS), "lightning") < 1e-4


@pytest.mark.parametrize(
    "file, expected, told",
    [
        ("lightning.ckpt", "lightning", {}),
        (
            "moco.pth.tar",
            "moco",
            {},
        ),  # the older form; a tensor with strides of its own; its authors evaluate the query network
        ("moco.pth.tar", "moco_key", {"prefix": "state_dict.module.encoder_k."}),
        ("numbered.safetensors", "numbered", {}),  # bfloat16, a numbered Sequential, 3x3 stem
        ("half.pt", "half", {}),  # float16, no prefix
        ("timm_d.safetensors", "timm_d", {}),
        ("hugging_face", "hugging_face", {}),
        ("classy.safetensors", "classy", {}),
        ("scan.safetensors", "scan", {}),
        ("solo.safetensors", "solo", {"stem": "solo"}),
        ("hacked.safetensors", "hacked", {"v1_strides": True}),
    ],
)
def test_features_equal_pytorchs(file, expected, told, seen):
    model = _convert(FIXTURES / file, seen, **told)
    assert _error(model(PHOTOGRAPHS), expected) < 1e-4


COMPUTE = """
import keras, numpy, tensorflow
tensorflow.config.threading.set_intra_op_parallelism_threads(2)  # sums are split as in the fixtures' making
encoder = keras.saving.load_model("encoder.keras", compile=False, safe_mode=True)
numpy.save("features.npy", encoder(numpy.load("photographs.npy")))
"""


@pytest.mark.parametrize("path", ["google_v1", "google_v1/model.ckpt-7", "google_v1/model.ckpt-7.index"])
def test_a_tensorflow_checkpoint_has_three_names(path):
    assert checkpoint.read(FIXTURES / path).tensors.keys() == checkpoint.read(FIXTURES / "google_v1").tensors.keys()


@pytest.mark.parametrize("path", ["google_v1", "google_v2"])
def test_features_equal_tensorflows(path, seen, tmp_path):
    keras.saving.save_model(_convert(FIXTURES / path, seen), tmp_path / "encoder.keras")
    np.save(tmp_path / "photographs.npy", PHOTOGRAPHS)
    plain = {
        **os.environ,
        "TF_ENABLE_ONEDNN_OPTS": "0",
    }  # the arithmetic that made the fixtures; oneDNN rounds otherwise
    subprocess.run([sys.executable, "-c", COMPUTE], check=True, cwd=tmp_path, env=plain)
    assert _error(np.load(tmp_path / "features.npy"), path.split("/")[0]) < 1e-4


def test_a_network_built_wrongly_would_show(seen):
    network = _convert(FIXTURES / "lightning.ckpt", seen).get_layer("resnet50")
    pixels = (PHOTOGRAPHS / 255 - IMAGENET.mean) / IMAGENET.deviation

    def error() -> float:
        return _error(network(pixels.astype("float32")), "lightning")

    def changed(layer: str, attribute: str, value) -> float:
        """Return the error with one attribute of a layer changed."""
        layer = network.get_layer(layer)
        right = getattr(layer, attribute)
        setattr(layer, attribute, value)
        found = error()
        setattr(layer, attribute, right)
        return found

    assert error() < 1e-4
    assert changed("layer1_0_bn1", "epsilon", 1e-3) > 1e-4  # Keras' default
    assert changed("layer3_0_conv2_padding", "padding", ((0, 1), (0, 1))) > 1e-3  # TensorFlow's "SAME"
    assert changed("maxpool_padding", "padding", ((0, 1), (0, 1))) > 1e-3
    network.get_layer("layer2_0_conv1").strides, network.get_layer("layer2_0_conv2").strides = (2, 2), (1, 1)
    assert error() > 1e-3


@pytest.mark.parametrize("form", ["zip", "older"])
def test_nothing_that_a_file_names_is_run(form, tmp_path, seen):
    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'was_run'}",)

    path = tmp_path / "hostile.ckpt"
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": Hostile()}, 2))
    else:
        parts = (torch_archive.OLD_TORCH, 1001, {}, {"state_dict": Hostile()}, [])
        path.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts))
    with pytest.raises(
        InputError, match=r"no network that fits among no tensors at all in hostile.ckpt; what would fit: ResNet-18"
    ):
        _convert(path, seen)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("file", ["lightning.ckpt", "moco.pth.tar", "numbered.safetensors"])
def test_a_file_cut_short_is_refused(file, tmp_path):
    whole = (FIXTURES / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(InputError, match=f"{file} is (damaged or )?cut short"):
        checkpoint.read(tmp_path / file)


def test_a_tensorflow_checkpoint_cut_short_is_refused(tmp_path):
    for source in (FIXTURES / "google_v1").iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes()[:3000])
    with pytest.raises(InputError, match="is damaged or cut short"):
        checkpoint.read(tmp_path)


@pytest.mark.parametrize("file", ["lightning.ckpt", "moco.pth.tar", "numbered.safetensors"])
def test_damaged_files_give_tensors_or_an_error_that_says_so(file, tmp_path):
    random, whole = np.random.default_rng(0), np.fromfile(FIXTURES / file, "uint8")
    for _ in range(12):
        damaged = whole.copy()
        damaged[random.integers(0, len(whole), 20)] = random.integers(0, 256, 20)
        damaged[random.integers(0, 20_000, 4)] ^= 1
        damaged.tofile(tmp_path / file)
        with contextlib.suppress(InputError):
            [tensor.read() for tensor in checkpoint.read(tmp_path / file).tensors.values()]


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    with (
        zipfile.ZipFile(FIXTURES / "lightning.ckpt") as source,
        zipfile.ZipFile(tmp_path / "short.ckpt", "w") as copy,
    ):
        for name in source.namelist():
            data = source.read(name)
            copy.writestr(name, data[:-1] if name.endswith("data/3") else data)
    with pytest.raises(InputError, match="data/3 has 7 bytes where its tensors need 8"):
        checkpoint.read(tmp_path / "short.ckpt")
    reader = torch_pickle.TorchReader(io.BytesIO())
    for shape, strides in (((10**9,), (1,)), ((4, 3), (5, 1)), ((4,), (-1,))):
        with pytest.raises(ValueError, match=r"does not fit its storage of 12 numbers|whole numbers from 0"):
            reader._tensor(torch_pickle.Storage(np.dtype("f4"), 12), 0, shape, strides)


def test_what_does_not_fit_is_named(tmp_path, seen):
    numbered = checkpoint.read(FIXTURES / "numbered.safetensors").tensors
    tensors = {name: tensor.read() for name, tensor in numbered.items()}

    def refused(changed: dict, message: str) -> None:
        _write_safetensors(tmp_path / "changed.safetensors", changed)
        with pytest.raises(InputError, match=message):
            _convert(tmp_path / "changed.safetensors", seen)

    without = {name: value for name, value in tensors.items() if name != "f.4.1.bn2.running_var"}
    refused(
        without, r"under 'f.' does not fit: layer2_1_bn2/moving_variance should have the shape \(4,\), found nothing"
    )
    refused(tensors | {"f.3.0.conv1.weight": np.zeros((2, 3, 3, 3))}, r"shape \(3, 3, 2, 2\), found \(3, 3, 3, 2\)")
    refused(tensors | {"f.5.0.se.weight": np.zeros(4)}, "f.5.0.se.weight has no place in a resnet18")
    more = {f"f.5.2.{name}": np.zeros(4) for name in ("conv1.weight", "bn1.weight")}
    refused(tensors | more, r"found stages of \(2, 2, 3, 2\) basic blocks under 'f.', but no ResNet-18")
    refused(tensors | {"f.0.weight": np.zeros((2, 3, 5, 5))}, r"whose first kernel no known stem has: give --stem")
    refused(tensors | {"f.0.weight": np.zeros((400, 3, 3, 3))}, r"\(3, 3, 3, 1 to 320\), found \(3, 3, 3, 400\)")
    refused({name: tensors[name] for name in tensors if name != "f.0.weight"}, r"no known stem has: give --stem")
    refused(
        {"head.weight": np.zeros(3)}, "no network that fits among head.weight in changed.safetensors; what would fit"
    )
    with pytest.raises(InputError, match=r"no network under 'g.' in numbered.safetensors: give --prefix one of 'f.'"):
        _convert(FIXTURES / "numbered.safetensors", seen, prefix="g.")


def test_selective_kernels_are_refused_by_name(seen):
    source = checkpoint.read(FIXTURES / "google_v1")
    more = {
        f"base_model/conv2d_{number}/kernel": source.tensors["base_model/conv2d_1/kernel"] for number in range(21, 87)
    }
    family, found = convert.choose(dataclasses.replace(source, tensors=source.tensors | more))
    with pytest.raises(InputError, match=r"found selective kernels \(sk1\) under 'base_model/'"):
        evidence.decide(family.build, found, Told(photographs=seen), {})


@pytest.mark.parametrize(
    "content, message",
    [
        (b"words", "begins with the bytes b'words': expected a torch archive"),
        (pickle.dumps([1, 2]), "is a pickle that PyTorch did not write"),
        (b"", "is empty"),
        (None, "there is no checkpoint"),
    ],
)
def test_other_files_are_refused(content, message, tmp_path):
    if content is not None:
        (tmp_path / "file.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        checkpoint.read(tmp_path / "file.ckpt")


def test_other_archives_and_folders_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(InputError, match=r"model\.keras/config\.json begins with the bytes"):
        checkpoint.read(tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"expected one TensorFlow checkpoint .* in the folder .*, found none"):
        checkpoint.read(tmp_path)


def _convert(path: Path, seen: Path, **told) -> keras.Model:
    return convert.convert(path, Told(**{"size": 64, "photographs": seen} | told))


def _error(features: np.ndarray, expected: str) -> float:
    """The largest difference, relative to the largest feature."""
    expected = EXPECTED[expected]
    return float(np.abs(np.asarray(features) - expected).max() / np.abs(expected).max())


def _write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in tensors.items():
        start, data = len(data), data + tensor.astype("float32").tobytes()
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, len(data)]}
    header = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
