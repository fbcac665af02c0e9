"""Step 5: a caption for any photograph, and a gallery of them all.

    python 5_test.py --photographs Examples

Reads photographs (one file or a folder), a captioner, the encoder whose features it was trained on, and a tokenizer where the captioner
has no vocabulary of its own. Prints a line for each photograph: its name, a tab and its caption; with --compare for each captioner,
whose name and a tab come before the caption. Writes, into --out:
    gallery.html    thumbnails, captions and the probability of each word; one file, readable on a phone and without a network.
                    Point at a word of a captioner that looks, and the photograph lights up where it looked

With --serve it shows a page instead, on this machine alone. The page captions the photographs dropped on it and keeps nothing.
Where step 2 has written no captioner in this folder and the settings name none, the best captioner of Pre-trained/ is used, and on the
page all of them, side by side.
"""

from dataclasses import dataclass
from pathlib import Path

from captioning.describe import Describer, all_by_captioner, shipped
from captioning.pages import gallery, looks, serve
from core import devices, settings
from encoders import photographs

SHIPPED = Path(__file__).parent / "Pre-trained"
BEST = SHIPPED / "efficientnet_lite0"
NOTICE = f"""no captioner of yours is here: using {SHIPPED.name}/{BEST.name}, whose encoder was trained with labels (supervised)
standard CIDEr-D .53 on Flickr8k's dev photographs (one caption for all: .14; a person: .84); --compare shows one without labels beside it"""


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
    encoder: Path = Path("Pre-trained/distilled/encoder.keras")
    """The encoder whose features the captioner was trained on."""
    beam: settings.Count = 3
    """Beam width. 1 is greedy search, as in the original; captions of 3 to 5 often read better."""
    compare: bool = False
    """Show the captions of all captioners in folders of Pre-trained/ side by side, in place of the one of the settings above."""

    # Page
    serve: bool = False
    """Show a page to drop photographs on, with as many captions of each as the beam width, until Ctrl-C."""
    port: int = 8000
    """Port of that page's address."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    describers = chosen(config)
    if config.serve:
        serve.run(
            lambda photo: {name: describe(photo, config.beam) for name, describe in describers.items()}, config.port
        )
    else:
        one = config.photographs.is_file()
        paths = [config.photographs] if one else photographs.list_photographs(config.photographs)
        show(*all_by_captioner(describers, paths, config.beam), config)


def chosen(config: Settings) -> dict[str, Describer]:
    """Return the captioners to use: your own where the settings name one or one is in this folder, else what is shipped."""
    default = Settings()
    named = (config.model, config.tokenizer, config.encoder) != (default.model, default.tokenizer, default.encoder)
    if not config.compare and (named or any(config.model.glob("model-ep*"))):
        return {"": Describer(config.encoder, config.model, config.tokenizer)}
    if config.compare or config.serve:
        return shipped(SHIPPED)
    print(NOTICE)
    return {"": Describer(BEST / "encoder.keras", BEST / "captioner.keras")}


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
