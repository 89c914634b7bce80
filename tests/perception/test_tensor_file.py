"""Safetensors files: what is written is read, and what is broken is refused."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from fleet_assets.perception.tensor_file import UnreadableTensorsError, read_tensors


def write(path: Path, header: dict[str, object], body: bytes) -> Path:
    """A file by the format's description: length of the header, header, numbers."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def test_tensors_come_back_by_name(tmp_path: Path) -> None:
    one, two = np.arange(6, dtype="<f4").reshape(2, 3), np.array([7], dtype="<i8")
    header = {
        "__metadata__": {"format": "pt"},
        "one": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "two": {"dtype": "I64", "shape": [1], "data_offsets": [24, 32]},
    }
    read = read_tensors(write(tmp_path / "m", header, one.tobytes() + two.tobytes()))
    assert sorted(read) == ["one", "two"]
    assert np.array_equal(read["one"], one)
    assert np.array_equal(read["two"], two)


@pytest.mark.parametrize(
    "told",
    [
        {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 20]},
        {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 48]},
        {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
        {"dtype": "F32", "shape": [2, 3]},
        "nonsense",
    ],
)
def test_a_file_that_is_cut_off_or_of_another_kind_is_refused(tmp_path: Path, told: object) -> None:
    with pytest.raises(UnreadableTensorsError, match="Check that it is whole"):
        read_tensors(write(tmp_path / "m", {"one": told}, bytes(24)))


def test_what_is_no_such_file_at_all_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"short", b"\xff" * 64):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(UnreadableTensorsError):
            read_tensors(tmp_path / "m")
