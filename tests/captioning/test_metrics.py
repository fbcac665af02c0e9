"""The metrics against hand counts, nltk, and the values that coco-caption's own code gave for a set of drawn captions."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import corpus_bleu

from captioning.metrics import bleu, rouge
from captioning.metrics.cider import CiderD
from captioning.metrics.protocol import Protocol
from captioning.metrics.scores import CLEANED, EQUAL_WEIGHTS, SEED_WEIGHTS
from captioning.metrics.text import Text

FIXTURE = json.loads(Path(__file__).with_name("metrics_fixture.json").read_text())
CANDIDATES = [Text(photograph["candidate"]) for photograph in FIXTURE["photographs"].values()]
REFERENCES = [list(map(Text, photograph["references"])) for photograph in FIXTURE["photographs"].values()]

sentences = st.lists(st.sampled_from("abcd"), max_size=8).map(" ".join)
photographs = st.lists(st.tuples(sentences, st.lists(sentences, min_size=1, max_size=3)), min_size=1, max_size=4)


def corpus(candidates, references, weights=EQUAL_WEIGHTS, fewest=0):
    pairs = zip(candidates, references, strict=True)
    protocol = Protocol("some", (bleu,), weights, fewest)
    return bleu.values(np.sum([bleu.bleu_statistics(*pair, fewest) for pair in pairs], axis=0), protocol)


def test_drawn_captions_score_what_coco_caption_gave():
    expected = FIXTURE["values"]
    assert corpus(CANDIDATES, REFERENCES) == pytest.approx([expected[f"BLEU-{n}"] for n in range(1, 5)], abs=1e-6)
    found = [rouge.rouge_l(*pair) for pair in zip(CANDIDATES, REFERENCES, strict=True)]
    assert np.mean(found) == pytest.approx(expected["ROUGE-L"], abs=1e-6)
    assert np.mean(CiderD(REFERENCES).scores(CANDIDATES)) == pytest.approx(expected["CIDEr-D"], abs=1e-6)


def test_nltk_counts_one_n_gram_in_captions_too_short_for_any():
    assert corpus(CANDIDATES, REFERENCES, fewest=1)[3] == pytest.approx(0.488, abs=5e-4)
    assert corpus(CANDIDATES, REFERENCES, fewest=0)[3] == pytest.approx(0.493, abs=5e-4)


@settings(deadline=None, max_examples=200)
@given(photographs)
def test_bleu_equals_nltk_on_any_captions(drawn):
    candidates, references = zip(*drawn, strict=True)
    ours = corpus(map(Text, candidates), [list(map(Text, texts)) for texts in references], SEED_WEIGHTS, fewest=1)
    with warnings.catch_warnings(action="ignore"):
        theirs = corpus_bleu([[text.split() for text in texts] for texts in references],
                             [text.split() for text in candidates], SEED_WEIGHTS)  # fmt: skip
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_bleu_by_hand():
    candidate, references = Text("the the the cat"), [Text("the cat sat on the mat"), Text("the cat")]
    # "the" counts at most twice; of "the the" twice and "the cat" only the last matches; |4 - 6| = |4 - 2|: the shorter
    statistics = bleu.bleu_statistics(candidate, references)
    assert statistics == [3, 1, 0, 0, 4, 3, 2, 1, 4, 2]
    expected = [3 / 4, math.sqrt(3 / 4 * 1 / 3), 0, 0]
    assert bleu.values(np.array(statistics), CLEANED) == pytest.approx(expected)
    short = bleu.bleu_statistics(Text("the cat"), references[:1])
    assert bleu.values(np.array(short), CLEANED)[1] == pytest.approx(math.exp(1 - 6 / 2))


def test_rouge_l_by_hand():
    # "the dog runs" and "the brown dog runs fast" share 3 words in order: P = 3/3, R = 3/5
    assert rouge.rouge_l(Text("the dog runs"), [Text("the brown dog runs fast")]) == pytest.approx(
        2.44 * 1 * 0.6 / (0.6 + 1.44 * 1)
    )
    assert rouge.rouge_l(Text("a cat"), [Text("the dog")]) == 0
    assert rouge.rouge_l(Text(""), [Text(""), Text("dog")]) == 0


@given(st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_longest_common_subsequence_equals_the_recursive_definition(first, second):
    def slow(one, other):
        if not one or not other:
            return 0
        if one[-1] == other[-1]:
            return slow(one[:-1], other[:-1]) + 1
        return max(slow(one[:-1], other), slow(one, other[:-1]))

    assert rouge.longest_common_subsequence(list(first[:6]), list(second[:6])) == slow(first[:6], second[:6])


def test_cider_d_by_hand():
    # Two photographs; "dog" is in the references of one, "the" of both (weight log 1 = 0). One word: only n = 1 counts.
    references = [[Text("the dog")], [Text("the cat")]]
    perfect, clipped = (CiderD(references).scores([Text(text), Text("the")])[0] for text in ("the dog", "dog dog"))
    assert perfect == pytest.approx(10 * (1 + 1) / 4)  # n = 1 ("dog") and n = 2 ("the dog")
    # "dog dog": weights 2 log 2, clipped to log 2: log 2 ** 2 / (2 log 2 * log 2)
    assert clipped == pytest.approx(10 * (1 / 2) / 4)
    longer, empty = (CiderD(references).scores([Text(text), Text("the")])[0] for text in ("the dog the", ""))
    assert longer == pytest.approx(10 * (1 + 1 / math.sqrt(2)) / 4 * math.exp(-1 / 72))
    assert empty == 0
