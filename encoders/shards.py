"""Shards: the features of a large folder, made on several machines part by part, and joined."""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from core import disk
from core.errors import InputError
from encoders import extract, features_file

Item = TypeVar("Item")
AT_ONCE = 32  # rows of a grid, copied before the next are read


class Shard(NamedTuple):
    """The part `number`, from 1, of `count` parts."""

    number: int
    count: int

    @classmethod
    def read(cls, text: str) -> "Shard":
        """Return the shard that a text such as 2/4 means.

        :raises InputError: the text has another form, or there is no such part.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        shard = cls(int(match[1]), int(match[2])) if match else cls(0, 0)
        if not 1 <= shard.number <= shard.count:
            raise InputError(f"expected --shard i/n with i from 1 to n, such as 2/4, found {text}: see --help")
        return shard

    @property
    def name(self) -> str:
        """What the files of this part are called, without an ending."""
        return f"features.{self.number}-of-{self.count}"

    def skipped(self, folder: Path) -> list[str]:
        """Return the lines of the list of undecodable files that this part has left in a folder."""
        path = folder / f"{self.name.replace('features', 'skipped')}.txt"
        return [line for line in disk.read_text(path).splitlines() if "\t" in line] if path.exists() else []

    def take(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return every `count`-th item, so that all parts are equally large and equally hard.

        :raises InputError: there are fewer items than parts.
        """
        if len(items) < self.count:
            raise InputError(
                f"expected at most {len(items)} shards of {len(items)} photographs, found {self.count}: see --help"
            )
        return items[self.number - 1 :: self.count]


def join(folder: Path, wanted: Mapping[str, Path], *, grid: bool = False) -> None:
    """Write the features of all shards in a folder, and what they skipped, as if one run had made them all, and say how many there are.

    :param wanted: all photographs by image id, in the order of the features.
    :param grid: join the shards' grids too.
    :raises InputError: shards are missing, or they are of several encoders or of several counts.
    """
    matches = [re.fullmatch(r"features\.(\d+)-of-(\d+)\.pkl", path.name) for path in folder.glob("features.*-of-*.pkl")]
    found = {Shard(int(match[1]), int(match[2])) for match in matches if match}
    counts = {shard.count for shard in found}
    if len(counts) != 1:
        raise InputError(
            f"expected the shards of one division in {folder}, found {sorted(counts) or 'none'}; make them with --shard i/n"
        )
    (count,) = counts
    missing = (f"{number}/{count}" for number in range(1, count + 1) if Shard(number, count) not in found)
    if first := list(islice(missing, 20)):  # a file's name may claim any count
        raise InputError(f"expected {count:,} shards in {folder}, found {len(found)}: run --shard {', '.join(first)}")
    all_shards = [Shard(number, count) for number in range(1, count + 1)]
    parts = [folder / f"{shard.name}.pkl" for shard in all_shards]
    origins = [features_file.read_origin(path) for path in parts]
    for path, origin in zip(parts, origins, strict=True):
        if origin is None or origin != origins[0]:
            raise InputError(
                f"expected one encoder and one precision in all shards, found others in {path}: make it again"
            )
    joined = {image: feature for path in parts for image, feature in features_file.read(path).items()}
    skipped = dict(line.split("\t", 1) for shard in all_shards for line in shard.skipped(folder))
    absent = [path.name for image, path in wanted.items() if image not in joined and path.name not in skipped]
    if odd := [*absent, *(joined.keys() - wanted.keys())]:
        raise InputError(
            f"expected the folder of photographs from which the shards in {folder} were made, found another, with {len(absent)} "
            f"that are in no shard and {len(odd) - len(absent)} fewer ({odd[0]}): give that folder, or make the shards again"
        )
    ordered = {image: joined[image] for image in wanted if image in joined}
    path = folder / "features.pkl"
    features_file.write(path, ordered)
    features_file.write_origin(path, origins[0])
    extract.list_skipped(
        folder / "skipped.txt", {path.name: skipped[path.name] for path in wanted.values() if path.name in skipped}
    )
    if grid:
        _join_grids(parts, path, [*wanted], [*ordered])
    print(f"wrote {path}: {len(ordered):,} of {len(wanted):,} photographs x {next(iter(joined.values())).shape[1]}")


def _join_grids(parts: Sequence[Path], path: Path, wanted: Sequence[str], ids: Sequence[str]) -> None:
    """Write the grids beside all features, of the photographs `ids` among those `wanted`, from those beside the parts of the features."""
    grids = [features_file.read_grid(features_file.grid_path(part)) for part in parts]
    places = {image: (grid, row) for grid in grids for row, image in enumerate(grid.ids)}
    encoder, origin = features_file.read_origin(path)["encoder"], grids[0].origin
    shape = (origin["rows"], origin["columns"], grids[0].shape[2])
    alike = all(grid.origin == origin and grid.shape[2] == shape[2] for grid in grids)
    if not alike or origin["encoder"] != encoder or places.keys() != {*ids}:
        raise InputError(
            f"expected the grids of the photographs in {path}, by the encoder of these, beside each shard, found others; "
            "make the shards again, all with --grid"
        )
    whole = features_file.grid_path(path)
    partial = whole.with_suffix(".partial")
    features_file.create_grid(partial, wanted, shape, origin)
    for first in range(0, len(ids), AT_ONCE):
        rows = [grid[row] for grid, row in (places[image] for image in ids[first : first + AT_ONCE])]
        features_file.fill_grid(partial, first, np.stack(rows))
    features_file.finish_grid(partial, whole, ids)
