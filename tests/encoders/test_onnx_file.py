"""ONNX files as encoders: their features are NumPy's, and the steps take them as they take .keras files."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from PIL import Image

from core.errors import InputError
from encoders import convert, encoder_file, evaluate, extract, features_file, onnx_file
from encoders.encoder_file import IMAGENET_DEVIATION, IMAGENET_MEAN
from tests.encoders import exported
from tests.encoders.exported import BIAS, BYTES, FLOAT, HALF, KERNEL

PHOTOGRAPHS = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype("uint8")
NORMALISED = (PHOTOGRAPHS / 255 - IMAGENET_MEAN) / IMAGENET_DEVIATION
TOLD = ["--mean", *map(str, IMAGENET_MEAN), "--deviation", *map(str, IMAGENET_DEVIATION)]


def converted(folder: Path, *words: str, **options) -> encoder_file.Encoder:
    """Return the encoder that encoders.convert makes of a small network, as the steps read it."""
    exported.write(folder / "network.onnx", **options)
    main(folder, *words)
    return encoder_file.read(folder / "out" / "encoder.onnx")


def main(folder: Path, *words: str) -> None:
    convert.main(["--checkpoint", f"{folder}/network.onnx", "--out", f"{folder}/out/encoder.onnx", *words])


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", [FLOAT, HALF, BYTES])
@pytest.mark.parametrize("batch", ["N", 2])
def test_features_and_grids_are_numpys(layout, kind, batch, tmp_path):
    told, pixels = ([], PHOTOGRAPHS) if kind == BYTES else (TOLD, NORMALISED)
    encoder = converted(tmp_path, *told, "--output", "map", layout=layout, kind=kind, batch=batch)
    expected, tolerance = exported.grid(pixels), 2e-3 if kind == HALF else 1e-5
    assert encoder.input_shape == (None, 8, 8, 3) and encoder.output_shape == (None, 5) and encoder.grid == (4, 4, 5)
    network = extract.Network(encoder, batch_size=3, grid=True)  # more or fewer than the network takes at once
    features, grids = network.outputs(PHOTOGRAPHS)
    np.testing.assert_allclose(features, expected.mean((1, 2)), rtol=tolerance, atol=tolerance * expected.max())
    np.testing.assert_allclose(grids, expected, rtol=2e-3, atol=2e-3 * expected.max())
    assert features.dtype == np.float32 and grids.dtype == np.float16


def test_a_vector_is_the_feature_and_the_file_holds_no_more_than_it_needs(tmp_path, capsys):
    encoder = converted(tmp_path, *TOLD, "--output", "features")
    np.testing.assert_allclose(encoder(PHOTOGRAPHS), exported.grid(NORMALISED).mean((1, 2)), rtol=1e-4)
    assert encoder.count_params() == exported.parameters(KERNEL, BIAS) and encoder.grid is None
    with pytest.raises(InputError, match="found an ONNX file that gives features; leave out --grid"):
        extract.Network(encoder, grid=True)
    assert converted(tmp_path, *TOLD).output_shape == (None, 40)  # without --output the graph's own
    printed = capsys.readouterr().out
    for line in (
        f"checkpoint: {tmp_path}/network.onnx, an ONNX file by tests",
        "input: photographs, NCHW, photographs of 8 x 8",
        "normalisation: mean 0.485 0.456 0.406, standard deviation 0.229 0.224 0.225: told",
        "output: 5 numbers of features",
        f"wrote {tmp_path}/out/encoder.onnx: network.onnx, 8 x 8 x 3 -> 5",
    ):
        assert line in printed


def test_the_file_beside_it_says_how_it_is_fed_and_keeps_a_persons_words(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/encoder.json").write_text('{"pretext task": "none", "output": "classes"}')
    encoder = converted(tmp_path, "--size", "8", "--output", "map", kind=BYTES, layout="NHWC", size="side")
    card = json.loads((tmp_path / "out/encoder.json").read_text())
    assert card["size"] == [8, 8] and card["mean"] is None and card["layout"] == "NHWC" and card["output"] == "map"
    assert card["pretext task"] == "none" and card["checkpoint"] == "network.onnx, an ONNX file by tests"
    assert encoder_file.read(tmp_path / "out/encoder.onnx").fingerprint == encoder.fingerprint
    for name, value in (("pretext task", "another"), ("size", [12, 12])):
        (tmp_path / "out/encoder.json").write_text(json.dumps(card | {name: value}))
        changed = encoder_file.read(tmp_path / "out/encoder.onnx").fingerprint != encoder.fingerprint
        assert changed == (name == "size")


def test_of_several_inputs_only_those_of_the_output_count(tmp_path):
    model = exported.network(more=[helper.make_node("Add", ["classes", "words"], ["both"])])
    model.graph.input.append(helper.make_tensor_value_info("words", FLOAT, ["N", 40]))
    model.graph.output.append(helper.make_tensor_value_info("both", FLOAT, ["N", 40]))
    (tmp_path / "network.onnx").write_bytes(model.SerializeToString())
    main(tmp_path, *TOLD, "--output", "features")
    for words, message in (
        ([], "found 2 outputs; give one of classes, both, or an inner one"),
        (["--output", "both"], "expected one input of photographs, .* found photographs, words"),
    ):
        with pytest.raises(InputError, match=message):
            main(tmp_path, *TOLD, *words)


def test_weights_in_files_beside_it_are_taken_in(tmp_path):
    model = exported.network()
    (tmp_path / "weights.bin").write_bytes(b"four" + KERNEL.tobytes() + BIAS.tobytes())
    start = 4
    for tensor, value in zip(model.graph.initializer, (KERNEL, BIAS), strict=False):
        outside(tensor, location="weights.bin", offset=start, length=value.nbytes)
        start += value.nbytes
    (tmp_path / "network.onnx").write_bytes(model.SerializeToString())
    main(tmp_path, *TOLD, "--output", "map")
    (tmp_path / "weights.bin").unlink()
    encoder = encoder_file.read(tmp_path / "out/encoder.onnx")
    np.testing.assert_allclose(encoder(PHOTOGRAPHS), exported.grid(NORMALISED).mean((1, 2)), rtol=1e-4)
    with pytest.raises(InputError, match=r"files of its own folder, found 'weights.bin'"):
        main(tmp_path, *TOLD)


def outside(tensor, **told) -> None:
    """Say that a tensor's numbers are in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, value in told.items():
        tensor.external_data.add(key=key, value=str(value))


@pytest.mark.parametrize(
    "words, options, message",
    [
        ([], {}, "found nothing in it that says so; give --mean and --deviation"),
        (TOLD[:4], {}, "expected --mean and --deviation together"),
        (TOLD, {"kind": BYTES}, "takes bytes and normalises them; leave them away"),
        (TOLD, {"size": "side"}, "takes any; give --size"),
        ([*TOLD, "--size", "9"], {}, "expected --size to be that of .*, 8 x 8, found 9"),
        ([*TOLD, "--pool", "cls"], {}, "found --pool: leave it away"),
        ([*TOLD, "--output", "grid"], {}, r"found grid; give one of classes, or an inner one \(the last are before, map"),
        ([*TOLD, "--output", "row"], {"more": [helper.make_node("ReduceMean", ["map"], ["row"], axes=[2], keepdims=0)]}, r"as row of .*, found \('N', 5, 4\)"),
        ([*TOLD, "--output", "no"], {"more": [helper.make_node("Nonsense", ["map"], ["no"])]}, "cannot load .*Nonsense.*export it again"),
        ([*TOLD, "--output", "no"], {"more": [helper.make_node("Gemm", ["map", "weights"], ["no"])]}, "cannot load .*export it again"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_asked_for(words, options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        converted(tmp_path, *words, **options)
    assert not (tmp_path / "out").exists()


def test_other_files_and_names_are_refused(tmp_path):
    exported.write(tmp_path / "network.onnx")
    for out, message in (
        ("network.onnx", "another name that ends in .onnx"),
        ("encoder.keras", "found .*encoder.keras"),
    ):
        with pytest.raises(InputError, match=message):
            convert.main(["--checkpoint", f"{tmp_path}/network.onnx", "--out", f"{tmp_path}/{out}", *TOLD])
    with pytest.raises(InputError, match="expected --output with an ONNX file"):
        convert.main(["--checkpoint", "model.pth", "--output", "map"])
    with pytest.raises(InputError, match=r"expected network.json beside .*network.onnx, .* python -m encoders.convert"):
        encoder_file.read(tmp_path / "network.onnx")
    (tmp_path / "network.onnx").write_text("words")
    with pytest.raises(InputError, match=r"expected an ONNX file at .*, found no such"):
        main(tmp_path, *TOLD)
    (tmp_path / "network.onnx").unlink()
    with pytest.raises(InputError, match="expected a file, found nothing at"):
        main(tmp_path, *TOLD)


def test_a_graph_for_one_photograph_alone_is_named(tmp_path):
    shape = helper.make_node("Constant", [], ["shape"], value_ints=[1, 5])
    for kind, takes, told, message in (
        ("Reshape", ["features", "shape"], {}, r"cannot run .*encoder\.onnx on photographs .*; give --batch-size 1"),
        (
            "ReduceMean",
            ["features"],
            {"axes": [0]},
            r"expected \(5, 5\) of .*encoder\.onnx, found \(1, 5\); give --batch-size 1",
        ),
    ):
        more = [shape, helper.make_node(kind, takes, ["one"], **told)]
        encoder = converted(tmp_path, *TOLD, "--output", "one", more=more)
        assert extract.Network(encoder, batch_size=1)(PHOTOGRAPHS).shape == (5, 5)
        with pytest.raises(InputError, match=message):
            encoder(PHOTOGRAPHS)


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_a_missing_library_is_one_line_with_the_command(library, tmp_path, monkeypatch):
    exported.write(tmp_path / "network.onnx")
    monkeypatch.setitem(sys.modules, library, None)
    onnx_file._runtime.cache_clear()
    with pytest.raises(InputError, match=rf"expected {library}, .* found none; run pip install -e '\.\[cpu,onnx\]'"):
        main(tmp_path, *TOLD)


def test_step_1_and_the_judging_take_the_pair(script, tmp_path, capsys):
    for part, number in ((part, number) for part in ("train", "val") for number in range(6)):
        folder = tmp_path / part / ("dark", "light")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (40 + 150 * (number % 2) + number,) * 3).save(folder / f"{part}{number}.png")
    (tmp_path / "captions.txt").write_text("".join(f"train{number}.png#0\tA dog {number}\n" for number in range(6)))
    encoder = converted(tmp_path, *TOLD, "--output", "map")
    path = f"{tmp_path}/out/encoder.onnx"
    words = f"--photographs {tmp_path}/train --captions {tmp_path}/captions.txt --encoder {path} --out {tmp_path}/made --grid --precision bfloat16"
    script("1_data_preprocessor").main(words.split())
    features, origin = (
        features_file.read(tmp_path / "made/features.pkl"),
        features_file.read_origin(tmp_path / "made/features.pkl"),
    )
    assert origin["encoder"] == encoder.fingerprint and origin["dimension"] == 5 and origin["precision"] == "float32"
    assert len(features) == 6 and (tmp_path / "made/grid.h5").exists()
    evaluate.main(f"--encoder {path} --train {tmp_path}/train --test {tmp_path}/val --cache {tmp_path}/cache".split())
    printed = capsys.readouterr().out
    assert "ONNX files compute as they were exported: bfloat16 is not used" in printed
    assert f"| {path} | 1.000 | 1.000 |" in printed and "untrained" not in printed.split("| encoder |")[1]
