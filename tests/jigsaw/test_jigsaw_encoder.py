"""Both modes of a trained solver as encoder files, from a run and from the original's model.hdf5."""

from itertools import pairwise

import keras
import numpy as np
import pytest

from core import keras_files, training
from core.errors import InputError
from jigsaw import encoder, views
from jigsaw.model import jigsaw, shared
from tests.conftest import features_alone
from tests.original import jigsaw_model as original

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def solver():
    keras.utils.set_random_seed(0)
    network = shared("resnet18", "small", 4)
    return encoder.Solver(jigsaw(network, 16, 5), network, 64)


def photographs(size=64):
    """Three photographs, uint8 (3, size, size, 3): patches of noise, and one without any contrast."""
    patches = np.kron(RANDOM.integers(0, 256, (2, 8, 8, 3)), np.ones((size // 8, size // 8, 1)))
    return np.concatenate([patches, np.full((1, size, size, 3), 90)]).astype("uint8")


def standardised(pixels):
    pixels = pixels / 255
    return (pixels - pixels.mean()) / pixels.std() if pixels.std() > 1e-6 else pixels


def tiles(pixels):
    size = pixels.shape[1]
    cuts = [
        [one[top : top + size // 4, left : left + size // 4] for top, left in views.centres(size)] for one in pixels
    ]
    return np.array([[standardised(tile) for tile in nine] for nine in cuts], "float32")


def test_full_sees_the_nine_centred_tiles_in_order_each_standardised(solver):
    pixels = photographs()
    head = [weight.numpy() for weight in solver.model.weights[len(solver.network.weights) :]]
    expected = original.features(solver.network, head, tiles(pixels))
    assert np.allclose(encoder.full(solver).predict(pixels, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_single_sees_the_whole_photograph_standardised_or_as_caffe_would(solver):
    pixels = photographs(32)
    expected = solver.network(np.array([standardised(one) for one in pixels], "float32"))
    assert np.allclose(encoder.single(solver.network, 32).predict(pixels, verbose=0), expected, rtol=1e-4, atol=1e-5)
    caffe = keras.applications.resnet50.preprocess_input(pixels.astype("float32"))
    found = encoder.single(solver.network, 32, caffe=True).predict(pixels, verbose=0)
    assert np.allclose(found, solver.network(caffe), rtol=1e-3, atol=1e-3)


def test_both_encoders_load_alone_and_safely(solver, tmp_path):
    pixels = photographs()
    for mode, model in {"full": encoder.full(solver), "single": encoder.single(solver.network, 64)}.items():
        keras_files.write(tmp_path / f"{mode}.keras", model)
        found = features_alone(tmp_path / f"{mode}.keras", pixels)
        assert found.shape == (3, {"full": 1024, "single": 32}[mode]) and found.dtype == "float32"
        assert np.allclose(found, model.predict(pixels, verbose=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name, layer", [("alexnet", "base_Alexnet"), ("resnet50", "resnet50")])
def test_the_originals_model_becomes_both_encoders(name, layer, tmp_path):
    network = shared(name)
    original.disturb(network)
    widths = [9 * network.output_shape[-1], 4096 if name == "alexnet" else 2048, 1024, 6]
    head = [RANDOM.normal(size=shape).astype("f") / 30 for pair in pairwise(widths) for shape in (pair, pair[1:])]
    original.write(tmp_path / "model.hdf5", layer, network, head, tile=16)
    solver = encoder.read_original(tmp_path / "model.hdf5")
    pixels = photographs()
    found = encoder.full(solver)(pixels, training=False)
    expected = original.features(network, head, tiles(pixels))
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.max())
    seen = np.asarray(network(np.array([standardised(one) for one in pixels], "float32")))
    pooled = seen.mean(axis=(1, 2)) if name == "alexnet" else seen
    single = encoder.single(solver.network, 64)(pixels, training=False)
    assert np.allclose(single, pooled, rtol=1e-3, atol=1e-3 * pooled.max())


def test_a_users_mistake_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no best\.weights\.h5 in it"):
        encoder.main(["--run", str(tmp_path)])
    training.write_checkpoint(tmp_path / encoder.BEST, {"identity": {}}, [keras.Variable(0.0)])
    with pytest.raises(InputError, match="expected the best weights of a run"):
        encoder.main(["--run", str(tmp_path)])
    with pytest.raises(InputError, match=r"Keras \.h5 file at .*none\.hdf5, found nothing"):
        encoder.main(["--run", str(tmp_path / "none.hdf5")])
