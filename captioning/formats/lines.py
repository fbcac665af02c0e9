"""Lines of a caption file, each a photograph's name and a caption: odd ones are read as well as they can be, and counted."""

import re
from collections.abc import Callable
from pathlib import Path

from core.errors import InputError


def pairs(
    lines: list[str], split: Callable[[str], tuple[str, str]], usual: str, path: Path, first: int
) -> list[tuple[str, str]]:
    """Split the lines into names and captions; odd lines are taken as well as they can be, counted and named.

    :raises InputError: no line is as usual.
    """
    filled = {number: line for number, line in enumerate(lines, first) if len(line) > 1 and line.strip()}
    odd = [number for number, line in filled.items() if not re.fullmatch(usual, line.strip())]
    if len(odd) == len(filled):
        found = repr(next(iter(filled.values()))[:60]) if filled else "no line"
        raise InputError(
            f"expected lines of a photograph's name and a caption in {path}, found {found}; check the path"
        )
    if odd:
        print(f"{path}: {len(odd)} odd lines, read as well as they can be: {_some(odd)}")
    return [split(line) for line in filled.values()]


def _some(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
