"""Step 2 on two devices, whose parts of a batch have other numbers of words, trains as on one."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from captioning import batches, train
from captioning.models import attention, merge
from core import devices
from tests.captioning.test_attention import DESCRIPTIONS, TOKENIZER
from tests.conftest import ROOT

RANDOM = np.random.default_rng(0)
FEATURES = {image: RANDOM.normal(size=(1, 12)).astype("float32") for image in DESCRIPTIONS}
TWO_DEVICES = """
import sys
import tensorflow as tf
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.captioning.test_two_devices import compare_one_device_with_two
compare_one_device_with_two(sys.argv[1])
"""


def trained(name: str, folder: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return loss and val_loss of each epoch, and the captioner's weights."""
    kind = batches.Captions if name == merge.NAME else batches.ByPhotograph
    several = [*DESCRIPTIONS.items()]
    parts = [batches.gather(dict(part), FEATURES, TOKENIZER, kind) for part in (several[:6], several[:4])]
    recipe = train.Recipe(
        2, 4, 0.003, 1e-3, True, None, None, name == merge.NAME, name, 8 if name == attention.NAME else None
    )
    found = train.train(train.TrainingData(TOKENIZER, *parts, None), folder, recipe, 0)
    history = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    model = train.captioner_file.read(found.captioner).model
    return np.array([history["loss"], history["val_loss"]]), model.get_weights()


def compare_one_device_with_two(folder: str) -> None:
    keras.layers.Dropout.call = lambda self, inputs, training=False: inputs  # each device draws its own
    one_device, two = devices.of_this_machine, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for name in (merge.NAME, attention.NAME):
        devices.of_this_machine = one_device
        expected, weights = trained(name, Path(folder) / f"one {name}")
        devices.of_this_machine = lambda: two
        found, others = trained(name, Path(folder) / f"two {name}")
        np.testing.assert_allclose(found, expected, rtol=1e-4, err_msg=name)
        for weight, other in zip(weights, others, strict=True):
            np.testing.assert_allclose(weight, other, atol=1e-4, err_msg=name)


def test_both_captioners_train_on_two_devices_as_on_one(tmp_path):
    subprocess.run([sys.executable, "-c", TWO_DEVICES, tmp_path], check=True, timeout=300, cwd=ROOT)
