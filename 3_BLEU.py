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

from captioning import agreement, decoding, descriptions, devices, files, report, settings, splits
from captioning.tokenizer import Tokenizer, wrap

import numpy as np

Descriptions = dict[str, list[str]]


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
    with files.locked(config.out):
        score(config)


def score(config: Settings) -> None:
    """Caption the test photographs, or read captions made elsewhere; print and write their scores."""
    described = files.read_descriptions(config.descriptions)
    train, test = (
        agreement.described(described, splits.read(path), path) for path in (config.train_images, config.test_images)
    )
    if config.candidates:
        unfinished: set[str] = set()
        captions = agreement.pick(files.read_captions(config.candidates), test, "caption", config.candidates)
    else:
        captions, unfinished = describe(train, test, config)
    scores = {
        "split": splits.describe(config.test_images),
        "beam": None if config.candidates else config.beam,
        **report.make(captions, test, train, read_references(test, config), unfinished),
    }
    print(f"\n{len(captions):,} photographs of the split {scores['split']}\n\n{report.table(scores)}\n")
    print("\n".join(report.remarks(scores)))
    write(captions, scores, config.out)


def describe(train: Descriptions, test: Descriptions, config: Settings) -> tuple[dict[str, str], set[str]]:
    """Return the captioner's captions of the test photographs, and the ids of those without an end."""
    captioner = files.read_captioner(config.model)
    features = agreement.pick(files.read_features(config.features), test, "feature", config.features)
    stacked = np.concatenate(list(features.values()))
    agreement.check_features(captioner, stacked.shape[1], files.read_origin(config.features), config.features)
    fitted = Tokenizer.fit(wrap(text) for texts in train.values() for text in texts)
    tokenizer = agreement.check_vocabulary(captioner, fitted, config.descriptions)
    found = dict(zip(features, decoding.caption(captioner.model, stacked, tokenizer, config.beam), strict=True))
    captions = {image: caption.text for image, caption in found.items()}
    return captions, {image for image, caption in found.items() if not caption.finished}


def read_references(test: Descriptions, config: Settings) -> Descriptions | None:
    if config.references is None:
        print("the standard protocol is left out: --references Flickr8k_text/Flickr8k.token.txt adds it")
        return None
    return agreement.pick(descriptions.read(config.references), test, "caption", config.references)


def write(captions: dict[str, str], scores: dict, folder: Path) -> None:
    files.write_captions(folder / "captions.json", captions)
    files.write_json(folder / "scores.json", scores)
    print(f"wrote {folder / 'captions.json'}: {len(captions):,} captions")
    print(f"wrote {folder / 'scores.json'}: {len(scores['protocols'])} protocols")


if __name__ == "__main__":
    settings.run(main)
