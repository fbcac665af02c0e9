"""Look at everything before hours of work, and say what to fix.

    python -m captioning.doctor

Reads what steps 1 to 5 read. Prints a line for each check: `ok`; `later`, where an earlier step has yet to write a file; or `fix`, and what
to do. Writes nothing. The status is 1 where something is to be fixed. The steps make the same checks themselves, before they work.
"""

from dataclasses import dataclass
from pathlib import Path

from core import machine, settings
from core.errors import InputError


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    photographs: Path = Path("Flicker8k_Dataset")  # folder of photographs
    captions: Path = Path("Flickr8k_text/Flickr8k.token.txt")  # their captions
    encoder: Path = Path("encoder.keras")  # what turns a photograph into a feature
    train_images: Path = Path("Flickr8k_text/Flickr_8k.trainImages.txt")  # photographs to learn from
    dev_images: Path = Path("Flickr8k_text/Flickr_8k.devImages.txt")  # photographs to judge by
    features: Path = Path("features.pkl")  # what step 1 writes
    descriptions: Path = Path("descriptions.txt")  # what step 1 writes too
    model: Path = Path()  # captioner of step 2: a file, or a folder whose captioner with the lowest val_loss is taken
    tokenizer: Path = Path("tokenizer.pkl")  # what step 4 writes
    out: Path = Path()  # folder that the steps will write into
    batch_size: settings.Count = 32  # photographs per forward pass in step 1
    epochs: settings.Count = 20  # of step 2


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    print(f"\nok     versions: {machine.check_versions()}", flush=True)
    from captioning import doctor_checks  # only now: it imports the packages whose versions had to be checked first

    if faults := doctor_checks.report(config):
        raise InputError(f"{faults} to fix; the lines above say how")


if __name__ == "__main__":
    settings.run(main)
