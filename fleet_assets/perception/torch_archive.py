"""Reading parameters from a PyTorch file of the format before 1.6, without PyTorch and without running its pickles.

Here belongs the file format: five pickles, then the raw storages. A pickle could call anything; here it may build
dictionaries and tensors only.
"""

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001
_TYPES: Final[Mapping[str, np.dtype[Any]]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class UnreadableParametersError(ValueError):
    """A file that does not hold parameters in this format."""


class _Tensor:
    """A view of a storage, whose numbers come later in the file."""

    def __init__(self, storage: tuple[Any, ...], offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.kind, self.key = storage[1], storage[2]
        self.offset, self.shape, self.stride = offset, shape, stride


def _rebuild(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any) -> _Tensor:
    del rest
    return _Tensor(storage, offset, size, stride)


class _Parameters(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
            **{("torch", kind): kind for kind in _TYPES},
        }
        if (module, name) not in allowed:
            raise UnreadableParametersError(f"the file wants to call {module}.{name}. Use a file of plain parameters.")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> Any:
        return pid


def read_parameters(path: Path) -> Mapping[str, NDArray[Any]]:
    """Parameters by name.

    Args:
        path: File that `torch.save(model.state_dict(), path)` wrote before PyTorch 1.6.

    Raises:
        UnreadableParametersError: When it is none, or wants to call anything but what builds tensors.
    """
    stream = io.BytesIO(path.read_bytes())
    try:
        magic, protocol, system = (_Parameters(stream).load() for _ in range(3))
        if magic != MAGIC or protocol != _PROTOCOL or not system["little_endian"]:
            raise UnreadableParametersError(
                f"{path}: magic {magic!r}, protocol {protocol!r}. Expected PyTorch's format before 1.6, little endian."
            )
        tensors, keys = _Parameters(stream).load(), _Parameters(stream).load()
        kinds = {tensor.key: tensor.kind for tensor in tensors.values()}
        storages = {key: _storage(stream, _TYPES[kinds[key]]) for key in keys}
        return {name: _view(storages[tensor.key], tensor) for name, tensor in tensors.items()}
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError, struct.error, ValueError) as error:
        if isinstance(error, UnreadableParametersError):
            raise UnreadableParametersError(
                f"{path}: {error}" if str(path) not in str(error) else str(error)
            ) from error
        raise UnreadableParametersError(
            f"{path}: no parameters in PyTorch's format before 1.6 ({error}). Check that the file is whole."
        ) from error


def _storage(stream: io.BytesIO, kind: np.dtype[Any]) -> NDArray[Any]:
    (count,) = struct.unpack("<q", stream.read(8))
    content = stream.read(count * kind.itemsize)
    if len(content) != count * kind.itemsize:
        raise UnreadableParametersError(f"{len(content)} bytes of a storage of {count * kind.itemsize}")
    return np.frombuffer(content, dtype=kind)


def _view(storage: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    items = storage[tensor.offset :]
    stride = tuple(step * storage.itemsize for step in tensor.stride)
    last = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride, strict=True))
    if 0 not in tensor.shape and last >= len(items):
        raise UnreadableParametersError(f"a tensor of shape {tensor.shape} reaches beyond its storage")
    return np.lib.stride_tricks.as_strided(items, tensor.shape, stride).copy()
