"""How a published network wants its photographs: what the statistics, the projects and the person say."""

import os
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest

from core.errors import InputError
from encoders import convert, encoder_file, evidence, photographs, statistics
from encoders.evidence import Told
from encoders.networks.resnet import resnet
from encoders.normalisations import (
    CIFAR10,
    CLIP,
    IMAGENET,
    KNOWN,
    STL10,
    SYMMETRIC,
    UNIT,
    Normalisation,
    configured,
)
from encoders.tensors.checkpoint import Checkpoint
from encoders.tensors.tensor import Tensor

ROOT = Path(__file__).parents[2]
VARIABLES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean"}
VARIABLES |= {"moving_variance": "running_var"}  # torch's names
STRANGE = Normalisation("nobody's", (9.0, -5.0, 3.0), (0.1, 7.0, 0.3))


def published(prefixes: list[str], seen: Path, feeds: Normalisation, stem: str = "imagenet", depth: int = 18) -> dict:
    """Return the tensors of a ResNet that saw the photographs in this way in training, by torchvision's names, under each prefix."""
    tensors = {
        f"{layer.replace('_', '.')}.{VARIABLES[variable]}": np.transpose(value, (3, 2, 0, 1))
        if value.ndim == 4
        else value
        for (layer, variable), value in _trained(seen, feeds, stem, depth).items()
    }
    tensors = {name: Tensor(value.shape, lambda value=value: value) for name, value in tensors.items()}
    return {prefix + name: tensor for prefix in prefixes for name, tensor in tensors.items()}


@cache
def _trained(seen: Path, feeds: Normalisation, stem: str, depth: int) -> dict[tuple[str, str], np.ndarray]:
    keras.utils.set_random_seed(7)
    network = resnet(depth, stem, 4)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    pixels = np.stack([photographs.read(path, 64, 64) for path in sorted(seen.iterdir())]) / 255
    network(((pixels - feeds.mean) / feeds.deviation).astype("float32"), training=True)
    return {(layer.name, variable.name): variable.numpy() for layer in network.layers for variable in layer.weights}


def decide(tensors: dict, seen: Path, file: str = "model.pth", configuration: dict | None = None, **told):
    """Return the network that is taken and how it wants its photographs."""
    source = Checkpoint(tensors, "a torch archive", file, configuration or {})
    said = Told(**{"size": 64, "photographs": seen} | told)
    family, found = convert.choose(source, said.prefix)
    return found, evidence.decide(family.build, found, said, source.configuration)


def others(*names: str) -> dict:
    """Return tensors that lie beside a network."""
    return {name: Tensor((2, 2), lambda: np.zeros((2, 2))) for name in names}


@pytest.mark.parametrize(
    "project, prefixes, beside, feeds, stem, taken",
    [
        ("DINO", ["student.module.backbone.", "teacher.backbone."], [], IMAGENET, "imagenet", "teacher.backbone."),
        (
            "MoCo v3",
            ["module.momentum_encoder.", "module.base_encoder."],
            [],
            IMAGENET,
            "imagenet",
            "module.base_encoder.",
        ),
        ("MoCo", ["module.encoder_k.", "module.encoder_q."], [], IMAGENET, "imagenet", "module.encoder_q."),
        ("SwAV", ["module."], ["module.prototypes.weight"], IMAGENET, "imagenet", "module."),
        ("SimSiam", ["module.encoder."], ["module.predictor.0.weight"], IMAGENET, "imagenet", "module.encoder."),
        (
            "Barlow",
            ["model.module.backbone."],
            ["model.module.projector.0.weight"],
            IMAGENET,
            "imagenet",
            "model.module.backbone.",
        ),
        ("VISSL", ["model.trunk._feature_blocks."], [], IMAGENET, "imagenet", "model.trunk._feature_blocks."),
        ("Lightning-Bolts", ["encoder."], ["projection.model.0.weight"], STL10, "stl10", "encoder."),
        (
            "Lightning-Bolts",
            ["target_network.encoder.", "online_network.encoder."],
            [],
            IMAGENET,
            "imagenet",
            "online_network.encoder.",
        ),
        (
            "sthalles",
            ["state_dict.backbone."],
            ["state_dict.backbone.fc.2.weight"],
            UNIT,
            "imagenet",
            "state_dict.backbone.",
        ),
        ("Spijkervet", ["encoder."], ["projector.0.weight", "projector.2.weight"], UNIT, "imagenet", "encoder."),
        ("SupContrast", ["model.encoder.module."], ["model.head.0.weight"], CIFAR10, "cifar", "model.encoder.module."),
        ("SCAN", ["backbone."], ["contrastive_head.0.weight"], IMAGENET, "scan", "backbone."),
        ("solo-learn", ["momentum_backbone.", "backbone."], ["projector.0.weight"], UNIT, "solo", "backbone."),
        ("unknown", ["net."], ["head.weight"], UNIT, "imagenet", "net."),
        ("unknown", ["net."], ["head.weight"], SYMMETRIC, "small", "net."),
        ("unknown", ["student.", "ema."], [], UNIT, "cifar", "ema."),
        ("unknown", ["online.", "net."], [], UNIT, "imagenet", "net."),
    ],
)
def test_the_network_that_the_authors_evaluate_is_fed_as_they_feed_it(
    project, prefixes, beside, feeds, stem, taken, seen
):
    found, way = decide(published(prefixes, seen, feeds, stem) | others(*beside), seen)
    assert project in found.project.name
    assert (found.prefix, way.normalisation, way.stem) == (taken, feeds, stem)


def test_features_are_those_of_the_network_under_its_own_normalisation(seen, tmp_path):
    tensors = published([""], seen, UNIT)
    found, way = decide(tensors, seen)
    model = encoder_file.encoder(
        convert.torchvision.build(found, way), 64, 64, way.normalisation.mean, way.normalisation.deviation
    )
    network = resnet(18, "imagenet", 4)
    for (layer, variable), value in _trained(seen, UNIT, "imagenet", 18).items():
        next(own for own in network.get_layer(layer).weights if own.name == variable).assign(value)
    pixels = np.stack([photographs.read(path, 64, 64) for path in sorted(seen.iterdir())])
    np.testing.assert_allclose(model(pixels), network(pixels.astype("float32") / 255), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "file, feeds, project", [("resnet50-1x.pth", UNIT, "tonylins"), ("dino_resnet50_pretrain.pth", IMAGENET, "DINO")]
)
def test_a_published_files_name_is_evidence(file, feeds, project, seen, capsys):
    found, way = decide(published([""], seen, feeds), seen, file)
    assert project in found.project.name and way.normalisation == feeds
    assert f"as {found.project.name} feeds its networks; the batch normalisations agree" in capsys.readouterr().out


def test_statistics_that_settle_it_win_over_the_project(seen, capsys):
    _, way = decide(
        published(["encoder."], seen, IMAGENET) | others("projector.0.weight"), seen
    )  # Spijkervet feeds [0, 1]
    assert way.normalisation == IMAGENET
    assert "ImageNet's, usual for such networks; the batch normalisations agree: 0.000 from" in capsys.readouterr().out


def test_what_cannot_be_known_is_asked_for(seen):
    def refused(message: str, tensors: dict, **told) -> None:
        with pytest.raises(InputError, match=message):
            decide(tensors, seen, **told)

    strange = published(["net."], seen, STRANGE)
    refused("no project that says it, .*: give --mean and --deviation, or --photographs", strange, stem="imagenet")
    refused("how the network begins, found distances of .*: give --stem", strange)
    refused(
        "found 2 networks of equal rank in model.pth: give --prefix one of 'a.', 'b.'",
        published(["a.", "b."], seen, UNIT),
    )
    refused(
        "which convolution of a bottleneck has the stride, .* give --v1-strides",
        published([""], seen, UNIT, "cifar", 50),
    )
    refused(
        "a detector in model.pth; its backbone is taken with --prefix",
        published(["body."], seen, UNIT) | others("rpn.head.w"),
    )
    refused("--mean and --deviation together", strange, mean=(0.0, 0.0, 0.0))
    groups = {name: tensor for name, tensor in strange.items() if "running" not in name}  # group normalisation
    refused("does not fit: bn1/moving_mean should have the shape .*, found nothing", groups)


def test_what_is_told_counts_and_is_doubted_where_the_statistics_speak_against_it(seen, capsys):
    strange = published(["net."], seen, STRANGE)
    _, way = decide(strange, seen, mean=STRANGE.mean, deviation=STRANGE.deviation, stem="imagenet")
    assert way.normalisation[1:] == STRANGE[1:] and "warning" not in capsys.readouterr().out
    _, way = decide(published(["net."], seen, UNIT), seen, mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5))
    assert way.normalisation[1:] == SYMMETRIC[1:]
    assert "told; warning: the batch normalisations are 0.000 from [0, 1] and" in capsys.readouterr().out
    _, way = decide(published([""], seen, UNIT, "cifar", 50), seen, v1_strides=True)
    assert way.v1_strides
    _, way = decide(published(["net."], seen, UNIT), seen, size=None, stem="imagenet")
    assert way.size == 224


def test_a_project_is_believed_where_the_statistics_are_silent(seen, capsys):
    tensors = published(["module.encoder_q."], seen, STRANGE)
    _, way = decide(tensors, seen)
    assert way.normalisation == IMAGENET
    assert "as MoCo feeds its networks; the batch normalisations fit nothing that is known" in capsys.readouterr().out


def test_a_configuration_beside_the_checkpoint_says_it():
    says = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "size": {"shortest_edge": 160}}
    assert configured({"preprocessor": says}) == (("its configuration's", (0.5,) * 3, (0.25,) * 3), 160)
    assert configured({"preprocessor": says | {"do_normalize": False}})[0][1:] == UNIT[1:]
    timms = {"mean": list(CLIP.mean), "std": list(CLIP.deviation), "input_size": [3, 192, 192]}
    assert configured({"config": {"pretrained_cfg": timms}}) == (
        ("its configuration's", CLIP.mean, CLIP.deviation),
        192,
    )
    assert configured({"config": [], "preprocessor": {"image_mean": 0.5}}) == (None, None)


def test_wrong_preprocessing_is_warned_of(seen, capsys):
    found, way = decide(published(["net."], seen, UNIT), seen)
    network = convert.torchvision.build(found, way)
    capsys.readouterr()
    evidence.check(network, way, seen)
    assert "warning" not in capsys.readouterr().out
    evidence.check(network, way._replace(normalisation=IMAGENET), seen)
    assert "warning: .01 to .05 is usual" in capsys.readouterr().out


def shipped(name: str, folder: Path, size: int) -> dict[str, float]:
    """Return the first layer's distance of a shipped encoder under each normalisation, on photographs of a folder."""
    network = next(
        layer for layer in encoder_file.read(ROOT / "Pre-trained" / name).layers if isinstance(layer, keras.Model)
    )
    shown = evidence._read(folder, size)
    found = statistics.distances(network, shown, KNOWN, most=1)
    return {known.name: first for known, (first,) in zip(KNOWN, found, strict=True)}


SCALES = ("[0, 1]", "[-1, 1]", "0 to 255")


def test_the_shipped_encoder_tells_its_scale_by_the_examples():
    found = shipped("simclr_260/encoder.keras", ROOT / "Examples", 128)
    assert found["ImageNet's"] < 0.1 and all(found[scale] > 0.9 for scale in SCALES)


@pytest.mark.skipif("FLICKR8K" not in os.environ, reason="set FLICKR8K=DIR, a folder with Flicker8k_Dataset")
@pytest.mark.parametrize("name", ["simclr_260/encoder.keras", "distilled/encoder.keras"])
def test_fifty_photographs_tell_how_the_shipped_encoders_were_fed(name):
    found = shipped(name, Path(os.environ["FLICKR8K"]) / "Flicker8k_Dataset", 128)
    assert min(found, key=found.get) == "ImageNet's" and found["ImageNet's"] < 0.02
    assert all(found[scale] > 0.9 for scale in SCALES)
