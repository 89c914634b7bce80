"""What is shown of an event: signals, positions, radar objects, redacted pictures and other events around it.

Here belongs gathering it from tables of class open. Positions near the ends of trips are withheld in these already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from fleet_assets.mining.scenario_mining.stock import OPEN, picture_in
from fleet_assets.provenance.ledger import Entry, LakeTables
from fleet_assets.provenance.objects import ObjectStore
from fleet_assets.tables import Table
from fleet_assets.tables.gold import EVENT_WINDOWS
from fleet_assets.tables.schema import PARTITION_COLUMNS
from fleet_assets.tables.silver import KEYFRAMES, RADAR_TRACKS

SIGNALS: Final = "silver.signals"
_NS_PER_S: Final = 1_000_000_000


class UnknownEventError(LookupError):
    """An event that is in no table; the message says where events are listed."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A redacted picture.

    Attributes:
        camera: Camera of the vehicle spec.
        t_ns: Capture time, UTC nanoseconds.
        jpeg: Its JPEG data.
    """

    camera: str
    t_ns: int
    jpeg: bytes


@dataclass(frozen=True)
class Window:
    """What is shown of an event.

    Attributes:
        event: Its row of `gold.event_windows`.
        start_ns: First instant shown.
        end_ns: End of what is shown, exclusive.
        signals: Rows of `silver.signals`: `t_ns` and the signals that have any value.
        tracks: Rows of `silver.radar_tracks`.
        pictures: Redacted pictures, ordered by time and camera.
        events: Rows of all events that overlap, the event itself among them.
        digests: Digest of each data file that was read, by table.
        policy: Key `export` of the document `mining`.
    """

    event: Mapping[str, Any]
    start_ns: int
    end_ns: int
    signals: pa.Table
    tracks: pa.Table
    pictures: Sequence[Picture]
    events: Sequence[Mapping[str, Any]]
    digests: Mapping[str, str]
    policy: Mapping[str, Any]


def event_window(
    event_id: str,
    lake: LakeTables,
    tables: Mapping[str, Table],
    objects: ObjectStore,
    policy: Mapping[str, Any],
) -> Window:
    """Gather what is shown of an event.

    Args:
        event_id: Event in `gold.event_windows`.
        lake: Tables.
        tables: All tables by dotted name.
        objects: Store of the shards of pictures; class open suffices.
        policy: Key `export` of the document `mining`.

    Raises:
        UnknownEventError: When there is no such event.
    """
    event, entry = _found(event_id, lake)
    start_ns = event["start_ns"] - int(policy["before_s"] * _NS_PER_S)
    end_ns = event["end_ns"] + int(policy["after_s"] * _NS_PER_S)
    own = {
        name: [one for one in lake.entries(tables[name], entry.partition) if one.unit == entry.unit]
        for name in (SIGNALS, RADAR_TRACKS.name, KEYFRAMES.name)
    }
    rows = {name: _between(lake.read(tables[name], found), start_ns, end_ns) for name, found in own.items()}
    events = lake.read(EVENT_WINDOWS, [entry]).to_pylist()
    return Window(
        event,
        start_ns,
        end_ns,
        _with_values(rows[SIGNALS]),
        rows[RADAR_TRACKS.name],
        _pictures(rows[KEYFRAMES.name], objects),
        [row for row in events if row["start_ns"] < end_ns and row["end_ns"] > start_ns],
        {name: one.digest for name, found in {**own, EVENT_WINDOWS.name: [entry]}.items() for one in found},
        policy,
    )


def _found(event_id: str, lake: LakeTables) -> tuple[Mapping[str, Any], Entry]:
    """The event, and the file that holds it. Its name begins with that of its drive, which is looked at first."""
    entries = sorted(lake.entries(EVENT_WINDOWS), key=lambda entry: not event_id.startswith(entry.unit))
    for entry in entries:
        rows = lake.read(EVENT_WINDOWS, [entry])
        if (own := rows.filter(pc.equal(rows["event_id"], event_id))).num_rows:
            event: Mapping[str, Any] = own.to_pylist()[0]
            return event, entry
    raise UnknownEventError(f"no event {event_id!r}. `fleet sql` on the table gold.event_windows lists them.")


def _between(rows: pa.Table, start_ns: int, end_ns: int) -> pa.Table:
    return rows.filter(pc.and_(pc.greater_equal(rows["t_ns"], start_ns), pc.less(rows["t_ns"], end_ns)))


def _with_values(rows: pa.Table) -> pa.Table:
    about = {column.name for column in PARTITION_COLUMNS} | {"clip_id"}
    names = [name for name in rows.column_names if name not in about and rows[name].null_count < max(1, len(rows))]
    return rows.select(names)


def _pictures(rows: pa.Table, objects: ObjectStore) -> list[Picture]:
    named = sorted(rows.to_pylist(), key=lambda row: (row["t_ns"], row["camera"]))
    return [
        Picture(row["camera"], row["t_ns"], picture_in(objects.local(row["sha256"], OPEN), row["shard_row"]))
        for row in named
    ]
