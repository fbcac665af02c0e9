"""docs/tour.ipynb runs on what is shipped, and what it showed is kept in it."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

TOUR = Path(__file__).parents[2] / "docs" / "tour.ipynb"


def outputs(book) -> list[list[str]]:
    """The kinds of what each cell of code shows, its text on standard output among them."""
    return [
        [kind for output in cell.outputs for kind in output.get("data", {output.get("name", "error"): ""})]
        for cell in book.cells
        if cell.cell_type == "code"
    ]


def test_the_tour_runs_and_shows_what_is_kept_in_it():
    kept = nbformat.read(TOUR, as_version=4)
    again = nbformat.read(TOUR, as_version=4)
    NotebookClient(again, timeout=300, resources={"metadata": {"path": str(TOUR.parent)}}).execute()
    assert outputs(again) == outputs(kept)
    shown = [kind for kinds in outputs(kept) for kind in kinds]
    assert shown.count("text/markdown") == 2 and shown.count("image/jpeg") == 2 and shown.count("image/png") == 1
    assert "stderr" not in shown and TOUR.stat().st_size < 500_000
    for name in ("distilled", "efficientnet_lite0"):
        assert any(name in str(cell.get("outputs")) for cell in kept.cells)
