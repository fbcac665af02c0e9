"""Settings of a script: a frozen dataclass whose defaults people edit and whose comments are its `--help`."""

import argparse
import ast
import dataclasses
import inspect
import io
import sys
import textwrap
import tokenize
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from core.errors import InputError

STOPPED = "\nstopped by Ctrl-C; what was finished is kept, and the same command goes on from there"

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Range:
    """What a number may be, ends included. Without another, none is negative or larger than TensorFlow takes as a seed."""

    least: float = 0
    most: float = 2**31 - 1


Count = Annotated[int, Range(least=1)]
Positive = Annotated[float, Range(least=1e-12)]
Share = Annotated[float, Range(most=1)]
Bits = Annotated[int, Range(least=2, most=24)]  # significant ones of a float32


def from_command_line(settings: type[Settings], arguments: list[str] | None = None) -> Settings:
    """Return `settings` with the defaults that the command line overrides, and print them all.

    A field `batch_size: int = 32  # photographs per forward pass` answers to `--batch-size`; its comment is its help. The types are
    `Path`, `int`, `float`, `str`, `bool` (`--name` or `--no-name`), `Literal[...]` (choices), `tuple[X, ...]` (several values), `Count`,
    `Positive`, `Share` or another number with a `Range`, and any of these `| None`.

    :param arguments: the words of the command line; `sys.argv[1:]` when left out.
    :raises TypeError: a field has no comment.
    :raises InputError: a number is out of its range.
    :raises SystemExit: `--help`, or an option that is unknown or has a wrong value (named on standard error).
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # not a notebook's
        sys.stdout.reconfigure(errors="backslashreplace")  # for names in another encoding than the terminal's
    comments = _comments(settings)
    hints = get_type_hints(settings, include_extras=True)
    parser = argparse.ArgumentParser(
        description=sys.modules[settings.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for field in dataclasses.fields(settings):
        help = f"{comments[field.name]} (default: {_shown(field.default)})".replace("%", "%%")
        parser.add_argument(_option(field.name), default=field.default, help=help, **_parsing(hints[field.name]))
    values = vars(parser.parse_args(arguments))
    chosen = settings(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    for name, value in vars(chosen).items():
        _check_range(name, value, hints[name])
    print("\n".join(f"{_option(name)} {_shown(value)}" for name, value in vars(chosen).items()), flush=True)
    return chosen


def without(config: Any, *names: str) -> dict[str, Any]:
    """Return the chosen settings by name, but those named."""
    return {name: value for name, value in vars(config).items() if name not in names}


def run(main: Callable[[], None]) -> None:
    """Call a script's `main`; what is no fault of ours ends it with one line on standard error instead of a traceback.

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
    """Say in one line that Ctrl-C has ended the program, where it strikes outside `run`."""
    if issubclass(kind, KeyboardInterrupt):
        print(STOPPED, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _exhausted() -> tuple[type[Exception], ...]:
    """Return what TensorFlow, where a script has imported it, raises instead of MemoryError."""
    errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    return (errors.ResourceExhaustedError,) if errors else ()


def _check_range(name: str, value: Any, hint: Any) -> None:
    """Refuse a number outside its range, whether the command line or an edited default gave it."""
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, int | float):
            allowed = next((part for part in _parts(hint) if isinstance(part, Range)), Range())
            if not allowed.least <= number <= allowed.most:  # nor what is not a number
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


def _comments(settings: type) -> dict[str, str]:
    """Read the comment of each field from the class's source, wherever the formatter put it within the field's lines."""
    source = textwrap.dedent(inspect.getsource(settings))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    by_line = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    fields = [node for node in ast.parse(source).body[0].body if isinstance(node, ast.AnnAssign)]
    lines = {node.target.id: range(node.lineno, node.end_lineno + 1) for node in fields}
    comments = {name: " ".join(by_line[line] for line in span if line in by_line) for name, span in lines.items()}
    missing = [field.name for field in dataclasses.fields(settings) if not comments[field.name]]
    if missing:
        raise TypeError(f"settings without a comment, which is their help: {', '.join(missing)}")
    return comments


def _parsing(hint: Any) -> dict[str, Any]:
    """Translate a type into the arguments of `ArgumentParser.add_argument`."""
    if get_origin(hint) in (Union, types.UnionType):  # X | None
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is Annotated:  # a number with its range
        hint = get_args(hint)[0]
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is tuple:
        return {"type": get_args(hint)[0], "nargs": "+"}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint), "type": type(get_args(hint)[0])}
    return {"type": hint}
