"""The comparison of losses trains on the original's own examples: each prefix alone, in an order drawn anew each epoch."""

import numpy as np
import tensorflow as tf

from benchmarks.losses import BATCH_SIZE, prefixes, shuffled
from captioning.batches import gather
from tests.captioning.test_merge import DESCRIPTIONS, FEATURES, LONG_AND_ODD, TOKENIZER
from tests.original import captioning as original

TEXTS = DESCRIPTIONS | LONG_AND_ODD


def test_prefixes_are_the_examples_of_the_original():
    rows = prefixes(gather(TEXTS, FEATURES, TOKENIZER))
    (places, feature, words), targets = rows.batch(np.arange(len(rows.start)))
    expected = list(original.examples(TEXTS, FEATURES, TOKENIZER))
    assert len(places) == len(targets) == len(expected) == rows.next_words
    for row, (seen, prefix, next_word) in enumerate(expected):
        np.testing.assert_array_equal(feature[row], seen)
        np.testing.assert_array_equal(words[row][words[row] > 0], prefix[prefix > 0])
        assert targets[row] == next_word.argmax()


def test_each_prefix_comes_once_an_epoch():
    rows = prefixes(gather(TEXTS, FEATURES, TOKENIZER))
    epochs = [list(shuffled(rows, seed=1)(tf.constant(epoch, tf.int64))) for epoch in (0, 1)]
    (first, second) = (np.concatenate([targets for _, targets in batches]) for batches in epochs)
    assert len(epochs[0][0][1]) == BATCH_SIZE
    assert sorted(first) == sorted(second)
    assert first.tolist() != second.tolist()
