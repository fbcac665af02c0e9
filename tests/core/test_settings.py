"""The settings of a script: docstrings are help, defaults are edited, mistakes are named."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from tensorflow.errors import ResourceExhaustedError

from core import settings
from core.errors import InputError


@dataclass(frozen=True)
class Example:
    """Edit these here, or override them on the command line."""

    # Data
    photographs: Path = Path("photos")
    """Folder of photographs."""
    batch_size: int = 32
    """Photographs per forward pass, 100% whole. A second sentence."""
    names: tuple[str, ...] = ()
    """Several names."""

    # Speed
    limit: int | None = None
    """Stop after so many."""
    mixed: bool = False
    """Compute in half precision."""
    rate: settings.Positive = 0.1
    """How fast."""
    share: settings.Share = 0.5
    """How much."""
    rounds: settings.Count | None = None
    """How often."""
    cleaning: Literal["seed", "natural"] = "seed"
    """Which words are kept."""


def test_defaults_and_overrides(capsys):
    """Every option overrides its field, and all settings are printed."""
    words = ["--photographs", "x", "--names", "a", "b", "--limit", "3", "--mixed", "--cleaning", "natural"]
    chosen = settings.from_command_line(Example, words)
    assert chosen == Example(Path("x"), 32, ("a", "b"), 3, True, cleaning="natural")
    assert "--batch-size 32" in capsys.readouterr().out
    assert settings.from_command_line(Example, []) == Example()


def test_names_in_another_encoding_than_the_terminals_are_printed_as_their_escapes(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8"))
    settings.from_command_line(Example, ["--photographs", "caf\udce9"])
    assert b"--photographs caf\\udce9\n" in sys.stdout.buffer.getvalue()


def test_help_shows_docstrings_and_defaults(capsys):
    """`--help` is made of the module's docstring, the fields' docstrings and the defaults."""
    with pytest.raises(SystemExit) as stop:
        settings.from_command_line(Example, ["--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert stop.value.code == 0 and __doc__ in shown
    assert "Folder of photographs. (default: photos)" in shown
    assert "100% whole. A second sentence. (default: 32)" in shown


@pytest.mark.parametrize(
    "words", [["--batchsize", "3"], ["--batch", "3"], ["--batch-size", "many"], ["--cleaning", "x"]]
)
def test_wrong_options_are_named(words, capsys):
    """An unknown option, an abbreviation and a wrong value end with an error that names them."""
    with pytest.raises(SystemExit) as stop:
        settings.from_command_line(Example, words)
    assert stop.value.code == 2 and words[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--batch-size", "-1", "expected --batch-size between 0 and 2147483647, found -1"),
        ("--limit", "2147483648", "found 2147483648"),
        ("--rounds", "0", "--rounds between 1 and"),
        ("--rate", "0", "--rate between 1e-12 and"),
        ("--rate", "nan", "found nan"),
        ("--rate", "inf", "found inf"),
        ("--share", "1.5", "--share between 0 and 1, found 1.5"),
    ],
)
def test_numbers_out_of_range_are_named(option, value, message):
    """Also where the default was edited, since a script's settings are checked, not its command line."""
    with pytest.raises(InputError, match=message):
        settings.from_command_line(Example, [option, value])


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (InputError("no photographs"), "error: no photographs"),
        (
            OSError(28, "No space left", "a"),
            "error: [Errno 28] No space left: 'a'; check that path, its permissions and the free space",
        ),
        (
            MemoryError(),
            "error: the memory does not suffice; lower --batch-size or the network's size, or end other programs",
        ),
        (
            ResourceExhaustedError(None, None, "OOM"),
            "error: the memory does not suffice; lower --batch-size or the network's size, or end other programs",
        ),
        (KeyboardInterrupt(), 130),
    ],
)
def test_run_ends_without_traceback(raised, code):
    """A user's mistake and Ctrl-C end the script with one line and a status that is not zero."""

    def main():
        raise raised

    with pytest.raises(SystemExit) as stop:
        settings.run(main)
    assert stop.value.code == code
    assert sys.exc_info() == (None, None, None)
