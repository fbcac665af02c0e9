"""captions.txt of the re-packaged Flickr8k: the header `image,caption` and a row for each caption."""

import re
from collections.abc import Iterator
from pathlib import Path

from captioning.formats import lines
from core.disk import read_text

NAME = "the header `image,caption` and rows `name.jpg,caption` (captions.txt)"
HEADER = r"\W*image\W*,\W*caption\W*"
USUAL = r'("([^"]|"")+"|[^,"]+),("([^"]|"")*"|[^,"]*)'
PHOTOGRAPH = r'\s*+(?:"((?:[^"]|"")+)"|([^"]+?\.(?i:jpe?g|png|webp)))\s*,'  # a name that may have commas


def fits(head: str) -> bool:
    """Tell by the head of a file whether it has this form: its first line is the header."""
    header = head.partition("\n")[0]
    return len(header) < 200 and re.fullmatch(HEADER, header, re.IGNORECASE) is not None


def captions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the caption of each row."""
    _, *rows = read_text(path).split("\n")
    yield from lines.pairs(rows, _split_row, USUAL, path, first=2)


def _split_row(line: str) -> tuple[str, str]:
    """Split a CSV row; each line is one, so that a forgotten quotation mark spoils no other caption."""
    if whole := re.match(PHOTOGRAPH, line):
        name, caption = (whole[1] or whole[2]).replace('""', '"'), line[whole.end() :]
    else:
        name, _, caption = line.partition(",")
    if quoted := re.fullmatch(r'\s*"(.*)"\s*', caption):
        caption = quoted[1].replace('""', '"')
    return name.strip('" '), caption
