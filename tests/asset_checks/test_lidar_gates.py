"""The gates of lidar sweeps on data: each passes, fails and stays inconclusive, and never errs on what can be counted.

No comparison can be turned round.
"""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from asset_checks import ingestion
from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.evidence.verdicts import Outcome
from fleet_assets.ingestion.steps import SWEEPS_STEP
from tests.asset_checks.gate_fleet import OLD, PARTITION, TABLES, GateFleet
from tests.gate_mutants import built, mutants

STREAMS, CLIPS, SHARDS, SWEEPS = (
    TABLES[name] for name in ("bronze.sensor_streams", "silver.clips", "silver.lidar_shards", "silver.lidar_sweeps")
)
OPERATOR = SWEEPS_STEP.operator.name
PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
GATES = ("silver.lidar_shards", "silver.lidar_sweeps")


def scanned(
    messages: int = 9,
    accounted: int | None = 9,
    sweeps: int = 3,
    rows: int = 3,
    *,
    sensor: str = "lidar",
    clips: int = 1,
    held: bool = False,
    made: str | None = None,
    waiting: bool = False,
    beside: GateFleet | None = None,
    name: str = "d",
) -> GateFleet:
    """One drive of a lidar: messages recorded, messages accounted for (None: not converted), sweeps and their rows."""
    fleet = (beside or GateFleet()).drive(name, spec="nebula_vlp16")
    fleet = fleet.held(name) if held else fleet.examined(name)
    fleet.put(CLIPS, name, [{"clip_id": f"{name}-{number}"} for number in range(clips)])
    fleet.put(STREAMS, name, [{"sensor": sensor, "messages": messages}])
    plan = fleet.plans.get(OPERATOR)
    drives, late = (list(plan.units), list(plan.waiting)) if plan else ([], [])
    (late if waiting else drives).append(name)
    fleet.plan(OPERATOR, drives, late)
    if accounted is None:
        return fleet
    version = {} if made is None else {"made": made}
    known = [] if accounted == 0 else [{"sensor": sensor, "messages": accounted, "sweeps": sweeps}]
    fleet.put(SHARDS, name, known, **version)
    return fleet.put(SWEEPS, name, [{"sensor": sensor, "sweep": number} for number in range(rows)], **version)


SCENARIOS: dict[str, tuple[Callable[[], GateFleet], Outcome, Outcome]] = {
    "nothing": (GateFleet, PASS, PASS),
    "all there": (scanned, PASS, PASS),
    "no sweep in any clip": (lambda: scanned(sweeps=0, rows=0), PASS, PASS),
    "a message vanished": (lambda: scanned(accounted=8), PASS, FAIL),
    "a message too many": (lambda: scanned(accounted=10), PASS, FAIL),
    "a sweep without row": (lambda: scanned(rows=2), PASS, FAIL),
    "a row without sweep": (lambda: scanned(rows=4), PASS, FAIL),
    "the lidar was passed over": (lambda: scanned(accounted=0, sweeps=0, rows=0), PASS, FAIL),
    "rows of a lidar that gave nothing": (lambda: scanned(messages=0), PASS, FAIL),
    "held back": (lambda: scanned(accounted=0, sweeps=0, rows=0, held=True), PASS, PASS),
    "no clip": (lambda: scanned(accounted=0, sweeps=0, rows=0, clips=0), PASS, PASS),
    "a sensor that is none of the spec's": (lambda: scanned(accounted=0, rows=0, sensor="bag.db3"), PASS, PASS),
    "not converted yet": (lambda: scanned(accounted=None), FAIL, INCONCLUSIVE),
    "waiting": (lambda: scanned(accounted=None, waiting=True), INCONCLUSIVE, INCONCLUSIVE),
    "stale": (lambda: scanned(made=OLD), INCONCLUSIVE, PASS),
}


def judged(module: Any, gate: str) -> Any:
    found = {one.table.name: one.judge for one in module.ingestion_gates(TABLES["silver.signals"])}
    return found[gate]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_gates_say(name: str) -> None:
    fleet, shards, sweeps = SCENARIOS[name]
    outcomes = [judged(ingestion, gate)(fleet(), PARTITION).outcome for gate in GATES]
    assert outcomes == [shards, sweeps]


def answers(ask: Callable[[GateFleet], Any]) -> list[Any]:
    said: list[Any] = []
    for fleet, _, _ in SCENARIOS.values():
        try:
            verdict = ask(fleet())
            said.append((verdict.outcome.value, dict(verdict.figures), verdict.missing))
        except Exception as error:  # noqa: BLE001 - a mutant may crash in any way
            said.append(repr(error))
    return said


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("asset_checks.ingestion", ("judge_lidar", "_is_lidar")),
        ("fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.verdict", ("lidar_verdict",)),
    ],
)
def test_every_comparison_is_held_by_a_scenario(name: str, parts: tuple[str, ...], monkeypatch: Any) -> None:
    module = importlib.import_module(name)

    def ask(changed: Any) -> Callable[[GateFleet], Any]:
        if changed.__name__ != ingestion.__name__:
            monkeypatch.setattr(ingestion, "lidar_verdict", changed.lidar_verdict)
            return lambda fleet: ingestion.judge_lidar(fleet, PARTITION)  # type: ignore[arg-type]
        return lambda fleet: changed.judge_lidar(fleet, PARTITION)

    expected = answers(lambda fleet: ingestion.judge_lidar(fleet, PARTITION))  # type: ignore[arg-type]
    assert not [said for said in expected if isinstance(said, str)]
    found = list(mutants(inspect.getsource(module), parts))
    assert len(found) >= 3
    assert [mutant.place for mutant in found if answers(ask(built(mutant.tree, module))) == expected] == []


# -- how often they err ------------------------------------------------------------------------------------------------

TRIED = 300
FAULTS: dict[str, Outcome] = {
    "none": PASS,
    "message vanished": FAIL,
    "message too many": FAIL,
    "sweep without row": FAIL,
    "row without sweep": FAIL,
    "passed over": FAIL,
    "waiting": INCONCLUSIVE,
}


def drawn(seed: int) -> tuple[GateFleet, set[Outcome]]:
    """A partition of one to four drives of random length, each with a random fault or none, and what it should give."""
    rng = np.random.default_rng(seed)
    fleet, wanted = GateFleet(), set()
    for number in range(int(rng.integers(1, 5))):
        messages = int(rng.integers(2, 200))
        sweeps = int(rng.integers(1, messages))
        fault = str(rng.choice([*["none"] * 12, *FAULTS]))
        some, few = int(rng.integers(1, messages)), int(rng.integers(1, sweeps + 1))
        accounted = messages + {"message vanished": -some, "message too many": some}.get(fault, 0)
        rows = sweeps + {"sweep without row": -few, "row without sweep": few}.get(fault, 0)
        made = {"passed over": (0, 0, 0), "waiting": (None, 0, 0)}.get(fault, (accounted, sweeps, rows))
        scanned(messages, *made, waiting=fault == "waiting", beside=fleet, name=f"d{number}")
        wanted.add(FAULTS[fault])
    return fleet, wanted


def test_no_sound_partition_is_held_and_no_lost_message_or_sweep_let_through() -> None:
    """300 random partitions: an error rate above 1 % would show itself with 95 % confidence."""
    judge = judged(ingestion, "silver.lidar_sweeps")
    wrong = 0
    for seed in range(10_000, 10_000 + TRIED):
        fleet, wanted = drawn(seed)
        expected = next(one for one in (FAIL, INCONCLUSIVE, PASS) if one in wanted)
        wrong += judge(fleet, PARTITION).outcome is not expected
    assert wrong == 0
    assert clopper_pearson(0, TRIED, 0.95, side="upper").high < 0.01  # noqa: PLR2004 - as the docstring says
