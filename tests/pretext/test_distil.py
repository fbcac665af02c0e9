"""Distilling: the student comes nearer to the teacher, the targets are principal components, and a missing feature is named."""

import csv

import numpy as np
import pytest

from core import keras_files
from core.errors import InputError
from encoders import encoder_file, features_file, photographs
from pretext import distil
from tests.conftest import draw_classes, toy_encoder

WORDS = "--width 4 --size 16 --stored 20 --encoder-size 24 --batch-size 16 --warm-up 0 --weight-decay 0 --dimension 2 --learning-rate 0.05"


@pytest.fixture
def words(tmp_path):
    """Options for 48 drawn patches and a teacher whose eight features tell the red ones from the blue ones."""
    folder, random = draw_classes(tmp_path / "patches", 24), np.random.default_rng(0)
    kinds = {path.stem: float(path.stem.startswith("red")) for path in folder.rglob("*.png")}
    direction = random.normal(size=8)
    features = {
        name: (kind * direction + random.normal(0, 0.01, 8))[None].astype("float32") for name, kind in kinds.items()
    }
    features_file.write(tmp_path / "features.pkl", features)
    return [
        *WORDS.split(),
        "--photographs",
        str(folder),
        "--teacher",
        str(tmp_path / "features.pkl"),
        "--out",
        str(tmp_path / "out"),
    ]


def test_the_student_comes_nearer_to_the_teacher(words, tmp_path):
    distil.main([*words, "--epochs", "12"])
    table = list(csv.DictReader((tmp_path / "out/history.csv").open()))
    losses = [float(row["loss"]) for row in table]
    assert sum(losses[-4:]) / 4 < 0.7 * sum(losses[:2]) / 2
    assert encoder_file.read(tmp_path / "out/encoder.keras").output_shape == (None, 32)
    features = features_file.read(tmp_path / "features.pkl")
    features_file.write(
        tmp_path / "features.pkl",
        {name: 2 * feature[:, ::-1] for name, feature in features.items()} | {"red0": np.ones((1, 8), "float32")},
    )
    with pytest.raises(InputError, match="targets: "):
        distil.main([*words, "--epochs", "12"])


def test_an_encoder_is_a_teacher_too(words, tmp_path, capsys):
    keras_files.write(tmp_path / "teacher.keras", toy_encoder(dimension=8))
    given = [*words, "--epochs", "1", "--teacher", str(tmp_path / "teacher.keras"), "--out", str(tmp_path / "one")]
    distil.main(given)
    found = features_file.read(tmp_path / "one/teacher/features.pkl")
    pixels = photographs.read(tmp_path / "patches/red/red3.png", 8, 8)
    expected = encoder_file.read(tmp_path / "teacher.keras").predict(pixels[None], verbose=0)
    assert len(found) == 48 and np.allclose(found["red3"], expected, rtol=1e-4)
    capsys.readouterr()
    distil.main(given)
    assert "teacher/features.pkl: 48" not in capsys.readouterr().out  # computed once


def test_targets_are_principal_components():
    random = np.random.default_rng(0)
    features = random.normal(size=(500, 6)) @ random.normal(size=(6, 6)) + 3
    targets = distil.principal(features.astype("float32"), 4)
    assert targets.shape == (500, 4) and (targets**2).mean() == pytest.approx(1, abs=0.01)
    covariance = np.cov(targets.T)
    assert abs(covariance - np.diag(np.diag(covariance))).max() < 0.02 and np.all(np.diff(np.diag(covariance)) < 0)
    assert distil.principal(features.astype("float32"), 9).shape == (500, 6)


def test_the_loss_by_hand():
    targets, predictions = np.array([[1.0, 0.0]]), np.array([[3.0, 4.0]])
    assert np.asarray(distil.cosine(targets, predictions)) == pytest.approx([3 / 5])
    assert np.asarray(distil.distance(targets, predictions)) == pytest.approx([1 - 3 / 5 + 0.1 * (4 + 16) / 2])


def test_a_photograph_without_a_feature_is_named(words, tmp_path):
    features = features_file.read(tmp_path / "features.pkl")
    features_file.write(tmp_path / "features.pkl", {name: features[name] for name in features if name != "blue3"})
    with pytest.raises(
        InputError,
        match=r"of 48 photographs in .*features\.pkl, found none of 1 of them \(blue3 and so on\); run step 1",
    ):
        distil.main(words)
