"""Settings of a script: a frozen dataclass whose defaults people edit, and whose docstrings under the fields are its `--help`."""

import dataclasses
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from core.errors import InputError

STOPPED = "\nstopped by Ctrl-C; what was finished is kept, and the same command goes on from there"

Settings = TypeVar("Settings")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Range:
    """The allowed range of a number, both ends included. Default: 0 to 2**31 - 1, TensorFlow's largest seed."""

    least: float = 0
    most: float = 2**31 - 1


Count = Annotated[int, Range(least=1)]
Positive = Annotated[float, Range(least=1e-12)]
Share = Annotated[float, Range(most=1)]
Bits = Annotated[int, Range(least=2, most=24)]  # significant bits of a float32


def _yes_or_no(words: list[str]) -> bool:
    if words not in ([], ["yes"], ["no"]):
        raise ValueError("expected yes or no")
    return words != ["no"]


# `--flag` and `--flag yes` are True, `--flag no` is False; None, the default, is neither.
YesNo = Annotated[
    bool | None,
    PrimitiveConstructorSpec(
        nargs=(0, 1),
        metavar="{yes,no}",
        instance_from_str=_yes_or_no,
        is_instance=lambda value: value is None or isinstance(value, bool),
        str_from_instance=lambda value: [] if value is None else ["yes" if value else "no"],
    ),
]


def from_command_line(
    settings: type[Settings],
    arguments: list[str] | None = None,
    complete: Callable[[Settings], Settings] = lambda chosen: chosen,
) -> Settings:
    """Return `settings` with the values that the command line overrides, and print them all.

    A field `batch_size: int = 32` with the docstring `\"\"\"Photographs per forward pass.\"\"\"` below it answers to `--batch-size`.

    :param arguments: the words of the command line; `sys.argv[1:]` when left out.
    :param complete: gives values to settings that are None because the best depends on others.
    :raises InputError: a number is out of its range.
    :raises SystemExit: `--help`, or an option that is unknown or has a wrong value (named on standard error).
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # not a notebook's
        sys.stdout.reconfigure(errors="backslashreplace")  # for names in another encoding than the terminal's
    about = sys.modules[settings.__module__].__doc__
    chosen = tyro.cli(settings, prog=_command(), args=arguments, description=about)
    hints = get_type_hints(settings, include_extras=True)
    for name, value in vars(chosen).items():
        _check_range(name, value, hints[name])
    chosen = complete(chosen)
    print("\n".join(f"{_option(name)} {_shown(value)}" for name, value in vars(chosen).items()), flush=True)
    return chosen


def filled(config: Settings, defaults: Mapping[str, Any]) -> Settings:
    """Return the settings with defaults in place of those that are None."""
    unset = {name: value for name, value in defaults.items() if getattr(config, name, 0) is None}
    return dataclasses.replace(config, **unset)


def shared(kind: type[Value], config: Any) -> Value:
    """Return a dataclass made of the settings that have its fields' names. Its other fields keep their defaults."""
    names = {field.name for field in dataclasses.fields(kind)} & vars(config).keys()
    return kind(**{name: getattr(config, name) for name in names})


def without(config: Any, *names: str) -> dict[str, Any]:
    """Return the settings by name, except those named."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name not in names}


def run(main: Callable[[], None]) -> None:
    """Call a script's `main`. Errors that are not the program's fault end it with one line on standard error, without a traceback.

    :raises SystemExit: status 1 after an `InputError`, and where the disk or the memory fails; 130 after Ctrl-C.
    """
    sys.excepthook = _say_stopped
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # such as a full disk, or a name that is too long
        sys.exit(f"error: {error}; check that path, its permissions and the free space")
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        sys.exit(130)
    except (MemoryError, *_exhausted()):
        sys.exit("error: the memory does not suffice; lower --batch-size or the network's size, or end other programs")


def _say_stopped(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Replace the traceback of a Ctrl-C that strikes outside `run` by one line."""
    if issubclass(kind, KeyboardInterrupt):
        print(STOPPED, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _exhausted() -> tuple[type[Exception], ...]:
    """Return what TensorFlow, where a script has imported it, raises instead of MemoryError."""
    errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    return (errors.ResourceExhaustedError,) if errors else ()


def _command() -> str:
    """Return how this program was started: `python 4_tokenizer.py`, `python -m simclr.main`."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    if module:
        return f"python -m {module.name.removesuffix('.__main__')}"
    return f"python {Path(sys.argv[0]).name}"


def _check_range(name: str, value: Any, hint: Any) -> None:
    """Refuse a number outside its range, whether the command line or an edited default gave it."""
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, int | float):
            allowed = next((part for part in _parts(hint) if isinstance(part, Range)), Range())
            if not allowed.least <= number <= allowed.most:  # NaN too
                raise InputError(
                    f"expected {_option(name)} between {allowed.least} and {allowed.most}, found {number}: see --help"
                )


def _parts(hint: Any) -> Iterator[Any]:
    """Yield what a type is made of, with the ranges of its numbers."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
