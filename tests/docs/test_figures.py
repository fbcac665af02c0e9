"""The README's pictures: drawn from what a run wrote, and small."""

import numpy as np
import pytest
from PIL import Image

from captioning.decoding import Caption
from core.errors import InputError
from docs.figures import comparison_figure, demo_figures, draw

TABLE = """about,measure,one caption for all,untrained,simclr,a person
encoder,parameters,,"11,170,240","11,170,240",
captioner,val_loss,,4.008 ± 0.010,3.900,
standard,CIDEr-D,0.133,0.120 ± 0.004 (0.106 to 0.134),0.170 (0.152 to 0.188),
"standard, one reference fewer",CIDEr-D,,0.121,0.172,0.835
"""


def test_a_cell_of_the_table_is_a_value_with_its_interval_or_deviation():
    assert comparison_figure.read("0.120 ± 0.004 (0.106 to 0.134)") == (0.120, 0.106, 0.134)
    assert comparison_figure.read("4.000 ± 0.500") == (4.0, 3.5, 4.5)
    assert comparison_figure.read("3.900") == (3.9, 3.9, 3.9)


def test_the_ablations_picture_has_a_panel_for_each_measure_that_is_there(tmp_path):
    widths = []
    for name, text in (("two", TABLE), ("one", TABLE.replace("val_loss", "minutes"))):
        (tmp_path / f"{name}.csv").write_text(text, "utf-8")
        comparison_figure.draw(tmp_path / f"{name}.png", tmp_path / f"{name}.csv")
        widths.append(Image.open(tmp_path / f"{name}.png").width)
    assert widths == [640, 320]
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(InputError, match=r"expected the table of 6_ablation\.py in .*other\.csv"):
        comparison_figure.draw(tmp_path / "other.png", tmp_path / "other.csv")


def test_the_pipeline_and_the_gallery_show_every_scene(tmp_path):
    random = np.random.default_rng(0)
    caption = Caption(("a", "dog"), (0.5, 0.5), -1, True)
    drawn = random.integers(0, 256, (demo_figures.COUNT, 96, 128, 3), "uint8")
    described = [demo_figures.Described(pixels, random.normal(size=32), caption, "A dog .") for pixels in drawn]
    demo_figures.draw_pipeline(tmp_path / "pipeline.png", described[:3])
    demo_figures.pictures_above_captions(tmp_path / "gallery.png", [(pixels, "a dog") for pixels in drawn], 4)
    for name in ("pipeline.png", "gallery.png"):
        before = (tmp_path / name).stat().st_size
        draw.shrink(tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            assert picture.mode == "P" and picture.width == 1000
        assert (tmp_path / name).stat().st_size < before


def test_the_pictures_that_are_shipped_are_small():
    sizes = {path.name: path.stat().st_size for path in draw.FOLDER.glob("*.png")}
    assert len(sizes) >= 7 and max(sizes.values()) < 200_000
