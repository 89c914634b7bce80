"""How the rows of a text table (CSV, JSON point list) become messages, as a vehicle spec states it.

Here belongs what the spec says. Reading the tables belongs to the recordings of the ingestion area.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """Where a row states its time.

    Attributes:
        column: Column.
        unit: Unit of a number that counts from 1970-01-01 UTC; None for text.
        format: `strptime` format of a text; None for ISO 8601.
        zone: IANA time zone of texts that state no offset; None refuses such texts.
    """

    column: str
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
    """

    channel: str
    columns: tuple[str, ...]
    points: tuple[RowPoint, ...]
    drive_per_row: bool = False


def parse_table_layout(body: Mapping[str, Any] | None) -> TableLayout | None:
    """Turn the schema-checked key `table` of a vehicle spec into a layout."""
    if body is None:
        return None
    return TableLayout(
        channel=body["channel"],
        columns=tuple(body.get("columns", ())),
        points=tuple(RowPoint(TimeColumn(**point["time"]), dict(point.get("fields", {}))) for point in body["points"]),
        drive_per_row=body.get("drive_per_row", False),
    )
