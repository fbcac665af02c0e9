"""What a score is measured by."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np


@dataclass(frozen=True)
class Protocol:
    """A way to score: its metrics, the weights of BLEU-1 to BLEU-4, the n-grams that a caption too short for any counts."""

    name: str
    metrics: tuple[ModuleType, ...]
    weights: tuple[tuple[float, ...], ...]
    fewest: int

    def named(self, values: np.ndarray) -> dict[str, float | list[float]]:
        """Return the metrics' names with their values (M,) or intervals (2, M)."""
        names = [name for metric in self.metrics for name in metric.NAMES]
        return dict(zip(names, values.T.round(6).tolist(), strict=True))
