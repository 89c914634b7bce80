"""Reading parameters from a safetensors file: a header in JSON, then the raw numbers. Nothing of it is run.

Here belongs the file format (huggingface/safetensors, README, "Format"). What the parameters are for is elsewhere.
"""

import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_LENGTH: Final = struct.Struct("<Q")
_TYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
}


class UnreadableTensorsError(ValueError):
    """A file that does not hold tensors in this format."""


def read_tensors(path: Path) -> Mapping[str, NDArray[Any]]:
    """Tensors by name, read-only.

    Args:
        path: A safetensors file.

    Raises:
        UnreadableTensorsError: When it is none, is cut off, or holds a type that is not read here.
    """
    content = path.read_bytes()
    try:
        (length,) = _LENGTH.unpack_from(content)
        header = json.loads(content[_LENGTH.size : _LENGTH.size + length])
        body = memoryview(content)[_LENGTH.size + length :]
        return {name: _tensor(body, told) for name, told in header.items() if name != "__metadata__"}
    except (struct.error, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableTensorsError(
            f"{path}: no safetensors file with numbers of type {', '.join(_TYPES)} ({error}). Check that it is whole."
        ) from error


def _tensor(body: memoryview, told: Mapping[str, Any]) -> NDArray[Any]:
    kind, shape = _TYPES[told["dtype"]], tuple(told["shape"])
    first, end = told["data_offsets"]
    if not 0 <= first <= end <= len(body) or end - first != prod(shape) * kind.itemsize:
        raise ValueError(f"bytes {first} to {end} of {len(body)} for shape {shape} of {kind}")
    return np.frombuffer(body[first:end], dtype=kind).reshape(shape)
