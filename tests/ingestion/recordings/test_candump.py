"""The reader of can-utils logs against python-can, and the same frames in every format."""

from dataclasses import replace
from pathlib import Path

import can
import numpy as np
import pytest

from fleet_assets.ingestion.recordings.can_logs.candump import CandumpRecording
from fleet_assets.ingestion.recordings.mdf4.reader import Mdf4Recording
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, WINDOW_NS, Recording, UnreadableRecordingError
from tests.ingestion.recordings.can_log_writers import (
    START_NS,
    Frame,
    candump_line,
    frames_read,
    some_frames,
    write_asc,
    write_blf,
    write_candump,
)
from tests.ingestion.recordings.corruption import FAST_SEEDS, SLOW_SEEDS, assert_survives, corrupted
from tests.mdf4_factory import write_mdf4_drive


def read(path: Path) -> list[Frame]:
    return frames_read(CandumpRecording({path.name: path}))


def losses(recording: Recording) -> dict[str, tuple[int, int | None]]:
    return {loss.rule: (loss.lost_bytes, loss.messages) for loss in recording.summary().losses}


def test_frames_are_those_that_python_can_reads(tmp_path: Path) -> None:
    frames = some_frames(3000, fd=True)
    path = write_candump(tmp_path / "drive.log", frames)
    recording = open_recording({path.name: path})
    found = frames_read(recording)
    with can.CanutilsLogReader(str(path)) as messages:
        oracle = [
            Frame(round(m.timestamp * 1e6) * 1000, int(str(m.channel)[3:]), m.arbitration_id, m.is_extended_id,
                  bytes(m.data))
            for m in messages
        ]  # fmt: skip
    assert found == oracle == frames
    assert recording.summary().losses == ()
    assert recording.format == "candump"
    assert (recording.clock, recording.container_start_ns) == ("utc", frames[0].t_ns)
    assert recording.extent_ns() == (frames[0].t_ns, frames[-1].t_ns)


def test_a_log_that_python_can_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "written.log"
    with can.CanutilsLogWriter(str(path)) as writer:
        for number in range(20):
            writer.on_message_received(
                can.Message(timestamp=1.6e9 + number, arbitration_id=0x123, is_extended_id=False, data=[number],
                            channel="can1")
            )  # fmt: skip
    assert [frame.data[0] for frame in read(path)] == list(range(20))


def test_frames_without_data_are_left_out_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "drive.log"
    path.write_text(
        "(1700000000.000000) can0 123#11\n"
        "(1700000000.100000) can0 123#R\n"
        "(1700000000.200000) can0 00000123#R8\n"
        "(1700000000.300000) can0 20000080#0000000000000000\n"
        "(1700000000.400000) can0 123#1122334455667788_9\n"
        "(1700000000.500000) can0 123#11.22 T\n"
        "\n"
    )
    recording = CandumpRecording({path.name: path})
    assert [frame.data.hex() for frame in frames_read(recording)] == ["11", "1122334455667788", "1122"]
    assert losses(recording) == {"remote_frames_left_out": (0, 0), "error_frames_left_out": (0, 0)}


def test_damaged_lines_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    frames = some_frames(100)
    lines = [candump_line(frame) for frame in frames]
    lines[10] = lines[10].replace("#", "?")
    lines[20] = "\0" * 30 + "\n"
    lines[30] = "(99999999999999.000000) can1 123#00\n"
    path = tmp_path / "drive.log"
    path.write_text("".join(lines))
    recording = CandumpRecording({path.name: path})
    assert frames_read(recording) == [frame for number, frame in enumerate(frames) if number not in (10, 20, 30)]
    assert losses(recording) == {
        "damaged_line": (len(lines[10]) + len(lines[20]), 2),
        "invalid_time": (0, 1),
    }


def test_half_a_line_at_the_end_is_not_taken_for_a_shorter_frame(tmp_path: Path) -> None:
    frames = [replace(frame, data=b"\x11\x22\x33") for frame in some_frames(5)]
    path = write_candump(tmp_path / "drive.log", frames)
    path.write_bytes(path.read_bytes()[:-3])
    recording = CandumpRecording({path.name: path})
    assert frames_read(recording) == frames[:-1]
    assert losses(recording)["truncated_file"][1] == 1


def test_a_line_without_end_takes_no_memory_and_is_one_lost_line(tmp_path: Path) -> None:
    frames = some_frames(10)
    path = write_candump(tmp_path / "drive.log", frames)
    path.write_bytes(path.read_bytes() + b"A" * 3_000_000 + b"\n" + candump_line(frames[-1]).encode())
    recording = CandumpRecording({path.name: path})
    assert frames_read(recording) == [*frames, frames[-1]]
    assert losses(recording) == {"damaged_line": (3_000_001, 1)}


def test_interfaces_become_the_buses_of_their_names_and_clashes_are_said(tmp_path: Path) -> None:
    path = tmp_path / "drive.log"
    names = ("can0", "can7", "vcan7", "body")
    path.write_text("".join(f"({1700000000 + n}.0) {name} 123#11\n" for n, name in enumerate(names)))
    recording = CandumpRecording({path.name: path})
    assert [frame.bus for frame in frames_read(recording)] == [0, 7, 1, 2]
    assert "bus_number" in losses(recording)


def test_an_interface_is_the_same_bus_in_every_file_of_a_drive(tmp_path: Path) -> None:
    (tmp_path / "1.log").write_text("(1700000000.0) can7 123#11\n(1700000001.0) vcan7 123#11\n")
    (tmp_path / "2.log").write_text("(1700000002.0) vcan7 123#11\n(1700000003.0) can7 123#11\n")
    recording = CandumpRecording({name: tmp_path / name for name in ("1.log", "2.log")})
    assert [frame.bus for frame in frames_read(recording)] == [7, 0, 0, 7]


def test_a_clock_that_starts_at_zero_is_not_utc(tmp_path: Path) -> None:
    path = tmp_path / "drive.log"
    path.write_text("(12.5) can0 123#11\n(13.5) can0 123#12\n")
    recording = CandumpRecording({path.name: path})
    assert (recording.clock, recording.container_start_ns) == ("monotonic", None)
    assert recording.extent_ns() == (12_500_000_000, 13_500_000_000)


def test_files_of_one_drive_are_one_recording_and_gaps_are_said(tmp_path: Path) -> None:
    frames = some_frames(60, step_ns=NS_PER_S)
    first = write_candump(tmp_path / "b.log", frames[:20])
    second = write_candump(tmp_path / "a.log", frames[30:])
    (tmp_path / "x.dbc").write_text('VERSION ""\n')
    files = {path.name: path for path in (first, second, tmp_path / "x.dbc")}
    recording = CandumpRecording(files)
    assert frames_read(recording) == [*frames[:20], *frames[30:]]
    assert losses(recording) == {"gap_between_files": (0, None)}


def test_batches_lie_inside_windows(tmp_path: Path) -> None:
    path = write_candump(tmp_path / "drive.log", some_frames(100, step_ns=NS_PER_S))
    recording = CandumpRecording({path.name: path})
    spans = [(int(batch.t_ns.min()), int(batch.t_ns.max())) for batch in recording.batches()]
    assert len(spans) == 10
    assert all(last - first < WINDOW_NS for first, last in spans)


def test_the_human_format_and_other_text_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "drive.log"
    path.write_text("  can0  123   [8]  11 22 33 44 55 66 77 88\n" * 10)
    with pytest.raises(UnreadableRecordingError, match=r"unknown_format.*candump"):
        open_recording({path.name: path})


def test_the_same_frames_in_every_format_give_the_same_batches(tmp_path: Path) -> None:
    files = write_mdf4_drive(tmp_path / "mdf4", start_utc_ns=START_NS, seconds=25.0, header_ahead_s=0.0)
    frames = [replace(frame, t_ns=frame.t_ns // 1000 * 1000) for frame in frames_read(Mdf4Recording(files))]
    paths = (
        write_candump(tmp_path / "drive.log", frames),
        write_blf(tmp_path / "drive.blf", frames),
        write_asc(tmp_path / "drive.asc", frames),
    )
    wanted = list(Mdf4Recording(files).batches())
    for path in paths:
        found = list(open_recording({path.name: path}).batches())
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert np.array_equal(one.t_ns, other.t_ns // 1000 * 1000)
            assert one.columns.keys() == other.columns.keys()
            for name, column in other.columns.items():
                assert np.array_equal(one.columns[name], column), (path.name, name)
                assert one.columns[name].dtype == column.dtype


def intact() -> bytes:
    return "".join(map(candump_line, some_frames(400, fd=True))).encode()


def survives(seed: int) -> None:
    content = intact()
    outcome = assert_survives(content, seed, name="drive.log", formats=["candump"], intact=0)
    if outcome.state == "refused":
        return
    left = [line for line in corrupted(content, seed)[1].split(b"\n") if line.strip(b" \t\r")]
    assert outcome.lost is not None, outcome
    if not any(rule.endswith("left_out") for rule, _, _ in outcome.losses):
        assert outcome.total + outcome.lost == len(left), outcome


@pytest.mark.parametrize("seed", FAST_SEEDS)
def test_damaged_logs_are_read_or_refused(seed: int) -> None:
    survives(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_many_damaged_logs_are_read_or_refused(seed: int) -> None:
    survives(seed)
