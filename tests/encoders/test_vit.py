"""Vision Transformers: the features equal those of their authors' code, which made the fixtures (tests/fixtures/make_vit_checkpoints.py)."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from core.errors import InputError
from encoders import convert, encoder_file, extract
from encoders.evidence import Told
from encoders.tensors import checkpoint
from encoders.tensors.checkpoint import Checkpoint
from encoders.tensors.tensor import Tensor

FOLDER = Path(__file__).parents[1] / "fixtures" / "vit_checkpoints"
EXPECTED = dict(np.load(FOLDER / "features.npz"))
FILES = {path.name.split(".")[0]: path for path in FOLDER.iterdir()}
AUTHORS = [name for name in EXPECTED if not name.startswith("photographs") and not name.endswith(("_grid", "_both"))]
AUTHORS = [name for name in AUTHORS if "convnext" not in name and name != "dino_student"]


def error(features: np.ndarray, expected: str) -> float:
    """The largest difference, relative to the largest feature."""
    expected = EXPECTED[expected]
    assert features.shape == expected.shape
    return float(np.abs(np.asarray(features) - expected).max() / np.abs(expected).max())


def converted(name: str, size: int = 64, heads: int | None = 2, **told) -> keras.Model:
    return convert.convert(FILES[name], Told(size=size, heads=heads, **told))


@pytest.mark.parametrize("expected", AUTHORS)
def test_features_equal_the_authors(expected):
    name, _, size = expected.rpartition("_")
    name, size = (name, int(size)) if size.isdigit() else (expected, 64)
    assert error(converted(name, size)(EXPECTED[f"photographs_{size}"]), expected) < 1e-5


def test_another_network_of_the_file():
    model = converted("dino_full", prefix="student.module.backbone.")
    assert error(model(EXPECTED["photographs_64"]), "dino_student") < 1e-5


@pytest.mark.parametrize("name", ["dino_full", "dinov2_reg_swiglu", "dinov3", "dinov3_swiglu"])
def test_the_grid_holds_the_patches_tokens(name):
    model = converted(name)
    network = model.layers[-1]
    grid = keras.Model(network.inputs, network.get_layer("grid").output)
    assert error(grid(model.get_layer("normalisation")(EXPECTED["photographs_64"])), f"{name}_grid") < 1e-5


def test_pooling(capsys):
    both = converted("dinov2_reg_swiglu", pool="both")(EXPECTED["photographs_64"])
    assert error(both, "dinov2_reg_swiglu_both") < 1e-5
    assert "its class token and the mean of its patches' tokens" in capsys.readouterr().out
    mean = converted("dinov2_reg_swiglu", pool="mean")(EXPECTED["photographs_64"])
    np.testing.assert_allclose(mean, both[:, 16:], rtol=1e-5, atol=1e-6)
    converted("ijepa")
    assert "output: 16 numbers of vit, the mean of its patches' tokens" in capsys.readouterr().out


def test_the_printed_lines_say_what_the_file_was_taken_for(capsys):
    converted("dino_full")
    printed = capsys.readouterr().out
    assert "took the network under 'teacher.backbone.': the authors of DINO evaluate it" in printed
    assert "network: a ViT of width 16 with 2 blocks, patches of 8 pixels under 'teacher.backbone.', of DINO" in printed
    assert "normalisation: mean 0.485 0.456 0.406, standard deviation 0.229 0.224 0.225: ImageNet's, as DINO" in printed
    assert "output: 16 numbers of vit, its class token" in printed
    converted("dinov3")
    assert "and 2 heads under '', of DINOv3" in capsys.readouterr().out  # the periods tell the heads


ALONE = """
import keras, numpy, sys
encoder = keras.saving.load_model("encoder.keras", compile=False, safe_mode=True)
numpy.save("features.npy", encoder(numpy.load("photographs.npy")))
assert not [name for name in sys.modules if name.startswith(("encoders", "core"))]
"""


def test_the_file_needs_none_of_our_code(tmp_path):
    options = ["--size", "64", "--heads", "2", "--out", str(tmp_path / "encoder.keras")]
    convert.main(["--checkpoint", str(FILES["dinov3_swiglu"]), *options])
    np.save(tmp_path / "photographs.npy", EXPECTED["photographs_64"])
    subprocess.run([sys.executable, "-I", "-c", ALONE], check=True, cwd=tmp_path)
    assert error(np.load(tmp_path / "features.npy"), "dinov3_swiglu") < 1e-5
    with zipfile.ZipFile(tmp_path / "encoder.keras") as archive:
        modules: list[str | None] = []
        json.loads(archive.read("config.json"), object_hook=lambda item: modules.append(item.get("module")))
    assert all(module.split(".")[0] == "keras" for module in modules if module)
    network = extract.Network(encoder_file.read(tmp_path / "encoder.keras"), batch_size=2)  # as step 1 computes
    assert error(network(EXPECTED["photographs_64"]), "dinov3_swiglu") < 1e-5


# What is not known, or does not fit -------------------------------------------------------------------------------------


def with_tensors(name: str, change: dict[str, tuple[int, ...] | None], configuration: dict | None = None) -> Checkpoint:
    """Return a fixture in which some tensors have other shapes (and zeros), or are gone."""
    source = checkpoint.read(FILES[name])
    tensors = {key: tensor for key, tensor in source.tensors.items() if change.get(key, ()) is not None}
    for key, shape in change.items():
        if shape is not None:
            tensors[key] = Tensor(shape, lambda shape=shape: np.zeros(shape))
    return replace(source, tensors=tensors, configuration=source.configuration | (configuration or {}))


@pytest.mark.parametrize(
    "name, told, message",
    [
        ("mae_pretrain_small", {"heads": None}, "expected to know the number of heads, .* under 'model.', .*: give --heads"),
        ("mae_pretrain_small", {"heads": 3}, "width 16 .* cannot have 3 heads: give another --heads"),
        ("dinov3", {"heads": 8}, "cannot have 8 heads"),
        ("dinov3", {"heads": 1}, r"rotation.kernel should have the shape \(67, 2, 2, 8\), found \(67, 2, 2, 4\)"),
        ("dinov2", {"size": 60}, "multiple of the patches' 8 pixels, found 60: give --size 56"),
        ("ijepa", {"pool": "cls"}, "no class token for --pool cls: give --pool mean"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_named(name, told, message):
    with pytest.raises(InputError, match=message):
        converted(name, **told)


def test_a_vit_of_nobody_in_particular_is_asked_for_its_normalisation(tmp_path):
    (tmp_path / "model.pth").write_bytes(FILES["mae_pretrain_small"].read_bytes())
    with pytest.raises(InputError, match=r"found no project that says it.*give --mean and --deviation"):
        convert.convert(tmp_path / "model.pth", Told(heads=2))


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("dinov2", {"blocks.1.attn.qkv.bias": None}, r"same tensors in each of the blocks .* found attn_\w/bias in some"),
        ("dinov2", {"blocks.0.mlp.fc2.weight": None, "blocks.1.mlp.fc2.weight": None}, "blocks.0.mlp.fc2.kernel should have the shape .* found nothing"),
        ("dinov2", {"blocks.0.mlp.fc1.weight": (64,), "blocks.1.mlp.fc1.weight": (64,)}, "blocks_0_mlp_fc1/kernel with 2 dimensions, found"),
        ("dinov2", {"blocks.0.attn.qkv.weight": (48, 17)}, r"shape \(16, 2, 8\), found \(17, 16\)"),
        ("dinov2", {"patch_embed.proj.weight": (16, 3, 2, 8, 8)}, r"with 4 dimensions, found \(16, 3, 2, 8, 8\)"),
        ("dinov2", {"patch_embed.proj.weight": (1 << 20, 3, 8, 8)}, "does not fit"),  # wider than the file
        ("dinov2", {"pos_embed": (1, 67, 16)}, r"positions for a square of patches .* found \(1, 67, 16\)"),
        ("dinov2", {"pos_embed": None}, "positions for a square of patches .* found none"),
        ("dinov2", {"dist_token": (1, 1, 16)}, "dist_token has no place in a vit"),
        ("dinov2", {"blocks.0.ls1.gamma": (8,)}, "ls1.gamma has no place"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(name, change, message):
    with pytest.raises(InputError, match=message):
        family, found = convert.choose(with_tensors(name, change))
        family.build(found, found.preprocessing[0]._replace(heads=2))


def test_what_a_configuration_says():
    family, found = convert.choose(
        with_tensors("hf_vit", {}, {"config": {"hidden_act": "relu", "num_attention_heads": "2"}})
    )
    assert found.preprocessing[0].heads is None
    with pytest.raises(InputError, match="expected the activation gelu or quick_gelu, found relu"):
        family.build(found, found.preprocessing[0]._replace(heads=2))
    _, found = convert.choose(
        with_tensors("timm", {}, {"config": {"architecture": "vit_x_clip_quickgelu_224", "global_pool": "avg"}})
    )
    assert found.preprocessing[0].pool == "mean"
    assert found.project.options == {"epsilon": 1e-5, "activation": "quick_gelu"}


@pytest.mark.parametrize(
    "width, project, heads", [(384, "", 6), (1280, "", 16), (384, "momentum_encoder.", 12), (100, "", None)]
)
def test_heads_that_widths_tell(width, project, heads):
    one = Tensor((width, 3, 16, 16), lambda: np.zeros(0))
    names = {
        "base_encoder.patch_embed.proj.weight": one,
        "base_encoder.blocks.0.attn.qkv.weight": one,
        f"{project}x": one,
    }
    _, found = convert.choose(Checkpoint(names, "", "model.pth", {}))
    assert found.preprocessing[0].heads == heads


def test_a_resnet_has_no_tokens():
    path = FOLDER.parent / "checkpoints" / "moco.pth.tar"
    with pytest.raises(InputError, match="--pool and --heads with a Vision Transformer, found ResNet-18"):
        convert.convert(path, Told(size=64, pool="cls", mean=(0, 0, 0), deviation=(1, 1, 1)))
