"""CIDEr-D by coco-caption's definition, without Java (Vedantam et al. 2015, section 5)."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from captioning.metrics.protocol import Protocol
from captioning.metrics.text import ORDERS, Gram, Text

NAMES = ("CIDEr-D",)
WIDTH = 1  # numbers a photograph
SIGMA = 6  # the difference in words that costs a factor of exp(-1/2)


def statistics(references: Sequence[Sequence[Text]], protocol: Protocol) -> Callable[[Sequence[Text]], np.ndarray]:
    """Return what gives candidates their CIDEr-D (P, 1); the references' frequencies are counted once."""
    cider = CiderD(references)
    return lambda candidates: np.array(cider.scores(candidates))[:, None]


def values(means: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Return a corpus's CIDEr-D (..., 1), which is the mean itself."""
    return means


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
        if len(candidates) != len(self.references):
            raise ValueError(f"{len(candidates)} candidates of {len(self.references)} photographs")
        return [self.score(candidate, photograph) for photograph, candidate in enumerate(candidates)]

    def score(self, candidate: Text, photograph: int) -> float:
        """Return the CIDEr-D of one candidate against the references of one photograph, by its number."""
        vector, references = self._vector(candidate), self.references[photograph]
        return 10 * sum(_likeness(vector, reference) for reference in references) / len(references)

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
