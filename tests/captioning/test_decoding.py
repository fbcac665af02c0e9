"""Decoding against the original's one-by-one `generate_desc`, exhaustive search, and a slow beam search of a few lines."""

import itertools

import numpy as np
import pytest

from captioning import decoding
from captioning.models import merge
from captioning.tokenizer import END, START, Tokenizer
from tests.original import captioning as original

DIMENSION = 6
FEATURES = np.random.default_rng(1).normal(size=(20, DIMENSION)).astype("float32")


def toy(vocabulary: int, maximum_length: int):
    """A captioner whose random weights are large enough for captions that differ, and its tokenizer."""
    model = merge.build((DIMENSION,), vocabulary)
    generator = np.random.default_rng(vocabulary)
    model.set_weights([generator.normal(scale=0.12, size=weight.shape) for weight in model.get_weights()])
    words = [START, END, *(f"word{number}" for number in range(3, vocabulary))]
    return model, Tokenizer({word: number for number, word in enumerate(words, start=1)}, maximum_length)


def bias(model, id, value):
    """Set how likely a word is by itself."""
    kernel, biases = model.get_layer("next_word").get_weights()
    biases[id] = value
    model.get_layer("next_word").set_weights([kernel, biases])


def next_logs(model, feature, ids):
    """Log-probabilities of the next word, by the whole model."""
    return np.log(np.asarray(model([feature[None], np.array([ids])]))[0, -1].astype("float64"))


def slow_beam(model, feature, tokenizer, width):
    """Beam search on one photograph, word by word, with the whole model: captions as (ids, mean log-probability, finished)."""
    beam, found = [([1], 0.0)], []
    for _ in range(tokenizer.maximum_length):
        grown = [
            ([*ids, id], total + log) for ids, total in beam for id, log in enumerate(next_logs(model, feature, ids))
        ]
        beam = sorted(grown, key=lambda caption: -caption[1])[: width - len(found)]
        found += [caption for caption in beam if caption[0][-1] in (0, 2)]
        beam = [caption for caption in beam if caption[0][-1] not in (0, 2)]
    captions = [(ids[1:], total / (len(ids) - 1), ids[-1] == 2) for ids, total in found + beam]
    return sorted(captions, key=lambda caption: (not caption[2], -caption[1]))


def ids_of(caption, tokenizer):
    return [tokenizer.word_index[word] for word in caption.words]


def assert_equal(captions, expected, tokenizer):
    assert len(captions) == len(expected)
    for caption, (ids, mean, finished) in zip(captions, expected, strict=True):
        assert ids_of(caption, tokenizer) == [id for id in ids if id not in (0, 2)]
        assert caption.score == pytest.approx(mean, abs=1e-5)
        assert caption.finished == finished


def test_greedy_captions_are_those_of_the_original():
    model, tokenizer = toy(vocabulary=11, maximum_length=6)
    prefix_model = original.build(DIMENSION, 11, 6)
    original.copy_weights(model, prefix_model)
    captions = decoding.caption(model, FEATURES[:8], tokenizer)
    theirs = [original.generate(prefix_model, tokenizer, feature[None]) for feature in FEATURES[:8]]
    assert [f"{START} {caption.text}{f' {END}' * caption.finished}" for caption in captions] == theirs
    assert len(set(theirs)) > 2


@pytest.mark.parametrize("width", [1, 2, 3])
def test_beam_equals_a_slow_beam_search_on_each_photograph(width):
    model, tokenizer = toy(vocabulary=11, maximum_length=5)
    found = decoding.alternatives(model, FEATURES[:4], tokenizer, beam=width)
    for feature, captions in zip(FEATURES, found, strict=False):
        assert_equal(captions, slow_beam(model, feature, tokenizer, width), tokenizer)


def test_a_beam_as_wide_as_the_space_is_exhaustive_search():
    model, tokenizer = toy(vocabulary=4, maximum_length=3)
    captions = decoding.alternatives(model, FEATURES[:1], tokenizer, beam=4**3)[0]
    everything = [
        list(ids)
        for length in (1, 2, 3)
        for ids in itertools.product(range(4), repeat=length)
        if not set(ids[:-1]) & {0, 2} and (ids[-1] in (0, 2) or length == 3)
    ]
    logs = [sum(next_logs(model, FEATURES[0], [1, *ids[:place]])[id] for place, id in enumerate(ids)) / len(ids)
            for ids in everything]  # fmt: skip
    expected = [(ids, mean, ids[-1] == 2) for ids, mean in zip(everything, logs, strict=True)]
    expected.sort(key=lambda caption: (not caption[2], -caption[1]))
    assert_equal(captions, expected, tokenizer)


def test_probabilities_are_those_of_the_whole_model():
    model, tokenizer = toy(vocabulary=11, maximum_length=6)
    for feature, caption in zip(FEATURES, decoding.caption(model, FEATURES, tokenizer), strict=True):
        ids = ids_of(caption, tokenizer)
        every = np.asarray(model([feature[None], np.array([[1, *ids]])]))[0]  # (T + 1, V)
        assert caption.probabilities == pytest.approx(every[range(len(ids)), ids], rel=1e-4)


@pytest.mark.parametrize("beam", [1, 3])
def test_photographs_do_not_depend_on_each_other(beam, monkeypatch):
    model, tokenizer = toy(vocabulary=11, maximum_length=8)
    together = decoding.caption(model, FEATURES, tokenizer, beam)
    assert len({caption.text for caption in together}) > 3
    monkeypatch.setattr(decoding, "ROWS", 7)
    apart = decoding.caption(model, FEATURES, tokenizer, beam)
    assert [caption.text for caption in apart] == [caption.text for caption in together]


@pytest.mark.parametrize("beam", [1, 3])
def test_an_endless_caption_stops_at_the_maximum_length_and_is_unfinished(beam):
    model, tokenizer = toy(vocabulary=11, maximum_length=7)
    bias(model, 0, -1e9)
    bias(model, 2, -1e9)
    for caption in decoding.caption(model, FEATURES, tokenizer, beam):
        assert len(caption.words) == len(caption.probabilities) == 7
        assert not caption.finished


def test_an_id_that_is_no_word_ends_the_caption_as_unfinished():
    model, tokenizer = toy(vocabulary=11, maximum_length=7)
    bias(model, 0, 1e4)
    assert {(caption.words, caption.finished) for caption in decoding.caption(model, FEATURES, tokenizer)} == {
        ((), False)
    }


def test_extreme_logits_give_finite_scores():
    model, tokenizer = toy(vocabulary=11, maximum_length=4)
    kernel, biases = model.get_layer("next_word").get_weights()
    model.get_layer("next_word").set_weights([kernel * 1e6, biases])
    for captions in decoding.alternatives(model, FEATURES, tokenizer, beam=3):
        assert all(np.isfinite(caption.score) for caption in captions)


def test_no_photographs_no_captions():
    model, tokenizer = toy(vocabulary=11, maximum_length=4)
    assert decoding.caption(model, FEATURES[:0], tokenizer) == []
