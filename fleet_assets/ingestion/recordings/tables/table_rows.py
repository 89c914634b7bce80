"""From the rows of a text table to messages, as a vehicle spec's table layout says; the same for every text format.

Here belong columns, times and fields of rows that are already split into cells. Splitting is the formats' business.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import Loss, UnreadableRecordingError
from fleet_assets.ingestion.recordings.tables.text_cells import (
    POINT_PARTS,
    Numbers,
    is_number_column,
    is_point_column,
    numbers,
    point_parts,
)
from fleet_assets.ingestion.recordings.tables.text_times import TimeReader, Times
from fleet_assets.policy.table_layouts import RowPoint, TableLayout

_NAMES_SHOWN: Final = 30
_CORRECT: Final = "Correct `table` in the vehicle spec, or name the spec that fits this table."


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows, split into cells.

    Attributes:
        columns: Arrow array per column that was asked for, all of length n.
        size_bytes: int64[n], bytes that each row takes in the file.
        number: int64[n], number of each row or line in the file, for messages.
    """

    columns: Mapping[str, Any]
    size_bytes: NDArray[np.int64]
    number: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.size_bytes)


class Losses:
    """What a file's rows lost, rule by rule, in bounded memory.

    Args:
        path: Relative name of the file.
        channel: Channel that its rows make.
        unit: What the numbers of its rows count, e.g. ``line``.
    """

    def __init__(self, path: str, channel: str, unit: str) -> None:
        self._path, self._channel, self._unit = path, channel, unit
        self._found: dict[str, tuple[int, int, str, str]] = {}

    def add(self, rule: str, words: str, number: int, *, messages: int, lost_bytes: int) -> None:
        """Count a loss; the words and place of a rule's first one are kept."""
        before = self._found.get(rule, (0, 0, words, f"{self._unit} {number}"))
        self._found[rule] = (before[0] + messages, before[1] + lost_bytes, *before[2:])

    def clear(self) -> None:
        """Forget everything, before another pass."""
        self._found.clear()

    def told(self) -> tuple[Loss, ...]:
        """One loss per rule."""
        return tuple(
            Loss(
                self._path,
                lost_bytes,
                messages,
                f"{self._path}: {rule}: {messages} messages, the first at {place}: {words}",
                rule,
                self._channel,
            )
            for rule, (messages, lost_bytes, words, place) in self._found.items()
        )


def _refused(path: str, wanted: str, known: Sequence[str]) -> UnreadableRecordingError:
    shown = ", ".join(known[:_NAMES_SHOWN]) + (", …" if len(known) > _NAMES_SHOWN else "")
    return UnreadableRecordingError(
        path, "missing_column", value=f"a table with the columns {shown}", limit=wanted, remedy=_CORRECT
    )


def _column_of(name: str, known: Collection[str]) -> tuple[str, str | None] | None:
    """The column that a name of the layout means, and the part of its points; None where there is none."""
    if name in known:
        return name, None
    column, _, part = name.rpartition(".")
    return (column, part) if column in known and part in POINT_PARTS else None


class _Point:
    """One message that every row gives."""

    def __init__(self, path: str, point: RowPoint, known: Sequence[str]) -> None:
        time = next((name for name in point.time.columns if name in known), None)
        if time is None:
            raise _refused(path, f"a column {' or '.join(map(repr, point.time.columns))} with times", known)
        self.time_column, self.time, self.times = time, point.time, TimeReader(point.time)
        self.fields: dict[str, tuple[str, str | None]] = {}
        for field, name in point.fields.items():
            found = _column_of(name, known)
            if found is None:
                raise _refused(path, f"a column {name!r}", known)
            self.fields[field] = found

    def anew(self) -> "_Point":
        other = copy.copy(self)
        other.times = TimeReader(self.time)
        return other

    def take_all(self, sample: Rows, used: Collection[str]) -> None:
        """Without stated fields: every column of the sample that holds numbers or points, under its own name."""
        for name, array in sample.columns.items():
            if name in used:
                continue
            if is_number_column(array):
                self.fields[name] = (name, None)
            elif is_point_column(array):
                self.fields |= {f"{name}.{part}": (name, part) for part in POINT_PARTS}


class RowReader:
    """Turns rows into messages.

    Args:
        path: Relative name of the file.
        table: The layout.
        known: Names of the table's columns, in order.
        sample: Gives the first rows with all columns, to find fields that the layout leaves open.

    Raises:
        UnreadableRecordingError: Naming a column of the layout that the table lacks, and those that it has; or when no
            column of the sample holds numbers.
    """

    def __init__(
        self, path: str, table: TableLayout, known: Sequence[str], sample: Callable[[], Rows] | None = None
    ) -> None:
        self._known = known
        self._points = [_Point(path, point, known) for point in table.points]
        if sample is None or all(point.fields for point in self._points):
            return
        rows, times = sample(), self.time_columns
        for point in self._points:
            if not point.fields:
                point.take_all(rows, times)
            if not point.fields:
                raise _refused(path, "a column with numbers", known)

    def anew(self) -> "RowReader":
        """A reader of the same columns for another pass."""
        other = copy.copy(self)
        other._points = [point.anew() for point in self._points]  # noqa: SLF001 - a copy of its own
        return other

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are needed, in the table's order."""
        used = {point.time_column for point in self._points}
        used |= {column for point in self._points for column, _ in point.fields.values()}
        return tuple(name for name in self._known if name in used)

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of the messages."""
        return tuple(dict.fromkeys(field for point in self._points for field in point.fields))

    @property
    def messages_per_row(self) -> int:
        """Messages that a row gives."""
        return len(self._points)

    @property
    def ambiguous(self) -> int:
        """Local times so far that occur twice."""
        return sum(point.times.ambiguous for point in self._points)

    def read(self, rows: Rows, losses: Losses) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
        """Make the messages of some rows, row by row and in each row point by point.

        Args:
            rows: Consecutive rows.
            losses: Where messages without a time or with a cell that is no number are counted.

        Returns:
            int64[m] time stamps and float64[m] per field, NaN where a cell is empty.
        """
        per_row, count = self.messages_per_row, len(rows)
        t_ns = np.zeros((count, per_row), dtype=np.int64)
        kept = np.zeros((count, per_row), dtype=np.bool_)
        columns = {field: np.full((count, per_row), np.nan) for field in self.fields}
        before: Times | None = None
        split: dict[str, dict[str, Any]] = {}
        for number, point in enumerate(self._points):
            times = point.times.read(rows.columns[point.time_column], before)
            t_ns[:, number], kept[:, number] = times
            self._count(losses, "invalid_time", point.time_column, rows, ~times[1])
            before = times
            for field, (column, part) in point.fields.items():
                columns[field][:, number], bad = self._cells(rows, column, part, split)
                self._count(losses, "invalid_number", column, rows, bad & kept[:, number])
                kept[:, number] &= ~bad
        if kept.all():
            return t_ns.ravel(), {field: values.ravel() for field, values in columns.items()}
        return t_ns[kept], {field: values[kept] for field, values in columns.items()}

    def times(self, rows: Rows) -> NDArray[np.int64]:
        """Time stamps of some rows; those that are none are left out."""
        found: list[Times] = []
        for point in self._points:
            found.append(point.times.read(rows.columns[point.time_column], found[-1] if found else None))
        return np.concatenate([t_ns[fits] for t_ns, fits in found])

    @property
    def time_columns(self) -> tuple[str, ...]:
        """Columns with times."""
        return tuple(dict.fromkeys(point.time_column for point in self._points))

    @staticmethod
    def _cells(rows: Rows, column: str, part: str | None, split: dict[str, dict[str, Any]]) -> Numbers:
        """A column's numbers, NaN where a cell is empty, and which cells are none."""
        if part is None:
            return numbers(rows.columns[column])
        if column not in split:
            split[column] = point_parts(rows.columns[column])
        values, bad = numbers(split[column][part])
        # A filled cell that is no point gives null, which is no empty cell.
        return values, bad | (np.isnan(values) & _filled(rows.columns[column])) if np.isnan(values).any() else bad

    def _count(self, losses: Losses, rule: str, column: str, rows: Rows, bad: NDArray[np.bool_]) -> None:
        if bad.any():
            first, share = int(np.argmax(bad)), self.messages_per_row
            losses.add(
                rule,
                f"column {column!r} holds no {'time as the layout spells it' if rule == 'invalid_time' else 'number'}",
                int(rows.number[first]),
                messages=int(bad.sum()),
                lost_bytes=int(rows.size_bytes[bad].sum()) // share,
            )


def _filled(array: Any) -> NDArray[np.bool_]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if array.null_count == len(array):
        return np.zeros(len(array), dtype=np.bool_)
    if not pa.types.is_string(array.type):
        return np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False), dtype=np.bool_)
    length = pc.fill_null(pc.binary_length(array), 0)
    return np.asarray(length.to_numpy(zero_copy_only=False)) > 0
