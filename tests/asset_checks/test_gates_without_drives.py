"""What every gate says where there is nothing to judge: a verdict that it stands by, under the policies in force."""

from pathlib import Path

from fleet_assets.build import all_gates
from fleet_assets.provenance.fingerprints import gate_policy_digest
from tests.harness import TestFleet

KEYS = {"day": "2024-05-01", "depot": "north", "hour": "2024-05-01T08", "snapshot": "none"}


def test_a_verdict_on_an_empty_partition_names_the_policies_in_force(tmp_path: Path) -> None:
    """Otherwise the sweep takes it for one that was given under other policies, and asks again and again."""
    fleet = TestFleet(tmp_path / "home").fleet
    reading = [gate for gate in all_gates(fleet.tables) if gate.policy]
    assert len(reading) > 10
    other = {}
    for gate in reading:
        verdict = gate.judge(fleet, tuple(KEYS[column] for column in gate.table.partition_by))
        if verdict.policy_digest != gate_policy_digest(gate.policy, fleet.policies):
            other[gate.key.to_user_string()] = verdict.outcome.value
    assert other == {}
