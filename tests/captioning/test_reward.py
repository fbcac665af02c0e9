"""Self-critical training: the reward is CIDEr-D with the end token as a word, each caption is compared with the others, and it is learnt from."""

import contextlib
import itertools
import json
import math
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from captioning import captioner_file, decoding, reward
from captioning.batches import gather
from captioning.captions import write_descriptions
from captioning.metrics.cider import CiderD
from captioning.metrics.text import Text
from captioning.models import merge
from captioning.tokenizer import END, Tokenizer, wrap
from core import keras_files
from core.errors import InputError
from tests.conftest import assert_same_losses, command, run_in_two_parts

FIXTURE = json.loads(Path(__file__).with_name("metrics_fixture.json").read_text())
TEXTS = [["red dog runs", "dog runs on grass"], ["blue cat sits", "cat sits"], ["red cat runs", "cat runs in snow"]]
TOKENIZER = Tokenizer.fit(wrap(text) for texts in TEXTS for text in texts)


def ids_of(*texts, length=8):
    rows = [TOKENIZER.encode(text) for text in texts]
    return np.array([row + [0] * (length - len(row)) for row in rows], "int32")


def by_numpy(candidate, references, documents):
    """CIDEr-D (Vedantam et al. 2015, section 5, with D's clipping and length penalty), straight from the paper."""

    def grams(words, n):
        return Counter(tuple(words[place : place + n]) for place in range(len(words) - n + 1))

    total = 0
    for n in range(1, 5):
        seen = Counter(gram for texts in documents for gram in {gram for text in texts for gram in grams(text, n)})

        def vector(words, n=n, seen=seen):
            return {
                gram: count * math.log(len(documents) / max(1, seen[gram])) for gram, count in grams(words, n).items()
            }

        ours = vector(candidate)
        for reference in references:
            theirs = vector(reference)
            dot = sum(min(ours[gram], theirs[gram]) * theirs[gram] for gram in ours.keys() & theirs.keys())
            norm = np.linalg.norm(list(ours.values())) * np.linalg.norm(list(theirs.values()))
            penalty = math.exp(-((len(candidate) - len(reference)) ** 2) / 72)
            total += dot / norm * penalty if norm else 0
    return 10 * total / 4 / len(references)


def test_the_reward_counts_the_end_as_a_word_everywhere():
    given = reward.Reward(TEXTS, TOKENIZER)
    drawn = ids_of(f"red dog runs {END}", f"cat runs {END}", "dog runs", f"blue cat {END}")
    photographs = np.array([0, 2, 0, 1])
    documents = [[[*text.split(), END] for text in texts] for texts in TEXTS]
    for value, row, photograph in zip(given(drawn, photographs), drawn, photographs, strict=True):
        words = [TOKENIZER.words[word] for word in row if word]
        assert value == pytest.approx(by_numpy(words, documents[photograph], documents), rel=1e-5)
    assert given(drawn, photographs)[0] > given(ids_of("red dog runs"), np.array([0]))[0]


def test_without_the_end_it_is_the_metric_of_the_fixture():
    photographs = FIXTURE["photographs"].values()
    cider = CiderD([[Text(text) for text in one["references"]] for one in photographs])
    scores = [cider.score(Text(one["candidate"]), number) for number, one in enumerate(photographs)]
    assert np.mean(scores) == pytest.approx(FIXTURE["values"]["CIDEr-D"], abs=1e-6)


def test_a_caption_is_compared_with_the_others_of_its_photograph():
    found = reward.advantages(np.array([1.0, 2, 6, 0, 0, 3]), 3)
    np.testing.assert_allclose(found, [1 - 4, 2 - 3.5, 6 - 1.5, -1.5, -1.5, 3])


@pytest.fixture
def learner():
    keras.utils.set_random_seed(0)
    model = merge.build((3,), TOKENIZER.vocabulary_size)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    features = np.random.default_rng(0).normal(size=(3, 3)).astype("float32")
    recipe = reward.Recipe(2, 3, 0.01, 1e-7)
    return reward.SelfCritical(model, TOKENIZER, features, reward.Reward(TEXTS, TOKENIZER), recipe)


def test_an_update_follows_the_gradient_of_the_advantage_times_the_log_probability(learner):
    drawn = learner.sampled(np.arange(3), np.array([0, 1]))
    real, seen, owner, words, targets, weights, mean = drawn
    rows, places = np.divmod(real, words.shape[1])
    rewards = np.zeros(len(words), "float32")
    for row in range(len(words)):
        rewards[row] = learner.reward(targets[rows == row][None], owner[row : row + 1])[0]
    assert mean == pytest.approx(rewards.mean(), rel=1e-5)
    variables = learner.captioner.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        chances = learner.captioner([seen[owner], words])
        logs = tf.math.log(tf.gather_nd(chances, np.stack([rows, places, targets], axis=1)))
        advantage = reward.advantages(rewards, 5)
        loss = -tf.reduce_sum(logs * advantage[rows]) / len(words)
        inputs = (real, seen[owner], words)
        ours = learner.trainer.compute_loss(inputs, tf.constant(targets), learner.trainer(inputs), tf.constant(weights))
    assert float(ours) == pytest.approx(float(loss), rel=1e-4, abs=1e-6)
    for one, other in zip(tape.gradient(ours, variables), tape.gradient(loss, variables), strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(one), tf.convert_to_tensor(other), rtol=1e-3, atol=1e-6)


def test_captions_are_drawn_with_the_captioners_probabilities(learner):
    stepper = merge.Stepper(learner.captioner)
    drawn = decoding.sample(stepper, learner.features[:1], TOKENIZER, 4000, 0.7, 3, np.random.default_rng(0))
    logits, _ = stepper.step(stepper.start(learner.features[:1]), np.array([TOKENIZER.word_index["startseq"]]))
    chances = np.exp(logits[0] / 0.7) * (np.arange(logits.shape[1]) > 0)
    found = np.bincount(drawn[:, 0], minlength=len(chances)) / len(drawn)
    np.testing.assert_allclose(found, chances / chances.sum(), atol=0.03)
    ended = drawn == TOKENIZER.word_index[END]
    assert not drawn[:, 1:][np.cumsum(ended, axis=1)[:, :-1] > 0].any()
    again = decoding.sample(stepper, learner.features[:1], TOKENIZER, 4000, 0.7, 3, np.random.default_rng(0))
    assert np.array_equal(drawn, again)


@pytest.fixture(scope="module")
def start(tmp_path_factory, world):
    """The drawn world with a captioner that has learnt a little, in `models`."""
    folder = shutil.copytree(world, tmp_path_factory.mktemp("start") / "world")
    with contextlib.chdir(folder):
        write_descriptions(
            Path("descriptions.txt"),
            {
                f"photo{number}": [f"{colour} {animal} {verb}", f"{animal} {verb} in {colour} place"]
                for number, (colour, animal, verb) in enumerate(
                    itertools.product(("red", "blue"), ("dog", "cat"), ("runs", "sits"))
                )
            },
        )
        command(
            "2_train_IC_model --epochs 8 --batch-size 4 --learning-rate 0.01 --no-average --standardise --out models"
        )()
    return folder


WORDS = "2_train_IC_model --reward cider --start models --batch-size 8 --learning-rate 0.0005 --epochs 12 --out"


def test_a_run_raises_the_reward_and_goes_on_to_the_same(start, monkeypatch, capsys):
    monkeypatch.chdir(start)
    command(f"{WORDS} whole")()
    history = np.genfromtxt("whole/history.csv", delimiter=",", names=True)
    assert {"loss", "reward", "cider", "distinct", "length", "words"} < set(history.dtype.names)
    assert history["reward"][-2:].mean() > history["reward"][:2].mean() > 0
    assert history["distinct"][-1] > 0.5 * history["distinct"][0]
    printed = capsys.readouterr().out
    assert "before: cider" in printed and "the highest CIDEr-D of 12 epochs" in printed
    best = captioner_file.best_of(Path("whole"))
    assert best.name.endswith(f"cider{history['cider'].max():.3f}.keras")
    assert captioner_file.read(best).tokenizer == captioner_file.read(Path("models")).tokenizer

    run_in_two_parts(command(f"{WORDS} parts"), monkeypatch)
    assert "resuming after epoch 2 of 12" in capsys.readouterr().out
    assert_same_losses(start / "whole" / "history.csv", start / "parts" / "history.csv", 1e-2)


def test_a_run_whose_captions_become_alike_stops(capsys):
    callback = reward.Judgement(iter([{"distinct": 10}, {"distinct": 6}, {"distinct": 4}]).__next__)
    callback.set_model(SimpleNamespace(stop_training=False))
    callback.on_train_begin()
    callback.on_epoch_end(0, {})
    assert not callback.model.stop_training
    callback.on_epoch_end(1, {})
    assert callback.model.stop_training and "4 distinct captions, less than half of the 10" in capsys.readouterr().out


def test_what_does_not_fit_is_named(start, monkeypatch, tmp_path):
    monkeypatch.chdir(start)
    with pytest.raises(InputError, match="--reward cider and --start FILE together"):
        command("2_train_IC_model --reward cider")()
    with pytest.raises(InputError, match="--reward cider and --start FILE together"):
        command("2_train_IC_model --start models")()
    with pytest.raises(InputError, match="expected a folder of its own, found models"):
        command("2_train_IC_model --reward cider --start models --out models")()
    model = captioner_file.best_of(Path("models"))
    shutil.copy(model, tmp_path / model.name)
    shutil.copy(model, tmp_path / "model-ep001-cider0.100.keras")
    with pytest.raises(InputError, match="expected captioners of one kind"):
        captioner_file.best_of(tmp_path)
    keras_files.write(tmp_path / "bare.keras", captioner_file.read(model).model)
    with pytest.raises(InputError, match="expected a captioner with its vocabulary in --start"):
        command(f"2_train_IC_model --reward cider --start {tmp_path / 'bare.keras'} --out other")()
    features = gather({"a": ["dog"]}, {"a": np.ones((1, 9), "float32")}, TOKENIZER).features
    with pytest.raises(InputError, match="expected features of 4 numbers"):
        reward.checks.check_features(captioner_file.read(model), features.shape[1:], None, Path("features.pkl"))
