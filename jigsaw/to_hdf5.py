"""Turn folders of photographs into one HDF5 file for jigsaw.main, which reads any part of it without loading the rest.

    python -m jigsaw.to_hdf5 --photographs unlabeled2017 --out photographs.h5 --size 256

Reads photographs, folders recursively; a square is cut somewhere out of each, as large as it has one, and resized. Writes the datasets
train_img, val_img and test_img, uint8 (N, size, size, 3), with 85, 10 and 5% of them by chance, and beside the file a JSON of the same
name that counts them and says which photographs could not be read, and why.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import h5py
import numpy as np
from PIL import Image

from core import disk, progress, settings
from core.errors import InputError
from encoders import decoded
from encoders.photographs import Unreadable, open_rgb


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    photographs: tuple[Path, ...] = (Path("Flicker8k_Dataset"),)
    """Folders of photographs, searched recursively."""
    only: tuple[Path, ...] = ()
    """Files that name the photographs to take. Without one, all are taken."""
    out: Path = Path("photographs.h5")
    """The HDF5 file to write."""
    size: settings.Count = 256
    """Height and width of the photographs in it, in pixels."""
    seed: int = 0
    """Decides in which dataset each photograph is, and the squares that are cut out."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    parts = split(decoded.select(config.photographs, config.only), config.seed)
    with disk.locked(config.out.parent):
        counts, skipped = write(config.out, parts, config.size, config.seed)
        report = config.out.with_suffix(".json")
        disk.write_json(report, {**counts, "skipped": skipped})
    if skipped:
        print(f"skipped {len(skipped):,} files that cannot be decoded: {report} says why")
    found = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    print(f"wrote {config.out}: {found}, {config.size} x {config.size}, {config.out.stat().st_size / 1e9:.2f} GB")


def split(paths: Sequence[Path], seed: int) -> dict[str, list[Path]]:
    """Return 85, 10 and 5% of the paths in random order, by the name of their dataset."""
    shuffled = Random(seed).sample(paths, len(paths))
    val, test = len(paths) * 85 // 100, len(paths) * 95 // 100
    return {"train_img": shuffled[:val], "val_img": shuffled[val:test], "test_img": shuffled[test:]}


def write(out: Path, parts: dict[str, list[Path]], size: int, seed: int) -> tuple[dict[str, int], dict[str, str]]:
    """Write the file, all or nothing, and return how many photographs each dataset has, and why others are missing.

    A photograph is a chunk, so batches are read in any order without reading more.

    :raises InputError: no photograph can be read, or there is no room for the file.
    """
    counts, skipped = {}, {}
    total = sum(map(len, parts.values()))
    _expect_room(out.parent, total * size * size * 3)
    with (
        disk.replacing(out) as temporary,
        disk.PatientFile(temporary, "w+") as patient,
        h5py.File(patient, "w") as file,
        progress.bar(total=total, unit=" photographs") as bar,
    ):
        for name, paths in parts.items():
            shape = (size, size, 3)
            images = file.create_dataset(
                name, (len(paths), *shape), "uint8", chunks=(1, *shape), maxshape=(None, *shape)
            )
            pixels_of = decoded.decode(paths, lambda path: square(path, size, seed))
            counts[name] = 0
            for path, pixels in zip(paths, pixels_of, strict=True):
                if isinstance(pixels, Unreadable):
                    skipped[path.as_posix()] = str(pixels)
                else:
                    images[counts[name]] = pixels
                    counts[name] += 1
                patient.check()
                bar.update()
            images.resize(counts[name], axis=0)
        if not any(counts.values()):
            raise InputError(
                f"none of {total:,} photographs can be read: {json.dumps(dict([*skipped.items()][:3]))}; give others"
            )
        file.close()
        patient.check()
    return counts, skipped


def _expect_room(folder: Path, needed: int) -> None:
    """Refuse to start if the disk has too little room."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"expected {needed / 1e9:.1f} GB free in {folder}, found {free / 1e9:.1f}: "
            "free space, choose another place, or lower --size"
        )


def square(path: Path, size: int, seed: int) -> np.ndarray:
    """Return a random square of a photograph, as large as it has one, resized by Lanczos' filter: uint8 (size, size, 3).

    Only the seed and the photograph's name decide where it is.

    :raises Unreadable: as `encoders.photographs.open_rgb`.
    """
    photograph = open_rgb(path)
    side, chance = min(photograph.size), Random(f"{seed} {path.name}")
    left, top = (chance.randint(0, length - side) for length in photograph.size)
    cropped = photograph.crop((left, top, left + side, top + side))
    return np.asarray(cropped.resize((size, size), Image.Resampling.LANCZOS))


if __name__ == "__main__":
    settings.run(main)
