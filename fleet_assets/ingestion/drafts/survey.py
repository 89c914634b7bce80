"""What an unknown recording carries: channels, CAN messages, rates and samples of values, in bounded memory.

Here belongs looking. What the values may mean is guessed in `signals.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import Batch, Channel, Recording
from fleet_assets.ingestion.recordings.windows import stacked
from fleet_assets.ingestion.sensor_sync_and_format_conversion.streams import median_rate_hz

SAMPLE_ROWS: Final = 4096
"""Messages of one kind that are kept."""
MAX_CAN_KINDS: Final = 4096
MAX_ELEMENTS: Final = 16
"""Elements of an array column that are looked at one by one."""


@dataclass(frozen=True, slots=True)
class CanId:
    """One kind of CAN frame."""

    channel: str
    bus: int
    can_id: int
    is_extended: bool


@dataclass(slots=True)
class Sample:
    """Messages of one kind in recorded order, the first of them.

    Attributes:
        parts: Batches that were kept.
        messages: Messages seen.
        first_t_ns: First time stamp seen.
        last_t_ns: Last time stamp seen.
    """

    parts: list[tuple[NDArray[np.int64], Mapping[str, NDArray[Any]]]] = field(default_factory=list)
    messages: int = 0
    first_t_ns: int = 0
    last_t_ns: int = 0

    def add(self, t_ns: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]) -> None:
        """Take messages, as far as there is room."""
        room = SAMPLE_ROWS - sum(len(part[0]) for part in self.parts)
        if room > 0:
            self.parts.append((t_ns[:room].copy(), {name: array[:room].copy() for name, array in columns.items()}))
        if not self.messages:
            self.first_t_ns = int(t_ns[0])
        self.last_t_ns = int(t_ns[-1])
        self.messages += len(t_ns)

    @property
    def t_ns(self) -> NDArray[np.int64]:
        """int64[n], recording clock."""
        return np.concatenate([part[0] for part in self.parts])

    def column(self, name: str) -> NDArray[Any]:
        """One column, [n] or [n, width]."""
        return stacked([part[1][name] for part in self.parts])

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that every part has."""
        return tuple(name for name in self.parts[0][1] if all(name in part[1] for part in self.parts))

    @property
    def rate_hz(self) -> float | None:
        """Median rate."""
        return median_rate_hz(self.t_ns)


@dataclass(frozen=True, slots=True)
class Survey:
    """A recording as seen.

    Attributes:
        format: Its format.
        clock: Its clock, see the protocol.
        container_start_ns: UTC start that the container states.
        channels: All channels.
        fields: Samples of channels with named fields and of those that cannot be decoded.
        frames: Samples of CAN frames by kind.
    """

    format: str
    clock: str
    container_start_ns: int | None
    channels: Mapping[str, Channel]
    fields: Mapping[str, Sample]
    frames: Mapping[CanId, Sample]


def _add_frames(frames: dict[CanId, Sample], batch: Batch) -> None:
    columns = batch.columns
    key = columns["can_id"].astype(np.int64) | columns["is_extended"].astype(np.int64) << 32
    key |= columns["bus"].astype(np.int64) << 33
    for value in np.unique(key).tolist():
        rows = np.flatnonzero(key == value)
        kind = CanId(batch.channel, value >> 33, value & 0xFFFFFFFF, bool(value >> 32 & 1))
        if kind in frames or len(frames) < MAX_CAN_KINDS:
            kept = {name: columns[name][rows] for name in ("data", "length")}
            frames.setdefault(kind, Sample()).add(batch.t_ns[rows], kept)


def survey(recording: Recording) -> Survey:
    """Read a recording (or the beginning of one) once.

    Raises:
        UnreadableRecordingError: When nothing useful can be read.
    """
    fields: dict[str, Sample] = {}
    frames: dict[CanId, Sample] = {}
    channels = {channel.name: channel for channel in recording.channels()}
    for batch in recording.batches():
        if "can_id" in batch.columns:
            _add_frames(frames, batch)
        elif len(batch):
            fields.setdefault(batch.channel, Sample()).add(batch.t_ns, batch.columns)
    return Survey(recording.format, recording.clock, recording.container_start_ns, channels, fields, frames)


def numeric_fields(sample: Sample) -> dict[str, NDArray[np.float64]]:
    """Values of a channel's fields as specs name them, float64[n]; elements of arrays as `NAME[INDEX]`."""
    found: dict[str, NDArray[np.float64]] = {}
    for name in sample.names:
        array = sample.column(name)
        if array.dtype.kind not in "biuf":
            continue
        if array.ndim == 1 or array.size == len(array):
            found[name] = array.reshape(len(array)).astype(np.float64)
        elif array.ndim == 2:  # noqa: PLR2004 - rows of vectors
            for index in range(min(array.shape[1], MAX_ELEMENTS)):
                found[f"{name}[{index}]"] = array[:, index].astype(np.float64)
    return found
