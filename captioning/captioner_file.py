"""A captioner's file: a .keras archive that also remembers its vocabulary and the origin of its features; or one of the tutorial's, as the original's."""

import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import keras

from captioning.models import attention, merge, tutorial
from captioning.tokenizer import Tokenizer, check_tokenizer
from core import hdf5, keras_files
from core.disk import replacing
from core.errors import InputError
from core.keras_files import MEMORY
from encoders.features_file import check_origin

MODELS = (merge, attention)


class Captioner(NamedTuple):
    """A captioner as it was saved; the tokenizer and the origin are None in files that step 2 has not written."""

    model: keras.Model
    tokenizer: Tokenizer | None
    origin: dict[str, Any] | None

    @property
    def looks(self) -> bool:
        """Whether it sees grids, in place of features."""
        return len(self.model.inputs[0].shape) == 3


def write(
    path: Path, model: keras.Model, tokenizer: Tokenizer, origin: Mapping[str, Any] | None, *, bits: int = 24
) -> None:
    """Write a captioner with its vocabulary and the origin of the features it was trained on, all or nothing.

    Its weights are rounded to `bits` significant bits.
    """
    with replacing(path) as temporary:
        keras_files.write(temporary, model, bits=bits)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(MEMORY, json.dumps({"tokenizer": tokenizer.content(), "origin": origin}))


def read(path: Path) -> Captioner:
    """Return the captioner of our .keras file, of the tutorial's .keras or .h5, or of the file with the lowest val_loss in a folder.

    It prints one line that says what the file was taken for.

    :raises InputError: there is none, it is damaged, or its layers are those of no captioner.
    """
    path = best_of(Path(path)) if Path(path).is_dir() else Path(path)
    archive = path.suffix not in (".h5", ".hdf5")
    stored = keras_files.read_stored(path) if archive else hdf5.read_keras(path)
    known = _known(stored.weights) if archive else None
    if known:
        kind, found = f"a captioner of step 2 ({known.NAME})", _read_own(path)
    else:
        kind = "the tutorial's merge captioner"
        kind += ", by its weights alone (relu and mask_zero=True are guessed)" * (stored.config is None)
        found = Captioner(_tutorial(stored, path), None, None)
    (_, *feature), (_, length) = found.model.inputs[0].shape, found.model.inputs[1].shape
    words = f"{found.model.output_shape[-1]:,} words{' of its own' if found.tokenizer else ''}"
    length = length or (found.tokenizer and found.tokenizer.maximum_length)
    saved = f", saved by Keras {stored.version}" if stored.version else ""
    print(
        f"{path}: {kind}{saved}: {found.model.inputs[0].name} {' x '.join(map(str, feature))}, {words}, at most {length or 'any number of'} words"
    )
    return found


def _read_own(path: Path) -> Captioner:
    model, memory = keras_files.read(path), _read_memory(path)
    tokenizer = None
    if "tokenizer" in memory:
        tokenizer = check_vocabulary(model, check_tokenizer(memory["tokenizer"], path), path)
    return Captioner(model, tokenizer, check_origin(memory["origin"], path) if memory.get("origin") else None)


def _tutorial(stored: hdf5.Stored, path: Path) -> keras.Model:
    try:
        return tutorial.build(stored)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InputError(
            f"expected a captioner in {path}, found a model with the layers {_layers(stored)}: {error}; what fits is "
            f"{tutorial.FITTING}; give such a file, or train one with 2_train_IC_model.py"
        ) from error


def _layers(stored: hdf5.Stored) -> str:
    """Return how many layers of each kind a stored model has; the names of its weights where it does not say."""
    try:
        kinds = Counter(str(layer["class_name"]) for layer in stored.config["layers"])
    except (LookupError, TypeError):
        kinds = Counter(stored.weights.keys())
    return ", ".join(f"{count} {kind}" if count > 1 else kind for kind, count in kinds.items())


def check_vocabulary(model: keras.Model, tokenizer: Tokenizer, source: Path) -> Tokenizer:
    """Return the tokenizer that the file `source` holds, if the captioner has as many words.

    :raises InputError: it has others.
    """
    if tokenizer.vocabulary_size != (expected := model.output_shape[-1]):
        raise InputError(
            f"expected a vocabulary of {expected:,} words (the padding counts as one), which the captioner was trained on, found "
            f"{tokenizer.vocabulary_size:,} in {source}; give the descriptions and the train list, or the tokenizer, that it was trained on"
        )
    return tokenizer


def design(model: keras.Model) -> ModuleType | None:
    """Return the module of captioning/models that built a captioner, by its layers' names; None if none did."""
    return _known(layer.name for layer in model.layers)


def _known(names: Iterable[str]) -> ModuleType | None:
    names = set(names)
    return next((known for known in MODELS if names >= known.LAYERS), None)


def _read_memory(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        try:
            memory = json.loads(archive.read(MEMORY)) if MEMORY in archive.namelist() else {}
        except Exception as error:  # a damaged member, or no JSON
            raise InputError(f"expected JSON in the member {MEMORY} of {path}: {error}; get the file again") from error
    if not isinstance(memory, dict):
        raise InputError(
            f"expected a tokenizer and an origin in the member {MEMORY} of {path}, found something else; train it again"
        )
    return memory


def best_of(folder: Path) -> Path:
    """Return the captioner with the lowest val_loss in a folder, or with the highest CIDEr-D in one of step 2 --reward.

    :raises InputError: there is none, or there are both kinds.
    """
    losses, ciders = (
        {
            path: float(match[1])
            for path in folder.glob("model-ep*")
            if (match := re.search(rf"-{name}(\d+(?:\.\d+)?)\.(?:keras|h5)$", path.name))
        }
        for name in ("val_loss", "cider")
    )
    if losses and ciders:
        raise InputError(
            f"expected captioners of one kind in {folder}, found {min(losses).name} and {min(ciders).name}; give a file"
        )
    found = losses or {path: -value for path, value in ciders.items()}
    if not found:
        raise InputError(
            f"expected a captioner (model-ep...-val_loss....keras) in {folder}, found none; run 2_train_IC_model.py"
        )
    # Of equal ones the last: each was written because it was better, in digits that its name does not have.
    return min(sorted(found, reverse=True), key=found.get)
