"""model.fit that can be killed and resumed: the resumed run gives the same losses.

It writes into the run's folder: checkpoint.weights.h5 after each epoch (weights, optimizer, memory of the callbacks, history),
history.csv and history.png.
"""

import io
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import h5py
import keras
import numpy as np
import tensorflow as tf

from core import disk, hdf5, workers
from core.errors import InputError
from core.progress import bar

CHECKPOINT = "checkpoint.weights.h5"
REMEMBERED = (
    "_ema_weights_in_model",  # of Average
    "best",
    "best_epoch",
    "cooldown_counter",
    "stopped_epoch",
    "wait",
)  # what callbacks carry from epoch to epoch

History = dict[str, list[float]]
plain = tf.autograph.experimental.do_not_convert  # AutoGraph leaves files behind when a run is killed


def fit(
    model: keras.Model,
    batches: Callable[[tf.Tensor], tf.data.Dataset],
    *,
    steps: int,
    epochs: int,
    seed: int,
    folder: Path,
    identity: dict[str, Any],
    validation: tf.data.Dataset | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    in_parts: bool = False,
) -> History:
    """Train a compiled model whose weights exist up to `epochs`, going on after the last finished epoch, and return the history of all epochs.

    The same seed, settings and data give the same losses, however often the run was killed. A run that is finished, or that a callback
    stopped early, only returns its history. Callbacks may remember `best`, `wait` and the like (`REMEMBERED`) between epochs, nothing else.

    :param batches: epoch (int64 scalar, from 0) -> exactly `steps` batches, which depend on the epoch and the seed only; of several
        workers each gives its part of them, and of `validation`, and its own folder.
    :param identity: settings that must not change between a run and its continuation (plain values).
    :param in_parts: with several devices, a batch comes as one element for each device; these may differ in length. So does `validation`.
    :raises InputError: the loss is not a number, the folder belongs to a run with another identity, another run is writing there,
        or another worker has stopped or was given other settings.
    """
    with workers.short_errors(), disk.locked(folder):
        checkpoint = Checkpoint(folder, {**identity, "seed": seed, "steps an epoch": steps}, callbacks)
        if several := workers.worker_of(model.distribute_strategy).count > 1:
            workers.agree(checkpoint.identity, checkpoint.path, model.distribute_strategy)
        with model.distribute_strategy.scope():
            checkpoint.restore(model)
        if not checkpoint.stopped and checkpoint.finished < epochs:
            if checkpoint.finished:
                print(f"resuming after epoch {checkpoint.finished} of {epochs} ({checkpoint.path})", flush=True)
            data = tf.data.Dataset.range(checkpoint.finished, epochs).flat_map(plain(batches)).prefetch(2)
            options = {
                "steps_per_epoch": steps,
                "initial_epoch": checkpoint.finished,
                "epochs": epochs,
                "validation_data": validation,
                "callbacks": [StopAtNaN(), *callbacks, Progress(steps, epochs), checkpoint],
                "verbose": 0,
            }
            if several or (in_parts and model.distribute_strategy.num_replicas_in_sync > 1):
                workers.fit(model, data, **options, in_parts=in_parts)
            else:
                model.fit(data, shuffle=False, **options)  # the data come shuffled
        write_history(folder, checkpoint.history)
    return checkpoint.history


class Best(keras.callbacks.Callback):
    """Calls `write` with a file's name whenever the monitored value is the best so far.

    :param path: its name is a pattern such as `model-ep{epoch:03d}-loss{loss:.3f}.keras`; epochs count from 1.
    """

    def __init__(
        self, path: Path, write: Callable[[Path], None], monitor: str = "val_loss", mode: Literal["min", "max"] = "min"
    ):
        super().__init__()
        self.path, self.write, self.monitor, self.mode = path, write, monitor, mode
        self.best: float | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        value = logs[self.monitor]
        if self.best is None or (value < self.best if self.mode == "min" else value > self.best):
            self.best = value
            self.write(self.path.with_name(self.path.name.format(epoch=epoch + 1, **logs)))


class Average(keras.callbacks.SwapEMAWeights):
    """Puts the optimizer's moving average in place of the weights, for validation and for the callbacks after it."""

    def __init__(self):
        super().__init__(swap_on_epoch=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        super().on_epoch_end(
            -1, logs
        )  # Keras forgets the weights themselves after the last epoch, but a longer run may follow


class StopAtNaN(keras.callbacks.Callback):
    """Stops a run at the first NaN or infinite number, before any other callback can save it."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self.check(logs["loss"], f"the loss at batch {batch + 1} of epoch {self.epoch}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            self.check(value, name)
        for weight in self.model.weights:
            self.check(weight.numpy(), f"the weight {weight.path}")

    def check(self, value: float | np.ndarray, name: str) -> None:
        if not np.all(np.isfinite(value)):
            raise InputError(
                f"{name} is not a finite number: training has diverged, and goes no further. The last checkpoint is as it was; "
                "look for extreme values in the data, or train anew in another folder with a lower learning rate"
            )


class Progress(keras.callbacks.Callback):
    """Shows a bar for each epoch, and prints a line with its results."""

    def __init__(self, steps: int, epochs: int):
        super().__init__()
        self.steps, self.epochs = steps, epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.start = time.monotonic()
        self.bar = bar(total=self.steps, desc=f"epoch {epoch + 1} of {self.epochs}", unit=" updates", leave=False)

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.bar.close()
        values = ", ".join(f"{name} {value:.4g}" for name, value in logs.items() if not math.isnan(value))
        seconds = time.monotonic() - self.start
        print(f"epoch {epoch + 1} of {self.epochs}: {values} ({seconds:.0f} s)", flush=True)


class Checkpoint(keras.callbacks.Callback):
    """Writes the checkpoint after each epoch, restores it, and seeds the model's random layers anew for each epoch."""

    def __init__(self, folder: Path, identity: dict[str, Any], callbacks: Sequence[keras.callbacks.Callback]):
        super().__init__()
        self.path = folder / CHECKPOINT
        self.callbacks = callbacks
        self.identity = json.loads(json.dumps(identity, default=str))  # as a checkpoint returns it
        self.history: History = {}
        self.memories: list[dict[str, Any]] = []
        self.stopped = False

    @property
    def finished(self) -> int:
        """The number of finished epochs."""
        return len(self.history.get("loss", ()))

    def restore(self, model: keras.Model) -> None:
        """Bring the model and its optimizer to the state of the file, if there is one.

        :raises InputError: the checkpoint is damaged, or of a run with another identity.
        """
        model.optimizer.build(model.trainable_variables)
        if not self.path.exists():
            return
        state, arrays = read_checkpoint(self.path)
        if state["identity"] != self.identity:
            raise InputError(differences(self.path, state["identity"], self.identity))
        try:
            for variable, array in zip(saved_variables(model), arrays, strict=True):
                variable.assign(array)
            self.history, self.memories, self.stopped = state["history"], state["memories"], state["stopped"]
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(self.path, error) from error

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        for callback, memory in zip(self.callbacks, self.memories, strict=False):  # no memories in a new run
            vars(callback).update(memory)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        generators = [variable for variable in self.model.variables if variable.name == "seed_generator_state"]
        number = workers.worker_of(self.model.distribute_strategy).number
        for position, state in enumerate(generators):
            chance = np.random.SeedSequence((self.identity["seed"], epoch, position, number))
            state.assign(chance.generate_state(2) >> 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        unknown = [math.nan] * self.finished  # for what earlier epochs did not report
        for name in {**self.history, **logs}:
            self.history.setdefault(name, unknown.copy()).append(float(logs.get(name, math.nan)))
        state = {
            "identity": self.identity,
            "history": self.history,
            "memories": [
                {name: value for name, value in vars(callback).items() if name in REMEMBERED}
                for callback in self.callbacks
            ],
            "stopped": self.model.stop_training,
        }
        write_checkpoint(self.path, state, saved_variables(self.model))
        write_table(self.path.with_name("history.csv"), self.history)


def saved_variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.weights, *model.optimizer.variables]


def write_checkpoint(path: Path, state: dict[str, Any], variables: Sequence[keras.Variable]) -> None:
    """Write plain state and variables, atomically: a dataset `state` (bytes of JSON) and one dataset for each variable, named by its position."""
    content = io.BytesIO()  # not the file itself: on a full disk HDF5 floods the terminal and then crashes
    with h5py.File(content, "w") as file:
        text = json.dumps(state, default=float)  # NumPy numbers too
        file["state"] = np.frombuffer(text.encode(), "uint8")  # not text, which HDF5 keeps as of varying length
        for position, variable in enumerate(variables):
            file[f"variables/{position:05d}"] = variable.numpy()
    disk.write_bytes(path, content.getvalue())


def read_checkpoint(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return the state and the arrays that `write_checkpoint` wrote.

    :raises InputError: the file is damaged, or the state has another form.
    """
    try:
        with hdf5.opened(path) as file:
            state = json.loads(file["state"][()].tobytes())
            _check_state(state)
            return state, [dataset[()] for dataset in file["variables"].values()]
    except (OSError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error


def _check_state(state: dict[str, Any]) -> None:
    """Check the form that `Checkpoint` gives a state; that of the best weights is an identity alone.

    :raises AttributeError, KeyError, TypeError, ValueError: it has another.
    """
    history, memories = state.get("history", {"loss": []}), state.get("memories", [])
    epochs = np.array([*history.values()])  # (names, epochs): lists of one length, of numbers
    remembered = [pair for memory in memories for pair in memory.items()]
    fits = all(name in REMEMBERED and isinstance(value, int | float | None) for name, value in remembered)
    fits = fits and epochs.ndim == 2 and epochs.dtype.kind in "if" and "loss" in history
    if not fits or not isinstance(state["identity"], dict):
        raise ValueError("its state has another form")


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is no checkpoint of such a training run ({error}): delete it, and the models beside it, to train from the start"
    )


def differences(path: Path, there: dict[str, Any], here: dict[str, Any]) -> str:
    """Say how two identities differ and what to do."""
    lines = [
        f"  {name}: {there.get(name, 'not set')} there, {here.get(name, 'not set')} now"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
    ]
    return "\n".join(
        [
            f"{path} belongs to a run with other settings:",
            *lines,
            "repeat those settings, choose another folder, or delete that file, and the models beside it, to train from the start",
        ]
    )


def write_history(folder: Path, history: History) -> None:
    """Write history.csv (a line an epoch) and history.png (the losses) into the folder."""
    write_table(folder / "history.csv", history)
    draw_losses(folder / "history.png", history)


def write_table(path: Path, history: History) -> None:
    rows = zip(*history.values(), strict=True)
    lines = [",".join(["epoch", *history])] + [
        ",".join(map(str, [epoch, *row])) for epoch, row in enumerate(rows, start=1)
    ]
    disk.write_text(path, "\n".join(lines) + "\n")


def draw_losses(path: Path, history: History) -> None:
    from matplotlib.figure import Figure  # slow to import, and needed once a run

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel="loss")
    for name in ("loss", "val_loss"):
        if name in history:
            axes.plot(range(1, len(history[name]) + 1), history[name], marker=".", label=name)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
    with disk.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
