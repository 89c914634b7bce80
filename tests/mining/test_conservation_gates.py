"""No drive is left out of what mining makes: gates pass, fail, stay open, and err on no partition of known truth."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from asset_checks import mining
from asset_checks.mining import mining_gates
from asset_checks.vectors import vector_gates
from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.evidence.verdicts import Outcome
from fleet_assets.mining.steps import (
    CLIP_VECTORS_STEP,
    EVENTS_STEP,
    PICTURE_VECTORS_STEP,
    SCENES_STEP,
    VECTOR_LIST_STEP,
)
from fleet_assets.provenance.restate import Step
from fleet_assets.tables import Table
from tests.asset_checks.gate_fleet import MADE, OLD, PARTITION, TABLES, GateFleet
from tests.gate_mutants import built, mutants

STEPS = (EVENTS_STEP, SCENES_STEP, PICTURE_VECTORS_STEP, CLIP_VECTORS_STEP, VECTOR_LIST_STEP)
GATES = {gate.table.name: gate for gate in [*mining_gates(), *vector_gates()] if gate.name == "conservation"}
STEP_OF = {name: next(step for step in STEPS if name in step.operator.outputs) for name in GATES}
PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
FATES = {
    "made": PASS, "forgotten": FAIL, "from nowhere": FAIL, "planned": INCONCLUSIVE, "old": INCONCLUSIVE,
    "waiting": INCONCLUSIVE,
}  # fmt: skip
"""What may become of a drive, and what must come of it."""
TRIED = 300


def partition_of(fates: Sequence[str], table: Table, step: Step) -> GateFleet:
    """A partition with one drive of each of these fates."""
    fleet, named = GateFleet(), [(f"d{number}", fate) for number, fate in enumerate(fates)]
    for name, fate in named:
        if fate != "from nowhere":
            fleet.drive(name)
        if fate in {"made", "old", "from nowhere"}:
            fleet.put(table, name, [], OLD if fate == "old" else MADE)
    planned = [name for name, fate in named if fate in {"made", "planned", "old"}]
    return fleet.plan(step.operator.name, planned, [name for name, fate in named if fate == "waiting"])


def truth(fates: Sequence[str]) -> Outcome:
    outcomes = {FATES[fate] for fate in fates}
    return next((one for one in (FAIL, INCONCLUSIVE) if one in outcomes), PASS)


def test_every_conservation_gate_of_the_area_is_here() -> None:
    assert set(GATES) == {gate.table.name for gate in [*mining_gates(), *vector_gates()] if gate.name == "conservation"}
    assert {"gold.event_windows", "gold.trigger_exposure", "gold.scene_segments"} <= set(GATES)


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("fate", [*FATES, "nothing"])
def test_the_gate_says(name: str, fate: str) -> None:
    fates = [] if fate == "nothing" else ["made", fate]
    verdict = GATES[name].judge(partition_of(fates, TABLES[name], STEP_OF[name]), PARTITION)  # type: ignore[arg-type]
    assert verdict.outcome is truth(fates)
    assert bool(verdict.missing) is (verdict.outcome is INCONCLUSIVE)


def test_the_gates_never_err_on_drives_of_random_fate() -> None:
    rng, wrong = np.random.default_rng(6), 0
    for number in range(TRIED):
        name = [*GATES][number % len(GATES)]
        fates = rng.choice([*FATES], int(rng.integers(0, 7)), p=[0.7, 0.06, 0.06, 0.06, 0.06, 0.06]).tolist()
        verdict = GATES[name].judge(partition_of(fates, TABLES[name], STEP_OF[name]), PARTITION)  # type: ignore[arg-type]
        wrong += verdict.outcome is not truth(fates)
    assert wrong == 0
    assert clopper_pearson(wrong, TRIED, 0.95, side="upper").high < 0.01


def test_every_comparison_is_held_by_a_scenario() -> None:
    name = "gold.scene_segments"

    def answers(module: Any) -> list[Outcome]:
        gate = module.conservation_gate(STEP_OF[name], TABLES[name])
        return [gate.judge(partition_of([fate], TABLES[name], STEP_OF[name]), PARTITION).outcome for fate in FATES]

    found = list(mutants(inspect.getsource(mining), ("stale_drives", "conservation_gate")))
    assert answers(mining) == list(FATES.values())
    assert found
    assert [mutant.place for mutant in found if answers(built(mutant.tree, mining)) == answers(mining)] == []
