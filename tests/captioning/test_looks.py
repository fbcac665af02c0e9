"""Where a captioner looked for each word: the light over a photograph, the words of a page and the figure for papers."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from captioning.decoding import Caption
from captioning.pages import ablation_page, gallery, looks
from captioning.pages.ablation_page import Shown
from core.errors import InputError
from tests.captioning.test_gallery import CAPTION, Page

LOOKED = np.array([[[0.1, 0.2, 0.1], [0.1, 0.1, 0.4]], [[0.5, 0.1, 0.1], [0.1, 0.1, 0.1]]])  # (words, h, w)
LOOKS = Caption(("dog", "$<runs>$"), (0.875, 0.5), -0.4, True, LOOKED)


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "silver.png"
    Image.new("RGB", (90, 60), "silver").save(path)
    return path


def lights(page: Page, tag: str) -> list[np.ndarray]:
    """Return the grey pictures of the words that light something up."""
    styles = [word["style"] for word in page.all(tag) if word.get("class") == "looked" and word["tabindex"] == "0"]
    found = [re.search(r"--light:url\(data:image/png;base64,([^)]*)\)", style)[1] for style in styles]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def test_cells_of_the_attention_written_before_are_where_they_were_in_the_grid():
    caption = Caption(("a",), (1.0,), 0.0, True, np.arange(6.0)[None])
    assert caption.at_places((2, 3, 8)).attention.tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert caption.at_places(None).attention is None and CAPTION.at_places((2, 3, 8)).attention is None
    assert Caption((), (), 0.0, True, np.zeros((0, 6))).at_places((2, 3)).attention.shape == (0, 2, 3)


def test_words_of_the_gallery_hold_where_the_captioner_looked(tmp_path, photograph):
    gallery.write(tmp_path / "gallery.html", {photograph: {"": [LOOKS, CAPTION]}}, {})
    page = Page((tmp_path / "gallery.html").read_text("utf-8"))
    first, second = lights(page, "ruby")
    assert first.tolist() == [[60, 95, 60], [60, 60, 165]] and second.argmax() == 0
    assert len(page.all("ruby")) == 4 and page.all("figure") == [{"style": "--ratio:1.5000"}]
    assert "script" not in {tag for tag, _ in page.tags}


def test_words_of_the_ablation_hold_where_the_captioner_looked(tmp_path, photograph):
    given = {"looks": Shown("dog $<runs>$", LOOKED.tolist()), "does not": Shown("dog <runs>")}
    ablation_page.write(tmp_path / "ablation.html", [["", "", "", "looks", ""]], [], {}, {photograph: given})
    page = Page((tmp_path / "ablation.html").read_text("utf-8"))
    assert [light.argmax() for light in lights(page, "span")] == [5, 0]
    assert [question["data-caption"] for question in page.all("fieldset")] == ["dog $<runs>$", "dog <runs>"]


def test_captioners_have_their_names_before_their_captions(tmp_path, photograph):
    gallery.write(tmp_path / "gallery.html", {photograph: {"<b>merge": [CAPTION], "looks": [LOOKS]}}, {})
    page = Page((tmp_path / "gallery.html").read_text("utf-8"))
    assert page.all("img")[0]["alt"] == "<b>merge: dog runs; looks: dog $<runs>$"
    assert len(page.all("h2")) == 2
    assert "<b>merge\ndog88% runs50%\n\n\nlooks\ndog88% $<runs>$50%\nsilver.png" in page.text


def test_the_figure_has_a_panel_for_each_word_lit_where_the_captioner_looked(tmp_path, photograph):
    looks.draw(tmp_path / "words.png", {photograph: {"": [CAPTION], "looks": [LOOKS]}})
    pixels = np.asarray(Image.open(tmp_path / "words.png").convert("RGB")).astype(int)
    shown = pixels[pixels.shape[0] * 6 // 10]  # a line through the lower half of the three panels
    assert np.ptp(shown, axis=-1).max() < 3, "a grey photograph stays grey"
    edges = np.flatnonzero(np.diff((shown[:, 0] < 250).astype(int)))
    panels = [shown[first + 3 : last - 2, 0] for first, last in zip(edges[::2], edges[1::2], strict=True)]
    plain, first, second = panels
    assert np.ptp(plain) < 3 and first.min() < plain.min() / 2 < plain.max() < first.max()
    assert first.argmax() > len(first) * 0.7 and second.argmax() < len(second) * 0.3


def test_the_figure_says_what_it_leaves_out(tmp_path, photograph, capsys):
    described = {}
    for number in range(looks.ROWS + 2):
        path = tmp_path / f"{number}.png"
        path.write_bytes(photograph.read_bytes())
        described[path] = {"": [LOOKS if number else Caption((), (), 0.0, True, LOOKED[:0])]}
    looks.draw(tmp_path / "words.png", described)
    assert "words.png: the first 12 of 14 captions" in capsys.readouterr().out


def test_a_captioner_that_does_not_look_has_no_figure(tmp_path, photograph):
    with pytest.raises(
        InputError, match=r"a captioner that looks, to draw .*words\.png; found none .* --captioner attention"
    ):
        looks.draw(tmp_path / "words.png", {photograph: {"": [CAPTION]}})
