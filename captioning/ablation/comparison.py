"""The comparison of an ablation's encoders: their captioners' scores as numbers, and as one table that reads the same in every form."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from captioning import report
from captioning.ablation.study import SIDECAR, Data, Study
from captioning.captions import read_results
from captioning.metrics import scores
from captioning.metrics.scores import Judge, Protocol, Scores
from core import disk

FLOOR, PERSON = "one caption for all", "a person"

Rows = dict[Protocol, np.ndarray]  # each photograph's statistics
Lines = Mapping[str, Scores]  # of one protocol: mean, interval and so on
Summary = dict[str, Any]
Table = list[list[str]]  # rows of text, the header first


# Numbers -------------------------------------------------------------------------------------------------------------


def summarise(studies: Sequence[Study], data: Data) -> list[Summary]:
    """Write summary.json into each encoder's folder, from the files of its captioners, and return them all."""
    people = report.people(data.test, data.test, data.references)
    judges = {protocol: Judge(protocol, texts) for protocol, texts in people.items()}
    first: list[Rows] = []
    summaries = []
    for study in studies:
        found = [disk.read_json(run / "scores.json") for run in study.runs]
        rows = [_rows(run, judges, data) for run in study.runs]
        first = first or rows
        summary = {
            "name": study.name,
            "encoder": disk.read_json(study.folder / "encoder.json") | {"folder": study.folder.name},
            "captioners": _captioners(study, found),
            "protocols": {
                protocol.name: _compared(judge, rows, first) | _among_persons(protocol, found)
                for protocol, judge in judges.items()
            },
        }
        disk.write_json(study.folder / "summary.json", summary)
        summaries.append(summary)
    return summaries


def _rows(run: Path, judges: Mapping[Protocol, Judge], data: Data) -> Rows:
    """Return each photograph's statistics in each protocol."""
    unfinished = disk.read_json(run / "scores.json")["unfinished"]
    written = report.candidates(read_results(run / "captions.json", data.test), unfinished)
    return {protocol: judge.rows(written[protocol]) for protocol, judge in judges.items()}


def _compared(judge: Judge, runs: Sequence[Rows], first: Sequence[Rows]) -> dict[str, Scores]:
    own, others = ([rows[judge.protocol] for rows in each] for each in (runs, first))
    return scores.summarise(judge, own) | ({} if runs is first else scores.compare(judge, own, others))


def _among_persons(protocol: Protocol, found: Sequence[Mapping[str, Any]]) -> dict[str, Scores]:
    """Return what the captions score against as many references as a person faces."""
    lines = [scores["protocols"][protocol.name].get("system among persons") for scores in found]
    return {"among persons": {name: fmean(line[name] for line in lines) for name in lines[0]}} if lines[0] else {}


def _captioners(study: Study, found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return how training went and how varied the captions are: means, with standard deviations where there are several captioners."""
    measures = {
        "val_loss": [scores["val_loss"] for scores in found],
        "distinct captions": [scores["variety"]["distinct"] for scores in found],
        "different words": [scores["variety"]["words"] for scores in found],
        "copies of train descriptions": [scores["variety"]["copies"] for scores in found],
        "unfinished captions": [scores["variety"]["unfinished"] for scores in found],
        "times of the most frequent caption": [scores["variety"]["times"] for scores in found],
        "minutes for the features": _minutes(study.folder),
        "minutes for a captioner": _minutes(*study.runs),
    }
    return {
        name: {"mean": fmean(values)} | ({"deviation": stdev(values)} if len(values) > 1 else {})
        for name, values in measures.items()
        if values
    }


def _minutes(*folders: Path) -> list[float]:
    return [disk.read_json(path) for folder in folders if (path := folder / "minutes.json").exists()]


def read_losses(path: Path) -> list[float]:
    """Return each epoch's val_loss of a history.csv; none of a captioner that learnt from its reward."""
    return [float(row["val_loss"]) for row in csv.DictReader(disk.read_text(path).splitlines()) if "val_loss" in row]


# The table -----------------------------------------------------------------------------------------------------------

FACTS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(SIDECAR, str),
    "parameters": "{:,}".format,
    "D": str,
    "kNN top-1": "{:.3f}".format,
    "linear top-1": "{:.3f}".format,
    "folder": str,
}  # of an encoder, and how each is shown


def table(summaries: Sequence[Summary], beside: Mapping[str, Any]) -> Table:
    """Return the table, a column for each encoder, between those of the constant caption and of a person.

    :param beside: a captioner's scores.json, for these two.
    """
    names = [summary["name"] for summary in summaries]
    facts = [fact for fact in FACTS if any(fact in summary["encoder"] for summary in summaries)]
    rows = [["about", "measure", FLOOR, *names, PERSON]]
    for fact in facts:
        cells = [
            FACTS[fact](found) if (found := summary["encoder"].get(fact)) is not None else "" for summary in summaries
        ]
        rows.append(["encoder", fact, "", *cells, ""])
    for measure in summaries[0]["captioners"]:
        places = 3 if measure == "val_loss" else 1
        cells = [_shown(**summary["captioners"].get(measure, {}), places=places) for summary in summaries]
        rows.append(["captioner", measure, "", *cells, ""])
    for protocol, lines in beside["protocols"].items():
        rows += _score_rows(protocol, lines, [summary["protocols"][protocol] for summary in summaries], names[0])
    return rows


def _score_rows(protocol: str, beside: Lines, columns: Sequence[Lines], first: str) -> Table:
    metrics = list(beside["floor"])

    def rows(about: str, cell: Callable[[Lines, str], str], floor: str = "", person: str = "") -> Table:
        return [
            [
                about,
                metric,
                _line(beside, floor, metric),
                *(cell(column, metric) for column in columns),
                _line(beside, person, metric),
            ]
            for metric in metrics
        ]

    found = rows(protocol, _score, floor="floor")
    if "person" in beside:
        found += rows(
            f"{protocol}, one reference fewer",
            lambda column, metric: _line(column, "among persons", metric),
            person="person",
        )
    if len(columns) > 1:
        found += rows(f"{protocol}, compared with {first}", _difference)
    return found


def _line(lines: Lines, line: str, metric: str) -> str:
    return _shown(lines[line][metric]) if line in lines else ""


def _score(lines: Lines, metric: str) -> str:
    low, high = lines["interval"][metric]
    return f"{_shown(lines['mean'][metric], lines.get('deviation', {}).get(metric))} ({low:.3f} to {high:.3f})"


def _shown(mean: float | None = None, deviation: float | None = None, places: int = 3) -> str:
    """Return a number, with its standard deviation where there is one; nothing where there is no number."""
    return " ± ".join(f"{value:,.{places}f}" for value in (mean, deviation) if value is not None)


def _difference(lines: Lines, metric: str) -> str:
    if "difference" not in lines:
        return ""
    low, high = lines["interval of the difference"][metric]
    verdict = "tie" if low <= 0 <= high else "higher" if low > 0 else "lower"
    return f"{verdict}: {lines['difference'][metric]:+.3f} ({low:+.3f} to {high:+.3f})"


def notes(beside: Mapping[str, Any], captioners: int) -> list[str]:
    """Return what a reader of the table must know."""
    return [
        f"{beside['photographs']:,} photographs of the split {beside['split']}; {captioners} captioners for each encoder, which differ "
        f"in their seed; beam {beside['beam']}. ± is the standard deviation over the captioners.",
        "In brackets: the 95% interval of the mean over the captioners, by the bootstrap over photographs; it does not cover the choice of seeds.",
        "Compared: the paired difference on the same photographs. Tie: its interval contains 0. Of twenty measures without any true "
        "difference, about one will not look like a tie.",
        f'One caption for all: "{beside["constant"]}". A person: one of the references against the others; the encoders\' rows "one '
        'reference fewer" face as many.',
        "Every number of an encoder is in summary.json in its folder, made from its seed-N/scores.json, captions.json and minutes.json.",
    ]


def as_csv(rows: Table) -> str:
    """Return the table as comma-separated values."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def as_markdown(rows: Table, remarks: Sequence[str]) -> str:
    """Return the table in Markdown, and what a reader must know as a list."""
    return "\n".join([report.markdown(rows), "", *(f"- {remark}" for remark in remarks), ""])
