"""Captioners that people trained with the tutorial's model: their probabilities are those of the model itself, one left-padded prefix at a time."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from captioning import captioner_file, decoding
from captioning.models.merge import Stepper
from captioning.tokenizer import END, START, Tokenizer
from core.errors import InputError
from tests.conftest import ROOT
from tests.original import captioning as original

FIXTURES = ROOT / "tests/fixtures/captioners"  # by Keras 2: see make_captioners.py
DIMENSION, VOCABULARY, LENGTH = 5, 12, 7
RANDOM = np.random.default_rng(2)
FEATURES = RANDOM.normal(size=(3, DIMENSION)).astype("float32")
WORDS = RANDOM.integers(1, VOCABULARY, size=(3, LENGTH))
TOKENIZER = Tokenizer({START: 1, END: 2} | {f"word{number}": number for number in range(3, VOCABULARY)}, 30)


def tutorial(
    masked: bool = True,
    seen: str = "relu",
    decoded: str = "relu",
    last: str = "softmax",
    merge: type = layers.Add,
    reader: type = layers.LSTM,
    normalised: bool = False,
    length: int | None = LENGTH,
    **lstm: object,
) -> keras.Model:
    """Return the tutorial's model with random weights, under Keras' default names."""
    feature, prefix = keras.Input((DIMENSION,)), keras.Input((length,))
    photograph = layers.BatchNormalization()(feature) if normalised else feature
    photograph = layers.Dense(4, activation=seen)(layers.Dropout(0.5)(photograph))
    read = layers.Dropout(0.5)(layers.Embedding(VOCABULARY, 6, mask_zero=masked)(prefix))
    read = reader(4, **lstm)(read)
    merged = layers.Dense(3, activation=decoded)(merge()([photograph, read]))
    model = keras.Model([feature, prefix], layers.Dense(VOCABULARY, activation=last)(merged))
    random = np.random.default_rng(4)
    for weight in model.weights:
        drawn = random.normal(size=weight.shape)
        weight.assign(np.abs(drawn) + 0.5 if weight.name == "moving_variance" else drawn)
    return model


def by_prefixes(model: keras.Model) -> np.ndarray:
    """Return what the tutorial's model predicts after each prefix, (N, LENGTH, VOCABULARY), as the original asks it."""
    lengths = range(1, LENGTH + 1)
    prefixes = [np.stack([original.pad(words[:known], LENGTH) for words in WORDS]) for known in lengths]
    return np.stack([model.predict_on_batch([FEATURES, prefix]) for prefix in prefixes], axis=1)


def by_steps(model: keras.Model, features: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Return what our Stepper predicts after each word."""
    stepper, found = Stepper(model), []
    state = stepper.start(features)
    for column in words.T:
        logits, state = stepper.step(state, column)
        found.append(np.asarray(keras.ops.softmax(logits)))
    return np.stack(found, axis=1)


def assert_equal(path: Path, features: np.ndarray, words: np.ndarray, expected: np.ndarray) -> None:
    model = captioner_file.read(path).model
    np.testing.assert_allclose(model.predict_on_batch([features, words]), expected, atol=2e-6)
    np.testing.assert_allclose(by_steps(model, features, words), expected, atol=2e-6)
    assert np.ptp(expected, axis=(0, 1)).max() > 0.1, "the comparison must be able to fail"


VARIANTS = {
    "the tutorial's": {},
    "no mask": {"masked": False},
    "tanh of the feature": {"seen": "tanh"},
    "tanh before the last": {"decoded": "tanh"},
    "another activation": {"decoded": "elu"},
    "hard sigmoid": {"recurrent_activation": "hard_sigmoid"},
    "hard sigmoid and no mask": {"masked": False, "recurrent_activation": "hard_sigmoid", "activation": "softsign"},
    "normalised features": {"normalised": True},
}


@pytest.mark.parametrize("form", ["h5", "keras"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_whole_model_of_keras_3(variant, form, tmp_path, capsys):
    model = tutorial(**VARIANTS[variant])
    model.save(tmp_path / f"model.{form}")
    assert_equal(tmp_path / f"model.{form}", FEATURES, WORDS, by_prefixes(model))
    assert capsys.readouterr().out == (
        f"{tmp_path}/model.{form}: the tutorial's merge captioner, saved by Keras {keras.__version__}: "
        "feature 5, 12 words, at most 7 words\n"
    )


def test_weights_alone_of_keras_3(tmp_path, capsys):
    model = tutorial()
    model.save_weights(tmp_path / "model.weights.h5")
    assert_equal(tmp_path / "model.weights.h5", FEATURES, WORDS, by_prefixes(model))
    assert (
        "the tutorial's merge captioner, by its weights alone (relu and mask_zero=True are guessed): feature 5, 12 words, "
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("name", ["plain.h5", "plain.keras", "hard_sigmoid.h5", "unmasked.h5", "alone.h5"])
def test_files_of_keras_2(name, capsys):
    known = np.load(FIXTURES / "expected.npz")
    assert_equal(FIXTURES / name, known["features"], known["words"], known[name])
    assert "saved by Keras 2." in capsys.readouterr().out


@pytest.mark.parametrize("variant", ["the tutorial's", "no mask", "hard sigmoid"])
def test_greedy_captions_are_those_of_the_original(variant, tmp_path):
    model = tutorial(**VARIANTS[variant])
    model.save(tmp_path / "model.h5")
    captions = decoding.caption(captioner_file.read(tmp_path / "model.h5").model, FEATURES, TOKENIZER)
    padded = Tokenizer(TOKENIZER.word_index, LENGTH)  # the model's length counts, not the tokenizer's
    theirs = [original.generate(model, padded, feature[None]) for feature in FEATURES]
    assert [f"{START} {caption.text}{f' {END}' * caption.finished}" for caption in captions] == theirs


OTHERS = {
    "GRU": ({"reader": layers.GRU}, r"GRU, .*: gru\w* is GRU, where Dense or LSTM fits"),
    "both ways": ({"reader": lambda units: layers.Bidirectional(layers.LSTM(2))}, r"bidirectional\w* is Bidirectional"),
    "side by side": ({"merge": layers.Concatenate}, r"concatenate\w* is Concatenate, where Add fits"),
    "backwards": ({"go_backwards": True}, r"lstm\w* has go_backwards=True"),
    "no bias": ({"use_bias": False}, r"lstm\w* has weights of"),
    "an unknown activation": ({"seen": "mish"}, r"dense\w* has activation=mish"),
    "no softmax": ({"last": "sigmoid"}, r"dense\w* is no softmax"),
    "any length without a mask": ({"masked": False, "length": None}, r"input_layer\w* says no length"),
}


@pytest.mark.parametrize("form", ["h5", "keras"])
@pytest.mark.parametrize("other", OTHERS)
def test_another_model_is_refused_and_its_layer_named(other, form, tmp_path):
    changed, reason = OTHERS[other]
    tutorial(**changed).save(tmp_path / f"model.{form}")
    with pytest.raises(
        InputError, match=rf"in .*model\.{form}, found .*{reason}.*; what fits is 2 InputLayer, Embedding"
    ):
        captioner_file.read(tmp_path / f"model.{form}")
