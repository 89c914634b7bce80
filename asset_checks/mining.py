"""Gates of the mining area: no drive is left out, rates of events are usual."""

from typing import Final

from asset_checks.gates import Gate
from fleet_assets.evidence.conservation import conservation
from fleet_assets.evidence.verdicts import Verdict
from fleet_assets.mining.scene_detection_and_event_triggers.rates import counted, rate_verdict
from fleet_assets.mining.steps import EVENTS_STEP, SCENES_STEP
from fleet_assets.provenance.fingerprints import gate_policy_digest
from fleet_assets.provenance.ledger import Partition
from fleet_assets.provenance.restate import Step
from fleet_assets.tables import Table
from fleet_assets.tables.bronze import DRIVES
from fleet_assets.tables.gold import EVENT_WINDOWS, SCENE_SEGMENTS, TRIGGER_EXPOSURE
from resources.platform import Fleet

RATE_POLICY: Final = {"triggers": ("version", "triggers"), "events": ("rate",)}


def stale_drives(fleet: Fleet, step: Step, table: Table, partition: Partition) -> tuple[set[str], set[str]]:
    """Drives that have their file, and those that wait for one or have it from other inputs than there are now."""
    wanted = fleet.wanted(step, partition)
    held = {entry.unit: entry.fingerprint for entry in fleet.lake.entries(table, partition)}
    stale = {unit for unit, made in wanted.units.items() if held.get(unit) != made.fingerprint}
    return set(held), stale | set(wanted.waiting)


def conservation_gate(step: Step, table: Table) -> Gate:
    """The gate that no drive is left out of a table."""

    def judge(fleet: Fleet, partition: Partition) -> Verdict:
        held, waiting = stale_drives(fleet, step, table, partition)
        drives = {entry.unit for entry in fleet.lake.entries(DRIVES, partition)}
        digest = fleet.policies.digest("gates")
        return conservation(drives, held - waiting, (), waiting, policy_digest=digest)

    return Gate(table, "conservation", f"Every registered drive has its outcome in {table.name}.", judge)


def judge_rates(fleet: Fleet, partition: Partition) -> Verdict:
    """Each trigger's rate per 100 km is inside its control limits in this day and depot."""
    _, waiting = stale_drives(fleet, EVENTS_STEP, TRIGGER_EXPOSURE, partition)
    triggers = fleet.policies["triggers"]["triggers"]
    return rate_verdict(
        counted(fleet.lake.rows(TRIGGER_EXPOSURE, partition).to_pylist()),
        {name: body["rate"] for name, body in triggers.items()},
        len(waiting),
        fleet.policies["events"]["rate"],
        policy_digest=gate_policy_digest(RATE_POLICY, fleet.policies),
    )


def mining_gates() -> list[Gate]:
    """All gates of the area, in graph order."""
    return [
        conservation_gate(EVENTS_STEP, EVENT_WINDOWS),
        conservation_gate(EVENTS_STEP, TRIGGER_EXPOSURE),
        Gate(TRIGGER_EXPOSURE, "rate", "Each trigger's rate per 100 km is usual.", judge_rates, RATE_POLICY),
        conservation_gate(SCENES_STEP, SCENE_SEGMENTS),
    ]
