"""Tables as text: a row for each caption, or for each photograph with several captions, with or without a header.

captions.txt of the re-packaged Flickr8k, results.csv of Flickr30k, Hugging Face's metadata.csv, and what spreadsheets and pandas write.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from captioning.formats import columns, lines
from captioning.formats.columns import Columns
from core.disk import read_any_text
from core.tables import DELIMITERS, Grammar, Row
from encoders.photographs import is_named_photograph

NAME = "a table of names and captions, such as `image,caption` (captions.txt, results.csv)"
MOST_IN_A_NAME = 9  # delimiters that are not in quotation marks
NUMBERED = re.compile(r"\s*\d+\s+(\S.*)", re.DOTALL)


class Table(NamedTuple):
    """How a table is read."""

    grammar: Grammar
    columns: Columns
    width: int


def fits(head: str) -> bool:
    """Tell by the head of a file whether it has this form: in its lines, names and captions stand between delimiters."""
    return _recognised(_without_excels_line(head.split("\n"))) is not None


def captions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and each caption of each row.

    :raises InputError: no row has a name and a caption, or several columns may be the captions.
    """
    table, rows = _read(path)
    name, places = table.columns.name, table.columns.captions
    delimiter, headers = DELIMITERS[table.grammar.delimiter], table.columns.headers
    print(f"{path}: {delimiter} between columns, {'a' if headers else 'no'} header; {table.columns.described()}")
    found, odd = [], []
    for row in rows:
        cells, usual = _fitted(row, table)
        if not usual:
            odd.append(row.number)
        if not cells[name] and len(row.cells) <= name:
            continue  # a line that has no name's column
        written = [text for place in places for text in columns.texts(cells[place].strip())]
        kept = [text for text in written if text] if len(places) > 1 else written
        found += [(_name(cells[name]), text) for text in kept]
    lines.check(odd, len(rows), "".join(rows[0].cells) if rows else "", path)
    yield from found


def splits(path: Path) -> dict[str, list[str]]:
    """Return the photographs' names in each split: train, dev and test; nothing if the table has no such column."""
    table, rows = _read(path)
    place = table.columns.split
    if place is None:
        return {}
    fitted = [_fitted(row, table)[0] for row in rows]
    return columns.by_split(((_name(cells[table.columns.name]), cells[place].strip()) for cells in fitted), path)


def _read(path: Path) -> tuple[Table, list[Row]]:
    text = _without_excels_line(read_any_text(path).split("\n"))
    table = _recognised(text)
    if table is None:
        raise lines.unrecognised(text, path)
    place = table.columns.check(path).name
    last = place - table.width  # of cells counted from the end: captions before the name may have delimiters

    def is_row(line: str) -> bool:
        cells = line.split(table.grammar.delimiter)
        after = [number for number in table.columns.captions if number > place]
        return len(cells) >= table.width and is_named_photograph(cells[place if after else last].strip(' "'))

    rows = list(table.grammar.rows(text, is_row, first=place == 0))
    return table, rows[1:] if table.columns.headers else rows


def _without_excels_line(text: list[str]) -> list[str]:
    """Return the lines with an empty one in place of a first `sep=;`."""
    return ["", *text[1:]] if re.fullmatch(r'"?sep=.?"?', text[0].strip()) else text


def _recognised(text: Sequence[str]) -> Table | None:
    """Return how lines are read as a table, by the delimiter that makes the largest share of equal rows; or None where none gives names and captions."""
    filled = [line for line in text[: 4 * columns.SAMPLE] if line.strip()]
    best, most = None, (-1.0, 0)
    for delimiter in DELIMITERS:
        grammar = Grammar(delimiter)
        rows = list(grammar.rows(filled, lambda line: False))
        cells = [[cell.strip(' "') for cell in row.cells] for row in rows]
        if 2 * sum(len(row) > 1 for row in cells) >= max(1, len(cells)) and (found := _columns(cells, delimiter)):
            table = Table(grammar, *found)
            equal = sum(row.sound and len(row.cells) == table.width for row in rows) / len(rows)
            if (equal, table.width) > most:
                best, most = table, (equal, table.width)
    return best


def _columns(rows: list[list[str]], delimiter: str) -> tuple[Columns, int] | None:
    """Return the columns of sample rows, and how many there are: as the header has, or as few as a fifth of the rows have."""
    header, *body = rows[: columns.SAMPLE]
    found = columns.choose(header, body)
    if found and not is_named_photograph(header[found.name]):
        return found, len(header)
    counts = Counter(len(row) for row in rows if len(row) > 1)
    width = min((length for length, count in counts.items() if 5 * count >= counts.total()), default=2)
    found = columns.choose((), [row[:width] for row in rows])
    if (
        found
        and delimiter == "\t"
        and any(re.search(r"#\d+$", row[found.name]) for row in rows if found.name < len(row))
    ):
        return None  # captioning.formats.flickr_token reads it
    return found and (found, width)


def _fitted(row: Row, table: Table) -> tuple[list[str], bool]:
    """Return a cell for each column, and whether the row is as usual; a caption keeps its delimiters, which need not be in quotes."""
    cells, width, cut = list(row.cells), table.width, table.grammar.delimiter
    if not row.sound:
        cells = [_unquoted(cell) for cell in cells]
    if len(cells) == width:
        return cells, row.sound
    if len(cells) > width and table.columns.name == 0:  # and a name may have some
        joined = (cut.join(cells[: count + 1]) for count in range(min(MOST_IN_A_NAME, len(cells) - width) + 1))
        count = next((count for count, name in enumerate(joined) if is_named_photograph(name)), 0)
        cells[: count + 1] = [cut.join(cells[: count + 1])]
    if len(cells) > width:
        place = table.columns.captions[-1]
        end = place + len(cells) - width + 1
        cells[place:end] = [_unquoted(cut.join(cells[place:end]))]
    if len(cells) == width - 1 and table.columns.captions == (width - 1,) and (number := NUMBERED.fullmatch(cells[-1])):
        cells.append(number[1])  # the row of Flickr30k's results.csv that lacks its second bar
    return cells + [""] * (width - len(cells)), False


def _name(cell: str) -> str:
    """Return a name without the number of its caption."""
    return re.sub(r"#\d+$", "", cell.strip()) if is_named_photograph(cell) else cell.strip()


def _unquoted(cell: str) -> str:
    quoted = re.fullmatch(r'\s*"(.*)"\s*', cell, re.DOTALL)
    return quoted[1].replace('""', '"') if quoted else cell
