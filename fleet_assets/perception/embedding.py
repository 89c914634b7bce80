"""Image features by EfficientNet-Lite0 (Tan and Le, ICML 2019; TensorFlow's lite variant), 1280 numbers per picture.

Here belongs the network's architecture: the weight file holds parameters only. The graph is built as ONNX from them,
batch normalisation folded into the convolutions, and run by onnxruntime: torch is not needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.preprocessing import InputSpec, Picture, blob
from fleet_assets.perception.runtime import onnx_session, run
from fleet_assets.perception.torch_archive import read_parameters

FEATURES: Final = 1280
CLASSES: Final = 1000
_OPSET: Final = 17
_IR_VERSION: Final = 8
_EPSILON: Final = 1e-3
"""Of the batch normalisations, as in TensorFlow's original."""


class Stage(NamedTuple):
    """Blocks of one kind: how many, kernel, stride of the first, expansion, channels out."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES: Final = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""EfficientNet-B0 without squeeze-and-excitation."""


class _Graph:
    """An ONNX graph in the making."""

    def __init__(self, parameters: Mapping[str, NDArray[np.float32]]) -> None:
        self._parameters = parameters
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def convolution(  # noqa: PLR0917 - the layer's own parameters
        self, source: str, weight: str, normalisation: str, stride: int = 1, groups: int = 1, clip: bool = True
    ) -> str:
        """A convolution with its batch normalisation and, if wanted, ReLU6; padded as TensorFlow's ``SAME``."""
        kernel = self._parameters[f"{weight}.weight"].astype(np.float64)
        scale = self._parameters[f"{normalisation}.weight"].astype(np.float64) / np.sqrt(
            self._parameters[f"{normalisation}.running_var"].astype(np.float64) + _EPSILON
        )
        bias = self._parameters[f"{normalisation}.bias"] - self._parameters[f"{normalisation}.running_mean"] * scale
        folded = (kernel * scale[:, None, None, None]).astype(np.float32)
        output = self.add(
            "Conv",
            [source, self.constant(folded), self.constant(bias.astype(np.float32))],
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            group=groups,
            auto_pad="SAME_UPPER",
        )
        if not clip:
            return output
        return self.add("Clip", [output, *(self.constant(np.asarray(end, dtype=np.float32)) for end in (0, 6))])

    def block(self, source: str, number: int, stage: Stage, first: bool) -> str:
        """An inverted residual (Sandler et al., CVPR 2018)."""
        at = f"_blocks.{number}"
        output = source
        if stage.expansion > 1:
            output = self.convolution(output, f"{at}._expand_conv", f"{at}._bn0")
        wide = len(self._parameters[f"{at}._depthwise_conv.weight"])
        stride = stage.stride if first else 1
        output = self.convolution(output, f"{at}._depthwise_conv", f"{at}._bn1", stride, wide)
        output = self.convolution(output, f"{at}._project_conv", f"{at}._bn2", clip=False)
        return output if first else self.add("Add", [output, source])


def onnx_model(parameters: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The network as ONNX with input [n, 3, h, w] and outputs features [n, 1280] and logits [n, 1000].

    Args:
        parameters: Parameters by the names of the PyTorch original.

    Raises:
        KeyError: When one is missing.
    """
    from onnx import TensorProto, helper

    graph = _Graph(parameters)
    output = graph.convolution("picture", "_conv_stem", "_bn0", stride=2)
    number = 0
    for stage in STAGES:
        for repeat in range(stage.repeats):
            output = graph.block(output, number, stage, first=repeat == 0)
            number += 1
    output = graph.convolution(output, "_conv_head", "_bn1")
    features = graph.add("Flatten", [graph.add("GlobalAveragePool", [output])])
    weight, bias = graph.constant(parameters["_fc.weight"]), graph.constant(parameters["_fc.bias"])
    logits = graph.add("Gemm", [features, weight, bias], transB=1)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet_lite0",
            [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, "h", "w"])],
            [
                helper.make_tensor_value_info(features, TensorProto.FLOAT, ["n", FEATURES]),
                helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["n", CLASSES]),
            ],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    return bytes(model.SerializeToString())


class FeatureNetwork:
    """Computes features of pictures.

    Args:
        parameters: The weight file.
        spec: What the network wants to see.
    """

    def __init__(self, parameters: Path, spec: InputSpec) -> None:
        self._session = onnx_session(onnx_model(read_parameters(parameters)))
        self._spec = spec

    def __call__(self, picture: Picture) -> NDArray[np.float32]:
        """Features of uint8[h, w, 3], blue, green, red: float32[1280], not negative."""
        return np.asarray(self.both(picture)[0], dtype=np.float32)

    def both(self, picture: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features float32[1280] and the logits of ImageNet's classes float32[1000]."""
        features, logits = run(self._session, blob(picture, self._spec))
        return features[0], logits[0]
