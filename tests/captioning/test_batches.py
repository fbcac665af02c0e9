"""Batches hold each next word exactly once, captions of like length together, in an order that the seed and the epoch alone decide."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from captioning.batches import gather, parts, windows
from captioning.tokenizer import Tokenizer, wrap
from core.errors import InputError

RANDOM = np.random.default_rng(0)
DESCRIPTIONS = {
    f"photo{number}": [
        " ".join(RANDOM.choice(["red", "dog", "runs", "ball"], length)) for length in RANDOM.integers(0, 9, 3)
    ]
    for number in range(10)
}
FEATURES = {name: np.full((1, 2), number, "float32") for number, name in enumerate([*DESCRIPTIONS, "unused"])}
TOKENIZER = Tokenizer.fit(wrap(text) for texts in DESCRIPTIONS.values() for text in texts)
CAPTIONS = gather(DESCRIPTIONS, FEATURES, TOKENIZER)


def captions_in(dataset):
    """Read the captions back from batches: (photograph, words read, words foretold)."""
    for (real, feature, words), targets in dataset.as_numpy_iterator():
        rows, places = np.divmod(real, words.shape[1])
        for row in range(len(words)):
            read, told = places[rows == row], targets[rows == row]
            assert not words[row, len(read) :].any(), "zeros on the right"
            yield int(feature[row, 0]), tuple(words[row, read]), tuple(told)


def expected():
    for number, texts in enumerate(DESCRIPTIONS.values()):
        for ids in (TOKENIZER.encode(wrap(text)) for text in texts):
            yield number, tuple(ids[:-1]), tuple(ids[1:])


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_each_caption_comes_once_an_epoch(batch_size):
    shuffled = CAPTIONS.shuffled(batch_size, seed=1)(tf.constant(0, tf.int64))
    for dataset in (CAPTIONS.ordered(batch_size), shuffled):
        assert Counter(captions_in(dataset)) == Counter(expected())
        assert sum(1 for _ in dataset) == CAPTIONS.steps(batch_size)
    assert CAPTIONS.next_words == sum(len(told) for _, _, told in expected())


def test_captions_of_like_length_are_together():
    widths = [words.shape[1] for (_, _, words), _ in CAPTIONS.ordered(5)]
    assert widths == sorted(widths)
    for (real, _, words), _ in CAPTIONS.shuffled(5, seed=1)(tf.constant(3, tf.int64)):
        assert len(real) >= 0.6 * words.shape[0] * words.shape[1], "little padding"


def test_the_order_depends_on_the_seed_and_the_epoch():
    def order(seed, epoch):
        return list(captions_in(CAPTIONS.shuffled(4, seed)(tf.constant(epoch, tf.int64))))

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


def test_a_caption_beyond_the_maximum_length_goes_on_in_windows():
    assert list(windows(6, maximum=5)) == [(0, 5, 0)]
    assert list(windows(8, maximum=5)) == [(0, 5, 0), (1, 5, 4), (2, 5, 4)]


def test_the_fingerprint_tells_data_apart():
    others = {**FEATURES, "photo3": FEATURES["photo3"] + 1}
    assert gather(DESCRIPTIONS, FEATURES, TOKENIZER).fingerprint() == CAPTIONS.fingerprint()
    assert gather(DESCRIPTIONS, others, TOKENIZER).fingerprint() != CAPTIONS.fingerprint()


def test_the_parts_of_devices_make_up_each_batch():
    batches = [np.arange(5), np.arange(5, 8)]
    assert [part.tolist() for part in parts(batches, 2)] == [[0, 2, 4], [1, 3], [5, 7], [6]]
    with pytest.raises(InputError, match="at least 4 examples in each batch, one for each device, found a batch of 3"):
        parts(batches, 4)
    assert len([*CAPTIONS.ordered(4, 2)]) == 2 * len([*CAPTIONS.ordered(4)])
