"""Captions of many photographs at once, one step a word for all of them: greedy search, beam search or sampling."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from captioning.captioner_file import design
from captioning.tokenizer import END, START, Tokenizer
from core.errors import InputError

ROWS = 256  # captions that are extended together; more only costs memory
STILL_GOING = 0.75  # share of unfinished captions, below which the finished ones are taken out
MAXIMUM_LENGTH = 34  # words, where neither captioner nor tokenizer says: Flickr8k's, after the original's cleaning


@dataclass(frozen=True)
class Caption:
    """A caption: its words without start and end token, and the probability of each.

    `score` is the mean log-probability of a word, the end token's included, or what the captioner's `DECODING` makes of their sum.
    A caption is unfinished where the maximum length, or the padding id that is no word, ended it. `attention` is where the
    captioner looked for each word, (words, cells) whose rows sum to 1; None if it does not look. `at_places` gives its cells their places.
    """

    words: tuple[str, ...]
    probabilities: tuple[float, ...]
    score: float
    finished: bool
    attention: np.ndarray | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        """The words as one string."""
        return " ".join(self.words)

    def at_places(self, grid: Sequence[int] | None) -> "Caption":
        """Return the caption with its attention as (words, h, w), for a grid (h, w, ...); with None for a captioner that sees no grid."""
        looked = None if grid is None or self.attention is None else self.attention.reshape(-1, *grid[:2])
        return replace(self, attention=looked)


def caption(model: keras.Model, features: np.ndarray, tokenizer: Tokenizer, beam: int = 1) -> list[Caption]:
    """Return the best caption of each photograph; see `alternatives`."""
    return [found[0] for found in alternatives(model, features, tokenizer, beam)]


def alternatives(model: keras.Model, features: np.ndarray, tokenizer: Tokenizer, beam: int = 1) -> list[list[Caption]]:
    """Return up to `beam` captions of each photograph: finished ones first, then by falling mean log-probability.

    A beam of 1 is the greedy search, whose ties go to the lowest id. A caption that ends leaves the beam, which gets narrower by it.
    The `DECODING` of the captioner's module may divide by another power of the length than 1, forbid the same word twice in a row,
    and end captions earlier.

    :param model: a captioner that one of captioning/models built.
    :param features: float (N, D), or grids (N, cells, C).
    :raises InputError: the beam is less than 1.
    """
    if beam < 1:
        raise InputError(f"expected a beam of at least 1, found {beam}")
    rules = Rules(**{**design(model).DECODING, "longest": longest(model, tokenizer)})
    stepper = design(model).Stepper(model)
    together = max(1, ROWS // beam)
    parts = [features[first : first + together] for first in range(0, len(features), together)]
    return [captions for part in parts for captions in _search(stepper, part, tokenizer, beam, rules)]


def longest(model: keras.Model, tokenizer: Tokenizer) -> int:
    """Return the words of a captioner's longest caption, with the end token."""
    own = design(model).DECODING.get("longest") or model.inputs[1].shape[1]
    return own or tokenizer.maximum_length or MAXIMUM_LENGTH


@dataclass(frozen=True)
class Rules:
    """How captions are searched."""

    length_power: float = 1  # a caption's log-probability is divided by this power of its words
    repeats: bool = True  # whether a word may come twice in a row
    longest: int = MAXIMUM_LENGTH  # words, with the end token


@dataclass(frozen=True)
class _Beam:
    """The unfinished captions of all photographs, one row each. Those of one photograph are in falling order of probability."""

    photograph: np.ndarray  # (R,) which photograph
    ids: np.ndarray  # (R, T) the words so far, the start token first
    logs: np.ndarray  # (R, T - 1) their log-probabilities, without the start token's
    state: Any  # of the captioner: arrays (R, ...), in any structure
    looked: np.ndarray | None = None  # (R, T - 1, cells) where it looked for each word

    def __getitem__(self, rows: np.ndarray) -> "_Beam":
        state = keras.tree.map_structure(lambda array: array[rows], self.state)
        looked = None if self.looked is None else self.looked[rows]
        return _Beam(self.photograph[rows], self.ids[rows], self.logs[rows], state, looked)

    def append(self, ids: np.ndarray, logs: np.ndarray) -> "_Beam":
        """Return the captions, each with one more word."""
        looked, now = self.looked, getattr(self.state, "attention", None)
        if now is not None:
            looked = now[:, None] if looked is None else np.concatenate((looked, now[:, None]), axis=1)
        ids, logs = np.column_stack((self.ids, ids)), np.column_stack((self.logs, logs))
        return replace(self, ids=ids, logs=logs, looked=looked)


def _search(stepper: Any, features: np.ndarray, tokenizer: Tokenizer, width: int, rules: Rules) -> list[list[Caption]]:
    count, start, end = len(features), tokenizer.word_index[START], tokenizer.word_index[END]
    beam = _Beam(np.arange(count), np.full((count, 1), start), np.zeros((count, 0), "float32"), stepper.start(features))
    room = np.full(count, width)  # (N,) captions under way that a photograph may still have
    found: list[list[Caption]] = [[] for _ in range(count)]
    for _ in range(rules.longest):
        last = beam.ids[:, -1]
        logits, state = stepper.step(beam.state, last)
        if not rules.repeats:
            logits[np.arange(len(last)), last] = -np.inf
        ids, logs = _likeliest(logits, width)  # (R, width)
        rows, columns = _survivors(beam, logs, room)
        beam = replace(beam, state=state)[rows].append(ids[rows, columns], logs[rows, columns])
        ended = np.isin(beam.ids[:, -1], (0, end))
        _collect(beam[ended], tokenizer, found, rules)
        room -= np.bincount(beam.photograph[ended], minlength=count)
        beam = beam[~ended]
        if not len(beam.ids):
            break
    _collect(beam, tokenizer, found, rules)
    return [sorted(captions, key=lambda caption: (not caption.finished, -caption.score)) for captions in found]


def _likeliest(logits: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids (R, count) of the most probable words, of equal ones the lowest id, and their log-probabilities. Overwrites `logits`.

    Searching the largest a few times over costs less than sorting or partitioning thousands of words.
    """
    count = min(count, logits.shape[1])
    logits -= logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits).sum(axis=1))  # (R,)
    rows = np.arange(len(logits))
    ids, logs = [], []
    for _ in range(count):
        ids.append(logits.argmax(axis=1))
        logs.append(logits[rows, ids[-1]] - total)
        logits[rows, ids[-1]] = -np.inf
    return np.stack(ids, axis=1), np.stack(logs, axis=1)


def _survivors(beam: _Beam, logs: np.ndarray, room: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose the most probable extensions, at most `room` for each photograph. Return their rows and columns in `logs` (R, width)."""
    totals = (beam.logs.sum(axis=1, keepdims=True) + logs).ravel()
    photograph = np.repeat(beam.photograph, logs.shape[1])
    order = np.lexsort((-totals, photograph))  # by photograph, then by falling probability
    owner = photograph[order]
    rank = np.arange(len(order)) - np.searchsorted(owner, owner)  # among the extensions of one photograph
    return np.divmod(order[rank < room[owner]], logs.shape[1])


def _collect(beam: _Beam, tokenizer: Tokenizer, found: list[list[Caption]], rules: Rules) -> None:
    looked = [None] * len(beam.ids) if beam.looked is None else beam.looked
    for photograph, ids, logs, places in zip(beam.photograph, beam.ids[:, 1:], beam.logs, looked, strict=True):
        finished = tokenizer.words[ids[-1]] == END
        length = len(ids) - (finished or ids[-1] == 0)
        words = tuple(tokenizer.words[id] for id in ids[:length])
        probabilities = tuple(np.exp(logs[:length]).tolist())
        score = float(logs.mean() if rules.length_power == 1 else logs.sum() / len(logs) ** rules.length_power)
        attention = None if places is None else places[:length]
        found[photograph].append(Caption(words, probabilities, score, bool(finished), attention))


def sample(
    stepper: Any, features: np.ndarray, tokenizer: Tokenizer, count: int, temperature: float, longest: int, random: Any
) -> np.ndarray:
    """Sample captions of photographs word by word, with the probabilities softmax(logits / temperature).

    :param features: of P photographs, as `alternatives` takes them.
    :param random: a NumPy generator.
    :returns: word ids, int32 (P * count, longest), those of one photograph one after another, the end token's last, then zeros. An
        unfinished caption has no end token.
    """
    start, end = tokenizer.word_index[START], tokenizer.word_index[END]
    ids = np.zeros((len(features) * count, longest), "int32")
    alive, words = np.arange(len(ids)), np.full(len(ids), start)
    state = keras.tree.map_structure(lambda array: np.repeat(array, count, axis=0), stepper.start(features))
    going = np.ones(len(ids), bool)
    for place in range(longest):
        logits, state = stepper.step(state, words)
        logits[:, 0] = -np.inf  # the padding is no word
        words = _drawn(logits, temperature, random)
        ids[alive, place] = words * going
        going &= words != end
        if not going.any():
            break
        if going.mean() < STILL_GOING:
            alive, words = alive[going], words[going]
            state = keras.tree.map_structure(lambda array, going=going: array[going], state)
            going = going[going]
    return ids


def _drawn(logits: np.ndarray, temperature: float, random: Any) -> np.ndarray:
    """Draw a word of each row with the probabilities softmax(logits / temperature): (R, V) -> (R,). Overwrites `logits`."""
    logits -= logits.max(axis=1, keepdims=True)
    logits /= temperature
    cumulative = np.exp(logits, out=logits).cumsum(axis=1)
    return (cumulative <= random.random((len(logits), 1)) * cumulative[:, -1:]).sum(axis=1)
