"""Write image lists (train, dev, test) where Flickr8k's official ones are missing.

    python -m captioning.splits --captions dataset_flickr8k.json     Karpathy's own splits, which are the official ones
    python -m captioning.splits --captions dataset_coco.json         the splits of any captions that say them
    python -m captioning.splits --captions captions.txt --seed 1     drawn lists: their scores compare with no published ones

Reads the captions and, to draw, the names of the photographs. Writes Flickr_8k.trainImages.txt, Flickr_8k.devImages.txt and
Flickr_8k.testImages.txt, or dataset_coco.trainImages.txt, or random-seed-1.trainImages.txt and so on: one photograph's name a line.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from captioning.captions import read_captions, read_splits
from core import disk, settings
from core.errors import InputError
from encoders import photographs

Splits = dict[str, list[str]]
OFFICIAL = "Flickr_8k"
DRAWN = "not comparable with published scores"


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    captions: Path = Path("Flickr8k_text/Flickr8k.token.txt")
    """Captions: a file in any form, or a folder with a file for each split."""
    photographs: Path = Path("Flicker8k_Dataset")
    """With --seed only: the folder of photographs that lists are drawn from."""
    seed: int | None = None
    """Draw lists with this seed. Without it, the splits that the captions' file says are taken."""
    out: Path = Path("Flickr8k_text")
    """Folder for the three lists."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    if config.seed is None:
        source, splits = named(config.captions), from_captions(config.captions)
    else:
        ids = photographs.by_id(config.photographs)
        captioned = read_captions(config.captions, ids)
        names = [path.relative_to(config.photographs).as_posix() for image, path in ids.items() if image in captioned]
        source = f"random-seed-{config.seed}"
        splits = draw(names, config.seed)
    for split, names in splits.items():
        if not names:
            print(f"no photograph is in {split}: no list is written of it")
            continue
        path = config.out / f"{source}.{split}Images.txt"
        disk.write_text(path, "".join(f"{name}\n" for name in names))
        print(f"wrote {path}: {len(names):,} photographs, {describe(path)}")


def from_captions(path: Path) -> Splits:
    """Return the photographs' names in each split of a captions file that has splits.

    :raises InputError: its form has none, or a split is unknown.
    """
    if not (found := read_splits(path)):
        raise InputError(
            f"{path} holds captions but no splits, as Karpathy's JSON, a column `split` or a folder of a file each have. {advice()}"
        )
    return found


def named(path: Path) -> str:
    """Return the name of the splits that a captions file says: the official one for Karpathy's file of Flickr8k."""
    return OFFICIAL if path.stem.lower().endswith("flickr8k") else path.resolve().stem


def draw(names: list[str], seed: int) -> Splits:
    """Draw one eighth of the photographs for dev, one for test, and the others for train: Flickr8k's proportions.

    :raises InputError: there are fewer than eight.
    """
    if len(names) < 8:
        raise InputError(
            f"expected at least 8 captioned photographs to draw splits from, found {len(names)}; check both paths"
        )
    shuffled = random.Random(seed).sample(sorted(names), len(names))
    eighth = len(names) // 8
    return {"train": shuffled[2 * eighth :], "dev": shuffled[:eighth], "test": shuffled[eighth : 2 * eighth]}


def describe(path: Path) -> str:
    """Return how scores name the split of an image list: "dev" for Flickr_8k.devImages.txt, with the data set's name for others.

    Drawn lists have a warning.
    """
    match = re.fullmatch(r"(.+)\.(train|dev|test)Images\.txt", path.name)
    if match and match[1] == OFFICIAL:
        return match[2]
    drawn = f" ({DRAWN})" if match and match[1].startswith("random-seed-") else ""
    return f"{match[2]} of {match[1]}{drawn}" if match else path.name


def read(path: Path, known: Iterable[str] = ()) -> list[str]:
    """Return the image ids in a list.

    :param known: the ids of the photographs, among which the list's names are found.
    :raises InputError: the list is missing (the message says where lists come from) or empty.
    """
    if not path.exists():
        raise InputError(f"expected an image list at {path}, found nothing. {advice()}")
    return photographs.read_image_list(path, known)


def advice() -> str:
    """Say where image lists come from."""
    return (
        f"The official lists ({OFFICIAL}.trainImages.txt, .devImages.txt, .testImages.txt) come in Flickr8k_text.zip; "
        "`python -m captioning.splits --captions dataset_flickr8k.json` takes the same splits from Karpathy's JSON; "
        "`python -m captioning.splits --captions FILE --seed 1` draws lists, whose scores are "
        f"{DRAWN}"
    )


if __name__ == "__main__":
    settings.run(main)
