"""JSON of captions, also of gigabytes: what no reader needs is let go while it is read."""

import json
from pathlib import Path
from typing import Any

from core.disk import read_any_text

NEEDLESS = ("tokens", "segmentation", "bbox")  # of Karpathy and COCO: most of their files


def load(path: Path) -> Any:
    """Return the value of a JSON file, or of each of its lines as a list, without what is needless.

    :raises ValueError: it is neither.
    :raises InputError: it is missing, or no text.
    """
    text = read_any_text(path)
    try:
        return json.loads(text, object_hook=_without_needless)
    except RecursionError as error:
        raise ValueError("values within each other without end") from error
    except ValueError as error:
        if not is_lines(text):
            raise ValueError(str(error)) from error
    return [json.loads(line, object_hook=_without_needless) for line in text.split("\n") if line.strip()]


def is_lines(head: str) -> bool:
    """Tell whether the first line of a text is an object by itself, and more follows."""
    first, _, rest = head.lstrip().partition("\n")
    return first.startswith("{") and first.rstrip().endswith("}") and rest.lstrip().startswith("{")


def _without_needless(value: dict[str, Any]) -> dict[str, Any]:
    for key in NEEDLESS:
        value.pop(key, None)
    return value
