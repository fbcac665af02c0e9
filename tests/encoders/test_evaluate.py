"""Encoders are judged as the definitions say, beside the same configuration with new random weights."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from core import keras_files
from core.errors import InputError
from encoders import encoder_file, evaluate

RANDOM = np.random.default_rng(0)


@pytest.fixture
def encoder() -> keras.Model:
    """A small encoder whose weights are as after a training."""
    photographs = keras.Input((8, 8, 3), dtype="uint8", name="photographs")
    normalised = layers.Normalization(mean=None, name="normalisation")
    normalised.adapt(RANDOM.integers(0, 256, (20, 8, 8, 3)).astype("float32"))
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(6, 3), layers.BatchNormalization(), layers.ReLU()])
    x = inner(normalised(layers.Rescaling(1.0)(photographs)))
    model = keras.Model(photographs, layers.GlobalAveragePooling2D()(x))
    inner.set_weights([weight + RANDOM.random(weight.shape) for weight in inner.get_weights()])
    return model


@pytest.fixture
def classes(tmp_path):
    """Folders `train` and `test` of two classes of photographs, which differ in brightness."""
    for part, count in (("train", 20), ("test", 10)):
        for name, light in (("dark", 40), ("light", 180)):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = RANDOM.integers(light, light + 60, (8, 8, 3)).astype("uint8")
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    return tmp_path


def options(folder, *more):
    return [*f"--train {folder}/train --test {folder}/test --cache {folder}/cache".split(), *map(str, more)]


def test_encoders_stand_in_a_table_beside_their_floors(classes, encoder, tmp_path, capsys):
    path, out = tmp_path / "encoder.keras", tmp_path / "scores.json"
    keras_files.write(path, encoder)
    evaluate.main(options(classes, "--encoder", path, "--out", out))
    rows = json.loads(out.read_text())
    assert [row["encoder"] for row in rows] == [str(path), f"{path}, untrained"]
    assert rows[0]["fingerprint"] == keras_files.fingerprint(encoder_file.read(path)) != rows[1]["fingerprint"]
    assert all(0.5 <= row[score] <= 1 for row in rows for score in ("neighbours", "linear"))
    assert rows[0]["linear"] == 1
    assert f"| {path} | {rows[0]['neighbours']:.3f} | 1.000 |" in capsys.readouterr().out
    evaluate.main(options(classes, "--encoder", path, "--out", out, "--no-untrained"))
    assert json.loads(out.read_text()) == rows[:1]


def test_other_classes_in_the_test_folder_are_an_error(classes, encoder, tmp_path):
    keras_files.write(tmp_path / "encoder.keras", encoder)
    (classes / "test/dark").rename(classes / "test/dim")
    with pytest.raises(InputError, match=r"have other classes: .*dark.*dim"):
        evaluate.main(options(classes, "--encoder", tmp_path / "encoder.keras"))


def test_a_forgetful_encoder_keeps_its_preprocessing_and_nothing_it_learned(encoder):
    before = encoder.get_weights()
    untrained, again, other = (evaluate.forget(encoder, seed) for seed in (1, 1, 2))
    assert keras_files.fingerprint(untrained) == keras_files.fingerprint(again) != keras_files.fingerprint(other)
    assert all(np.array_equal(*pair) for pair in zip(encoder.get_weights(), before, strict=True))
    old, new = encoder.layers[3], untrained.layers[3]
    assert not np.allclose(old.get_weights()[0], new.get_weights()[0])
    gamma, beta, mean, variance = new.layers[1].get_weights()
    assert np.all(gamma == 1) and np.all(beta == 0)
    assert np.all(mean != old.layers[1].get_weights()[2]) and np.all(variance > 0)  # of drawn photographs
    assert np.array_equal(encoder.layers[2].mean, untrained.layers[2].mean)


def test_nearest_are_those_of_highest_cosine():
    among, queries = RANDOM.normal(size=(30, 5)).astype("float32"), RANDOM.normal(size=(4, 5)).astype("float32")
    indices, similarities = evaluate.nearest(among, queries, 3)
    for query, found, values in zip(queries, indices, similarities, strict=True):
        cosines = [query @ row / (np.linalg.norm(query) * np.linalg.norm(row)) for row in among]
        assert found.tolist() == np.argsort(cosines)[::-1][:3].tolist()
        assert np.allclose(values, np.sort(cosines)[::-1][:3], atol=1e-6)


def test_neighbours_vote_with_the_weight_of_their_similarity():
    train, labels = RANDOM.normal(size=(60, 4)).astype("float32"), RANDOM.integers(0, 3, 60)
    test, expected = RANDOM.normal(size=(25, 4)).astype("float32"), []
    for query in test:
        cosines = train @ query / (np.linalg.norm(train, axis=1) * np.linalg.norm(query))
        votes = np.zeros(3)
        for row in np.argsort(cosines)[::-1][:20]:
            votes[labels[row]] += np.exp(cosines[row] / 0.07)
        expected.append(votes.argmax())
    assert evaluate.neighbours_accuracy(train, labels, test, np.array(expected)) == 1


def test_regression_finds_the_least_penalised_cross_entropy():
    labels = RANDOM.integers(0, 3, 1500)
    rows = (RANDOM.normal(size=(3, 6))[labels] + RANDOM.normal(size=(1500, 6))).astype("float32")
    *kernel, bias = evaluate.regression(rows, labels, decay=0.1)
    logits = rows @ kernel + bias
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    errors = probabilities / probabilities.sum(axis=1, keepdims=True) - np.eye(3)[labels]
    assert np.abs(rows.T @ errors / len(rows) + 0.1 * np.array(kernel)).max() < 1e-5  # its gradient vanishes
    assert np.abs(errors.mean(axis=0)).max() < 1e-5


def test_linear_accuracy_ignores_the_scale_of_features():
    labels = RANDOM.integers(0, 2, 200)
    rows = RANDOM.normal(size=(200, 4)).astype("float32")
    rows[:, 2] = 1e-3 * (labels + 0.1 * RANDOM.normal(size=200)) + 5
    assert evaluate.linear_accuracy(rows[:150], labels[:150], rows[150:], labels[150:]) > 0.95
