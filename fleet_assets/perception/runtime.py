"""How models run: one thread per process, on the CPU, so that the same picture gives the same numbers everywhere.

Here belongs opening a model. Parallelism is over drives, never inside one.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnxruntime


def onnx_session(model: Path | bytes) -> "onnxruntime.InferenceSession":
    """An onnxruntime session with one thread, on the CPU.

    Args:
        model: The model's file or its content.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # Warnings come while the graph is read, before the session's own level counts.
    onnxruntime.set_default_logger_severity(3)
    given = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])


def run(session: "onnxruntime.InferenceSession", blob: NDArray[np.float32]) -> list[NDArray[Any]]:
    """All outputs for the only input of a model."""
    return list(session.run(None, {session.get_inputs()[0].name: blob}))


def single_threaded_opencv() -> Any:
    """OpenCV with one thread in this process, and without OpenCL."""
    import cv2

    cv2.setNumThreads(1)
    cv2.ocl.setUseOpenCL(False)
    return cv2


def with_free_size(model: Path) -> bytes:
    """An ONNX model whose only input and outputs take any batch, height and width; its weights stay as they are.

    Args:
        model: Model with one input [n, channels, height, width] whose sizes are fixed to what it was exported with.
            Older exporters name its weights as inputs, too: those are dropped, since onnxruntime neither lays out nor
            merges what a caller might still replace (half of CenterFace's time).
    """
    import onnx

    graph = onnx.load(str(model))
    weights = {value.name for value in graph.graph.initializer}
    inputs = [value for value in graph.graph.input if value.name not in weights]
    del graph.graph.input[:]
    graph.graph.input.extend(inputs)
    for value in (*graph.graph.input, *graph.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for place, name in ((0, "n"), (2, "h"), (3, "w")):
            if place < len(dimensions):
                dimensions[place].ClearField("dim_value")
                dimensions[place].dim_param = f"{value.name}_{name}"
    return bytes(graph.SerializeToString())
