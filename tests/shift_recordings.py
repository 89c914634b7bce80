"""Real recordings moved by whole days: the same drive, as if the car had made it on another date.

Here belongs what states UTC inside a recording: the GNSS time column of comma2k19 arrays; header and GNSS time frames
of MDF 4 files. Every other byte stays as it is, so that all facts about the drive hold on its new day too.
"""

import shutil
import struct
from pathlib import Path
from typing import Final

import numpy as np

from fleet_assets.ingestion.recordings.mdf4.layout import Group, Section, is_mdf4, read_layout

NS_PER_DAY: Final = 86_400 * 1_000_000_000
MS_PER_DAY: Final = 86_400 * 1_000
COMMA_UTC_COLUMN: Final = 3
COMMA_GNSS_VALUES: Final = ("live_gnss_ublox/value", "live_gnss_qcom/value")
CANMOD_TIME_ID: Final = 2
"""Frame `gnss_time` of a CANmod.gps: bit 0 says whether the time is valid, the five bytes after the first are
milliseconds since 2020 (canmod-gps.dbc)."""
CANMOD_EPOCH: Final = slice(1, 6)
MDF4_HEADER_AT: Final = 64
MDF4_FRAME: Final = struct.Struct("<4sIQQ")
CAN_ID_SHIFT: Final = 3
"""A CANedge record packs bus channel and flags below the 29 bits of the frame id."""


class UnknownLayoutError(ValueError):
    """A file that is not laid out as the recorders of the sample recordings do it; nothing is written."""


def shift_comma2k19(source: Path, target: Path, days: int) -> Path:
    """Copy a comma2k19 folder and move its GNSS time stamps.

    Args:
        source: Folder with one or more segments.
        target: Folder to make.
        days: Whole days to move by; may be negative.

    Returns:
        The new folder.
    """
    for path in _files(source):
        copy = _copied(path, source, target)
        if path.as_posix().endswith(COMMA_GNSS_VALUES):
            with copy.open("rb") as stream:
                values = np.load(stream, allow_pickle=False)
            values[:, COMMA_UTC_COLUMN] += days * MS_PER_DAY
            with copy.open("wb") as stream:
                np.save(stream, values, allow_pickle=False)
    return target


def shift_canedge(source: Path, target: Path, days: int) -> Path:
    """Copy a CANedge trip with a CANmod.gps and move its headers and GNSS time frames.

    Args:
        source: Folder with split MDF 4 files.
        target: Folder to make.
        days: Whole days to move by; may be negative.

    Returns:
        The new folder.

    Raises:
        UnknownLayoutError: When records are compressed, or laid out otherwise than CANedge loggers do.
    """
    for path in _files(source):
        copy = _copied(path, source, target)
        content = bytearray(copy.read_bytes())
        if is_mdf4(bytes(content[:MDF4_HEADER_AT])):
            _shift_header(content, days)
            for section in read_layout(path, path.name).sections:
                _shift_time_frames(content, path, section, days)
            copy.write_bytes(content)
    return target


def _files(source: Path) -> list[Path]:
    return sorted(path for path in source.rglob("*") if path.is_file())


def _copied(path: Path, source: Path, target: Path) -> Path:
    """A writable copy, wherever the source lies."""
    copy = target / path.relative_to(source)
    copy.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(path, copy))


def _shift_header(content: bytearray, days: int) -> None:
    """HD block: its start time is the first field after the links."""
    _, _, _, links = MDF4_FRAME.unpack_from(content, MDF4_HEADER_AT)
    at = MDF4_HEADER_AT + MDF4_FRAME.size + 8 * links
    (start_ns,) = struct.unpack_from("<Q", content, at)
    struct.pack_into("<Q", content, at, start_ns + days * NS_PER_DAY)


def _shift_time_frames(content: bytearray, path: Path, section: Section, days: int) -> None:
    for group in section.groups:
        if group.name != "CAN_DataFrame" or not section.data.size:
            continue
        payloads = _payloads_at(path, group)
        if section.id_bytes or len(section.data.fragments) != 1 or section.data.fragments[0].packing >= 0:
            raise UnknownLayoutError(f"{path}: records are mixed, listed or compressed; one plain block was expected.")
        (records,) = section.data.fragments
        raw = np.frombuffer(content, np.uint8, records.size, records.address)
        rows = raw[: len(raw) // group.record_bytes * group.record_bytes].reshape(-1, group.record_bytes)
        ids = np.ascontiguousarray(rows[:, 8:12]).view("<u4").ravel() >> CAN_ID_SHIFT
        offsets = np.ascontiguousarray(rows[:, 14:22]).view("<u8").ravel()[ids == CANMOD_TIME_ID]
        del raw, rows  # a view would keep the bytes from being changed
        for offset in offsets:
            _shift_epoch(content, payloads + int(offset), days)


def _payloads_at(path: Path, group: Group) -> int:
    """Where the variable-length payloads of a group lie in the file."""
    found = {field.name: (field.byte_offset, field.bit_offset) for field in group.fields}
    wanted = {"CAN_DataFrame.ID": (8, CAN_ID_SHIFT), "CAN_DataFrame.DataBytes": (14, 0)}
    signals = list(group.signal_data.values())
    if any(found.get(name) != place for name, place in wanted.items()) or len(signals) != 1:
        raise UnknownLayoutError(f"{path}: CAN_DataFrame has {found}; {wanted} and one signal block were expected.")
    if len(signals[0].fragments) != 1 or signals[0].fragments[0].packing >= 0:
        raise UnknownLayoutError(f"{path}: payloads are listed or compressed; one plain block was expected.")
    return signals[0].fragments[0].address


def _shift_epoch(content: bytearray, payload: int, days: int) -> None:
    """Move one GNSS time frame: four bytes of length, then the frame."""
    first, end = payload + 4 + CANMOD_EPOCH.start, payload + 4 + CANMOD_EPOCH.stop
    moved = int.from_bytes(content[first:end], "little") + days * MS_PER_DAY
    content[first:end] = moved.to_bytes(end - first, "little")
