"""A recording moved by days is the same recording otherwise, as other readers of its format see it too."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.mdf4_factory import write_mdf4_drive
from tests.shift_recordings import MS_PER_DAY, UnknownLayoutError, shift_canedge, shift_comma2k19


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.real_data
def test_a_shifted_comma2k19_segment_differs_in_its_gnss_time_only(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "comma2k19_example" / "sample"
    before, after = contents(source), contents(shift_comma2k19(source, tmp_path / "moved", -3))
    changed = {name for name in before if before[name] != after[name]}
    assert before.keys() == after.keys()
    assert {"/".join(Path(name).parts[-3:]) for name in changed} == {
        "GNSS/live_gnss_ublox/value",
        "GNSS/live_gnss_qcom/value",
    }
    for name in changed:
        with (source / name).open("rb") as old, (tmp_path / "moved" / name).open("rb") as new:
            difference = np.load(new) - np.load(old)
        assert set(difference[:, 3]) == {-3.0 * MS_PER_DAY}
        assert not np.delete(difference, 3, axis=1).any()


@pytest.mark.real_data
def test_a_shifted_mdf4_trip_differs_in_header_and_gnss_time_only(real_data: Path, tmp_path: Path) -> None:
    from asammdf import MDF

    folder = real_data / "css_canedge_mf4"
    source, name = folder / "sample" / "3BA199E2_trip164_morning", "00000005-60FEB5A8.MF4"
    moved = shift_canedge(source, tmp_path / "moved", 1010)
    found = []
    for path in (source / name, moved / name):
        with MDF(path) as raw:
            start = raw.header.start_time
            decoded: Any = raw.extract_bus_logging({"CAN": [(str(folder / "dbc" / "canmod-gps.dbc"), 0)]})
        channels = {
            (number, channel.name): decoded.get(channel.name, group=number).samples
            for number, group in enumerate(decoded.groups)
            for channel in group.channels
        }
        found.append((start, channels))
    (start, before), (moved_start, after) = found
    assert moved_start - start == datetime.timedelta(days=1010)
    assert before.keys() == after.keys()
    assert len(before) > 20
    for key, samples in before.items():
        expected = samples + 1010 * 86_400 if key[1] == "Epoch" else samples
        assert np.array_equal(after[key], expected), key


def test_files_that_are_laid_out_otherwise_are_refused_by_name(tmp_path: Path) -> None:
    write_mdf4_drive(tmp_path / "drive", start_utc_ns=1_714_550_400_000_000_000, seconds=2.0)
    with pytest.raises(UnknownLayoutError, match=r"00000001\.mf4"):
        shift_canedge(tmp_path / "drive", tmp_path / "moved", 1)
