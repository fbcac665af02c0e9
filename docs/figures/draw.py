"""Draw the pictures of README and docs from real results. No photograph of a data set is in them: they show drawn scenes, and Examples/.

    python -m docs.figures.draw --demo demo-run --ablation ablation --jigsaw jigsaw_run

Reads Pre-trained/, a run of the demo, of step 6 and of jigsaw.main; a picture whose run is not named stays as it is. Writes, beside this file:
    examples.png, words.png                                      what the shipped captioners say of the photographs in Examples/, and where they looked
    simclr_curves.png, simclr_views.png, simclr_neighbours.png   the training of docs/recipes/simclr.sh, views, the shipped encoder's neighbours
    pipeline.png, gallery.png, demo_ablation.png                 the steps, and captions, of the demo's first new scenes; its table
    ablation.png                                                 the table of a run of step 6
    puzzle.png                                                   puzzles of drawn scenes, and the run's answers
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from captioning.describe import all_by_captioner, shipped
from captioning.pages import looks
from core import devices, disk, settings
from demo import pictures, scenes
from docs.figures import comparison_figure, demo_figures
from docs.figures.demo_figures import pictures_above_captions
from encoders import encoder_file, photographs
from encoders.extract import Network
from jigsaw import encoder, maximal_hamming
from jigsaw.watch import draw_puzzles
from pretext import watch
from pretext.views import Recipe
from pretext.watch import draw_curves

LOOKED_AT = ("cameraman", "cat", "raccoon")
FOLDER = Path(__file__).parent
TRAINED, EXAMPLES = (FOLDER.parents[1] / name for name in ("Pre-trained", "Examples"))


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    demo: Path | None = None
    """Folder of a run of the demo."""
    ablation: Path | None = None
    """Folder of a run of step 6."""
    jigsaw: Path | None = None
    """Folder of a run of jigsaw.main without --permutation-file."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    draw_simclr()
    draw_examples(FOLDER / "examples.png", FOLDER / "words.png")
    if config.demo:
        described = demo_figures.describe(config.demo)
        demo_figures.draw_pipeline(FOLDER / "pipeline.png", described[:3])
        pictures_above_captions(FOLDER / "gallery.png", [(scene.pixels, scene.caption.text) for scene in described], 4)
        comparison_figure.draw(FOLDER / "demo_ablation.png", config.demo / "ablation" / "ablation.csv")
    if config.ablation:
        comparison_figure.draw(FOLDER / "ablation.png", config.ablation / "ablation.csv")
    if config.jigsaw:
        solver = encoder.read_run(config.jigsaw)
        permutations = maximal_hamming.permutations(solver.model.output_shape[-1])
        draw_puzzles(FOLDER / "puzzle.png", solver, drawn(30, solver.size), permutations, seed=0, count=3)
    for path in FOLDER.glob("*.png"):
        shrink(path)


def draw_simclr() -> None:
    """Draw the log of docs/recipes/simclr.sh, and the views and the shipped encoder's neighbours of drawn scenes."""
    network = Network(encoder_file.read(TRAINED / "simclr_260/encoder.keras"))
    pixels = drawn(600, network.height)
    draw_curves(FOLDER / "simclr_curves.png", history(), ("loss",), ("accuracy", "spread"))
    watch.draw_views(FOLDER / "simclr_views.png", pixels, Recipe(64, 0.2, 0.5, blur=0.2), seed=0, count=12)
    watch.draw_neighbours(FOLDER / "simclr_neighbours.png", network, pixels, count=3)


def draw_examples(captioned: Path, words: Path) -> None:
    """Draw the photographs of Examples/ with the shipped captioners' captions below, as `5_test.py --compare` gives them, and where they looked."""
    found, _ = all_by_captioner(shipped(TRAINED), photographs.list_photographs(EXAMPLES), beam=3)
    shown = []
    for path, by_captioner in found.items():
        lines = [f"{name}:\n{best.text}" for name, (best,) in by_captioner.items()]
        shown.append((np.asarray(photographs.open_rgb(path)), "\n".join(lines)))
    pictures_above_captions(captioned, shown, 3)
    *_, best = next(iter(found.values()))
    looks.draw(words, {EXAMPLES / f"{name}.jpg": {"": found[EXAMPLES / f"{name}.jpg"][best]} for name in LOOKED_AT})


def history() -> dict[str, list[float]]:
    """Return the log of docs/recipes/simclr.sh."""
    rows = list(csv.DictReader(disk.read_text(FOLDER.parent / "results" / "simclr_history.csv").splitlines()))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def drawn(count: int, size: int) -> np.ndarray:
    """Draw scenes of the demo's world: uint8 (count, size, size, 3)."""
    chosen = list(scenes.splits(max(count, 600), seed=0)["train"].values())[:count]
    return np.stack(
        [pictures.picture(scene, Random(number)).resize((size, size)) for number, scene in enumerate(chosen)]
    )


def shrink(path: Path) -> None:
    """Reduce a PNG to at most 1,000 pixels of width and 256 colours: a third of its bytes."""
    with Image.open(path) as picture:
        if picture.mode == "P":
            return
        small = picture.convert("RGB")
        small.thumbnail((1000, 2000))
        fewer = small.quantize(256, dither=Image.Dither.NONE)
    with disk.replacing(path) as temporary:
        fewer.save(temporary, format="png", optimize=True)


if __name__ == "__main__":
    settings.run(main)
