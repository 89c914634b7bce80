"""Vectors of sentences by a BERT encoder such as all-MiniLM-L6-v2 (Reimers and Gurevych, EMNLP 2019), mean-pooled.

Here belongs the network's architecture: the weight file holds parameters only. The graph is built as ONNX from them
and run by onnxruntime: torch is not needed. Every text is a batch of its own, so that no neighbour changes its numbers
and nothing is computed for padding.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.perception.runtime import onnx_session
from fleet_assets.perception.tensor_file import read_tensors
from fleet_assets.perception.wordpiece import WordPieces

_OPSET: Final = 17
_IR_VERSION: Final = 8
_EPSILON: Final = 1e-12
_HEAD_SIZE: Final = 32
"""Of the MiniLM family with 384 hidden numbers in 12 heads; the file of parameters does not tell it."""


class _Encoder:
    """An ONNX graph of a BERT encoder in the making."""

    def __init__(self, parameters: Mapping[str, NDArray[Any]]) -> None:
        self._parameters = parameters
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.hidden = parameters["embeddings.word_embeddings.weight"].shape[1]

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def linear(self, source: str, at: str) -> str:
        weight = self.constant(self._parameters[f"{at}.weight"].T)
        return self.add("Add", self.add("MatMul", source, weight), self.constant(self._parameters[f"{at}.bias"]))

    def normalised(self, source: str, at: str) -> str:
        scale, shift = (self.constant(self._parameters[f"{at}.LayerNorm.{part}"]) for part in ("weight", "bias"))
        return self.add("LayerNormalization", source, scale, shift, axis=-1, epsilon=_EPSILON)

    def embedded(self) -> str:
        """Words, positions and the first sentence's type."""
        tables = [self._parameters[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position")]
        parts = [
            self.add("Gather", self.constant(table), name)
            for table, name in zip(tables, ("tokens", "positions"), strict=True)
        ]
        kind = self.constant(self._parameters["embeddings.token_type_embeddings.weight"][0])
        return self.normalised(self.add("Add", self.add("Add", *parts), kind), "embeddings")

    def attended(self, source: str, at: str) -> str:
        """Self-attention over all tokens."""
        apart = self.constant(np.array([0, 0, self.hidden // _HEAD_SIZE, _HEAD_SIZE], dtype=np.int64))
        query, key, value = (
            self.add("Reshape", self.linear(source, f"{at}.self.{name}"), apart) for name in ("query", "key", "value")
        )
        scores = self.add(
            "MatMul",
            self.add("Transpose", query, perm=[0, 2, 1, 3]),
            self.add("Transpose", key, perm=[0, 2, 3, 1]),
        )
        scaled = self.add("Mul", scores, self.constant(np.asarray(1.0 / np.sqrt(_HEAD_SIZE), np.float32)))
        mixed = self.add(
            "MatMul", self.add("Softmax", scaled, axis=-1), self.add("Transpose", value, perm=[0, 2, 1, 3])
        )
        together = self.constant(np.array([0, 0, self.hidden], dtype=np.int64))
        joined = self.add("Reshape", self.add("Transpose", mixed, perm=[0, 2, 1, 3]), together)
        return self.normalised(self.add("Add", self.linear(joined, f"{at}.output.dense"), source), f"{at}.output")

    def layer(self, source: str, number: int) -> str:
        at = f"encoder.layer.{number}"
        attended = self.attended(source, f"{at}.attention")
        wide = self.linear(attended, f"{at}.intermediate.dense")
        half = self.add("Mul", wide, self.constant(np.asarray(0.5, np.float32)))
        error = self.add("Erf", self.add("Mul", wide, self.constant(np.asarray(1.0 / np.sqrt(2.0), np.float32))))
        active = self.add("Mul", half, self.add("Add", error, self.constant(np.asarray(1.0, np.float32))))
        return self.normalised(self.add("Add", self.linear(active, f"{at}.output.dense"), attended), f"{at}.output")


def encoder_model(parameters: Mapping[str, NDArray[Any]]) -> bytes:
    """The network as ONNX with inputs `tokens` and `positions` int64[1, n] and the mean of its last layer [1, hidden].

    Args:
        parameters: Parameters by the names of the PyTorch original.

    Raises:
        KeyError: When one is missing.
    """
    from onnx import TensorProto, helper

    graph = _Encoder(parameters)
    output = graph.embedded()
    layers = 1 + max(int(name.split(".")[2]) for name in parameters if name.startswith("encoder.layer."))
    for number in range(layers):
        output = graph.layer(output, number)
    pooled = graph.add("ReduceMean", output, axes=[1], keepdims=0)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "bert_encoder",
            [helper.make_tensor_value_info(name, TensorProto.INT64, [1, "n"]) for name in ("tokens", "positions")],
            [helper.make_tensor_value_info(pooled, TensorProto.FLOAT, [1, graph.hidden])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    return bytes(model.SerializeToString())


class SentenceNetwork:
    """Computes vectors of texts.

    Args:
        parameters: The weight file.
        vocabulary: The file of its pieces of words.
        most_tokens: Longer texts are cut off there.
    """

    def __init__(self, parameters: Path, vocabulary: Path, most_tokens: int) -> None:
        self._session = onnx_session(encoder_model(read_tensors(parameters)))
        self._pieces, self._most = WordPieces(vocabulary), most_tokens

    def __call__(self, text: str) -> tuple[NDArray[np.float32], int]:
        """Vector float32[hidden] of a text, not normalised, and how many tokens went in."""
        tokens = np.array([self._pieces(text, self._most)], dtype=np.int64)
        positions = np.arange(tokens.shape[1], dtype=np.int64)[None]
        (vector,) = self._session.run(None, {"tokens": tokens, "positions": positions})
        return np.asarray(vector[0], dtype=np.float32), tokens.shape[1]
