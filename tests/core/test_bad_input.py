"""Every error that the code can raise: a row each, through a script's `main`. And every parser: nothing but our own error."""

import ast
import fcntl
import gzip
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import h5py
import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st

from captioning import captioner_file, splits
from captioning.captions import read_captions, read_descriptions, read_results, write_results
from captioning.models import merge
from captioning.tokenizer import Tokenizer, read_tokenizer, write_tokenizer
from core import disk, keras_files, pickles, settings, training
from core.errors import InputError
from encoders import decoded, encoder_file, features_file, onnx_file, photographs
from encoders.photographs import Unreadable
from encoders.tensors import checkpoint
from jigsaw import maximal_hamming
from tests.conftest import ROOT, TOKEN, TRAIN, command, toy_encoder
from tests.core.test_disk import write_old_captioner
from tests.encoders import exported

ADVICE = r"\b(check|choose|get|give|leave|lower|make|repeat|rename|run|save|see|take|train|use|wait|python -m)\b"
PHOTOGRAPH = "Flicker8k_Dataset/photo0.png"
SMALL = "--epochs 1 --width 4 --size 16 --stored 20 --encoder-size 24 --batch-size 4"
SIMCLR, SUPERVISED = f"simclr.main {SMALL}", f"pretext.supervised {SMALL} --photographs labelled"


class Row(NamedTuple):
    """What is given, what is done to the folder before, and what the message says: what was expected or found, and where."""

    command: str
    message: str
    change: Callable[[Path], object] = lambda folder: None


def write(name: str, content: str | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def remove(*names: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / name).unlink() for name in names]


def keep_model(write: Callable[[Path, keras.Model, captioner_file.Captioner], object]) -> Callable[[Path], object]:
    """Write other.keras or other.h5 from the folder's captioner."""
    return lambda folder: write(folder, (found := captioner_file.read(folder)).model, found)


def as_encoder(model: keras.Model) -> Callable[[Path], object]:
    return lambda folder: keras_files.write(folder / "encoder.keras", model)


def diverged(model: keras.Model) -> keras.Model:
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    return model


def features(change: Callable[[dict], dict]) -> Callable[[Path], object]:
    def rewrite(folder: Path) -> None:
        path = folder / "features.pkl"
        features_file.write(path, change(features_file.read(path)))

    return rewrite


def hdf5(name: str, value: np.ndarray | h5py.ExternalLink | str) -> Callable[[Path], object]:
    def create(folder: Path) -> None:
        with h5py.File(folder / "file.hdf5", "w") as file:
            file[name] = value

    return create


def break_all(folder: Path) -> None:
    for path in (folder / "Flicker8k_Dataset").iterdir():
        path.write_text("no photograph")


def change_member(name: str, content: bytes) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (path,) = folder.glob("model-*.keras")
        with zipfile.ZipFile(path) as archive:
            members = {member: archive.read(member) for member in archive.namelist()} | {name: content}
        with zipfile.ZipFile(path, "w") as archive:
            for member, data in members.items():
                archive.writestr(member, data)

    return change


def change_checkpoint(change: Callable[[dict, list], tuple[object, list]]) -> Callable[[Path], object]:
    """Write the checkpoint of the folder's captioner anew, with what `change` makes of its state and its arrays."""

    def rewrite(folder: Path) -> None:
        state, arrays = change(*training.read_checkpoint(folder / training.CHECKPOINT))
        variables = [SimpleNamespace(numpy=partial(np.asarray, array)) for array in arrays]
        training.write_checkpoint(folder / training.CHECKPOINT, state, variables)

    return rewrite


def no_merge_model(folder: Path, model: keras.Model, _: object) -> None:
    write_old_captioner(folder / "other.h5", model)
    with h5py.File(folder / "other.h5", "r+") as file:
        file.attrs["model_config"] = json.dumps({"config": {"layers": []}})


def old_captioner(change: Callable[[Path], object]) -> Callable[[Path], object]:
    """Write other.h5, which has no vocabulary of its own, and change something else."""

    def rewrite(folder: Path, model: keras.Model, _: object) -> None:
        write_old_captioner(folder / "other.h5", model)
        change(folder)

    return keep_model(rewrite)


def larger_tokenizer(folder: Path) -> None:
    index = read_tokenizer(folder / "tokenizer.pkl").word_index
    write_tokenizer(folder / "tokenizer.pkl", Tokenizer(index | {"elephant": len(index) + 1}, 9))


def lock(folder: Path) -> object:
    """Return the file that another run would hold."""
    file = (folder / ".lock").open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


ONE, TWO, THREE, FOUR, FIVE = (
    "1_data_preprocessor --encoder encoder.keras",
    "2_train_IC_model --epochs 1",
    "3_BLEU",
    "4_tokenizer",
    "5_test --encoder encoder.keras",
)
OLD = f"{FIVE} --model other.h5"
PUZZLES = (
    "jigsaw.main --photographs photographs.h5 --network resnet18 --width 4 --size 48 --permutations 4 --batch-size 4"
)
HDF5 = "jigsaw.to_hdf5 --size 16"
SPLITS = "captioning.splits"
NETWORK = "encoders.make --size 32 --network"
ONNX = exported.network(kind=exported.BYTES).SerializeToString()
ONNX_CARD = {"size": [8, 8], "mean": None, "deviation": None, "layout": "NCHW", "output": "classes"}
ROWS = {
    # settings
    "a captioner of no kind": Row("2_train_IC_model --captioner watch", "expected --captioner merge or attention, found watch"),
    "captioners of two kinds": Row(THREE, "expected captioners of one kind", write("model-ep001-cider0.100.keras", "x")),
    "a reward without a start": Row("2_train_IC_model --reward cider", "expected --reward cider and --start FILE together"),
    "no epochs": Row("2_train_IC_model --epochs 0", "expected --epochs between 1 and 2147483647, found 0"),
    "a batch of none": Row(f"{ONE} --batch-size 0", "expected --batch-size between 1 and .*, found 0"),
    "a beam of none": Row(f"{FIVE} --beam 0", "expected --beam between 1 and .*, found 0"),
    "a rate of none": Row(f"{TWO} --learning-rate nan", "expected --learning-rate between .*, found nan"),
    "a seed that is no seed": Row(f"{TWO} --seed -1", "expected --seed between 0 and .*, found -1"),
    "a crop of nothing": Row(f"{SIMCLR} --smallest-crop 0", r"expected --smallest-crop between 0\.01 and 1, found 0"),
    "one folder of two": Row(f"{SIMCLR} --knn-train labelled", "--knn-train and --knn-test go together"),
    "an encoder that is no .keras": Row("encoders.make --network resnet18 --size 32 --out enc", r"ends in \.keras, found enc"),
    "features treated otherwise than before": Row(f"{TWO} --standardise --out .", r"settings:\s+standardise: False there, True now\s+repeat"),
    "other words than before": Row(f"{TWO} --out .", r"settings:\s+vocabulary: \w+ there, \w+ now\s+repeat",
        lambda folder: write("descriptions.txt", (folder / "descriptions.txt").read_text().replace("dog", "hund"))(folder)),
    "other settings than before": Row(f"{TWO} --batch-size 3 --out .", "batch size: 128 there, 3 now"),
    # paths
    "no photographs": Row(f"{ONE} --photographs none", "expected a folder of photographs at none, found nothing"),
    "a file for a folder": Row(f"{ONE} --photographs {TOKEN}", f"expected a folder .* at {TOKEN}, found a file"),
    "a folder for a file": Row(f"{FOUR} --descriptions labelled", "cannot read labelled: Is a directory"),
    "a folder without captions": Row(f"{ONE} --captions labelled", "or one for each split, in the folder labelled, found none; give the file"),
    "no captions": Row(f"{ONE} --captions none", "expected a file, found nothing at none"),
    "no encoder": Row(f"{ONE} --encoder none.keras", r"expected an encoder at none\.keras, found nothing"),
    "an encoder without grid": Row(f"{ONE} --grid", r"expected an encoder with a grid .*, found one without; leave out --grid",
        as_encoder(keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), keras.layers.Rescaling(1.0), keras.layers.Flatten()]))),
    "no grids to join": Row(f"{ONE} --merge --grid", r"expected photographs' grids, .* in grid\.1-of-1\.h5, found something else",
        lambda folder: [shutil.copy(folder / f"features.{end}", folder / f"features.1-of-1.{end}") for end in ("pkl", "json")]),
    "no captioner": Row(f"{THREE} --model none.keras", r"expected a \.keras file at none\.keras, found nothing"),
    "a folder without captioner": Row(f"{THREE} --model labelled", "expected a captioner .* in labelled, found none"),
    "no old captioner": Row(f"{THREE} --model none.h5", r"expected a Keras \.h5 file at none\.h5, found nothing"),
    "no list": Row(f"{FOUR} --train-images none", "expected an image list at none, found nothing"),
    "a broken link": Row(FOUR, r"nothing at descriptions\.txt", lambda folder: [
        (folder / "descriptions.txt").unlink(), (folder / "descriptions.txt").symlink_to("nowhere")]),
    "a name too long": Row(f"{FOUR} --descriptions {'a' * 300}", "File name too long|cannot read aaa"),
    "a place that is a file": Row(f"{FOUR} --out {TOKEN}/tokenizer.pkl", f"a folder at {TOKEN}, found a file there"),
    "a place in a file": Row(f"{TWO} --out {TOKEN}/deep/er", f"expected a folder at {TOKEN}/deep/er, found a file there or above"),
    "a file for the features' place": Row(f"{ONE} --out {TOKEN}", f"expected a folder at {TOKEN}, found a file"),
    "a folder where a file should come": Row(f"{FOUR} --out labelled", "cannot write labelled: "),
    "dev photographs to learn from": Row(f"{TWO} --dev-images Flickr8k_text/Flickr_8k.trainImages.txt", "in both lists"),
    "a place in use": Row(f"{TWO} --out .", r"another run is writing into \. \(it holds \.lock\)", lock),
    "encoder and captioner swapped": Row(f"{FIVE} --model encoder.keras", r"captioner in encoder\.keras, found a model w"),
    "captioner and encoder swapped": Row(f"{FIVE} --encoder other.keras", r"-> \(N, D\), in other\.keras; found float32",
        keep_model(lambda folder, model, found: captioner_file.write(folder / "other.keras", model, *found[1:]))),
    # photographs
    "an empty folder": Row(ONE, r"expected photographs \(\.jpg.*\) in Flicker8k_Dataset, found 8 other",
        lambda folder: [path.rename(path.with_suffix(".gif")) for path in (folder / "Flicker8k_Dataset").iterdir()]),
    "photographs that are none": Row(ONE, "none of the 8 photographs can be decoded; photo0.png: cannot", break_all),
    "two of one id": Row(ONE, r"photo0\.jpg and photo0\.png in Flicker8k_Dataset share the image id 'photo0'",
        write("Flicker8k_Dataset/photo0.jpg", "")),
    "a name that is no text": Row(ONE, r"names that can be written as text in Flicker8k_Dataset, found 'a\\nb",
        write("Flicker8k_Dataset/a\nb.jpg", "")),
    "rows that are none": Row(f"{ONE} --captions captions.csv", r"lines of a photograph's name and a caption in captions\.csv, found 'no row'.*dataset_flickr8k",
            write("captions.csv", "image,caption\nno row\n")),
    "a caption of no name": Row(f"{ONE} --captions captions.csv", "a photograph's name with each caption, found 1 without one, such as 'blue dog'",
        write("captions.csv", "image,caption\nphoto0.png,a dog\n.jpg,blue dog\n")),
    "no photograph for a pretext task": Row(SIMCLR, r"none of 8 photographs can be read; see simclr_run/.*json", break_all),
    "fewer than a batch": Row(f"{SIMCLR} --batch-size 9", "8 photographs are fewer than --batch-size 9"),
    "one photograph a batch": Row(f"{SIMCLR} --batch-size 1", "at least 2 photographs in a batch, found --batch-size 1"),
    "a queue of no whole batches": Row(f"pretext.moco {SMALL} --queue 10", "multiple of --batch-size 4, found 10; give for example 8"),
    "a list of others": Row(f"{SIMCLR} --only other", "none of the photographs in Flicker8k_Dataset is named in other",
        write("other", "else.jpg\n")),
    "one class": Row(f"{SUPERVISED}/cat", "one sub-folder for each class at labelled/cat, found 0 sub-folders"),
    "HDF5 without photographs": Row(f"{SIMCLR} --photographs file.hdf5", r"dataset train_img at file\.hdf5",
        hdf5("other", np.zeros(3))),
    "HDF5 of other photographs": Row(f"{SIMCLR} --photographs file.hdf5", r"train_img of file\.hdf5, .* found float64 \(3",
        hdf5("train_img", np.zeros(3))),
    "HDF5 with a link": Row(f"{SIMCLR} --photographs file.hdf5", r"refused file\.hdf5: a is a link to somewhere else",
        hdf5("a", h5py.ExternalLink("b", "/"))),
    "photographs of varying length": Row(f"{SIMCLR} --photographs file.hdf5", "refused .*a is of varying length",
        hdf5("a", "text")),
    "HDF5 whose data are elsewhere": Row(f"{SIMCLR} --photographs file.hdf5", r"refused file\.hdf5: the data of /a are in",
        lambda folder: h5py.File(folder / "file.hdf5", "w").create_dataset("a", (3,), external=[("b", 0, 12)]).file.close()),
    "HDF5 larger than itself": Row(f"{SIMCLR} --photographs file.hdf5", r"refused file\.hdf5: .* would unpack to",
        lambda folder: h5py.File(folder / "file.hdf5", "w").create_dataset("a", (1 << 40,), chunks=(1,)).file.close()),
    "HDF5 with a list": Row(f"{SIMCLR} --photographs file.hdf5 --only {TRAIN}", r"file\.hdf5 has no names"),
    # puzzles
    "no photograph for HDF5": Row(HDF5, "none of 8 photographs can be read: .*photo6.png", break_all),
    "no room for HDF5": Row(f"{HDF5} --size 10000000", r"expected 2400000\.0 GB free in \., found"),
    "photographs of no size": Row(f"{HDF5} --size 0", "expected --size between 1 and .*, found 0"),
    "puzzles of no file": Row(f"{PUZZLES} --photographs none.h5", r"HDF5 file with the dataset train_img at none\.h5"),
    "puzzles of a folder": Row(f"{PUZZLES} --photographs labelled", "HDF5 file with the dataset train_img at labelled"),
    "puzzles without val": Row(f"{PUZZLES} --photographs file.hdf5", r"photographs in train_img of file\.hdf5, found too few, 8; give more",
        hdf5("train_img", np.ones((8, 48, 48, 3), "uint8"))),
    "puzzles too small": Row(f"{PUZZLES} --size 12", "photographs of 12 pixels are too small for a puzzle"),
    "fewer puzzles than a batch": Row(f"{PUZZLES} --batch-size 9", "8 photographs are fewer than --batch-size 9"),
    "a single permutation": Row(f"{PUZZLES} --permutations 1", "expected 2 to 362,880 permutations of nine tiles, found 1"),
    "no permutations": Row(f"{PUZZLES} --permutation-file none", "expected a file, found nothing at none"),
    "one folder of two to vote": Row(f"{PUZZLES} --knn-train labelled", "--knn-train and --knn-test go together"),
    "an ONNX file without a grid": Row("1_data_preprocessor --encoder network.onnx --grid", "found an ONNX file that gives features; leave out --grid",
        lambda folder: [write("network.onnx", ONNX)(folder), disk.write_json(folder / "network.json", ONNX_CARD)]),
    # the ablation
    "no encoder to compare": Row("6_ablation --encoders none.keras", r"expected an encoder at none\.keras, found nothing"),
    "two encoders of one name": Row("6_ablation --encoders a=encoder.keras a=encoder.keras", "different names for 2 encoders, found a"),
    "an encoder.json that is no object": Row(
        "6_ablation --encoders encoder.keras", r'expected an object such as {"pretext task".* in encoder\.json, found list; give one', write("encoder.json", "[]")
    ),
    "no captioner to compare": Row("6_ablation --encoders encoder.keras --seeds 0", "expected --seeds .*1.*, found 0"),
    # captions, descriptions and lists
    "captions of other photographs": Row(ONE, f"in Flicker8k_Dataset, found none in {TOKEN}: its images are called other",
        write(TOKEN, "other.jpg#0\tA dog\n")),
    "captions without a usable line": Row(ONE, f"expected captions in {TOKEN}: .*; found 'no captions here'",
        write(TOKEN, "no captions here\n")),
    "captions of nothing": Row(ONE, f"expected captions in {TOKEN}: .*; found no line", write(TOKEN, "")),
    "captions in another encoding": Row(ONE, f"expected text in UTF-8, .*, found the byte 0xea at position 13 of {TOKEN}",
        write(TOKEN, "photo0.png#0\t\u043a\u043e\u0442 \u0438 \u043f\u0451\u0441".encode("cp1251"))),
    "a list in another encoding": Row(FOUR, f"expected text in UTF-8, .* of {TRAIN}; save it as UTF-8", write(TRAIN, b"\xff\xfea")),
    "descriptions in another encoding": Row(FOUR, r"expected UTF-8 text, found the byte 0xe9 at position 2 of descriptions\.txt",
        write("descriptions.txt", b"a \xe9")),
    "a list that is damaged JSON": Row(FOUR, f"expected a JSON list of photographs' names in {TRAIN}", write(TRAIN, '["a.jpg", ')),
    "captions of two languages": Row(f"{ONE} --captions two.csv", r"one column of captions in two\.csv, .*; rename the one to take to caption",
        write("two.csv", "image,english,german\nphoto0.png,A dog,Ein Hund\n")),
    "a photograph in two splits": Row(f"{SPLITS} --captions two.csv", r"each photograph in one split in two\.csv, found a\.jpg in two",
        write("two.csv", "image,caption,split\na.jpg,A dog,train\na.jpg,A cat,val\n")),
    "COCO's instances": Row(f"{ONE} --captions c.json", r"expected COCO's captions in c\.json: .*instances", write("c.json", '{"info": 3}')),
    "COCO's captions of others": Row(f"{ONE} --captions c.json", r"captions of the 1 images in c\.json, found 1 of other",
        write("c.json", '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 2, "caption": "A dog"}]}')),
    "other records": Row(f"{ONE} --captions c.json", r"expected records of .* in c\.json, .*rename", write("c.json", '[{"a": 1}]')),
    "records that are no text": Row(f"{ONE} --captions c.json", r"expected records of .* in c\.json",
        write("c.json", '[{"image": "a.jpg", "caption": "b"}, {"image": [], "caption": 3}]')),
    "records of no split": Row(f"{SPLITS} --captions c.json", r"expected records of .* in c\.json",
        write("c.json", '[{"image": "a.jpg", "caption": "b", "split": "val"}, {"split": "val"}]')),
    "records that are damaged": Row(f"{ONE} --captions c.json", r"expected records of .* in c\.json", write("c.json", "[{")),
    "records of nothing": Row(f"{ONE} --captions c.json", r"expected records of .* in c\.json", write("c.json", '[{"image": "a", "caption": []}]')),
    "other JSON": Row(ONE, f"expected Karpathy's JSON in {TOKEN}: .*found other JSON", write(TOKEN, '{"images": 3}')),
    "captions without a sentence": Row(ONE, f"in {TOKEN}, found none of its 1 images with a sentence", write(TOKEN, json.dumps(
        {"images": [{"filename": "a", "split": "val", "sentences": []}]}))),
    "no splits": Row(SPLITS, f"{TOKEN} holds captions but no splits"),
    "unknown splits": Row(SPLITS, f"expected the splits train, .* in {TOKEN}, found 'x'", write(TOKEN, json.dumps(
        {"images": [{"filename": "a", "split": "x", "sentences": []}]}))),
    "too few to split": Row(f"{SPLITS} --seed 1", "expected at least 8 captioned photographs .*, found 1",
        write(TOKEN, "photo1.png#0\tA dog\n")),
    "descriptions of nothing": Row(FOUR, r"expected lines .* in descriptions\.txt, found none", write("descriptions.txt", "")),
    "descriptions of others": Row(FOUR, f"descriptions of the 6 photographs in {TRAIN}, found none: .*other",
        write("descriptions.txt", "other a dog")),
    "a list of nothing": Row(FOUR, f"expected one photograph's name a line in {TRAIN}, found an empty", write(TRAIN, "\n")),
    "a list of another data set": Row(FOUR, f"descriptions of the 1 photographs in {TRAIN}", write(TRAIN, "other.jpg\n")),
    "captions.json of another form": Row(f"{THREE} --candidates c.json", r"\.\.\.\] in c\.json, found something else",
        write("c.json", '{"a": 1}')),
    "a caption that is none": Row(f"{THREE} --candidates c.json", r"\.\.\.\] in c\.json, found something else",
        write("c.json", '[{"image_id": "photo1", "caption": null}]')),
    "captions.json that is no JSON": Row(f"{THREE} --candidates c.json", r"expected JSON in c\.json", write("c.json", "{")),
    # features
    "features without ids": Row(TWO, r"feature for each of 6 photographs in features\.pkl, found none for 1 of them \(photo0.*skipped\.txt",
        features(lambda all: {name: all[name] for name in list(all)[1:]})),
    "features of nothing": Row(TWO, r"features in features\.pkl, found dict without", features(lambda all: {})),
    "features of two lengths": Row(TWO, r"in features\.pkl, .* found \(1, 4\) and \(1, 5\)",
        features(lambda all: all | {"photo0": np.zeros((1, 5), "f4")})),
    "features that are not finite": Row(TWO, r"1 of 8 features in features\.pkl are not finite \(the first is photo0",
        features(lambda all: all | {"photo0": np.full((1, 4), np.nan, "f4")})),
    "features that are text": Row(TWO, r"refused features\.pkl: .*", write("features.pkl", "no pickle")),
    "features that are empty": Row(TWO, r"refused features\.pkl: damaged pickle", write("features.pkl", "")),
    "features and descriptions swapped": Row(f"{TWO} --features descriptions.txt", r"refused descriptions\.txt"),
    "features of another encoder": Row(THREE, r"features of the encoder .* found those of 000 in features\.pkl",
        write("features.json", '{"encoder": "000"}')),
    "features of an unknown origin": Row(THREE, r"expected the origin of the features in features\.json, found",
        write("features.json", "[]")),
    "features of another length": Row(THREE, r"expected features of 4 numbers, .* found 5 in features\.pkl",
        features(lambda all: {name: np.zeros((1, 5), "f4") for name in all})),
    "features of extremes": Row(f"{TWO} --out new", "is not a finite number: training has diverged",
        features(lambda all: {name: np.full((1, 4), 3e38, "f4") for name in all})),
    # encoders and captioners
    "an encoder that is text": Row(ONE, r"expected a \.keras file .* at encoder\.keras", write("encoder.keras", "text")),
    "an encoder of any size": Row(ONE, r"expected an encoder, .*, in encoder\.keras; found uint8 \(None, None, None, 3",
        as_encoder(toy_encoder(height=None))),
    "an encoder of grey": Row(ONE, r"in encoder\.keras; found uint8 \(None, 8, 8, 1\)", as_encoder(toy_encoder(channels=1))),
    "an encoder of infinities": Row(ONE, r"features are not finite in the batch of .*photo0\.png",
        as_encoder(toy_encoder(scale=float("inf")))),
    "an encoder of a training that diverged": Row(ONE, "the encoder's weights are not finite: check its file",
        as_encoder(diverged(toy_encoder()))),
    "another encoder": Row(FIVE, r"expected the features of the encoder .* in encoder\.keras", as_encoder(toy_encoder(scale=2))),
    "an encoder of another length": Row(FIVE, r"features of 4 numbers, .* found 7 in encoder\.keras",
        as_encoder(toy_encoder(dimension=7))),
    "a figure of a captioner that does not look": Row(f"{FIVE} --figure words.png",
        r"a captioner that looks, to draw words\.png; found none that sees a grid: train one"),
    "a damaged captioner": Row(FIVE, r"cannot load model-ep001.* as a Keras", change_member("config.json", b"{}")),
    "a captioner with other members": Row(FIVE, "refused model-ep001.*its member 'x' is none", change_member("x", b"")),
    "a captioner with a large configuration": Row(FIVE, "refused model-ep001.*configuration has more than",
        change_member("config.json", bytes(5 << 20))),
    "a captioner with no memory": Row(FIVE, r"expected JSON in the member captioning\.json of model-ep001",
        change_member(keras_files.MEMORY, b"{")),
    "a captioner with another memory": Row(FIVE, r"an origin in the member captioning\.json of model-ep001",
        change_member(keras_files.MEMORY, b"[]")),
    "a captioner with fewer words than it predicts": Row(FIVE, r"a vocabulary of 9 words .* found 3 in model-ep001",
        change_member(keras_files.MEMORY, json.dumps({"tokenizer": Tokenizer({"startseq": 1, "endseq": 2}, 5).content()}).encode())),
    "an old captioner without tokenizer": Row(OLD, r"captioner with its vocabulary in other\.h5, found none; give its tokenizer",
        old_captioner(remove("tokenizer.pkl"))),
    "a tokenizer of another form": Row(OLD, r"words numbered from 1, .* in tokenizer\.pkl",
        old_captioner(write("tokenizer.pkl", b"\x80\4]."))),
    "a tokenizer that is text": Row(OLD, r"refused tokenizer\.pkl: ", old_captioner(write("tokenizer.pkl", "no pickle"))),
    "a tokenizer that is damaged JSON": Row(OLD, r"expected JSON in tokenizer\.pkl", old_captioner(write("tokenizer.pkl", "{"))),
    "a tokenizer of Hugging Face": Row(OLD, r"words numbered from 1, .* in tokenizer\.pkl",
        old_captioner(write("tokenizer.pkl", '{"version": "1.0", "model": {"vocab": {"a": 0}}}'))),
    "a tokenizer without an end": Row(OLD, r"startseq and endseq among them, .* in tokenizer\.pkl", old_captioner(lambda folder:
        write_tokenizer(folder / "tokenizer.pkl", Tokenizer({"startseq": 1, "dog": 2}, 9)))),
    "a tokenizer of no length": Row(OLD, r"descriptions of 1 to 10,000 words\) in tokenizer\.pkl", old_captioner(lambda folder:
        write_tokenizer(folder / "tokenizer.pkl", Tokenizer({"startseq": 1, "endseq": 2}, -1)))),
    "a larger vocabulary": Row(OLD, r"expected a vocabulary of 9 words .* found 10 in tokenizer\.pkl",
        old_captioner(larger_tokenizer)),
    "an old model that is text": Row(f"{THREE} --model file.h5", r"expected a Keras model .* in file\.h5", write("file.h5", "text")),
    "an old model of another kind": Row(f"{THREE} --model other.h5", r"captioner in other\.h5, found a model with the layers .*2 InputLayer",
        keep_model(no_merge_model)),
    "a captioner that is gone": Row(f"{TWO} --out .", "captioner of the best epoch at model-ep001.*, found nothing: put it back",
        lambda folder: [path.unlink() for path in folder.glob("model-*.keras")]),
    "a damaged checkpoint": Row(f"{TWO} --out .", r"checkpoint\.weights\.h5 is no checkpoint",
        write(training.CHECKPOINT, "text")),
    "a checkpoint of a list": Row(TWO, f"{training.CHECKPOINT} is no checkpoint", change_checkpoint(lambda state, arrays: ([], []))),
    "a checkpoint without a run": Row(TWO, f"{training.CHECKPOINT} is no checkpoint", change_checkpoint(lambda state, arrays: ({}, arrays))),
    "a checkpoint of another history": Row(TWO, "its state has another form", change_checkpoint(lambda state, arrays:
        (state | {"history": {"loss": 1}}, arrays))),
    "a checkpoint of another memory": Row(TWO, "its state has another form", change_checkpoint(lambda state, arrays:
        (state | {"memories": [{"write": 1}]}, arrays))),
    "a checkpoint without history": Row(TWO, r"no checkpoint of such .* \('history'\)", change_checkpoint(lambda state, arrays:
        ({"identity": state["identity"]}, arrays))),
    "a checkpoint without val_loss": Row(TWO, "expected the val_loss of each epoch in checkpoint", change_checkpoint(lambda state, arrays:
        (state | {"history": {"loss": [1.0]}}, arrays))),
    "a checkpoint of fewer arrays": Row(TWO, f"{training.CHECKPOINT} is no checkpoint", change_checkpoint(lambda state, arrays:
        (state, arrays[1:]))),
    "a checkpoint of other arrays": Row(TWO, f"{training.CHECKPOINT} is no checkpoint", change_checkpoint(lambda state, arrays:
        (state, arrays[::-1]))),
    "a run without epochs": Row("pretext.export --run .", r"run of simclr\.main at checkpoint\.weights\.h5, found another \('history'",
        change_checkpoint(lambda state, arrays: ({"identity": {"depth": 18, "stem": "small", "width": 4}}, arrays))),
    "no run": Row("pretext.export --run labelled", r"simclr\.main at labelled, found no checkpoint\.weights\.h5 in it"),
    "a run of another kind": Row("pretext.export --run .", r"run of simclr\.main at checkpoint\.weights\.h5, found another \('depth'"),
    "an unknown network": Row(f"{NETWORK} resnet19", "--network resnet19 is unknown: choose one of resnet18"),
    "weights without a file": Row(f"{NETWORK} ResNet50 --weights none", "--weights none is no file: give untrained"),
    "weights for ours": Row(f"{NETWORK} resnet18 --weights imagenet", "--weights imagenet does not fit --network resnet18"),
    "weights of another network": Row(f"{NETWORK} MobileNetV2 --weights file.weights.h5", r"MobileNetV2, file\.weights\.h5",
        write("file.weights.h5", "text")),
    "classes of two kinds": Row("encoders.evaluate --train labelled --test more --no-untrained", "labelled and more have other",
        lambda folder: shutil.copytree(folder / "labelled", folder / "more").joinpath("cat").rename(folder / "more/cow")),
    "no checkpoint": Row("encoders.convert --checkpoint none", "there is no checkpoint none: expected a torch"),
}  # fmt: skip
FOLDERS = ("core", "encoders", "captioning", "pretext", "simclr", "jigsaw")
ELSEWHERE = {  # errors with a table of their own, in the tests of their modules
    "captioning/batches.py": "tests/captioning/test_batches.py",
    "captioning/reward.py": "tests/captioning/test_reward.py",
    "encoders/convert.py": "tests/encoders/test_convert.py",
    "encoders/evidence.py": "tests/encoders/test_evidence.py",
    "encoders/onnx_file.py": "tests/encoders/test_onnx_file.py",
    "captioning/formats/parquet.py": "tests/captioning/test_formats.py",
    "encoders/features_file.py": "tests/encoders/test_features_file.py",
    "encoders/tensors/feature_containers.py": "tests/encoders/test_features_file.py",
    "encoders/families/google.py": "tests/encoders/test_convert.py",
    "encoders/networks/convnext.py": "tests/encoders/test_convnext.py",
    "encoders/networks/loading.py": "tests/encoders/test_convert.py",
    "encoders/networks/vit_loading.py": "tests/encoders/test_vit.py",
    **dict.fromkeys(
        (f"encoders/tensors/{name}.py" for name in ("checkpoint", "tensor", "torch_archive", "tensorflow_checkpoint")),
        "tests/encoders/test_convert.py",
    ),
    "encoders/tensors/keras_weights.py": "tests/encoders/test_checkpoints.py",
    "encoders/families/keras_example.py": "tests/encoders/test_keras_example.py",
    "encoders/tensors/hdf5_pixels.py": "tests/encoders/test_decoded.py",
    **dict.fromkeys(
        (f"encoders/tensors/{name}.py" for name in ("folder", "other_files")), "tests/encoders/test_checkpoints.py"
    ),
    "encoders/shards.py": "tests/encoders/test_extract.py",
    "pretext/distil.py": "tests/pretext/test_distil.py",
    "captioning/decoding.py": "tests/captioning/test_decoding.py",
    "captioning/describe.py": "tests/captioning/test_steps.py",
    "captioning/ablation/study.py": "tests/captioning/test_ablation.py",
    "captioning/pages/serve.py": "tests/captioning/test_serve.py",
    "jigsaw/main.py": "tests/core/test_workers.py",
    "jigsaw/encoder.py": "tests/jigsaw/test_jigsaw_encoder.py",
    "jigsaw/maximal_hamming.py": "tests/jigsaw/test_maximal_hamming.py",
    **dict.fromkeys((f"core/{name}.py" for name in ("workers", "devices")), "tests/core/test_workers.py"),
    **dict.fromkeys(
        ("captioning/doctor.py", "captioning/doctor_checks.py", "core/machine.py"), "tests/captioning/test_steps.py"
    ),
    "captioning/formats/downloads.py": "tests/captioning/test_doctor.py",
}
raised: set[tuple[str, int]] = set()  # the file and the line of each error that a row has met


@pytest.fixture
def folder(world, tmp_path, monkeypatch) -> Path:
    shutil.copytree(world, tmp_path / "folder")
    monkeypatch.chdir(tmp_path / "folder")
    return Path()


@pytest.mark.parametrize("name", ROWS)
def test_a_mistake_is_named(name, folder, record_property):
    record_property("bad inputs tried", 1)
    row = ROWS[name]
    held = row.change(folder)
    with pytest.raises(SystemExit) as stop:
        settings.run(command(row.command))
    message = stop.value.code
    assert message.startswith("error: ") and re.search(row.message, message, re.DOTALL), message
    assert re.search(ADVICE, message), f"it does not say what to do: {message}"
    assert not list(folder.rglob(".*.partial*"))
    error = stop.value.__context__
    while error:  # and what it was raised from
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raised.add((frame.filename, frame.lineno))
        error = error.__cause__
    del held


@pytest.mark.skipif("len(raised) < len(ROWS) / 2", reason="needs the rows above")
def test_every_error_has_a_row():
    met = {(str(Path(file).relative_to(ROOT)), line) for file, line in raised if Path(file).is_relative_to(ROOT)}
    sources = [
        *ROOT.glob("[1-6]_*.py"),
        *(path for name in FOLDERS for path in (ROOT / name).rglob("*.py")),
    ]
    missing = []
    for path in sources:
        name = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and "InputError" in ast.unparse(node) and (name, node.lineno) not in met:
                missing += [f"{name}:{node.lineno}"] * (name not in ELSEWHERE)
    assert not missing


SCRIPTS = (ONE, TWO, THREE, FOUR, FIVE, "6_ablation", SIMCLR, SUPERVISED, PUZZLES, HDF5, "jigsaw.encoder", "pretext.export", "encoders.convert", "encoders.evaluate",
           f"{NETWORK} none", SPLITS)  # fmt: skip


FORKS = """
import os, runpy, sys
import keras  # once for all

root, *commands = sys.argv[1:]
for command in commands:
    name, *arguments = command.split()
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        continue
    sys.argv, sys.stderr = [name, *arguments], open(f"{name}.stderr", "w")
    if name[0].isdigit():
        runpy.run_path(f"{root}/{name}.py", run_name="__main__")
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    break
"""


def test_each_script_ends_with_one_line_and_no_traceback(tmp_path):
    """As processes of their own, in an empty folder where no default is in its place."""
    command = [sys.executable, "-c", FORKS, str(ROOT), *SCRIPTS]
    run = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    statuses = [line for line in run.stdout.splitlines() if line.isdigit()]
    assert statuses == ["1"] * len(SCRIPTS)
    for script in SCRIPTS:
        (line,) = (tmp_path / f"{script.split()[0]}.stderr").read_text().splitlines()
        assert line.startswith("error: ")


# Parsers -------------------------------------------------------------------------------------------------------------


def read_tensors(path: Path) -> None:
    for tensor in checkpoint.read(path).tensors.values():
        tensor.read()


PARSERS = {
    "captions": (read_captions, TOKEN),
    "Karpathy's captions": (read_captions, "karpathy.json"),
    "Karpathy's splits": (splits.from_captions, "karpathy.json"),
    "a CSV of captions": (read_captions, "captions.txt"),
    "lines": (read_captions, "lines.txt"),
    "results.csv": (read_captions, "results.csv"),
    "captions in UTF-16": (read_captions, "utf16.csv"),
    "a table's splits": (splits.from_captions, "utf16.csv"),
    "Parquet": (read_captions, "captions.parquet"),
    "COCO's annotations": (read_captions, "coco.json"),
    "records": (read_captions, "records.json"),
    "records' splits": (splits.from_captions, "metadata.jsonl"),
    "a list as a table": (photographs.read_image_list, "list.csv"),
    "descriptions": (read_descriptions, "descriptions.txt"),
    "image list": (photographs.read_image_list, TRAIN),
    "COCO captions": (read_results, "captions.json"),
    "origin": (lambda path: features_file.read_origin(path.with_suffix(".pkl")), "features.json"),
    "features": (features_file.read, "features.pkl"),
    "features in .npz": (features_file.read, "features.npz"),
    "features in .npy": (features_file.read, "features.npy"),
    "features in HDF5": (features_file.read, "features.hdf5"),
    "features in gzip": (features_file.read, "features.pkl.gz"),
    "tokenizer": (read_tokenizer, "tokenizer.pkl"),
    "permutations": (lambda path: maximal_hamming.read(path, 2), "permutations.txt"),
    "permutations in .npy": (lambda path: maximal_hamming.read(path, 2), "permutations.npy"),
    "photographs in HDF5": (
        lambda path: decoded.load([path], (4, 4), path.parent / path.read_bytes()[-9:].hex()),
        "floats.h5",
    ),
    "tokenizer as JSON": (read_tokenizer, "tokenizer.json"),
    "words and ids": (read_tokenizer, "wordtoix.pkl"),
    "photograph": (lambda path: photographs.read(path, 8, 8), PHOTOGRAPH),
    "encoder": (encoder_file.read, "encoder.keras"),
    "grids": (lambda path: features_file.read_grid(path)[:], "grid.h5"),
    "captioner": (captioner_file.read, "small.keras"),
    "old captioner": (captioner_file.read, "old.h5"),
    "the tutorial's captioner": (captioner_file.read, "unmasked.h5"),
    "the tutorial's weights alone": (captioner_file.read, "alone.h5"),
    "the tutorial's archive": (captioner_file.read, "plain.keras"),
    "checkpoint of training": (training.read_checkpoint, "small.weights.h5"),
    "ONNX": (lambda path: onnx_file.OnnxEncoder(path, disk.read_bytes(path), ONNX_CARD), "network.onnx"),
    "how an ONNX file is fed": (lambda path: onnx_file.OnnxEncoder(path, ONNX, disk.read_json(path)), "network.json"),
    "ONNX to convert": (lambda path: onnx_file.convert(path, path.with_name("out.onnx")), "network.onnx"),
    "checkpoint of torch": (checkpoint.read, "lightning.ckpt"),
    "odd checkpoint of the older form": (read_tensors, "odd_older.ckpt"),
    "whole model": (read_tensors, "whole.pt"),
    "Keras' weights": (read_tensors, "old.h5"),
    "TorchScript archive": (read_tensors, "script.pt"),
    "zipped model": (read_tensors, "whole.zip"),
    "safetensors": (read_tensors, "numbered.safetensors"),
    "index of shards": (lambda path: checkpoint.read(path.rename(path.with_suffix(".index.json"))), "shards.json"),
}


@pytest.fixture(scope="module")
def samples(world, tmp_path_factory) -> Path:
    """The world with one more sound file for each parser."""
    world = shutil.copytree(world, tmp_path_factory.mktemp("samples") / "world")
    model = merge.build((2,), 3)
    captioner_file.write(world / "small.keras", model, Tokenizer({"startseq": 1, "endseq": 2}, 5), {"encoder": "a"})
    write_old_captioner(world / "old.h5", model)
    training.write_checkpoint(world / "small.weights.h5", {"identity": {}}, model.weights[:2])
    features_file.create_grid(world / "grid.h5", ["a", "b"], (1, 2, 3), {"encoder": "a"})
    features_file.finish_grid(world / "grid.h5", world / "grid.h5", ["a", "b"])
    image = {"filename": "a.jpg", "split": "val", "sentences": [{"raw": "A dog"}]}
    disk.write_json(world / "karpathy.json", {"images": [image]})
    disk.write_text(world / "captions.txt", 'image,caption\na.jpg,"A ""big"" dog"\n')
    disk.write_text(
        world / "results.csv", "image_name| comment_number| comment\na.jpg| 0| A dog .\nb.jpg| 1   A cat .\n"
    )
    disk.write_bytes(world / "utf16.csv", 'caption,image,split\n"A ""big\ndog""",a.jpg,val\n'.encode("utf-16"))
    write_parquet(world / "captions.parquet")
    disk.write_text(world / "lines.txt", "a.jpg A dog\nb c.jpg A cat\n")
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "A dog"}]}
    disk.write_json(world / "coco.json", coco)
    disk.write_text(world / "records.json", json.dumps([{"image": "a.jpg", "caption": ["A dog", "A cat"]}]))
    disk.write_text(world / "metadata.jsonl", '{"file_name": "a.jpg", "text": "A dog", "split": "train"}\n' * 2)
    disk.write_text(world / "list.csv", ',image\n0,"a.jpg"\n1,b.jpg\n')
    write_results(world / "captions.json", {"a": "dog"})
    disk.write_bytes(world / "wordtoix.pkl", pickles.dump({"<start>": 1, "<end>": 2, "dog": 3}))
    keras_tokenizer = {"word_index": json.dumps({"<unk>": 1, "startseq": 2, "endseq": 3}), "oov_token": "<unk>"}
    disk.write_json(world / "tokenizer.json", {"class_name": "Tokenizer", "config": keras_tokenizer})
    np.save(world / "permutations.npy", np.array([range(9), range(9)[::-1]]))
    disk.write_text(world / "permutations.txt", "0.0 1 2 3 4 5 6 7 8\n8 7 6 5 4 3 2 1 0\n")
    with h5py.File(world / "floats.h5", "w") as file:
        file["train_img"] = np.full((3, 3, 4, 4), 0.5, "f4")
    grids = {f"{name}.jpg": np.ones((2, 2, 4), "f4") for name in "ab"}
    np.savez_compressed(world / "features.npz", **grids)
    np.save(world / "features.npy", grids, allow_pickle=True)
    disk.write_bytes(world / "features.pkl.gz", gzip.compress(pickles.dump(grids)))
    with h5py.File(world / "features.hdf5", "w") as file:
        for key, grid in grids.items():
            file[key] = grid
    disk.write_bytes(world / "network.onnx", ONNX)
    disk.write_json(world / "network.json", ONNX_CARD)
    for name in (
        "checkpoints/lightning.ckpt",
        "checkpoints/numbered.safetensors",
        *(f"checkpoints/containers/{name}" for name in ("odd_older.ckpt", "whole.pt", "script.pt")),
        *(f"captioners/{name}" for name in ("unmasked.h5", "alone.h5", "plain.keras")),
    ):
        shutil.copy(ROOT / "tests/fixtures" / name, world)
    with zipfile.ZipFile(world / "whole.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(world / "whole.pt", "whole.pt")
    disk.write_json(world / "shards.json", {"weight_map": {}})
    return world


def write_parquet(path: Path) -> None:
    """Write a Parquet file of two row groups, or none where pyarrow is missing."""
    with suppress(ImportError):
        pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
        image = [{"bytes": b"a", "path": f"{name}.jpg"} for name in "abc"]
        parquet.write_table(pyarrow.table({"image": image, "caption": [["A dog"]] * 3}), path, row_group_size=2)


EXAMPLES = int(os.environ.get("FUZZ", "12"))  # for each parser
SECONDS = 60 * float(os.environ.get("SOAK_MINUTES", "0")) / len(PARSERS)  # of more examples for each parser
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4)), min_size=1, max_size=6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_raises_nothing_but_our_error(name, samples, tmp_path, record_property):
    read, sample = PARSERS[name]
    if sample.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    tried, start = 0, time.monotonic()
    sound = (samples / sample).read_bytes()
    path = tmp_path / Path(sample).name
    path.write_bytes(sound)
    read(path)

    @hypothesis.settings(
        max_examples=EXAMPLES, deadline=None, derandomize=not SECONDS and EXAMPLES < 100, database=None
    )
    @hypothesis.given(CHANGES | st.binary(max_size=99), st.floats(0, 1))
    # Met once each, by soaks: h5py's RuntimeError, SystemError and TypeError for damage; a pickle that ends within, as an array.
    @hypothesis.example([(0.005115877712031558, b"\0")], 1.0)
    @hypothesis.example([(0.59375, b"\0")], 1.0)
    @hypothesis.example([(0.1006533530571992, b"\0")], 1.0)
    @hypothesis.example([(0.99609375, b".")], 1.0)
    def check(changes: list[tuple[float, bytes]] | bytes, kept: float) -> None:
        """Overwrite some bytes, or all; cut some files short."""
        content = bytearray(sound if isinstance(changes, list) else changes)
        for place, data in changes if isinstance(changes, list) else ():
            start = int(place * len(content))
            content[start : start + len(data)] = data
        path.write_bytes(content[: int(2 * kept * len(content))])
        nonlocal tried
        tried += 1
        with suppress(InputError, Unreadable):
            read(path)

    check()
    while time.monotonic() - start < SECONDS:
        check()
    record_property("bad inputs tried", tried)
