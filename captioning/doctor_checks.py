"""The checks that steps 1 to 5 make before they work, all at once and without the work."""

import shutil
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from captioning import captioner_file, checks, splits, train
from captioning.batches import stacked
from captioning.captions import Captions, lost, read_captions, read_descriptions
from captioning.models import merge
from captioning.tokenizer import Tokenizer, read_tokenizer, wrap
from core import devices, machine
from core.errors import InputError
from encoders import encoder_file, extract, features_file, photographs


class Checks:
    """The files that the settings of `captioning.doctor` name, each read once, and one method for each check.

    A check returns what it found, or raises `InputError`.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    @cached_property
    def _ids(self) -> dict[str, Path]:
        return photographs.by_id(self.config.photographs)

    @cached_property
    def _captions(self) -> Captions:
        return read_captions(self.config.captions, self._ids)

    @cached_property
    def _encoder(self) -> encoder_file.Encoder:
        return encoder_file.read(self.config.encoder)

    @cached_property
    def _splits(self) -> tuple[list[str], list[str]]:
        known = self._ids if self.config.photographs.is_dir() else ()  # else another check says so
        return splits.read(self.config.train_images, known), splits.read(self.config.dev_images, known)

    @cached_property
    def _described(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        found = read_descriptions(self.config.descriptions)
        return checks.described(found, self.config.train_images), checks.described(found, self.config.dev_images)

    @cached_property
    def _features(self) -> dict[str, Any]:
        return features_file.read(self.config.features)

    @cached_property
    def _dimension(self) -> int:
        return next(iter(self._features.values())).shape[1]

    @cached_property
    def _fitted(self) -> Tokenizer:
        return Tokenizer.fit(wrap(text) for texts in self._described[0].values() for text in texts)

    @cached_property
    def _captioner(self) -> captioner_file.Captioner:
        return captioner_file.read(self.config.model)

    def processor(self) -> str:
        if devices.has_gpu():
            return "TensorFlow computes on a GPU"
        if shutil.which("nvidia-smi"):
            return (
                "this machine has an NVIDIA GPU that TensorFlow does not see; `GPU=1 make setup`, or `pip install -e '.[gpu]'` in "
                "a fresh environment, lets it"
            )
        return "no GPU; all steps run without one"

    def photographs(self) -> str:
        checks.check_captions(self._captions, self._ids, self.config.captions)
        return f"{len(self._ids):,} in {self.config.photographs}, with captions in {self.config.captions}"

    def cleaning(self) -> str:
        if line := lost(self._captions, self.config.cleaning):
            raise InputError(f"{self.config.captions}: {line}")
        return f"{self.config.cleaning} keeps the captions' words"

    def splits(self) -> str:
        train, dev = self._splits
        checks.check_apart(train, dev, self.config.dev_images)
        return f"{len(train):,} to learn from, {len(dev):,} to judge by"

    def encoder(self) -> str:
        (_, height, width, _), (_, dimension) = self._encoder.input_shape, self._encoder.output_shape
        return f"{height} x {width} pixels -> {dimension:,} numbers"

    def room_of_step_1(self) -> str:
        return self._room(*extract.needs(self._encoder, len(self._ids), self.config.batch_size))

    def features(self) -> str:
        for part in self._described:
            checks.pick(self._features, part, "feature", self.config.features)
        return (
            f"{len(self._features):,} of {self._dimension:,} numbers, one for each described photograph of the splits"
        )

    def room_of_step_2(self) -> str:
        model = merge.build((self._dimension,), self._fitted.vocabulary_size)
        return self._room(*train.needs(model, self.config.epochs))

    def captioner_and_features(self) -> str:
        extracted, origin, source = features_file.read_seen(self.config.features, grid=self._captioner.looks)
        first = next(image for image in self._described[0] if image in extracted)
        checks.check_features(self._captioner, stacked(extracted, [first]).shape[1:], origin, source)
        if not self._captioner.tokenizer:
            captioner_file.check_vocabulary(self._captioner.model, self._fitted, self.config.descriptions)
        return "the captioner was trained on such features"

    def captioner_and_encoder(self) -> str:
        origin = {"encoder": encoder_file.fingerprint(self._encoder)}
        looks, shape = self._captioner.looks, self._encoder.output_shape[1:]
        shape = extract.Network(self._encoder, batch_size=1, grid=True).shape if looks else shape
        checks.check_features(self._captioner, shape, origin, self.config.encoder)
        return "the captioner was trained on features of this encoder"

    def captioner_and_tokenizer(self) -> str:
        if self._captioner.tokenizer:
            return "the captioner has its own vocabulary"
        known = read_tokenizer(self.config.tokenizer)
        captioner_file.check_vocabulary(self._captioner.model, known, self.config.tokenizer)
        return "the tokenizer has as many words as the captioner"

    def _room(self, room: float, memory: float) -> str:
        if lacking := machine.shortages(self.config.out, room, memory):
            raise InputError("; ".join(lacking))
        return f"{room / 1e6:,.0f} MB of disk and about {memory / 1e9:.1f} GB of memory are there"


NEEDS = {  # the checks in the order of the steps, and the settings whose files an earlier step writes
    Checks.processor: (),
    Checks.photographs: (),
    Checks.cleaning: (),
    Checks.splits: (),
    Checks.encoder: (),
    Checks.room_of_step_1: (),
    Checks.features: ("features", "descriptions"),
    Checks.room_of_step_2: ("features", "descriptions"),
    Checks.captioner_and_features: ("model", "features", "descriptions"),
    Checks.captioner_and_encoder: ("model",),
    Checks.captioner_and_tokenizer: ("model",),
}
WRITERS = {
    "features": "1_data_preprocessor.py",
    "descriptions": "1_data_preprocessor.py",
    "model": "2_train_IC_model.py",
}


def report(config: Any) -> int:
    """Print a line for each check, and return how many different things are to be fixed.

    :param config: the settings of `captioning.doctor`.
    """
    checks_of, faults = Checks(config), []
    for check, needs in NEEDS.items():
        state, line = _attempt(check, needs, checks_of)
        if line in faults:
            state, line = "later", "needs what is to be fixed above"
        elif state == "fix":
            faults.append(line)
        print(f"{state:6} {check.__name__.replace('_', ' ')}: {line}", flush=True)
    return len(faults)


def _attempt(check: Callable[[Checks], str], needs: Sequence[str], checks_of: Checks) -> tuple[str, str]:
    try:
        if absent := [name for name in needs if _is_absent(getattr(checks_of.config, name))]:
            return "later", f"{WRITERS[absent[0]]} writes the {absent[0]}"
        return "ok", check(checks_of)
    except InputError as error:
        return "fix", str(error)
    except OSError as error:  # such as a name that is too long
        return "fix", f"{error}; check that path and its permissions"


def _is_absent(path: Path) -> bool:
    return not any(path.glob("model-ep*")) if path.is_dir() else not path.exists()
