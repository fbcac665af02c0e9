"""Self-critical training: a captioner learns from the CIDEr-D of captions that it samples itself (Rennie et al. 2017, arXiv:1612.00563).

The baseline of a caption is the mean reward of the photograph's other captions (Luo 2020, arXiv:2003.09971). The end token counts as a
word in candidates, references and document frequencies alike: else captions without an end would be rewarded, and all become alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from captioning import captioner_file, checks, decoding, report
from captioning.batches import stacked
from captioning.captioner_file import Captioner
from captioning.metrics.cider import CiderD
from captioning.metrics.scores import CLEANED, Judge
from captioning.metrics.text import Text
from captioning.models import adam
from captioning.tokenizer import END, START, Tokenizer
from captioning.train import read_described
from core import disk, keras_files, training
from core.errors import InputError
from encoders import features_file

NAME = "model-ep{epoch:03d}-cider{cider:.3f}.keras"
LEAST_VARIETY = 0.5  # of the distinct captions at the start, with which a run goes on


@dataclass(frozen=True)
class Recipe:
    """How a captioner learns from its reward. A run goes on only with the same recipe."""

    epochs: int = 2
    batch_size: int = 40  # photographs an update
    learning_rate: float = 5e-5  # Adam's; it falls to a tenth by a cosine
    epsilon: float = 1e-7
    samples: int = 5  # captions of each photograph
    temperature: float = 0.7
    averaged: int = 100  # updates in the moving average of the weights


class Reward:
    """Scores sampled captions by CIDEr-D against train's descriptions.

    :param descriptions: of each photograph, in words that the captioner knows.
    """

    def __init__(self, descriptions: Sequence[Sequence[str]], tokenizer: Tokenizer) -> None:
        self.words = tokenizer.words
        known = tokenizer.word_index
        references = [[" ".join([*filter(known.get, text.split()), END]) for text in texts] for texts in descriptions]
        self.cider = CiderD([[Text(text) for text in texts] for texts in references])

    def __call__(self, ids: np.ndarray, photographs: np.ndarray) -> np.ndarray:
        """Return the CIDEr-D of captions (N, T) of the photographs with these numbers (N,), float32 (N,)."""
        texts = [Text(" ".join(self.words[word] for word in row if word)) for row in ids]
        return np.array([*map(self.cider.score, texts, photographs)], "float32")


class SelfCritical(keras.Model):
    """A captioner's trainer whose batches are captions that the captioner samples itself.

    Its data are the numbers of photographs, int64 (P,), and a seed, int64 (2,): captions are sampled with the network's current weights.
    """

    def __init__(self, captioner: keras.Model, tokenizer: Tokenizer, features: Any, reward: Reward, recipe: Recipe):
        super().__init__(name="self_critical")
        self.captioner, self.tokenizer, self.features = captioner, tokenizer, features
        self.reward, self.recipe = reward, recipe
        self.design = captioner_file.design(captioner)
        self.trainer = self.design.trainer(captioner)
        self.means = [keras.metrics.Mean("loss"), keras.metrics.Mean("reward")]
        self.longest = decoding.longest(captioner, tokenizer)
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return self.means

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Sample captions, and make those more probable that are better than the photograph's others."""
        photographs, seed = data
        types = (tf.int32, tf.float32, tf.int32, tf.int32, tf.int32, tf.float32, tf.float32)
        real_tokens, seen, owner, words, targets, weights, reward = tf.numpy_function(
            self.sampled, (photographs, seed), types
        )
        for vector in (real_tokens, owner, targets, weights):
            vector.set_shape([None])
        seen.set_shape([None, *self.features.shape[1:]])
        words.set_shape([None, None])
        reward.set_shape([])
        seen = (seen, owner) if self.design.BY_PHOTOGRAPH else (tf.gather(seen, owner),)
        inputs = (real_tokens, *seen, words)
        with tf.GradientTape() as tape:
            read = self.trainer(inputs, training=True)
            loss = self.trainer.compute_loss(inputs, targets, read, weights)
        variables = self.trainer.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        for mean, value in zip(self.means, (loss, reward), strict=True):
            mean.update_state(value)
        return {mean.name: mean.result() for mean in self.means}

    def sampled(self, photographs: np.ndarray, seed: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return what the trainer learns from, for sampled captions of the photographs, and their mean reward.

        The weight of a word is its caption's advantage, so that the weighted mean over words is the mean over captions.
        """
        count, random = self.recipe.samples, np.random.default_rng(seed)
        seen = np.asarray(self.features[photographs], "float32")
        stepper = self.design.Stepper(self.captioner)
        ids = decoding.sample(
            stepper, seen, self.tokenizer, count, self.recipe.temperature, self.longest, random
        )  # (P * count, T)
        rewards = self.reward(ids, np.repeat(photographs, count))
        owner = np.repeat(np.arange(len(photographs), dtype="int32"), count)
        ids = ids[:, : (ids > 0).sum(axis=1).max()]
        real = ids > 0
        before = np.column_stack((np.full(len(ids), self.tokenizer.word_index[START], "int32"), ids[:, :-1]))
        words = np.where(real, before, 0).astype("int32")
        weights = (advantages(rewards, count)[:, None] * real)[real] * real.sum() / len(ids)
        return (
            np.flatnonzero(real).astype("int32"),
            seen,
            owner,
            words,
            ids[real],
            weights.astype("float32"),
            rewards.mean(),
        )


def advantages(rewards: np.ndarray, count: int) -> np.ndarray:
    """Return by how much each caption's reward (P * count,) is above the mean of the photograph's other captions."""
    grouped = rewards.reshape(-1, count)
    others = (grouped.sum(axis=1, keepdims=True) - grouped) / (count - 1)
    return (grouped - others).reshape(-1)


class Judgement(keras.callbacks.Callback):
    """Judges each epoch by greedy captions of dev, and stops a run whose captions become alike.

    :param judge: captions -> their figures, by name.
    """

    def __init__(self, judge: Any) -> None:
        super().__init__()
        self.judge = judge

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        start = self.judge()
        self.variety = start["distinct"]
        print(f"before: {_shown(start)}", flush=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        logs.update(self.judge())
        if logs["distinct"] < LEAST_VARIETY * self.variety:
            self.model.stop_training = True
            print(
                f"stopped after epoch {epoch + 1}: {logs['distinct']:,.0f} distinct captions, less than half of the {self.variety:,} "
                "at the start; lower --learning-rate, or take an earlier epoch"
            )


def _shown(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def train(
    start: Path,
    features: Path,
    descriptions: Path,
    lists: Sequence[Path],
    folder: Path,
    recipe: Recipe,
    seed: int,
) -> Path:
    """Go on with the captioner of the file `start`, and return the file of the one with the highest CIDEr-D on dev.

    Writes `NAME` after each epoch whose CIDEr-D is the highest so far, and what `training.fit` writes.

    :param lists: image lists of train and dev.
    :raises InputError: the files do not belong together, or as `training.fit`.
    """
    captioner = captioner_file.read(start)
    if not captioner.tokenizer:
        raise InputError(
            f"expected a captioner with its vocabulary in --start {start}, found none; train one with 2_train_IC_model.py"
        )
    if others := sorted(folder.glob("model-ep*-val_loss*")):
        raise InputError(f"expected a folder of its own, found {others[0]}; name another by --out")
    train_part, dev = read_described(descriptions, *lists)
    seen, origin, source = features_file.read_seen(features, grid=captioner.looks)
    for part in (train_part, dev):
        checks.check_all(seen, part, "feature", source)
    train_seen, dev_seen = (stacked(seen, part) for part in (train_part, dev))
    checks.check_features(captioner, train_seen.shape[1:], origin, source)
    return _fit(captioner, train_seen, dev_seen, train_part, dev, folder, recipe, seed)


def _fit(
    captioner: Captioner,
    train_seen: Any,
    dev_seen: Any,
    train_part: Mapping[str, Sequence[str]],
    dev: Mapping[str, Sequence[str]],
    folder: Path,
    recipe: Recipe,
    seed: int,
) -> Path:
    keras.utils.set_random_seed(seed)
    model, tokenizer, origin = captioner
    fingerprint = keras_files.fingerprint(model)
    reward = Reward([*train_part.values()], tokenizer)
    learner = SelfCritical(model, tokenizer, train_seen, reward, recipe)
    updates = -(-len(train_part) // recipe.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, updates * recipe.epochs, alpha=0.1)
    momentum = 1 - 1 / min(recipe.averaged, updates)
    learner.compile(adam.Adam(rate, epsilon=recipe.epsilon, use_ema=True, ema_momentum=momentum), jit_compile=False)

    def batches(epoch: tf.Tensor) -> tf.data.Dataset:
        def generate(epoch: np.int64) -> Iterator[tuple]:
            order = np.random.default_rng((seed, epoch)).permutation(len(train_part))
            for number, first in enumerate(range(0, len(order), recipe.batch_size)):
                yield order[first : first + recipe.batch_size], np.array([seed, epoch * updates + number])

        signature = (tf.TensorSpec((None,), tf.int64), tf.TensorSpec((2,), tf.int64))
        return tf.data.Dataset.from_generator(generate, args=(epoch,), output_signature=signature)

    best = training.Best(
        folder / NAME, lambda path: captioner_file.write(path, model, tokenizer, origin), "cider", "max"
    )
    history = training.fit(
        learner,
        batches,
        steps=updates,
        epochs=recipe.epochs,
        seed=seed,
        folder=folder,
        identity={"reward": "cider", "start": fingerprint, "train data": disk.digest(train_part)} | asdict(recipe),
        callbacks=[training.Average(), Judgement(lambda: judged(model, tokenizer, dev_seen, dev)), best],
    )
    epoch = int(np.argmax(history["cider"]))
    return folder / NAME.format(epoch=epoch + 1, cider=history["cider"][epoch])


def judged(
    captioner: keras.Model, tokenizer: Tokenizer, seen: Any, dev: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Return what greedy captions of dev are worth: cleaned CIDEr-D, distinct captions, mean length, words in use."""
    captions = [caption.text for caption in decoding.caption(captioner, seen, tokenizer)]
    by_image = dict(zip(dev, captions, strict=True))
    judge = Judge(CLEANED, report.people(by_image, dev, None)[CLEANED])
    scores = CLEANED.named(judge.score(report.candidates(by_image, ())[CLEANED]))
    words = [word for caption in captions for word in caption.split()]
    return {
        "cider": scores["CIDEr-D"],
        "distinct": len(set(captions)),
        "length": len(words) / len(captions),
        "words": len(set(words)),
    }
