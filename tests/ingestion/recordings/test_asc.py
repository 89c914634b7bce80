"""The ASC reader against python-can."""

from pathlib import Path

import can
import pytest

from fleet_assets.ingestion.recordings.can_logs.asc import AscRecording
from fleet_assets.ingestion.recordings.can_logs.asc_header import parse_date
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Recording
from tests.ingestion.recordings.can_log_writers import START_NS, Frame, asc_line, frames_read, some_frames, write_asc
from tests.ingestion.recordings.corruption import FAST_SEEDS, SLOW_SEEDS, assert_survives, corrupted

LOCAL = {"local_time": (0, 0)}


def losses(recording: Recording) -> dict[str, tuple[int, int | None]]:
    return {loss.rule: (loss.lost_bytes, loss.messages) for loss in recording.summary().losses}


def oracle(path: Path, start_ns: int = START_NS) -> list[Frame]:
    with can.ASCReader(str(path)) as messages:
        return [
            Frame(
                start_ns + round(m.timestamp * 1e9),
                int(str(m.channel)) + 1,
                m.arbitration_id,
                m.is_extended_id,
                bytes(m.data),
            )
            for m in messages
            if not m.is_error_frame and not m.is_remote_frame
        ]


@pytest.mark.parametrize("base", [16, 10], ids=["hex", "dec"])
def test_frames_are_those_that_python_can_reads(tmp_path: Path, base: int) -> None:
    frames = some_frames(2000)
    path = write_asc(tmp_path / "drive.asc", frames, base=base)
    recording = open_recording({path.name: path})
    assert frames_read(recording) == oracle(path) == frames
    assert losses(recording) == LOCAL
    assert (recording.format, recording.clock, recording.container_start_ns) == ("asc", "utc", START_NS)
    assert recording.extent_ns() == (frames[0].t_ns, frames[-1].t_ns)


def test_can_fd_lines_keep_their_own_lengths_among_classic_ones(tmp_path: Path) -> None:
    frames = some_frames(2000, fd=True)
    path = write_asc(tmp_path / "drive.asc", frames)
    assert frames_read(AscRecording({path.name: path})) == oracle(path) == frames


def test_relative_time_stamps_add_up(tmp_path: Path) -> None:
    frames = some_frames(3000)
    path = write_asc(tmp_path / "drive.asc", frames, relative=True)
    recording = AscRecording({path.name: path})
    assert frames_read(recording) == frames
    assert recording.extent_ns() == (frames[0].t_ns, frames[-1].t_ns)


def test_a_log_that_python_can_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "written.asc"
    sent = [
        can.Message(
            timestamp=1000.0 + n / 1000, arbitration_id=0x18FEF100 + n, data=bytes([n] * (n % 9)), channel=n % 2
        )
        for n in range(50)
    ]
    fd = can.Message(timestamp=1001.0, arbitration_id=0x12, is_extended_id=False, is_fd=True, data=bytes(64), channel=0)
    with can.ASCWriter(str(path)) as writer:
        for message in (*sent, fd, can.Message(timestamp=1001.5, is_error_frame=True, channel=0)):
            writer.on_message_received(message)
    recording = AscRecording({path.name: path})
    found = frames_read(recording)
    assert [(f.can_id, f.bus, f.data) for f in found] == [
        (m.arbitration_id, int(str(m.channel)) + 1, bytes(m.data)) for m in (*sent, fd)
    ]
    assert found[49].t_ns - found[0].t_ns == 49_000_000
    assert losses(recording)["error_frames_left_out"] == (0, 0)


def test_events_that_are_no_frames_are_no_losses(tmp_path: Path) -> None:
    path = write_asc(tmp_path / "drive.asc", some_frames(3))
    lines = path.read_text().splitlines(keepends=True)
    others = [
        "// a comment\n",
        "\n",
        "   0.001000 CAN 1 Status:chip status error active\n",
        "   0.001000 1  Statistic: D 0 R 0 XD 0 XR 0 E 0 O 0 B 0.00%\n",
        "   0.001000 J1939TP FEE3p 6 0 0 - Rx d 23 A0 0F A6 60 3B D1 40 1F DE 80\n",
        "   0.001000 log trigger event\n",
        "   0.001000 SV: 1 0 1 ::temperature = 20\n",
    ]
    no_data = ["   0.001000 1  123             Tx   r\n", "   0.001000 1  ErrorFrame\n"]
    path.write_text("".join([*lines[:7], *others, *no_data, *lines[7:]]))
    recording = AscRecording({path.name: path})
    assert len(frames_read(recording)) == 3
    assert losses(recording) == {**LOCAL, "remote_frames_left_out": (0, 0), "error_frames_left_out": (0, 0)}


def test_damaged_lines_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    frames = some_frames(50)
    lines = [asc_line(frame, START_NS) for frame in frames]
    lines[3] = lines[3].replace("Rx", "R?")
    lines[4] = f"   0.004 1  {0x800:X}             Rx   d 1 00\n"
    lines[5] = "   0.005 1  7FF             Rx   d 8 00 11\n"
    lines[6] = "\x01\x02\x03\n"
    path = tmp_path / "drive.asc"
    path.write_text("".join(["base hex  timestamps absolute\n", *lines]))
    recording = AscRecording({path.name: path})
    found = frames_read(recording)
    assert [frame.data for frame in found] == [frame.data for n, frame in enumerate(frames) if n not in (3, 4, 5, 6)]
    told = losses(recording)
    assert (told["damaged_line"][1], told["damaged_frame"][1]) == (2, 2)


def test_a_file_without_its_end_says_so(tmp_path: Path) -> None:
    frames = some_frames(10)
    path = write_asc(tmp_path / "drive.asc", frames)
    content = path.read_text()
    path.write_text(content[: content.index("End")])
    recording = AscRecording({path.name: path})
    assert frames_read(recording) == frames
    assert losses(recording) == {**LOCAL, "unfinished_file": (0, 0)}


def test_without_a_date_the_clock_has_its_own_zero(tmp_path: Path) -> None:
    frames = some_frames(10)
    path = write_asc(tmp_path / "drive.asc", frames)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]).replace("Begin", "// Begin"))
    recording = AscRecording({path.name: path})
    assert frames_read(recording)[0].t_ns == 0
    assert (recording.clock, recording.container_start_ns) == ("monotonic", None)
    assert "no_start" in losses(recording)


def test_events_count_from_the_trigger_block_that_begins_at_zero(tmp_path: Path) -> None:
    path = tmp_path / "drive.asc"
    path.write_text(
        "date Mon Jan 1 00:00:00.000 2024\nbase hex  timestamps absolute\n"
        "Begin Triggerblock Tue Jan 2 00:00:00.500 2024\n   0.000000 Start of measurement\n"
        "   1.000000 1  123             Rx   d 1 00\nEnd TriggerBlock\n"
    )
    assert frames_read(AscRecording({path.name: path}))[0].t_ns == 1_704_153_601 * NS_PER_S + NS_PER_S // 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Wed Apr 16 09:21:13.159 am 2014", 1397640073.159),
        ("Wed Apr 16 09:21:13 PM 2014", 1397683273.0),
        ("Wed Apr 16 12:00:00.000 am 2014", 1397606400.0),
        ("Mit Okt 16 09:21:13.159 2019", 1571217673.159),
        ("Don Mär 14 10:00:00.5 2024", 1710410400.5),
    ],
)
def test_dates_are_read_in_both_languages_of_the_tools(text: str, seconds: float) -> None:
    assert parse_date(text.encode()) == round(seconds * 1000) * 1_000_000
    assert parse_date(text.encode("latin-1")) == round(seconds * 1000) * 1_000_000
    assert parse_date(b"yesterday") is None
    assert parse_date(b"Wed Feb 31 09:21:13.159 2014") is None


def intact(folder: Path) -> bytes:
    return write_asc(folder / "intact.asc", some_frames(300, fd=True)).read_bytes()


def survives(seed: int, folder: Path) -> None:
    outcome = assert_survives(intact(folder), seed, name="drive.asc", formats=["asc"], intact=300)
    if outcome.state == "refused":
        return
    # Damage may join two lines into one that is sound: then the other left no trace. Whatever says Rx must not vanish.
    left = [line for line in corrupted(intact(folder), seed)[1].split(b"\n") if b" Rx " in line]
    assert outcome.lost is not None, outcome
    assert outcome.total + outcome.lost >= len(left), outcome


@pytest.mark.parametrize("seed", FAST_SEEDS)
def test_damaged_logs_are_read_or_refused(seed: int, tmp_path: Path) -> None:
    survives(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_many_damaged_logs_are_read_or_refused(seed: int, tmp_path: Path) -> None:
    survives(seed, tmp_path)
