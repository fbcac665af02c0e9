"""Step 3: caption the photographs of a split, and score the captions.

    python 3_BLEU.py --model . --test-images Flickr8k_text/Flickr_8k.devImages.txt

Reads a captioner, features.pkl, descriptions.txt and two image lists. With --candidates it reads captions made elsewhere instead of a
captioner and features. Prints one table with the protocols `seed` (the original's), `cleaned` and `standard` (needs --references), each
beside its floor (one caption for all photographs) and its ceiling (a person). Writes, into --out:
    captions.json   the captions, in the COCO result format
    scores.json     the table's figures, and how varied the captions are

By default this scores the dev split, as the original did (its comments say test).
"""

from dataclasses import dataclass
from pathlib import Path

from captioning import checks, report, splits
from captioning.captions import Captions, read_captions, read_descriptions, read_results
from captioning.describe import describe, texts
from core import devices, disk, settings


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    # Data
    model: Path = Path()
    """Captioner: a file, or a folder whose captioner with the lowest val_loss is taken."""
    features: Path = Path("features.pkl")
    """The photographs' features, from step 1."""
    descriptions: Path = Path("descriptions.txt")
    """Cleaned captions of the train and test photographs, from step 1."""
    references: Path | None = None
    """Captions as people wrote them (Flickr8k.token.txt), for the standard protocol."""
    train_images: Path = Path("Flickr8k_text/Flickr_8k.trainImages.txt")
    """List of the photographs that the captioner has seen."""
    test_images: Path = Path("Flickr8k_text/Flickr_8k.devImages.txt")
    """List of the photographs to caption and score. The original used dev too, although its comments say test."""
    candidates: Path | None = None
    """Score the captions of this captions.json instead of a captioner's."""
    against: Path | None = None
    """Compare with the captions of this captions.json, photograph by photograph. docs/results/ has those of each table."""
    out: Path = Path()
    """Folder for what is written."""

    # Captions
    beam: settings.Count = 1
    """Beam width. 1 is greedy search; 3 to 5 score higher but take 3 to 5 times as long."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    with disk.locked(config.out):
        score(config)


def score(config: Settings) -> None:
    """Caption the test photographs, or read captions made elsewhere; print and write their scores."""
    described = read_descriptions(config.descriptions)
    train, test = (checks.described(described, path) for path in (config.train_images, config.test_images))
    references = read_references(described, test, config)
    if config.candidates:
        unfinished: set[str] = set()
        captions = checks.pick(read_results(config.candidates, described), test, "caption", config.candidates)
    else:
        found = describe(config.model, config.features, train, test, config.descriptions, config.beam)
        captions, unfinished = texts(found)
    others = config.against and checks.pick(read_results(config.against, described), test, "caption", config.against)
    known = {"split": splits.describe(config.test_images), "beam": None if config.candidates else config.beam}
    report.write(config.out, captions, unfinished, train, test, references, others, **known)


def read_references(described: Captions, test: Captions, config: Settings) -> Captions | None:
    if config.references is None:
        print("the standard protocol is left out: --references Flickr8k_text/Flickr8k.token.txt adds it")
        return None
    return checks.pick(read_captions(config.references, described), test, "caption", config.references)


if __name__ == "__main__":
    settings.run(main)
