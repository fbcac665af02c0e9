"""Step 1: features in order, whatever the batch size, and after any interruption; what it says and writes."""

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from unittest.mock import Mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from benchmarks import extraction
from core import devices, keras_files
from core.errors import InputError
from encoders import encoder_file, extract, features_file, photographs
from encoders.make import untrained
from tests.conftest import ROOT


@pytest.fixture(scope="session")
def encoder():
    keras.utils.set_random_seed(0)
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3)(x))
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x)))


@pytest.fixture
def arguments(tmp_path, photographs_folder, encoder):
    """Those of step 1 on six drawn photographs, two a batch."""
    keras_files.write(tmp_path / "encoder.keras", encoder)
    (tmp_path / "token.txt").write_text("".join(f"photo{number}.jpg#0\tA big dog {number}\n" for number in range(6)))
    named = {"--photographs": photographs_folder, "--captions": tmp_path / "token.txt", "--batch-size": 2,
             "--encoder": tmp_path / "encoder.keras", "--out": tmp_path / "out"}  # fmt: skip
    return [str(word) for pair in named.items() for word in pair]


@pytest.fixture
def step(script):
    return script("1_data_preprocessor")


def test_features_are_the_encoders_for_any_batch_size(photographs_folder, encoder):
    paths = photographs.list_photographs(photographs_folder)
    pixels = np.stack([photographs.read(path, 32, 32) for path in paths])
    expected = encoder.predict(pixels, verbose=0)
    for batch_size in (1, 4, 6):
        found, skipped = extract.extract(encoder, paths, batch_size)
        assert list(found) == [path.name for path in paths] and not skipped
        assert all(feature.shape == (1, 8) and feature.dtype == np.float32 for feature in found.values())
        np.testing.assert_allclose(np.concatenate(list(found.values())), expected, rtol=1e-5, atol=1e-6)


def test_bfloat16_features_are_within_a_hundredth(photographs_folder, encoder):
    paths = photographs.list_photographs(photographs_folder)
    pixels = np.stack([photographs.read(path, 32, 32) for path in paths])
    exact, quick = (extract.Network(encoder, precision)(pixels) for precision in ("float32", "bfloat16"))
    assert np.abs(quick - exact).max() <= 1e-2 * np.abs(exact).max()


@pytest.mark.parametrize(("processor", "faster"), [
    ("vendor_id : GenuineIntel\nflags : fpu avx512f avx512_bf16 amx_bf16 amx_tile", True),  # Sapphire Rapids
    ("vendor_id : GenuineIntel\nflags : fpu avx512f avx512_bf16", False),  # the same, its AMX hidden: measured
    ("vendor_id : AuthenticAMD\nflags : fpu avx512f avx512_bf16", True),  # Zen 4 and 5: measured
    ("vendor_id : AuthenticAMD\nflags : fpu avx2", False),
    (None, False),
])  # fmt: skip
def test_bfloat16_is_computed_in_where_it_is_faster(step, arguments, tmp_path, capsys, monkeypatch, processor, faster):
    monkeypatch.setattr(devices, "has_gpu", lambda: False)
    monkeypatch.setattr(devices, "PROCESSORS", tmp_path / "cpuinfo")
    if processor:
        devices.PROCESSORS.write_text(processor)
    step.main([*arguments, "--precision", "bfloat16"])
    assert ("computed in float32" in capsys.readouterr().out) != faster
    origin = json.loads((tmp_path / "out" / "features.json").read_text())
    assert origin["precision"] == ("bfloat16" if faster else "float32")


@pytest.mark.parametrize(("name", "exact"), [("resnet18", 5), ("resnet34", 7), ("resnet50", 11)])
def test_bfloat16_begins_where_a_block_in_the_first_quarter_of_the_convolutions_ends(name, exact):
    network = extract.Network(untrained(name, "untrained", 32, "small"), "bfloat16", 2)
    convolutions = [operation for operation in network.graph.graph.get_operations() if operation.type == "Conv2D"]
    types = [operation.outputs[0].dtype for operation in convolutions]
    assert types == [tf.float32] * exact + [tf.bfloat16] * (len(types) - exact)
    assert network.graph.outputs[0].dtype == tf.float32  # features are averaged in float32


def test_bfloat16_takes_encoders_that_are_nowhere_narrow():
    pixels = keras.Input((4, 4, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(pixels)
    for _ in range(4):
        x = keras.layers.Conv2D(3, 1)(x) + keras.ops.cast(pixels, "float32")
    encoder = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(x))
    pixels = np.full((3, 4, 4, 3), 200, "uint8")
    np.testing.assert_allclose(extract.Network(encoder, "bfloat16")(pixels), encoder(pixels), rtol=2e-2, atol=1)


def test_bfloat16_begins_within_a_model_in_a_model():
    network = keras.Sequential([keras.Input((4, 4, 3)), *(keras.layers.Conv2D(3, 1) for _ in range(6))])
    pixels = keras.Input((4, 4, 3), dtype="uint8")
    x = keras.layers.Conv2D(3, 1)(keras.layers.Conv2D(3, 1)(keras.layers.Rescaling(1 / 255)(pixels)))
    encoder = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(network(x)))
    quick = extract.Network(encoder, "bfloat16")
    convolutions = [operation for operation in quick.graph.graph.get_operations() if operation.type == "Conv2D"]
    assert [operation.outputs[0].dtype for operation in convolutions] == [tf.float32] * 2 + [tf.bfloat16] * 6
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), "uint8")
    expected = encoder(pixels).numpy()
    assert np.abs(quick(pixels) - expected).max() <= 2e-2 * np.abs(expected).max()


def test_decoding_keeps_order_and_stays_close_ahead(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(photographs, "read", lambda path, height, width: read.append(path) or path)
    paths = [tmp_path / str(number) for number in range(100)]
    pixels = extract._decode(paths, 8, 8, ahead=5)
    assert next(pixels) == paths[0]
    assert len(read) <= 6
    assert list(pixels) == paths[1:]


def test_two_batches_are_in_the_network_at_once_and_come_in_order(photographs_folder, encoder, monkeypatch):
    monkeypatch.setattr(devices, "has_gpu", lambda: False)
    paths = photographs.list_photographs(photographs_folder)
    pixels = np.stack([photographs.read(path, 32, 32) for path in paths])
    network = extract.Network(encoder, batch_size=1)
    one_by_one = np.concatenate([network(pixel[None]) for pixel in pixels])
    both, compute = threading.Barrier(2, timeout=60), network._batch
    monkeypatch.setattr(network, "_batch", lambda batch: (both.wait(), compute(batch))[1])
    np.testing.assert_array_equal(network(pixels), one_by_one)
    found = np.concatenate([batch.features for batch in extract.batches(network, paths)])
    np.testing.assert_array_equal(found, one_by_one)


def test_step_1_end_to_end(step, arguments, tmp_path, capsys):
    step.main(arguments)
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {".lock", "features.pkl", "features.json", "descriptions.txt"}
    assert list(features_file.read(out / "features.pkl")) == [f"photo{number}" for number in range(6)]
    assert features_file.read_origin(out / "features.pkl") == {
        "encoder": keras_files.fingerprint(encoder_file.read(tmp_path / "encoder.keras")),
        "height": 32, "width": 32, "dimension": 8, "precision": "float32", "cleaning": "seed",
    }  # fmt: skip
    assert (out / "descriptions.txt").read_text() == "\n".join(f"photo{number} big dog" for number in range(6))
    printed = capsys.readouterr().out
    assert f"wrote {out / 'descriptions.txt'}: 6 descriptions of 6 images, 2 different words" in printed
    assert printed.endswith(f"wrote {out / 'features.pkl'}: 6 photographs x 8\n")

    step.main([*arguments, "--cleaning", "natural"])
    assert (out / "descriptions.txt").read_text().startswith("photo0 a big dog 0\n")
    assert features_file.read_origin(out / "features.pkl")["cleaning"] == "natural"


def test_undecodable_files_are_skipped_and_listed(step, arguments, photographs_folder, tmp_path, capsys):
    (photographs_folder / "photo2.jpg").write_text("no photograph")
    (photographs_folder / "photo3.jpg").write_text("no photograph")  # a whole batch
    step.main(arguments)
    out = tmp_path / "out"
    assert (out / "skipped.txt").read_text().splitlines() == [
        f"photo{n}.jpg\tcannot identify image file" for n in (2, 3)
    ]
    assert list(features_file.read(out / "features.pkl")) == ["photo0", "photo1", "photo4", "photo5"]
    assert "skipped 2 files" in capsys.readouterr().out

    for number in (2, 3):
        Image.new("RGB", (40, 40)).save(photographs_folder / f"photo{number}.jpg")
    step.main(arguments)
    assert not (out / "skipped.txt").exists()


def check_resuming(step, arguments, out, capsys, done):
    """Run again what left features.partial in `out`, and compare with a run that nothing disturbed."""
    capsys.readouterr()
    step.main(arguments)
    resumed = f"resuming after {done} photographs ({out / 'features.partial'})"
    assert (resumed in capsys.readouterr().out) == bool(done)
    assert not (out / "features.partial").exists()
    step.main([*arguments, "--out", str(out / "undisturbed")])
    assert (out / "features.pkl").read_bytes() == (out / "undisturbed" / "features.pkl").read_bytes()


def test_a_killed_run_goes_on_to_the_same_bytes(step, arguments, tmp_path, capsys):
    program = """
import importlib, itertools, os, sys
from encoders import extract
append, times = extract._append, itertools.count()
extract._append = lambda *batch: append(*batch) if next(times) < 3 else os.kill(os.getpid(), 9)
importlib.import_module("1_data_preprocessor").main(sys.argv[1:])
"""  # it has written the run's identity and two of three batches
    killed = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".lock", "features.partial", "descriptions.txt"}
    check_resuming(step, arguments, tmp_path / "out", capsys, done=4)


@pytest.fixture
def interrupted(step, arguments, tmp_path, monkeypatch):
    """The features.partial of a run that ended just before it wrote its features: three batches."""
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(features_file, "write", Mock(side_effect=KeyboardInterrupt))
        step.main(arguments)
    return tmp_path / "out" / "features.partial"


@pytest.mark.parametrize(("lost", "done"), [(0, 6), (1, 4), (200, 4), (400, 2), (900, 0), (10_000, 0)])
def test_a_torn_batch_is_done_again(step, arguments, interrupted, capsys, lost, done):
    content = interrupted.read_bytes()
    interrupted.write_bytes(content[: max(0, len(content) - lost)] + (b"" if lost else b"\x93NUMPY"))
    check_resuming(step, arguments, interrupted.parent, capsys, done)


@pytest.mark.parametrize("change", ["precision", "photograph", "encoder"])
def test_what_belongs_to_another_run_is_not_resumed(
    step, arguments, interrupted, photographs_folder, tmp_path, capsys, monkeypatch, change
):
    if change == "precision":
        monkeypatch.setattr(devices, "faster_in_bfloat16", lambda: True)
        arguments = [*arguments, "--precision", "bfloat16"]
    elif change == "photograph":
        Image.new("RGB", (40, 40)).save(photographs_folder / "photo0.jpg")
    else:
        model = encoder_file.read(tmp_path / "encoder.keras")
        model.set_weights([weight + 1 for weight in model.get_weights()])
        keras_files.write(tmp_path / "encoder.keras", model)
    check_resuming(step, arguments, interrupted.parent, capsys, done=0)


def test_a_folder_by_another_name_is_the_same_run(step, arguments, interrupted, photographs_folder, capsys):
    place = arguments.index("--photographs") + 1
    other = photographs_folder / ".." / photographs_folder.name
    check_resuming(step, [*arguments[:place], str(other), *arguments[place + 1 :]], interrupted.parent, capsys, done=6)


def test_shards_join_to_what_one_run_makes(step, arguments, photographs_folder, tmp_path, capsys):
    out, shared = tmp_path / "out", [*arguments, "--out", str(tmp_path / "shared")]
    for name in ("photo1b.jpg", "photo3b.jpg"):  # in two shards
        (photographs_folder / name).write_text("no photograph")
    step.main(arguments)
    with pytest.raises(InputError, match=r"shards of one division in .*shared, found none"):
        step.main([*shared, "--merge"])
    for shard in ("1/4", "3/4", "4/4"):
        step.main([*shared, "--shard", shard])
    with pytest.raises(InputError, match=r"expected 4 shards in .*shared, found 3: run --shard 2/4"):
        step.main([*shared, "--merge"])
    step.main([*shared, "--shard", "2/4"])
    step.main([*shared, "--merge"])
    assert "features.pkl: 6 of 8 photographs x 8" in capsys.readouterr().out
    for name in ("features.json", "descriptions.txt", "skipped.txt"):
        assert (out / name).read_bytes() == (tmp_path / "shared" / name).read_bytes()
    one, joined = (features_file.read(folder / "features.pkl") for folder in (out, tmp_path / "shared"))
    assert list(one) == list(joined)  # in bits too, where a batch of another size is not rounded otherwise
    assert all(np.allclose(one[image], joined[image], rtol=1e-5, atol=1e-6) for image in one)
    moved = (photographs_folder / "photo2.jpg").rename(tmp_path / "photo2.jpg")
    with pytest.raises(InputError, match=r"found another, with 0 that are in no shard and 1 fewer \(photo2\)"):
        step.main([*shared, "--merge"])
    shutil.copy(moved.rename(photographs_folder / "photo2.jpg"), photographs_folder / "photo9.jpg")
    with pytest.raises(InputError, match=r"found another, with 1 that are in no shard and 0 fewer \(photo9\.jpg\)"):
        step.main([*shared, "--merge"])
    (photographs_folder / "photo9.jpg").unlink()
    for number in range(1, 5):
        features_file.write_origin(tmp_path / f"shared/features.{number}-of-4.pkl", {"encoder": "of few words"})
    with (tmp_path / "shared/skipped.3-of-4.txt").open("a") as file:
        file.write("\n")
    step.main([*shared, "--merge"])
    assert "features.pkl: 6 of 8 photographs x 8" in capsys.readouterr().out
    features_file.write_origin(tmp_path / "shared/features.3-of-4.pkl", {"encoder": "other"})
    with pytest.raises(InputError, match=r"one encoder and one precision in all shards, found others in .*3-of-4\.pkl"):
        step.main([*shared, "--merge"])
    with pytest.raises(InputError, match="expected at most 8 shards of 8 photographs, found 9"):
        step.main([*shared, "--shard", "1/9"])
    for wrong in ("0/4", "5/4", "2-of-4"):
        with pytest.raises(InputError, match=f"--shard i/n with i from 1 to n, such as 2/4, found {wrong}"):
            step.main([*shared, "--shard", wrong])


def test_errors_say_what_to_do(step, arguments, photographs_folder, tmp_path, encoder):
    with pytest.raises(
        InputError, match=r"python -m encoders\.make --network resnet50 --weights untrained --out .*nowhere"
    ):
        step.main([*arguments, "--encoder", str(tmp_path / "nowhere.keras")])
    with pytest.raises(InputError, match="--batch-size between 1 and"):
        step.main([*arguments, "--batch-size", "0"])
    (tmp_path / "other.txt").write_text("elsewhere.jpg#0\tA dog\n")
    with pytest.raises(InputError, match=r"elsewhere and so on, the photographs photo0\.jpg"):
        step.main([*arguments, "--captions", str(tmp_path / "other.txt")])
    (photographs_folder / "photo0.png").touch()
    with pytest.raises(InputError, match="share the image id 'photo0'"):
        step.main(arguments)

    with pytest.raises(InputError, match=r"none of the 1 photographs can be decoded; photo0\.png: cannot identify"):
        extract.extract(encoder, [photographs_folder / "photo0.png"])
    encoder = keras.models.clone_model(encoder)
    encoder.set_weights([weight * np.nan for weight in encoder.get_weights()])
    with pytest.raises(InputError, match="not finite"):
        extract.extract(encoder, [photographs_folder / "photo1.jpg"])


def test_the_benchmark_runs(arguments, tmp_path, capsys):
    extraction.main(["--encoder", str(tmp_path / "encoder.keras"), "--count", "4", "--rounds", "1"])
    claims = re.findall(r"^(step 1 in .*|time of step 1 .*): [\d.]+x", capsys.readouterr().out, re.MULTILINE)
    assert len(claims) == 5


def test_shards_of_a_count_that_no_division_has_are_told_at_once(step, arguments, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/features.1-of-99999999999.pkl").touch()
    with pytest.raises(
        InputError, match=r"expected 99,999,999,999 shards in .*, found 1: run --shard 2/99999999999, 3/"
    ):
        step.main([*arguments, "--merge"])


def test_features_newly_written_have_no_longer_the_origin_of_earlier_ones(tmp_path, capsys):
    path = tmp_path / "features.pkl"
    for encoder in ("one", "other"):
        features_file.write(path, {"photo": np.ones((1, 2), "float32")})
        assert features_file.read_origin(path) is None  # as a run that is killed here leaves them
        features_file.write_origin(path, {"encoder": encoder})
