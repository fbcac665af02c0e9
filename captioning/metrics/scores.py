"""Scores of captions by a named protocol, beside their floor, their ceiling and their interval.

`seed` is what the original printed: start and end tokens left in both sides, BLEU-3 weights that sum to .9, and nltk's own counting.
`cleaned` has the same words without the tokens. Both put captions and references through the original's cleaning, whatever step 1 did.
`standard` has the captions as people wrote them, in lower case and without punctuation. The last two count as coco-caption does.
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from nltk.translate.bleu_score import corpus_bleu

from captioning.metrics import bleu, cider, rouge
from captioning.metrics.protocol import Protocol
from captioning.metrics.text import ORDERS, Gram, Text
from captioning.tokenizer import wrap

METRICS = (bleu, rouge, cider)
METRIC_NAMES = tuple(name for metric in METRICS for name in metric.NAMES)
EQUAL_WEIGHTS = tuple(tuple(1 / n if order <= n else 0 for order in ORDERS) for n in ORDERS)
SEED_WEIGHTS = (*EQUAL_WEIGHTS[:2], (0.3, 0.3, 0.3, 0), EQUAL_WEIGHTS[3])
RESAMPLES = 1000  # of the bootstrap

Scores = dict[str, float | list[float]]  # a metric's value, or the ends of its interval

SEED = Protocol("seed", (bleu,), SEED_WEIGHTS, fewest=1)
CLEANED = Protocol("cleaned", METRICS, EQUAL_WEIGHTS, fewest=0)
STANDARD = Protocol("standard", METRICS, EQUAL_WEIGHTS, fewest=0)


class Judge:
    """Scores any captions of the same photographs against their references, by one protocol."""

    def __init__(self, protocol: Protocol, references: Sequence[Sequence[Text]]) -> None:
        self.protocol = protocol
        self.statistics = [metric.statistics(references, protocol) for metric in protocol.metrics]

    def rows(self, candidates: Sequence[Text]) -> np.ndarray:
        """Return each photograph's statistics (P, K), those of one metric after those of another."""
        return np.column_stack([statistics(candidates) for statistics in self.statistics])

    def values(self, rows: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
        """Return the metrics (M,) over all photographs, or (R, M) over R resamples with their shares (R, P)."""
        means = rows.mean(axis=0) if shares is None else shares @ rows
        ends = np.cumsum([metric.WIDTH for metric in self.protocol.metrics])
        parts = np.split(means, ends[:-1], axis=-1)
        values = [metric.values(part, self.protocol) for metric, part in zip(self.protocol.metrics, parts, strict=True)]
        return np.concatenate(values, axis=-1)

    def score(self, candidates: Sequence[Text]) -> np.ndarray:
        """Return the metrics (M,) of the candidates."""
        return self.values(self.rows(candidates))


def evaluate(
    protocol: Protocol, candidates: Sequence[Text], references: Sequence[Sequence[Text]], constant: Text
) -> dict[str, Scores]:
    """Score the candidates: `system`, its 95% `interval`, and the `floor`, the constant caption in their place.

    Where each photograph has two references or more, also the ceiling: `person`, each reference in turn against the others, beside
    `system among persons`, the candidates against as many.
    """
    judge = Judge(protocol, references)
    rows = judge.rows(candidates)
    lines = {
        "floor": judge.score([constant] * len(candidates)),
        "system": _by_nltk(candidates, references) if protocol is SEED else judge.values(rows),
        "interval": _interval(judge.values(rows, _shares(len(rows)))),
        **_ceiling(protocol, candidates, references),
    }
    return {line: protocol.named(values) for line, values in lines.items()}


def _by_nltk(candidates: Sequence[Text], references: Sequence[Sequence[Text]]) -> np.ndarray:
    """Return what the original printed, from the library that it used; the floor and the interval count the same way (`bleu.values`)."""
    people = [[text.words for text in texts] for texts in references]
    with warnings.catch_warnings(
        action="ignore"
    ):  # where nothing matches it recommends smoothing, which the original did not use
        return np.array(corpus_bleu(people, [text.words for text in candidates], weights=SEED.weights))


def summarise(judge: Judge, runs: Sequence[np.ndarray]) -> dict[str, Scores]:
    """Return the `mean` over a system's runs, its 95% `interval` over photographs, and, of two runs or more, their standard `deviation`.

    :param runs: the rows of each run's captions.
    """
    lines = {"mean": _mean(judge, runs), "interval": _interval(_mean(judge, runs, _shares(len(runs[0]))))}
    if len(runs) > 1:
        lines["deviation"] = np.std([judge.values(rows) for rows in runs], axis=0, ddof=1)
    return {line: judge.protocol.named(values) for line, values in lines.items()}


def compare(judge: Judge, runs: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> dict[str, Scores]:
    """Return the difference between the means of two systems over their runs, and its 95% interval by the paired bootstrap."""
    shares = _shares(len(runs[0]))
    difference = _mean(judge, runs) - _mean(judge, others)
    interval = _interval(_mean(judge, runs, shares) - _mean(judge, others, shares))
    return {
        "difference": judge.protocol.named(difference),
        "interval of the difference": judge.protocol.named(interval),
    }


def _mean(judge: Judge, runs: Sequence[np.ndarray], shares: np.ndarray | None = None) -> np.ndarray:
    """Return the metrics averaged over the runs: (M,), or (R, M) over R resamples."""
    return np.mean([judge.values(rows, shares) for rows in runs], axis=0)


def _ceiling(
    protocol: Protocol, candidates: Sequence[Text], references: Sequence[Sequence[Text]]
) -> dict[str, np.ndarray]:
    rounds = min(map(len, references))
    if rounds < 2:
        return {}
    system, person = [], []
    for out in range(rounds):
        judge = Judge(protocol, [[*texts[:out], *texts[out + 1 :]] for texts in references])
        system.append(judge.score(candidates))
        person.append(judge.score([texts[out] for texts in references]))
    return {"system among persons": np.mean(system, axis=0), "person": np.mean(person, axis=0)}


def _shares(photographs: int) -> np.ndarray:
    """Return the share of each photograph in each resample (R, P). It is the same each time, so that differences are paired."""
    draws = np.random.default_rng(0).multinomial(photographs, np.full(photographs, 1 / photographs), RESAMPLES)
    return draws / photographs


def _interval(samples: np.ndarray) -> np.ndarray:
    return np.percentile(samples, (2.5, 97.5), axis=0)  # (2, M)


def best_constant(train: Mapping[str, Sequence[str]], choices: int = 200) -> str:
    """Return one of the most frequent train descriptions: the one with the best seed BLEU-4 when it captions every train photograph."""
    frequent = Counter(text for texts in train.values() for text in texts if text).most_common(choices)
    constants = {text: Text(wrap(text)) for text, _ in frequent}
    totals = _totals(list(constants.values()), train)
    return max(constants, key=dict(zip(constants, bleu.values(totals, SEED)[:, 3], strict=True)).get)


def _totals(constants: Sequence[Text], train: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Return the sums over all train photographs of each constant's `bleu_statistics` (C, 10), in one pass over them."""
    grams = set().union(*(constant.grams for constant in constants))
    reached: Counter[tuple[Gram, int]] = Counter()  # photographs with a reference that has an n-gram so many times
    closest = dict.fromkeys((len(constant.words) for constant in constants), 0)
    for texts in train.values():
        references = [Text(wrap(text)) for text in texts]
        reached.update(
            {(g, k) for text in references for g in text.grams.keys() & grams for k in range(1, text.grams[g] + 1)}
        )
        for length in closest:
            closest[length] += bleu.closest_length(length, references)
    totals = np.zeros((len(constants), bleu.WIDTH))
    for row, constant in zip(totals, constants, strict=True):
        length = len(constant.words)
        for gram, count in constant.grams.items():
            row[len(gram) - 1] += sum(reached[gram, k] for k in range(1, count + 1))
        row[4:9] = len(train) * np.array([*(max(SEED.fewest, length - n + 1) for n in ORDERS), length])
        row[9] = closest[length]
    return totals
