"""Two processes that train together end at the losses of one with the whole batch, and so they do when one was killed on the way."""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from core import devices, workers
from core.errors import InputError
from core.workers import Worker
from encoders import decoded
from jigsaw import main as jigsaw
from jigsaw.views import Recipe as Puzzles
from jigsaw.views import puzzles
from pretext import supervised
from pretext.views import Recipe as Views
from pretext.views import two_views
from tests.conftest import ROOT

SMALL = "--width 4 --size 16 --stored 20 --encoder-size 24 --batch-size 8 --epochs 2 --no-winograd"
PUZZLES = "--network resnet18 --width 4 --size 48 --permutations 4 --batch-size 8 --epochs 2 --no-winograd"
COMMANDS = {
    "simclr": f"simclr.main {SMALL} --photographs Flicker8k_Dataset",
    "moco": f"pretext.moco {SMALL} --photographs Flicker8k_Dataset --dimension 8 --queue 16",  # it has all shared parts
    "jigsaw": f"jigsaw.main {PUZZLES} --photographs photographs.h5 --learning-rate 0.0001",
}
LONGEST = 400  # seconds that a worker may take, whatever becomes of the tests
PROGRAM = """
import json, os, runpy, signal, sys, time
import matplotlib.figure, keras, pretext.views, jigsaw.views, pretext.optimizers  # once for all workers
from core import training

def disturb(number, kill):
    seed_anew = training.Checkpoint.on_epoch_begin
    def on_epoch_begin(self, epoch, logs=None):
        if [number, epoch] == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        seed_anew(self, epoch)
    training.Checkpoint.on_epoch_begin = on_epoch_begin
    keras.layers.Dropout.call = lambda self, inputs, training=False: inputs  # each device draws its own

words, hosts, kill, longest = json.loads(sys.argv[1])
children = []
for number in range(len(hosts)):
    children.append(os.fork())
    if children[-1] == 0:
        signal.alarm(longest)
        log = os.open(f"worker-{number}.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND)
        os.dup2(log, 1), os.dup2(log, 2)
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": number}})
        disturb(number, kill)
        name, *sys.argv[1:] = words.split()
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        sys.exit()
ends = {}
for _ in children:
    child, status = os.wait()
    ends[child] = os.waitstatus_to_exitcode(status), time.monotonic()
print(json.dumps([ends[child] for child in children]))
"""


class End(NamedTuple):
    """How and when a worker has ended, and what it said."""

    status: int
    time: float
    said: str


def train(folder: Path, name: str, out: Path, count: int, kill: tuple[int, int] | None = None) -> list[End]:
    """Let so many workers train, one of them killed when it comes to an epoch, and return how each has ended and what it said."""
    job = json.dumps(
        [f"{COMMANDS[name]} --out {out}", [f"localhost:{port}" for port in free_ports(count)], kill, LONGEST]
    )
    command = [sys.executable, "-c", PROGRAM, job]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=folder, env=environment, start_new_session=True, stdout=subprocess.PIPE
    ) as nursery:
        try:
            ends, _ = nursery.communicate(timeout=LONGEST)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(nursery.pid, signal.SIGKILL)
    logs = [(folder / f"worker-{number}.log").read_text() for number in range(count)]
    return [End(*end, log) for end, log in zip(json.loads(ends), logs, strict=True)]


def train_alone(folder: Path, name: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train without other workers, in this process, as `train` does."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(keras.layers.Dropout, "call", lambda self, inputs, training=False: inputs)
    module, *words = COMMANDS[name].split()
    importlib.import_module(module).main([*words, "--out", str(out)])


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.mark.skipif("SOAK_KILLS" not in os.environ, reason="long: make soak")
@pytest.mark.parametrize("name", ["jigsaw", "simclr"])
def test_two_workers_train_as_one(name, world, tmp_path, monkeypatch):
    train_alone(world, name, tmp_path / "one", monkeypatch)
    assert_same(tmp_path / "one", tmp_path / "two", train(world, name, tmp_path / "two", 2))


@pytest.mark.parametrize("number", [0, 1] if "SOAK_KILLS" in os.environ else [0])  # 1 is missed only after 20 seconds
def test_workers_stop_when_one_is_killed_and_go_on_to_the_losses_of_one(number, world, tmp_path, monkeypatch):
    train_alone(world, "moco", tmp_path / "one", monkeypatch)
    ends = train(world, "moco", tmp_path / "two", 2, kill=(number, 1))
    killed, other = ends[number], ends[1 - number]
    assert killed.status == -signal.SIGKILL and killed.time < other.time  # which was not stopped by an alarm
    assert other.status == 1 and "error: another worker has stopped" in other.said, other
    assert "Traceback" not in other.said, other
    ends = train(world, "moco", tmp_path / "two", 2)
    assert "resuming after epoch 1 of 2" in ends[1].said, ends
    assert_same(tmp_path / "one", tmp_path / "two", ends)
    one, two = ({path.name for path in (tmp_path / place).iterdir()} for place in ("one", "two"))
    assert two - {"worker-1"} == one
    assert not list((tmp_path / "two/worker-1").glob("encoder*"))


def assert_same(one: Path, other: Path, ends: list[End]) -> None:
    assert [end.status for end in ends] == [0, 0], ends
    expected, found = (np.genfromtxt(out / "history.csv", delimiter=",", names=True) for out in (one, other))
    assert found.dtype.names == expected.dtype.names
    for name in expected.dtype.names:
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-3, err_msg=name)


PERMUTATIONS = tf.constant([[*range(9)], [*range(8, -1, -1)]])
EXAMPLES = {
    "simclr": lambda worker, rows, seed: [two_views(rows, Views(16, worker=worker), seed)],
    "jigsaw": lambda worker, rows, seed: puzzles(rows, PERMUTATIONS, Puzzles(48, worker=worker), seed),
    "supervised": lambda worker, rows, seed: [supervised.random_crops(rows, 16, 0.2, seed, worker)],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_parts_of_all_workers_are_the_batches_of_one(name):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 48, 48, 3), "uint8")

    def batches(worker):
        def example(rows, indices, seed):
            return *EXAMPLES[name](worker, rows, seed), indices

        return decoded.batches(pixels, 6, 0, example, worker)(tf.constant(2, tf.int64)).as_numpy_iterator()

    for whole, *parts in zip(batches(Worker()), *(batches(Worker(number, 3)) for number in range(3)), strict=True):
        for number, part in enumerate(parts):
            for ours, all_of_them in zip(part, whole, strict=True):
                np.testing.assert_allclose(ours, all_of_them[number::3], atol=1e-5)


def test_puzzles_of_val_loss_have_parts_of_nearly_one_size_and_none_is_empty():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 3), "uint8")

    def labels(worker, replicas=3):
        example = jigsaw.examples(PERMUTATIONS.numpy(), Puzzles(48, worker=worker))
        data = jigsaw.fixed(pixels, 4, 0, example, worker, replicas)
        return [(tiles.sum(axis=(1, 2, 3, 4)), labels) for tiles, labels in data.as_numpy_iterator()]

    ((tiles, whole),) = labels(Worker())  # not two batches, of which one would have two puzzles for three workers
    for number in range(3):
        ((sums, part),) = labels(Worker(number, 3))
        assert np.array_equal(part, whole[number::3]) and np.allclose(sums, tiles[number::3], atol=1e-3)
    with pytest.raises(InputError, match="5 photographs for val_loss are fewer than 6 devices: give more"):
        labels(Worker(0, 6), 6)


def test_a_workers_devices_share_its_part():
    batches = tf.data.Dataset.from_tensors((np.arange(5), np.arange(10).reshape(5, 2))).repeat(2)
    parts = [(rows.tolist(), pairs.tolist()) for rows, pairs in workers.split(batches, 2).as_numpy_iterator()]
    assert parts == 2 * [([0, 2, 4], [[0, 1], [4, 5], [8, 9]]), ([1, 3], [[2, 3], [6, 7]])]
    assert workers.split(batches, 1) is batches


def configured(monkeypatch, hosts, kind="worker", index=0, **others):
    config = {"cluster": {"worker": hosts, **others}, "task": {"type": kind, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))


def test_tf_config_says_which_worker_this_is(monkeypatch, tmp_path):
    assert workers.worker() == Worker(0, 1)
    configured(monkeypatch, ["one:1", "two:1", "three:1"], index=2)
    assert workers.worker() == Worker(2, 3)
    assert [Worker(number, 3).folder(tmp_path) for number in (0, 2)] == [tmp_path, tmp_path / "worker-2"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"hosts": ["one:1"], "index": 1},
        {"hosts": ["one:1"], "index": "0"},
        {"hosts": ["one", "two"]},
        {"hosts": ["one:1", "one:1"]},
        {"hosts": []},
        {"hosts": 3},
        {"hosts": {"one:1": 0}},
        {"hosts": ["one:1"], "index": 0.0},
        {"hosts": ["one:65536"]},
        {"hosts": ["one:1"], "kind": "chief"},
        {"hosts": ["one:1"], "ps": ["two:1"]},
    ],
)
def test_another_tf_config_is_a_mistake(wrong, monkeypatch):
    configured(monkeypatch, **wrong)
    with pytest.raises(InputError, match="expected TF_CONFIG of the form"):
        workers.worker()


@pytest.mark.parametrize("text", ["one:1", "[]", "{}", "3", "[" * 100_000])
def test_tf_config_that_is_something_else_is_a_mistake(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=r"expected TF_CONFIG of the form .*; see the README"):
        workers.worker()


def test_a_batch_that_devices_cannot_share_equally_is_a_mistake(monkeypatch):
    class Three:
        num_replicas_in_sync = 3

    monkeypatch.setattr(tf.distribute, "get_strategy", Three)
    with pytest.raises(InputError, match="3 devices cannot have equal parts of --batch-size 8: choose a multiple"):
        devices.strategy(8)


def test_a_worker_takes_the_chiefs_checkpoint_and_refuses_other_settings(monkeypatch, tmp_path):
    configured(monkeypatch, ["one:1", "two:1"], index=1)
    identity, path = {"width": 4, "seed": 0}, tmp_path / "checkpoint"
    chief = {"identity": json.dumps(identity).encode(), "checkpoint": b"the main worker's"}

    def from_main_worker(data, strategy):
        return chief["identity" if data.startswith(b"{") else "checkpoint"]

    monkeypatch.setattr(workers, "from_main_worker", from_main_worker)
    workers.agree(identity, path, None)
    assert path.read_bytes() == b"the main worker's"
    with pytest.raises(
        InputError, match=r"worker 1 has other settings than the main worker: width 6, not 4; give all the same"
    ):
        workers.agree({"width": 6, "seed": 0}, path, None)
    chief["checkpoint"] = b""
    workers.agree(identity, path, None)
    assert not path.exists()


def test_an_error_of_tensorflow_is_about_other_workers_only_if_there_are_any(monkeypatch):
    gone = tf.errors.UnavailableError(None, None, "gone")
    with pytest.raises(tf.errors.UnavailableError), workers.short_errors():
        raise gone
    configured(monkeypatch, ["one:1", "two:1"])
    with pytest.raises(InputError, match="another worker has stopped"), workers.short_errors():
        raise gone
