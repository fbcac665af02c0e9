"""Step 1: photographs and captions become features and descriptions.

    python 1_data_preprocessor.py --photographs Flicker8k_Dataset --captions Flickr8k_text/Flickr8k.token.txt

Reads a folder of photographs (JPEG, PNG, WebP), their captions (Flickr8k.token.txt, captions.txt or Karpathy's JSON) and an
encoder. Writes, into --out:
    features.pkl       for each photograph what the encoder makes of it, float32 (1, D)
    features.json      which encoder that was
    descriptions.txt   the cleaned captions, a line each: image-id word word ...
    skipped.txt        the files that cannot be decoded, and why; only where there are any
Kill it and run it again: it goes on from the last whole batch, kept in features.partial until all is done. On several machines,
--shard 1/4 to --shard 4/4 write features.1-of-4.pkl and so on into one folder, where --merge joins them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from captioning import descriptions, devices, features, files, photographs, settings, shards
from captioning.descriptions import Captions, Cleaning
from captioning.errors import InputError
from captioning.shards import Shard


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    photographs: Path = Path("Flicker8k_Dataset")  # folder of photographs
    captions: Path = Path("Flickr8k_text/Flickr8k.token.txt")  # their captions
    encoder: Path = Path("encoder.keras")  # what turns a photograph into a feature
    out: Path = Path()  # folder for what is written
    shard: str | None = None  # i/n: only the i-th of n parts of the photographs
    merge: bool = False  # join the features that all shards left in --out, instead of computing any
    batch_size: settings.Count = 32  # photographs per forward pass
    precision: features.Precision = "float32"  # bfloat16 is quicker on processors with instructions for it
    cleaning: Cleaning = "seed"  # seed drops one-letter words such as "a", as the original; natural keeps them


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    captions = descriptions.read(config.captions)
    paths = photographs.list_photographs(config.photographs)
    compare(captions, paths, config)
    if config.shard:
        shard = Shard.read(config.shard)
        with files.locked(config.out, f".{shard.name}.lock"):
            write_features(shard.take(paths), shard.name, config)
        return
    with files.locked(config.out):
        write_descriptions(captions, config)
        if config.merge:
            merge(paths, config)
        else:
            write_features(paths, "features", config)


def compare(captions: Captions, paths: list[Path], config: Settings) -> None:
    """Say how many photographs and captioned images lack the other.

    :raises InputError: no photograph has a caption.
    """
    ids = photographs.by_id(paths).keys()
    if not ids & captions.keys():
        raise InputError(
            f"expected captions of the photographs in {config.photographs}, found none in {config.captions}: its images are "
            f"called {next(iter(captions))} and so on, the photographs {paths[0].name}; give those of one data set"
        )
    if bare := ids - captions.keys():
        print(f"{len(bare):,} of {len(ids):,} photographs have no caption")
    if orphans := captions.keys() - ids:
        print(f"{len(orphans):,} of {len(captions):,} captioned images have no photograph here")


def write_descriptions(captions: Captions, config: Settings) -> None:
    cleaned = {name: [descriptions.clean(text, config.cleaning) for text in texts] for name, texts in captions.items()}
    path = config.out / "descriptions.txt"
    files.write_descriptions(path, cleaned)
    texts = [text for texts in cleaned.values() for text in texts]
    words = {word for text in texts for word in text.split()}
    print(f"wrote {path}: {len(texts):,} descriptions of {len(cleaned):,} images, {len(words):,} different words")


def write_features(paths: Sequence[Path], name: str, config: Settings) -> None:
    path, partial = config.out / f"{name}.pkl", config.out / f"{name}.partial"
    encoder = files.read_encoder(config.encoder)
    fingerprint = files.fingerprint(encoder)
    extracted, skipped = features.extract_resumably(
        encoder, paths, partial, fingerprint, config.batch_size, config.precision
    )
    (_, height, width, _), (_, dimension) = encoder.input_shape, encoder.output_shape
    shape = {"height": height, "width": width, "dimension": dimension}
    files.write_features(path, extracted)
    files.write_origin(
        path, {"encoder": fingerprint, **shape, "precision": config.precision, "cleaning": config.cleaning}
    )
    list_skipped(config.out / f"{name.replace('features', 'skipped')}.txt", skipped)
    partial.unlink()
    print(f"wrote {path}: {len(extracted):,} photographs x {dimension}")


def merge(paths: list[Path], config: Settings) -> None:
    """Join the shards' features, as if one run had made them all."""
    path = config.out / "features.pkl"
    joined, origin = shards.merge(config.out, list(photographs.by_id(paths)))
    files.write_features(path, joined)
    files.write_origin(path, origin)
    print(f"wrote {path}: {len(joined):,} of {len(paths):,} photographs x {origin['dimension']}")


def list_skipped(path: Path, skipped: dict[str, str]) -> None:
    """Write the names of undecodable files with the reasons, or remove an earlier list where there are none."""
    if not skipped:
        path.unlink(missing_ok=True)
        return
    files.write_text(path, "".join(f"{name}\t{reason}\n" for name, reason in skipped.items()))
    print(f"skipped {len(skipped):,} files that cannot be decoded: {path} says why")


if __name__ == "__main__":
    settings.run(main)
