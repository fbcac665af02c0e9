"""ROUGE-L by coco-caption's definition, without Java."""

from collections.abc import Callable, Sequence

import numpy as np

from captioning.metrics.protocol import Protocol
from captioning.metrics.text import Text

NAMES = ("ROUGE-L",)
WIDTH = 1  # numbers a photograph
BETA = 1.2  # how many times recall counts as much as precision


def statistics(references: Sequence[Sequence[Text]], protocol: Protocol) -> Callable[[Sequence[Text]], np.ndarray]:
    """Return what gives candidates their ROUGE-L (P, 1) against each photograph's references."""
    return lambda candidates: np.array([[rouge_l(*pair)] for pair in zip(candidates, references, strict=True)])


def values(means: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Return a corpus's ROUGE-L (..., 1), which is the mean itself."""
    return means


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
