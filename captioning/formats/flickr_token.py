"""Flickr8k.token.txt: lines `name.jpg#0<TAB>caption`."""

import re
from collections.abc import Iterator
from pathlib import Path

from captioning.formats import lines
from core.disk import read_text

NAME = "lines `name.jpg#0<TAB>caption` (Flickr8k.token.txt)"
USUAL = r"\S+#\d+\s+\S.*"


def fits(head: str) -> bool:
    """Tell by the head of a file whether it has this form: some line is as usual."""
    return re.search(rf"^\s*{USUAL}", head, re.MULTILINE) is not None


def captions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the caption of each line."""
    yield from lines.pairs(read_text(path).split("\n"), _split_line, USUAL, path, first=1)


def _split_line(line: str) -> tuple[str, str]:
    name, *words = line.split()
    return name, " ".join(words)
