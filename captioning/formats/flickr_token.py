"""Flickr8k.token.txt: lines `name.jpg#0<TAB>caption`."""

import re
from collections.abc import Iterator
from pathlib import Path

from captioning.formats import lines
from core.disk import read_any_text

NAME = "lines `name.jpg#0<TAB>caption` (Flickr8k.token.txt)"
PHOTOGRAPH = r"[^\t\n]+?\.(?i:jpe?g|png|webp)#\d+(?=\s)"  # a name that may have spaces
USUAL = rf"(?:{PHOTOGRAPH}|\S+#\d+)\s+\S.*"


def fits(head: str) -> bool:
    """Tell by the head of a file whether it has this form: some line is as usual."""
    return re.search(rf"^[^\S\n]*+{USUAL}", head, re.MULTILINE) is not None


def captions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the caption of each line."""
    yield from lines.pairs(read_any_text(path).split("\n"), _split_line, USUAL, path, first=1)


def _split_line(line: str) -> tuple[str, str]:
    """Split a line at the first space, as the original does, but for names with spaces, which end in `.jpg#0` or the like."""
    line = line.lstrip()
    whole = re.match(PHOTOGRAPH, line)
    name = whole[0] if whole else line.split()[0]
    return re.sub(r"#\d+$", "", name), line[len(name) :]
