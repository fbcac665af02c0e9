"""The pages in a real browser: gallery.html and ablation.html from disk, and the page of `5_test.py --serve`.

A new page joins the checks that all pages must pass by a line in `PAGES`. SCREENSHOTS=DIR keeps pictures of them all.
"""

import csv
import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from captioning.decoding import Caption
from captioning.pages import ablation_page, gallery, serve
from captioning.pages.ablation_page import Shown
from encoders import photographs
from tests.browser import COMMAND, CONTRAST, DESK, PHONE, Browser

pytestmark = pytest.mark.skipif(COMMAND is None, reason="no Chromium here: the system's package chromium brings it")

CAPTIONS = [
    Caption(("black", "dog", "is", "running", "through", "the", "grass"), (0.31, 0.9, 0.7, 0.999, 0.05, 0.6, 1.0), -0.6, True),
    Caption(("<b>dogs</b>", "play", "in", "the", "snow"), (0.2, 0.4, 0.6, 0.8, 0.5), -0.9, False),
]  # fmt: skip


def draw(path: Path, size: tuple[int, int] = (60, 40)) -> Path:
    Image.linear_gradient("L").resize(size).convert("RGB").save(path)
    return path


def draw_bytes(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), colour).save(buffer, "PNG")
    return buffer.getvalue()


def write_gallery(folder: Path) -> Path:
    names = ["dog.jpg", "a <i>very<i> long name " + "without-end" * 9 + ".png", "tall.png"]
    drawn = [draw(folder / name, size) for name, size in zip(names, [(60, 40), (90, 30), (30, 90)], strict=True)]
    page = folder / "gallery.html"
    described = {path: {"": [caption]} for path, caption in zip(drawn, [*CAPTIONS, CAPTIONS[0]], strict=True)}
    gallery.write(page, described, {"broken.jpg": "cannot be identified"})
    return page


LOOKED = Caption(
    ("one", "two", "three", "four", "five", "six"), (0.5,) * 6, -0.7, True, np.eye(6).reshape(6, 2, 3) + 0.05
)


def write_looks(folder: Path) -> Path:
    """A gallery of two captioners; the second looks, for its n-th word, at the n-th cell."""
    sizes = [(60, 40), (90, 30), (30, 90)]
    drawn = [folder / f"{width}.png" for width, _ in sizes]
    for path, size in zip(drawn, sizes, strict=True):
        Image.new("RGB", size, "grey").save(path)
    page = folder / "looks.html"
    gallery.write(
        page, {path: {"a first captioner": [CAPTIONS[0]], "looks": [LOOKED, CAPTIONS[1]]} for path in drawn}, {}
    )
    return page


TABLE = [
    ["about", "measure", "one caption for all", "untrained", "<b>SimCLR</b>", "a person"],
    ["encoder", "parameters", "", "11,170,240", "11,170,240", ""],
    ["standard", "BLEU-1", "0.424", "0.370 ± 0.004 (0.355 to 0.386)", "0.373 ± 0.002 (0.355 to 0.391)", "0.644"],
    ["standard", "CIDEr-D", "0.133", "0.120 ± 0.004 (0.106 to 0.134)", "0.170 ± 0.002 (0.152 to 0.188)", "0.835"],
    ["standard, compared with untrained", "BLEU-1", "", "", "tie: +0.003 (-0.013 to +0.019)", ""],
    ["standard, compared with untrained", "CIDEr-D", "", "", "higher: +0.050 (+0.034 to +0.066)", ""],
]


def write_ablation(folder: Path) -> Path:
    page, plot = folder / "ablation.html", draw(folder / "scores.png")
    given = {draw(folder / f'{name}, "{name}".png'): {"untrained": Shown("a dog", np.ones((2, 7, 7)).tolist()), "<b>SimCLR</b>": Shown(f"one {name}, \"two\"")} for name in ("dog", "cat")}  # fmt: skip
    ablation_page.write(page, TABLE, ["what a reader must know " + "without-end" * 9], {"scores": plot}, given)
    return page


# for each page the function that writes it into a folder, with drawn data
PAGES = {"gallery": write_gallery, "ablation": write_ablation, "looks": write_looks}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    running = Browser(tmp_path_factory.mktemp("browser"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folders = {name: tmp_path_factory.mktemp(name) for name in PAGES}
    return {name: write(folders[name]).as_uri() for name, write in PAGES.items()}


@contextmanager
def serving(captions: gallery.Captions) -> Iterator[str]:
    """Serve the page, which finds these captions for any photograph; yield its address."""

    def describe(photograph: BinaryIO) -> gallery.Captions:
        photographs.read(photograph, 8, 8)
        return captions

    with serve.Server(describe, port=0) as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server.url
        server.shutdown()


@pytest.fixture
def served():
    with serving({"": CAPTIONS}) as url:
        yield url


def check(browser: Browser, name: str, size: tuple[int, int], scheme: str) -> None:
    """Check what any page must hold, in the window in which the browser shows it."""
    if folder := os.environ.get("SCREENSHOTS"):
        browser.screenshot(Path(folder) / f"{name}-{size[0]}-{scheme}.png")
    assert browser.errors == []
    assert browser.run("document.documentElement.scrollWidth <= window.innerWidth"), "it scrolls sideways"
    assert browser.run("[...document.images].every((image) => image.complete && image.naturalWidth && image.alt)")
    assert browser.run(
        "document.documentElement.lang && document.title && document.querySelectorAll('h1').length === 1"
    )
    contrast, *where = browser.run(CONTRAST)[0]
    assert contrast >= 4.5, (contrast, where)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_from_disk_and_reads_well(browser, pages, name, size, scheme):
    browser.open(pages[name], size, scheme)
    check(browser, name, size, scheme)
    assert {url.split(":")[0] for url in browser.requests} <= {"file", "data"}


def luminance(browser: Browser) -> int:
    return sum(map(int, browser.run("getComputedStyle(document.body).backgroundColor")[4:-1].split(",")))


def test_the_gallery_follows_the_readers_colours(browser, pages):
    browser.open(pages["gallery"], scheme="light")
    light = luminance(browser)
    browser.open(pages["gallery"], scheme="dark")
    assert luminance(browser) < 100 < 600 < light


def tab_to(browser: Browser, condition: str) -> None:
    """Press Tab until what has the focus fulfils a JavaScript condition on `it`."""
    for _ in range(20):
        browser.press("Tab", 9)
        if browser.run(f"((it) => {condition})(document.activeElement)"):
            return
    raise AssertionError(f"Tab does not reach {condition}")


def test_captions_are_marked_and_saved_with_the_keyboard_alone(browser, pages, tmp_path):
    browser.open(pages["ablation"])
    browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab_to(browser, "it.type === 'radio'")
    assert browser.run("getComputedStyle(document.activeElement.closest('label')).outlineStyle") == "solid", "no focus"
    browser.press(" ", 32, " ")
    tab_to(browser, "it.type === 'radio' && it.name.endsWith('SimCLR</b>')")
    browser.press(" ", 32, " ")
    browser.press("ArrowRight", 39)
    said = "untrained: 1 good, 0 adequate, 0 unacceptable\n<b>SimCLR</b>: 0 good, 1 adequate, 0 unacceptable"
    assert browser.run("document.querySelector('output').textContent") == said
    browser.open(pages["ablation"])  # the browser kept the marks
    assert browser.run("document.querySelector('output').textContent") == said
    tab_to(browser, "it.tagName === 'BUTTON'")
    browser.press("Enter", 13, "\r")
    saved, end = tmp_path / "marks.csv", time.monotonic() + 20
    while not saved.exists():
        assert time.monotonic() < end, "nothing was saved"
        time.sleep(0.05)
    first, second, *others = csv.DictReader(saved.read_text("utf-8").splitlines())
    photograph = 'dog, "dog".png'
    assert first == {"photograph": photograph, "encoder": "untrained", "caption": "a dog", "mark": "good"}
    assert second == {"photograph": photograph, "encoder": "<b>SimCLR</b>", "caption": 'one dog, "two"', "mark": "adequate"}  # fmt: skip
    assert [row["mark"] for row in others] == ["", ""]
    assert browser.errors == []


def reach(browser: Browser, way: str, word: str) -> None:
    """Point at a word, an expression of JavaScript, tap it or press Tab until it has the focus."""
    if way == "Tab":
        tab_to(browser, f"it === {word}")
        return
    browser.run(f"{word}.scrollIntoView({{block: 'center'}})")
    x, y = browser.run(
        f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({word}.getBoundingClientRect())"
    )
    if way == "tap":
        browser.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        browser.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    else:
        browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


def brightness(browser: Browser, folder: Path, image: str) -> np.ndarray:
    """Return how bright a photograph shines in the middle of each of its cells, (2, 3)."""
    browser.screenshot(folder / "page.png")
    x, y, width, height, *own = browser.run(
        f"((it, {{x, y, width, height}}) => [x + scrollX, y + scrollY, width, height, it.naturalWidth, it.naturalHeight])"
        f"({image}, {image}.getBoundingClientRect())"
    )
    across, down = np.multiply(own, min(width / own[0], height / own[1]))
    left, top = x + (width - across) / 2, y + (height - down) / 2
    page = Image.open(folder / "page.png").convert("L")
    places = [
        [(left + (column + 0.5) * across / 3, top + (row + 0.5) * down / 2) for column in range(3)] for row in range(2)
    ]
    return np.array([[page.getpixel((int(x), int(y))) for x, y in line] for line in places])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("way", "size"), [("hover", DESK), ("tap", PHONE), ("tap", DESK), ("Tab", DESK), ("Tab", PHONE)]
)
def test_a_word_lights_up_the_photograph_where_the_captioner_looked(browser, pages, tmp_path, way, size, scheme):
    browser.send("Emulation.setTouchEmulationEnabled", enabled=way == "tap")
    browser.open(pages["looks"], size, scheme)
    for figure in range(3):
        image = f"document.querySelectorAll('figure img')[{figure}]"
        for word in (1, 4):
            reach(browser, way, f"document.querySelectorAll('figure')[{figure}].querySelectorAll('.looked')[{word}]")
            cells = brightness(browser, tmp_path, image)
            assert cells.argmax() == word and cells.max() > 127 > 60 > np.sort(cells.ravel())[-2], cells
        if folder := os.environ.get("SCREENSHOTS"):
            browser.screenshot(Path(folder) / f"looks-{way}-{size[0]}-{scheme}.png")


def test_a_word_under_the_pointer_goes_before_the_one_with_the_focus(browser, pages, tmp_path):
    browser.open(pages["looks"])
    image, words = "document.querySelector('img')", "document.querySelectorAll('.looked')"
    assert np.ptp(brightness(browser, tmp_path, image)) == 0
    reach(browser, "Tab", f"{words}[0]")
    reach(browser, "hover", f"{words}[3]")
    cells = brightness(browser, tmp_path, image)
    assert cells.argmax() == 3 and np.ptp(np.delete(cells, 3)) < 9, cells


def test_captioners_stand_side_by_side_and_on_a_phone_under_each_other(browser, pages):
    for size, beside in ((DESK, True), (PHONE, False)):
        browser.open(pages["looks"], size)
        first, second = browser.run(
            "[...document.querySelectorAll('h2')].slice(0, 2).map((it) => it.getBoundingClientRect().y)"
        )
        assert (first == second) == beside


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK])
def test_the_served_page_captions_a_chosen_photograph(browser, served, tmp_path, size, scheme):
    browser.open(served, size, scheme)
    root = browser.send("DOM.getDocument")["root"]["nodeId"]
    field = browser.send("DOM.querySelector", nodeId=root, selector="input")["nodeId"]
    path = draw(tmp_path / "<img src=x onerror=document.title=1>.png")
    browser.send("DOM.setFileInputFiles", nodeId=field, files=[str(path)])
    browser.wait("document.querySelector('output').textContent.endsWith('grass')")
    assert browser.run("document.querySelector('img').alt") == CAPTIONS[0].text
    assert browser.run("document.querySelector('figure small').textContent") == path.name
    assert browser.run("document.querySelector('li').textContent").startswith("<b>dogs</b>20% play")
    browser.run("document.querySelector('details').open = true")
    check(browser, "served", size, scheme)
    assert all(url.startswith((f"{served}/", "data:")) for url in browser.requests)


def drop(browser: Browser, data: bytes | int, kind: str) -> None:
    """Drop a file on the page as a hand would: the browser hides real ones behind the system's own dragging.

    :param data: the file's bytes, or how many zeros it holds.
    """
    content = [*data] if isinstance(data, bytes) else data
    browser.run(
        f"""(() => {{
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array({content})], "dropped", {{ type: "{kind}" }}));
          document.querySelector("h1").dispatchEvent(
            new DragEvent("drop", {{ dataTransfer: transfer, bubbles: true, cancelable: true }}));
        }})()"""
    )


def test_the_served_page_captions_what_is_dropped_and_says_what_it_cannot_read(browser, served):
    browser.open(served)
    for data, kind, said in (
        (draw_bytes(), "image/png", CAPTIONS[0].text),
        (b"no picture", "image/png", "cannot be decoded: cannot identify image file"),
        (b"<svg/>", "image/svg+xml", "expected a JPEG, PNG or WebP file"),
        (serve.LARGEST + 1, "image/png", "expected at most 20 MB"),
    ):
        drop(browser, data, kind)
        browser.wait(f"document.querySelector('output').textContent === 'dropped: {said}'")
    assert browser.run("document.querySelectorAll('figure').length") == 1


def test_the_served_page_works_with_the_keyboard(browser, served):
    browser.open(served)
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.type") == "file"
    assert browser.run("getComputedStyle(document.querySelector('label')).borderStyle") == "solid", "focus is not shown"
    drop(browser, draw_bytes(), "image/png")
    browser.wait("document.querySelector('details')")
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.tagName") == "SUMMARY"
    browser.press("Enter", 13, "\r")
    assert browser.run("document.querySelector('details').open")


def test_words_of_the_served_page_light_up_its_photograph(browser, tmp_path):
    with serving({"merge": CAPTIONS, "looks": [LOOKED]}) as url:
        browser.open(url, PHONE)
        assert browser.run("getComputedStyle(document.querySelector('.looks')).display") == "none"
        drop(browser, draw_bytes("grey"), "image/png")
        browser.wait("document.querySelector('.looked')")
        assert browser.run("getComputedStyle(document.querySelector('.looks')).display") == "block"
        reach(browser, "Tab", "document.querySelectorAll('.looked')[2]")
        assert brightness(browser, tmp_path, "document.querySelector('img')").argmax() == 2
        assert browser.errors == []


def test_another_page_cannot_use_the_served_one(browser, served, pages):
    browser.open(pages["gallery"])
    answer = browser.run(
        f"fetch('{served}/caption?name=x', {{method: 'POST', mode: 'no-cors', body: 'x'}}).then(() => 'sent', () => 'refused')"
    )
    assert answer == "refused"
