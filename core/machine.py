"""The machine: are its versions, memory and disk enough? Only Python's own library is needed."""

import os
import re
import shutil
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from core.errors import InputError

ROOT = Path(__file__).parents[1]
BUILDS = ("tensorflow", "tensorflow-cpu")  # distributions of one and the same module


def check_versions() -> str:
    """Return the versions in use.

    :raises InputError: a package is missing or outside the bounds of pyproject.toml, TensorFlow is there twice or is not Keras' backend.
    """
    found: dict[str, str] = {}
    for item in distributions():
        if item.name:  # a broken installation may leave one without a name
            found.setdefault(item.name.lower().replace("_", "-"), item.version)  # Python imports the first of two
    builds = [name for name in BUILDS if name in found]
    if len(builds) != 1:
        raise InputError(
            f"expected one build of TensorFlow, found {' and '.join(builds) or 'none'}; make a fresh environment and say "
            "`pip install -e '.[cpu]'` in it, or '.[gpu]'"
        )
    if (backend := os.environ.get("KERAS_BACKEND", "tensorflow")) != "tensorflow":
        raise InputError(f"expected TensorFlow as Keras' backend, found KERAS_BACKEND={backend}; unset this variable")
    found |= {"python": ".".join(map(str, sys.version_info[:3])), "tensorflow": found[builds[0]]}
    for name, bounds in _bounds().items():
        if name not in found or not _within(found[name], bounds):
            raise InputError(
                f"expected {name}{bounds}, found {found.get(name, 'none')}; `make setup` or `pip install -e '.[cpu]'` "
                "in a fresh environment brings what fits"
            )
    return ", ".join(f"{name} {found[name]}" for name in ("python", "tensorflow", "keras", "numpy"))


def _bounds() -> dict[str, str]:
    """Read which versions the project needs: `{"numpy": ">=2.0", ...}`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    pairs = re.findall(r"^([\w-]+?)(?:-cpu)?((?:>=|<)[\d.,<>=]+)", "\n".join(needed), re.MULTILINE)
    return {"python": project["requires-python"], **dict(pairs)}


def _within(version: str, bounds: str) -> bool:
    limits = re.findall(r"(>=|<)([\d.]+)", bounds)
    return all((_numbers(version) >= _numbers(limit)) == (side == ">=") for side, limit in limits)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.split("+")[0])))


def shortages(folder: Path, room: float, memory: float) -> list[str]:
    """Return what this machine lacks for a step that writes `room` bytes into a folder and needs about `memory` bytes."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    available = {
        f"on the disk of {folder}": (room, shutil.disk_usage(existing).free),
        "of memory": (memory, free_memory()),
    }
    return [
        f"expected {needed / 1e9:.2f} GB {where}, found {free / 1e9:.2f} GB; free some, or see README.md, Troubleshooting"
        for where, (needed, free) in available.items()
        if free is not None and free < needed
    ]


def warn(folder: Path, room: float, memory: float) -> None:
    """Print what this machine lacks. The step goes on all the same, since it may need less than estimated."""
    for line in shortages(folder, room, memory):
        print(f"warning: {line}", flush=True)


def free_memory() -> int | None:
    """Return the bytes of memory that Linux estimates to be free for a new program; None on other systems."""
    path = Path("/proc/meminfo")
    found = re.search(r"MemAvailable: +(\d+) kB", path.read_text()) if path.exists() else None
    return int(found[1]) * 1024 if found else None
