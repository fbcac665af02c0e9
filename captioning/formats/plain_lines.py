"""Lines `name.jpg caption`, without a number."""

import re
from collections.abc import Iterator
from pathlib import Path

from captioning.formats import lines
from core.disk import read_any_text

NAME = "lines `name.jpg caption`"
USUAL = r"([^\s.][^\t\n]*?\.(?i:jpe?g|png|webp)) +(\S[^\t\n]*)"  # a name may have spaces; tabs make a table


def fits(head: str) -> bool:
    """Tell by the head of a file whether it has this form: its first line is as usual."""
    return re.fullmatch(USUAL, head.strip().partition("\n")[0].strip()) is not None


def captions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the caption of each line."""
    yield from lines.pairs(read_any_text(path).split("\n"), _split_line, USUAL, path, first=1)


def _split_line(line: str) -> tuple[str, str]:
    whole = re.fullmatch(USUAL, line.strip())
    name, _, caption = line.strip().partition(" ")
    return (whole[1], whole[2]) if whole else (name, caption)
