"""The MDF 4 reader against asammdf, which reads whole files at once and serves as the independent oracle here."""

import itertools
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from fleet_assets.ingestion.recordings.mdf4.reader import Mdf4Recording
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import NS_PER_S, WINDOW_NS, Loss, UnreadableRecordingError
from tests.ingestion.recordings.mdf4_oracle import (
    assert_same_frames,
    data_last,
    first_group,
    frames_of,
    lost,
    oracle,
    put,
    u64,
)
from tests.mdf4_factory import write_mdf4_drive

START_NS = 1_700_000_000 * NS_PER_S


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return next(iter(write_mdf4_drive(tmp_path / "one", start_utc_ns=START_NS).values()))


@pytest.mark.parametrize("compression", [0, 1, 2], ids=["plain", "deflated", "transposed"])
def test_frames_are_those_that_asammdf_reads(tmp_path: Path, compression: int) -> None:
    files = write_mdf4_drive(tmp_path, start_utc_ns=START_NS, files=3, compression=compression)
    recording = Mdf4Recording(files)
    assert_same_frames(frames_of(recording), oracle(sorted(files.values())))
    assert recording.summary().losses == ()
    assert recording.channels()[0].message_count == len(frames_of(recording)["t_ns"])


def test_can_fd_frames_keep_their_own_lengths(tmp_path: Path) -> None:
    from asammdf import MDF, Signal, Source

    codes = np.array([0, 7, 8, 9, 12, 13, 15], dtype=np.uint8)
    lengths = np.array([0, 7, 8, 12, 24, 32, 64], dtype=np.uint8)
    rows = np.zeros(
        len(codes),
        dtype=[
            ("CAN_DataFrame.BusChannel", "<u1"),
            ("CAN_DataFrame.ID", "<u4"),
            ("CAN_DataFrame.IDE", "<u1"),
            ("CAN_DataFrame.DLC", "<u1"),
            ("CAN_DataFrame.DataBytes", "(64,)u1"),
        ],
    )
    rows["CAN_DataFrame.ID"], rows["CAN_DataFrame.IDE"] = 0x18FEF100, 1
    rows["CAN_DataFrame.DLC"] = codes
    rows["CAN_DataFrame.DataBytes"] = np.arange(64)
    source = Source("CAN", "CAN1", "", source_type=Source.SOURCE_BUS, bus_type=Source.BUS_TYPE_CAN)
    with MDF(version="4.10") as mdf:
        t_s = np.arange(1, len(codes) + 1) / 10
        mdf.append([Signal(np.rec.array(rows), t_s, name="CAN_DataFrame", source=source)])
        path = Path(mdf.save(tmp_path / "fd.mf4"))
    frames = frames_of(Mdf4Recording({"fd": path}))
    np.testing.assert_array_equal(frames["length"], lengths)
    assert frames["is_extended"].all()
    assert frames["data"].shape == (len(codes), 64)


def test_plain_measurements_become_channels_with_physical_values(tmp_path: Path) -> None:
    from asammdf import MDF, Signal

    t_s = np.arange(50) / 10
    with MDF(version="4.10") as mdf:
        raw = np.arange(50, dtype=np.int16)
        conversion = {"a": 0.5, "b": -3.0}
        mdf.append(
            [
                Signal(raw, t_s, name="oil_temperature", unit="degC", conversion=conversion),
                Signal(np.sin(t_s), t_s, name="swing"),
            ],
            acq_name="engine",
        )
        path = Path(mdf.save(tmp_path / "plain.mf4"))
    recording = Mdf4Recording({"plain": path})
    (channel,) = recording.channels()
    assert (channel.name, channel.kind, set(channel.fields)) == ("engine", "fields", {"oil_temperature", "swing"})
    (batch,) = recording.batches()
    np.testing.assert_allclose(batch.columns["oil_temperature"], raw * 0.5 - 3.0)
    np.testing.assert_array_equal(batch.columns["swing"], np.sin(t_s))


def test_batches_never_leave_their_window_and_come_in_time_order(tmp_path: Path) -> None:
    recording = Mdf4Recording(write_mdf4_drive(tmp_path, start_utc_ns=START_NS, seconds=45, files=2))
    first, last = recording.extent_ns()
    windows = []
    for batch in recording.batches():
        numbers = (batch.t_ns - first) // WINDOW_NS
        assert numbers.min() == numbers.max()
        windows.append(numbers[0])
    assert windows == sorted(windows)
    assert windows[-1] == (last - first) // WINDOW_NS


def test_only_wanted_channels_are_read(one: Path) -> None:
    assert list(Mdf4Recording({"one": one}).batches({"engine"})) == []


def test_split_files_are_one_clock_in_any_order_and_under_any_name(tmp_path: Path) -> None:
    files = list(write_mdf4_drive(tmp_path, start_utc_ns=START_NS, files=4).values())
    expected = oracle(files)
    for order in itertools.permutations(files):
        given = {f"{rank:064x}": path for rank, path in enumerate(order)}
        recording = Mdf4Recording(given)
        assert_same_frames(frames_of(recording), expected)
        assert recording.summary().losses == ()


def test_files_whose_headers_restart_the_clock_are_put_in_order_by_absolute_time(tmp_path: Path) -> None:
    early = write_mdf4_drive(tmp_path / "a", start_utc_ns=START_NS, seed=1)
    late = write_mdf4_drive(tmp_path / "b", start_utc_ns=START_NS + 21 * NS_PER_S, seed=2)
    recording = Mdf4Recording({"z": next(iter(early.values())), "a": next(iter(late.values()))})
    times = frames_of(recording)["t_ns"]
    assert (np.diff(times) >= 0).all()
    assert recording.extent_ns() == (times[0], times[-1])
    assert recording.summary().losses == ()


def test_a_file_missing_in_between_is_stated_as_a_gap(tmp_path: Path) -> None:
    files = write_mdf4_drive(tmp_path, start_utc_ns=START_NS, files=4)
    del files["00000003.mf4"]
    recording = Mdf4Recording(files)
    (gap,) = recording.summary().losses
    assert (gap.rule, gap.path) == ("gap_between_files", "00000004.mf4")
    assert "after 00000002.mf4 ends" in gap.reason


def test_overlapping_files_are_stated_and_woven_by_time(tmp_path: Path) -> None:
    first = write_mdf4_drive(tmp_path / "a", start_utc_ns=START_NS, seed=1)
    second = write_mdf4_drive(tmp_path / "b", start_utc_ns=START_NS + 10 * NS_PER_S, seed=2)
    paths = [next(iter(files.values())) for files in (first, second)]
    recording = Mdf4Recording({"a": paths[0], "b": paths[1]})
    assert_same_frames(frames_of(recording), oracle(paths))
    assert [loss.rule for loss in recording.summary().losses] == ["overlapping_files"]


def test_a_database_that_travels_with_the_files_is_no_damaged_file(tmp_path: Path) -> None:
    files = dict(write_mdf4_drive(tmp_path, start_utc_ns=START_NS))
    (tmp_path / "car.dbc").write_text('VERSION ""\n\nBU_:\n')
    files["dbc/car.dbc"] = tmp_path / "car.dbc"
    assert Mdf4Recording(files).summary().losses == ()


def test_an_unfinished_file_is_read_to_its_last_record(tmp_path: Path, one: Path) -> None:
    total = len(oracle([one])["t_ns"])
    content = data_last(one)
    _, group, data = first_group(content)
    content[:8] = b"UnFinMF "
    struct.pack_into("<H", content, 60, 0b101)
    struct.pack_into("<Q", content, group + 24 + 6 * 8 + 8, 0)
    struct.pack_into("<Q", content, data + 8, 24)
    recording = Mdf4Recording(put(tmp_path / "unfinished", content))
    assert len(frames_of(recording)["t_ns"]) == total
    assert recording.summary().losses == ()


def mixed(path: Path, variable: bool) -> bytearray:
    """The file with unsorted records: ids before each, and payloads in a group of their own where wanted."""
    content = data_last(path)
    section, group, data = first_group(content)
    size, payload_at = struct.unpack_from("<I", content, group + 24 + 6 * 8 + 24)[0], 0
    rows = np.frombuffer(bytes(content[data + 24 :]), np.uint8).reshape(-1, size)
    content[section + 24 + 4 * 8] = 1
    struct.pack_into("<Q", content, group + 24 + 6 * 8, 7)
    if variable:
        channel = bytes_channel(content, group)
        payload_at = struct.unpack_from("<I", content, channel + 24 + 8 * 8 + 4)[0]
        content = content[: data - data % 8]
        links = struct.pack("<6Q", *(0 for _ in range(6)))
        extra = struct.pack("<4sIQQ", b"##CG", 0, 104, 6) + links + struct.pack("<QQHHIII", 9, 0, 1, 0, 0, 0, 0)
        struct.pack_into("<Q", content, group + 24, len(content))
        content[channel + 24 + 8 * 8] = 1
        struct.pack_into("<Q", content, channel + 24 + 5 * 8, len(content))
        struct.pack_into("<Q", content, section + 40, len(content) + 104)
        content += extra
    else:
        content = content[:data]
    records = b""
    for row in rows:
        if variable:
            payload = row[payload_at : payload_at + 8].tobytes()
            records += b"\x09" + struct.pack("<I", len(payload)) + payload
        records += b"\x07" + row.tobytes()
    return content + struct.pack("<4sIQQ", b"##DT", 0, 24 + len(records), 0) + records


def bytes_channel(content: bytes, group: int) -> int:
    """Address of the channel that holds the payload."""
    waiting = [u64(content, group + 32)]
    while waiting:
        channel = waiting.pop()
        while channel:
            text = u64(content, channel + 40)
            name = bytes(content[text + 24 : text + u64(content, text + 8)]).rstrip(b"\0")
            if name == b"CAN_DataFrame.DataBytes":
                return channel
            if composition := u64(content, channel + 32):
                waiting.append(composition)
            channel = u64(content, channel + 24)
    raise AssertionError("no payload channel")


@pytest.mark.parametrize("variable", [False, True], ids=["fixed", "variable-length"])
def test_unsorted_records_give_the_same_frames(tmp_path: Path, one: Path, variable: bool) -> None:
    recording = Mdf4Recording(put(tmp_path / "mixed", mixed(one, variable)))
    assert_same_frames(frames_of(recording), oracle([one]))
    assert recording.summary().losses == ()


def test_an_unknown_record_id_ends_the_section_with_a_loss(tmp_path: Path, one: Path) -> None:
    total = len(oracle([one])["t_ns"])
    content = mixed(one, False)
    _, _, data = first_group(content)
    size = (len(content) - data - 24) // total
    content[data + 24 + 1000 * size] = 99
    recording = Mdf4Recording(put(tmp_path / "mixed", content))
    assert len(frames_of(recording)["t_ns"]) + lost(recording) == total


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.5, 0.77, 0.999])
def test_of_a_truncated_file_what_is_there_is_read_and_the_rest_is_counted(
    tmp_path: Path, one: Path, keep: float
) -> None:
    expected = oracle([one])
    total = len(expected["t_ns"])
    content = data_last(one)
    _, _, data = first_group(content)
    cut = data + 24 + round((len(content) - data - 24) * keep)
    recording = Mdf4Recording(put(tmp_path / "cut", content[:cut]))
    frames = frames_of(recording)
    assert len(frames["t_ns"]) + lost(recording) == total
    assert_same_frames(frames, {name: column[: len(frames["t_ns"])] for name, column in expected.items()})
    assert [loss.rule for loss in recording.summary().losses] == ["truncated_data"]


def test_zeros_inside_the_records_are_counted_as_lost(tmp_path: Path, one: Path) -> None:
    total = len(oracle([one])["t_ns"])
    content = data_last(one)
    _, _, data = first_group(content)
    content[data + 24 + 4000 : data + 24 + 12000] = bytes(8000)
    recording = Mdf4Recording(put(tmp_path / "zeroed", content))
    frames = frames_of(recording)
    assert len(frames["t_ns"]) + lost(recording) == total
    assert lost(recording) > 100


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "unknown_format"),
        (bytes(5000), "unknown_format"),
        (b"time;speed\n1;2\n" * 50, "no_table_layout"),
        (b"MDF     4.10    ", "broken_header"),
        (b"MDF     4.10    " + bytes(200), "broken_header"),
    ],
    ids=["empty", "zeros", "text", "head only", "no header"],
)
def test_what_is_no_mdf_file_is_refused_with_what_was_found(tmp_path: Path, content: bytes, rule: str) -> None:
    with pytest.raises(UnreadableRecordingError) as caught:
        open_recording(put(tmp_path / "bad", content))
    assert caught.value.rule == rule
    assert caught.value.remedy


def test_a_damaged_file_among_good_ones_is_a_loss_and_the_others_are_read(tmp_path: Path) -> None:
    files = dict(write_mdf4_drive(tmp_path / "x", start_utc_ns=START_NS, files=3))
    good = len(oracle([files["00000001.mf4"], files["00000003.mf4"]])["t_ns"])
    files["00000002.mf4"] = tmp_path / "zeros"
    files["00000002.mf4"].write_bytes(bytes(4096))
    recording = Mdf4Recording(files)
    assert len(frames_of(recording)["t_ns"]) == good
    rules = {loss.rule: loss for loss in recording.summary().losses}
    assert rules["not_mdf4"].path == "00000002.mf4"
    assert rules["not_mdf4"].lost_bytes == 4096
    assert "gap_between_files" in rules


HOSTILE = {
    "data length": lambda c, s, g, d: struct.pack_into("<Q", c, d + 8, 1 << 63),
    "data link to itself": lambda c, s, g, d: struct.pack_into("<Q", c, s + 40, s),
    "data link out of the file": lambda c, s, g, d: struct.pack_into("<Q", c, s + 40, (1 << 64) - 8),
    "section circle": lambda c, s, g, d: struct.pack_into("<Q", c, s + 24, s),
    "group circle": lambda c, s, g, d: struct.pack_into("<Q", c, g + 24, g),
    "channel circle": lambda c, s, g, d: struct.pack_into("<Q", c, u64(c, g + 32) + 24, u64(c, g + 32)),
    "link count": lambda c, s, g, d: struct.pack_into("<Q", c, g + 16, 1 << 60),
    "record count": lambda c, s, g, d: struct.pack_into("<Q", c, g + 24 + 48 + 8, (1 << 64) - 1),
    "record size": lambda c, s, g, d: struct.pack_into("<I", c, g + 24 + 48 + 24, 0xFFFFFFFF),
    "record size zero": lambda c, s, g, d: struct.pack_into("<I", c, g + 24 + 48 + 24, 0),
    "record id size": lambda c, s, g, d: struct.pack_into("<B", c, s + 24 + 32, 200),
    "bit count": lambda c, s, g, d: struct.pack_into("<I", c, u64(c, g + 32) + 24 + 64 + 8, 0xFFFFFFFF),
    "byte offset": lambda c, s, g, d: struct.pack_into("<I", c, u64(c, g + 32) + 24 + 64 + 4, 0xFFFFFFFF),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_links_and_lengths_give_an_error_or_a_loss(tmp_path: Path, one: Path, attack: str) -> None:
    content = data_last(one)
    HOSTILE[attack](content, *first_group(content))
    try:
        recording = Mdf4Recording(put(tmp_path / "hostile", content))
        list(recording.batches())
        losses = recording.summary().losses
    except UnreadableRecordingError as error:
        losses = (Loss("recording", 0, None, str(error)),)
    assert losses


def test_a_compressed_block_never_unpacks_to_more_than_it_states(tmp_path: Path, one: Path) -> None:
    content = data_last(one)
    section, _, data = first_group(content)
    bomb = zlib.compress(bytes(1 << 25), 9)
    header = struct.pack("<2sBBIQQ", b"DT", 0, 0, 0, 4096, len(bomb))
    block = struct.pack("<4sIQQ", b"##DZ", 0, 24 + len(header) + len(bomb), 0) + header + bomb
    recording_file = put(tmp_path / "bomb", content[:data] + block)
    try:
        recording = Mdf4Recording(recording_file)
    except UnreadableRecordingError:
        return
    assert sum(len(batch) for batch in recording.batches()) * 8 <= 4096
    assert section


@pytest.mark.parametrize("seed", range(6))
def test_random_damage_never_does_more_than_lose_messages(tmp_path: Path, one: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - damage, not secrets
    clean = data_last(one)
    blocks = [at for at in range(0, len(clean) - 8, 8) if clean[at : at + 2] == b"##"]
    for _ in range(60):
        content = bytearray(clean)
        for _ in range(rng.choice([1, 2, 4])):
            at = rng.choice(blocks) + 8 * rng.randrange(14)
            value = rng.choice([rng.choice(blocks), rng.getrandbits(64), 1 << 40, rng.randrange(len(clean))])
            content[at : at + 8] = struct.pack("<Q", value)
        try:
            recording = Mdf4Recording(put(tmp_path / "damaged", content))
        except UnreadableRecordingError:
            continue
        count = sum(len(batch) for batch in recording.batches())
        assert count == sum(channel.messages for channel in recording.summary().channels.values())
