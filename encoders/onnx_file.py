"""The second form of an encoder: NAME.onnx, a network that someone exported, and NAME.json, which says how it is fed.

onnxruntime runs the graph and nothing else. All weights are in the file, and the graph has no loops, branches and functions.
"""

import hashlib
import importlib
import json
import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from core import disk, machine
from core.errors import InputError

LAYOUTS = {"NCHW": 1, "NHWC": 3}  # where the channels are
KINDS = {1: "float32", 2: "uint8", 10: "float16"}  # of ONNX's elements, what a network may take
MOST = 1e6  # of each number in NAME.json
LARGEST = 4096  # pixels of a photograph's side
UNKNOWN_MEMORY = 8 << 30  # bytes, on systems that do not say how much is free
MOST_NODES = 50_000  # of a graph; large Vision Transformers have some thousands
FLOATS = (int, float)
LARGEST_CONSTANT = "optimization.constant_folding_max_output_size_in_bytes"
INSTALL = "pip install -e '.[cpu,onnx]'"
MAKE = "make both files with python -m encoders.convert --checkpoint NETWORK.onnx --out NAME.onnx"


class OnnxEncoder:
    """An encoder of this form: photographs, uint8 (N, H, W, 3) RGB -> features, float32 (N, D).

    It has what the steps use of a `keras.Model`: shapes, `count_params`. `grid` is the shape of its grid, (h, w, C), or None;
    `batch_size` how many photographs it takes at once, None for any number; `fingerprint` changes with all that changes features.

    :param path: for messages.
    :param data: of NAME.onnx.
    :param card: of NAME.json.
    :raises InputError: they are damaged, do not belong together, or ask for more than a graph with its weights.
    """

    def __init__(self, path: Path, data: bytes, card: Any):
        graph = parse(path, data).graph
        if any(tensor.data_location for tensor in _tensors(graph)):
            raise InputError(f"refused {path}: some of its weights are in another file; {MAKE}")
        taken = _only_input(path, graph)
        batch, *_ = _sides(taken)
        self._path, self._name, self._kind = path, taken.name, KINDS[taken.type.tensor_type.elem_type]
        self._fed = _checked(path, card, batch, self._kind)
        self._parameters = sum(math.prod(tensor.dims) for tensor in graph.initializer)
        self.fingerprint = hashlib.sha256(data + json.dumps(self._fed, sort_keys=True).encode()).hexdigest()
        self._session = _session(path, data)
        height, width = self._fed["size"]
        self.batch_size = batch or None
        self._shape = self._run(np.zeros((batch or 1, height, width, 3), "uint8")).shape[1:]
        self._order = _channels_last(path, self._fed["output"], self._shape)
        self.grid = tuple(self._shape[axis - 1] for axis in self._order[1:]) if len(self._order) == 4 else None
        self.input_shape, self.output_shape = (None, height, width, 3), (None, self._shape[self._order[-1] - 1])

    def count_params(self) -> int:
        """Return how many numbers the network holds."""
        return self._parameters

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self.outputs(pixels)[0]

    def outputs(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Return the features of photographs, float32 (N, D), and if it has a grid theirs, float32 (N, h, w, C).

        :raises InputError: the graph fails, or gives another shape than for one photograph.
        """
        found = self._run(pixels)
        if found.shape != (expected := (len(pixels), *self._shape)):
            raise InputError(f"expected {expected} of {self._path}, found {found.shape}; give --batch-size 1")
        found = found.transpose(self._order)
        return [found.mean((1, 2)), found] if self.grid else [found]

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        if self._fed["mean"] is not None:
            scale = 1 / np.multiply(255, self._fed["deviation"])
            pixels = pixels * np.float32(scale) - np.float32(np.divide(self._fed["mean"], self._fed["deviation"]))
        if self._fed["layout"] == "NCHW":
            pixels = pixels.transpose(0, 3, 1, 2)
        try:
            (found,) = self._session.run([self._fed["output"]], {self._name: np.ascontiguousarray(pixels, self._kind)})
            return np.asarray(found, "float32")
        except Exception as error:  # onnxruntime raises many kinds
            raise InputError(
                f"cannot run {self._path} on photographs {pixels.shape}: {_line(error)}; give --batch-size 1, or export it again"
            ) from error


def read(path: Path) -> OnnxEncoder:
    """Return the encoder of NAME.onnx and NAME.json beside it; raises as `OnnxEncoder`."""
    card = path.with_suffix(".json")
    if not card.exists():
        raise InputError(f"expected {card.name} beside {path}, which says how it is fed, found nothing; {MAKE}")
    return OnnxEncoder(path, disk.read_bytes(path), disk.read_json(card))


def convert(
    source: Path,
    out: Path,
    output: str | None = None,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
) -> OnnxEncoder:
    """Write NAME.onnx and NAME.json of a network that someone exported, and print how each part is known.

    :param output: the tensor that is the feature, or the grid whose mean over space is; by default the graph's only output.
    :param size: height and width of the photographs.
    :param mean: of RGB in [0, 1], as the network wants it subtracted; `deviation`: as it wants the rest divided.
    :raises InputError: something is not known (the message names the option that tells it), or as `OnnxEncoder`.
    """
    if out.suffix != ".onnx" or out.resolve() == source.resolve():
        raise InputError(f"expected --out with another name that ends in .onnx, found {out}; choose such a name")
    model = parse(source, disk.read_bytes(source))
    _take_in(source, model.graph)
    container = f"an ONNX file{f' by {model.producer_name}' if model.producer_name else ''}"
    print(f"checkpoint: {source}, {container}")
    output = _chosen(source, model.graph, output)
    _cut(model.graph, output)
    taken = _only_input(source, model.graph)
    layout, size = _layout(source, taken, size)
    print(f"input: {taken.name}, {layout}, photographs of {size[0]} x {size[1]}")
    known = _normalisation(source, taken, mean, deviation)
    print(f"normalisation: {known}")
    card = {"size": size, "mean": mean, "deviation": deviation, "layout": layout, "output": output}
    data = _bytes(source, model)
    encoder = OnnxEncoder(source, data, card)
    pooled = f", the mean over space of its grid {' x '.join(map(str, encoder.grid))}" if encoder.grid else ""
    print(f"output: {encoder.output_shape[-1]:,} numbers of {output}{pooled}")
    disk.write_bytes(out, data)
    about = {
        "checkpoint": f"{source.name}, {container}",
        "family": "ONNX",
        "network": model.graph.name,
        "normalisation": known,
    }
    disk.update_json(out.with_suffix(".json"), about | card)
    return encoder


# The graph -----------------------------------------------------------------------------------------------------------


def parse(path: Path, data: bytes) -> Any:
    """Return the `onnx.ModelProto` of a file's bytes, without what it has in other files.

    :raises InputError: it is none, or has loops, branches, functions, or absurdly many nodes.
    """
    onnx = _library("onnx")
    try:
        model = onnx.load_model_from_string(data)
        nodes, named = model.graph.node, (*model.graph.input, *model.graph.output, *model.graph.initializer)
        _ = model.producer_name, model.graph.name, *(one.name for one in named)  # which fails where one is no text
        _ = [(*node.input, *node.output) for node in nodes]
    except Exception as error:  # of protobuf
        raise InputError(f"expected an ONNX file at {path}, found no such ({_line(error)}); check the path") from error
    if len(nodes) > MOST_NODES:
        raise InputError(
            f"refused {path}: its {len(nodes):,} nodes are more than {MOST_NODES:,}; get it from elsewhere"
        )
    attributes = (attribute for node in nodes for attribute in node.attribute)
    if model.functions or any(attribute.HasField("g") or attribute.graphs for attribute in attributes):
        raise InputError(f"refused {path}: it has loops, branches or functions, which may never end; export it without")
    return model


def _tensors(graph: Any) -> Iterator[Any]:
    """Yield every tensor of numbers in a graph."""
    yield from graph.initializer
    sparse = [*graph.sparse_initializer]
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)


def _take_in(path: Path, graph: Any) -> None:
    """Read the weights that are in files beside this one.

    :raises InputError: a file is elsewhere, is missing, or is read so often that its numbers unpack to many times its size.
    """
    helper, folder = importlib.import_module("onnx.external_data_helper"), path.parent.resolve()
    claimed, sizes = 0, {path: path.stat().st_size}
    try:
        for tensor in [tensor for tensor in _tensors(graph) if tensor.data_location]:
            told = {entry.key: entry.value for entry in tensor.external_data}
            file = (folder / told.get("location", "")).resolve()
            if not file.is_relative_to(folder) or not file.is_file():
                raise InputError(
                    f"refused {path}: expected its weights in files of its own folder, found {told.get('location')!r}; get them there"
                )
            sizes[file] = file.stat().st_size
            length = told.get("length", "")
            claimed += int(length) if length.isdecimal() else sizes[file]
            disk.check_claim(claimed, sum(sizes.values()), path)
            helper.load_external_data_for_tensor(tensor, str(folder))
            tensor.ClearField("data_location")
            del tensor.external_data[:]
    except InputError:
        raise
    except Exception as error:  # offsets, lengths and names that are none
        raise InputError(f"{path}: the weights beside it cannot be read: {_line(error)}; get them again") from error


def _only_input(path: Path, graph: Any) -> Any:
    """Return the input of a graph that takes photographs.

    :raises InputError: it takes something else, or more.
    """
    weights = {tensor.name for tensor in graph.initializer}
    found = [value for value in graph.input if value.name not in weights]
    kinds = [value.type.tensor_type for value in found]
    if len(found) == 1 and kinds[0].elem_type in KINDS and len(kinds[0].shape.dim) == 4:
        return found[0]
    words = ", ".join(value.name for value in found) or "none"
    raise InputError(
        f"expected one input of photographs, float or uint8 with four axes, in {path}, found {words}; export it with such a one"
    )


def _sides(taken: Any) -> list[int]:
    """Return the four sizes that an input takes, 0 for any."""
    return [max(0, dim.dim_value) for dim in taken.type.tensor_type.shape.dim]


def _layout(path: Path, taken: Any, told: int | None) -> tuple[str, list[int]]:
    """Return where the channels are, and height and width of the photographs.

    :raises InputError: they are not in the file and not told, or told otherwise.
    """
    sides = _sides(taken)
    layout = next((name for name, axis in LAYOUTS.items() if sides[axis] == 3), None)
    if layout is None:
        raise InputError(
            f"expected an input (N, 3, H, W) or (N, H, W, 3) in {path}, found {sides}; export it with such a one"
        )
    own = [side for axis, side in enumerate(sides) if axis not in (0, LAYOUTS[layout])]
    if told and any(side not in (0, told) for side in own):
        raise InputError(f"expected --size to be that of {path}, {own[0]} x {own[1]}, found {told}; leave it away")
    if not told and 0 in own:
        raise InputError(f"expected to know the size of the photographs, found that {path} takes any; give --size")
    return layout, [side or told for side in own]


def _normalisation(path: Path, taken: Any, mean: Sequence[float] | None, deviation: Sequence[float] | None) -> str:
    """Return in words how the photographs are normalised.

    :raises InputError: it is not known, or told to a network that does it itself.
    """
    if KINDS[taken.type.tensor_type.elem_type] == "uint8":
        if mean is not None:
            raise InputError(
                f"expected no --mean and --deviation: {path} takes bytes and normalises them; leave them away"
            )
        return "none: the graph takes bytes, and does it itself"
    if mean is None:
        raise InputError(
            f"expected to know how {path} wants its photographs, found nothing in it that says so; give --mean and --deviation "
            "(ImageNet's, for instance, are --mean 0.485 0.456 0.406 --deviation 0.229 0.224 0.225)"
        )
    return f"mean {_shown(mean)}, standard deviation {_shown(deviation)}: told"


def _chosen(path: Path, graph: Any, output: str | None) -> str:
    """Return the name of the tensor that is the output.

    :raises InputError: there is no such tensor, or none is named where the graph has several outputs.
    """
    made = [name for node in graph.node for name in node.output if name]
    own = [value.name for value in graph.output]
    if output is None and len(own) == 1:
        return own[0]
    if output not in made:
        raise InputError(
            f"expected --output with a tensor of {path}, found {output or f'{len(own)} outputs'}; give one of "
            f"{', '.join(own)}, or an inner one (the last are {', '.join(made[-5:])})"
        )
    return output


def _cut(graph: Any, output: str) -> None:
    """Leave in a graph only what one tensor needs, and make that its only output."""
    needed = {output}
    for index in reversed(range(len(graph.node))):  # each node comes after those that it takes from
        node = graph.node[index]
        if needed.intersection(node.output):
            needed.update(node.input)
        else:
            del graph.node[index]
    for values in (graph.initializer, graph.input):
        for index in reversed(range(len(values))):
            if values[index].name not in needed:
                del values[index]
    graph.ClearField("output")
    graph.output.add().name = output


def _bytes(path: Path, model: Any) -> bytes:
    try:
        return model.SerializeToString()
    except Exception as error:  # of protobuf
        raise InputError(
            f"expected less than 2 GB of weights in {path}: {_line(error)}; take a smaller network"
        ) from error


# What runs it ----------------------------------------------------------------------------------------------------------


def _checked(path: Path, card: Any, batch: int, kind: str) -> dict[str, Any]:
    """Return of NAME.json what says how the network is fed.

    :raises InputError: it is not as `convert` writes it.
    """

    def numbers(name: str, count: int, kinds: type | tuple[type, ...]) -> bool:
        value = card[name]
        listed = isinstance(value, list | tuple) and len(value) == count
        return listed and all(isinstance(one, kinds) and abs(one) < MOST for one in value)

    try:
        sides, normalised = numbers("size", 2, int), numbers("mean", 3, FLOATS) and numbers("deviation", 3, FLOATS)
        fits = sides and min(card["size"]) > 0 and max(1, batch) * math.prod(card["size"]) <= LARGEST**2
        fits &= normalised and 0 not in card["deviation"] if kind != "uint8" else card["mean"] is None
        if fits and card["layout"] in LAYOUTS and isinstance(card["output"], str):
            return {name: card[name] for name in ("size", "mean", "deviation", "layout", "output")}
    except (KeyError, TypeError):
        pass
    raise InputError(
        f"expected how {path.name} is fed (size, mean, deviation, layout, output) in {path.with_suffix('.json')}, found something "
        f"else; {MAKE}"
    )


def _channels_last(path: Path, output: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the order of axes, the photographs' first, in which a feature or a grid has its channels last.

    :param shape: for one photograph.
    :raises InputError: it is neither.
    """
    if len(shape) == 1:
        return 0, 1
    if len(shape) == 3 and (shape[0] == shape[1]) != (shape[1] == shape[2]):
        return (0, 1, 2, 3) if shape[0] == shape[1] else (0, 2, 3, 1)
    raise InputError(
        f"expected features (N, D) or a square grid, (N, h, w, C) or (N, C, h, w), as {output} of {path}, found "
        f"{('N', *shape)}; give --output of encoders.convert another tensor"
    )


def _session(path: Path, data: bytes) -> Any:
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # none: errors come as exceptions
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.use_env_allocators", "1")  # the bounded one
    options.add_session_config_entry(LARGEST_CONSTANT, str(disk.EXPANSION * len(data)))
    try:
        return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many kinds
        raise InputError(f"cannot load {path}: {_line(error)}; export it again, or get it again") from error


@cache
def _runtime() -> ModuleType:
    """Return onnxruntime, which takes no more memory than is free now."""
    runtime = _library("onnxruntime")
    arena = runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    processors = runtime.OrtMemoryInfo("Cpu", arena, 0, runtime.OrtMemType.DEFAULT)
    most = machine.free_memory() or UNKNOWN_MEMORY
    runtime.create_and_register_allocator(processors, runtime.OrtArenaCfg({"max_mem": most}))
    return runtime


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"expected {name}, without which no ONNX file is read, found none; run {INSTALL}") from error


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _shown(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:.4g}" for number in numbers)
