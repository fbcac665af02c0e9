"""What the numbered scripts share: one module per noun."""

import os
import sys
from types import TracebackType

# TensorFlow reads these when it is first imported. On processors without AVX-512 it leaves oneDNN off, with which convolutions run three times faster.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # keep most of its notes out of what people read

STOPPED = "\nstopped by Ctrl-C; what was finished is kept, and the same command goes on from there"


def _say_stopped(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say in one line that Ctrl-C has ended the imports, which take seconds, before `settings.run` is there."""
    if issubclass(kind, KeyboardInterrupt):
        print(STOPPED, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _say_stopped
