"""Step 3: a captioner describes the photographs of a split, and its captions are scored.

    python 3_BLEU.py --model . --test-images Flickr8k_text/Flickr_8k.devImages.txt

Reads a captioner, features.pkl, descriptions.txt and two image lists; with --candidates, captions made elsewhere instead of a
captioner and features. Prints one table: the protocols `seed` (the original's), `cleaned` and `standard` (needs --references), each
beside its floor (one caption for all photographs) and its ceiling (a person). Writes, into --out:
    captions.json   the captions, in the COCO result format
    scores.json     the table's figures, and how varied the captions are
The original, whatever its comments say, evaluated on the dev split; so does the default.
"""

from dataclasses import dataclass
from pathlib import Path

from captioning import checks, report, splits
from captioning.captions import Captions, read_captions, read_descriptions, read_results
from captioning.describe import describe
from core import devices, disk, settings


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    model: Path = Path()  # captioner: a file, or a folder whose captioner with the lowest val_loss is taken
    features: Path = Path("features.pkl")  # what the encoder made of the photographs
    descriptions: Path = Path("descriptions.txt")  # cleaned captions of train and test
    references: Path | None = None  # captions as people wrote them (Flickr8k.token.txt), for the standard protocol
    train_images: Path = Path("Flickr8k_text/Flickr_8k.trainImages.txt")  # photographs that the captioner has seen
    test_images: Path = Path("Flickr8k_text/Flickr_8k.devImages.txt")  # photographs to describe
    candidates: Path | None = None  # score these captions (a captions.json) instead of a captioner's
    beam: settings.Count = (
        1  # captions under way for each photograph; 1 is greedy, 3 to 5 score higher and take as many times longer
    )
    out: Path = Path()  # folder for what is written


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare()
    with disk.locked(config.out):
        score(config)


def score(config: Settings) -> None:
    """Caption the test photographs, or read captions made elsewhere; print and write their scores."""
    described = read_descriptions(config.descriptions)
    train, test = (
        checks.described(described, splits.read(path), path) for path in (config.train_images, config.test_images)
    )
    references = read_references(test, config)
    if config.candidates:
        unfinished: set[str] = set()
        captions = checks.pick(read_results(config.candidates), test, "caption", config.candidates)
    else:
        captions, unfinished = describe(config.model, config.features, train, test, config.descriptions, config.beam)
    known = {"split": splits.describe(config.test_images), "beam": None if config.candidates else config.beam}
    report.write(config.out, captions, unfinished, train, test, references, **known)


def read_references(test: Captions, config: Settings) -> Captions | None:
    if config.references is None:
        print("the standard protocol is left out: --references Flickr8k_text/Flickr8k.token.txt adds it")
        return None
    return checks.pick(read_captions(config.references), test, "caption", config.references)


if __name__ == "__main__":
    settings.run(main)
