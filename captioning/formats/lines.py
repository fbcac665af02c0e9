"""Lines of a caption file, each a photograph's name and a caption: odd ones are read as well as they can be, and counted."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import InputError


def pairs(
    lines: list[str], split: Callable[[str], tuple[str, str]], usual: str, path: Path, first: int
) -> list[tuple[str, str]]:
    """Split the lines into names and captions; odd lines are taken as well as they can be, counted and named.

    :raises InputError: no line is as usual.
    """
    filled = {number: line for number, line in enumerate(lines, first) if len(line) > 1 and line.strip()}
    fits = re.compile(usual)
    odd = [number for number, line in filled.items() if not fits.fullmatch(line.strip())]
    check(odd, len(filled), next(iter(filled.values()), ""), path)
    return [split(line) for line in filled.values()]


def check(odd: Sequence[int], count: int, start: str, path: Path) -> None:
    """Say which of so many lines are odd.

    :param start: what the first line holds.
    :raises InputError: all are odd, or there is none.
    """
    if len(odd) == count:
        raise unrecognised([start], path)
    if odd:
        print(f"{path}: {len(odd)} odd lines, read as well as they can be: {_some(odd)}")


def unrecognised(lines: Sequence[str], path: Path) -> InputError:
    """Return the error for a file none of whose lines is as usual."""
    found = next((repr(line[:60]) for line in lines if line.strip()), "no line")
    return InputError(f"expected lines of a photograph's name and a caption in {path}, found {found}; check the path")


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
