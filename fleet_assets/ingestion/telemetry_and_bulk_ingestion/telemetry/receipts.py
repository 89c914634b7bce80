"""What was received so far, as the committed receipts say it: which batches, and which hours they touch.

A receipt is one file of each log table and holds the batches that were read together. Its summary says everything that
planning needs, so that lines are opened only by those that judge them.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.batches import ANY
from fleet_assets.provenance.ledger import Entry, LakeTables
from fleet_assets.tables.telemetry import TELEMETRY_BATCHES, TELEMETRY_LINES

Int64s = npt.NDArray[np.int64]

_receipts: dict[tuple[str, str], "Receipt"] = {}
"""Receipts by the digests of their two files: content-addressed, so they cannot go stale."""
_ids: dict[str, tuple[Int64s, npt.NDArray[np.object_]]] = {}
"""Id keys and hours of the messages in a file of lines, by its digest."""
_shared: dict[tuple[tuple[str, Sequence[str]], ...], "SharedIds"] = {}
"""The latest answer of `shared_ids`, by what it was asked."""


@dataclass(frozen=True, slots=True)
class Named:
    """What the messages of an hour name: decides what of the fleet's settings matters to them.

    Attributes:
        messages: How many there are.
        schemas: Schemas with version; `*` where there are too many to say.
        depots: Depots, likewise.
    """

    messages: int = 0
    schemas: frozenset[str] = frozenset()
    depots: frozenset[str] = frozenset()

    def __or__(self, other: "Named") -> "Named":
        messages = self.messages + other.messages
        return Named(messages, self.schemas | other.schemas, self.depots | other.depots)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Batches that were read together.

    Attributes:
        lines: Their committed file of lines.
        received_day: UTC day on which they were read.
        batches: Digests of the batches.
        files: (name, stamp) of their files in the landing zone.
        count: Lines, those that are no messages included.
        hours: What the messages of each hour name.
    """

    lines: Entry
    received_day: str
    batches: tuple[str, ...]
    files: frozenset[tuple[str, str]]
    count: int
    hours: Mapping[str, Named] = field(repr=False)

    @property
    def unit(self) -> str:
        """Name of the receipt."""
        return self.lines.unit

    @property
    def broken(self) -> int:
        """Lines that are no messages."""
        return self.count - sum(named.messages for named in self.hours.values())


def read_receipts(lake: LakeTables) -> list[Receipt]:
    """Every receipt whose two files are committed; one without the other is a receipt that a kill cut short."""
    lines = {entry.unit: entry for entry in lake.entries(TELEMETRY_LINES)}
    found = []
    for entry in lake.entries(TELEMETRY_BATCHES):
        if (own := lines.get(entry.unit)) is None:
            continue
        key = (entry.digest, own.digest)
        if key not in _receipts:
            _receipts[key] = _receipt(own, lake.read(TELEMETRY_BATCHES, [entry]).to_pylist())
        found.append(_receipts[key])
    return found


def _receipt(lines: Entry, rows: Sequence[Mapping[str, Any]]) -> Receipt:
    hours: dict[str, Named] = {}
    for row in rows:
        for hour, stated in json.loads(row["hours"]).items():
            named = Named(stated["messages"], frozenset(stated["schemas"]), frozenset(stated["depots"]))
            hours[hour] = hours.get(hour, Named()) | named
    return Receipt(
        lines,
        rows[0]["received_day"],
        tuple(row["batch"] for row in rows),
        frozenset((row["name"], row["stamp"]) for row in rows),
        sum(row["lines"] for row in rows),
        dict(sorted(hours.items())),
    )


@dataclass(frozen=True, slots=True)
class SharedIds:
    """Message ids that occur in several hours.

    Attributes:
        by_hour: Hour → keys of such ids in it.
        places: Key → (receipt, hour) of every occurrence.
    """

    by_hour: Mapping[str, tuple[int, ...]]
    places: Mapping[int, tuple[tuple[str, str], ...]]


def shared_ids(lake: LakeTables, taken: Sequence[tuple[Receipt, Sequence[str]]]) -> SharedIds:
    """Find the message ids that occur in more than one hour, over all receipts.

    Keys are 64 bits of a digest. Two ids with one key cost a needless look at each other, nothing more.

    Args:
        lake: Where the lines are.
        taken: Receipts, and the hours of each that count.
    """
    asked = tuple((receipt.lines.digest, tuple(hours)) for receipt, hours in taken)
    if asked not in _shared:
        _shared.clear()
        _shared[asked] = _find_shared(lake, taken)
    return _shared[asked]


def _find_shared(lake: LakeTables, taken: Sequence[tuple[Receipt, Sequence[str]]]) -> SharedIds:
    everywhere = sorted({hour for _, hours in taken for hour in hours})
    numbers = {hour: number for number, hour in enumerate(everywhere)}
    if len(everywhere) <= 1:
        return SharedIds({}, {})
    keys, hours, receipts = [], [], []
    for index, (receipt, own) in enumerate(taken):
        own_keys, own_hours = _keys_and_hours(lake, receipt.lines, {hour: numbers[hour] for hour in own})
        keys.append(own_keys)
        hours.append(own_hours)
        receipts.append(np.full(own_keys.size, index, dtype=np.int64))
    key, hour, receipt_index = (np.concatenate(parts) for parts in (keys, hours, receipts))
    order = np.lexsort((hour, key))
    again = (key[order][1:] == key[order][:-1]) & (hour[order][1:] != hour[order][:-1])
    at = np.flatnonzero(np.isin(key, key[order][1:][again]))
    by_hour: dict[str, set[int]] = {}
    places: dict[int, set[tuple[str, str]]] = {}
    for found, number, place in zip(key[at].tolist(), hour[at].tolist(), receipt_index[at].tolist(), strict=True):
        by_hour.setdefault(everywhere[number], set()).add(found)
        places.setdefault(found, set()).add((taken[place][0].unit, everywhere[number]))
    return SharedIds(
        {name: tuple(sorted(found)) for name, found in by_hour.items()},
        {name: tuple(sorted(found)) for name, found in places.items()},
    )


def _keys_and_hours(lake: LakeTables, entry: Entry, numbers: Mapping[str, int]) -> tuple[Int64s, Int64s]:
    """Id keys of the messages in some hours, and the number of each one's hour."""
    if entry.digest not in _ids:
        rows = lake.read(TELEMETRY_LINES, [entry], ["id_key", "hour"])
        hours = rows["hour"].combine_chunks().dictionary_encode()
        hours = hours.combine_chunks() if isinstance(hours, pa.ChunkedArray) else hours
        codes = hours.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        names = np.array(hours.dictionary.to_pylist(), dtype=object)
        _ids[entry.digest] = (np.stack([rows["id_key"].to_numpy(), codes]), names)
    (key, code), names = _ids[entry.digest]
    number = np.array([numbers.get(name, -1) for name in names] + [-1], dtype=np.int64)[code]
    return key[number >= 0], number[number >= 0]


def all_named(named: Iterable[Named]) -> Named:
    """What several sets of messages name together."""
    joint = Named()
    for one in named:
        joint |= one
    return joint


def spelt_out(names: Collection[str], everything: Collection[str]) -> list[str]:
    """Names, with `*` replaced by everything that there is."""
    return sorted(set(names) | set(everything)) if ANY in names else sorted(names)
