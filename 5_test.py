"""Step 5: a caption for any photograph, and a gallery of them all.

    python 5_test.py --photographs Examples

Reads photographs (one file or a folder), a captioner, its tokenizer and the encoder whose features it was trained on. Prints a line
for each photograph, its name, a tab and its caption. Writes, into --out:
    gallery.html    thumbnails, captions and the probability of each word; one file, readable on a phone and without a network
"""

from dataclasses import dataclass
from pathlib import Path

from captioning import agreement, decoding, devices, features, files, gallery, photographs, settings
from captioning.decoding import Caption

import numpy as np


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    photographs: Path = Path("Examples")  # a photograph, or a folder of them
    model: Path = Path()  # captioner: a file, or a folder whose captioner with the lowest val_loss is taken
    tokenizer: Path = Path("tokenizer.pkl")  # the captioner's vocabulary
    encoder: Path = Path("encoder.keras")  # what made the features that the captioner was trained on
    beam: settings.Count = 1  # captions under way for each photograph; 1 is greedy, 3 to 5 often read better
    out: Path = Path()  # folder for gallery.html


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    one = config.photographs.is_file()
    paths = [config.photographs] if one else photographs.list_photographs(config.photographs)
    captions, unreadable = describe(paths, config)
    for path, caption in captions.items():
        print(f"{path.name}\t{caption.text}")
    for name, reason in unreadable.items():
        print(f"skipped {name}: {reason}")
    page = config.out / "gallery.html"
    gallery.write(page, captions, unreadable)
    print(f"wrote {page}: {len(captions):,} photographs, {page.stat().st_size / 1e6:.1f} MB")


def describe(paths: list[Path], config: Settings) -> tuple[dict[Path, Caption], dict[str, str]]:
    """Return the captions of the photographs, and why others could not be read, by name."""
    captioner, encoder = files.read_captioner(config.model), files.read_encoder(config.encoder)
    origin = {"encoder": files.fingerprint(encoder)}
    agreement.check_features(captioner, encoder.output_shape[-1], origin, config.encoder)
    tokenizer = agreement.check_vocabulary(captioner, files.read_tokenizer(config.tokenizer), config.tokenizer)
    extracted, unreadable = features.extract(encoder, paths)
    found = decoding.caption(captioner.model, np.concatenate(list(extracted.values())), tokenizer, config.beam)
    by_id = photographs.by_id(paths)
    return {by_id[image]: caption for image, caption in zip(extracted, found, strict=True)}, unreadable


if __name__ == "__main__":
    settings.run(main)
