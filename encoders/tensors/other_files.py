"""Files that people take for a checkpoint: named as what they are, and a .zip around one file unpacked."""

import atexit
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from core.disk import check_claim
from core.errors import InputError
from encoders.tensors.tensor import FORMS

BEGINNINGS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`, or download it from the project's page",
    b"<": "a web page, not a checkpoint: download the file itself",
    b"PK": "cut short, a zip archive without its end: download it again",
    b"\x1f\x8b": "packed with gzip: unpack it and give the file inside",
    b"BZh": "packed with bzip2: unpack it and give the file inside",
    b"\xfd7zXZ": "packed with xz: unpack it and give the file inside",
    b"7z\xbc\xaf": "packed with 7-Zip: unpack it and give the file inside",
    b"Rar!": "packed with RAR: unpack it and give the file inside",
    b"\x93NUMPY": f"a NumPy array: expected {FORMS}",
    b"GGUF": f"a GGUF file: expected {FORMS}",
}
MEMBERS = {r"\.npy$": "an archive of NumPy arrays (.npz)", r"^model\.weights\.h5$": "a Keras model (.keras)"}


def refusal(path: Path, beginning: bytes) -> InputError:
    """Return the error about a file with these first bytes."""
    if not beginning:
        return InputError(f"{path} is empty: download it again")
    if beginning[257:262] == b"ustar":
        return InputError(f"{path} is a tar archive: unpack it and give the file inside")
    if path.suffix == ".onnx":
        return InputError(f"{path} is an ONNX network: expected {FORMS}")
    for known, what in BEGINNINGS.items():
        if beginning.lstrip().startswith(known):
            return InputError(f"{path} is {what}")
    return InputError(f"{path} begins with the bytes {beginning[:8]!r}: expected {FORMS}")


def unpacked(path: Path) -> Path:
    """Return the only file in a zip archive, unpacked into a temporary folder that is deleted when Python ends.

    :raises InputError: there are several files, or it is much larger than the archive.
    """
    with zipfile.ZipFile(path) as archive:
        members = [
            record for record in archive.infolist() if not re.search(r"/$|^__MACOSX/|\.DS_Store$", record.filename)
        ]
        if len(members) != 1:
            raise InputError(f"{path} is {_archive(archive)}: expected {FORMS}")
        check_claim(members[0].file_size, path.stat().st_size, path)
        folder = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        target = folder / re.sub(r"[^\w.-]", "_", Path(members[0].filename).name)
        with archive.open(members[0]) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
    return target


def _archive(archive: zipfile.ZipFile) -> str:
    for pattern, what in MEMBERS.items():
        if any(re.search(pattern, name) for name in archive.namelist()):
            return what
    return "a zip archive without PyTorch's data.pkl"
