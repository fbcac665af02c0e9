"""Training that is killed and run again ends as if nothing had happened; what cannot go on says so."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from core import disk, training
from core.errors import InputError
from tests.conftest import assert_same_losses

RANDOM = np.random.default_rng(0)
EXAMPLES = RANDOM.normal(size=(32, 4)).astype("float32")
TARGETS = RANDOM.integers(0, 3, 32)
STEPS, EPOCHS = 4, 5


class Nested(keras.Model):
    """A model with a loss of its own and a random layer inside another."""

    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([keras.layers.Dense(8, activation="tanh"), keras.layers.Dropout(0.5)])
        self.outer = keras.layers.Dense(3)

    def call(self, inputs, training=False):
        return self.outer(self.inner(inputs, training=training))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True))


def batches(epoch):
    return tf.data.Dataset.from_tensor_slices((EXAMPLES, TARGETS)).shuffle(32, seed=epoch).batch(8)


def train(folder, *callbacks, epochs=EPOCHS, seed=7, learning_rate=0.05, examples=EXAMPLES, batches=batches):
    keras.utils.set_random_seed(seed)
    model = Nested()
    model(EXAMPLES)
    model.compile(keras.optimizers.Adam(learning_rate), jit_compile=False)
    return training.fit(
        model,
        batches,
        steps=STEPS,
        epochs=epochs,
        seed=seed,
        folder=folder,
        validation=tf.data.Dataset.from_tensor_slices((examples, TARGETS)).batch(16),
        callbacks=[*callbacks, keras.callbacks.ReduceLROnPlateau(patience=1, factor=0.5, min_delta=0.2)],
        identity={"learning rate": learning_rate},
    )


class Kill(keras.callbacks.Callback):
    """Ends the process in the middle of an epoch, without a chance to tidy up."""

    def __init__(self, epoch):
        super().__init__()
        self.last = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.last and batch == 1:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, train(folder, training.Best(folder / "unused", write=lambda path: None))


def test_a_killed_run_goes_on_to_the_same_losses(tmp_path, undisturbed, capfd):
    program = "import sys, pathlib; from tests.core.test_training import *; train(pathlib.Path(sys.argv[1]), Kill(3))"
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    train(tmp_path, Kill(99))
    assert f"resuming after epoch 3 of {EPOCHS}" in capfd.readouterr().out
    assert_same_losses(tmp_path / "history.csv", undisturbed[0] / "history.csv")


def test_what_only_some_epochs_report_is_not_a_number_for_the_others(tmp_path):
    checkpoint = training.Checkpoint(tmp_path, {}, ())
    checkpoint.set_model(SimpleNamespace(weights=[], optimizer=SimpleNamespace(variables=[]), stop_training=False))
    for epoch in range(3):
        checkpoint.on_epoch_end(epoch, {"loss": 1.0, "early" if epoch < 2 else "late": epoch})
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines == ["epoch,loss,early,late", "1,1.0,0.0,nan", "2,1.0,1.0,nan", "3,1.0,nan,2.0"]


def test_ctrl_c_while_a_checkpoint_is_written_leaves_the_last_one(tmp_path, undisturbed, monkeypatch):
    write, written = training.write_checkpoint, []

    def interrupted(path, state, variables):
        written.append(path)
        if len(written) == 3:
            variables = [*variables[:2], Interrupt()]
        write(path, state, variables)

    monkeypatch.setattr(training, "write_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Kill(99))
    assert len(training.read_checkpoint(tmp_path / training.CHECKPOINT)[0]["history"]["loss"]) == 2
    assert {path.name for path in tmp_path.iterdir()} == {".lock", training.CHECKPOINT, "history.csv"}
    train(tmp_path, Kill(99))
    assert_same_losses(tmp_path / "history.csv", undisturbed[0] / "history.csv")


class Interrupt:
    def numpy(self):
        raise KeyboardInterrupt


def test_the_best_is_remembered_when_a_run_goes_on(tmp_path, undisturbed):
    saved = []

    def best():
        return training.Best(tmp_path / "epoch{epoch:02d}-{val_loss:.2f}", write=lambda path: saved.append(path.name))

    train(tmp_path, best(), epochs=2)
    losses = train(tmp_path, best())["val_loss"]
    assert_same_losses(tmp_path / "history.csv", undisturbed[0] / "history.csv")
    assert saved == [
        f"epoch{epoch + 1:02d}-{loss:.2f}" for epoch, loss in enumerate(losses) if loss < min([*losses[:epoch], 1e9])
    ]


def test_the_learning_rate_falls_as_if_undisturbed(undisturbed):
    rates = undisturbed[1]["learning_rate"]
    assert rates[-1] < rates[0], "the plateau's memory must matter in these tests"


def test_a_finished_or_stopped_run_does_nothing(tmp_path):
    def stop():
        return keras.callbacks.EarlyStopping(patience=1, min_delta=10.0)

    history = train(tmp_path, stop())
    assert len(history["loss"]) == 2
    before = (tmp_path / training.CHECKPOINT).stat().st_mtime_ns
    assert train(tmp_path, stop()) == history
    assert (tmp_path / training.CHECKPOINT).stat().st_mtime_ns == before


def test_dropout_differs_between_epochs_and_seeds(tmp_path):
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dropout(0.5)])
    keeper = training.Checkpoint(tmp_path, {"seed": 1}, ())
    keeper.set_model(model)

    def drawn(epoch, seed=1):
        keeper.identity["seed"] = seed
        keeper.on_epoch_begin(epoch)
        return model(np.ones((1, 100)), training=True).numpy().tolist()

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert drawn(0) != drawn(0, seed=2)


def test_other_settings_are_refused_by_name(tmp_path):
    train(tmp_path, epochs=1)
    with pytest.raises(InputError, match=r"learning rate: 0\.05 there, 0\.01 now"):
        train(tmp_path, learning_rate=0.01)
    with pytest.raises(InputError, match="seed: 7 there, 8 now"):
        train(tmp_path, seed=8)


def test_a_second_run_in_the_folder_is_refused(tmp_path):
    with disk.locked(tmp_path), pytest.raises(InputError, match="another run is writing"):
        train(tmp_path)


@pytest.mark.parametrize("where", ["training", "validation"])
def test_a_loss_that_is_no_number_stops_the_run(tmp_path, where):
    train(tmp_path, epochs=1)
    before = (tmp_path / training.CHECKPOINT).read_bytes()
    bad = np.full_like(EXAMPLES, np.nan)

    def bad_batches(epoch):
        return tf.data.Dataset.from_tensor_slices((bad, TARGETS)).batch(8)

    saved = []
    best = training.Best(tmp_path / "best", write=saved.append)
    with pytest.raises(InputError, match="not a finite number"):
        train(tmp_path, best, **{"examples": bad} if where == "validation" else {"batches": bad_batches})
    assert not saved
    assert (tmp_path / training.CHECKPOINT).read_bytes() == before


def test_a_damaged_checkpoint_is_an_error_that_names_it(tmp_path):
    (tmp_path / training.CHECKPOINT).write_bytes(b"not HDF5")
    with pytest.raises(InputError, match=training.CHECKPOINT):
        train(tmp_path)


def test_the_history_is_written_as_a_table_and_a_picture(undisturbed):
    folder, history = undisturbed
    lines = (folder / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,val_loss,learning_rate"
    assert [float(line.split(",")[1]) for line in lines[1:]] == history["loss"]
    assert (folder / "history.png").read_bytes().startswith(b"\x89PNG")


def test_several_devices_and_mixed_precision_resume_too(tmp_path):
    """In a process of its own, since logical devices must be set before TensorFlow starts."""
    result = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, str(tmp_path)], capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr[-3000:]


TWO_DEVICES = """
import pathlib, sys
import keras, numpy as np, tensorflow as tf
from core import training
from tests.core.test_training import EXAMPLES, TARGETS, batches

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def train(folder, epochs):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = keras.Sequential([
            keras.Input((4,)), keras.layers.Dense(8, dtype="mixed_float16"), keras.layers.Dropout(.5), keras.layers.Dense(3, "softmax", dtype="float32")
        ])
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(.05), initial_scale=8., dynamic_growth_steps=3)
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    history = training.fit(model, batches, steps=4, epochs=epochs, seed=1, folder=folder, identity={})
    return history, [variable.numpy() for variable in model.optimizer.variables]

folder = pathlib.Path(sys.argv[1])
history, variables = train(folder / "whole", 3)
train(folder / "parts", 1)
again, others = train(folder / "parts", 3)
np.testing.assert_allclose(history["loss"], again["loss"], rtol=1e-4)
for one, other in zip(variables, others, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
"""
