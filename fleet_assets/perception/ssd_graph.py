"""A frozen TensorFlow graph of an SSD (Liu et al., ECCV 2016) as an ONNX model, and its boxes at rest.

Here belongs translation: onnxruntime runs the network in a fifth of the time that OpenCV's engine takes, and every
converter wants TensorFlow itself. What the boxes mean is in `objects.py`.

Two files: the graph with its parameters (.pb), and OpenCV's description of how its layers hang together (.pbtxt), in
which layers of OpenCV stand for what comes after the network.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_OPSET, _IR_VERSION = 13, 8
_KERNEL: Final = (3, 2, 0, 1)
"""TensorFlow's kernels are height, width, in, out; ONNX's out, in, height, width."""
_ONE_EACH: Final = (2, 3, 0, 1)
"""The same where every channel has a kernel of its own."""
_ROWS_FIRST: Final = (0, 2, 3, 1)
_CORNERS: Final = 4
_KINDS: Final = {"string": 9, "bytes": 12, "float": 2, "int64": 3}
_MESSAGES: Final[Mapping[str, Sequence[tuple[str, int, str, bool]]]] = {
    "Graph": (("node", 1, "Node", True),),
    "Node": (
        ("name", 1, "string", False),
        ("op", 2, "string", False),
        ("input", 3, "string", True),
        ("attr", 5, "Entry", True),
    ),
    "Entry": (("key", 1, "string", False), ("value", 2, "Value", False)),
    "Value": (
        ("list", 1, "List", False),
        ("i", 3, "int64", False),
        ("f", 4, "float", False),
        ("tensor", 8, "Tensor", False),
    ),
    "List": (("i", 3, "int64", True),),
    "Tensor": (
        ("tensor_shape", 2, "Shape", False),
        ("tensor_content", 4, "bytes", False),
        ("float_val", 5, "float", True),
    ),
    "Shape": (("dim", 2, "Dim", True),),
    "Dim": (("size", 1, "int64", False),),
}
"""What is read of TensorFlow's messages: field, number, type, whether it repeats."""


@dataclass(frozen=True, slots=True)
class SsdModel:
    """A translated network.

    Attributes:
        onnx: Model with one input float32[n, 3, h, w] of grey levels and two outputs: offsets float32[n, boxes, 4]
            (down, right, log height, log width) and scores float32[n, boxes, classes].
        at_rest: Boxes that the offsets are of, float32[boxes, 4]: middle down, middle right, height and width as
            shares of the picture.
        variance: float32[4], what offsets are multiplied by, in their order.
        most_iou: Two boxes of a class that overlap more are one object.
    """

    onnx: bytes
    at_rest: NDArray[np.float32]
    variance: NDArray[np.float32]
    most_iou: float


def translated(graph: Path, description: Path, size_px: tuple[int, int], classes: Sequence[int]) -> SsdModel:
    """Translate a network.

    Args:
        graph: Parameters, .pb.
        description: Layers, .pbtxt.
        size_px: Width and height of the input.
        classes: Numbers of the classes whose scores are wanted; the others are not computed.

    Raises:
        ValueError: When the description is not that of an SSD.
    """
    from google.protobuf import text_format

    message = _message_classes()["Graph"]
    layers = {
        node.name: node for node in text_format.Parse(description.read_text(), message(), allow_unknown_field=True).node
    }
    held = {node.name: _attributes(node)["value"].tensor for node in message.FromString(graph.read_bytes()).node
            if node.op == "Const"}  # fmt: skip
    ends = [node for node in layers.values() if node.op == "DetectionOutput"]
    if len(ends) != 1:
        raise ValueError(f"{description.name}: {len(ends)} layers DetectionOutput, expected one. Give an SSD's.")
    return _model(_Heads.of(ends[0], layers, list(classes)), layers, held, size_px)


@dataclass(frozen=True, slots=True)
class _Heads:
    """Where the network ends.

    Attributes:
        offsets: Names of the layers with offsets, from the largest map to the smallest.
        scores: Names of those with scores.
        priors: Layers that describe the boxes at rest.
        classes: Numbers of the classes wanted.
        of_classes: Number of all classes.
        most_iou: See `SsdModel`.
    """

    offsets: Sequence[str]
    scores: Sequence[str]
    priors: Sequence[Any]
    classes: Sequence[int]
    of_classes: int
    most_iou: float

    @classmethod
    def of(cls, end: Any, layers: Mapping[str, Any], classes: Sequence[int]) -> "_Heads":
        joined_offsets, sigmoid, joined_priors = end.input
        limits = _attributes(end)
        return cls(
            [layers[flat].input[0] for flat in layers[joined_offsets].input[:-1]],
            [layers[flat].input[0] for flat in layers[layers[sigmoid].input[0]].input[:-1]],
            [layers[name] for name in layers[joined_priors].input[:-1]],
            classes,
            limits["num_classes"].i,
            limits["nms_threshold"].f,
        )

    def channels(self, name: str, layers: Mapping[str, Any]) -> list[int] | None:
        """Channels that are kept of a layer; None for all."""
        for score, prior in zip(self.scores, self.priors, strict=True):
            if name in {score, layers[score].input[0]}:
                boxes = len(_attributes(prior)["width"].tensor.float_val)
                return [box * self.of_classes + one for box in range(boxes) for one in self.classes]
        return None


def _message_classes() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="frozen_graph.proto", package="frozen_graph", syntax="proto2")
    for name, fields in _MESSAGES.items():
        made = file.message_type.add(name=name)
        for key, number, kind, repeats in fields:
            one = made.field.add(name=key, number=number, label=3 if repeats else 1, type=_KINDS.get(kind, 11))
            if kind not in _KINDS:
                one.type_name = f".frozen_graph.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"frozen_graph.{name}")) for name in _MESSAGES
    }


def _attributes(node: Any) -> dict[str, Any]:
    return {entry.key: entry.value for entry in node.attr}


def _values(tensor: Any) -> NDArray[np.float32]:
    """At least one-dimensional."""
    shape = [dim.size for dim in tensor.tensor_shape.dim] or [1]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, "<f4").reshape(shape)
    # A single value stands for all of them.
    return np.broadcast_to(np.asarray(tensor.float_val, dtype=np.float32), shape)


@dataclass(slots=True)
class _Graph:
    """The ONNX graph as far as it is made.

    Attributes:
        heads: Where it ends.
        layers: Layers of the description by name.
        held: Parameters by name.
        cells: Rows and columns of what a layer gives.
        nodes: Nodes made.
        constants: Parameters used.
    """

    heads: _Heads
    layers: Mapping[str, Any]
    held: Mapping[str, Any]
    cells: dict[str, tuple[int, int]]
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        if inputs[0] in self.cells:
            self.cells.setdefault(output, self.cells[inputs[0]])

    def constant(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def parameter(self, name: str, channels: list[int] | None = None) -> NDArray[np.float32]:
        values = _values(self.held[name])
        return values if channels is None else values[..., channels]


def _convolution(graph: _Graph, layer: Any) -> None:
    one_each = layer.op == "DepthwiseConv2dNative"
    source, name = layer.input
    kernel = graph.parameter(name, graph.heads.channels(layer.name, graph.layers))
    step = _attributes(layer)["strides"].list.i[1]
    rows, columns = graph.cells[source]
    graph.cells[layer.name] = (-(-rows // step), -(-columns // step))
    graph.add(
        "Conv",
        [source, graph.constant(f"{layer.name}/kernel", kernel.transpose(_ONE_EACH if one_each else _KERNEL))],
        layer.name,
        auto_pad="SAME_UPPER",
        strides=[step, step],
        kernel_shape=list(kernel.shape[:2]),
        group=kernel.shape[2] if one_each else 1,
    )


def _normalization(graph: _Graph, layer: Any) -> None:
    constants = [graph.constant(name, graph.parameter(name)) for name in layer.input[1:]]
    epsilon = _attributes(layer)["epsilon"].f
    graph.add("BatchNormalization", [layer.input[0], *constants], layer.name, epsilon=epsilon)


def _clip(graph: _Graph, layer: Any) -> None:
    limits = [graph.constant(name, np.array(value, dtype=np.float32)) for name, value in (("no", 0.0), ("six", 6.0))]
    graph.add("Clip", [layer.input[0], *limits], layer.name)


def _with_parameter(graph: _Graph, layer: Any) -> None:
    """A layer of two inputs, the second of which is a parameter by channel, or one for all."""
    values = graph.parameter(layer.input[1], graph.heads.channels(layer.name, graph.layers))
    name = graph.constant(f"{layer.name}/by", values.reshape(-1, 1, 1))
    graph.add({"BiasAdd": "Add"}.get(layer.op, layer.op), [layer.input[0], name], layer.name)


def _same(graph: _Graph, layer: Any) -> None:
    graph.add(layer.op, layer.input, layer.name)


_TRANSLATIONS: Final[Mapping[str, Callable[[_Graph, Any], None]]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _convolution,
    "FusedBatchNorm": _normalization,
    "Relu6": _clip,
    "BiasAdd": _with_parameter,
    "Mul": _with_parameter,
    "Sub": _with_parameter,
    "Add": _same,
    "Identity": _same,
}
_OUTSIDE: Final = frozenset({"Placeholder", "Const", "Flatten", "ConcatV2", "Sigmoid", "PriorBox", "DetectionOutput"})
"""What stands before and after the network."""


def _model(heads: _Heads, layers: Mapping[str, Any], held: Mapping[str, Any], size_px: tuple[int, int]) -> SsdModel:
    from onnx import TensorProto, helper

    width, height = size_px
    inputs = [name for name, layer in layers.items() if layer.op == "Placeholder"]
    graph = _Graph(heads, layers, held, dict.fromkeys(inputs, (height, width)))
    for layer in layers.values():
        if layer.op in _TRANSLATIONS:
            _TRANSLATIONS[layer.op](graph, layer)
        elif layer.op not in _OUTSIDE:
            raise ValueError(f"{layer.name}: an SSD has no layer {layer.op}. Give the graph of an SSD.")
    outputs = _ended(graph)
    made = helper.make_graph(
        graph.nodes,
        "ssd",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, height, width]) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "boxes", None]) for name in outputs],
        list(graph.constants.values()),
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    at_rest = [_at_rest(prior, graph.cells[prior.input[0]], size_px) for prior in heads.priors]
    variance = _values(_attributes(heads.priors[0])["variance"].tensor)
    # OpenCV's order is right, down; the network's is down, right.
    return SsdModel(model.SerializeToString(), np.concatenate(at_rest), variance[[1, 0, 3, 2]], heads.most_iou)


def _ended(graph: _Graph) -> tuple[str, str]:
    """Names of the two outputs, made of the maps of all sizes."""
    for kind, names, numbers in (
        ("offsets", graph.heads.offsets, _CORNERS),
        ("logits", graph.heads.scores, len(graph.heads.classes)),
    ):
        shape = graph.constant(f"{kind}/shape", np.array([0, -1, numbers], dtype=np.int64))
        for name in names:
            graph.add("Transpose", [name], f"{name}/turned", perm=_ROWS_FIRST)
            graph.add("Reshape", [f"{name}/turned", shape], f"{name}/rows")
        graph.add("Concat", [f"{name}/rows" for name in names], kind, axis=1)
    graph.add("Sigmoid", ["logits"], "scores")
    return "offsets", "scores"


def _at_rest(prior: Any, cells: tuple[int, int], size_px: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes at rest of one map, row by row, cell by cell."""
    given = _attributes(prior)
    widths, heights = (
        _values(given[name].tensor) / size for name, size in zip(("width", "height"), size_px, strict=True)
    )
    down, right, shape = np.meshgrid(
        (np.arange(cells[0]) + 0.5) / cells[0],
        (np.arange(cells[1]) + 0.5) / cells[1],
        np.arange(len(widths)),
        indexing="ij",
    )
    boxes = np.stack([down, right, heights[shape], widths[shape]], axis=-1)
    return boxes.reshape(-1, 4).astype(np.float32)
