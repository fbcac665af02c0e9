"""A captioner's file: a .keras archive that also remembers its vocabulary and the origin of its features; or the original's .h5."""

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import keras

from captioning.models import merge
from captioning.tokenizer import Tokenizer, check_tokenizer
from core import hdf5, keras_files
from core.disk import replacing
from core.errors import InputError
from core.keras_files import MEMORY
from encoders.features_file import check_origin

MODELS = (merge,)


class Captioner(NamedTuple):
    """A captioner as it was saved; the tokenizer and the origin are None in files of the original."""

    model: keras.Model
    tokenizer: Tokenizer | None
    origin: dict[str, Any] | None


def write(path: Path, model: keras.Model, tokenizer: Tokenizer, origin: Mapping[str, Any] | None) -> None:
    """Write a captioner with its vocabulary and the origin of the features it was trained on, all or nothing."""
    with replacing(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(MEMORY, json.dumps({"tokenizer": tokenizer.content(), "origin": origin}))


def read(path: Path) -> Captioner:
    """Return the captioner of our .keras file, of the original's .h5, or of the file with the lowest val_loss in a folder.

    :raises InputError: there is none, it is damaged, or its layers are those of no captioner.
    """
    path = best_of(Path(path)) if Path(path).is_dir() else Path(path)
    if path.suffix in (".h5", ".hdf5"):
        return Captioner(_read_keras_2(path), None, None)
    model = keras_files.read(path)
    if design(model) is None:
        names = {layer.name for layer in model.layers}
        missing = min((known.LAYERS - names for known in MODELS), key=len)
        raise InputError(
            f"expected a captioner in {path}, found a model without the layers {', '.join(sorted(missing))}; "
            "train one with 2_train_IC_model.py"
        )
    memory = _read_memory(path)
    tokenizer = check_tokenizer(memory["tokenizer"], path) if "tokenizer" in memory else None
    return Captioner(model, tokenizer, check_origin(memory["origin"], path) if memory.get("origin") else None)


def design(model: keras.Model) -> ModuleType | None:
    """Return the module of captioning/models that built a captioner, by its layers' names; None if none did."""
    names = {layer.name for layer in model.layers}
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
    """Return the captioner with the lowest val_loss in a folder, and say which.

    :raises InputError: there is none.
    """
    losses = {
        path: re.search(r"-val_loss(\d+(?:\.\d+)?)\.(?:keras|h5)$", path.name) for path in folder.glob("model-ep*")
    }
    found = {path: float(match[1]) for path, match in losses.items() if match}
    if not found:
        raise InputError(
            f"expected a captioner (model-ep...-val_loss....keras) in {folder}, found none; run 2_train_IC_model.py"
        )
    # Of equal ones the last: each was written for a lower val_loss, with more digits than its name has.
    best = min(sorted(found, reverse=True), key=found.get)
    print(f"captioner: {best}")
    return best


def _read_keras_2(path: Path) -> keras.Model:
    """Build the model of a Keras 2 .h5 file that one of `MODELS` knows, with its weights."""
    config, weights = hdf5.read_keras_2(path)
    for known in MODELS:
        if hasattr(known, "from_keras_2") and (model := known.from_keras_2(config, weights)):
            return model
    raise InputError(
        f"expected the original's merge model in {path}, found the layers {', '.join(weights)}; check the path"
    )
