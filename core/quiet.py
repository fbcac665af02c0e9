"""Keep TensorFlow's start quiet: it prints notes that none of its variables silences. Errors still come through."""

import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NOTES = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|I\d{4} \d\d:.*oneDNN custom operations are on"
)


class QuietStart(MetaPathFinder):
    """Drops TensorFlow's notes while it is imported for the first time."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def quietly(module: ModuleType) -> None:
                with without_notes():
                    execute(module)

            spec.loader.exec_module = quietly
        return spec


@contextmanager
def without_notes() -> Iterator[None]:
    """Hold back what the block writes to standard error, then write all of it that is no note."""
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not NOTES.match(line)))
