"""The picture of an ablation, from its table: what each encoder's features know of classes, val_loss, and captions beside the floor."""

import csv
import re
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from core import disk
from core.errors import InputError

PANELS = {
    ("encoder", "kNN top-1"): "the encoder: kNN top-1",
    ("captioner", "val_loss"): "val_loss (lower is better)",
    ("cleaned", "CIDEr-D"): "CIDEr-D, cleaned",
    ("standard", "CIDEr-D"): "CIDEr-D, standard",
}
CELL = re.compile(r"(?P<mean>[\d.]+)(?: ± (?P<deviation>[\d.]+))?(?: \((?P<low>[\d.]+) to (?P<high>[\d.]+)\))?")


class Value(NamedTuple):
    """A cell's mean, and from where to where its interval goes, or else its deviation; nowhere where it has neither."""

    mean: float
    low: float
    high: float


def draw(path: Path, table: Path) -> None:
    """Draw a panel for each measure of `PANELS` that ablation.csv has, each encoder with its interval, and the constant caption's line."""
    header, *rows = csv.reader(disk.read_text(table).splitlines())
    found = {(about, measure): cells for about, measure, *cells in rows}
    panels = [key for key in PANELS if key in found]
    if not panels:
        raise InputError(f"expected the table of 6_ablation.py in {table}, found another; check the path")
    names = header[3:-1]
    figure = Figure(figsize=(3.2 * len(panels), 1.6 + 0.3 * len(names)), layout="constrained")
    for axes, (about, measure) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        floor, *cells, _ = found[about, measure]
        draw_panel(axes, dict(zip(names, map(read, cells), strict=True)))
        person = found.get((f"{about}, one reference fewer", measure), [""])[-1]
        axes.set_title(PANELS[about, measure] + (f"\n(a person: {person})" if person else ""), fontsize="medium")
        if floor:
            axes.axvline(float(floor), color="grey", linestyle=":", label="one caption for all")
            axes.legend(fontsize="x-small")
        axes.label_outer()
    with disk.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def draw_panel(axes: Axes, values: dict[str, Value]) -> None:
    """Draw a line for each encoder, the first on top."""
    for place, value in enumerate(values.values()):
        axes.plot(value.mean, place, "o", color=f"C{place}")
        axes.hlines(place, value.low, value.high, color=f"C{place}")
    axes.set(yticks=range(len(values)), yticklabels=list(values), ylim=(len(values) - 0.5, -0.5))


def read(cell: str) -> Value:
    """Read `0.170 ± 0.002 (0.152 to 0.188)`, of which only the first number is sure to be there."""
    parts = {name: float(text) for name, text in CELL.match(cell).groupdict().items() if text}
    mean, deviation = parts["mean"], parts.get("deviation", 0.0)
    return Value(mean, parts.get("low", mean - deviation), parts.get("high", mean + deviation))
