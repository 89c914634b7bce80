"""The gates of the audit on data: each passes, fails and stays inconclusive; no comparison can be turned round."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from asset_checks import audit as gates
from asset_checks.ingestion import ingestion_gates
from fleet_assets.evidence.verdicts import Outcome
from fleet_assets.ingestion.steps import AUDIT_STEP
from tests.asset_checks.gate_fleet import OLD, PARTITION, POLICIES, TABLES, GateFleet
from tests.gate_mutants import built, mutants

AUDITED, HITS = TABLES["bronze.audited_media"], TABLES["bronze.redaction_audit"]
OPERATOR = AUDIT_STEP.operator.name
PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
MEASURED = {"study": "s", "kinds": {"face": {"found": 45, "in_sample": 50, "exposed": 60}}}


def audited(*exposures: int, looked_at: int = 12, redaction: str = "now", first: int = 0, **file: Any) -> GateFleet:
    """A fleet whose auditor has known recall, and one drive per number of exposures, of one file each."""
    fleet = GateFleet().with_policy("audit", recall=MEASURED)
    names = [f"d{first + number:03d}" for number in range(len(exposures))]
    for name, count in zip(names, exposures, strict=True):
        row = {"wanted_frames": 12, "looked_at": looked_at, "tracks": 9, "hits": count + 2, "exposures": count}
        fleet.drive(name).put(AUDITED, name, [{**row, "redaction": redaction, "sha256": name, **file}])
        fleet.put(HITS, name, [])
    return fleet.plan(OPERATOR, names)


def beside(fleet: GateFleet, count: int, exposures: int = 0, redaction: str = "now") -> GateFleet:
    """The same with further drives on other days: they are evidence of the fleet and not of the partition."""
    for number in range(count):
        row = {"wanted_frames": 12, "looked_at": 12, "tracks": 9, "hits": 2, "exposures": exposures}
        name = f"e{number:03d}"
        keys = {"drive_id": name, "day": "2024-04-01", "depot": "north", "camera": "c", "part": 0, "sha256": name}
        texts = {"frames": 20, "released": True, "detectors": "{}", "redaction": redaction}
        fleet.lake.put(AUDITED, ("2024-04-01", "north"), name, [{**keys, **row, **texts}], "m" * 24)
    return fleet


def waiting() -> GateFleet:
    return GateFleet().drive("a").plan(OPERATOR, (), ["a"])


def stale() -> GateFleet:
    fleet = audited(0)
    return fleet.put(AUDITED, "d000", [{"wanted_frames": 12, "looked_at": 12, "redaction": "now"}], made=OLD)


def small_window() -> GateFleet:
    fleet = beside(audited(0), 30, exposures=1)
    exposure = {**POLICIES["audit"]["exposure"], "window_drives": 1}
    return fleet.with_policy("audit", recall=MEASURED, exposure=exposure)


def small_sample() -> GateFleet:
    exposure = {**POLICIES["audit"]["exposure"], "least_drives": 3}
    return beside(audited(0), 1).with_policy("audit", recall=MEASURED, exposure=exposure)


SCENARIOS: dict[str, tuple[Callable[[], GateFleet], Outcome]] = {
    "nothing": (GateFleet, PASS),
    "one clean drive": (lambda: audited(0), PASS),
    "one exposed drive of two": (lambda: audited(0, 1), FAIL),
    "a drive without media": (lambda: GateFleet().drive("a").put(AUDITED, "a", []).plan(OPERATOR, ["a"]), PASS),
    "too few pictures looked at": (lambda: audited(0, looked_at=11), INCONCLUSIVE),
    "not audited yet": (waiting, INCONCLUSIVE),
    "audited before its media changed": (stale, INCONCLUSIVE),
    "a fleet with bad drives elsewhere": (lambda: beside(audited(0), 30, exposures=1), FAIL),
    "bad drives elsewhere, redacted otherwise": (lambda: beside(audited(0), 30, 1, "before"), PASS),
    "bad drives before the window": (small_window, PASS),
    "fewer drives than the least sample": (small_sample, INCONCLUSIVE),
    "a large clean fleet": (lambda: beside(audited(0), 480), PASS),
    "a recall that nobody measured": (
        lambda: audited(0).with_policy(
            "audit", recall={"study": "s", "kinds": {"face": {"found": 0, "in_sample": 0, "exposed": 0}}}
        ),
        INCONCLUSIVE,
    ),
}


def judge(module: Any, fleet: GateFleet) -> Any:
    return module.judge_exposure(fleet, PARTITION)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_gate_says(name: str) -> None:
    fleet, outcome = SCENARIOS[name]
    verdict = judge(gates, fleet())
    assert verdict.outcome is outcome, (verdict.figures, verdict.missing)


def test_a_large_clean_fleet_passes_by_its_bound() -> None:
    figures = judge(gates, beside(audited(0), 480)).figures
    assert figures["drives.window"] == 481
    assert figures["drives.at_most"] <= figures["drives.limit"]
    assert "drives.standing" not in figures


def test_unconfirmed_hits_are_counted_and_do_not_block() -> None:
    figures = judge(gates, audited(0, 0)).figures
    assert (figures["own.unconfirmed"], figures["own.exposures"]) == (4, 0)


def test_every_comparison_is_held_by_a_scenario() -> None:
    def answers(module: Any) -> list[Any]:
        said: list[Any] = []
        for fleet, _ in SCENARIOS.values():
            try:
                verdict = judge(module, fleet())
                said.append((verdict.outcome.value, dict(verdict.figures), verdict.missing))
            except Exception as error:  # noqa: BLE001 - a mutant may crash in any way
                said.append(repr(error))
        return said

    expected = answers(gates)
    assert not [said for said in expected if isinstance(said, str)]
    found = list(mutants(inspect.getsource(gates), ("judge_exposure", "_window", "audited_drives")))
    survivors = [mutant.place for mutant in found if answers(built(mutant.tree, gates)) == expected]
    assert found
    assert survivors == []


@pytest.mark.parametrize(
    ("fleet", "outcome"),
    [
        (GateFleet, PASS),
        (lambda: audited(0, 0), PASS),
        (lambda: audited(0).drive("lost"), FAIL),
        (waiting, INCONCLUSIVE),
    ],
)
def test_no_drive_vanishes_between_registration_and_audit(fleet: Callable[[], GateFleet], outcome: Outcome) -> None:
    (gate,) = [one for one in ingestion_gates(TABLES["silver.signals"]) if one.table.name == AUDITED.name]
    assert gate.judge(fleet(), PARTITION).outcome is outcome  # type: ignore[arg-type]
