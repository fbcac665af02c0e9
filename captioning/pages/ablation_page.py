"""The ablation's page: its table and plots, and photographs with each encoder's caption, which a person marks."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from captioning.ablation.comparison import Table
from captioning.ablation.study import digest
from captioning.pages import page
from core import disk

MARKS = ("good", "adequate", "unacceptable")

STYLE = """
main { grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)) }
section.wide { max-width: none }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .75rem; background: var(--card) }
table { border-collapse: collapse; font-size: .85rem; white-space: nowrap; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .75rem; text-align: left }
tbody { border-top: 1px solid var(--line) }
tbody th { position: sticky; left: 6.5rem; background: var(--card); font-weight: 400; vertical-align: top }
th[scope="rowgroup"] { left: 0; min-width: 6.5rem; max-width: 6.5rem; white-space: normal; color: var(--quiet) }
th[scope="row"] { max-width: 9rem; white-space: normal }
td.tie { color: var(--quiet) }
section img { aspect-ratio: auto; border-radius: .75rem; max-width: 60rem; margin-top: 1rem; background: #fff }
fieldset { border: 0; border-top: 1px solid var(--line); padding: .5rem 1rem .75rem }
legend { float: left; width: 100%; font-size: .85rem; color: var(--quiet) }
fieldset p { clear: both; overflow-wrap: anywhere }
label { display: inline-block; margin: .3rem .3rem 0 0; padding: .1rem .6rem .1rem .4rem; border: 2px solid var(--line); border-radius: 1rem; font-size: .85rem }
label.good:has(:checked) { border-color: #2e9e4f }
label.adequate:has(:checked) { border-color: #e0a800 }
label.unacceptable:has(:checked) { border-color: #d64545 }
label.good input { accent-color: #2e9e4f }
label.adequate input { accent-color: #e0a800 }
label.unacceptable input { accent-color: #d64545 }
label:focus-within { outline: 2px solid var(--ink); outline-offset: 1px }
button { font: inherit; padding: .3rem 1rem; margin-top: .5rem }
output { display: block; white-space: pre-line }
"""

SCRIPT = """
"use strict";
const main = document.querySelector("main"), storage = "marks " + main.dataset.captions;
const questions = [...main.querySelectorAll("fieldset")];
let marks = {};
try { marks = JSON.parse(localStorage.getItem(storage)) || {}; } catch { /* a browser that keeps nothing */ }
const markOf = (question) => question.querySelector(":checked")?.value ?? "";
function count() {
  const names = [...new Set(questions.map((question) => question.dataset.encoder))];
  const line = (name) => {
    const given = questions.filter((question) => question.dataset.encoder === name).map(markOf);
    return name + ": " + [MARKS].map((mark) => given.filter((other) => other === mark).length + " " + mark).join(", ");
  };
  document.querySelector("output").textContent = names.map(line).join("\\n");
}
function csv() {
  const rows = questions.map((question) => [...["photograph", "encoder", "caption"].map((key) => question.dataset[key]), markOf(question)]);
  const cell = (text) => '"' + text.replaceAll('"', '""') + '"';
  return [["photograph", "encoder", "caption", "mark"], ...rows].map((row) => row.map(cell).join(",") + "\\n").join("");
}
main.addEventListener("change", (event) => {
  marks[event.target.name] = event.target.value;
  try { localStorage.setItem(storage, JSON.stringify(marks)); } catch { /* the marks stay until the page is closed */ }
  count();
});
document.querySelector("button").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "marks.csv";
  link.click();
});
for (const radio of main.querySelectorAll("input")) radio.checked = marks[radio.name] === radio.value;
count();
""".replace("[MARKS]", str([*MARKS]))

INTRODUCTION = """<p>One captioner design, trained on the features of one encoder after another.
Below: <a href="#table">the table</a>, <a href="#plots">plots</a>, and <a href="#captions">captions to mark</a>.</p>"""

MARKING = """<section>
<h2 id="captions">Captions to mark</h2>
<p>The captions of each encoder's first captioner. Your marks stay in this browser; the button writes them to a file.</p>
<output aria-live="polite"></output>
<button type="button">Save the marks as CSV</button>
</section>"""


def write(
    path: Path,
    table: Table,
    notes: Sequence[str],
    plots: Mapping[str, Path],
    photographs: Mapping[Path, Mapping[str, str]],
) -> None:
    """Write the page, all or nothing.

    :param notes: what a reader of the table must know.
    :param plots: PNG files by what they show.
    :param photographs: for each photograph the caption of each encoder.
    """
    captions = digest([(photograph.name, dict(given)) for photograph, given in photographs.items()])
    figures = "\n".join(_figure(photograph, given) for photograph, given in photographs.items())
    body = "\n".join([
        f'<section class="wide">\n<h2 id="table">The table</h2>\n{as_html(table)}\n{_list(notes)}\n</section>',
        f'<section class="wide">\n<h2 id="plots">Plots</h2>\n{_pictures(plots)}\n</section>',
        MARKING,
        f'<main data-captions="{captions}">\n{figures}\n</main>',
    ])  # fmt: skip
    title = f"{len(table[0]) - 4} encoders compared by their captions"
    disk.write_text(path, page.render(title, INTRODUCTION, body, page.STYLE + STYLE, SCRIPT))


def as_html(rows: Table) -> str:
    """Return the table in HTML, a group of rows for each value of its first column."""
    header, *rest = rows
    groups = "\n".join(_group(list(group)) for _, group in groupby(rest, key=lambda row: row[0]))
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n{groups}\n</table>"
    return f'<div class="scroll" role="region" aria-label="The table" tabindex="0">\n{table}\n</div>'


def _group(rows: Table) -> str:
    """Return rows with the same first cell, which stands once beside them all."""
    about = f'<th scope="rowgroup" rowspan="{len(rows)}">{escape(rows[0][0])}</th>'
    return f"<tbody>\n<tr>{about}" + "</tr>\n<tr>".join(map(_row, rows)) + "</tr>\n</tbody>"


def _row(row: Sequence[str]) -> str:
    _, measure, *cells = map(escape, row)
    tags = ('<td class="tie">' if cell.startswith("tie:") else "<td>" for cell in cells)
    return f'<th scope="row">{measure}</th>' + "".join(
        f"{tag}{cell}</td>" for tag, cell in zip(tags, cells, strict=True)
    )


def _list(items: Sequence[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape(item)}</li>" for item in items) + "\n</ul>"


def _pictures(plots: Mapping[str, Path]) -> str:
    pictures = {shown: base64.b64encode(disk.read_bytes(path)).decode() for shown, path in plots.items()}
    return "\n".join(
        f'<img src="data:image/png;base64,{data}" alt="{escape(shown)}">' for shown, data in pictures.items()
    )


def _figure(photograph: Path, captions: Mapping[str, str]) -> str:
    name = escape(photograph.name)
    questions = "\n".join(_question(name, escape(encoder), escape(caption)) for encoder, caption in captions.items())
    return f"<figure>\n{page.thumbnail(photograph, f'photograph {name}')}\n{questions}\n<figcaption><small>{name}</small></figcaption>\n</figure>"


def _question(photograph: str, encoder: str, caption: str) -> str:
    """Return the HTML of one caption with its three marks; the arguments are HTML already."""
    marks = "\n".join(
        f'<label class="{mark}"><input type="radio" name="{photograph} {encoder}" value="{mark}"> {mark}</label>'
        for mark in MARKS
    )
    data = f'data-photograph="{photograph}" data-encoder="{encoder}" data-caption="{caption}"'
    return f"<fieldset {data}>\n<legend>{encoder}</legend>\n<p>{caption or 'no words'}</p>\n{marks}\n</fieldset>"
