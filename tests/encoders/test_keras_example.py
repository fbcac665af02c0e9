"""The encoder of Keras' SimCLR example: its features are the same, in whatever way Keras saved the weights."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from core.errors import InputError
from encoders import convert
from encoders.evidence import Told


def example(size: int | None = 96, width: int = 6) -> keras.Model:
    """Return an encoder as the example makes it, with random weights and biases."""
    convolutions = [layers.Conv2D(width, kernel_size=3, strides=2, activation="relu") for _ in range(4)]
    encoder = keras.Sequential(
        [keras.Input((size, size, 3)), *convolutions, layers.Flatten(), layers.Dense(width + 1, activation="relu")],
        name="encoder",
    )
    random = np.random.default_rng(0)
    encoder.set_weights([random.normal(0.05, 0.3, weight.shape) for weight in encoder.get_weights()])
    return encoder


class Contrastive(keras.Model):
    """As the example's model: an encoder, a head, a probe."""

    def __init__(self, encoder: keras.Model) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection_head = keras.Sequential(
            [keras.Input((7,)), layers.Dense(7, activation="relu"), layers.Dense(7)]
        )
        self.linear_probe = keras.Sequential([keras.Input((7,)), layers.Dense(10)])

    def call(self, photographs):
        return self.projection_head(self.encoder(photographs))


def saved(kind: str, encoder: keras.Model, folder: Path) -> Path:
    path = folder / {"whole": "encoder.h5"}.get(kind, "encoder.weights.h5")
    if kind == "whole":
        encoder.save(path)
    else:
        model = encoder if kind == "weights" else Contrastive(encoder)
        model(np.zeros((1, *encoder.input_shape[1:]), "float32"))
        model.save_weights(path)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["weights", "whole", "the example's model"])
def test_the_features_are_the_examples(kind, tmp_path, capsys):
    encoder = example()
    converted = convert.convert(saved(kind, encoder, tmp_path))
    pixels = np.random.default_rng(1).integers(0, 256, (2, 96, 96, 3)).astype("uint8")
    expected = np.asarray(encoder(pixels / np.float32(255)))
    assert expected.any() and np.asarray(converted(pixels)) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    printed = capsys.readouterr().out
    assert "Keras' weights in HDF5" in printed and "4 convolutions of width 6 and a dense layer of 7" in printed
    assert "size: 96 x 96" in printed and "those of its dense layer" in printed


def test_another_size_is_found_or_told(tmp_path):
    path = saved("weights", example(size=128), tmp_path)
    assert convert.convert(path).input_shape == (None, 128, 128, 3)
    assert convert.convert(path, Told(size=130)).input_shape == (None, 130, 130, 3)
    with pytest.raises(InputError, match=r"expected photographs of 127 to 142 pixels .* found 96: give such a --size"):
        convert.convert(path, Told(size=96))


def test_other_weights_are_refused(tmp_path):
    keras.Sequential([keras.Input((3,)), layers.Dense(2)]).save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(
        InputError, match=r"found no network that fits among layers/dense/kernel.*Keras' SimCLR example"
    ):
        convert.convert(tmp_path / "other.weights.h5")
