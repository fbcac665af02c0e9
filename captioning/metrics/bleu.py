"""BLEU by the definitions of nltk and of coco-caption, as a function of the mean of rows of statistics, one a photograph.

So other weights of the photographs give another score without any counting.
"""

from collections.abc import Callable, Sequence

import numpy as np

from captioning.metrics.protocol import Protocol
from captioning.metrics.text import ORDERS, Gram, Text

NAMES = tuple(f"BLEU-{n}" for n in ORDERS)
WIDTH = 10  # numbers a photograph


def statistics(references: Sequence[Sequence[Text]], protocol: Protocol) -> Callable[[Sequence[Text]], np.ndarray]:
    """Return what gives candidates their rows of `bleu_statistics` (P, 10) against each photograph's references."""

    def rows(candidates: Sequence[Text]) -> np.ndarray:
        return np.array([bleu_statistics(*pair, protocol.fewest) for pair in zip(candidates, references, strict=True)])

    return rows


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


def values(means: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Return the corpus BLEU (..., K), K rows of weights (K, 4), from the sum or mean of the photographs' statistics (..., 10).

    Papineni et al. 2002, section 2.3: the brevity penalty times the weighted geometric mean of the modified precisions.
    """
    matches, present, length, closest = np.split(np.asarray(means, float), (4, 8, 9), axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):  # nothing written or nothing matched: 0
        penalty = np.minimum(0, 1 - closest / length)
        logs = np.where(matches > 0, np.log(matches / present), -np.inf)
        terms = [np.where(np.array(row) > 0, row * logs, 0).sum(axis=-1, keepdims=True) for row in protocol.weights]
        return np.where(matches[..., :1] > 0, np.exp(penalty + np.concatenate(terms, axis=-1)), 0)
