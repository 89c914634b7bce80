"""Reader of comma2k19 recordings: folders of NumPy arrays on the device's boot clock.

Layout: https://github.com/commaai/comma2k19#log-format. A folder with times and values is a channel, named after its
path from the log's top folder on; several one-minute segments of one route are one recording. Array files themselves
are read by `npy.py`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.arrays.npy import MAGIC, NpyFile, map_npy
from fleet_assets.ingestion.recordings.pass_account import PassAccount
from fleet_assets.ingestion.recordings.protocol import (
    NS_PER_S,
    Batch,
    Channel,
    Files,
    Loss,
    Summary,
    UnreadableRecordingError,
)
from fleet_assets.ingestion.recordings.windows import MAX_BATCH_ROWS, Chunk, Columns, cut, weave

FORMAT: Final = "comma2k19"
_TOP_FOLDERS: Final = ("processed_log", "global_pose")
_TIME_FILES: Final = ("t", "frame_times")
_CAN_FILES: Final = frozenset({"src", "address", "data"})
_CAN_FIELDS: Final = ("bus", "can_id", "is_extended", "length", "data")
_ARRAY_NAMES: Final = frozenset({*_TIME_FILES, "value", *_CAN_FILES})
_HIGHEST_STANDARD_ID: Final = 0x7FF
_HIGHEST_ID: Final = 0x1FFFFFFF
_HIGHEST_BUS: Final = 0xFFFF
_MAX_TIME_S: Final = 9.0e9
"""Seconds beyond which a time stamp does not fit integer nanoseconds."""
_UPLOAD_AGAIN: Final = "Upload the drive again; if the source is damaged too, the rest of the drive is still used."


@dataclass(frozen=True, slots=True)
class _Part:
    """One channel's arrays in one folder, of equal length."""

    channel: str
    kind: str
    time_path: str
    times: NDArray[Any]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def fields(self) -> tuple[str, ...]:
        return _CAN_FIELDS if self.kind == "can" else tuple(sorted(self.arrays))

    @property
    def signature(self) -> tuple[str, tuple[tuple[str, tuple[int, ...]], ...]]:
        """What segments of one channel must agree in; frames may be of any length."""
        shapes = () if self.kind == "can" else tuple((name, self.arrays[name].shape[1:]) for name in self.fields)
        return self.kind, shapes


def is_array(head: bytes) -> bool:
    """Whether a file begins as a NumPy array does."""
    return head.startswith(MAGIC)


def _channel_name(folder: PurePosixPath) -> str:
    for index, part in enumerate(folder.parts):
        if part in _TOP_FOLDERS:
            return str(PurePosixPath(*folder.parts[index:]))
    return str(folder)


def _folders(files: Files) -> dict[PurePosixPath, dict[str, str]]:
    found: dict[PurePosixPath, dict[str, str]] = {}
    for name in sorted(files):
        path = PurePosixPath(name)
        found.setdefault(path.parent, {})[path.name] = name
    return {
        folder: names
        for folder, names in found.items()
        if any(name in _ARRAY_NAMES or name.startswith("frame_") for name in names)
    }


def _time_checked(times: NDArray[Any], name: str) -> NDArray[Any]:
    if times.ndim != 1 or times.dtype.kind != "f":
        found = f"{times.dtype} with {times.ndim} dimensions"
        raise UnreadableRecordingError(name, "wrong_type", value=found, limit="float seconds", remedy=_UPLOAD_AGAIN)
    return times


def _can_checked(arrays: Mapping[str, NDArray[Any]], names: Mapping[str, str]) -> None:
    for field in ("src", "address"):
        if arrays[field].ndim != 1 or arrays[field].dtype.kind not in "iu":
            found = f"{arrays[field].dtype} with {arrays[field].ndim} dimensions"
            raise UnreadableRecordingError(
                names[field], "wrong_type", value=found, limit="integers", remedy=_UPLOAD_AGAIN
            )
    data = arrays["data"]
    if not (data.dtype.kind == "S" and data.ndim == 1) and not (data.dtype == np.uint8 and data.ndim != 1):
        found = f"{data.dtype} with {data.ndim} dimensions"
        raise UnreadableRecordingError(names["data"], "wrong_type", value=found, limit="bytes", remedy=_UPLOAD_AGAIN)


def _are_usable(seconds: NDArray[np.float64]) -> bool:
    """Whether all are time stamps, by the quickest look; false too where they need a closer one."""
    # The smallest of values with a NaN among them is NaN, which is not above zero.
    return bool(len(seconds) and seconds.min() > 0.0 and seconds.max() < _MAX_TIME_S)


def _to_ns(times: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Turn seconds into nanoseconds; False marks time stamps that cannot be one.

    A zero after a positive time stamp is a hole in the file, since the boot clock never returns to zero.
    """
    with np.errstate(invalid="ignore"):
        seconds = np.asarray(times, dtype=np.float64)
    if _are_usable(seconds):
        nanoseconds = seconds * NS_PER_S
        return np.rint(nanoseconds, out=nanoseconds).astype(np.int64), np.ones(len(seconds), dtype=np.bool_)
    usable = np.abs(seconds) < _MAX_TIME_S
    zero = seconds == 0.0
    if zero.any():
        usable &= ~(zero & (np.maximum.accumulate(np.where(usable, seconds, 0.0)) > 0.0))
    return np.rint(np.where(usable, seconds, 0.0) * NS_PER_S).astype(np.int64), usable


def _lie_in(values: NDArray[Any], highest: int) -> NDArray[np.bool_]:
    """Which integers are neither negative nor above a limit."""
    if len(values) and values.min() >= 0 and values.max() <= highest:
        return np.ones(len(values), dtype=np.bool_)
    return (values >= 0) & (values <= highest)


def _can_columns(arrays: Columns) -> tuple[Columns, NDArray[np.bool_]]:
    address, bus = arrays["address"], arrays["src"]
    usable = _lie_in(address, _HIGHEST_ID) & _lie_in(bus, _HIGHEST_BUS)
    data = arrays["data"]
    payload = data if data.ndim > 1 else np.ascontiguousarray(data).view(np.uint8).reshape(len(data), -1)
    return {
        "bus": bus.astype(np.uint16),
        "can_id": address.astype(np.uint32),
        "is_extended": address > _HIGHEST_STANDARD_ID,
        # NumPy strips trailing NULs of byte strings, so the frame's own length is not known: all bytes count.
        "length": np.full(len(data), payload.shape[1], dtype=np.uint8),
        "data": payload,
    }, usable


class Comma2k19Recording:
    """One comma2k19 recording.

    Args:
        files: The drive's files.

    Raises:
        UnreadableRecordingError: When no channel can be read.
    """

    format = FORMAT
    container_start_ns: int | None = None
    clock = "monotonic"

    def __init__(self, files: Files) -> None:
        self._files = files
        self._losses: list[Loss] = []
        self._parts: dict[str, list[_Part]] = {}
        for folder, names in _folders(files).items():
            self._open_folder(_channel_name(folder), folder, names)
        extents = [extent for parts in self._parts.values() for part in parts if (extent := _extent(part))]
        if not extents:
            reasons = "; ".join(loss.reason for loss in self._losses[:3]) or "no folder with times and values"
            first = min(files, default="(no files)")
            raise UnreadableRecordingError(
                first, "no_messages", value=reasons, limit="a folder with `t` and `value`", remedy=_UPLOAD_AGAIN
            )
        self._extent = (min(low for low, _ in extents), max(high for _, high in extents))
        for parts in (some for some in self._parts.values() if len(some) > 1):
            parts.sort(key=lambda part: (_extent(part) or (0, 0), part.time_path))
        self._account = PassAccount()
        self._pass_losses: dict[str, Loss] = {}

    def _open_folder(self, channel: str, folder: PurePosixPath, names: Mapping[str, str]) -> None:
        opened: dict[str, NpyFile] = {}
        failed: list[UnreadableRecordingError] = []
        for short, name in names.items():
            try:
                opened[short] = map_npy(self._files[name], name)
            except UnreadableRecordingError as error:
                if short in _ARRAY_NAMES or short.startswith("frame_"):
                    failed.append(error)
        try:
            part = _assemble(channel, str(folder), opened, names)
        except UnreadableRecordingError as error:
            if error.path not in [failure.path for failure in failed]:
                failed.append(error)
            part = None
        stated = max((file.stated_rows for file in opened.values()), default=None)
        # A channel without its times is lost whole; without one of several value columns it goes on.
        kept = part is not None and not (part.kind == "can" and failed)
        for number, failure in enumerate(failed):
            lost = (stated if number == 0 else 0) if not kept else 0
            size = self._files[failure.path].stat().st_size if failure.path in self._files else 0
            self._losses.append(Loss(failure.path, size, lost, str(failure), failure.rule, channel))
        if part is None or not kept:
            return
        others = self._parts.setdefault(channel, [])
        if others and others[0].signature != part.signature:
            reason = f"{part.time_path}: wrong_type: arrays of other shapes than beside {others[0].time_path}"
            lost_bytes = sum(self._files[name].stat().st_size for name in names.values())
            self._losses.append(Loss(part.time_path, lost_bytes, stated, reason, "wrong_type", channel))
            return
        self._losses += _shortfalls(part, opened, names)
        others.append(part)

    def channels(self) -> tuple[Channel, ...]:
        """List the channels without reading their messages."""
        return tuple(
            Channel(name, parts[0].kind, parts[0].fields, sum(len(part.times) for part in parts))
            for name, parts in sorted(self._parts.items())
        )

    def extent_ns(self) -> tuple[int, int]:
        """First and last usable time stamp over all channels, nanoseconds of the boot clock."""
        return self._extent

    def batches(self, wanted: Collection[str] | None = None) -> Iterator[Batch]:
        """Yield messages window by window in time order; see the protocol."""
        self._account.reset()
        self._pass_losses.clear()
        chosen = [name for name in sorted(self._parts) if wanted is None or name in wanted]
        yield from self._account.watched(weave([cut(self._chunks(name), self._extent[0]) for name in chosen]))

    def _chunks(self, channel: str) -> Iterator[list[Chunk]]:
        for part in self._parts[channel]:
            for first in range(0, len(part.times), MAX_BATCH_ROWS):
                rows = slice(first, first + MAX_BATCH_ROWS)
                t_ns, usable = _to_ns(part.times[rows])
                columns: Columns = {name: np.asarray(array[rows]) for name, array in part.arrays.items()}
                self._count_lost(part.time_path, channel, "invalid_time", int((~usable).sum()))
                if part.kind == "can":
                    columns, addressed = _can_columns(columns)
                    self._count_lost(part.time_path, channel, "invalid_address", int((usable & ~addressed).sum()))
                    usable &= addressed
                if not usable.all():
                    t_ns, columns = t_ns[usable], {name: array[usable] for name, array in columns.items()}
                yield [((channel, 0), t_ns, columns)]

    def _count_lost(self, path: str, channel: str, rule: str, messages: int) -> None:
        if not messages:
            return
        before = self._pass_losses.get(f"{path} {rule}")
        total = messages + ((before.messages or 0) if before else 0)
        reason = f"{path}: {rule}: {total} messages cannot be placed in time or on a bus and are left out"
        self._pass_losses[f"{path} {rule}"] = Loss(path, 0, total, reason, rule, channel)

    def summary(self) -> Summary:
        """Counts and losses of the pass made by ``batches``."""
        channels = self._account.summaries(self._parts)
        return Summary(channels, (*self._losses, *self._pass_losses.values()))

    def close(self) -> None:
        """Drop the memory maps."""
        self._parts.clear()


def _assemble(channel: str, folder: str, opened: Mapping[str, NpyFile], names: Mapping[str, str]) -> _Part | None:
    """Make a channel of a folder's arrays, cut to their common length; None where the folder holds no channel.

    Raises:
        UnreadableRecordingError: When times or values are missing or of the wrong type.
    """
    time_name = next((name for name in _TIME_FILES if name in opened), None)
    values = {name: file.values for name, file in opened.items() if name not in _TIME_FILES}
    if time_name is None:
        if not any(name in names for name in _TIME_FILES):
            missing = f"{folder}/{_TIME_FILES[0]}"
            raise UnreadableRecordingError(missing, "missing_file", limit="times of the messages", remedy=_UPLOAD_AGAIN)
        return None
    if not values:
        raise UnreadableRecordingError(
            f"{folder}/value", "missing_file", limit="an array of values beside the times", remedy=_UPLOAD_AGAIN
        )
    times = _time_checked(opened[time_name].values, names[time_name])
    can = _CAN_FILES & values.keys()
    if can and can != _CAN_FILES:
        missing = f"{folder}/{min(_CAN_FILES - can)}"
        raise UnreadableRecordingError(missing, "missing_file", limit="src, address and data", remedy=_UPLOAD_AGAIN)
    if can:
        _can_checked(values, names)
        values = {name: values[name] for name in sorted(_CAN_FILES)}
    rows = min(len(times), *(len(array) for array in values.values()))
    return _Part(
        channel=channel,
        kind="can" if can else "fields",
        time_path=names[time_name],
        times=times[:rows],
        arrays={name: array[:rows] for name, array in values.items()},
    )


def _shortfalls(part: _Part, opened: Mapping[str, NpyFile], names: Mapping[str, str]) -> list[Loss]:
    """State which arrays of a channel are shorter than its longest, and how many messages that costs."""
    rows, total = len(part.times), max(file.stated_rows for file in opened.values())
    short = [(name, file) for name, file in opened.items() if len(file.values) < total]
    losses = []
    for number, (name, file) in enumerate(sorted(short, key=lambda item: len(item[1].values))):
        rule = "truncated_file" if file.missing_bytes else "length_mismatch"
        lost = total - rows if number == 0 else 0
        reason = f"{names[name]}: {rule}: {len(file.values)} of {total} rows are there. {_UPLOAD_AGAIN}"
        losses.append(Loss(names[name], file.missing_bytes, lost, reason, rule, part.channel))
    return losses


def _extent(part: _Part) -> tuple[int, int] | None:
    with np.errstate(invalid="ignore"):
        seconds = np.asarray(part.times, dtype=np.float64)
    if _are_usable(seconds):
        low, high = np.rint(np.array([seconds.min(), seconds.max()]) * NS_PER_S).astype(np.int64).tolist()
        return low, high
    t_ns, usable = _to_ns(part.times)
    return (int(t_ns[usable].min()), int(t_ns[usable].max())) if usable.any() else None
