"""BLEU, ROUGE-L and CIDEr-D of captions by the definitions of nltk and of coco-caption, without Java.

The n-grams of a text are counted once, in its `Text`. BLEU is a function of the mean of rows of statistics, one a photograph;
ROUGE-L and CIDEr-D are means already. So other weights of the photographs give another score without any counting.
"""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np

ORDERS = range(1, 5)  # n of the n-grams
BETA = 1.2  # ROUGE-L: how many times recall counts as much as precision
SIGMA = 6  # CIDEr-D: the difference in words that costs a factor of exp(-1/2)

Gram = tuple[str, ...]


class Text:
    """A caption's words and how often each of its n-grams, n from 1 to 4, occurs."""

    def __init__(self, text: str) -> None:
        self.words = text.split()

    @cached_property
    def grams(self) -> Counter[Gram]:
        """The count of each n-gram."""
        return Counter(gram for n in ORDERS for gram in zip(*(self.words[skip:] for skip in range(n)), strict=False))


def bleu_statistics(candidate: Text, references: Sequence[Text], fewest: int = 0) -> list[float]:
    """Return a photograph's part of BLEU, 10 numbers: matches, then n-grams, for n from 1 to 4; length; closest reference's length.

    :param fewest: the n-grams that count in a caption too short to have any: 1 as in nltk, 0 as in coco-caption.
    """
    length = len(candidate.words)
    clipped: dict[Gram, int] = {}
    for reference in references:
        for gram in candidate.grams.keys() & reference.grams.keys():
            clipped[gram] = max(clipped.get(gram, 0), min(candidate.grams[gram], reference.grams[gram]))
    matches = [0] * len(ORDERS)
    for gram, count in clipped.items():
        matches[len(gram) - 1] += count
    present = [max(fewest, length - n + 1) for n in ORDERS]
    return [*matches, *present, length, closest_length(length, references)]


def closest_length(length: int, references: Sequence[Text]) -> int:
    """Return the length of the reference that is closest to `length`, the shorter of two."""
    return min((len(reference.words) for reference in references), key=lambda other: (abs(other - length), other))


def bleu(statistics: np.ndarray, weights: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the corpus BLEU (..., K), K rows of weights (K, 4), from the sum or mean of the photographs' statistics (..., 10).

    Papineni et al. 2002, section 2.3: the brevity penalty times the weighted geometric mean of the modified precisions.
    """
    matches, present, length, closest = np.split(np.asarray(statistics, float), (4, 8, 9), axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):  # nothing written or nothing matched: 0
        penalty = np.minimum(0, 1 - closest / length)
        logs = np.where(matches > 0, np.log(matches / present), -np.inf)
        terms = [np.where(np.array(row) > 0, row * logs, 0).sum(axis=-1, keepdims=True) for row in weights]
        return np.where(matches[..., :1] > 0, np.exp(penalty + np.concatenate(terms, axis=-1)), 0)


def rouge_l(candidate: Text, references: Sequence[Text]) -> float:
    """Return ROUGE-L, in [0, 1]: the F-measure of the longest common subsequence's best precision and best recall (Lin 2004).

    As in coco-caption, the two bests may come from different references.
    """
    common = [(longest_common_subsequence(candidate.words, reference.words), reference) for reference in references]
    recall = max(length / max(1, len(reference.words)) for length, reference in common)
    precision = max(length for length, _ in common) / max(1, len(candidate.words))
    if not precision:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence (Hyyrö 2004: a bit a word of `first`, cleared where the length grows)."""
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    full = kept = (1 << len(first)) - 1
    for word in second:
        matched = kept & places.get(word, 0)
        kept = (kept + matched | kept - matched) & full
    return len(first) - kept.bit_count()


class CiderD:
    """CIDEr-D against one set of references, whose document frequency and vectors are made once (Vedantam et al. 2015, section 5).

    :param references: the references of each photograph.
    """

    def __init__(self, references: Sequence[Sequence[Text]]) -> None:
        frequency = Counter(gram for texts in references for gram in set().union(*(text.grams for text in texts)))
        self.rarity = {gram: math.log(len(references) / count) for gram, count in frequency.items()}
        self.unseen = math.log(len(references))
        self.references = [[self._vector(text) for text in texts] for texts in references]

    def scores(self, candidates: Sequence[Text]) -> list[float]:
        """Return each photograph's CIDEr-D, in [0, 10]; a corpus's is their mean."""
        return [
            10 * sum(_likeness(vector, reference) for reference in references) / len(references)
            for vector, references in zip(map(self._vector, candidates), self.references, strict=True)
        ]

    def _vector(self, text: Text) -> tuple[dict[Gram, float], list[float], int]:
        """Return the weight of each n-gram (its count times its inverse document frequency), the norm for each n, the length."""
        weights = {gram: count * self.rarity.get(gram, self.unseen) for gram, count in text.grams.items()}
        squares = [0.0] * len(ORDERS)
        for gram, weight in weights.items():
            squares[len(gram) - 1] += weight * weight
        return weights, [math.sqrt(square) for square in squares], len(text.words)


def _likeness(candidate: tuple, reference: tuple) -> float:
    """Return the mean over n of the clipped cosine, less for unequal lengths."""
    weights, norms, length = candidate
    other_weights, other_norms, other_length = reference
    products = [0.0] * len(ORDERS)
    for gram in weights.keys() & other_weights.keys():
        products[len(gram) - 1] += min(weights[gram], other_weights[gram]) * other_weights[gram]
    cosines = [product and product / (a * b) for product, a, b in zip(products, norms, other_norms, strict=True)]
    return sum(cosines) / len(ORDERS) * math.exp(-((length - other_length) ** 2) / (2 * SIGMA**2))
