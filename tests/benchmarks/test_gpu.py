"""The script for a GPU, with toy sizes on a processor; and views that are drawn where the photographs lie."""

import json

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import gpu
from core.errors import InputError
from pretext import run
from simclr import main as simclr
from tests.conftest import assert_same_losses, draw_classes


def test_a_dry_run_packs_measures_trains_and_reports(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(gpu.Path(__file__).parents[2])
    classes, archive, out = draw_classes(tmp_path / "classes", 8), tmp_path / "photographs.tar", tmp_path / "out"
    for part in ("train", "val"):
        draw_classes(tmp_path / "labelled" / part, 4)
    where = ["--photographs", str(classes), "--labelled", str(tmp_path / "labelled")]
    gpu.main([*where, "--pack", str(archive)])
    assert "32 photographs" in capfd.readouterr().out
    words = ["--archive", str(archive), "--out", str(out), "--minutes", "0.01", "--dry-run"]
    gpu.main(words)
    results = json.loads((out / "results.json").read_text())
    updates = [found for name, found in results.items() if name.startswith(gpu.UPDATE)]
    assert len(updates) == 2 and all(found["seconds"] > found["by arithmetic"] > 0 for found in updates)
    assert results["tests"]["tests"] >= 3 and not results["tests"]["failed"]
    assert results["epochs of SimCLR"] == 1 and 0 <= results["scores"][0]["neighbours"] <= 1
    report = (out / "report.md").read_text()
    assert "0 of " in report and "- an epoch: " in report and "| SimCLR, float32 |" in report and "kNN" in report
    written = (out / "results.json").stat().st_mtime_ns
    gpu.main(words)
    assert written == (out / "results.json").stat().st_mtime_ns  # nothing is measured twice


def test_an_archive_that_is_none_is_named(tmp_path):
    (tmp_path / "photographs.tar").write_text("text")
    with pytest.raises(InputError, match=r"archive of photographs at .*photographs\.tar"):
        gpu.unpacked(tmp_path / "photographs.tar", tmp_path)


def test_a_failed_test_is_reported_by_its_name_and_message(tmp_path):
    (tmp_path / "test_wrong.py").write_text("def test_sum():\n    assert 1 + 1 == 3\n\ndef test_right():\n    pass\n")
    found = gpu.failures(
        (str(tmp_path / "test_wrong.py"), "-p", "no:cacheprovider", "--rootdir", str(tmp_path)), tmp_path / "tests.xml"
    )
    assert found["tests"] == 2
    ((name, message),) = found["failed"].items()
    assert name.endswith("::test_sum") and "assert" in message


def test_views_drawn_on_the_device_are_those_of_the_host(tmp_path, monkeypatch):
    folder = draw_classes(tmp_path / "classes", 6)
    words = f"--photographs {folder} --epochs 2 --width 4 --size 16 --stored 20 --encoder-size 24 --batch-size 6 --out"
    simclr.main([*words.split(), str(tmp_path / "host")])
    monkeypatch.setattr(run, "fits_on_gpu", lambda pixels: True)
    simclr.main([*words.split(), str(tmp_path / "device")])
    assert_same_losses(tmp_path / "host/history.csv", tmp_path / "device/history.csv")


def test_a_gpu_holds_photographs_where_it_is_alone(monkeypatch):
    pixels = np.zeros((2, 4, 4, 3), "uint8")
    assert not run.fits_on_gpu(pixels)
    monkeypatch.setattr(run.devices, "has_gpu", lambda: True)
    assert run.fits_on_gpu(pixels)
    drawn = run.drawer(pixels + 9, run.recipe_of(simclr.Settings(size=4)))
    assert drawn(tf.constant([1, 0]), tf.constant([0, 0])).shape == (2, 2, 4, 4, 3)
