"""The results of an ablation: its table in three forms, plots, and photographs with every encoder's caption."""

from collections.abc import Sequence
from pathlib import Path

from captioning.ablation import comparison, plots
from captioning.ablation.study import Data, Study, examples
from captioning.captions import read_results
from captioning.pages import ablation_page
from captioning.pages.ablation_page import Shown
from core.disk import read_json, write_text


def write(out: Path, studies: Sequence[Study], data: Data) -> None:
    """Write ablation.csv, ablation.md and ablation.html, with the plots, into `out`, and print the table."""
    summaries, seeds = comparison.summarise(studies, data), len(studies[0].runs)
    beside = read_json(studies[0].runs[0] / "scores.json")
    table, notes = comparison.table(summaries, beside), comparison.notes(beside, seeds)
    write_text(out / "ablation.csv", comparison.as_csv(table))
    write_text(out / "ablation.md", comparison.as_markdown(table, notes))
    pictures = plots.draw(out, studies, summaries, beside)
    images = examples(data)
    captions = {study.name: _captions(study.runs[0], images) for study in studies}
    shown = {data.photographs[image]: {name: given[image] for name, given in captions.items()} for image in images}
    ablation_page.write(out / "ablation.html", table, notes, pictures, shown)
    print(f"\n{comparison.as_markdown(table, notes)}")
    print(f"wrote {out / 'ablation'}.csv, .md and .html: {len(studies)} encoders, {seeds} captioners each")


def _captions(run: Path, images: Sequence[str]) -> dict[str, Shown]:
    """Return a captioner's captions of some photographs, with what it left of where it looked."""
    captions, stored = read_results(run / "captions.json"), run / "attention.json"
    looked = read_json(stored) if stored.exists() else {}
    return {image: Shown(captions[image], looked.get(image)) for image in images}
