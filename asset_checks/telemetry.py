"""Gates of telemetry batches: no message vanishes, unknown schemas raise an alarm."""

from collections.abc import Collection
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from asset_checks.gates import Gate
from fleet_assets.evidence.verdicts import Verdict
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.receipts import Receipt
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.state import TelemetryState, read_telemetry
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.steps import COLLECT_STEP, REFUSE_LINES_STEP
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.verdicts import (
    Counted,
    messages_conserved,
    unknown_schema_verdict,
)
from fleet_assets.provenance.fingerprints import gate_policy_digest
from fleet_assets.provenance.ledger import Partition
from fleet_assets.provenance.restate import Step
from fleet_assets.tables.telemetry import TELEMETRY, TELEMETRY_LINES, TELEMETRY_QUARANTINE, TELEMETRY_REFUSED
from resources.platform import Fleet

UNKNOWN_POLICY: Final = {"telemetry": ("unknown_schema",)}


def _waiting(fleet: Fleet, state: TelemetryState, step: Step, partition: Partition) -> int:
    """Units that some output lacks or has from other inputs than there are now."""
    wanted = step.units(state, partition)
    fingerprints = {unit: made.fingerprint for unit, made in wanted[partition].units.items()} if wanted else {}
    held = [
        {entry.unit: entry.fingerprint for entry in fleet.lake.entries(fleet.tables[name], partition)}
        for name in step.operator.outputs
    ]
    return sum(any(table.get(unit) != made for table in held) for unit, made in fingerprints.items())


def _digests(fleet: Fleet, receipt: Receipt, hours: Collection[str], *, broken: bool) -> list[str]:
    """Digests of a receipt's messages in some hours and, where asked for, of its lines that are no messages."""
    rows = fleet.lake.read(TELEMETRY_LINES, [receipt.lines], ["hour", "sha256"])
    wanted = pc.is_in(rows["hour"], pa.array(sorted(hours), pa.string()))
    found: list[str] = rows.filter(pc.or_(wanted, pc.is_null(rows["hour"])) if broken else wanted)["sha256"].to_pylist()
    return found


def judge_hour_conservation(fleet: Fleet, partition: Partition) -> Verdict:
    """Messages of the hour in all batches = stored + duplicates + quarantined."""
    (hour,) = partition
    state = read_telemetry(fleet)
    named = state.taken.get(hour, {})
    receipts = [receipt for receipt in state.receipts if receipt.unit in named]
    distinct = {sha256 for receipt in receipts for sha256 in _digests(fleet, receipt, partition, broken=False)}
    stored = set(fleet.lake.rows(TELEMETRY, partition, ["sha256"])["sha256"].to_pylist())
    held = pc.sum(fleet.lake.rows(TELEMETRY_QUARANTINE, partition, ["count"])["count"]).as_py() or 0
    incoming = sum(own.messages for own in named.values())
    counted = Counted(incoming, len(stored), incoming - len(distinct), held, len(stored - distinct))
    waiting = _waiting(fleet, state, COLLECT_STEP, partition)
    return messages_conserved(counted, waiting, policy_digest=fleet.policies.digest("telemetry"))


def judge_refused_conservation(fleet: Fleet, partition: Partition) -> Verdict:
    """Lines in all batches = messages of hours that are taken + duplicates + lines listed here."""
    state = read_telemetry(fleet)
    found: list[str] = []
    for receipt in state.receipts:
        hours = {hour for hour in receipt.hours if state.outside(hour, receipt.received_day) is not None}
        if hours or receipt.broken:
            found += _digests(fleet, receipt, hours, broken=True)
    taken = sum(named.messages for receipts in state.taken.values() for named in receipts.values())
    listed = pc.sum(fleet.lake.rows(TELEMETRY_REFUSED, partition, ["count"])["count"]).as_py() or 0
    counted = Counted(sum(receipt.count for receipt in state.receipts), taken, len(found) - len(set(found)), listed)
    waiting = _waiting(fleet, state, REFUSE_LINES_STEP, partition)
    return messages_conserved(counted, waiting, policy_digest=fleet.policies.digest("telemetry"))


def judge_unknown_schema(fleet: Fleet, partition: Partition) -> Verdict:
    """The share of messages with an unknown schema stays within policy."""
    state = read_telemetry(fleet)
    held = fleet.lake.rows(TELEMETRY_QUARANTINE, partition, ["schema", "rule", "count"]).to_pylist()
    unknown: dict[str, int] = {}
    for row in held:
        if row["rule"] == "unknown_schema":
            unknown[row["schema"]] = unknown.get(row["schema"], 0) + row["count"]
    stored = sum(entry.rows for entry in fleet.lake.entries(TELEMETRY, partition))
    return unknown_schema_verdict(
        unknown,
        stored + sum(row["count"] for row in held),
        _waiting(fleet, state, COLLECT_STEP, partition),
        max_share=fleet.policies["telemetry"]["unknown_schema"]["max_share"],
        policy_digest=gate_policy_digest(UNKNOWN_POLICY, fleet.policies),
    )


def telemetry_gates() -> list[Gate]:
    """All gates of telemetry batches, in graph order."""
    return [
        Gate(
            TELEMETRY,
            "conservation",
            "Messages of the hour = stored + duplicates + quarantined.",
            judge_hour_conservation,
        ),
        Gate(
            TELEMETRY_QUARANTINE,
            "unknown_schema",
            "Not too many messages are of a schema that the registry lacks.",
            judge_unknown_schema,
            UNKNOWN_POLICY,
        ),
        Gate(
            TELEMETRY_REFUSED,
            "conservation",
            "Every line of every batch belongs to an hour or is listed with a reason.",
            judge_refused_conservation,
        ),
    ]
