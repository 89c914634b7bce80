"""Messages of several CAN frames, against a sender and a slow straight receiver of the tests' own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cantools
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.recordings.protocol import Batch
from fleet_assets.ingestion.sensor_sync_and_format_conversion.can_decode import (
    MessageLayout,
    decode_signals,
    parse_messages,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.transport import IsoTp, J1939Transport, Payloads

LEAD = 1
WIDTH = 4096
UDS_DBC = """VERSION ""

BU_:

BO_ 2028 battery: 63 Vector__XXX
 SG_ service M : 8|8@1+ (1,0) [0|0] "" Vector__XXX
 SG_ identifier m98M : 23|16@0+ (1,0) [0|0] "" Vector__XXX
 SG_ Soc m257 : 64|8@1+ (0.5,0) [0|0] "%" Vector__XXX
 SG_ Voltage m257 : 135|16@0+ (0.1,0) [0|0] "V" Vector__XXX
 SG_ Hottest m257 : 144|8@1- (1,0) [0|0] "degC" Vector__XXX
 SG_ Coldest m257 : 152|8@1- (1,0) [0|0] "degC" Vector__XXX

SG_MUL_VAL_ 2028 identifier service 98-98;
SG_MUL_VAL_ 2028 Soc identifier 257-257;
SG_MUL_VAL_ 2028 Voltage identifier 257-257;
SG_MUL_VAL_ 2028 Hottest identifier 257-257;
SG_MUL_VAL_ 2028 Coldest identifier 257-257;
"""


@dataclass(frozen=True)
class Frame:
    """One CAN frame as a sender makes it."""

    t_ns: int
    bus: int
    can_id: int
    data: bytes
    extended: bool = False


def iso_tp(payload: bytes, size: int = 8) -> list[bytes]:
    """Frames of one payload, ISO 15765-2 with normal addressing; frames above 8 bytes are CAN FD."""
    if len(payload) <= (7 if size == 8 else size - 2):
        head = bytes([len(payload)]) if len(payload) <= 7 else bytes([0, len(payload)])
        return [head + payload]
    long = len(payload) > 4095
    head = bytes([0x10, 0]) + len(payload).to_bytes(4, "big") if long else (0x1000 | len(payload)).to_bytes(2, "big")
    first = size - len(head)
    rest = [payload[at : at + size - 1] for at in range(first, len(payload), size - 1)]
    return [head + payload[:first], *(bytes([0x20 | (n + 1) % 16]) + part for n, part in enumerate(rest))]


def j1939(payload: bytes, group: int, source: int, destination: int = 255) -> list[tuple[int, bytes]]:
    """Ids and data of a parameter group: one frame, or its announcement and its packets."""
    if len(payload) <= 8:
        low = destination if (group >> 8) & 0xFF < 240 else 0
        return [(6 << 26 | (group | low) << 8 | source, payload)]
    packets = [payload[at : at + 7].ljust(7, b"\xff") for at in range(0, len(payload), 7)]
    control = 32 if destination == 255 else 16
    head = bytes([control, *len(payload).to_bytes(2, "little"), len(packets), 255, *group.to_bytes(3, "little")])
    address = destination << 8 | source
    return [
        (7 << 26 | 0xEC << 16 | address, head),
        *((7 << 26 | 0xEB << 16 | address, bytes([n + 1]) + part) for n, part in enumerate(packets)),
    ]


def batch(frames: Sequence[Frame]) -> Batch:
    width = max((len(frame.data) for frame in frames), default=8)
    data = np.zeros((len(frames), width), dtype=np.uint8)
    for row, frame in enumerate(frames):
        data[row, : len(frame.data)] = list(frame.data)
    return Batch(
        "CAN",
        np.array([frame.t_ns for frame in frames], dtype=np.int64),
        {
            "bus": np.array([frame.bus for frame in frames], dtype=np.uint16),
            "can_id": np.array([frame.can_id for frame in frames], dtype=np.uint32),
            "is_extended": np.array([frame.extended for frame in frames], dtype=np.bool_),
            "length": np.array([len(frame.data) for frame in frames], dtype=np.uint8),
            "data": data,
        },
    )


def message(can_id: int, *, extended: bool = False, mask: int = 0xFFFFFFFF) -> MessageLayout:
    return MessageLayout("answer", can_id, extended, mask, {})


def rows(part: Batch) -> NDArray[np.intp]:
    return np.arange(len(part))


def contents(parts: Sequence[Payloads], lead: int = 0) -> list[tuple[int, bytes]]:
    return [
        (int(t_ns), bytes(data[:length])[lead:])
        for part in parts
        for t_ns, data, length in zip(part.t_ns, part.data, part.length, strict=True)
    ]


def cuts(draw: st.DrawFn, count: int) -> list[int]:
    return sorted(draw(st.lists(st.integers(0, count), max_size=4)))


def interleaved(draw: st.DrawFn, senders: Sequence[list[Frame]]) -> list[Frame]:
    """Frames of several senders, each in its own order, in an order of the draw's choice; times count frames."""
    turns = [number for number, frames in enumerate(senders) for _ in frames]
    order = draw(st.permutations(turns))
    left = [iter(frames) for frames in senders]
    found = [next(left[number]) for number in order]
    return [Frame(at, frame.bus, frame.can_id, frame.data, frame.extended) for at, frame in enumerate(found)]


@st.composite
def iso_tp_traffic(draw: st.DrawFn) -> tuple[list[Frame], dict[int, list[bytes]], list[int]]:
    senders, sent = [], {}
    for can_id in (0x7E8, 0x7EC, 0x7BB):
        payloads = draw(st.lists(st.binary(min_size=1, max_size=200), max_size=4))
        size = draw(st.sampled_from([8, 8, 12, 64]))
        senders.append([Frame(0, 1, can_id, data) for payload in payloads for data in iso_tp(payload, size)])
        sent[can_id] = payloads
    senders.append([Frame(0, 1, 0x7EC - 8, b"\x30\x00\x0a\0\0\0\0\0")] * draw(st.integers(0, 3)))
    frames = interleaved(draw, senders)
    return frames, sent, cuts(draw, len(frames))


def split(frames: Sequence[Frame], places: Sequence[int]) -> Iterator[Batch]:
    for first, end in zip((0, *places), (*places, len(frames)), strict=True):
        if frames[first:end]:
            yield batch(frames[first:end])


@settings(max_examples=150, deadline=None)
@given(iso_tp_traffic())
def test_any_payload_comes_back_however_answers_interleave_and_batches_are_cut(
    traffic: tuple[list[Frame], dict[int, list[bytes]], list[int]],
) -> None:
    frames, sent, places = traffic
    for can_id, payloads in sent.items():
        assembler = IsoTp(message(can_id), 0, WIDTH)
        found = contents([assembler.take(part, rows(part)) for part in split(frames, places)])
        assert [payload for _, payload in found] == payloads
        assert assembler.finish() == 0


@settings(max_examples=100, deadline=None)
@given(iso_tp_traffic(), st.data())
def test_a_missing_frame_is_counted_and_never_shifts_another_message(
    traffic: tuple[list[Frame], dict[int, list[bytes]], list[int]], data: st.DataObject
) -> None:
    frames, sent, places = traffic
    candidates = [at for at, frame in enumerate(frames) if frame.can_id == 0x7EC and frame.data[0] >> 4 in (1, 2)]
    if not candidates:
        return
    gone = data.draw(st.sampled_from(candidates))
    left = [frame for at, frame in enumerate(frames) if at != gone]
    assembler = IsoTp(message(0x7EC), 0, WIDTH)
    found = [payload for _, payload in contents([assembler.take(part, rows(part)) for part in split(left, places)])]
    assert len(found) == len(sent[0x7EC]) - 1
    remaining = iter(sent[0x7EC])
    assert all(payload in remaining for payload in found), "what came back is not in the order sent"
    assert assembler.finish() >= 1


def test_a_message_has_the_time_of_its_first_frame_and_the_bytes_that_the_database_counts() -> None:
    payload = bytes(range(1, 51))
    part = batch([Frame(100 + 10 * n, 1, 0x7BB, data) for n, data in enumerate(iso_tp(payload))])
    found = IsoTp(message(0x7BB), LEAD, 20).take(part, rows(part))
    assert found.t_ns.tolist() == [100]
    assert found.length.tolist() == [51]
    assert bytes(found.data[0]) == (bytes([50]) + payload)[:20]


def test_the_long_lengths_of_can_fd_are_read() -> None:
    payload = np.random.default_rng(1).integers(0, 256, 6000, dtype=np.uint8).tobytes()
    part = batch([Frame(n, 1, 0x7BB, data) for n, data in enumerate(iso_tp(payload, 64))])
    found = IsoTp(message(0x7BB), 0, 8000).take(part, rows(part))
    assert contents([found]) == [(0, payload)]


def test_an_announced_gigabyte_takes_no_memory_and_is_counted() -> None:
    part = batch([Frame(0, 1, 0x7BB, bytes([0x10, 0, 0x40, 0, 0, 0, 1, 2])), Frame(1, 1, 0x7BB, b"\x21abcdefg")])
    assembler = IsoTp(message(0x7BB), 0, WIDTH)
    assert len(assembler.take(part, rows(part)).t_ns) == 0
    assert assembler.finish() == 1


def test_the_same_answer_on_two_buses_is_two_conversations() -> None:
    senders = [[Frame(0, bus, 0x7E8, data) for data in iso_tp(bytes([bus]) * 30)] for bus in (1, 2)]
    part = batch([frame for pair in zip(*senders, strict=True) for frame in pair])
    found = IsoTp(message(0x7E8), 0, WIDTH).take(part, rows(part))
    assert sorted(payload for _, payload in contents([found])) == [b"\x01" * 30, b"\x02" * 30]


GROUP = 0xFEEC
ADDRESSED_GROUP = 0xEF00


@st.composite
def j1939_traffic(draw: st.DrawFn) -> tuple[list[Frame], dict[int, list[bytes]], list[int]]:
    senders, sent = [], {}
    for source in (0, 17, 249):
        payloads = draw(st.lists(st.binary(min_size=1, max_size=120), max_size=3))
        frames = []
        for payload in payloads:
            # RTS/CTS and BAM of one source are two conversations, so each source keeps to one kind.
            destination = 255 if source != 17 else 3
            frames += [Frame(0, 1, *frame, True) for frame in j1939(payload, GROUP, source, destination)]
            if len(payload) > 8 and draw(st.booleans()):
                frames.append(frames[-1])
        other = draw(st.binary(min_size=9, max_size=30))
        frames += [Frame(0, 1, *frame, True) for frame in j1939(other, 0xFECA, source)]
        senders.append(frames)
        sent[source] = payloads
    frames = interleaved(draw, senders)
    return frames, sent, cuts(draw, len(frames))


@settings(max_examples=150, deadline=None)
@given(j1939_traffic())
def test_parameter_groups_come_back_from_packets_and_single_frames_of_any_source(
    traffic: tuple[list[Frame], dict[int, list[bytes]], list[int]],
) -> None:
    frames, sent, places = traffic
    assembler = J1939Transport(message(GROUP << 8, extended=True, mask=0x03FFFF00), 1785)
    found = contents([assembler.take(part, rows(part)) for part in split(frames, places)])
    assert sorted(payload for _, payload in found) == sorted(payload for each in sent.values() for payload in each)
    assert assembler.finish() == 0


def test_a_group_of_another_source_is_told_apart_when_whole_ids_count() -> None:
    payload = bytes(range(20))
    frames = [
        Frame(n, 1, *frame, True)
        for n, frame in enumerate([*j1939(payload, GROUP, 5), *j1939(payload[::-1], GROUP, 6)])
    ]
    part = batch(frames)
    found = J1939Transport(message(6 << 26 | GROUP << 8 | 6, extended=True), 1785).take(part, rows(part))
    assert [content for _, content in contents([found])] == [payload[::-1]]


def test_an_addressed_group_keeps_its_destination_out_of_the_match() -> None:
    payload = bytes(range(40))
    frames = j1939(payload, ADDRESSED_GROUP, source=5, destination=33)
    part = batch([Frame(n, 1, *frame, True) for n, frame in enumerate(frames)])
    found = J1939Transport(message(ADDRESSED_GROUP << 8, extended=True, mask=0x03FF0000), 1785).take(part, rows(part))
    assert contents([found]) == [(0, payload)]


def test_a_packet_that_never_came_is_one_incomplete_message() -> None:
    frames = j1939(bytes(range(40)), GROUP, 5)
    del frames[3]
    part = batch([Frame(n, 1, *frame, True) for n, frame in enumerate(frames)])
    assembler = J1939Transport(message(GROUP << 8, extended=True, mask=0x03FFFF00), 1785)
    assert len(assembler.take(part, rows(part)).t_ns) == 0
    assert assembler.finish() == 1


def test_nested_multiplexing_decodes_as_cantools_does() -> None:
    layout = parse_messages(UDS_DBC, frozenset({"battery"}), False)["battery"]
    rng = np.random.default_rng(7)
    payloads = rng.integers(0, 256, (40, 63), dtype=np.uint8)
    payloads[:, 1], payloads[:, 2], payloads[:, 3] = 98, 1, 1
    payloads[10:20, 1], payloads[20:30, 3] = 97, 2
    names = ("Soc", "Voltage", "Hottest", "Coldest")
    decoded = decode_signals(layout, names, payloads, np.full(40, 63))
    oracle = cantools.database.load_string(UDS_DBC, "dbc", strict=False).get_message_by_name("battery")
    for row in range(40):
        if 10 <= row < 30:
            assert not any(decoded[name].present[row] for name in names)
            continue
        wanted = oracle.decode(bytes(payloads[row]), decode_choices=False)
        assert {name: decoded[name].values[row] for name in names} == pytest.approx({n: wanted[n] for n in names})


@pytest.mark.real_data
def test_answers_of_a_real_electric_car_are_those_that_a_slow_receiver_puts_together(real_data: Path) -> None:
    path = real_data / "css_canedge_mf4" / "sample" / "nissan_leaf_uds_00000170.MF4"
    parts = list(open_recording({path.name: path}).batches({"CAN"}))
    layout = parse_messages(UDS_DBC, frozenset({"battery"}), False)["battery"]
    assembler = IsoTp(layout, LEAD, 63)
    found = [assembler.take(part, rows(part)) for part in parts]
    slow, open_message, announced = [], b"", 0
    for part in parts:
        for can_id, data in zip(part.columns["can_id"], part.columns["data"], strict=True):
            content = bytes(data)
            if can_id != 0x7EC:
                continue
            if content[0] >> 4 == 1:
                announced = (content[0] & 15) << 8 | content[1]
                open_message = content[2:]
            elif content[0] >> 4 == 2:
                open_message += content[1:]
                if len(open_message) >= announced:
                    slow.append(open_message[:announced])
    assert [content for _, content in contents(found, LEAD)] == slow
    assert len(slow) == 120
    # Over the last minute the tester asked without flow control: thirty answers stopped after their first frame.
    assert assembler.finish() == 30
    data, length = np.concatenate([one.data for one in found]), np.concatenate([one.length for one in found])
    values = decode_signals(layout, ("Soc", "Voltage", "Hottest", "Coldest"), data, length)
    assert set(values["Soc"].values.tolist()) == {50.0}
    assert np.allclose(values["Voltage"].values, 357.2, atol=0.2)
    assert np.all((values["Hottest"].values == 10) & (values["Coldest"].values == 9))


@pytest.mark.real_data
def test_the_leaf_database_finds_none_of_its_answers_in_that_recording(real_data: Path) -> None:
    """The file is named after a Leaf, but its answers are of service 0x22; the database describes service 0x21."""
    folder = real_data / "css_canedge_mf4"
    path = folder / "sample" / "nissan_leaf_uds_00000170.MF4"
    text = (folder / "dbc" / "tp_uds_nissan.dbc").read_text()
    layout = parse_messages(text, frozenset({"SoC_Temp"}), False)["SoC_Temp"]
    assembler = IsoTp(layout, LEAD, 55)
    found = [assembler.take(part, rows(part)) for part in open_recording({path.name: path}).batches({"CAN"})]
    data, length = np.concatenate([one.data for one in found]), np.concatenate([one.length for one in found])
    decoded = decode_signals(layout, ("service", "SoC", "BatPackTemp1"), data, length)
    assert len(data) == 150
    assert set(decoded["service"].values.tolist()) == {98.0}
    assert not decoded["SoC"].present.any()
    assert not decoded["BatPackTemp1"].present.any()


@pytest.mark.real_data
def test_the_leaf_database_decodes_answers_of_a_leaf(real_data: Path) -> None:
    text = (real_data / "css_canedge_mf4" / "dbc" / "tp_uds_nissan.dbc").read_text()
    layout = parse_messages(text, frozenset({"SoC_Temp"}), False)["SoC_Temp"]
    charge, warmth = bytearray(53), bytearray(20)
    charge[:2], charge[33:36] = b"\x61\x01", (712_345).to_bytes(3, "big")
    warmth[:2], warmth[4], warmth[7], warmth[13] = b"\x61\x04", 21, 22, 23
    frames = [Frame(n, 1, 0x7BB, data) for n, data in enumerate([*iso_tp(bytes(charge)), *iso_tp(bytes(warmth))])]
    part = batch(frames)
    found = IsoTp(layout, LEAD, 55).take(part, rows(part))
    names = ("SoC", "BatPackTemp1", "BatPackTemp2", "BatPackTemp4")
    decoded = decode_signals(layout, names, found.data, found.length)
    assert decoded["SoC"].values[0] == pytest.approx(71.2345)
    assert [decoded[name].values[1] for name in names[1:]] == [21, 22, 23]
    assert decoded["SoC"].present.tolist() == [True, False]
