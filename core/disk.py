"""Whole files or none: a file gets its name only once it is complete. One run at a time writes into a folder."""

import codecs
import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from core.errors import InputError

EXPANSION = 16  # a file's content may claim so many times the file's size, and a megabyte; weights of 11 bits claim two


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`. If the block succeeds, the file is renamed to `path`; otherwise it is deleted."""
    path = Path(path)
    make_folder(path.parent)
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error  # HDF5's own text has several lines
        raise InputError(f"cannot write {path}: {reason}; free space or choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


class PatientFile(io.FileIO):
    """A new file that reports an error of the disk only in `check`. HDF5 would abort the whole process at once."""

    error: OSError | None = None

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest and not self.error:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        return self.tell() if self.error else super().truncate(size)

    def check(self) -> None:
        """Raise the error, if there was one."""
        if self.error:
            raise self.error


@contextmanager
def locked(folder: Path, name: str = ".lock") -> Iterator[None]:
    """Let only one run at a time hold this lock of the folder. A killed run leaves no lock behind.

    :raises InputError: another run holds it, or `folder` is a file.
    """
    make_folder(folder)
    lock = FileLock(folder / name, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"another run is writing into {folder} (it holds {folder / name}): wait for it, or choose another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def make_folder(folder: Path) -> None:
    """Make the folder and its parents, where they do not exist.

    :raises InputError: one of them is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"expected a folder at {folder}, found a file there or above it; choose another place"
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write the bytes, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write the text in UTF-8, all or nothing. Bytes of a name in another encoding become escapes, as in JSON."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes.

    :raises InputError: there is no such file, or it cannot be read.
    """
    return _read_bytes(path, -1)


def _read_bytes(path: Path, size: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(size)
    except FileNotFoundError as error:
        raise InputError(f"expected a file, found nothing at {path}; check the path") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from error


def read_text(path: Path) -> str:
    """Return a text file's content: UTF-8 with or without byte order mark, any line ends.

    :raises InputError: it is missing, or not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"expected UTF-8 text, found the byte {error.object[error.start]:#x} at position {error.start} of {path}; "
            "save it as UTF-8"
        ) from error


def read_any_text(path: Path) -> str:
    """Return a text file's content as `read_text` does, also where it is UTF-16, or Windows-1252, of which a line is printed.

    :raises InputError: it is missing, or in another encoding.
    """
    data = read_bytes(path)
    encoding = _unicode(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        where = f"the byte {error.object[error.start]:#x} at position {error.start}"
        if encoding != "utf-8-sig" or not _is_western(data):
            raise InputError(
                f"expected text in UTF-8, UTF-16 or Windows-1252, found {where} of {path}; save it as UTF-8"
            ) from error
        print(f"{path} is no UTF-8 ({where}): it is read as Windows-1252; if words look wrong, save it as UTF-8")
        text = data.decode("cp1252")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_head(path: Path, size: int) -> str:
    """Return the beginning of a file, of `size` bytes, as text, with marks in place of what is none.

    :raises InputError: there is no such file, or it cannot be read.
    """
    data = _read_bytes(path, size)
    return data.decode(_unicode(data), "replace").replace("\r\n", "\n").replace("\r", "\n")


def _unicode(data: bytes) -> str:
    """Return the name of the encoding, if it is one of Unicode's: UTF-16 has a mark at its beginning, or many zeros."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = [data[first:1000:2].count(0) for first in (0, 1)]
    if 2 * max(zeros) > min(len(data), 1000) // 2 > 8 * min(zeros):
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return "utf-8-sig"


def _is_western(data: bytes) -> bool:
    """Tell whether bytes can be Windows-1252: few are beyond ASCII, and they are not UTF-8 that is damaged somewhere."""
    beyond = data.translate(None, bytes(range(128)))
    decoded = beyond.decode("utf-8", "replace")
    damaged = 2 * decoded.count("\N{REPLACEMENT CHARACTER}") < len(decoded)
    undefined = any(byte in beyond for byte in b"\x81\x8d\x8f\x90\x9d")
    return 10 * len(beyond) <= len(data) and not damaged and not undefined and b"\0" not in data


def write_json(path: Path, value: Any) -> None:
    """Write the value as JSON, all or nothing."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def update_json(path: Path, values: dict[str, Any]) -> None:
    """Write the values into the object of a JSON file, beside what else it says, all or nothing."""
    before = read_json(path) if path.exists() else {}
    write_json(path, (before if isinstance(before, dict) else {}) | values)


def read_json(path: Path) -> Any:
    """Return the value of a JSON file.

    :raises InputError: it is missing or not JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected JSON in {path}, found something else ({error}); get or make it again") from error


def check_claim(claimed: int, size: int, path: Path) -> None:
    """Check, before memory is taken for it, that the content of a file of `size` bytes claims no absurd size.

    :raises InputError: it claims more than `EXPANSION` times as much.
    """
    if claimed > EXPANSION * size + (1 << 20):
        raise InputError(f"refused {path}: {size:,} bytes in it would unpack to {claimed:,}; get it from elsewhere")


def digest(*values: Any) -> str:
    """Return a short fingerprint of plain values."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
