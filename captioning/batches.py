"""Batches of whole captions. Captions of similar length come together, padded on the right, with all their next words as targets."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import tensorflow as tf

from captioning.tokenizer import Tokenizer, wrap
from core.errors import InputError
from encoders.features_file import Grid

SIGNATURE = (
    (
        tf.TensorSpec((None,), tf.int32),  # real_tokens (R,): positions in the flattened words whose next word counts
        tf.TensorSpec((None, None), tf.float32),  # feature (N, D)
        tf.TensorSpec((None, None), tf.int32),  # words (N, T)
    ),
    tf.TensorSpec((None,), tf.int32),  # the next words (R,)
)


@dataclass(frozen=True)
class Captions:
    """The captions of a split, as rows of words to read and words to predict.

    Row r reads `length[r]` words from `start[r]` on, and predicts the word after each of them but the first `skip[r]`. A caption is one row
    that skips none; words beyond the maximum length are predicted from a window of that length, a row each, as the original does.
    """

    features: np.ndarray | Grid  # (P, D) float32 or (P, cells, C) float16, one for each photograph
    words: np.ndarray  # (W,) int32, all captions one after another
    photograph: np.ndarray  # (R,) the row of its photograph in `features`
    start: np.ndarray  # (R,)
    length: np.ndarray  # (R,)
    skip: np.ndarray  # (R,)

    @property
    def next_words(self) -> int:
        """The number of words to predict. Each has the same weight in the loss."""
        return int((self.length - self.skip).sum())

    def fingerprint(self) -> str:
        """Return a digest of everything that training sees."""
        digest = hashlib.sha256()
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            digest.update(value.fingerprint() if isinstance(value, Grid) else np.ascontiguousarray(value))
        return digest.hexdigest()[:16]

    def standardised(self, mean: np.ndarray, scale: np.ndarray) -> "Captions":
        """Return the same captions of features (feature - mean) / scale."""
        return replace(self, features=(self.features - mean) / scale)

    @property
    def signature(self) -> tuple:
        """What a batch is."""
        return SIGNATURE

    @property
    def longest(self) -> np.ndarray:
        """The words of each unit that batches are made of, here a row."""
        return self.length

    def steps(self, batch_size: int) -> int:
        """The number of batches an epoch."""
        return -(-len(self.longest) // batch_size)

    def ordered(self, batch_size: int, devices: int = 1) -> tf.data.Dataset:
        """Return all batches, the shortest captions first: ((real_tokens, feature, words), next words), see `SIGNATURE`.

        :param devices: a batch comes as so many parts, one after the other.
        :raises InputError: a batch has fewer captions or photographs than there are devices.
        """
        batches = parts(self._batches(np.arange(len(self.longest)), batch_size), devices)
        dataset = tf.data.Dataset.from_generator(lambda: map(self.batch, batches), output_signature=self.signature)
        return dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))

    def shuffled(self, batch_size: int, seed: int, devices: int = 1) -> Callable[[tf.Tensor], tf.data.Dataset]:
        """Return the function epoch -> all its batches. Their order and their captions depend on (seed, epoch) only."""

        def generate(epoch: np.int64) -> Iterator[tuple]:
            random = np.random.default_rng((seed, epoch))
            batches = self._batches(random.permutation(len(self.longest)), batch_size)
            batches = [batches[number] for number in random.permutation(len(batches))]
            return map(self.batch, parts(batches, devices))

        return lambda epoch: tf.data.Dataset.from_generator(generate, args=(epoch,), output_signature=self.signature)

    def _batches(self, units: np.ndarray, batch_size: int) -> list[np.ndarray]:
        """Cut units into batches of similar length. Those of equal length keep their order."""
        units = units[np.argsort(self.longest[units], kind="stable")]
        return [units[first : first + batch_size] for first in range(0, len(units), batch_size)]

    def batch(self, rows: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Return the rows as the trainer's inputs and targets, see `signature`."""
        real_tokens, words, targets = self._words(rows)
        return (real_tokens, self.features[self.photograph[rows]], words), targets

    def _words(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the positions of the real words in the flattened words (N, T), these, and the next words."""
        length, skip, start = (array[rows][:, None] for array in (self.length, self.skip, self.start))  # (N, 1)
        position = np.arange(length.max())  # (T,)
        read = position < length  # (N, T)
        targets = read & (position >= skip)  # (N, T)
        place = np.where(read, start + position, 0)  # (N, T)
        words = np.where(read, self.words[place], 0)
        return np.flatnonzero(targets), words, self.words[place + 1][targets]


class ByPhotograph(Captions):
    """The same captions; a batch has all those of its photographs, whose grids it holds once."""

    @property
    def signature(self) -> tuple:
        (real_tokens, _, words), targets = SIGNATURE
        seen = tf.TensorSpec((None, *self.features.shape[1:]), tf.float32)
        return (real_tokens, seen, tf.TensorSpec((None,), tf.int32), words), targets

    @cached_property
    def longest(self) -> np.ndarray:
        longest = np.zeros(len(self.features), "int32")
        np.maximum.at(longest, self.photograph, self.length)
        return longest

    def batch(self, photographs: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Return all captions of some photographs as the trainer's inputs and targets: (real_tokens, grids, photograph, words), next words."""
        photographs = np.sort(photographs)
        rows = np.flatnonzero(np.isin(self.photograph, photographs))
        real_tokens, words, targets = self._words(rows)
        owner = np.searchsorted(photographs, self.photograph[rows]).astype("int32")
        return (real_tokens, np.asarray(self.features[photographs], "float32"), owner, words), targets


def parts(batches: list[np.ndarray], devices: int) -> list[np.ndarray]:
    """Return the parts of each batch for some devices, one after the other.

    :raises InputError: a batch has fewer units than there are devices.
    """
    if (fewest := min(map(len, batches))) < devices:
        raise InputError(
            f"expected at least {devices} examples in each batch, one for each device, found a batch of {fewest}; choose another --batch-size"
        )
    return [batch[first::devices] for batch in batches for first in range(devices)]


def gather(
    descriptions: Mapping[str, Sequence[str]],
    features: Mapping[str, np.ndarray] | Grid,
    tokenizer: Tokenizer,
    kind: type[Captions] = Captions,
) -> Captions:
    """Return the captions of the photographs in `descriptions`; words outside the vocabulary are dropped.

    :param descriptions: photograph's id -> its descriptions, without start and end tokens.
    :param features: photograph's id -> float32 (1, D), for at least these photographs; or their grids.
    :param kind: how batches are made.
    """
    words, rows = [], []
    for photograph, texts in enumerate(descriptions.values()):
        for ids in map(tokenizer.encode, map(wrap, texts)):
            rows += [
                (photograph, len(words) + start, length, skip)
                for start, length, skip in windows(len(ids), tokenizer.maximum_length)
            ]
            words += ids
    photograph, start, length, skip = np.array(rows, "int32").T
    return kind(stacked(features, descriptions), np.array(words, "int32"), photograph, start, length, skip)


def stacked(features: Mapping[str, np.ndarray] | Grid, images: Iterable[str]) -> np.ndarray | Grid:
    """Return the features (P, D), or grids (P, cells, C), of some photographs in their order."""
    return features.of(images) if isinstance(features, Grid) else np.concatenate([features[image] for image in images])


def windows(count: int, maximum: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, length, skip) of each row that a caption of `count` words becomes."""
    yield 0, min(count - 1, maximum), 0
    for end in range(maximum + 1, count):
        yield end - maximum, maximum, maximum - 1
