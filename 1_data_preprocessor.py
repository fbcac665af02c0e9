"""Step 1: photographs and captions become features and descriptions.

    python 1_data_preprocessor.py --photographs Flicker8k_Dataset --captions Flickr8k_text/Flickr8k.token.txt

Reads a folder of photographs (JPEG, PNG, WebP), their captions (a file in a form of docs/files.md, or a folder of them) and an
encoder. Writes, into --out:
    features.pkl       the feature of each photograph, float32 (1, D)
    features.json      the encoder that made them
    grid.h5            with --grid: the features of each place in a photograph, float16 (N, cells, C)
    descriptions.txt   the cleaned captions, a line each: image-id word word ...
    skipped.txt        the files that cannot be decoded, and why; only where there are any

Kill it and run it again: it goes on after the last whole batch. On several machines, --shard 1/4 to --shard 4/4 write
features.1-of-4.pkl and so on into one folder, and --merge joins them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from captioning import checks
from captioning.captions import clean_into, read_captions
from captioning.cleaning import Cleaning
from core import devices, disk, settings
from encoders import encoder_file, extract, photographs, shards
from encoders.shards import Shard


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    # Data
    photographs: Path = Path("Flicker8k_Dataset")
    """Folder of photographs, searched with its sub-folders."""
    captions: Path = Path("Flickr8k_text/Flickr8k.token.txt")
    """Their captions."""
    encoder: Path = Path("Pre-trained/distilled/encoder.keras")
    """The encoder, which turns a photograph into a feature."""
    cleaning: Cleaning = "seed"
    """seed drops words of one letter and words with digits, as the original does. natural keeps all, in every script."""
    grid: bool = False
    """Also write grid.h5, from the same pass: the features of each place in a photograph, for captioners that look at places."""
    out: Path = Path()
    """Folder for what is written."""

    # Several machines
    shard: str | None = None
    """i/n: only the i-th of n parts of the photographs."""
    merge: bool = False
    """Join the features that all shards have written into --out, and with --grid their grids."""

    # Speed
    batch_size: settings.Count = 32
    """Photographs per forward pass. Lower it if memory runs out."""
    precision: extract.Precision = "float32"
    """float32 or bfloat16. bfloat16 is only used on processors where it is faster (Intel AMX, AMD Zen 4 and later)."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    ids = photographs.by_id(config.photographs)
    captions = read_captions(config.captions, ids)
    checks.check_captions(captions, ids, config.captions)
    if config.shard:
        shard = Shard.read(config.shard)
        with disk.locked(config.out, f".{shard.name}.lock"):
            write_features(dict(shard.take(list(ids.items()))), shard.name, config)
        return
    with disk.locked(config.out):
        clean_into(config.out / "descriptions.txt", captions, config.cleaning)
        if config.merge:
            shards.join(config.out, ids, grid=config.grid)
        else:
            write_features(ids, "features", config)


def write_features(ids: Mapping[str, Path], name: str, config: Settings) -> None:
    encoder, path = encoder_file.read(config.encoder), config.out / f"{name}.pkl"
    extract.write(path, encoder, ids, config.cleaning, config.batch_size, config.precision, grid=config.grid)


if __name__ == "__main__":
    settings.run(main)
