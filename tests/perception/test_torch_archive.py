"""Reading a weight file runs nothing of it, and a damaged one is refused."""

import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import pytest

from fleet_assets.perception.torch_archive import MAGIC, UnreadableParametersError, read_parameters
from resources.weights import WeightStore


class _Shell:
    """What a hostile file would hold: unpickling it runs a command."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self._target}",))


def write(path: Path, content: object, keys: list[str]) -> None:
    parts = [MAGIC, 1001, {"protocol_version": 1001, "little_endian": True}, content, keys]
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))


def test_a_file_that_wants_to_run_a_command_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    hostile, trace = tmp_path / "hostile.pth", tmp_path / "trace"
    write(hostile, OrderedDict(weight=_Shell(trace)), [])
    with pytest.raises(UnreadableParametersError, match=r"call posix\.system"):
        read_parameters(hostile)
    assert not trace.exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused_with_its_name(weights: WeightStore, tmp_path: Path, share: float) -> None:
    content = weights.open("efficientnet_lite0").files["parameters"].read_bytes()
    cut = tmp_path / "cut.pth"
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UnreadableParametersError, match="cut.pth"):
        read_parameters(cut)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    other.write_bytes(pickle.dumps(123) * 5)
    with pytest.raises(UnreadableParametersError, match="before 1.6"):
        read_parameters(other)


def test_numbers_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path, tensors = tmp_path / "own.pth", OrderedDict(a=torch.arange(12.0).reshape(3, 4).T, b=torch.tensor([7]))
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    read = read_parameters(path)
    assert read["a"].tolist() == tensors["a"].tolist()
    assert read["b"].tolist() == [7]
    assert struct.calcsize("<q") == 8
