"""Grids: where an encoder has one, and grid.h5: written beside the features, resumed to the same bytes, joined, and mapped into memory."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from unittest.mock import Mock

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from core import keras_files
from core.errors import InputError
from encoders import encoder_file, extract, features_file, photographs
from encoders.networks.resnet import resnet
from jigsaw.encoder import Solver, full, single
from jigsaw.model import jigsaw, shared
from tests.conftest import ROOT

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), "uint8")


# Where an encoder has its grid -----------------------------------------------------------------------------------------


def pooled(x: keras.KerasTensor, grid: str = "") -> keras.KerasTensor:
    """Return (N, 4) from an average pooling, not the first one. The convolution or the normalisation may be called `grid`."""
    convolution, normalisation = ("grid" if name == grid else None for name in ("convolution", "normalisation"))
    x = layers.Rescaling(1 / 255)(x)
    x = x * layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Conv2D(4, 3, padding="same", name=convolution)(x)
    normalise = layers.BatchNormalization(name=normalisation)
    x = normalise(x)
    normalise.set_weights([np.linspace(low, low + 1, 4) for low in (2, 0, 0, 1)])
    return layers.GlobalAveragePooling2D()(layers.ReLU()(x))


def line(*between: Callable[[keras.KerasTensor], keras.KerasTensor]) -> keras.Model:
    """Return the encoder of a line of layers."""
    x = pixels = keras.Input((16, 16, 3), dtype="uint8")
    for layer in between:
        x = layer(x)
    return keras.Model(pixels, x)


def sequential(*between: layers.Layer) -> keras.Sequential:
    return keras.Sequential([keras.Input((16, 16, 3), dtype="uint8"), *between])


ENCODERS = {
    "flat": lambda: line(pooled),
    "Sequential": lambda: sequential(layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()),
    "model in a model": lambda: encoder_file.encoder(resnet(18, "small", 4), 16, 16),
    "model in a model in a Sequential": lambda: sequential(line(line(pooled)), layers.Identity()),
    "Sequential in a model": lambda: line(
        sequential(layers.Rescaling(1 / 255), layers.GlobalAveragePooling2D()), layers.Identity()
    ),
    "jigsaw single": lambda: single(shared("alexnet"), 16),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_grid_is_what_the_last_pooling_averages(name):
    keras.utils.set_random_seed(0)
    encoder = ENCODERS[name]()
    fingerprint, plain = keras_files.fingerprint(encoder), extract.Network(encoder)(PIXELS)
    network = extract.Network(encoder, grid=True)
    features, grid = network.outputs(PIXELS)
    assert grid.dtype == np.float16 and grid.shape == (3, *network.grid)
    assert features.std(axis=0).max() > 1e-3
    np.testing.assert_allclose(grid.astype("float32").mean((1, 2)), features, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(features, plain)  # in bits, from the same pass
    assert keras_files.fingerprint(encoder) == fingerprint


@pytest.mark.parametrize("grid", ["convolution", "normalisation"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_layer_named_grid_gives_it_even_where_layers_are_folded(grid, nested):
    keras.utils.set_random_seed(0)
    encoder = line(partial(pooled, grid=grid))
    expected = keras.Model(encoder.input, encoder.get_layer("grid").output)(PIXELS)
    features, found = extract.Network(line(encoder) if nested else encoder, grid=True).outputs(PIXELS)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(features, encoder(PIXELS), rtol=1e-4, atol=1e-5)


def test_what_has_no_grid_says_so():
    network = shared("resnet18", width=4)
    tiles = full(Solver(jigsaw(network, 12, 5), network, 48))
    places = line(layers.Rescaling(1 / 255), layers.Reshape((256, 3), name="grid"), layers.GlobalAveragePooling1D())
    for encoder in (tiles, places, line(layers.Rescaling(1 / 255), layers.Flatten())):
        with pytest.raises(InputError, match=r"a grid \(a layer named grid, or .*found one without; leave out --grid"):
            extract.Network(encoder, grid=True)


def test_a_grid_beyond_float16_is_refused(photographs_folder):
    encoder = line(layers.Rescaling(1e5), layers.GlobalAveragePooling2D())
    paths = photographs.list_photographs(photographs_folder)
    assert np.isfinite(extract.Network(encoder)(PIXELS)).all()
    with pytest.raises(InputError, match="grids in float16 are not finite in the batch of"):
        list(extract.batches(extract.Network(encoder, grid=True), paths))


# Step 1 ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def step(script, tmp_path, photographs_folder):
    """Step 1 as a function of more arguments: on drawn photographs, one of which cannot be decoded, two a batch."""
    keras.utils.set_random_seed(0)
    keras_files.write(tmp_path / "encoder.keras", line(pooled))
    (photographs_folder / "photo1.jpg").write_text("no photograph")
    (tmp_path / "token.txt").write_text("".join(f"photo{number}.jpg#0\tA big dog {number}\n" for number in range(6)))
    named = {"--photographs": photographs_folder, "--captions": tmp_path / "token.txt", "--batch-size": 2,
             "--encoder": tmp_path / "encoder.keras", "--out": tmp_path / "out"}  # fmt: skip
    given = [str(word) for pair in named.items() for word in pair]
    return lambda *more: script("1_data_preprocessor").main([*given, *map(str, more)])


def test_step_1_writes_grids_beside_the_same_features(step, tmp_path, capsys):
    out = tmp_path / "out"
    step()
    plain = (out / "features.pkl").read_bytes()
    assert not (out / "grid.h5").exists()
    step("--grid")
    assert (out / "features.pkl").read_bytes() == plain
    assert f"wrote {out / 'grid.h5'}: 5 photographs x 256 cells x 4, 0.0 MB\n" in capsys.readouterr().out
    assert {path.name for path in out.glob("*")} == {
        ".lock", "features.pkl", "features.json", "grid.h5", "descriptions.txt", "skipped.txt"
    }  # fmt: skip
    grid, features = features_file.read_grid(out / "grid.h5"), features_file.read(out / "features.pkl")
    assert grid.ids == list(features) and len(grid) == 5 and grid.shape == (5, 256, 4)
    mean = grid[:].astype("float32").mean(1)
    np.testing.assert_allclose(mean, np.concatenate(list(features.values())), rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(grid[np.array([4, 1])], grid[:][[4, 1]])
    origin = json.loads((out / "features.json").read_text())
    del origin["cleaning"]
    assert grid.origin == {**origin, "rows": 16, "columns": 16}


STOPS = {
    "before the grid file": (features_file, "create_grid", 0),
    "within the second batch": (features_file, "fill_grid", 1),
    "after the second batch's grids": (extract, "_append", 2),
    "before the features": (features_file, "write", 0),
    "before its name": (features_file, "finish_grid", 0),
}


def stop(step, monkeypatch, place: str) -> None:
    """Run step 1 with grids, and end it at a place; what a batch writes there is torn."""
    module, name, whole = STOPS[place]
    write, calls = getattr(module, name), iter(range(whole))

    def last(*arguments):
        if next(calls, None) is not None:
            return write(*arguments)
        if name == "fill_grid":
            path, first, grids = arguments
            write(path, first, np.full_like(grids[:1], 7))
        raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(module, name, last)
        step("--grid")


@pytest.mark.parametrize("place", STOPS)
def test_a_stopped_run_goes_on_to_the_same_bytes(step, tmp_path, capsys, monkeypatch, place):
    stop(step, monkeypatch, place)
    assert not (tmp_path / "out/grid.h5").exists()
    capsys.readouterr()
    step("--grid")
    resumed = {"before the grid file": 0, "before the features": 6, "before its name": 6}.get(place, 2)
    assert (f"resuming after {resumed} photographs" in capsys.readouterr().out) == bool(resumed)
    assert not list((tmp_path / "out").glob("*.partial"))
    step("--grid", "--out", tmp_path / "undisturbed")
    for name in ("grid.h5", "features.pkl"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


@pytest.mark.parametrize("change", ["encoder", "lost", "features alone"])
def test_grids_of_another_run_are_not_resumed(step, tmp_path, capsys, monkeypatch, change):
    stop(step, monkeypatch, "before the features")
    if change == "encoder":
        model = encoder_file.read(tmp_path / "encoder.keras")
        model.set_weights([weight + 1 for weight in model.get_weights()])
        keras_files.write(tmp_path / "encoder.keras", model)
    elif change == "lost":
        (tmp_path / "out/grid.partial").unlink()
    else:
        step()
        assert not list((tmp_path / "out").glob("grid*"))
    step("--grid")
    assert "resuming" not in capsys.readouterr().out
    step("--grid", "--out", tmp_path / "undisturbed")
    assert (tmp_path / "out/grid.h5").read_bytes() == (tmp_path / "undisturbed/grid.h5").read_bytes()


def test_grids_do_not_pile_up_in_memory(step, monkeypatch):
    joined = Mock(side_effect=extract._join)
    monkeypatch.setattr(extract, "_join", joined)
    step("--grid")
    _, done = joined.call_args.args
    assert len(done) == 3 and all(batch.grid is None for batch in done)


def test_too_little_room_is_said_before(step, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Mock(free=6 * (8 * 4 + 2 * 256 * 4) - 1))
    step()
    assert "on the disk" not in capsys.readouterr().out
    step("--grid")
    assert "warning: expected 0.00 GB on the disk" in capsys.readouterr().out


def test_grids_of_shards_join_to_what_one_run_makes(step, tmp_path, capsys):
    out = tmp_path / "out"
    step("--grid", "--out", tmp_path / "one")
    for shard in ("1/2", "2/2"):
        step("--grid", "--shard", shard)
    step("--merge")
    assert not (out / "grid.h5").exists()
    step("--merge", "--grid")
    assert f"wrote {out / 'grid.h5'}: 5 photographs x 256 cells x 4" in capsys.readouterr().out
    one, joined = (features_file.read_grid(folder / "grid.h5") for folder in (tmp_path / "one", out))
    assert (joined.ids, joined.origin, joined.shape) == (one.ids, one.origin, one.shape)
    np.testing.assert_allclose(joined[:], one[:], rtol=2e-3, atol=1e-4)  # a batch of others may be rounded otherwise
    assert (out / "grid.h5").stat().st_size == (tmp_path / "one/grid.h5").stat().st_size
    shutil.copy(out / "grid.1-of-2.h5", out / "grid.2-of-2.h5")
    with pytest.raises(InputError, match=r"beside each shard, found others; make the shards again, all with --grid"):
        step("--merge", "--grid")
    (out / "grid.2-of-2.h5").unlink()
    with pytest.raises(
        InputError, match=r"expected photographs' grids, .* in .*grid\.2-of-2\.h5, found something else"
    ):
        step("--merge", "--grid")


# The file --------------------------------------------------------------------------------------------------------------

MEMORY = """
import sys
from pathlib import Path
import numpy as np
from encoders.features_file import create_grid, fill_grid, finish_grid, read_grid

path, ids = Path(sys.argv[1]), [str(number) for number in range(1200)]
peak = lambda: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
create_grid(path, ids, (14, 14, 1024), {"encoder": "drawn"})
for first in range(0, 1200, 8):
    fill_grid(path, first, np.full((8, 14, 14, 1024), first, "float16"))
finish_grid(path, path, ids)
grid = read_grid(path)
for first in range(0, 1200, 8):
    assert (grid[first : first + 8] == first).all()
print(path.stat().st_size, (peak() - before) * 1024)
"""


def test_neither_writing_nor_reading_takes_the_files_memory(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "grid.h5")], cwd=ROOT, capture_output=True, text=True
    )
    assert not run.returncode, run.stderr
    size, grown = map(int, run.stdout.splitlines()[-1].split())
    assert size > 480e6 and grown < 60e6


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "grid.h5"
    features_file.create_grid(path, ["caf\u00e9", "b"], (2, 3, 4), {"encoder": "drawn"})
    features_file.fill_grid(path, 0, np.arange(48).reshape(2, 2, 3, 4).astype("float16"))
    features_file.finish_grid(path, path, ["caf\u00e9", "b"])
    return path


def test_others_can_read_the_file(whole):
    with h5py.File(whole) as file:
        assert file["grid"].dtype == np.float16 and file["grid"].chunks is None
        np.testing.assert_array_equal(file["grid"], np.arange(48).reshape(2, 6, 4))
        assert [image.decode() for image in file["ids"]] == ["caf\u00e9", "b"]
        assert json.loads(file["origin"][()]) == {"encoder": "drawn", "rows": 2, "columns": 3}
    assert features_file.read_grid(whole).ids == ["caf\u00e9", "b"]


OTHERS = {
    "another type": lambda file: {"grid": file["grid"][()].astype("float32")},
    "places in two dimensions": lambda file: {"grid": file["grid"][()].reshape(2, 2, 3, 4)},
    "more ids than rows": lambda file: {"grid": file["grid"][:1]},
    "no ids": lambda file: {"ids": np.zeros(2, "S9")},
    "one id twice": lambda file: {"ids": np.array([b"b", b"b"])},
    "numbers for ids": lambda file: {"ids": np.arange(2)},
    "ids that are no text": lambda file: {"ids": np.array([b"\xff", b"b"])},
    "other places": lambda file: {"origin": np.bytes_(b'{"encoder": "drawn", "rows": 2, "columns": 2}')},
    "places of no number": lambda file: {"origin": np.bytes_(b'{"encoder": "drawn", "rows": "a", "columns": 999}')},
    "no numbers": lambda file: {"grid": np.zeros((2, 6, 0), "f2")},
    "no encoder": lambda file: {"origin": np.bytes_(b'{"rows": 2, "columns": 3}')},
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_grid_is_refused(whole, name):
    with h5py.File(whole, "r+") as file:
        for key, value in OTHERS[name](file).items():
            del file[key]
            file[key] = value
    message = "expected the origin of the features in" if name == "no encoder" else "expected photographs' grids"
    with pytest.raises(InputError, match=message):
        features_file.read_grid(whole)


def test_grids_in_chunks_or_cut_short_are_refused(whole):
    content = whole.read_bytes()
    with h5py.File(whole, "r+") as file:
        values = file["grid"][()]
        del file["grid"]
        file.create_dataset("grid", data=values, chunks=(1, 6, 4))
    for change in (lambda: None, lambda: whole.write_bytes(content[:-200]), whole.unlink):
        change()
        with pytest.raises(InputError, match="expected photographs' grids"):
            features_file.read_grid(whole)
