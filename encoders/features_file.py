"""features.pkl, the features of photographs, and features.json beside it, which says where they come from."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core import pickles
from core.disk import check_claim, read_json, write_bytes, write_json
from core.errors import InputError


def write(path: Path, features: Mapping[str, np.ndarray]) -> None:
    """Write `{image id: float32 (1, D)}` as a pickle that numpy 1.x and 2.x load, and delete the features.json of earlier features."""
    _origin_path(path).unlink(missing_ok=True)
    write_bytes(path, pickles.dump(dict(features)))


def read(path: Path) -> dict[str, np.ndarray]:
    """Return `{image id: float32 (1, D)}` from our features.pkl or the original's.

    :raises InputError: the file is missing, is not such a pickle, or the features are of several lengths or not finite.
    """
    features = pickles.read(path)
    if not isinstance(features, dict) or not features:
        raise InputError(
            f"expected a dictionary of image ids and features in {path}, found {type(features).__name__} "
            f"{'without entries' if isinstance(features, dict) else ''}; run 1_data_preprocessor.py"
        )
    shapes = {
        str(value.shape) if isinstance(value, np.ndarray) else type(value).__name__ for value in features.values()
    }
    if len(shapes) > 1 or not re.fullmatch(r"\(1, [1-9]\d*\)", min(shapes)):
        raise InputError(
            f"expected one feature of shape (1, D) for each image in {path}, "
            f"found {' and '.join(sorted(shapes)[:3])}; run 1_data_preprocessor.py"
        )
    check_claim(sum(value.nbytes for value in features.values()), Path(path).stat().st_size, path)
    features = {str(key): np.asarray(value, "float32") for key, value in features.items()}
    if unfit := [key for key, value in features.items() if not np.isfinite(value).all()]:
        raise InputError(
            f"{len(unfit)} of {len(features)} features in {path} are not finite (the first is {unfit[0]}); "
            "check the encoder and run 1_data_preprocessor.py again"
        )
    return features


def write_origin(features_path: Path, origin: Mapping[str, Any]) -> None:
    """Write features.json beside the features: the encoder's fingerprint, height, width, dimension, precision and the cleaning."""
    write_json(_origin_path(features_path), dict(origin))


def read_origin(features_path: Path) -> dict[str, Any] | None:
    """Return what features.json beside the features says, or None (with one line) where a drop-in has none."""
    path = _origin_path(features_path)
    if not path.exists():
        print(
            f"no {path.name} beside {features_path}: which encoder made these features is not known, so it is not checked"
        )
        return None
    return check_origin(read_json(path), path)


def _origin_path(features_path: Path) -> Path:
    return Path(features_path).with_suffix(".json")


def check_origin(value: Any, path: Path) -> dict[str, Any]:
    """Return the origin of features as the file `path` has it.

    :raises InputError: it has another form.
    """
    if not isinstance(value, dict) or not isinstance(value.get("encoder"), str):
        raise InputError(
            f"expected the origin of the features in {path}, found something else; run 1_data_preprocessor.py"
        )
    return value
