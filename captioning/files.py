"""The only place that opens or writes the files that pass from step to step.

Reading runs nothing that a file contains; writing goes to a temporary name in the same folder and is renamed when it is whole.
Keras is imported when a model is read or described, not before: tools that need none start at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import math
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from captioning import pickles
from captioning.errors import InputError
from captioning.tokenizer import END, START, Tokenizer

import h5py
import numpy as np

if TYPE_CHECKING:
    import keras

Result = TypeVar("Result")
MEMORY = (
    "captioning.json"  # the member of a captioner's archive that holds its vocabulary and the origin of its features
)
WEIGHTS = "model.weights.h5"  # the member of every .keras archive that holds the weights
LAYERS = {
    "feature_dense",
    "word_embedding",
    "lstm",
    "decoder_dense",
    "next_word",
}  # those of a captioner that hold weights
MEMBERS = {"config.json", "metadata.json", WEIGHTS, MEMORY}  # all that the archive of an encoder or captioner holds
LARGEST_CONFIG = (
    4 << 20
)  # bytes of a member other than the weights; those of keras.applications have less than one million
LONGEST = 10_000  # words of a description that a tokenizer may tell: so long a caption may become
MOST_LAYERS = 3000  # of a model; the deepest of keras.applications have about a thousand
EXPANSION = (
    16  # times its own size that a file's content may claim, and a megabyte; weights of float16's precision claim two
)


class Captioner(NamedTuple):
    """A captioner as it was saved; the tokenizer and the origin are None in files of the original."""

    model: keras.Model
    tokenizer: Tokenizer | None
    origin: dict[str, Any] | None


# Whole files, or none ------------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; what was written there takes the name `path` if, and only if, the block succeeds."""
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
    """A new file that keeps an error of the disk to itself until `check`: HDF5 that is told of one takes the whole process down."""

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
    """Keep the folder, or what in it has this lock's name, to one run at a time; a killed run leaves no lock behind.

    :raises InputError: another run holds it, or there is a file in the folder's place.
    """
    make_folder(folder)
    path = folder / name
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another run is writing into {folder} (it holds {path}): wait for it, or choose another folder"
            ) from None
        yield


def make_folder(folder: Path) -> None:
    """Make the folder, and those that it lies in, where they are not there.

    :raises InputError: there is a file in the place of one.
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
    """Write the text in UTF-8, all or nothing; half a character, as of a name in another encoding, as its escape (JSON's own)."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes.

    :raises InputError: there is no such file, or it cannot be read.
    """
    try:
        return Path(path).read_bytes()
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
        raise InputError(f"expected UTF-8 text, found the byte {error.object[error.start]:#x} at position {error.start} of {path}; "
                         "save it as UTF-8") from error  # fmt: skip


def write_json(path: Path, value: Any) -> None:
    """Write the value as JSON, all or nothing."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the value of a JSON file.

    :raises InputError: it is missing or not JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected JSON in {path}, found something else ({error}); get or make it again") from error


def _read_pickle(path: Path) -> Any:
    try:
        return pickles.load(read_bytes(path))
    except pickle.UnpicklingError as error:
        raise InputError(f"refused {path}: {error}; check the path, or make the file again") from error


# Features ------------------------------------------------------------------------------------------------------------


def write_features(path: Path, features: Mapping[str, np.ndarray]) -> None:
    """Write `{image id: float32 (1, D)}` as a pickle that numpy 1.x and 2.x load, and take away what told of others' origin."""
    _origin_path(path).unlink(missing_ok=True)
    write_bytes(path, pickles.dump(dict(features)))


def read_features(path: Path) -> dict[str, np.ndarray]:
    """Return `{image id: float32 (1, D)}` from our features.pkl or the original's.

    :raises InputError: the file is missing, is not such a pickle, or the features are of several lengths or not finite.
    """
    features = _read_pickle(path)
    if not isinstance(features, dict) or not features:
        raise InputError(f"expected a dictionary of image ids and features in {path}, found {type(features).__name__} "
                         f"{'without entries' if isinstance(features, dict) else ''}; run 1_data_preprocessor.py")  # fmt: skip
    shapes = {
        str(value.shape) if isinstance(value, np.ndarray) else type(value).__name__ for value in features.values()
    }
    if len(shapes) > 1 or not re.fullmatch(r"\(1, [1-9]\d*\)", min(shapes)):
        raise InputError(
            f"expected one feature of shape (1, D) for each image in {path}, "
            f"found {' and '.join(sorted(shapes)[:3])}; run 1_data_preprocessor.py"
        )
    _check_claim(sum(value.nbytes for value in features.values()), Path(path).stat().st_size, path)
    features = {str(key): np.asarray(value, "float32") for key, value in features.items()}
    if unfit := [key for key, value in features.items() if not np.isfinite(value).all()]:
        raise InputError(f"{len(unfit)} of {len(features)} features in {path} are not finite (the first is {unfit[0]}); "
                         "check the encoder and run 1_data_preprocessor.py again")  # fmt: skip
    return features


def write_origin(features_path: Path, origin: Mapping[str, Any]) -> None:
    """Write features.json beside the features: the encoder's fingerprint, height, width, dimension, precision and the cleaning."""
    write_json(_origin_path(features_path), dict(origin))


def read_origin(features_path: Path) -> dict[str, Any] | None:
    """Return what features.json beside the features says, or None (with one line) where a drop-in has none."""
    path = _origin_path(features_path)
    if not path.exists():
        print(
            f"no {path.name} beside {features_path}: which encoder made these features is not known, so it is not checked"
        )
        return None
    return _origin(read_json(path), path)


def _origin_path(features_path: Path) -> Path:
    return Path(features_path).with_suffix(".json")


def _origin(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("encoder"), str):
        raise InputError(
            f"expected the origin of the features in {path}, found something else; run 1_data_preprocessor.py"
        )
    return value


# Descriptions, image lists, captions ---------------------------------------------------------------------------------


def image_id(name: str) -> str:
    """Return the id of a photograph of this file name: as the original has it, what stands before the first dot."""
    return name.split(".")[0]


def write_descriptions(path: Path, descriptions: Mapping[str, list[str]]) -> None:
    """Write a line `image-id word word ...` for each description, byte for byte as the original does (no line end at the end)."""
    write_text(path, "\n".join(f"{image} {text}" for image, texts in descriptions.items() for text in texts))


def read_descriptions(path: Path) -> dict[str, list[str]]:
    """Return `{image id: [description, ...]}` in the file's order, without start and end tokens.

    :raises InputError: the file is missing or has no description.
    """
    descriptions: dict[str, list[str]] = {}
    for line in read_text(path).split("\n"):
        if words := line.split():
            descriptions.setdefault(words[0], []).append(" ".join(words[1:]))
    if not any(any(texts) for texts in descriptions.values()):
        raise InputError(f"expected lines `image-id word word ...` in {path}, found none; run 1_data_preprocessor.py")
    return descriptions


def read_image_list(path: Path) -> list[str]:
    """Return the image ids of a split's list (one file name a line, cut at the first dot), each once, in the file's order.

    :raises InputError: the list is missing or empty.
    """
    ids = [image_id(line).strip() for line in read_text(path).split("\n") if line.strip()]
    if not ids:
        raise InputError(f"expected one photograph's name a line in {path}, found an empty file; check the path")
    return list(dict.fromkeys(ids))


def write_captions(path: Path, captions: Mapping[str, str]) -> None:
    """Write captions in the COCO result format, `[{"image_id": ..., "caption": ...}, ...]`."""
    write_json(path, [{"image_id": image, "caption": caption} for image, caption in captions.items()])


def read_captions(path: Path) -> dict[str, str]:
    """Return `{image id: caption}` from a file in the COCO result format; ids are cut at the first dot.

    :raises InputError: the file is missing or of another form.
    """
    try:
        captions = {image_id(str(entry["image_id"])): entry["caption"] for entry in read_json(path)}
        "".join(captions.values())  # texts, all of them
        return captions
    except (TypeError, KeyError) as error:
        raise InputError(
            f'expected [{{"image_id": ..., "caption": ...}}, ...] in {path}, found something else; check the path'
        ) from error


# The tokenizer -------------------------------------------------------------------------------------------------------


def write_tokenizer(path: Path, tokenizer: Tokenizer) -> None:
    """Write the word index and the maximum length as a pickle of builtins."""
    write_bytes(path, pickle.dumps(vars_of(tokenizer), protocol=4))


def read_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer of our tokenizer.pkl, or of the original's pickled Keras `Tokenizer` (no maximum length).

    :raises InputError: the file is missing, names something that data never needs, or holds no word index.
    """
    return _tokenizer(_read_pickle(path), path)


def vars_of(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what a file keeps of a tokenizer."""
    return {"word_index": tokenizer.word_index, "maximum_length": tokenizer.maximum_length}


def _tokenizer(value: Any, path: Path) -> Tokenizer:
    value = value if isinstance(value, dict) else {}
    index, length = value.get("word_index"), value.get("maximum_length")
    numbers = list(index.values()) if isinstance(index, dict) else [None]
    fits = all(isinstance(number, int) for number in numbers) and all(isinstance(word, str) for word in index)
    fits = fits and {START, END} <= index.keys() and sorted(numbers) == list(range(1, len(numbers) + 1))
    if not fits or not (length is None or (isinstance(length, int) and 1 <= length <= LONGEST)):
        raise InputError(
            f"expected a tokenizer (words numbered from 1, {START} and {END} among them, for descriptions of 1 to {LONGEST:,} words) "
            f"in {path}, found something else; run 4_tokenizer.py"
        )
    return Tokenizer(index, length)


# Models --------------------------------------------------------------------------------------------------------------


def write_model(path: Path, model: keras.Model, *, bits: int = 24) -> None:
    """Write a model as a .keras file, all or nothing, its weights rounded to so many significant bits: 11, float16's, halve the file.

    :raises InputError: the path ends otherwise, or cannot be written.
    """
    if path.suffix != ".keras":
        raise InputError(f"expected a name that ends in .keras, found {path}; choose such a name")
    with replacing(path) as temporary:
        model.save(temporary)
        if bits < 24:
            _compact(temporary, bits)


def _compact(path: Path, bits: int) -> None:
    """Round the weights of a .keras file and compress them; they remain float32 to whoever reads them."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    compressed = io.BytesIO()
    with h5py.File(io.BytesIO(members[WEIGHTS])) as old, h5py.File(compressed, "w") as new:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                copied = new.require_group(name)
            else:
                options = {"compression": "gzip", "shuffle": True} if item.shape else {}
                copied = new.create_dataset(name, data=_rounded(item[()], bits), **options)
            copied.attrs.update(item.attrs)

        new.attrs.update(old.attrs)
        old.visititems(copy)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (members | {WEIGHTS: compressed.getvalue()}).items():
            archive.writestr(name, data)


def _rounded(array: np.ndarray, bits: int) -> np.ndarray:
    """Round float32 to the nearest with fewer than 24 significant bits, whatever the exponent; other types stay as they are."""
    if array.dtype != np.float32:
        return array
    unit = 1 << (24 - bits)
    return ((array.view(np.uint32) + np.uint32(unit // 2)) & np.uint32(2**32 - unit)).view(np.float32)


def fingerprint(model: keras.Model) -> str:
    """Return the SHA-256, in hexadecimal, of a model's configuration and weights: equal models have equal fingerprints."""
    import keras

    digest = hashlib.sha256(
        json.dumps(keras.saving.serialize_keras_object(model), sort_keys=True, default=str).encode()
    )
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()))
    return digest.hexdigest()


def read_model(path: Path) -> keras.Model:
    """Return the model of a .keras file, loaded with `safe_mode=True` and not compiled.

    :raises InputError: the file is missing, no .keras file, or asks for code or for absurd sizes.
    """
    import keras

    numbers = _check_archive(path)
    try:
        config = _read_config(path)
        check_numbers(lambda: keras.saving.deserialize_keras_object(config, safe_mode=True), numbers)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for a damaged or hostile file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"cannot load {path} as a Keras model: {reason}; make it again, or get it again") from error


def read_encoder(path: Path) -> keras.Model:
    """Return an encoder: uint8 `(N, H, W, 3)` photographs -> float32 `(N, D)` features.

    :raises InputError: the file is missing or holds something else.
    """
    if not Path(path).exists():
        raise InputError(f"expected an encoder at {path}, found nothing; make one, for instance with "
                         f"`python -m pretext.encoder --network resnet50 --weights untrained --out {path}`")  # fmt: skip
    model = read_model(path)
    shapes = [tuple(tensor.shape) for tensor in (*model.inputs, *model.outputs)]
    fits = (
        len(shapes) == 2
        and len(shapes[0]) == 4
        and None not in shapes[0][1:]
        and shapes[0][3] == 3
        and len(shapes[1]) == 2
    )
    if not fits or model.inputs[0].dtype != "uint8":
        raise InputError(f"expected an encoder, uint8 (N, H, W, 3) -> (N, D), in {path}; found "
                         f"{model.inputs[0].dtype} {' -> '.join(map(str, shapes))}; make one with `python -m pretext.encoder`")  # fmt: skip
    return model


def write_captioner(path: Path, model: keras.Model, tokenizer: Tokenizer, origin: Mapping[str, Any] | None) -> None:
    """Write a captioner as a .keras file that also remembers its vocabulary and the origin of the features it was trained on."""
    with replacing(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(MEMORY, json.dumps({"tokenizer": vars_of(tokenizer), "origin": origin}))


def read_captioner(path: Path) -> Captioner:
    """Return the captioner of our .keras file, of the original's .h5, or of the file with the lowest val_loss in a folder.

    :raises InputError: there is none, it is damaged, or its layers are not those of the merge model.
    """
    path = _best_captioner(Path(path)) if Path(path).is_dir() else Path(path)
    if path.suffix in (".h5", ".hdf5"):
        return Captioner(_old_captioner(path), None, None)
    model = read_model(path)
    missing = LAYERS - {layer.name for layer in model.layers}
    if missing:
        raise InputError(f"expected a captioner in {path}, found a model without the layers {', '.join(sorted(missing))}; "
                         "train one with 2_train_IC_model.py")  # fmt: skip
    memory = _read_memory(path)
    tokenizer = _tokenizer(memory["tokenizer"], path) if "tokenizer" in memory else None
    return Captioner(model, tokenizer, _origin(memory["origin"], path) if memory.get("origin") else None)


def _read_memory(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        try:
            memory = json.loads(archive.read(MEMORY)) if MEMORY in archive.namelist() else {}
        except Exception as error:  # a damaged member, or no JSON
            raise InputError(f"expected JSON in the member {MEMORY} of {path}: {error}; get the file again") from error
    if not isinstance(memory, dict):
        raise InputError(
            f"expected a tokenizer and an origin in the member {MEMORY} of {path}, found something else; train it again"
        )
    return memory


def _best_captioner(folder: Path) -> Path:
    losses = {
        path: re.search(r"-val_loss(\d+(?:\.\d+)?)\.(?:keras|h5)$", path.name) for path in folder.glob("model-ep*")
    }
    found = {path: float(match[1]) for path, match in losses.items() if match}
    if not found:
        raise InputError(
            f"expected a captioner (model-ep...-val_loss....keras) in {folder}, found none; run 2_train_IC_model.py"
        )
    # Of equal ones the last: each was written for a lower val_loss, with more digits than its name has.
    best = min(sorted(found, reverse=True), key=found.get)
    print(f"captioner: {best}")
    return best


def _check_archive(path: Path) -> int:
    """Return how many numbers a .keras file holds; refuse members that no model needs and absurd sizes."""
    if not Path(path).is_file():
        raise InputError(
            f"expected a .keras file at {path}, found {'a folder' if Path(path).is_dir() else 'nothing'}; check the path"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            if odd := sizes.keys() - MEMBERS:
                raise InputError(
                    f"refused {path}: its member {min(odd)!r} is none that a model needs; get it from elsewhere"
                )
            _check_claim(sum(sizes.values()), Path(path).stat().st_size, path)
            if max(size for name, size in sizes.items() if name != WEIGHTS) > LARGEST_CONFIG:
                raise InputError(
                    f"refused {path}: its configuration has more than {LARGEST_CONFIG:,} bytes; get it from elsewhere"
                )
            with h5py.File(io.BytesIO(archive.read(WEIGHTS))) as weights:
                return sum(math.prod(dataset.shape) for dataset in _check_hdf5(weights, sizes[WEIGHTS], path))
    except InputError:
        raise
    except Exception as error:  # zipfile and h5py raise many kinds for a damaged or hostile file
        raise InputError(
            f"expected a .keras file (a zip archive with {WEIGHTS}) at {path}, found something else; check the path"
        ) from error


# HDF5 ----------------------------------------------------------------------------------------------------------------


@contextmanager
def opened_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file whose data all lie in it and claim no absurd size.

    :raises InputError: they lie elsewhere, or do.
    :raises OSError: it is missing, damaged, or no HDF5 file.
    """
    try:
        with h5py.File(path) as file:
            _check_hdf5(file, Path(path).stat().st_size, path)
            yield file
    except (RuntimeError, SystemError, UnicodeDecodeError) as error:  # h5py's where the damage has no other name
        raise OSError(f"damaged: {error}") from error


def _read_config(path: Path) -> dict[str, Any]:
    """Return the configuration of a .keras file's model.

    :raises ValueError: it has absurdly many layers, on which Keras would spend minutes.
    """
    counts = []

    def count(item: dict[str, Any]) -> dict[str, Any]:
        counts.append(len(layers) if isinstance(layers := item.get("layers"), list) else 0)
        return item

    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"), object_hook=count)
    if sum(counts) > MOST_LAYERS:
        raise ValueError(f"its {sum(counts):,} layers are more than {MOST_LAYERS:,}")
    return config | {"compile_config": None}


def without_memory(function: Callable[[], Result]) -> Result:
    """Return what a function makes of models that it builds, whose weights have shapes, but neither values nor memory."""
    import keras

    def scoped() -> Result:
        with keras.StatelessScope(initialize_variables=False):
            return function()

    with ThreadPoolExecutor(1) as thread:  # with which Keras forgets the variables that never get a value
        return thread.submit(scoped).result()


def check_numbers(build: Callable[[], keras.Model], numbers: int) -> None:
    """Check, before memory is given to a model that a file describes, that the file has numbers enough for it.

    :raises ValueError: the model has more weights than `numbers`.
    """
    if without_memory(lambda: build().count_params()) > numbers:
        raise ValueError(f"its layers have more weights than the {numbers:,} numbers in the file")


def _check_hdf5(file: h5py.File, size: int, path: Path) -> list[h5py.Dataset]:
    """Return all datasets of an HDF5 file of `size` bytes whose data lie in it and claim no absurd size; refuse another."""
    if link := file.visititems_links(lambda name, link: None if isinstance(link, h5py.HardLink) else name):
        raise InputError(f"refused {path}: {link} is a link to somewhere else; get it from elsewhere")
    items: list[h5py.Group | h5py.Dataset] = []
    file.visititems(lambda name, item: items.append(item))
    datasets = [item for item in items if isinstance(item, h5py.Dataset)]
    if elsewhere := [dataset.name for dataset in datasets if dataset.external or dataset.is_virtual]:
        raise InputError(f"refused {path}: the data of {elsewhere[0]} lie in another file; get it from elsewhere")
    if varying := [dataset.name for dataset in datasets if dataset.dtype.hasobject]:
        raise InputError(f"refused {path}: {varying[0]} is of varying length, of which a damaged one is read without end; "
                         "get it from elsewhere")  # fmt: skip
    _check_claim(claimed_bytes(datasets), size, path)
    return datasets


def claimed_bytes(datasets: Iterable[h5py.Dataset]) -> int:
    """Return how many bytes the datasets have in memory (h5py's own `nbytes` overflows), where a chunk is unpacked whole."""
    return sum(
        max(math.prod(dataset.shape or ()), math.prod(dataset.chunks or ())) * dataset.dtype.itemsize
        for dataset in datasets
    )


def _check_claim(claimed: int, size: int, path: Path) -> None:
    if claimed > EXPANSION * size + (1 << 20):
        raise InputError(f"refused {path}: {size:,} bytes in it would unpack to {claimed:,}; get it from elsewhere")


# Files of the original (Keras 2.4) -----------------------------------------------------------------------------------


def read_old_model(path: Path) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
    """Return the configuration and `{layer name: arrays}` of a Keras 2 .h5 model, read as plain HDF5.

    :raises InputError: the file is missing, no such model, points to other files, or claims more data than it has.
    """
    if not Path(path).is_file():
        raise InputError(f"expected a Keras .h5 file at {path}, found nothing; check the path")
    try:
        with opened_hdf5(path) as file:
            group = file["model_weights"]
            config = json.loads(file.attrs["model_config"])["config"]
            layers = {layer: group[layer] for layer in _stored_names(group, "layer_names")}
            weights = {layer: [part[name] for name in _stored_names(part)] for layer, part in layers.items()}
            claimed = claimed_bytes(dataset for datasets in weights.values() for dataset in datasets)
            _check_claim(claimed, Path(path).stat().st_size, path)  # once more: one dataset may have a thousand names
            return config, {layer: [dataset[()] for dataset in datasets] for layer, datasets in weights.items()}
    except InputError:
        raise
    except Exception as error:  # h5py raises many kinds for a damaged or hostile file
        raise InputError(
            f"expected a Keras 2 model with its configuration in {path}, found something else ({error}); check the path"
        ) from error


def _stored_names(group: h5py.Group, attribute: str = "weight_names") -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[attribute]]


def _old_captioner(path: Path) -> keras.Model:
    """Build the merge model and fill it with the weights of the original's .h5, whose layer names end in numbers that vary."""
    from captioning import captioner

    config, weights = read_old_model(path)
    try:
        parts = _roles({layer["name"]: layer for layer in config["layers"]})
        (dimension, units), (vocabulary_size, width) = (
            weights[parts[name]][0].shape for name in ("feature_dense", "word_embedding")
        )
        if (units, width) != (captioner.UNITS, captioner.UNITS):
            raise ValueError("layers of another width")
        model = captioner.build(dimension, vocabulary_size)
        for name, old in parts.items():
            model.get_layer(name).set_weights(weights[old])
    except (AttributeError, KeyError, ValueError, IndexError, TypeError) as error:
        raise InputError(
            f"expected the original's merge model in {path}, found the layers {', '.join(weights)}; check the path"
        ) from error
    return model


def _roles(layers: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Find which layer of the original's model plays which part, from its graph."""
    (embedding,), (lstm,), (merge,) = (
        [name for name in layers if layers[name]["class_name"] == kind] for kind in ("Embedding", "LSTM", "Add")
    )
    after = {
        name: [node[0] for node in nodes[0]] for name, layer in layers.items() if (nodes := layer["inbound_nodes"])
    }
    (feature,) = (name for name in after[merge] if name != lstm)
    (decoder,) = (name for name in after if after[name] == [merge])
    (output,) = (name for name in after if after[name] == [decoder])
    return {
        "feature_dense": feature,
        "word_embedding": embedding,
        "lstm": lstm,
        "decoder_dense": decoder,
        "next_word": output,
    }
