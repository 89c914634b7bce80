"""The BLF reader against python-can, and against writers that python-can does not have."""

import struct
from pathlib import Path

import can
import pytest

from fleet_assets.ingestion.recordings.can_logs.blf import BlfRecording
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import Recording, UnreadableRecordingError
from tests.ingestion.recordings.can_log_writers import (
    CAN_MESSAGE,
    CAN_MESSAGE2,
    ERROR,
    FD_MESSAGE,
    FD_MESSAGE_64,
    START_NS,
    Frame,
    blf_file,
    blf_frame,
    blf_object,
    frames_read,
    some_frames,
    write_blf,
)
from tests.ingestion.recordings.corruption import FAST_SEEDS, SLOW_SEEDS, assert_survives

LOCAL = {"local_time": (0, 0)}


def put(folder: Path, content: bytes) -> BlfRecording:
    path = folder / "drive.blf"
    path.write_bytes(content)
    return BlfRecording({path.name: path})


def losses(recording: Recording) -> dict[str, tuple[int, int | None]]:
    return {loss.rule: (loss.lost_bytes, loss.messages) for loss in recording.summary().losses}


def oracle(path: Path) -> list[Frame]:
    with can.BLFReader(str(path)) as messages:
        return [
            # python-can counts in floats of seconds since 1970, good to some 200 ns.
            Frame(
                round(m.timestamp * 1e5) * 10_000,
                int(str(m.channel)) + 1,
                m.arbitration_id,
                m.is_extended_id,
                bytes(m.data),
            )
            for m in messages
            if not m.is_error_frame and not m.is_remote_frame
        ]


@pytest.mark.parametrize("kind", [CAN_MESSAGE, CAN_MESSAGE2, FD_MESSAGE, FD_MESSAGE_64])
@pytest.mark.parametrize("compressed", [True, False], ids=["deflated", "plain"])
def test_frames_of_every_kind_are_those_that_python_can_reads(tmp_path: Path, kind: int, compressed: bool) -> None:
    frames = some_frames(500, fd=kind in (FD_MESSAGE, FD_MESSAGE_64))
    # 1000 is no multiple of any object's size: objects begin in one container and end in the next.
    content, _ = blf_file([blf_frame(frame, kind) for frame in frames], container_bytes=1000, compressed=compressed)
    recording = put(tmp_path, content)
    assert frames_read(recording) == oracle(tmp_path / "drive.blf") == frames
    assert losses(recording) == LOCAL
    assert recording.extent_ns() == (frames[0].t_ns, frames[-1].t_ns)
    assert (recording.clock, recording.container_start_ns) == ("utc", START_NS)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("ten_us", [True, False], ids=["ten microseconds", "nanoseconds"])
def test_both_kinds_of_time_stamps_and_headers_are_exact(tmp_path: Path, version: int, ten_us: bool) -> None:
    frames = some_frames(50)
    objects = [blf_frame(frame, CAN_MESSAGE, ten_us=ten_us, version=version) for frame in frames]
    recording = put(tmp_path, blf_file(objects)[0])
    assert frames_read(recording) == frames
    assert losses(recording) == LOCAL


def test_frames_of_mixed_kinds_stay_in_their_order(tmp_path: Path) -> None:
    frames = some_frames(400)
    kinds = (CAN_MESSAGE, FD_MESSAGE, CAN_MESSAGE2, FD_MESSAGE_64)
    objects = [blf_frame(frame, kinds[number % 4]) for number, frame in enumerate(frames)]
    assert frames_read(put(tmp_path, blf_file(objects)[0])) == frames


def test_a_log_that_python_can_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "written.blf"
    with can.BLFWriter(str(path), max_container_size=2000) as writer:
        for number in range(500):
            writer.on_message_received(
                can.Message(timestamp=1.7e9 + number / 100, arbitration_id=number, data=bytes(number % 9), channel=0)
            )
        writer.log_event("marker")
    recording = open_recording({path.name: path})
    assert [(f.can_id, f.bus, len(f.data)) for f in frames_read(recording)] == [(n, 1, n % 9) for n in range(500)]
    assert losses(recording) == {**LOCAL, "other_objects_left_out": (0, 0)}


def test_objects_that_are_no_data_frame_are_left_out_and_said_so(tmp_path: Path) -> None:
    frames = some_frames(10)
    objects = [blf_frame(frame, CAN_MESSAGE) for frame in frames]
    objects.insert(5, blf_object(ERROR, bytes(36), 5))
    objects.insert(7, blf_object(65, b"text that a person wrote", 6))
    objects.insert(9, blf_object(CAN_MESSAGE, struct.pack("<HBBL8s", 1, 0x80, 8, 0x123, b""), 7))
    recording = put(tmp_path, blf_file(objects)[0])
    assert frames_read(recording) == frames
    assert losses(recording) == {**LOCAL, "other_objects_left_out": (0, 0), "remote_frames_left_out": (0, 0)}


@pytest.mark.parametrize("compressed", [True, False], ids=["deflated", "plain"])
def test_a_damaged_container_costs_its_own_frames_and_they_are_counted(tmp_path: Path, compressed: bool) -> None:
    frames = some_frames(1000)
    content, places = blf_file([blf_frame(frame, CAN_MESSAGE) for frame in frames], compressed=compressed)
    damaged = bytearray(content)
    damaged[places[3] + 40 : places[3] + 400] = bytes(360)
    recording = put(tmp_path, bytes(damaged))
    found = frames_read(recording)
    assert 800 < len(found) < 1000
    assert set(found) <= set(frames)
    told = losses(recording)
    assert sum(messages or 0 for _, messages in told.values()) == 1000 - len(found)
    assert told["lost_objects"][1] == 1000 - len(found)


@pytest.mark.parametrize("keep", [0.9, 0.5, 0.2])
def test_a_truncated_file_is_read_to_its_end_and_the_rest_is_counted(tmp_path: Path, keep: float) -> None:
    frames = some_frames(1000)
    content = write_blf(tmp_path / "whole.blf", frames).read_bytes()
    recording = put(tmp_path, content[: int(len(content) * keep)])
    found = frames_read(recording)
    assert found == frames[: len(found)]
    assert len(found) > 700 * keep
    told = losses(recording)
    assert told["truncated_file"] == (len(content) - int(len(content) * keep), 1000 - len(found))


def test_a_file_cut_between_containers_is_named_and_counted(tmp_path: Path) -> None:
    frames = some_frames(1000)
    content, places = blf_file([blf_frame(frame, CAN_MESSAGE) for frame in frames])
    recording = put(tmp_path, content[: places[4]])
    found = frames_read(recording)
    assert losses(recording)["truncated_file"] == (len(content) - places[4], 1000 - len(found))


def test_an_unfinished_file_is_read_by_walking(tmp_path: Path) -> None:
    frames = some_frames(100)
    content = bytearray(write_blf(tmp_path / "whole.blf", frames).read_bytes())
    content[16:40] = struct.pack("<QQLL", 144, 144, 0, 0)
    recording = put(tmp_path, bytes(content))
    assert frames_read(recording) == frames
    assert losses(recording) == {**LOCAL, "unfinished_file": (0, 0)}


def test_a_wrong_count_in_the_header_is_no_loss_of_messages(tmp_path: Path) -> None:
    frames = some_frames(100)
    content = bytearray(write_blf(tmp_path / "whole.blf", frames).read_bytes())
    content[32:36] = struct.pack("<L", 0x7FFFFFFF)
    recording = put(tmp_path, bytes(content))
    assert frames_read(recording) == frames
    assert losses(recording) == {**LOCAL, "wrong_count": (0, None)}


def test_a_start_that_is_no_date_leaves_the_clock_at_its_own_zero(tmp_path: Path) -> None:
    frames = some_frames(10)
    content = bytearray(write_blf(tmp_path / "whole.blf", frames).read_bytes())
    content[40:56] = bytes(16)
    recording = put(tmp_path, bytes(content))
    assert frames_read(recording)[0].t_ns == 0
    assert (recording.clock, recording.container_start_ns) == ("monotonic", None)
    assert "no_start" in losses(recording)


def test_a_container_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    import zlib

    bomb = zlib.compress(bytes(200_000_000), 9)
    size = 32 + len(bomb)
    container = struct.pack("<4sHHLL", b"LOBJ", 16, 1, size, 10) + struct.pack("<H6xL4x", 2, 100) + bomb
    content = write_blf(tmp_path / "whole.blf", some_frames(10)).read_bytes()
    recording = put(tmp_path, content + container + bytes(size % 4))
    assert len(frames_read(recording)) == 10
    assert losses(recording)["damaged_container"][0] == size


def test_a_file_without_frames_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRecordingError, match=r"drive\.blf: no_messages"):
        put(tmp_path, blf_file([])[0])
    with pytest.raises(UnreadableRecordingError, match=r"drive\.blf: truncated_file"):
        put(tmp_path, b"LOGG")


def intact() -> tuple[bytes, list[int]]:
    frames = some_frames(600, fd=True)
    objects = [blf_frame(frame, FD_MESSAGE if len(frame.data) > 8 else CAN_MESSAGE) for frame in frames]
    return blf_file(objects, container_bytes=3000)


def survives(seed: int) -> None:
    content, places = intact()
    outcome = assert_survives(content, seed, name="drive.blf", formats=["blf"], intact=600, boundaries=places)
    if outcome.state == "refused":
        return
    told = [loss for loss in outcome.losses if loss[0] != "local_time"]
    assert outcome.total == 600 or told, outcome
    # Where the header's count survived, it says exactly how many are gone.
    header_sound = not {"wrong_count", "unfinished_file"} & {rule for rule, _, _ in told}
    if outcome.total < 600 and outcome.lost is not None and header_sound:
        assert outcome.total + outcome.lost == 600, outcome


@pytest.mark.parametrize("seed", FAST_SEEDS)
def test_damaged_files_are_read_or_refused_and_counted(seed: int) -> None:
    survives(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_many_damaged_files_are_read_or_refused_and_counted(seed: int) -> None:
    survives(seed)
