"""GoPro telemetry: numbers, axes and times as the format says, held against GoPro's own parser too."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Summary
from fleet_assets.ingestion.recordings.video.video import VideoRecording
from tests.harness import utc_ns
from tests.ingestion.recordings.corruption import FAST_SEEDS, SLOW_SEEDS, assert_survives
from tests.ingestion.recordings.video_factory import telemetry_file

SEEDS: Final = [*FAST_SEEDS, *(pytest.param(seed, marks=pytest.mark.slow) for seed in SLOW_SEEDS)]
PAYLOAD_NS: Final = 1_001_000_000


def item(key: str, kind: str, data: bytes, *, size: int = 1) -> bytes:
    """One key-length-value item; `kind` is empty for a nest."""
    head = struct.pack(">4sBBH", key.encode(), ord(kind) if kind else 0, size, len(data) // size)
    return head + data + bytes(-len(data) % 4)


def shorts(key: str, rows: Sequence[Sequence[int]]) -> bytes:
    width = len(rows[0]) if rows else 1
    return item(key, "s", np.array(rows, ">i2").tobytes(), size=2 * width)


def stream(*items: bytes) -> bytes:
    return item("STRM", "", b"".join(items))


def device(*streams: bytes, number: int = 1) -> bytes:
    return item("DEVC", "", b"".join([item("DVID", "L", struct.pack(">I", number), size=4), *streams]))


def total(samples: int) -> bytes:
    return item("TSMP", "L", struct.pack(">I", samples), size=4)


def stamp(microseconds: int) -> bytes:
    return item("STMP", "J", struct.pack(">Q", microseconds), size=8)


def scale(*divisors: int) -> bytes:
    return item("SCAL", "l", struct.pack(f">{len(divisors)}i", *divisors), size=4)


def read(path: Path, payloads: Sequence[bytes]) -> tuple[dict[str, dict[str, Any]], Summary, VideoRecording]:
    """Columns, with `t_ns`, by channel."""
    path.write_bytes(telemetry_file(payloads))
    recording = VideoRecording({"clip": path})
    parts: dict[str, list[dict[str, Any]]] = {}
    for batch in recording.batches():
        parts.setdefault(batch.channel, []).append({"t_ns": batch.t_ns, **batch.columns})
    found = {
        name: {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}
        for name, pieces in parts.items()
    }
    recording.close()
    return found, recording.summary(), recording


def test_samples_are_scaled_and_spread_over_the_stretch_of_their_payload(tmp_path: Path) -> None:
    payloads = [device(stream(scale(100), shorts("SENS", [[100, -50], [200, 0]]))) for _ in range(3)]
    found, summary, recording = read(tmp_path / "a", payloads)
    sensor = found["gpmf/SENS"]
    assert sensor["value"].tolist() == [[1.0, -0.5], [2.0, 0.0]] * 3
    assert sensor["t_ns"].tolist() == [step * PAYLOAD_NS // 2 for step in range(6)]
    assert [(channel.name, channel.fields, channel.message_count) for channel in recording.channels()] == [
        ("gpmf/SENS", ("value",), 6)
    ]
    assert summary.losses == ()


def test_each_number_of_a_sample_has_its_own_scale_and_unit(tmp_path: Path) -> None:
    units = item("UNIT", "c", b"degm\0\0m/s", size=3)
    row = item("PLCE", "l", struct.pack(">3i", 331_268_000, 23_000, 1_046), size=12)
    found, _, recording = read(tmp_path / "a", [device(stream(units, scale(10_000_000, 1_000, 1_000), row))])
    assert found["gpmf/PLCE"]["value"].tolist() == [[33.1268, 23.0, 1.046]]
    assert recording.channels()[0].type == "deg,m,m/s"


@pytest.mark.parametrize(
    ("kind", "packed", "value"),
    [
        ("b", struct.pack("b", -3), -3.0), ("B", struct.pack("B", 250), 250.0), ("S", struct.pack(">H", 65_000), 65e3),
        ("L", struct.pack(">I", 4_000_000_000), 4e9), ("j", struct.pack(">q", -5), -5.0), ("J", b"\0" * 7 + b"\7", 7),
        ("f", struct.pack(">f", 0.25), 0.25), ("d", struct.pack(">d", 0.1), 0.1),
        ("q", struct.pack(">i", -98_304), -1.5), ("Q", struct.pack(">q", 3 << 31), 1.5),
    ],
)  # fmt: skip
def test_every_type_of_number_is_read(tmp_path: Path, kind: str, packed: bytes, value: float) -> None:
    found, _, _ = read(tmp_path / "a", [device(stream(item("SENS", kind, packed * 3, size=len(packed))))])
    assert found["gpmf/SENS"]["value"].tolist() == [[value]] * 3


def test_structures_give_their_numbers_and_leave_out_what_is_none(tmp_path: Path) -> None:
    row = struct.pack(">f2hI4s", 0.5, -1, 2, 9, b"WORD")
    found, _, _ = read(
        tmp_path / "a", [device(stream(item("TYPE", "c", b"fs[2]LF"), item("COMP", "?", row * 2, size=len(row))))]
    )
    assert found["gpmf/COMP"]["value"].tolist() == [[0.5, -1.0, 2.0, 9.0]] * 2


@pytest.mark.parametrize(
    ("stored", "shown", "expected"),
    [("XzY", "ZXY", [20.0, 10.0, 30.0]), ("YxZ", "ZXY", [30.0, 20.0, 10.0]), ("ZXY", "", [10.0, -20.0, 30.0])],
)
def test_axes_are_turned_to_the_order_that_the_file_shows_them_in(
    tmp_path: Path, stored: str, shown: str, expected: list[float]
) -> None:
    about = [item("ORIN", "c", stored.encode())] + ([item("ORIO", "c", shown.encode())] if shown else [])
    found, _, _ = read(tmp_path / "a", [device(stream(*about, shorts("ACCL", [[10, -20, 30]])))])
    assert found["gpmf/ACCL"]["value"].tolist() == [expected]


def test_lists_of_things_found_at_one_instant_are_counted(tmp_path: Path) -> None:
    entry = struct.pack(">4sf", b"SNOW", 0.2)
    kinds = item("TYPE", "c", b"Ff")
    lists = [item("SCEN", "?", entry * length, size=8) for length in (3, 0, 2)]
    found, _, recording = read(tmp_path / "a", [device(stream(kinds, *lists))])
    assert found["gpmf/SCEN"]["value.length"].tolist() == [3, 0, 2]
    assert recording.channels()[0].fields == ("value.length",)


def test_further_devices_have_channels_of_their_own(tmp_path: Path) -> None:
    payload = device(stream(shorts("ACCL", [[1]]))) + device(stream(shorts("ACCL", [[2]])), number=77)
    found, _, _ = read(tmp_path / "a", [payload])
    assert {name: columns["value"].tolist() for name, columns in found.items()} == {
        "gpmf/ACCL": [[1.0]],
        "gpmf/77/ACCL": [[2.0]],
    }


def test_stamps_place_samples_from_payload_to_payload_beside_the_frames(tmp_path: Path) -> None:
    # The camera's clock reads 500 ms at the first frame; the sensor runs at 100 Hz and is flushed unevenly.
    counts, taken = (90, 110, 100), 0
    payloads = []
    for number, count in enumerate(counts):
        exposure = stream(stamp(500_000 + number * 1_001_000), item("SHUT", "f", struct.pack(">f", 0.01) * 30, size=4))
        sensor = stream(stamp(504_000 + taken * 10_000), total(taken + count), shorts("ACCL", [[1, 2, 3]] * count))
        payloads.append(device(sensor, exposure))
        taken += count
    found, summary, _ = read(tmp_path / "a", payloads)
    assert found["gpmf/ACCL"]["t_ns"].tolist() == [4_000_000 + step * 10_000_000 for step in range(300)]
    assert found["gpmf/SHUT"]["t_ns"][:2].tolist() == [0, 33_366_666]
    assert summary.losses == ()


def test_stamps_that_contradict_the_video_are_not_believed(tmp_path: Path) -> None:
    payloads = [
        device(stream(stamp(2**60 if number == 1 else 1_001_000 * number), shorts("ACCL", [[1]] * 10)))
        for number in range(3)
    ]
    found, _, _ = read(tmp_path / "a", payloads)
    assert found["gpmf/ACCL"]["t_ns"].tolist() == [step * PAYLOAD_NS // 10 for step in range(30)]


def test_a_delay_that_the_stream_states_is_taken_off(tmp_path: Path) -> None:
    late = item("TIMO", "f", struct.pack(">f", 0.25), size=4)
    found, _, _ = read(tmp_path / "a", [device(stream(late, shorts("ACCL", [[1]])))])
    assert found["gpmf/ACCL"]["t_ns"].tolist() == [-NS_PER_S // 4]


def gps5(utc: str, count: int = 10, *, fix: int = 3) -> bytes:
    row = struct.pack(">5i", 331_268_000, -1_173_273_000, 23_000, 1_046, 100)
    return stream(
        item("GPSF", "L", struct.pack(">I", fix), size=4),
        item("GPSU", "U", utc.encode(), size=16),
        item("GPSP", "S", struct.pack(">H", 154), size=2),
        scale(10_000_000, 10_000_000, 1_000, 1_000, 100),
        item("GPS5", "l", row * count, size=20),
    )


def test_a_receiver_states_utc_fix_and_precision_beside_its_positions(tmp_path: Path) -> None:
    found, _, recording = read(
        tmp_path / "a", [device(gps5("191118234514.250")), device(gps5("garbage~garbage~", fix=0))]
    )
    place = found["gpmf/GPS5"]
    assert place["value"][0].tolist() == [33.1268, -117.3273, 23.0, 1.046, 1.0]
    stated = datetime(2019, 11, 18, 23, 45, 14, 250_000, tzinfo=UTC).timestamp()
    assert np.flatnonzero(np.isfinite(place["utc_s"])).tolist() == [0]
    assert place["utc_s"][0] == stated
    assert place["fix"].tolist() == [3.0] * 10 + [0.0] * 10
    assert place["dop"].tolist() == [1.54] * 20
    assert recording.channels()[0].fields == ("value", "utc_s", "fix", "dop")


def test_fixes_that_state_their_own_time_are_read_too(tmp_path: Path) -> None:
    row = struct.pack(">7i2H", 331_268_000, -1_173_273_000, 23_000, 1_046, 100, 8_857, 3_600_500, 150, 3)
    about = [item("TYPE", "c", b"lllllllSS"), scale(10_000_000, 10_000_000, 1_000, 1_000, 100, 1, 1_000, 100, 1)]
    found, _, _ = read(tmp_path / "a", [device(stream(*about, item("GPS9", "?", row * 2, size=32)))])
    place = found["gpmf/GPS9"]
    assert place["value"][0, :5].tolist() == [33.1268, -117.3273, 23.0, 1.046, 1.0]
    assert place["utc_s"].tolist() == [datetime(2024, 4, 1, 1, 0, 0, 500_000, tzinfo=UTC).timestamp()] * 2
    assert (place["fix"].tolist(), place["dop"].tolist()) == ([3.0] * 2, [1.5] * 2)


def test_samples_of_a_broken_payload_are_counted_by_the_totals_around_it(tmp_path: Path) -> None:
    payloads = [device(stream(total(10 * number + 10), shorts("ACCL", [[1]] * 10))) for number in range(4)]
    broken = bytearray(payloads[1])
    at = broken.index(b"ACCL")
    broken[at : at + 4] = b"\xff\xff\xff\xff"
    found, summary, _ = read(tmp_path / "a", [payloads[0], bytes(broken), *payloads[2:]])
    assert len(found["gpmf/ACCL"]["t_ns"]) == 30
    losses = {loss.rule: loss for loss in summary.losses}
    assert (losses["missing_samples"].messages, losses["missing_samples"].channel) == (10, "gpmf/ACCL")
    assert losses["broken_telemetry"].messages is None


@settings(max_examples=30)
@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any),
    width=st.integers(1, 6),
    divisor=st.integers(1, 5_000),
)
def test_whatever_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], width: int, divisor: int
) -> None:
    rng = np.random.default_rng(sum(counts) + width)
    tables = [rng.integers(-32_768, 32_767, (count, width)) for count in counts]
    payloads = [
        device(stream(scale(divisor), *([shorts("DATA", table.tolist())] if len(table) else []))) for table in tables
    ]
    found, summary, _ = read(tmp_path_factory.mktemp("back") / "a", payloads)
    assert np.array_equal(found["gpmf/DATA"]["value"], np.concatenate(tables) / divisor)
    assert (np.diff(found["gpmf/DATA"]["t_ns"]) >= 0).all()
    assert summary.losses == ()


@pytest.fixture(scope="module")
def telemetry() -> bytes:
    """A video with telemetry of one sensor, of a list and of a receiver."""
    entry = item("SCEN", "?", struct.pack(">4sf", b"SNOW", 0.2) * 2, size=8)
    return telemetry_file(
        [
            device(
                stream(
                    stamp(1_001_000 * number), total(20 * number + 20), scale(417), shorts("ACCL", [[1, 2, 3]] * 20)
                ),
                stream(total(2 * number + 2), item("TYPE", "c", b"Ff"), entry, entry),
                gps5(f"1911182345{number:02}.000"),
            )
            for number in range(10)
        ]
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_telemetry_is_read_or_refused_and_what_is_missing_is_named(telemetry: bytes, seed: int) -> None:
    places = [at for at in range(len(telemetry)) if telemetry[at : at + 4] in (b"DEVC", b"STRM", b"ACCL", b"TSMP")]
    fields = [at + step for at in places for step in (0, 4, 5, 6, 8)]
    assert_survives(telemetry, seed, name="a", formats=("mp4",), intact=10 * (20 + 2 + 10), boundaries=fields)


@pytest.fixture(scope="module")
def walk(real_data: Path) -> dict[str, dict[str, Any]]:
    """Telemetry of the real GoPro video."""
    path = real_data / "driving_videos" / "sample" / "gopro_max_heromode_gpmf.mp4"
    recording = VideoRecording({"clip": path})
    parts: dict[str, list[dict[str, Any]]] = {}
    for batch in recording.batches([channel.name for channel in recording.channels() if "gpmf" in channel.name]):
        parts.setdefault(batch.channel, []).append({"t_ns": batch.t_ns, **batch.columns})
    recording.close()
    return {
        name: {key: np.concatenate([one[key] for one in found]) for key in found[0]} for name, found in parts.items()
    }


@pytest.mark.real_data
def test_the_real_video_has_the_samples_that_its_notes_list(walk: dict[str, dict[str, Any]]) -> None:
    counts = {name.removeprefix("gpmf/"): len(columns["t_ns"]) for name, columns in walk.items()}
    assert {name: counts[name] for name in ("ACCL", "GYRO", "GPS5", "MAGN", "CORI", "GRAV")} == {
        "ACCL": 2082, "GYRO": 2082, "GPS5": 191, "MAGN": 260, "CORI": 316, "GRAV": 316
    }  # fmt: skip
    place = walk["gpmf/GPS5"]
    assert place["value"][0, :2].round(4).tolist() == [33.1268, -117.3273]
    assert int(place["utc_s"][0]) * NS_PER_S == utc_ns("2019-11-18T23:45:14")
    assert walk["gpmf/ACCL"]["value"].mean(axis=0) == pytest.approx([9.7, -0.06, 1.3], abs=0.05)


@pytest.mark.real_data
@pytest.mark.parametrize("key", ["ACCL", "GYRO", "GPS5", "MAGN", "CORI", "IORI", "GRAV", "SHUT", "WBAL", "YAVG"])
def test_numbers_and_times_are_those_of_the_makers_own_parser(
    real_data: Path, walk: dict[str, dict[str, Any]], key: str
) -> None:
    from py_gpmf_parser.gopro_telemetry_extractor import GoProTelemetryExtractor  # type: ignore[import-untyped]

    extractor = GoProTelemetryExtractor(str(real_data / "driving_videos" / "sample" / "gopro_max_heromode_gpmf.mp4"))
    extractor.open_source()
    values, times = extractor.extract_data(key)
    extractor.close_source()
    own = walk[f"gpmf/{key}"]
    assert own["value"].shape == values.shape
    assert np.allclose(own["value"], values, rtol=1e-6, atol=1e-9)
    # The parser spreads over payloads, we go by stamps: half a payload's jitter of a slow sensor apart at most.
    assert np.abs(own["t_ns"] / NS_PER_S - times).max() < 0.15
