"""Which telemetry units there should be, made from what: receipts of new batches, hours, and what has no hour.

Pure reading of landing zone and ledger: nothing is computed or written here.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.hours import day_of_hour, days_before
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.judgement import Breach
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.operators import COLLECT, RECEIVE, REFUSE_LINES
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.receipts import (
    Named,
    Receipt,
    SharedIds,
    all_named,
    read_receipts,
    shared_ids,
    spelt_out,
)
from fleet_assets.policy.documents import Policies, digest_of
from fleet_assets.policy.telemetry_schemas import Registry
from fleet_assets.provenance.batches import BatchFile
from fleet_assets.provenance.fingerprints import fingerprint
from fleet_assets.provenance.ledger import LakeTables, Partition
from fleet_assets.provenance.platform import Landing, Platform
from fleet_assets.provenance.restate import UnitInput, Wanted
from fleet_assets.tables.telemetry import (
    TELEMETRY,
    TELEMETRY_BATCHES,
    TELEMETRY_LINES,
    TELEMETRY_QUARANTINE,
    TELEMETRY_REFUSED,
)

RECEIPT_BATCHES: Final = 64
"""Batches read together: few enough to hold all their lines, enough to keep files few."""
UNIT_LENGTH: Final = 32
REFUSED_UNIT: Final = "telemetry"
_digests: dict[tuple[str, str], str] = {}
"""Digests of batches by name and stamp; a replaced file has another stamp."""


@dataclass
class TelemetryState:
    """Everything that decides what there should be of telemetry, read once.

    Attributes:
        lake: Ledger.
        policies: Policies in force.
        landing: Where batches arrive.
        depots: Known depots.
        first_day: First UTC day with partitions.
        last_hour: Last UTC hour with partitions.
    """

    lake: LakeTables
    policies: Policies
    landing: Landing
    depots: tuple[str, ...]
    first_day: str
    last_hour: str

    @cached_property
    def registry(self) -> Registry:
        """Known schemas."""
        return Registry(self.policies)

    @cached_property
    def receipts(self) -> Sequence[Receipt]:
        """What was received."""
        return read_receipts(self.lake)

    @cached_property
    def pending(self) -> Mapping[str, BatchFile]:
        """Digest → file of every batch that no receipt has yet; the same content again is none."""
        files = {file for receipt in self.receipts for file in receipt.files}
        received = {batch for receipt in self.receipts for batch in receipt.batches}
        found: dict[str, BatchFile] = {}
        for batch in self.landing.batches():
            if (batch.printable, batch.stamp) in files:
                continue
            sha256 = self._digest(batch)
            if sha256 is not None and sha256 not in received:
                found.setdefault(sha256, batch)
        return dict(sorted(found.items()))

    def _digest(self, batch: BatchFile) -> str | None:
        key = (batch.name, batch.stamp)
        if key not in _digests:
            try:
                with self.landing.batch(batch).open("rb") as stream:
                    _digests[key] = hashlib.file_digest(stream, "sha256").hexdigest()
            except FileNotFoundError:
                return None  # taken away since it was listed
        return _digests[key]

    @cached_property
    def taken(self) -> Mapping[str, Mapping[str, Named]]:
        """Hour → receipt → what it has of the hour, of all hours that are taken."""
        hours: dict[str, dict[str, Named]] = {}
        for receipt in self.receipts:
            for hour, named in receipt.hours.items():
                if self.outside(hour, receipt.received_day) is None:
                    hours.setdefault(hour, {})[receipt.unit] = named
        return hours

    @cached_property
    def shared(self) -> SharedIds:
        """Message ids that occur in several hours that are taken."""
        own = {receipt.unit: [] for receipt in self.receipts}  # type: dict[str, list[str]]
        for hour in sorted(self.taken):
            for unit in self.taken[hour]:
                own[unit].append(hour)
        return shared_ids(self.lake, [(receipt, own[receipt.unit]) for receipt in self.receipts if own[receipt.unit]])

    def outside(self, hour: str, received_day: str) -> Breach | None:
        """Why an hour is not taken from a batch that was read on a day; None where it is."""
        oldest = days_before(received_day, self.policies["telemetry"]["retention_days"])
        day = day_of_hour(hour)
        if hour > self.last_hour:
            return Breach("in_the_future", hour, "an hour that has begun")
        if day < self.first_day:
            return Breach("before_first_day", hour, f"{self.first_day} or later")
        if day < oldest:
            return Breach("too_old", f"{hour} in a batch of {received_day}", f"{oldest} or later")
        return None


def read_telemetry(platform: Platform) -> TelemetryState:
    """Read everything that decides what there should be of telemetry."""
    settings = platform.settings
    return TelemetryState(
        lake=platform.lake,
        policies=platform.policies,
        landing=platform.landing,
        depots=settings.depots,
        first_day=settings.first_day,
        last_hour=platform.last_hour,
    )


def receipt_units(state: TelemetryState, partition: Partition | None = None) -> dict[Partition, Wanted]:
    """Receipts of the batches that were not read yet. What was received stays as it was read."""
    del partition
    held = {receipt.unit for receipt in state.receipts}
    batches = list(state.pending.items())
    units = {}
    received_day = day_of_hour(state.last_hour)
    for start in range(0, len(batches), RECEIPT_BATCHES):
        chosen = batches[start : start + RECEIPT_BATCHES]
        inputs = [(batch.printable, sha256) for sha256, batch in chosen]
        wanted = fingerprint(RECEIVE, state.policies, inputs, extras={"received_day": received_day})
        context = {
            "batches": [(batch, sha256) for sha256, batch in chosen],
            "landing": state.landing,
            "received_day": received_day,
        }
        units[digest_of([sha256 for sha256, _ in chosen])[:UNIT_LENGTH]] = UnitInput(wanted, {}, context)
    cut_short = [entry for table in (TELEMETRY_LINES, TELEMETRY_BATCHES) for entry in state.lake.entries(table)]
    return {(): Wanted(units, tuple(sorted(held)))} if units or cut_short else {}


def hour_units(state: TelemetryState, partition: Partition | None = None) -> dict[Partition, Wanted]:
    """Every hour that messages belong to. One that no batch asks for any more stays as it is."""
    hours = state.taken if partition is None else {hour: state.taken[hour] for hour in partition if hour in state.taken}
    units: dict[Partition, Wanted] = {(hour,): Wanted({hour: _hour_unit(state, hour)}) for hour in hours}
    for table in (TELEMETRY, TELEMETRY_QUARANTINE):
        for entry in state.lake.entries(table, partition):
            units.setdefault(entry.partition, Wanted({}, (entry.unit,)))
    return dict(sorted(units.items()))


def _hour_unit(state: TelemetryState, hour: str) -> UnitInput:
    lines = {receipt.unit: receipt.lines for receipt in state.receipts}
    shared = state.shared.by_hour.get(hour, ())
    sources = {unit: {hour} for unit in state.taken[hour]}
    for key in shared:
        for unit, other in state.shared.places[key]:
            sources.setdefault(unit, set()).add(other)
    named = all_named(state.taken[other][unit] for unit, others in sources.items() for other in others)
    schemas = {name: state.registry.digest(name) for name in spelt_out(named.schemas, ())}
    if "*" in schemas:
        schemas["*"] = state.registry.whole
    extras = {
        "hours": digest_of({unit: sorted(others) for unit, others in sources.items()}),
        "shared_ids": digest_of(list(shared)),
        "schemas": digest_of(schemas),
        "depots": digest_of({name: name in state.depots for name in spelt_out(named.depots, state.depots)}),
    }
    inputs = [(f"{TELEMETRY_LINES.name}/{unit}", lines[unit].digest) for unit in sources]
    context = {
        "sources": [(lines[unit], sorted(others)) for unit, others in sorted(sources.items())],
        "shared_ids": shared,
        "depots": state.depots,
    }
    return UnitInput(fingerprint(COLLECT, state.policies, inputs, extras=extras), {}, context)


def _refused_sources(state: TelemetryState) -> Iterator[tuple[Receipt, dict[str, Breach]]]:
    for receipt in state.receipts:
        found = {hour: state.outside(hour, receipt.received_day) for hour in receipt.hours}
        outside = {hour: breach for hour, breach in found.items() if breach is not None}
        if outside or receipt.broken:
            yield receipt, outside


def refused_units(state: TelemetryState, partition: Partition | None = None) -> dict[Partition, Wanted]:
    """The one list of lines that belong to no hour."""
    del partition
    sources = list(_refused_sources(state))
    if not sources and not state.lake.entries(TELEMETRY_REFUSED):
        return {}
    reasons = {
        receipt.unit: {hour: [breach.rule, breach.value, breach.limit] for hour, breach in outside.items()}
        for receipt, outside in sources
    }
    inputs = [(f"{TELEMETRY_LINES.name}/{receipt.unit}", receipt.lines.digest) for receipt, _ in sources]
    wanted = fingerprint(REFUSE_LINES, state.policies, inputs, extras={"outside": digest_of(reasons)})
    context = {"sources": [(receipt.lines, outside) for receipt, outside in sources]}
    return {(): Wanted({REFUSED_UNIT: UnitInput(wanted, {}, context)})}
