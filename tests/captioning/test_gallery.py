"""The gallery: one page that holds everything, whatever names and captions it is given."""

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from captioning.decoding import Caption
from captioning.pages import gallery

CAPTION = Caption(("dog", "runs"), (0.875, 0.5), score=-0.4, finished=True)


class Page(HTMLParser):
    """Collects tags with their attributes, and all text; a tag that is not closed in order is an error."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(source)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "a <b>&'\".png"
    Image.new("RGB", (900, 600), "red").save(path)
    return path


def page(tmp_path, captions, unreadable=()):
    described = {path: {"": [caption]} for path, caption in captions.items()}
    gallery.write(tmp_path / "gallery.html", described, dict(unreadable))
    return Page((tmp_path / "gallery.html").read_text("utf-8"))


def test_words_carry_their_probabilities(tmp_path, photograph):
    parsed = page(tmp_path, {photograph: CAPTION})
    assert [attributes["title"] for attributes in parsed.all("ruby")] == ["probability 0.875", "probability 0.500"]
    assert [attributes["style"] for attributes in parsed.all("ruby")] == ["--sureness:0.88", "--sureness:0.50"]
    assert "dog88% runs50%" in parsed.text


def test_thumbnails_are_small_pictures_inside_the_page(tmp_path, photograph):
    (image,) = page(tmp_path, {photograph: CAPTION}).all("img")
    assert (image["width"], image["height"], image["alt"]) == ("320", "213", "dog runs")
    data = image["src"].removeprefix("data:image/jpeg;base64,")
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (320, 213)


def test_nothing_is_fetched(tmp_path, photograph):
    parsed = page(tmp_path, {photograph: CAPTION}, {"x.jpg": "broken"})
    assert not re.search(r"https?:|url\(|@import", (tmp_path / "gallery.html").read_text("utf-8"))
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe"}
    assert any("viewport" in meta.values() for meta in parsed.all("meta"))


def test_names_words_and_reasons_are_text_and_never_markup(tmp_path, photograph):
    hostile = Caption(("<script>", "'\"&"), (0.5, 0.5), score=-1, finished=True)
    parsed = page(tmp_path, {photograph: hostile}, {"<i>.jpg": "not <b>a</b> picture"})
    assert not {tag for tag, _ in parsed.tags} & {"script", "i", "b"}
    assert all(text in parsed.text for text in (photograph.name, "<script>", "<i>.jpg: not <b>a</b> picture"))
    assert parsed.all("img")[0]["alt"] == "<script> '\"&"


def test_a_caption_without_words_or_without_an_end_says_so(tmp_path, photograph):
    assert "no words" in page(tmp_path, {photograph: Caption((), (), 0.0, True)}).text
    assert "…" in page(tmp_path, {photograph: Caption(("dog",), (0.5,), -1, False)}).text
    assert "…" not in page(tmp_path, {photograph: CAPTION}).text
