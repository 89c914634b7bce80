"""Time stamps out of the cells of a text table: numbers since 1970, ISO 8601, other texts, local time.

Here belongs the exact way to int64 nanoseconds UTC: never through a float, so that a microsecond stays a microsecond.
"""

import re
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.recordings.tables.text_cells import texts
from fleet_assets.policy.table_layouts import TimeColumn

Times = tuple[NDArray[np.int64], NDArray[np.bool_]]
"""Nanoseconds UTC, and which cells state a time."""

_NS_DIGITS: Final = {"s": 9, "ms": 6, "us": 3, "ns": 0}
"""Decimal places of a unit down to a nanosecond."""
_HIGHEST_NS: Final = 9_000_000_000 * NS_PER_S
"""Year 2255: what is beyond is no time stamp, and sums of it would not fit."""
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - wall clocks are counted without a zone
_NS_PER_MINUTE: Final = 60 * NS_PER_S
_MINUTES_PER_DAY: Final = 1440
_NS_PER_DAY: Final = _MINUTES_PER_DAY * _NS_PER_MINUTE
_OFFSETS_KEPT: Final = 10_000
_DECIMAL_DIGITS: Final = 38
_WORDS: Final = 2
# A fraction of more digits than Python's six, which ISO 8601 allows.
_FRACTION: Final = re.compile(r"^(?P<whole>[^.,]*\d{2}:?\d{2}:?\d{2})[.,](?P<digits>\d{1,30})(?P<rest>.*)$", re.DOTALL)


def _no_times(count: int) -> Times:
    return np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.bool_)


def _plausible(t_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (t_ns > -_HIGHEST_NS) & (t_ns < _HIGHEST_NS)


def _decimals_ns(array: Any, digits: int) -> Times:
    """Numbers with up to `digits` decimal places, exactly.

    Raises:
        pyarrow.ArrowInvalid: When any cell is no such number.
    """
    decimal = pc.cast(array, pa.decimal128(_DECIMAL_DIGITS, digits))
    words = np.frombuffer(decimal.buffers()[1], dtype="<i8")[decimal.offset * _WORDS :]
    pairs = words[: len(decimal) * _WORDS].reshape(-1, _WORDS)
    t_ns = pairs[:, 0].copy()
    fits = (pairs[:, 1] == (t_ns >> 63)) & _plausible(t_ns)
    if decimal.null_count:
        fits &= ~np.asarray(pc.is_null(decimal).to_numpy(zero_copy_only=False))
    return np.where(fits, t_ns, 0), fits


def _from_cells(array: Any, one: Any) -> Times:
    t_ns, fits = _no_times(len(array))
    for row, cell in enumerate(texts(array)):
        found = one(cell.strip())
        if found is not None and -_HIGHEST_NS < found < _HIGHEST_NS:
            t_ns[row], fits[row] = found, True
    return t_ns, fits


def _number_ns(cell: str, digits: int) -> int | None:
    """One cell's number, rounded to the nearest nanosecond."""
    try:
        value = Decimal(cell)
        return round(value.scaleb(digits)) if value.is_finite() and abs(value.adjusted()) < _DECIMAL_DIGITS else None
    except InvalidOperation:
        return None


def numbers_ns(array: Any, unit: str) -> Times:
    """Numbers that count from 1970 in a unit.

    Args:
        array: Arrow array of strings, integers or floats; floats stand for their shortest decimal spelling.
        unit: ``s``, ``ms``, ``us`` or ``ns``.
    """
    digits = _NS_DIGITS[unit]
    if pa.types.is_floating(array.type):
        array = pa.array([None if cell is None else repr(cell) for cell in array.to_pylist()], pa.string())
    try:
        return _decimals_ns(array, digits)
    except pa.ArrowInvalid:
        return _from_cells(array, lambda cell: _number_ns(cell, digits))


def _cast_ns(array: Any, kind: Any) -> Times:
    """Texts that Arrow reads itself.

    Raises:
        pyarrow.ArrowInvalid: When any cell is no such text.
    """
    cast = pc.cast(array, kind)
    fits = np.asarray(pc.is_valid(cast).to_numpy(zero_copy_only=False), dtype=np.bool_)
    t_ns = np.asarray(pc.fill_null(pc.cast(cast, pa.int64()), 0).to_numpy(), dtype=np.int64)
    fits &= _plausible(t_ns)
    return t_ns, fits


def _read_text(cell: str, layout: str | None) -> tuple[datetime, int] | None:
    """Wall clock and the nanoseconds below a second, for what Arrow does not read."""
    part = _FRACTION.match(cell)
    below = 0
    try:
        if layout is not None:
            read = datetime.strptime(cell, layout)  # noqa: DTZ007 - the zone is applied by the caller
        elif part is None:
            read = datetime.fromisoformat(cell)
        else:
            read = datetime.fromisoformat(part["whole"] + part["rest"].lstrip())
            below = int(part["digits"][:9].ljust(9, "0"))
    except ValueError:
        return None
    if layout is not None or part is None:
        below = read.microsecond * 1000
    return read.replace(microsecond=0), below


def _wall_ns(moment: datetime, below: int) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1) * NS_PER_S + below


class TextTimes:
    """Texts of one column as nanoseconds UTC.

    Local times that occur twice (clocks go back in autumn) are the instant that lies nearer to the preceding time stamp
    of the recording; the earlier one where nothing precedes. Of two times of one row the second is never before the
    first if it need not be. Local times that never were (clocks go forward in spring) are read with the offset of the
    hour before.

    Args:
        column: How the column spells time.

    Attributes:
        ambiguous: Time stamps so far that occur twice.
    """

    def __init__(self, column: TimeColumn) -> None:
        self._format = column.format
        self._zone = None if column.zone is None else ZoneInfo(column.zone)
        self._previous_ns: int | None = None
        self._offsets: dict[tuple[int, int], int] = {}
        self.ambiguous = 0

    def read(self, array: Any, before: Times | None = None) -> Times:
        """Read a block.

        Args:
            array: Arrow array of strings.
            before: The preceding time stamp of each cell where it is not that of the cell before.
        """
        if not pa.types.is_string(array.type):
            return _no_times(len(array))
        if self._format is not None:
            return self._slowly(array, before)
        try:
            return _cast_ns(array, pa.timestamp("ns", "UTC"))
        except pa.ArrowInvalid:
            pass
        if self._zone is None:
            return self._slowly(array, before)
        try:
            wall_ns, fits = _cast_ns(array, pa.timestamp("ns"))
        except pa.ArrowInvalid:
            return self._slowly(array, before)
        return self._to_utc(wall_ns, fits, before), fits

    def _slowly(self, array: Any, before: Times | None) -> Times:
        """Cell by cell; a column may mix texts with and without an offset."""
        t_ns, fits = _no_times(len(array))
        local = np.zeros(len(array), dtype=np.bool_)
        for row, cell in enumerate(texts(array)):
            read = _read_text(cell.strip(), self._format)
            if read is None or (read[0].tzinfo is None and self._zone is None):
                continue
            moment, below = read
            local[row] = moment.tzinfo is None
            if not local[row]:
                moment = (moment - (moment.utcoffset() or timedelta())).replace(tzinfo=None)
            found = _wall_ns(moment, below)
            if -_HIGHEST_NS < found < _HIGHEST_NS:
                t_ns[row], fits[row] = found, True
        return (self._to_utc(t_ns, fits & local, before) if local.any() else t_ns), fits

    def _to_utc(self, wall_ns: NDArray[np.int64], local: NDArray[np.bool_], before: Times | None) -> NDArray[np.int64]:
        """Subtract the zone's offset."""
        earlier, later = self._offsets_ns(wall_ns)
        early = wall_ns - np.where(local, earlier, 0)
        late = wall_ns - np.where(local, later, 0)
        result = early.copy()
        for row in np.flatnonzero(early < late).tolist():
            if before is not None:
                goes_on = bool(before[1][row]) and early[row] < before[0][row]
            else:
                previous = self._previous(row, result, local)
                goes_on = previous is not None and abs(late[row] - previous) < abs(early[row] - previous)
            if goes_on:
                result[row] = late[row]
        self.ambiguous += int((early < late).sum())
        if local.any():
            self._previous_ns = int(result[local][-1])
        return result

    def _previous(self, row: int, result: NDArray[np.int64], known: NDArray[np.bool_]) -> int | None:
        earlier = np.flatnonzero(known[:row])
        return int(result[earlier[-1]]) if len(earlier) else self._previous_ns

    def _offsets_ns(self, wall_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Offset of each wall clock: of its first and of its second occurrence.

        It is looked up per day, and per minute only on days on which clocks are changed.
        """
        days, place = np.unique(wall_ns // _NS_PER_DAY, return_inverse=True)
        starts = {day: self._offset_s(day * _MINUTES_PER_DAY) for day in {*days.tolist(), *(days + 1).tolist()}}
        first = np.array([starts[day] for day in days.tolist()], dtype=np.int64)[place]
        second = first.copy()
        changing = np.array([starts[day] != starts[day + 1] for day in days.tolist()], dtype=np.bool_)[place]
        for row in np.flatnonzero(changing).tolist():
            minute = int(wall_ns[row] // _NS_PER_MINUTE)
            first[row] = self._offset_s(minute)
            # In a gap the second "occurrence" has the larger offset; only a repeated hour has two instants.
            second[row] = min(first[row], self._offset_s(minute, fold=1))
        return first * NS_PER_S, second * NS_PER_S

    def _offset_s(self, minute: int, fold: int = 0) -> int:
        """Seconds that a wall clock is ahead of UTC in a minute counted from 1970."""
        if (minute, fold) not in self._offsets:
            wall = (_EPOCH + timedelta(minutes=minute)).replace(tzinfo=self._zone, fold=fold)
            self._offsets[minute, fold] = (wall.utcoffset() or timedelta()) // timedelta(seconds=1)
            if len(self._offsets) > _OFFSETS_KEPT:
                self._offsets.pop(next(iter(self._offsets)))
        return self._offsets[minute, fold]


class TimeReader:
    """Any time column.

    Args:
        column: How it spells time.
    """

    def __init__(self, column: TimeColumn) -> None:
        self._unit = column.unit
        self._text = TextTimes(column)

    @property
    def ambiguous(self) -> int:
        """Time stamps so far that occur twice in local time."""
        return self._text.ambiguous

    def read(self, array: Any, before: Times | None = None) -> Times:
        """Read a block; see `TextTimes.read`."""
        return numbers_ns(array, self._unit) if self._unit is not None else self._text.read(array, before)
