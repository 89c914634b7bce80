"""How the rows of a text table (CSV, JSON point list), or the pictures of a folder, become messages of a vehicle spec.

Here belongs what the spec says. Reading the tables belongs to the recordings of the ingestion area.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

TABLE_FORMATS: Final = ("csv", "json_points")
"""Formats whose columns mean nothing by themselves."""
_ROW_TABLES: Final = "csv"
_PICTURES: Final = "images"
_NS_PER_S: Final = 1_000_000_000
_PROBE: Final = datetime(2021, 11, 23, 14, 35, 46)  # noqa: DTZ001 - shows which parts of a time a format states


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """Where a row states its time.

    Attributes:
        columns: Column; where recorders name it differently, all its names, of which a table has one.
        unit: Unit of a number that counts from 1970-01-01 UTC; None for text.
        format: `strptime` format of a text; None for ISO 8601.
        zone: IANA time zone of texts that state no offset; None refuses such texts.
    """

    columns: tuple[str, ...]
    unit: str | None = None
    format: str | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class RowPoint:
    """One message that a row gives.

    Attributes:
        time: Where its time is.
        fields: Field of the channel → column of the table; all columns with numbers under their own names when empty.
    """

    time: TimeColumn
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TableLayout:
    """A text table.

    Attributes:
        channel: Name of the channel that the rows make.
        columns: Names of the columns of a table without a header row; empty where the first row names them.
        points: Messages that each row gives, in time order.
        drive_per_row: Whether every row is a drive of its own (a trip list); `fleet ingest` takes such a table apart.
        interval_ns: For a folder of pictures, which has no rows: time from one to the next where they do not say when
            they were taken. None for text tables.
    """

    channel: str
    columns: tuple[str, ...]
    points: tuple[RowPoint, ...]
    drive_per_row: bool = False
    interval_ns: int | None = None


def _time_column(body: Mapping[str, Any]) -> TimeColumn:
    named = body["column"]
    columns = (named,) if isinstance(named, str) else tuple(named)
    return TimeColumn(columns, body.get("unit"), body.get("format"), body.get("zone"))


def parse_table_layout(body: Mapping[str, Any] | None, stills: Mapping[str, Any] | None = None) -> TableLayout | None:
    """Turn the schema-checked keys `table` or `stills` of a vehicle spec into a layout."""
    if body is None and stills is not None:
        return TableLayout("", (), (), interval_ns=round(stills["interval_s"] * _NS_PER_S))
    if body is None:
        return None
    return TableLayout(
        channel=body["channel"],
        columns=tuple(body.get("columns", ())),
        points=tuple(RowPoint(_time_column(point["time"]), dict(point.get("fields", {}))) for point in body["points"]),
        drive_per_row=body.get("drive_per_row", False),
    )


def table_problems(formats: Sequence[str], table: TableLayout | None) -> list[str]:
    """What a layout contradicts: the formats of its spec, the zones and formats of time that there are, itself.

    Args:
        formats: Recording formats of the vehicle spec.
        table: Its layout, or None.

    Returns:
        One sentence per breach: place, rule, value, remedy.
    """
    text = [name for name in formats if name in TABLE_FORMATS]
    if table is None:
        return [f"table: format {name} needs it. State which columns hold the time and the values" for name in text]
    if table.interval_ns is not None:
        found = [f"table: format {name} needs it. State which columns hold the time and the values" for name in text]
        alone = [] if _PICTURES in formats else ["stills: only format images has an interval. Remove it"]
        return [*found, *alone]
    found = [] if text else [f"table: formats {', '.join(formats)} have no columns to be named. Remove it"]
    if table.drive_per_row and _ROW_TABLES not in formats:
        found.append(f"table/drive_per_row: only {_ROW_TABLES} tables are taken apart. Remove it")
    for number, point in enumerate(table.points):
        place = f"table/points/{number}"
        found += _time_problems(f"{place}/time", point.time)
        if table.columns:
            found += _unknown_columns(place, point, table.columns)
    return found


def _unknown_columns(place: str, point: RowPoint, columns: Sequence[str]) -> list[str]:
    known = {*columns, *(f"{name}.{part}" for name in columns for part in ("x", "y"))}
    named = [("time/column", name) for name in point.time.columns if name not in columns]
    named += [(f"fields/{field}", name) for field, name in point.fields.items() if name not in known]
    return [f"{place}/{key}: {name!r} is not under table/columns. Correct the name" for key, name in named]


def _time_problems(place: str, time: TimeColumn) -> list[str]:
    found = []
    if time.zone is not None:
        try:
            ZoneInfo(time.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            found.append(f"{place}/zone: there is no time zone {time.zone!r}. Use an IANA name, e.g. Europe/Berlin")
    if time.format is None:
        return found
    if time.zone is None and "%z" not in time.format:
        found.append(f"{place}/format: {time.format!r} states no offset. State the zone of these times")
    try:
        read = datetime.strptime(_PROBE.astimezone().strftime(time.format), time.format)  # noqa: DTZ007
        tells = (read.year, read.month, read.day) == (_PROBE.year, _PROBE.month, _PROBE.day)
    except ValueError:
        tells = False
    if not tells:
        found.append(f"{place}/format: {time.format!r} does not tell year, month and day. Correct it")
    return found
