"""Text tables from strangers: rows of cells between commas, tabs, semicolons or bars, quoted or not, whole or damaged."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

DELIMITERS = {"\t": "tabs", "|": "bars", ";": "semicolons", ",": "commas"}


class Row(NamedTuple):
    """A row: the number of its first line, its cells, and whether it keeps to the rules of quotation marks."""

    number: int
    cells: list[str]
    sound: bool


class Grammar:
    """How lines are cut at one delimiter. A cell may be in quotation marks; one within is written twice."""

    def __init__(self, delimiter: str) -> None:
        self.delimiter, cut = delimiter, re.escape(delimiter)
        inside = '(?:[^"]++|"")*+'
        cell = rf'(?: *"{inside}" *(?={cut}|\Z)|[^{cut}"][^{cut}]*+|)'
        self._whole = re.compile(rf"{cell}(?:{cut}{cell})*+")
        self._open = re.compile(rf'(?:{cell}{cut})*+ *"{inside}')  # the last cell does not end in this line
        self._closing = re.compile(rf'{inside}" *(?:{cut}{cell})*+')
        self._inside = re.compile(inside)

    def cells(self, line: str) -> tuple[list[str], bool]:
        """Return a line's cells, and whether it keeps to the rules; if not, it is cut at every delimiter."""
        if '"' not in line:
            return line.split(self.delimiter), True
        if self._whole.fullmatch(line):
            try:
                (cells,) = csv.reader([line], delimiter=self.delimiter, skipinitialspace=True)
                return cells, True
            except (csv.Error, ValueError):  # a cell of more than 131,072 characters
                pass
        return line.split(self.delimiter), False

    def rows(self, lines: Sequence[str], is_row: Callable[[str], bool], first: bool = False) -> Iterator[Row]:
        """Yield the rows of some lines, without the empty ones. A row may have line ends in quotation marks.

        :param is_row: tells whether a line looks as a row by itself: then a quotation mark that was left open before it was forgotten.
        :param first: `is_row` can be sure, even of a line in which the quotation mark seems to close.
        """
        here = 0
        while here < len(lines):
            line, count = lines[here], 1
            if '"' in line and not self._whole.fullmatch(line) and self._open.fullmatch(line):
                count = self._lines_until_closed(lines, here, is_row, first)
                line = "\n".join(lines[here : here + count])
            if line.strip():
                yield Row(here + 1, *self.cells(line))
            here += count

    def _lines_until_closed(self, lines: Sequence[str], start: int, is_row: Callable[[str], bool], sure: bool) -> int:
        """Return how many lines a row has whose last cell is left open in its first line; one where none closes it."""
        for here in range(start + 1, len(lines)):
            closes = self._closing.fullmatch(lines[here])
            if is_row(lines[here]) and (sure or not closes):
                return 1
            if closes:
                return here - start + 1
            if not self._inside.fullmatch(lines[here]):
                return 1
        return 1
