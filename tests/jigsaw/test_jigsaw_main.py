"""The training script: a toy run writes all it promises; a killed one, in another process, goes on to the same losses."""

import csv
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from core import disk, training
from core.errors import InputError
from encoders import encoder_file
from jigsaw import encoder, main, maximal_hamming, views, watch
from jigsaw.encoder import Solver
from tests.conftest import assert_same_losses

KILLED = """
import importlib, os, signal, sys
from pretext import run

class Kill(run.TensorBoard):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 2 and batch == 0:
            os.kill(os.getpid(), signal.SIGKILL)

run.TensorBoard = Kill
importlib.import_module(sys.argv[1]).main(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A file of jigsaw.to_hdf5's form: patches of noise, 48 x 48."""
    path = tmp_path_factory.mktemp("photographs") / "photographs.hdf5"
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for part, count in (("train", 8), ("val", 5), ("test", 4)):
            patches = random.integers(1, 256, (count, 12, 12, 3))
            pixels = file[f"{part}_img"] = np.kron(patches, np.ones((1, 4, 4, 1))).astype("uint8")
            for number, one in enumerate(pixels):  # labelled by the part that they are in
                (path.parent / "labelled" / part).mkdir(parents=True, exist_ok=True)
                Image.fromarray(one).save(path.parent / "labelled" / part / f"{number}.png")
    return path


def options(photographs, out, *more):
    words = (
        f"--photographs {photographs} --out {out} --network resnet18 --width 4 --size 48 --permutations 4 --epochs 3"
    )
    words += " --batch-size 4 --learning-rate 0.01 --reduce-after 1 --knn-every 2"
    labelled = photographs.parent / "labelled"
    return [*f"{words} --knn-train {labelled} --knn-test {labelled}".split(), *more]


@pytest.fixture(scope="module")
def run(photographs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    main.main(options(photographs, folder))
    return folder


def table(run):
    return list(csv.DictReader((run / "history.csv").open()))


def test_a_run_writes_its_encoders_its_scores_its_logs_and_its_pictures(run):
    full, single = (encoder_file.read(run / f"encoder-{mode}.keras") for mode in ("full", "single"))
    assert full.input_shape == single.input_shape == (None, 48, 48, 3)
    assert full.output_shape == (None, 1024) and single.output_shape == (None, 32)
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} < set(table(run)[0])
    assert [row["knn"] == "nan" for row in table(run)] == [True, False, False]  # every second epoch, and the last
    scores = disk.read_json(run / "test.json")
    assert scores["photographs"] == 4 and scores["chance"] == 0.25 and scores["least distance"] > 4
    for guard in main.GUARDS:
        assert scores[guard]["accuracy"] in (0, 0.25, 0.5, 0.75, 1) and scores[guard]["loss"] > 0
    assert len({scores[guard]["loss"] for guard in main.GUARDS}) == len(main.GUARDS)  # other puzzles, other losses
    assert list((run / "tensorboard").glob("events*"))
    assert Image.open(run / "puzzles.png").size == (3 * 48, 4 * 48)
    assert Image.open(run / "curves.png").width > 100 and (run / "history.png").exists()


def test_the_encoders_have_the_weights_of_the_best_epoch(run):
    best = np.argmin([float(row["val_loss"]) for row in table(run)]) + 1
    state, arrays = training.read_checkpoint(run / encoder.BEST)
    assert state["identity"]["permutations"] == 4
    solver = encoder.read_run(run)
    for weight, array in zip(solver.model.get_weights(), arrays, strict=True):
        assert np.array_equal(weight, array)
    last = training.read_checkpoint(run / training.CHECKPOINT)[1]
    assert np.array_equal(last[0], arrays[0]) == (best == 3)


def kill_in_third_epoch(words: list[str]) -> None:
    """Run the training script in another process, which dies after the first batch of its third epoch.

    It leaves nothing in the folder for temporary files, and prints no notes of TensorFlow.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", KILLED, main.__name__, *words]
        environment = os.environ | {"TMPDIR": folder}
        killed = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=300)
        assert killed.returncode == -signal.SIGKILL and not list(Path(folder).iterdir())
    assert "oneDNN" not in killed.stderr and "absl" not in killed.stderr


def test_a_killed_run_goes_on_to_the_same_losses(run, photographs, tmp_path, capfd):
    kill_in_third_epoch(options(photographs, tmp_path))
    main.main(options(photographs, tmp_path))
    assert "resuming after epoch 2 of 3" in capfd.readouterr().out
    assert_same_losses(tmp_path / "history.csv", run / "history.csv", 1e-2)
    rates = [row["learning_rate"] for row in table(run)]
    assert [row["learning_rate"] for row in table(tmp_path)] == rates


def test_validation_puzzles_are_the_same_in_each_epoch_and_leave_no_photograph_out():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 3)).astype("uint8")
    data = main.fixed(pixels, 2, 0, main.examples(maximal_hamming.permutations(4).astype("int32"), views.Recipe(48)))
    (tiles, labels), (again, same) = (map(np.concatenate, zip(*data.as_numpy_iterator(), strict=True)) for _ in "ab")
    assert tiles.shape == (5, 9, 12, 12, 3) and labels.shape == (5,)
    assert np.array_equal(tiles, again) and np.array_equal(labels, same)


def test_the_picture_puts_the_tiles_back_where_the_network_says(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3)).astype("uint8")
    permutations = maximal_hamming.permutations(4)
    tiles = keras.Input((9, 12, 12, 3))
    third = keras.layers.Dense(4, kernel_initializer="zeros", bias_initializer=lambda *_, **__: keras.ops.one_hot(2, 4))
    solver = Solver(
        keras.Model(tiles, third(keras.layers.Flatten()(tiles))), None, 48
    )  # always says that it was the third
    watch.draw_puzzles(tmp_path / "puzzles.png", solver, pixels, permutations, seed=0)
    picture = np.asarray(Image.open(tmp_path / "puzzles.png")).reshape(3, 48, 3, 48, 3).swapaxes(1, 2)
    labels = np.random.default_rng(0).integers(4, size=3)
    assert 0 < np.count_nonzero(labels == 2) < 3
    for label, (whole, _, solved), photograph in zip(labels, picture, pixels, strict=True):
        assert np.array_equal(whole, photograph)
        right = [
            np.array_equal(solved[top : top + 12, left : left + 12], photograph[top : top + 12, left : left + 12])
            for top, left in views.centres(48)
        ]
        assert all(right) == (label == 2)
        assert tuple(solved[0, 0]) == (watch.RIGHT if label == 2 else watch.WRONG)


def test_a_users_mistake_is_named(run, photographs):
    with pytest.raises(InputError, match="width: 4 there, 6 now"):
        main.main([*options(photographs, run), "--width", "6"])
    with pytest.raises(InputError, match="permutation set: "):
        other = run / "permutations.txt"
        maximal_hamming.write(other, maximal_hamming.permutations(4, seed=1))
        main.main([*options(photographs, run), "--permutation-file", str(other)])
    with pytest.raises(InputError, match="full takes 48 pixels"):
        encoder.main(["--run", str(run), "--size", "64"])
