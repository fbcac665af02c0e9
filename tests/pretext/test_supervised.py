"""The supervised network trains in the same loop on the same crops, and its encoder leaves the classifier behind."""

import numpy as np
import pytest
import tensorflow as tf

from core import training
from core.errors import InputError
from encoders import encoder_file
from pretext import supervised
from tests.conftest import draw_classes

RANDOM = np.random.default_rng(0)


@pytest.fixture
def labelled(tmp_path):
    return draw_classes(tmp_path / "labelled", 12)


def options(labelled, out, *more):
    words = f"--photographs {labelled} --out {out} --epochs 4 --width 4 --size 16 --stored 20 --encoder-size 24"
    return [*f"{words} --batch-size 8 --warm-up 0 --learning-rate 1".split(), *more]


def test_a_run_learns_and_writes_the_encoder_of_what_it_trained(labelled, tmp_path, capsys):
    supervised.main(options(labelled, tmp_path))
    model = encoder_file.read(tmp_path / "encoder.keras")
    assert model.input_shape == (None, 24, 24, 3) and model.output_shape == (None, 32)
    state, arrays = training.read_checkpoint(tmp_path / training.CHECKPOINT)
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), arrays, strict=False))
    assert state["history"]["loss"][-1] < state["history"]["loss"][0]
    assert state["history"]["accuracy"][-1] > 0.6
    assert "24 photographs, 3 steps an epoch" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"smallest_crop: 0\.2 there, 0\.5 now"):
        supervised.main(options(labelled, tmp_path, "--smallest-crop", "0.5"))


def test_crops_depend_on_the_seed_and_are_not_recoloured():
    grey = np.full((6, 20, 20, 3), 100, "uint8")
    found = supervised.random_crops(tf.constant(grey), 16, 0.2, tf.constant([1, 2]))
    assert found.shape == (6, 16, 16, 3) and np.allclose(found, 100 / 255, atol=1e-4)
    noise = tf.constant(RANDOM.integers(0, 256, (6, 20, 20, 3)), tf.uint8)
    one, again, other = (supervised.random_crops(noise, 16, 0.2, tf.constant([1, n])).numpy() for n in (2, 2, 3))
    assert np.array_equal(one, again) and not np.allclose(one, other)
