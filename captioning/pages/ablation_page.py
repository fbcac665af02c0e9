"""The ablation's page: its table and plots, and photographs with each encoder's caption, which a person marks."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from captioning.ablation.comparison import Table
from captioning.pages import looks, page
from core import disk

MARKS = ("good", "adequate", "unacceptable")  # each has its colour in ablation_page.css


class Shown(NamedTuple):
    """A caption, and where the captioner looked for each of its words, (words, h, w); None if it does not look, or left nothing of it."""

    caption: str
    attention: Sequence | None = None


def write(
    path: Path,
    table: Table,
    notes: Sequence[str],
    plots: Mapping[str, Path],
    photographs: Mapping[Path, Mapping[str, Shown]],
) -> None:
    """Write the page, all or nothing.

    :param notes: what a reader of the table must know.
    :param plots: PNG files by what they show.
    :param photographs: for each photograph the caption of each encoder.
    """
    header, *rows = table
    groups = (list(group) for _, group in groupby(rows, key=lambda row: row[0]))
    html = page.render(
        "ablation_page.html",
        title=f"{len(header) - 4} encoders compared by their captions",
        style=page.read("page.css", "ablation_page.css"),
        script=page.read("ablation_page.js"),
        header="".join(f'<th scope="col">{escape(cell)}</th>' for cell in header),
        groups="\n".join(map(_group, groups)),
        notes=page.items(map(escape, notes)),
        plots="\n".join(page.picture(disk.read_bytes(plot), escape(shown)) for shown, plot in plots.items()),
        captions=_digest(photographs),
        marks=" ".join(MARKS),
        figures="\n".join(_figure(photograph, given) for photograph, given in photographs.items()),
    )
    disk.write_text(path, html)


def _digest(photographs: Mapping[Path, Mapping[str, Shown]]) -> str:
    """Return the name under which a browser keeps the marks of these captions."""
    return disk.digest(
        [(path.name, {name: shown.caption for name, shown in given.items()}) for path, given in photographs.items()]
    )


def _group(rows: Table) -> str:
    """Return the HTML of rows with the same first cell, which stands once beside them all."""
    about = f'<th scope="rowgroup" rowspan="{len(rows)}">{escape(rows[0][0])}</th>'
    return f"<tbody>\n<tr>{about}" + "</tr>\n<tr>".join(map(_row, rows)) + "</tr>\n</tbody>"


def _row(row: Sequence[str]) -> str:
    _, measure, *cells = map(escape, row)
    return f'<th scope="row">{measure}</th>' + "".join(map(_cell, cells))


def _cell(cell: str) -> str:
    return f'<td class="tie">{cell}</td>' if cell.startswith("tie:") else f"<td>{cell}</td>"


def _figure(photograph: Path, captions: Mapping[str, Shown]) -> str:
    name = escape(photograph.name)
    questions = "\n".join(_question(name, escape(encoder), shown) for encoder, shown in captions.items())
    below = f"{questions}\n<figcaption><small>{name}</small></figcaption>"
    return page.figure(photograph, f"photograph {name}", below)


def _question(photograph: str, encoder: str, shown: Shown) -> str:
    """Return the HTML of one caption with its three marks; the names are HTML already."""
    data = f'data-photograph="{photograph}" data-encoder="{encoder}" data-caption="{escape(shown.caption)}"'
    marks = "\n".join(_mark(mark, f"{photograph} {encoder}") for mark in MARKS)
    return f"<fieldset {data}>\n<legend>{encoder}</legend>\n<p>{_words(shown) or 'no words'}</p>\n{marks}\n</fieldset>"


def _words(shown: Shown) -> str:
    if shown.attention is None:
        return escape(shown.caption)
    pairs = zip(shown.caption.split(), shown.attention, strict=True)
    return " ".join(f"<span {looks.attributes(looked)}>{escape(word)}</span>" for word, looked in pairs)


def _mark(mark: str, name: str) -> str:
    return f'<label class="{mark}"><input type="radio" name="{name}" value="{mark}"> {mark}</label>'
