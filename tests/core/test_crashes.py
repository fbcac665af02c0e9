"""Each long-working script is killed, stopped with Ctrl-C and run into a full disk: the same command then ends as if undisturbed.

A disturbance comes where a file is about to be made durable (`os.fsync`): written under its temporary name, not yet under its final one.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from core import disk, keras_files
from core.settings import STOPPED
from encoders import features_file
from tests.conftest import ROOT, assert_same_losses

SMALL = "--width 4 --size 16 --stored 20 --encoder-size 24 --batch-size 4 --epochs 2"
PUZZLES = "--network resnet18 --width 4 --size 48 --permutations 4 --batch-size 4 --epochs 2 --no-winograd"
KILLS = int(os.environ.get("SOAK_KILLS", "0"))  # of each script, at random moments
NURSERY = """
import json, os, resource, runpy, signal, sys, threading
import pretext.run, captioning.train, matplotlib.figure  # TensorFlow and most else are imported once

def disturb(kind, at):
    if kind == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
    if kind == "late":
        threading.Timer(at, os.kill, (os.getpid(), signal.SIGKILL)).start()
    fsync, calls = os.fsync, []
    def disturbed(descriptor):
        calls.append(descriptor)
        if len(calls) == at and kind in ("SIGKILL", "SIGINT"):
            os.kill(os.getpid(), getattr(signal, kind))
        fsync(descriptor)
    os.fsync = disturbed

for line in sys.stdin:
    words, folder, kind, at = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.chdir(folder)
    for number in (1, 2):
        os.dup2(os.open("log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    disturb(kind, at)
    name, *sys.argv[1:] = words.split()
    if name[0].isdigit():
        runpy.run_path(f"{sys.path[0]}/{name}.py", run_name="__main__")
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    break
"""


class Work(NamedTuple):
    """A script's command, which writes into out/; what it leaves there; before which of its durable writes it is disturbed."""

    command: str
    results: tuple[str, ...]
    kills: tuple[int, ...]
    interrupt: int = 2
    room: int | None = (
        None  # bytes of a file that the full disk still takes; by default half of the largest that is left
    )
    resumes: str = "resuming after"


SCRIPTS = {
    "1": Work(
        "1_data_preprocessor --encoder encoder.keras --grid --batch-size 2 --out out",
        ("features.pkl", "features.json", "grid.h5", "descriptions.txt"),
        (4, 4),
    ),
    "2": Work("2_train_IC_model --batch-size 2 --epochs 3 --out out", ("history.csv",), (4, 3)),
    "3": Work("3_BLEU --out out", ("captions.json", "scores.json"), (1, 2), resumes=""),
    "simclr": Work(f"simclr.main {SMALL} --out out", ("history.csv",), (2, 5), interrupt=1, room=5000),
    "supervised": Work(
        f"pretext.supervised {SMALL} --photographs labelled --out out", ("history.csv",), (2, 4), interrupt=1, room=5000
    ),
    "hdf5": Work(
        "jigsaw.to_hdf5 --size 16 --out out/photographs.h5",
        ("photographs.h5", "photographs.json"),
        (1, 2),
        resumes="wrote",
    ),
    "jigsaw": Work(f"jigsaw.main {PUZZLES} --out out", ("history.csv",), (1, 4), room=500_000),
    "6": Work(
        "6_ablation --encoders encoder.keras --epochs 2 --seeds 1 --batch-size 2 --out out",
        ("*/features.pkl", "*/seed-0/history.csv", "*/seed-0/captions.json"),
        (4, 6),
    ),
}
OFTEN = [name for name in SCRIPTS if KILLS or name not in ("supervised", "jigsaw")]  # these train as simclr does


@pytest.fixture(scope="module")
def run() -> Iterator[Callable]:
    """Run a command in a folder as a process of its own, disturbed: `run(words, folder, "SIGKILL", 3)` -> its status and what it said."""
    command = [sys.executable, "-c", "import sys; sys.path[0] = sys.argv[1]\n" + NURSERY, str(ROOT)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:

        def ask(words: str, folder: Path, kind: str = "", at: float = 0) -> tuple[int, str]:
            nursery.stdin.write(json.dumps([words, str(folder), kind, at]) + "\n")
            nursery.stdin.flush()
            return int(nursery.stdout.readline()), (folder / "log").read_text()

        yield ask
        nursery.stdin.close()


@pytest.mark.parametrize("name", OFTEN)
def test_a_disturbed_script_ends_as_if_undisturbed(name, run, world, tmp_path):
    work = SCRIPTS[name]
    whole, parts = (shutil.copytree(world, tmp_path / part) for part in ("whole", "parts"))
    status, said = run(work.command, whole)
    assert status == 0, said
    status, said = run(work.command, parts, "SIGINT", work.interrupt)
    assert status == 130 and said.endswith(f"{STOPPED}\n") and "Traceback" not in said, said
    room = work.room or max(path.stat().st_size for path in (whole / "out").iterdir() if path.is_file()) // 2
    status, said = run(work.command, parts, "full", room)
    assert status == 1 and said.splitlines()[-1].startswith("error: ") and "Traceback" not in said, said
    assert_nothing_half_written(parts / "out")
    for at in work.kills:
        assert run(work.command, parts, "SIGKILL", at)[0] == -signal.SIGKILL
        assert_nothing_half_written(parts / "out")
    status, said = run(work.command, parts)
    assert status == 0 and work.resumes in said, said
    assert_same_results(work, parts, whole)


@pytest.mark.skipif(KILLS == 0, reason="long: make soak")
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_killed_at_random_moments_ends_as_if_undisturbed(name, run, world, tmp_path, record_property):
    work, kills, start = SCRIPTS[name], 0, time.monotonic()
    whole, parts = (shutil.copytree(world, tmp_path / part) for part in ("whole", "parts"))
    run(work.command, whole)
    longest, status = time.monotonic() - start, -signal.SIGKILL
    while kills < KILLS or status:
        status, said = run(work.command, parts, "late" if kills < KILLS else "", random.uniform(0, longest))
        assert status in (0, -signal.SIGKILL), said
        assert_nothing_half_written(parts / "out")
        kills += status != 0
        if status == 0:
            assert_same_results(work, parts, whole)
            shutil.rmtree(parts / "out")
    record_property("kills survived", kills)


def assert_same_results(work: Work, parts: Path, whole: Path) -> None:
    names = [{path.name for path in (part / "out").rglob("[!e]*")} for part in (parts, whole)]  # logs, events.*, add up
    assert names[0] == names[1]
    for result in work.results:
        (one,), (other,) = ((part / "out").glob(result) for part in (parts, whole))
        if result.endswith("history.csv"):
            assert_same_losses(one, other, 1e-2)
        else:
            assert one.read_bytes() == other.read_bytes()


def assert_nothing_half_written(out: Path) -> None:
    """Read what a killed run left under final names."""
    readers = {
        ".keras": keras_files.read,
        ".pkl": features_file.read,
        ".json": disk.read_json,
        ".png": Path.read_bytes,
        "grid.h5": features_file.read_grid,
    }
    for path in out.rglob("[!.]*"):
        readers.get(path.name, readers.get(path.suffix, Path.exists))(path)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_second_run_into_the_same_folder_is_refused(name, run, world, tmp_path):
    folder = shutil.copytree(world, tmp_path / "folder")
    lock = ".run.lock" if name in ("simclr", "supervised", "jigsaw") else ".lock"
    with disk.locked(folder / "out", lock):
        status, said = run(SCRIPTS[name].command, folder)
    assert status == 1 and "error: another run is writing into out" in said


def test_ctrl_c_after_the_script_ends_with_one_line_too():
    program = (
        "import os, signal; from core import settings; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "settings.run(int); os.kill(os.getpid(), signal.SIGINT)"  # a process in the background may ignore the signal
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=60)
    assert ended.returncode == -signal.SIGINT and ended.stderr == f"{STOPPED}\n"
