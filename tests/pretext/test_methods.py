"""Methods that compare two views: their losses are those of their papers, two devices train as one, and a stopped run goes on."""

import csv
import subprocess
import sys
from types import ModuleType

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from core import devices, training
from encoders import decoded, encoder_file
from encoders.evaluate import neighbours_accuracy
from pretext import barlow_twins, byol, export, moco, momentum, run, simsiam, vicreg
from pretext.optimizers import optimizer
from pretext.views import two_views
from simclr import main as simclr
from tests.conftest import assert_same_losses, draw_classes, run_in_two_parts

METHODS = {module.__name__.split(".")[-1]: module for module in (barlow_twins, vicreg, simsiam, byol, moco)}
SMALL = {"barlow_twins": "--dimension 16", "vicreg": "--dimension 16", "simsiam": "--dimension 16"}
SMALL |= {"byol": "--dimension 8 --hidden 16", "moco": "--dimension 8 --queue 12"}
RANDOM = np.random.default_rng(0)
FIRST, SECOND = RANDOM.normal(size=(2, 6, 4)).astype("float32")


# Losses as loops, as the papers write them ---------------------------------------------------------------------------


def cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


def test_barlow_twins_equals_equations_1_and_2():
    a, b = FIRST - FIRST.mean(axis=0), SECOND - SECOND.mean(axis=0)
    loss = 0.0
    for i in range(4):
        for j in range(4):
            correlation = (a[:, i] * b[:, j]).sum() / np.sqrt((a[:, i] ** 2).sum()) / np.sqrt((b[:, j] ** 2).sum())
            loss += (1 - correlation) ** 2 if i == j else 0.005 * correlation**2
    assert float(barlow_twins.barlow_twins(FIRST, SECOND, 0.005)) == pytest.approx(loss, rel=1e-3)


def test_vicreg_equals_equations_1_to_6():
    def v(z):
        return np.mean([max(0, 1 - np.sqrt(np.var(z[:, j], ddof=1) + 1e-4)) for j in range(4)])

    def c(z):
        mean = z.mean(axis=0)
        covariance = sum(np.outer(row - mean, row - mean) for row in z) / (len(z) - 1)
        return sum(covariance[i, j] ** 2 for i in range(4) for j in range(4) if i != j) / 4

    small = 0.3 * SECOND  # standard deviations below 1 count
    s = np.mean([np.mean((one - other) ** 2) for one, other in zip(FIRST, small, strict=True)])
    expected = 25 * s + 20 * (v(FIRST) + v(small)) + 2 * (c(FIRST) + c(small))
    assert v(small) > 0 and float(vicreg.vicreg(FIRST, small, 25, 20, 2)) == pytest.approx(expected, rel=1e-4)


def test_simsiam_equals_equations_1_to_4_and_moves_only_the_predictions():
    predicted = RANDOM.normal(size=(2, 6, 4)).astype("float32")
    tensors = [tf.constant(rows) for rows in (*predicted, FIRST, SECOND)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = simsiam.simsiam(*tensors)
    pairs = [(predicted[0], SECOND), (predicted[1], FIRST)]
    expected = sum(-np.mean([cosine(p, z) for p, z in zip(*pair, strict=True)]) / 2 for pair in pairs)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert [gradient is None for gradient in tape.gradient(loss, tensors)] == [False, False, True, True]


def test_byol_equals_equation_2_in_both_orders():
    predicted, targets = RANDOM.normal(size=(2, 6, 2, 4)).astype("float32")
    expected = np.mean(
        [sum(2 - 2 * cosine(predicted[n, view], targets[n, 1 - view]) for view in (0, 1)) for n in range(6)]
    )
    assert float(byol.byol(predicted, targets)) == pytest.approx(expected, rel=1e-5)


def test_moco_equals_equation_1():
    queries, keys, negatives = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in RANDOM.normal(size=(3, 6, 4))
    )
    losses, right = moco.info_nce(*(rows.astype("float32") for rows in (queries, keys, negatives)), 0.2)
    for n, (query, key) in enumerate(zip(queries, keys, strict=True)):
        others = [np.exp(query @ other / 0.2) for other in negatives]
        own = np.exp(query @ key / 0.2)
        assert float(losses[n]) == pytest.approx(-np.log(own / (own + sum(others))), rel=1e-4)
        assert bool(right[n]) == (own > max(others))


# Training ------------------------------------------------------------------------------------------------------------


def network(width: int = 8) -> keras.Model:
    """Return a small network with batch statistics, which two devices share."""
    x = photographs = keras.Input((None, None, 3))
    for _ in range(2):
        x = layers.Conv2D(width, 3, 2, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9, synchronized=devices.replicas() > 1)(x))
    return keras.Model(photographs, layers.GlobalAveragePooling2D()(x))


def built(module: ModuleType, rate: float = 0.05) -> keras.Model:
    """Return a small model of a method, compiled."""
    keras.utils.set_random_seed(0)
    words = SMALL.get(module.__name__.split(".")[-1], "--dimension 8").split()
    chosen = {name.removeprefix("--"): int(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    model = module.build(module.Settings(batch_size=6, epochs=2, **chosen), network(), 2)
    model.compile(optimizer("sgd", model.trainable_variables, rate, 10, 0, 1e-3), jit_compile=False)
    return model


def views() -> np.ndarray:
    return np.random.default_rng(1).random((12, 2, 16, 16, 3)).astype("float32")


def train(model: keras.Model) -> np.ndarray:
    """Return what two epochs of two updates report."""
    history = model.fit(tf.data.Dataset.from_tensor_slices(views()).batch(6), epochs=2, verbose=0).history
    return np.array([*history.values()])


def compare_one_device_with_two() -> None:
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    for module in (*METHODS.values(), simclr):
        with strategy.scope():
            two = built(module)
        found, one = train(two), built(module)
        np.testing.assert_allclose(found, train(one), rtol=1e-3, err_msg=module.__name__)
        for weight, other in zip(one.weights, two.weights, strict=True):
            np.testing.assert_allclose(weight, other, rtol=1e-3, atol=2e-4, err_msg=f"{module.__name__} {weight.path}")


TWO_DEVICES = """
import tensorflow as tf
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.pretext.test_methods import compare_one_device_with_two
compare_one_device_with_two()
"""


def test_two_devices_train_every_method_as_one():
    subprocess.run([sys.executable, "-c", TWO_DEVICES], check=True, timeout=400)


def test_the_copies_follow_by_the_momentum_and_no_gradient_moves_them():
    model = built(byol)
    pairs = [(model.target_network, model.network), (model.target_head, model.head)]
    before = [(copied.get_weights(), source.get_weights()) for copied, source in pairs]
    assert all(np.array_equal(*two) for both in before for two in zip(*both, strict=True))
    model.fit(views()[:6], batch_size=6, verbose=0)
    now = 1 - (1 - 0.99) * (np.cos(np.pi / 4) + 1) / 2  # after one of four updates
    for (copied, source), (was, _) in zip(pairs, before, strict=True):
        for old, weight, followed in zip(was, copied.weights, source.weights, strict=True):
            if followed.trainable:
                assert not weight.trainable and not np.array_equal(old, followed)
                np.testing.assert_allclose(weight, now * old + (1 - now) * followed.numpy(), atol=1e-6)


def test_the_queue_holds_the_last_keys():
    queue = momentum.Queue(4, 2)
    for number in range(3):
        queue.push(ops.full((2, 2), float(number)))
    assert queue.keys.numpy()[:, 0].tolist() == [2, 2, 1, 1]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return draw_classes(tmp_path_factory.mktemp("labelled"), 6)


def options(name, labelled, out):
    words = f"--photographs {labelled} --out {out} --epochs 3 --width 4 --size 16 --stored 20 --encoder-size 24"
    return f"{words} --batch-size 6 --knn-train {labelled} --knn-test {labelled} --knn-every 2 {SMALL[name]}".split()


def test_a_stopped_run_goes_on_to_the_same_losses_and_its_encoder_is_exported(labelled, tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    moco.main(options("moco", labelled, whole))  # it has all shared parts
    run_in_two_parts(lambda: moco.main(options("moco", labelled, parts)), monkeypatch)
    assert_same_losses(whole / "history.csv", parts / "history.csv", 1e-3)
    state, _ = training.read_checkpoint(parts / training.CHECKPOINT)
    table = list(csv.DictReader((parts / "history.csv").open()))
    assert {"loss", "spread", "knn", "linear", "rankme"} < set(table[0]) and len(state["history"]["loss"]) == 3
    assert 1 <= float(table[-1]["rankme"]) <= 12
    export.main(["--run", str(parts), "--out", str(tmp_path / "again.keras"), "--size", "24"])
    encoders = [encoder_file.read(path) for path in (parts / "encoder.keras", tmp_path / "again.keras")]
    assert all(np.array_equal(*two) for two in zip(*(encoder.get_weights() for encoder in encoders), strict=True))


def test_the_encoder_has_the_weights_of_the_network_not_of_its_copy():
    model = built(moco)
    train(model)
    assert not np.allclose(model.network.weights[0], model.target_network.weights[0])
    assert all(one is other for one, other in zip(model.weights, model.network.weights, strict=False))


@pytest.fixture(scope="module")
def toy_world():
    """Photographs of coloured patches, uint8 (64, 24, 24, 3), and new views of each, (64, 2, 16, 16, 3), to be told apart."""
    random = np.random.default_rng(2)
    pixels = np.kron(random.integers(0, 256, (64, 4, 4, 3)), np.ones((1, 6, 6, 1), int)).astype("uint8")
    return pixels, two_views(
        tf.constant(pixels), run.recipe_of(simclr.Settings(size=16, smallest_crop=0.6)), tf.constant([9, 9])
    ).numpy()


@pytest.mark.parametrize("module", [simclr, barlow_twins, vicreg], ids=lambda module: module.__name__)
def test_in_a_toy_world_views_are_told_apart_better_than_by_an_untrained_network(module, toy_world):
    pixels, new = toy_world
    keras.utils.set_random_seed(0)
    model = module.build(module.Settings(batch_size=32, dimension=64), network(32), 2)
    model.compile(optimizer("adamw", model.trainable_variables, 0.003, 200, 20, 1e-3), jit_compile=False)
    recipe = run.recipe_of(module.Settings(size=16, smallest_crop=0.6))
    batches = decoded.batches(pixels, 32, 0, lambda rows, indices, seed: two_views(rows, recipe, seed))
    labels = np.arange(64)

    def accuracy():
        known, asked = (model.network(model.normalisation(new[:, view])).numpy() for view in (0, 1))
        return neighbours_accuracy(known, labels, asked, labels)

    untrained = accuracy()
    model.fit(tf.data.Dataset.range(100).flat_map(batches), epochs=1, verbose=0)
    assert accuracy() > 1.4 * untrained


def test_every_method_that_compares_views_is_here():
    assert all(issubclass(module.Settings, run.ViewSettings) for module in (*METHODS.values(), simclr))
