"""Step 5: a caption for any photograph, and a gallery of them all.

    python 5_test.py --photographs Examples

Reads photographs (one file or a folder), a captioner, the encoder whose features it was trained on, and a tokenizer where the captioner
has no vocabulary of its own. Prints a line for each photograph: its name, a tab and its caption; with --compare for each captioner,
whose name and a tab come before the caption. Writes, into --out:
    gallery.html    thumbnails, captions and the probability of each word; one file, readable on a phone and without a network.
                    Point at a word of a captioner that looks, and the photograph lights up where it looked

With --serve it shows a page instead, on this machine alone. The page captions the photographs dropped on it and keeps nothing.
Where step 2 has written no captioner in this folder and the settings name none, the captioner of Pre-trained/ is used.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from captioning.describe import Describer, all_by_captioner, shipped
from captioning.pages import gallery, looks, serve
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
    figure: Path | None = None
    """PNG file: draw where the captioner looked for each word of the first 12 captions. It needs a captioner that looks."""

    # Models
    model: Path = Path()
    """Captioner: a file, or a folder whose captioner with the lowest val_loss is taken."""
    tokenizer: Path = Path("tokenizer.pkl")
    """The captioner's vocabulary, from step 4. It is read only for captioners that have none of their own (.h5)."""
    encoder: Path = Path("Pre-trained/distilled_encoder.keras")
    """The encoder whose features the captioner was trained on."""
    beam: settings.Count = 1
    """Beam width. 1 is greedy search; captions of 3 to 5 often read better."""
    compare: bool = False
    """Show the captions of all captioners in folders of Pre-trained/ side by side, in place of the one of the settings above."""

    # Page
    serve: bool = False
    """Show a page to drop photographs on, with at least 3 captions of each, until Ctrl-C."""
    port: int = 8000
    """Port of that page's address."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    describers = shipped(SHIPPED) if config.compare else {"": chosen(config)}
    if config.serve:
        beam = max(config.beam, 3)
        serve.run(lambda photo: {name: describe(photo, beam) for name, describe in describers.items()}, config.port)
    else:
        one = config.photographs.is_file()
        paths = [config.photographs] if one else photographs.list_photographs(config.photographs)
        show(*all_by_captioner(describers, paths, config.beam), config)


def chosen(config: Settings) -> Describer:
    config = own_or_shipped(config)
    return Describer(config.encoder, config.model, config.tokenizer)


def own_or_shipped(config: Settings) -> Settings:
    """Return the settings, with the shipped captioner where no other files are named and no captioner is in this folder."""
    default = Settings()
    named = (config.model, config.tokenizer, config.encoder) != (default.model, default.tokenizer, default.encoder)
    if named or any(config.model.glob("model-ep*")):
        return config
    print(f"no captioner of yours is here: using the one in {SHIPPED.name}/; {QUALITY}")
    names = {"model": "captioner.keras", "tokenizer": "tokenizer.pkl", "encoder": "distilled_encoder.keras"}
    return replace(config, **{setting: SHIPPED / name for setting, name in names.items()})


def show(described: dict[Path, gallery.Captions], unreadable: dict[str, str], config: Settings) -> None:
    for path, captions in described.items():
        for name, found in captions.items():
            print("\t".join([path.name, *([name] if name else []), found[0].text]))
    for name, reason in unreadable.items():
        print(f"skipped {name}: {reason}")
    page = config.out / "gallery.html"
    gallery.write(page, described, unreadable)
    print(f"wrote {page}: {len(described):,} photographs, {page.stat().st_size / 1e6:.1f} MB")
    if config.figure:
        looks.draw(config.figure, described)


if __name__ == "__main__":
    settings.run(main)
