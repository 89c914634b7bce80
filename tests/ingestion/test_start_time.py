"""Where a drive's UTC comes from, and how wrong clocks are kept out."""

import copy
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Batch, Recording
from fleet_assets.ingestion.sensor_sync_and_format_conversion.start_time import (
    NoClockError,
    agreed_offset_ns,
    probe_clock,
)
from fleet_assets.policy.documents import load_document
from tests.mdf4_factory import MDF4_SPEC, write_mdf4_drive
from tests.recordings_factory import write_comma2k19_drive
from tests.vehicles import POLICIES, factory_mdf4, shipped, vehicle

START_NS = 1_700_000_000 * NS_PER_S
SHARED = Path(__file__).parents[3] / "shared" / "data"
COMMA = SHARED / "comma2k19_example" / "sample"
CSS = SHARED / "css_canedge_mf4"
GNSS = "processed_log/GNSS/live_gnss_ublox"


def rewrite(path: Path, change: Callable[[np.ndarray], None]) -> None:
    values = np.load(path)
    change(values)
    with path.open("wb") as stream:
        np.save(stream, values)


@pytest.mark.parametrize("start", ["2018-08-02T23:59:50", "2021-02-28T12:00:00", "2031-12-31T23:59:59.5"])
def test_gnss_places_a_boot_clock_on_any_day(tmp_path: Path, start: str) -> None:
    start_ns = int(datetime.datetime.fromisoformat(start).replace(tzinfo=datetime.UTC).timestamp() * 1e3) * 1_000_000
    car = shipped("comma2k19_rav4")
    clock = probe_clock(
        open_recording(write_comma2k19_drive(tmp_path, start_utc_ns=start_ns)), car.spec, car.dbcs
    )  # fmt: skip
    assert clock.time_source == "gnss"
    assert abs(clock.start_ns - start_ns) < 20_000_000
    assert abs(clock.end_ns - start_ns - 20 * NS_PER_S) < 20_000_000


def test_gnss_corrects_a_header_that_is_seconds_off(tmp_path: Path) -> None:
    car = factory_mdf4(tmp_path)
    recording = open_recording(write_mdf4_drive(tmp_path / "m", start_utc_ns=START_NS, header_ahead_s=7.0))
    clock = probe_clock(recording, car.spec, car.dbcs)
    assert recording.container_start_ns == START_NS + 7 * NS_PER_S
    assert clock.clock_offset_ns == pytest.approx(-7 * NS_PER_S, abs=2_000_000)
    assert clock.start_ns == pytest.approx(START_NS, abs=20_000_000)


def test_a_known_latency_is_taken_off_the_time_stamp(tmp_path: Path) -> None:
    files = write_comma2k19_drive(tmp_path, start_utc_ns=START_NS)
    plain = shipped("comma2k19_rav4")
    document = copy.deepcopy(dict(POLICIES["vehicles/comma2k19_rav4"]))
    document["sensors"]["gnss"]["latency_ms"]["mean"] = 150
    late = vehicle(document)
    offsets = [probe_clock(open_recording(files), car.spec, car.dbcs).clock_offset_ns for car in (plain, late)]
    assert offsets[1] - offsets[0] == 150_000_000


def test_a_receiver_that_counts_from_1980_before_its_fix_does_not_move_the_start(tmp_path: Path) -> None:
    files = write_comma2k19_drive(tmp_path, start_utc_ns=START_NS)

    def no_fix(values: np.ndarray) -> None:
        values[:150, 3] = 315_964_800_000 + values[:150, 3] % 1e6

    rewrite(files[f"{GNSS}/value"], no_fix)
    car = shipped("comma2k19_rav4")
    assert probe_clock(open_recording(files), car.spec, car.dbcs).start_ns == pytest.approx(START_NS, abs=20_000_000)


def test_messages_that_the_receiver_does_not_vouch_for_are_not_believed(tmp_path: Path) -> None:
    document = copy.deepcopy(dict(load_document(MDF4_SPEC, "factory")))
    document["sensors"]["clock"]["valid_when"] = {"signal": "Fix", "equals": 0}
    factory_mdf4(tmp_path)
    car = vehicle(document, (tmp_path,))
    clock = probe_clock(open_recording(write_mdf4_drive(tmp_path / "m", start_utc_ns=START_NS)), car.spec, car.dbcs)
    assert clock.time_source == "container"
    assert clock.clock_offset_ns == 0


def test_a_sensor_that_is_no_receiver_gives_the_time_source_sensor(tmp_path: Path) -> None:
    document = copy.deepcopy(dict(POLICIES["vehicles/comma2k19_rav4"]))
    document["sensors"]["gnss"]["kind"] = "other"
    car = vehicle(document)
    files = write_comma2k19_drive(tmp_path, start_utc_ns=START_NS)
    assert probe_clock(open_recording(files), car.spec, car.dbcs).time_source == "sensor"


def without_clock(tmp_path: Path) -> tuple[dict[str, Path], Any]:
    files = write_comma2k19_drive(tmp_path, start_utc_ns=START_NS)
    rewrite(files[f"{GNSS}/value"], lambda values: values[:, 3].fill(np.nan))
    return files, shipped("comma2k19_rav4")


def test_without_any_clock_the_error_says_how_to_give_the_start(tmp_path: Path) -> None:
    files, car = without_clock(tmp_path)
    with pytest.raises(NoClockError, match="--start") as caught:
        probe_clock(open_recording(files), car.spec, car.dbcs)
    assert "gnss" in str(caught.value)


def test_a_given_start_is_the_first_message_where_nothing_else_states_utc(tmp_path: Path) -> None:
    files, car = without_clock(tmp_path)
    clock = probe_clock(open_recording(files), car.spec, car.dbcs, given_start_ns=START_NS)
    assert (clock.start_ns, clock.time_source) == (START_NS, "given")


def test_gnss_is_believed_before_a_given_start(tmp_path: Path) -> None:
    car = shipped("comma2k19_rav4")
    files = write_comma2k19_drive(tmp_path, start_utc_ns=START_NS)
    clock = probe_clock(open_recording(files), car.spec, car.dbcs, given_start_ns=START_NS + 3600 * NS_PER_S)
    assert clock.time_source == "gnss"


class CountingRecording:
    """A recording that counts what is read of it."""

    def __init__(self, inner: Recording) -> None:
        self.inner, self.read, self.wanted = inner, 0, []
        self.container_start_ns, self.clock = inner.container_start_ns, inner.clock

    def extent_ns(self) -> tuple[int, int]:
        """As the recording's."""
        return self.inner.extent_ns()

    def batches(self, wanted: Any) -> Any:
        """As the recording's, counted."""
        self.wanted.append(set(wanted))
        batch: Batch
        for batch in self.inner.batches(wanted):
            self.read += len(batch)
            yield batch


def test_only_the_first_minutes_of_the_channel_that_states_utc_are_read(tmp_path: Path) -> None:
    files = write_comma2k19_drive(tmp_path, start_utc_ns=START_NS, seconds=900)
    car = shipped("comma2k19_rav4")
    recording = CountingRecording(open_recording(files))
    probe_clock(recording, car.spec, car.dbcs)
    assert recording.wanted == [{GNSS}]
    assert 1000 < recording.read < 2000


@given(
    st.lists(st.floats(-0.4, 0.4), min_size=10, max_size=60),
    st.lists(st.floats(-1e6, 1e6), max_size=9),
    st.integers(1_400_000_000, 2_000_000_000),
)
def test_a_minority_of_wrong_offsets_never_moves_the_result_out_of_the_agreeing_ones(
    noise: list[float], wrong: list[float], true_s: int
) -> None:
    right = [true_s + value for value in noise]
    offsets = np.array(right + [true_s + value for value in wrong]) * NS_PER_S
    found = agreed_offset_ns(offsets)
    assert found is not None
    assert abs(found / NS_PER_S - true_s) <= 2.0


def test_a_clock_that_stands_still_agrees_with_nothing() -> None:
    standing = 1.7e18 - np.arange(1200) * 1e8
    assert agreed_offset_ns(standing) is None


@pytest.mark.real_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not in ../shared/data")
def test_the_real_drives_start_when_their_gnss_says() -> None:
    trip = CSS / "sample" / "3BA199E2_trip164_morning"
    car = shipped("css_canedge", CSS / "dbc")
    clock = probe_clock(open_recording({path.name: path for path in trip.iterdir()}), car.spec, car.dbcs)
    header = datetime.datetime(2021, 7, 26, 4, 40, 54, tzinfo=datetime.UTC).timestamp()
    assert header + clock.clock_offset_ns / 1e9 == pytest.approx(header - 4.5, abs=0.1)
    assert (clock.end_ns - clock.start_ns) // NS_PER_S == 2389
    car = shipped("comma2k19_rav4")
    files = {str(path.relative_to(COMMA)): path for path in COMMA.rglob("*") if path.is_file()}
    clock = probe_clock(open_recording(files), car.spec, car.dbcs)
    expected = datetime.datetime(2018, 8, 2, 16, 14, 48, tzinfo=datetime.UTC).timestamp()
    assert clock.start_ns / 1e9 == pytest.approx(expected, abs=0.5)
