"""The training script: a toy run writes all it promises. tests/core/test_crashes.py kills it."""

import csv

import keras
import numpy as np
import pytest
from PIL import Image

from core import training
from core.errors import InputError
from encoders import encoder_file
from encoders.networks.resnet import resnet
from pretext import export
from simclr import main
from tests.conftest import draw_classes, features_alone


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return draw_classes(tmp_path_factory.mktemp("labelled"), 6)


def options(labelled, out, epochs=3):
    words = f"--photographs {labelled} --out {out} --epochs {epochs} --width 4 --size 16 --stored 20 --encoder-size 24"
    return f"{words} --batch-size 6 --knn-train {labelled} --knn-test {labelled} --knn-every 2".split()


@pytest.fixture(scope="module")
def run(labelled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    main.main(options(labelled, folder))
    return folder


def test_a_run_writes_its_encoder_its_logs_and_its_pictures(run, labelled):
    model = encoder_file.read(run / "encoder.keras")
    assert model.input_shape == (None, 24, 24, 3) and model.output_shape == (None, 32)
    table = list(csv.DictReader((run / "history.csv").open()))
    assert [row["epoch"] for row in table] == ["1", "2", "3"]
    assert {"loss", "accuracy", "spread", "knn"} < set(table[0])
    assert [row["knn"] == "nan" for row in table] == [True, False, False]  # every second epoch, and the last
    assert list((run / "tensorboard").glob("events*"))
    assert Image.open(run / "views.png").size == (12 * 16, 3 * 16)
    assert Image.open(run / "neighbours.png").size == (9 * 20, 8 * 20)
    assert Image.open(run / "curves.png").width > 100


def test_the_encoder_has_the_trained_weights_and_not_the_initial_ones(run):
    state, arrays = training.read_checkpoint(run / training.CHECKPOINT)
    weights = encoder_file.read(run / "encoder.keras").get_weights()
    assert all(np.array_equal(*pair) for pair in zip(weights, arrays, strict=False))
    keras.utils.set_random_seed(0)
    first = resnet(18, "small", 4).get_weights()
    assert not np.allclose(first[0], weights[0])
    assert state["identity"]["width"] == 4


def test_a_compact_encoder_of_a_runs_folder_loads_alone_and_safely(run, tmp_path):
    path = tmp_path / "compact.keras"
    export.main(["--run", str(run), "--out", str(path), "--size", "24", "--bits", "11"])
    whole = encoder_file.read(run / "encoder.keras")
    assert path.stat().st_size < 0.7 * (run / "encoder.keras").stat().st_size
    photographs = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3)).astype("uint8")
    expected = whole.predict(photographs, verbose=0)
    assert np.allclose(features_alone(path, photographs), expected, rtol=0.02, atol=0.01)


def test_a_users_mistake_is_named(run, labelled, tmp_path):
    with pytest.raises(InputError, match=r"no checkpoint\.weights\.h5 in it"):
        export.main(["--run", str(tmp_path)])
    with pytest.raises(InputError, match="go together"):
        main.main(options(labelled, tmp_path)[:-4])
    drawn = (run / "views.png").stat()
    with pytest.raises(InputError, match="width: 4 there, 6 now"):
        main.main([*options(labelled, run), "--width", "6"])
    assert (run / "views.png").stat().st_mtime_ns == drawn.st_mtime_ns  # nothing of the other run is touched
    with pytest.raises(InputError, match="12 photographs are fewer than --batch-size 13"):
        main.main([*options(labelled, tmp_path), "--batch-size", "13"])
