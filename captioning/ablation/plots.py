"""The ablation's plots: scores with their intervals, losses by epoch, captions against the pretext task's neighbours."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from captioning.ablation import comparison
from captioning.ablation.comparison import Summary
from captioning.ablation.study import Study
from core import disk

if TYPE_CHECKING:  # slow to import, and needed only where something is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(folder: Path, studies: Sequence[Study], summaries: Sequence[Summary], beside: Summary) -> dict[str, Path]:
    """Draw all plots into the folder, and return the files by what they show; `beside` as in `comparison.table`."""
    from matplotlib import rc_context

    protocol = list(beside["protocols"])[-1]
    plots = {
        "scores of each encoder in each protocol, with 95% intervals": folder / "scores.png",
        "val_loss of each captioner by epoch": folder / "losses.png",
    }
    losses = {study.name: [comparison.read_losses(run / "history.csv") for run in study.runs] for study in studies}
    with rc_context({"text.parse_math": False}):  # a $ in an encoder's name is a $
        draw_scores(folder / "scores.png", summaries, beside)
        draw_losses(folder / "losses.png", losses)
        if all("kNN top-1" in summary["encoder"] for summary in summaries):
            draw_quality(folder / "neighbours.png", summaries, protocol, "CIDEr-D")
            plots[f"{protocol} CIDEr-D against the encoder's kNN top-1"] = folder / "neighbours.png"
    return plots


def draw_scores(path: Path, summaries: Sequence[Summary], beside: Summary) -> None:
    """Draw each encoder's scores with their 95% intervals between the constant caption's and a person's, a row for each protocol."""
    figure = _figure(10, 3 * len(beside["protocols"]))
    grid = figure.subplots(len(beside["protocols"]), squeeze=False)[:, 0]
    for axes, (protocol, lines) in zip(grid, beside["protocols"].items(), strict=True):
        metrics = list(lines["floor"])
        for number, summary in enumerate(summaries):
            found = summary["protocols"][protocol]
            places = [place + 0.6 * ((number + 0.5) / len(summaries) - 0.5) for place in range(len(metrics))]
            _with_intervals(
                axes,
                places,
                [found["mean"][m] for m in metrics],
                [found["interval"][m] for m in metrics],
                summary["name"],
            )
        for line, label, marker in (
            ("floor", "one caption for all", "v"),
            ("person", "a person (one reference fewer)", "^"),
        ):
            if line in lines:
                axes.plot(list(lines[line].values()), marker, color="grey", alpha=0.6, label=label)
        axes.set(title=protocol, xticks=range(len(metrics)), xticklabels=metrics)
    grid[0].legend(fontsize="small", loc="upper right")
    _save(figure, path)


def draw_losses(path: Path, losses: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Draw the val_loss of every captioner by epoch, those of one encoder in one colour."""
    figure = _figure(8, 5)
    axes = figure.add_subplot(xlabel="epoch", ylabel="val_loss")
    for number, (name, runs) in enumerate(losses.items()):
        for seed, run in enumerate(runs):
            axes.plot(range(1, len(run) + 1), run, ".-", color=f"C{number}", alpha=0.7, label=None if seed else name)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
    _save(figure, path)


def draw_quality(path: Path, summaries: Sequence[Summary], protocol: str, metric: str) -> None:
    """Draw one metric, with its interval, against top-1 of the nearest neighbours."""
    figure = _figure(7, 5)
    axes = figure.add_subplot(xlabel="kNN top-1 of the encoder", ylabel=f"{protocol} {metric}")
    for summary in summaries:
        found = summary["protocols"][protocol]
        _with_intervals(
            axes,
            [summary["encoder"]["kNN top-1"]],
            [found["mean"][metric]],
            [found["interval"][metric]],
            summary["name"],
        )
    axes.legend()
    _save(figure, path)


def _with_intervals(
    axes: "Axes", places: Sequence[float], values: Sequence[float], intervals: Sequence[Sequence[float]], label: str
) -> None:
    axes.plot(places, values, "o", label=label)
    axes.vlines(places, *zip(*intervals, strict=True), colors=axes.lines[-1].get_color())


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    with disk.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
