"""An encoder is a file: it takes photographs, keeps its preprocessing inside, and loads without anything of ours."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from core import keras_files
from core.errors import InputError
from encoders import encoder_file, make
from encoders.fast import leaves
from encoders.networks.resnet import resnet
from tests.conftest import ROOT

APPLICATIONS = ("resnet50", "mobilenet_v2", "densenet", "efficientnet")  # caffe, tf, torch, and preprocessing inside
FRESH = """
import sys, keras, numpy
model = keras.models.load_model(sys.argv[1], safe_mode=True)
numpy.save(sys.argv[3], model.predict(numpy.load(sys.argv[2]), verbose=0))
assert not any(name.split(".")[0] in ("captioning", "pretext", "simclr", "jigsaw") for name in sys.modules)
"""


def test_written_encoder_loads_alone_and_safely_with_equal_features(tmp_path, photographs, capsys):
    path = tmp_path / "encoder.keras"
    make.main(["--network", "resnet18", "--size", "32", "--stem", "small", "--out", str(path)])
    assert f"wrote {path}: resnet18, untrained, 32 x 32 x 3 -> 512" in capsys.readouterr().out
    np.save(tmp_path / "photographs.npy", photographs)
    command = [sys.executable, "-c", FRESH, path, tmp_path / "photographs.npy", tmp_path / "features.npy"]
    subprocess.run(command, check=True, cwd=tmp_path)
    features = np.load(tmp_path / "features.npy")
    assert features.shape == (2, 512) and features.dtype == "float32"
    assert np.allclose(features, encoder_file.read(path).predict(photographs, verbose=0), rtol=1e-5, atol=1e-6)


def test_the_seed_decides_the_fingerprint():
    def fingerprint(seed):
        keras.utils.set_random_seed(seed)
        return keras_files.fingerprint(make.untrained("resnet18", "untrained", 32, "small"))

    assert fingerprint(1) == fingerprint(1) != fingerprint(2)


def test_an_untrained_network_takes_little_memory(tmp_path):
    program = """
import resource, sys
from encoders import make
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
make.main(sys.argv[1:])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024))
"""
    command = [sys.executable, "-c", program, "--size", "112", "--out", str(tmp_path / "encoder.keras")]
    printed = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert int(printed.split()[-1]) < 1e9  # with all that layers give kept: 1.7 GB


def test_an_untrained_network_tells_photographs_apart(photographs):
    keras.utils.set_random_seed(0)
    start = encoder_file.encoder(resnet(50, "small", width=8), 32, 32)
    differences = []
    for model in start, make.set_batch_statistics(keras.models.clone_model(start, recursive=True)):
        features = model.predict(photographs, verbose=0)
        differences.append(features.std(axis=0).mean() / features.mean())
    assert 0.1 < features.mean() < 10
    assert differences[1] > 2 * differences[0]
    assert {layer.momentum for layer in leaves(model) if hasattr(layer, "momentum")} == {0.9}


def test_pixels_are_normalised_inside(photographs):
    model = encoder_file.encoder(_pass_through(), 32, 32)
    expected = (photographs / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.allclose(model.predict(photographs, verbose=0), expected.reshape(2, -1), atol=1e-6)


def test_features_are_float32_computed_in_float32_under_a_mixed_policy(photographs):
    keras.utils.set_random_seed(0)
    plain = encoder_file.encoder(resnet(18, width=4), 32, 32).predict(photographs, verbose=0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        keras.utils.set_random_seed(0)
        mixed = encoder_file.encoder(resnet(18, width=4), 32, 32).predict(photographs, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert mixed.dtype == "float32"
    assert np.allclose(mixed, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("module", APPLICATIONS)
def test_preprocessing_equals_that_of_keras_applications(module, photographs):
    preprocess = getattr(keras.applications, module).preprocess_input
    model = encoder_file.encoder(_pass_through(), 32, 32, **make._preprocessing(preprocess))
    expected = preprocess(photographs.astype("float32")).reshape(2, -1)
    assert np.allclose(model.predict(photographs, verbose=0), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Skipping nested container")  # Keras, of the wrong file before it fails
def test_weights_file_of_a_keras_applications_network(tmp_path, photographs):
    network = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg", alpha=1.0
    )
    network.save_weights(tmp_path / "mobile.weights.h5")
    model = make.application("MobileNet", str(tmp_path / "mobile.weights.h5"), 32)
    pixels = keras.applications.mobilenet.preprocess_input(photographs.astype("float32"))
    assert np.allclose(model.predict(photographs, verbose=0), network.predict(pixels, verbose=0), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="this very network without its classifier"):
        make.application("VGG16", str(tmp_path / "mobile.weights.h5"), 32)


@pytest.mark.parametrize(
    "network, weights, size, message",
    [
        ("ResNet999", "imagenet", 224, "ResNet999 is unknown: choose one of resnet18, .*VGG16"),
        ("resnet_v2", "imagenet", 224, "resnet_v2 is unknown"),
        ("ResNet50", "missing.h5", 224, "missing.h5 is no file: .*imagenet, or ResNet50's weights file"),
        ("VGG16", "untrained", 8, "choose another --size"),
        ("resnet50", "imagenet", 224, "--network ResNet50.*encoders.convert"),
    ],
)
def test_a_users_mistake_is_named(network, weights, size, message, tmp_path):
    options = {
        "--network": network,
        "--weights": weights,
        "--size": str(size),
        "--out": str(tmp_path / "encoder.keras"),
    }
    with pytest.raises(InputError, match=message):
        make.main([word for option in options.items() for word in option])
    assert not list(tmp_path.iterdir())


def test_a_failed_download_says_what_to_do(monkeypatch):
    def fail(**_):
        raise Exception("URL fetch failure on https://somewhere/vgg16_notop.h5: no network")

    monkeypatch.setattr(keras.applications, "VGG16", fail)
    with pytest.raises(InputError, match=r"vgg16_notop.h5: no network\n.*--weights FILE"):
        make.application("VGG16", "imagenet", 32)


@pytest.fixture
def photographs() -> np.ndarray:
    """Two photographs, uint8 (2, 32, 32, 3): a ramp of colours, and the same with a bright square."""
    ramp = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype("uint8")
    pair = np.stack([ramp, ramp[::-1]])
    pair[1, 8:20, 4:16] = (250, 20, 130)
    return pair


def _pass_through() -> keras.Model:
    """A network whose features are what it sees."""
    pixels = keras.Input((None, None, 3))
    return keras.Model(pixels, keras.layers.Reshape((-1,))(pixels))
