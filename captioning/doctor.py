"""Look at everything before hours of work, and say what to fix.

    python -m captioning.doctor
    python -m captioning.doctor DIR

With a folder as it was downloaded: says what each file in it is, and prints the commands to run, in order.

Without: reads what steps 1 to 5 read. Prints a line for each check: `ok`; `later`, where an earlier step has yet to write a file; or `fix`,
and what to do. The status is 1 where something is to be fixed. The steps make the same checks themselves, before they work.
Writes nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from captioning.cleaning import Cleaning
from core import machine, settings
from core.errors import InputError


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    # A download
    folder: tyro.conf.Positional[Path | None] = None
    """Look at this folder instead, and print the commands that make captions of it."""

    # Data
    photographs: Path = Path("Flicker8k_Dataset")
    """Folder of photographs."""
    captions: Path = Path("Flickr8k_text/Flickr8k.token.txt")
    """Their captions."""
    cleaning: Cleaning = "seed"
    """How step 1 cleans them."""
    encoder: Path = Path("Pre-trained/distilled/encoder.keras")
    """The encoder, which turns a photograph into a feature."""
    train_images: Path = Path("Flickr8k_text/Flickr_8k.trainImages.txt")
    """List of the photographs to learn from."""
    dev_images: Path = Path("Flickr8k_text/Flickr_8k.devImages.txt")
    """List of the photographs for val_loss."""

    # What the steps write
    features: Path = Path("features.pkl")
    """From step 1."""
    descriptions: Path = Path("descriptions.txt")
    """From step 1 too."""
    model: Path = Path()
    """From step 2: a captioner's file, or a folder whose captioner with the lowest val_loss is taken."""
    tokenizer: Path = Path("tokenizer.pkl")
    """From step 4."""
    out: Path = Path()
    """Folder that the steps will write into."""

    # How much the steps need
    batch_size: settings.Count = 32
    """Photographs per forward pass in step 1."""
    epochs: settings.Count = 20
    """Epochs of step 2, at most."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    print(f"\nok     versions: {machine.check_versions()}", flush=True)
    if config.folder:
        return look(config.folder)
    from captioning import doctor_checks  # only now: it imports the packages whose versions had to be checked first

    if faults := doctor_checks.report(config):
        raise InputError(f"{faults} to fix; the lines above say how")


def look(folder: Path) -> None:
    """Say what each file of a downloaded folder is, and print the commands that make captions of it.

    :raises InputError: the folder has no photographs with captions.
    """
    from captioning.formats import downloads  # as above

    found = downloads.look(folder)
    for place, count in found.folders.items():
        print(f"found  {place}: {count:,} photographs")
    for path, line in found.lines.items():
        print(f"found  {path}: {line}")
    choice = downloads.choose(found, folder)
    if choice is None:
        raise InputError(downloads.lacking(found, folder))
    print(
        f"ok     {choice.matched:,} of {len(choice.ids):,} photographs in {choice.photographs} have captions in {choice.captions}"
    )
    lines, notes = downloads.commands(found, choice, Path(f"{folder.resolve().name}_run"))
    print("\n".join([*(f"note   {note}" for note in notes), "", *lines]))


if __name__ == "__main__":
    settings.run(main)
