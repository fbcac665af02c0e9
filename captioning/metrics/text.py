"""A caption as metrics see it: its words, and how often each n-gram occurs, counted once."""

from collections import Counter
from functools import cached_property

ORDERS = range(1, 5)  # n of the n-grams

Gram = tuple[str, ...]


class Text:
    """A caption's words and how often each of its n-grams, n from 1 to 4, occurs."""

    def __init__(self, text: str) -> None:
        self.words = text.split()

    @cached_property
    def grams(self) -> Counter[Gram]:
        """The count of each n-gram."""
        return Counter(gram for n in ORDERS for gram in zip(*(self.words[skip:] for skip in range(n)), strict=False))
