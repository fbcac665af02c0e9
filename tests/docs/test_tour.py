"""docs/tour.ipynb runs on what is shipped, and what it showed is kept in it."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

TOUR = Path(__file__).parents[2] / "docs" / "tour.ipynb"


def outputs(book) -> list[list[str]]:
    """The kinds of what each cell of code shows, its text on standard output among them."""
    return [
        [kind for output in cell.outputs for kind in sorted(output.get("data", [output.get("name", "error")]))]
        for cell in book.cells
        if cell.cell_type == "code"
    ]


def test_the_tour_runs_and_shows_what_is_kept_in_it():
    kept = nbformat.read(TOUR, as_version=4)
    again = nbformat.read(TOUR, as_version=4)
    NotebookClient(again, timeout=300, resources={"metadata": {"path": str(TOUR.parent)}}).execute()
    assert outputs(again) == outputs(kept)
    shown = outputs(kept)
    assert sum("text/markdown" in kinds for kinds in shown) == 2 and sum("image/jpeg" in kinds for kinds in shown) == 3
    assert not any("stderr" in kinds for kinds in shown) and TOUR.stat().st_size < 500_000
    for name in ("distilled", "efficientnet_lite0"):
        assert any(name in str(cell.get("outputs")) for cell in kept.cells)
