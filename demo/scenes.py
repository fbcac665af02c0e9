"""Draw a small captioned world in Flickr8k's layout.

    python -m demo.scenes --out demo-world

writes, below --out, Flicker8k_Dataset/scene0001.jpg ... and, in Flickr8k_text/, Flickr8k.token.txt (five captions a picture) and
the image lists of train, dev and test (8 : 1 : 1). Half of dev and of test shows a subject in a colour at a place that train never
shows together. The same count and seed give the same bytes.
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random

from core import settings
from core.errors import InputError
from core.progress import bar
from demo.pictures import picture
from demo.sentences import captions
from demo.world import Scene, scenes


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    out: Path = Path("demo-world")
    """Folder for the pictures and their captions."""
    count: int = 400
    """Pictures, from 10 to 9,999."""
    seed: int = 0
    """Another seed draws another world."""


def splits(count: int, seed: int) -> dict[str, dict[str, Scene]]:
    """The scenes of train, dev and test by their pictures' names; every other one of dev and of test is of a held-out combination."""
    if not 10 <= count <= 9999:
        raise InputError(f"--count: expected 10 to 9999 pictures, found {count}")
    known, new = scenes(seed, held_out=False), scenes(seed, held_out=True)
    names = iter(f"scene{number:04d}.jpg" for number in range(1, count + 1))
    tenth = count // 10
    return {
        split: {next(names): next(new if split != "train" and index % 2 == 0 else known) for index in range(size)}
        for split, size in (("train", count - 2 * tenth), ("dev", tenth), ("test", tenth))
    }


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    world = splits(config.count, config.seed)
    photographs, texts = config.out / "Flicker8k_Dataset", config.out / "Flickr8k_text"
    photographs.mkdir(parents=True, exist_ok=True)
    texts.mkdir(exist_ok=True)

    lines = []
    everything = [item for split in world.values() for item in split.items()]
    for name, scene in bar(everything, desc="drawing", unit=" pictures"):
        picture(scene, Random(f"picture {config.seed} {name}")).save(photographs / name, quality=90)
        written = captions(scene, Random(f"captions {config.seed} {name}"))
        lines += [f"{name}#{index}\t{caption}\n" for index, caption in enumerate(written)]

    (texts / "Flickr8k.token.txt").write_text("".join(lines), encoding="utf-8")
    for split, named in world.items():
        (texts / f"Flickr_8k.{split}Images.txt").write_text("".join(f"{name}\n" for name in named), encoding="utf-8")
    print(f"wrote {photographs}: {len(everything)} pictures; {texts}: {len(lines)} captions")


if __name__ == "__main__":
    settings.run(main)
