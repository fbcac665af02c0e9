"""Folders as Hugging Face keeps them: tensors in one file or in shards, and JSON beside them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.disk import read_json
from core.errors import InputError
from encoders.tensors.tensor import Tensor

INDEX = ".index.json"
FILES = ("model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}")
CONFIGURATIONS = {"config": "config.json", "preprocessor": "preprocessor_config.json"}


def file_in(folder: Path) -> Path | None:
    """Return the file that a folder keeps its tensors in, or the index of its shards."""
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def configuration(path: Path) -> dict[str, Any]:
    """Return what the JSON files beside a file of such a folder say, by the keys of `CONFIGURATIONS`."""
    if path.name not in FILES:
        return {}
    beside = {key: path.with_name(name) for key, name in CONFIGURATIONS.items()}
    return {key: read_json(file) for key, file in beside.items() if file.is_file()}


def read_shards(index: Path, read: Callable[[Path], tuple[dict[str, Tensor], str]]) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of all files that an index names, each read by `read`; and what they are.

    :raises InputError: the index is none, it names a file elsewhere, or a file or a tensor is missing.
    """
    places = read_json(index)["weight_map"]
    tensors, container = {}, ""
    shards = sorted(set(places.values()))
    for shard in shards:
        path = index.with_name(shard) if re.fullmatch(r"\w[\w.-]*", shard) else None
        if path is None or not path.is_file():
            raise InputError(
                f"{index} names the file {shard!r}, found nothing of that name beside it: get all files of the folder"
            )
        more, container = read(path)
        tensors |= more
    if missing := places.keys() - tensors.keys():
        raise InputError(
            f"{index} names {len(missing)} tensors that its files lack, such as {min(missing)!r}: get the files again"
        )
    return tensors, f"{len(shards)} shards, each {container}"
