"""Step 1: photographs and captions become features and descriptions.

    python 1_data_preprocessor.py --photographs Flicker8k_Dataset --captions Flickr8k_text/Flickr8k.token.txt

Reads a folder of photographs (JPEG, PNG, WebP), their captions (Flickr8k.token.txt, captions.txt or Karpathy's JSON) and an
encoder. Writes, into --out:
    features.pkl       for each photograph what the encoder makes of it, float32 (1, D)
    features.json      which encoder that was
    descriptions.txt   the cleaned captions, a line each: image-id word word ...
    skipped.txt        the files that cannot be decoded, and why; only where there are any
Kill it and run it again: it goes on from the last whole batch, kept in features.partial until all is done.
"""

from dataclasses import dataclass
from pathlib import Path

from captioning import descriptions, devices, features, files, photographs, settings, steps
from captioning.descriptions import Captions, Cleaning
from captioning.errors import InputError


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    photographs: Path = Path("Flicker8k_Dataset")  # folder of photographs
    captions: Path = Path("Flickr8k_text/Flickr8k.token.txt")  # their captions
    encoder: Path = Path("encoder.keras")  # what turns a photograph into a feature
    out: Path = Path()  # folder for what is written
    batch_size: int = 32  # photographs per forward pass
    precision: features.Precision = "float32"  # bfloat16 is quicker on processors with instructions for it
    cleaning: Cleaning = "seed"  # seed drops one-letter words such as "a", as the original; natural keeps them


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    captions = descriptions.read(config.captions)
    paths = photographs.list_photographs(config.photographs)
    compare(captions, paths, config)
    encoder = files.read_encoder(config.encoder)
    steps.write_descriptions(config.out / "descriptions.txt", captions, config.cleaning)
    steps.write_features(
        config.out / "features.pkl", encoder, paths, config.cleaning, config.batch_size, config.precision
    )


def compare(captions: Captions, paths: list[Path], config: Settings) -> None:
    """Say how many photographs and captioned images lack the other.

    :raises InputError: no photograph has a caption.
    """
    ids = photographs.by_id(paths).keys()
    if not ids & captions.keys():
        raise InputError(
            f"expected captions of the photographs in {config.photographs}, found none in {config.captions}: its images are "
            f"called {next(iter(captions))} and so on, the photographs {paths[0].name}"
        )
    if bare := ids - captions.keys():
        print(f"{len(bare):,} of {len(ids):,} photographs have no caption")
    if orphans := captions.keys() - ids:
        print(f"{len(orphans):,} of {len(captions):,} captioned images have no photograph here")


if __name__ == "__main__":
    settings.run(main)
