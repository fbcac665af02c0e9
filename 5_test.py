"""Step 5: a caption for any photograph, and a gallery of them all.

    python 5_test.py --photographs Examples

Reads photographs (one file or a folder), a captioner, the encoder whose features it was trained on, and a tokenizer where the captioner
has no vocabulary of its own. Prints a line for each photograph: its name, a tab and its caption. Writes, into --out:
    gallery.html    thumbnails, captions and the probability of each word; one file, readable on a phone and without a network

With --serve it shows a page instead, on this machine alone. The page captions the photographs dropped on it and keeps nothing.
Where step 2 has written no captioner in this folder and the settings name none, the captioner of Pre-trained/ is used.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from captioning.decoding import Caption
from captioning.describe import Describer
from captioning.pages import gallery, serve
from core import devices, settings
from encoders import photographs

SHIPPED = Path(__file__).parent / "Pre-trained"
QUALITY = "it is often wrong: CIDEr-D .248 on Flickr8k's dev photographs (one caption for all: .141; a person: .796)"


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    # Data
    photographs: Path = Path("Examples")
    """A photograph, or a folder of them."""
    out: Path = Path()
    """Folder for gallery.html."""

    # Models
    model: Path = Path()
    """Captioner: a file, or a folder whose captioner with the lowest val_loss is taken."""
    tokenizer: Path = Path("tokenizer.pkl")
    """The captioner's vocabulary, from step 4. It is read only for captioners that have none of their own (.h5)."""
    encoder: Path = Path("Pre-trained/distilled_encoder.keras")
    """The encoder whose features the captioner was trained on."""
    beam: settings.Count = 1
    """Beam width. 1 is greedy search; captions of 3 to 5 often read better."""

    # Page
    serve: bool = False
    """Show a page to drop photographs on, with at least 3 captions of each, until Ctrl-C."""
    port: int = 8000
    """Port of that page's address."""


def main(arguments: list[str] | None = None) -> None:
    config = own_or_shipped(settings.from_command_line(Settings, arguments))
    devices.prepare()
    describer = Describer(config.encoder, config.model, config.tokenizer)
    if config.serve:
        serve.run(lambda photograph: describer(photograph, max(config.beam, 3)), config.port)
    else:
        one = config.photographs.is_file()
        paths = [config.photographs] if one else photographs.list_photographs(config.photographs)
        show(*describer.all_of(paths, config.beam), config.out / "gallery.html")


def own_or_shipped(config: Settings) -> Settings:
    """Return the settings, with the shipped captioner where no other files are named and no captioner is in this folder."""
    default = Settings()
    named = (config.model, config.tokenizer, config.encoder) != (default.model, default.tokenizer, default.encoder)
    if named or any(config.model.glob("model-ep*")):
        return config
    print(f"no captioner of yours is here: using the one in {SHIPPED.name}/; {QUALITY}")
    names = {"model": "captioner.keras", "tokenizer": "tokenizer.pkl", "encoder": "distilled_encoder.keras"}
    return replace(config, **{setting: SHIPPED / name for setting, name in names.items()})


def show(captions: dict[Path, Caption], unreadable: dict[str, str], page: Path) -> None:
    for path, caption in captions.items():
        print(f"{path.name}\t{caption.text}")
    for name, reason in unreadable.items():
        print(f"skipped {name}: {reason}")
    gallery.write(page, captions, unreadable)
    print(f"wrote {page}: {len(captions):,} photographs, {page.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    settings.run(main)
