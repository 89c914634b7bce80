"""CAN logs written exactly: what python-can's writers cannot be asked for.

Here belong writers of candump, BLF and ASC files from frames with nanosecond time stamps, and what a reader gave as
frames again. python-can, which writes through floats, is the oracle for reading.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fleet_assets.ingestion.recordings.protocol import NS_PER_S, Recording

START_NS = 1_700_000_000 * NS_PER_S
HEADER = struct.Struct("<4sL8BQQLL8H8H")
OBJECT = struct.Struct("<4sHHLL")
CAN_MESSAGE, CONTAINER, ERROR, CAN_MESSAGE2, FD_MESSAGE, FD_MESSAGE_64 = 1, 10, 73, 86, 100, 101
LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)


@dataclass(frozen=True, slots=True)
class Frame:
    """One data frame: UTC in ns, bus, id, flag of long ids, payload."""

    t_ns: int
    bus: int
    can_id: int
    extended: bool
    data: bytes


def some_frames(count: int, *, seed: int = 1, fd: bool = False, step_ns: int = NS_PER_S // 1000) -> list[Frame]:
    """Frames of two buses with short and long ids and payloads of all lengths, one per step."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        extended = bool(rng.integers(2))
        size = LENGTHS[rng.integers(len(LENGTHS) if fd else 9)]
        found.append(
            Frame(
                START_NS + number * step_ns,
                int(rng.integers(1, 3)),
                int(rng.integers(0x20000000 if extended else 0x800)),
                extended,
                rng.integers(0, 256, size, dtype=np.uint8).tobytes(),
            )
        )
    return found


def frames_read(recording: Recording) -> list[Frame]:
    """All frames that a reader gives."""
    found = []
    for batch in recording.batches():
        columns = batch.columns
        assert not np.any(columns["data"][np.arange(columns["data"].shape[1]) >= columns["length"][:, None]])
        found += [
            Frame(int(t), int(bus), int(one), bool(long), bytes(data[:size]))
            for t, bus, one, long, data, size in zip(
                batch.t_ns, columns["bus"], columns["can_id"], columns["is_extended"], columns["data"],
                columns["length"], strict=True,
            )
        ]  # fmt: skip
    return found


def candump_line(frame: Frame) -> str:
    """One line of a can-utils log, microseconds."""
    seconds, rest = divmod(frame.t_ns, NS_PER_S)
    flags = "#1" if len(frame.data) > 8 else ""
    number = f"{frame.can_id:08X}" if frame.extended else f"{frame.can_id:03X}"
    return f"({seconds}.{rest // 1000:06d}) can{frame.bus} {number}#{flags}{frame.data.hex().upper()}\n"


def write_candump(path: Path, frames: Iterable[Frame]) -> Path:
    """Write a can-utils log."""
    path.write_text("".join(map(candump_line, frames)))
    return path


def asc_line(frame: Frame, since_ns: int, base: int = 16) -> str:
    """One event of an ASC log."""
    number = (f"{frame.can_id:X}" if base == 16 else str(frame.can_id)) + ("x" if frame.extended else "")
    data = " ".join(f"{value:02X}" if base == 16 else str(value) for value in frame.data)
    seconds, rest = divmod(frame.t_ns - since_ns, NS_PER_S)
    stamp = f"{seconds:4d}.{rest:09d}"
    if len(frame.data) > 8:
        code = LENGTHS.index(len(frame.data))
        tail = "   130000  130 203000 b5f3 46500250 4b140250 20011736 2001040d"
        return f"{stamp} CANFD {frame.bus:3d} Rx {number:>10} {'':32} 1 0 {code:x} {len(frame.data):2d} {data} {tail}\n"
    size = f"{len(frame.data):x}"
    return f"{stamp} {frame.bus}  {number:15} Rx   d {size} {data}  Length = 220015 BitCount = 114\n"


def write_asc(path: Path, frames: Sequence[Frame], *, base: int = 16, relative: bool = False) -> Path:
    """Write an ASC log whose measurement starts at `START_NS`."""
    date = datetime.fromtimestamp(START_NS // NS_PER_S, UTC).strftime("%a %b %d %I:%M:%S.000 %p %Y").lower()
    lines = [
        f"date {date}\n",
        f"base {'hex' if base == 16 else 'dec'}  timestamps {'relative' if relative else 'absolute'}\n",
        "internal events logged\n",
        "// version 9.0.0\n",
        f"Begin Triggerblock {date}\n",
        "   0.000000 Start of measurement\n",
    ]
    since = START_NS
    for number, frame in enumerate(frames):
        if number % 50 == 7:
            stamp = "0.000000" if relative else f"{(frame.t_ns - since) / NS_PER_S:.6f}"
            lines.append(f"   {stamp} 1  Statistic: D 1 R 0 XD 0 XR 0 E 0 O 0 B 0.12%\n")
        lines.append(asc_line(frame, since, base))
        since = frame.t_ns if relative else since
    path.write_text("".join([*lines, "End TriggerBlock\n"]))
    return path


def blf_object(kind: int, body: bytes, ticks: int, *, ten_us: bool = False, version: int = 1) -> bytes:
    """One object; padding as Vector's tools do."""
    size = 32 if version == 1 else 40
    middle = struct.pack("<LHHQ", 1 if ten_us else 2, 0, 0, ticks) if version == 1 else (
        struct.pack("<LBxHQQ", 1 if ten_us else 2, 0, 0, ticks, ticks)
    )  # fmt: skip
    whole = OBJECT.pack(b"LOBJ", size, version, size + len(body), kind) + middle + body
    return whole + bytes(len(whole) % 4)


def blf_frame(frame: Frame, kind: int, *, ten_us: bool = False, version: int = 1, start_ns: int = START_NS) -> bytes:
    """One frame as an object of a kind; bytes behind the payload are rubbish, as in real files."""
    ticks = (frame.t_ns - start_ns) // (10_000 if ten_us else 1)
    number = frame.can_id | (0x80000000 if frame.extended else 0)
    size = len(frame.data)
    code = LENGTHS.index(size)
    if kind in (CAN_MESSAGE, CAN_MESSAGE2):
        body = struct.pack("<HBBL8s", frame.bus, 0, code, number, frame.data.ljust(8, b"\xa5"))
        body += struct.pack("<LBBH", 1, 2, 3, 4) if kind == CAN_MESSAGE2 else b""
    elif kind == FD_MESSAGE:
        data = frame.data.ljust(64, b"\xa5")
        body = struct.pack("<HBBLLBBB5x64s", frame.bus, 0, code, number, 0, 0, 3, size, data)
    else:
        body = struct.pack("<BBBBLLLLLLLHBBL", frame.bus, code, size, 0, number, 0, 0x3000, 0, 0, 0, 0, 0, 0, 0, 0)
        body += frame.data
    return blf_object(kind, body, ticks, ten_us=ten_us, version=version)


def blf_container(content: bytes, *, compressed: bool = True) -> bytes:
    """One container."""
    inside = zlib.compress(content) if compressed else content
    size = OBJECT.size + 16 + len(inside)
    head = OBJECT.pack(b"LOBJ", 16, 1, size, CONTAINER) + struct.pack("<H6xL4x", 2 if compressed else 0, len(content))
    return head + inside + bytes(size % 4)


def system_time(t_ns: int) -> tuple[int, ...]:
    """SYSTEMTIME of UTC."""
    moment = datetime.fromtimestamp(t_ns // NS_PER_S, UTC)
    milliseconds = t_ns % NS_PER_S // 1_000_000
    return (
        moment.year, moment.month, moment.isoweekday() % 7, moment.day,
        moment.hour, moment.minute, moment.second, milliseconds,
    )  # fmt: skip


def blf_file(
    objects: Sequence[bytes], *, container_bytes: int = 4096, compressed: bool = True, start_ns: int = START_NS
) -> tuple[bytes, list[int]]:
    """A whole file, objects straddling its containers, and where each container begins."""
    stream = b"".join(objects)
    containers = [
        blf_container(stream[at : at + container_bytes], compressed=compressed)
        for at in range(0, len(stream), container_bytes)
    ]
    size = 144 + sum(map(len, containers))
    times = system_time(start_ns)
    header = HEADER.pack(
        b"LOGG", 144, 5, 0, 0, 0, 2, 6, 8, 1, size, 144 + len(stream), len(objects), 0, *times, *times
    ).ljust(144, b"\0")  # fmt: skip
    places = [144]
    for container in containers:
        places.append(places[-1] + len(container))
    return header + b"".join(containers), places[:-1]


def write_blf(path: Path, frames: Iterable[Frame], *, compressed: bool = True) -> Path:
    """Write frames as plain or FD objects, whichever they need."""
    objects = [blf_frame(frame, FD_MESSAGE if len(frame.data) > 8 else CAN_MESSAGE) for frame in frames]
    path.write_bytes(blf_file(objects, compressed=compressed)[0])
    return path
