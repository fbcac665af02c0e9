"""Captions of photographs: of a split, for step 3, or of any files, for step 5."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from captioning import captioner_file, checks, decoding
from captioning.batches import stacked
from captioning.captions import Captions
from captioning.decoding import Caption
from captioning.tokenizer import Tokenizer, read_tokenizer, wrap
from core.errors import InputError
from encoders import encoder_file, extract, features_file, photographs


def describe(
    model: Path, features: Path, train: Captions, test: Captions, source: Path, beam: int
) -> dict[str, Caption]:
    """Return a captioner's captions of the test photographs, by image id. Their attention is (words, h, w).

    :param model: a captioner's file, or a folder whose captioner with the lowest val_loss is taken.
    :param source: the file that the train descriptions were read from.
    :raises InputError: the captioner, the features and the descriptions do not belong together.
    """
    captioner = captioner_file.read(model)
    extracted, origin, seen_file = features_file.read_seen(features, grid=captioner.looks)
    checks.check_all(extracted, test, "feature", seen_file)
    seen = stacked(extracted, test)
    checks.check_features(captioner, seen.shape[1:], origin, seen_file)
    tokenizer = captioner.tokenizer
    if not tokenizer:
        fitted = Tokenizer.fit(wrap(text) for texts in train.values() for text in texts)
        tokenizer = captioner_file.check_vocabulary(captioner.model, fitted, source)
    found = decoding.caption(captioner.model, seen, tokenizer, beam)
    grid = (origin["rows"], origin["columns"]) if captioner.looks else None
    return {image: caption.at_places(grid) for image, caption in zip(test, found, strict=True)}


def texts(captions: Mapping[str, Caption]) -> tuple[dict[str, str], set[str]]:
    """Return captions as texts, and the ids of those without an end."""
    unfinished = {image for image, caption in captions.items() if not caption.finished}
    return {image: caption.text for image, caption in captions.items()}, unfinished


class Describer:
    """Captions any photographs, with an encoder and a captioner that was trained on its features.

    The attention of its captions is (words, h, w).

    :param encoder: the encoder's file.
    :param captioner: the captioner's file, or a folder whose captioner with the lowest val_loss is taken.
    :param tokenizer: the file of its vocabulary; read only for captioners that have none of their own, such as the original's.
    :raises InputError: a file is missing or damaged, or they do not belong together.
    """

    def __init__(self, encoder: Path | str, captioner: Path | str, tokenizer: Path | str | None = None) -> None:
        found = captioner_file.read(Path(captioner))
        self.encoder, self.captioner, self._looks = encoder_file.read(Path(encoder)), found.model, found.looks
        origin = {"encoder": encoder_file.fingerprint(self.encoder)}
        shape = self._network.shape if self._looks else self.encoder.output_shape[1:]
        self._grid = self._network.grid if self._looks else None  # (h, w, C)
        checks.check_features(found, shape, origin, encoder)
        if found.tokenizer:
            self.tokenizer = found.tokenizer
        elif tokenizer and Path(tokenizer).exists():
            self.tokenizer = captioner_file.check_vocabulary(found.model, read_tokenizer(Path(tokenizer)), tokenizer)
        else:
            raise InputError(
                f"expected a captioner with its vocabulary in {captioner}, found none; give its tokenizer.pkl"
            )

    @cached_property
    def _network(self) -> extract.Network:
        return extract.Network(self.encoder, batch_size=1, grid=self._looks)

    def __call__(self, photograph: Path | str | BinaryIO, beam: int = 3) -> list[Caption]:
        """Return up to `beam` captions of a photograph, a file's path or an open file, the best first.

        :raises Unreadable: it cannot be decoded.
        """
        source = Path(photograph) if isinstance(photograph, str) else photograph
        pixels = photographs.read(source, self._network.height, self._network.width)  # (H, W, 3)
        features, *grid = self._network.outputs(pixels[None])
        seen = extract.cells_of(*grid) if grid else features
        found = decoding.alternatives(self.captioner, seen, self.tokenizer, beam)[0]
        return [caption.at_places(self._grid) for caption in found]

    def all_of(self, paths: Sequence[Path], beam: int) -> tuple[dict[Path, Caption], dict[str, str]]:
        """Return the best caption of each photograph, and why others could not be read, by name."""
        extracted, unreadable = extract.extract(self.encoder, paths, grid=self._looks)
        stacked = np.concatenate(list(extracted.values()))  # (N, D) or (N, cells, C)
        found = decoding.caption(self.captioner, stacked, self.tokenizer, beam)
        by_name = {path.name: path for path in paths}
        captions = {
            by_name[name]: caption.at_places(self._grid) for name, caption in zip(extracted, found, strict=True)
        }
        return captions, unreadable


def shipped(folder: Path) -> dict[str, Describer]:
    """Return the captioners that are shipped, each with its encoder in a folder of its own.

    Their names are the folders' names, with the number of labels that the encoder learned from where encoder.json tells it.

    :raises InputError: there is none.
    """
    found = sorted(path.parent for path in folder.glob("*/captioner.keras") if path.with_name("encoder.keras").exists())
    if not found:
        raise InputError(
            f"expected captioners in folders of {folder}, each with encoder.keras and captioner.keras, found none; put a captioner "
            "and its encoder into a folder there, or leave out --compare"
        )
    return {_title(own): Describer(own / "encoder.keras", own / "captioner.keras") for own in found}


def _title(folder: Path) -> str:
    labels = encoder_file.facts(folder / "encoder.keras").get("labels")
    return folder.name if labels is None else f"{folder.name} (labels: {labels})"


def all_by_captioner(
    describers: Mapping[str, Describer], paths: Sequence[Path], beam: int
) -> tuple[dict[Path, dict[str, list[Caption]]], dict[str, str]]:
    """Return each photograph's best caption by each captioner, and why others could not be read, by name."""
    described: dict[Path, dict[str, list[Caption]]] = {}
    for name, describer in describers.items():
        captions, unreadable = describer.all_of(paths, beam)
        for path, caption in captions.items():
            described.setdefault(path, {})[name] = [caption]
    return described, unreadable
