"""Step 5: a caption for any photograph, and a gallery of them all.

    python 5_test.py --photographs Examples

Reads photographs (one file or a folder), a captioner, its tokenizer and the encoder whose features it was trained on. Prints a line
for each photograph, its name, a tab and its caption. Writes, into --out:
    gallery.html    thumbnails, captions and the probability of each word; one file, readable on a phone and without a network
With --serve it shows a page instead, on this machine alone, that captions the photographs dropped on it and writes nothing.
Where step 2 has not written a captioner here and the settings name none, the three files of Pre-trained/ describe.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from captioning import captioner_file, checks, decoding
from captioning.decoding import Caption
from captioning.pages import gallery, serve
from captioning.tokenizer import Tokenizer, read_tokenizer
from core import devices, keras_files, settings
from encoders import encoder_file, extract, photographs

if TYPE_CHECKING:  # imported by captioning, after TensorFlow's variables are set
    import keras

SHIPPED = Path(__file__).parent / "Pre-trained"
QUALITY = "it is often wrong: CIDEr-D .190 on Flickr8k's dev photographs (one caption for all: .141; a person: .796)"


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    photographs: Path = Path("Examples")  # a photograph, or a folder of them
    model: Path = Path()  # captioner: a file, or a folder whose captioner with the lowest val_loss is taken
    tokenizer: Path = Path("tokenizer.pkl")  # the captioner's vocabulary
    encoder: Path = Path("encoder.keras")  # what made the features that the captioner was trained on
    beam: settings.Count = 1  # captions under way for each photograph; 1 is greedy, 3 to 5 often read better
    out: Path = Path()  # folder for gallery.html
    serve: bool = False  # show a page to drop photographs on, with at least 3 captions of each, until Ctrl-C
    port: int = 8000  # of that page's address


class Models(NamedTuple):
    """What describes a photograph; the three belong together."""

    encoder: "keras.Model"
    captioner: "keras.Model"
    tokenizer: Tokenizer


def main(arguments: list[str] | None = None) -> None:
    config = own_or_shipped(settings.from_command_line(Settings, arguments))
    devices.prepare()
    if config.serve:
        serve.run(describer(read(config), max(config.beam, 3)), config.port)
    else:
        one = config.photographs.is_file()
        paths = [config.photographs] if one else photographs.list_photographs(config.photographs)
        show(*describe(read(config), paths, config.beam), config.out / "gallery.html")


def own_or_shipped(config: Settings) -> Settings:
    """Return the settings, with the shipped models where no others are named and no captioner is here."""
    usual = (Path(), Path("tokenizer.pkl"), Path("encoder.keras"))
    if (config.model, config.tokenizer, config.encoder) != usual or any(config.model.glob("model-ep*")):
        return config
    print(f"no captioner of yours is here, so that of {SHIPPED.name}/ describes; {QUALITY}")
    names = {"model": "captioner.keras", "tokenizer": "tokenizer.pkl", "encoder": "simclr_encoder.keras"}
    return replace(config, **{setting: SHIPPED / name for setting, name in names.items()})


def read(config: Settings) -> Models:
    captioner, encoder = captioner_file.read(config.model), encoder_file.read(config.encoder)
    origin = {"encoder": keras_files.fingerprint(encoder)}
    checks.check_features(captioner, encoder.output_shape[-1], origin, config.encoder)
    tokenizer = checks.check_vocabulary(captioner, read_tokenizer(config.tokenizer), config.tokenizer)
    return Models(encoder, captioner.model, tokenizer)


def describe(models: Models, paths: list[Path], beam: int) -> tuple[dict[Path, Caption], dict[str, str]]:
    """Return the captions of the photographs, and why others could not be read, by name."""
    extracted, unreadable = extract.extract(models.encoder, paths)
    stacked = np.concatenate(list(extracted.values()))  # (N, D)
    found = decoding.caption(models.captioner, stacked, models.tokenizer, beam)
    by_name = {path.name: path for path in paths}
    return {by_name[name]: caption for name, caption in zip(extracted, found, strict=True)}, unreadable


def show(captions: dict[Path, Caption], unreadable: dict[str, str], page: Path) -> None:
    for path, caption in captions.items():
        print(f"{path.name}\t{caption.text}")
    for name, reason in unreadable.items():
        print(f"skipped {name}: {reason}")
    gallery.write(page, captions, unreadable)
    print(f"wrote {page}: {len(captions):,} photographs, {page.stat().st_size / 1e6:.1f} MB")


def describer(models: Models, beam: int) -> Callable[[BinaryIO], list[Caption]]:
    """Return what gives an open photograph its captions, the best first."""
    network = extract.Network(models.encoder, batch_size=1)

    def describe_one(photograph: BinaryIO) -> list[Caption]:
        pixels = photographs.read(photograph, network.height, network.width)  # (H, W, 3)
        return decoding.alternatives(models.captioner, network(pixels[None]), models.tokenizer, beam)[0]

    return describe_one


if __name__ == "__main__":
    settings.run(main)
