"""The gates of ingestion on data: each passes, fails and stays inconclusive, and errs as rarely as it says.

None has a comparison that could be turned around unnoticed.
"""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from asset_checks import ingestion
from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.ingestion.steps import (
    ALIGN_STEP,
    AUDIT_STEP,
    CATALOG_STEP,
    DECODE_STEP,
    DOCUMENT_STEP,
    FIND_STEP,
    HOLD_BACK_STEP,
    KEYFRAMES_STEP,
    REDACT_STEP,
    REGISTER_STEP,
    SWEEPS_STEP,
)
from tests.asset_checks.gate_fleet import MADE, OLD, PARTITION, POLICIES, SPEC, TABLES, GateFleet
from tests.gate_mutants import built, mutants

SIGNALS, CLIPS, CLOCKS = (TABLES[f"silver.{name}"] for name in ("signals", "clips", "clock_models"))
STEPS = {
    "bronze.sensor_samples": DECODE_STEP.operator.name,
    "bronze.integrity_findings": FIND_STEP.operator.name,
    "bronze.quarantine": HOLD_BACK_STEP.operator.name,
    "bronze.redacted_media": REDACT_STEP.operator.name,
    "bronze.audited_media": AUDIT_STEP.operator.name,
    "silver.lidar_shards": SWEEPS_STEP.operator.name,
    "silver.keyframes": KEYFRAMES_STEP.operator.name,
    "silver.clip_catalog": CATALOG_STEP.operator.name,
    "silver.search_documents": DOCUMENT_STEP.operator.name,
}
REGISTER, ALIGN = REGISTER_STEP.operator.name, ALIGN_STEP.operator.name
ON_GRID = [column.name for column in SIGNALS.columns if column.nullable]
PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
SENSORS = ("accelerometer", "gyroscope")

Scenario = tuple[str, Callable[[], GateFleet], Outcome]


def gates(module: Any = ingestion) -> dict[tuple[str, str], Any]:
    """Judgement by table and name."""
    return {(gate.table.name, gate.name): gate.judge for gate in module.ingestion_gates(SIGNALS)}


def signals(instants: int = 150, present: int | None = None) -> list[dict[str, Any]]:
    """Grid rows of a drive, of which so many have every signal."""
    count = instants if present is None else present
    full, empty = (
        {
            column.name: (value if column.type == "float64" else bool(value)) if value is not None else None
            for column in SIGNALS.columns
            if column.name in ON_GRID
        }
        for value in (1.0, None)
    )
    return [{"t_ns": row, **(full if row < count else empty)} for row in range(instants)]


def clocks(skew_ms: float | None = None) -> list[dict[str, Any]]:
    skew = {} if skew_ms is None else {"skew_ns": round(skew_ms * 1e6), "skew_se_ns": 0.0}
    return [{"sensor": name, "segment": 0, "offset_se_ns": 0.0, "samples": 9, **skew} for name in SENSORS]


# -- registration ----------------------------------------------------------------------------------------------------

REGISTRATION: list[Scenario] = [
    ("nothing came", GateFleet, PASS),
    ("landed and rejected with a reason", lambda: GateFleet().plan(REGISTER, ["a", "b"]).drive("a")
     .drive("b", "rejected", reason="size_mismatch"), PASS),
    ("one was not registered", lambda: GateFleet().plan(REGISTER, ["a", "b"]).drive("a"), FAIL),
    ("rejected without a reason", lambda: GateFleet().plan(REGISTER, ["a"]).drive("a", "rejected"), FAIL),
    ("on its way to another day", lambda: GateFleet().plan(REGISTER, ["a"], ["b"]).drive("a").drive("b"), PASS),
    ("on its way and gone", lambda: GateFleet().plan(REGISTER, ["a"], ["b"]).drive("a"), INCONCLUSIVE),
]  # fmt: skip


def step_scenarios(table: str) -> list[Scenario]:
    """States of a table that has one file per registered drive."""
    operator = STEPS[table]

    def fleet(*held: str, waiting: tuple[str, ...] = (), old: tuple[str, ...] = ()) -> GateFleet:
        made = GateFleet().drive("a").drive("b").plan(operator, [name for name in "ab" if name not in waiting], waiting)
        for name in held:
            made.put(TABLES[table], name, [], OLD if name in old else MADE)
        return made

    return [
        ("nothing came", GateFleet, PASS),
        ("all made", lambda: fleet("a", "b"), PASS),
        ("one vanished", lambda: fleet("a"), FAIL),
        ("one from nowhere", lambda: fleet("a", "b", "c"), FAIL),
        ("one waits for its inputs", lambda: fleet("a", waiting=("b",)), INCONCLUSIVE),
        ("one is of an older version", lambda: fleet("a", "b", old=("b",)), INCONCLUSIVE),
    ]


# -- quarantine ------------------------------------------------------------------------------------------------------


def quarantine(held: int, released: int = 0, clean: int = 0, unknown: int = 0) -> GateFleet:
    """A partition of so many drives that are held back, were released, passed, and were not examined."""
    fleet = GateFleet()
    for number in range(held + released + clean + unknown):
        name = f"d{number:03d}"
        fleet.drive(name)
        if number < held + released:
            fleet.held(name, released=number >= held)
        elif number < held + released + clean:
            fleet.examined(name)
    return fleet


SHARE: list[Scenario] = [
    ("nothing came", GateFleet, PASS),
    ("one bad of one", lambda: quarantine(1), PASS),
    ("four bad of four", lambda: quarantine(4), PASS),
    ("five bad of five", lambda: quarantine(5), FAIL),
    ("five bad of five, one released", lambda: quarantine(4, released=1), PASS),
    ("five bad, one not examined", lambda: quarantine(5, unknown=1), INCONCLUSIVE),
    ("six bad, one not examined", lambda: quarantine(8, unknown=1), FAIL),
    ("one clean, one not examined", lambda: quarantine(0, clean=1, unknown=1), INCONCLUSIVE),
    ("a held drive that is gone from the drives", lambda: quarantine(4, clean=1).held("gone"), PASS),
]

# -- silver ----------------------------------------------------------------------------------------------------------


def silver(**more: Any) -> GateFleet:
    """A drive with signals, one held back, one of a camera alone, and one rejected."""
    fleet = GateFleet().drive("a").drive("b").drive("c", spec="dashcam").drive("d", "rejected", reason="size_mismatch")
    fleet.examined("a").held("b").examined("c").held("d").put(CLIPS, "c").put(SIGNALS, "c", [])
    fleet.put(SIGNALS, "b", []).put(SIGNALS, "a", more.get("rows", [{}]), more.get("made", MADE))
    waiting = more.get("waiting", ())
    return fleet.plan(ALIGN, [name for name in "abc" if name not in waiting], waiting)


SILVER: list[Scenario] = [
    ("nothing came", GateFleet, PASS),
    ("each has its place", silver, PASS),
    ("one without signals", lambda: silver(rows=[]), FAIL),
    ("one without signals, but clips", lambda: silver(rows=[]).put(CLIPS, "a"), FAIL),
    ("a camera's drive without clips", lambda: silver().put(CLIPS, "c", []), FAIL),
    ("held back, and signals all the same", lambda: silver().put(SIGNALS, "b"), FAIL),
    ("signals of an older version", lambda: silver(made=OLD), INCONCLUSIVE),
    ("one waits for its inputs", lambda: silver(waiting=("a",)), INCONCLUSIVE),
    ("signals of a rejected drive", lambda: silver().put(SIGNALS, "d"), FAIL),
]


def covered(rows: list[dict[str, Any]], *, status: str = "landed", is_held: bool = False) -> GateFleet:
    fleet = GateFleet().drive("a", status, reason="bad" if status == "rejected" else None).put(SIGNALS, "a", rows)
    return fleet.held("a") if is_held else fleet.examined("a")


COVERAGE: list[Scenario] = [
    ("nothing came", GateFleet, PASS),
    ("all there", lambda: covered(signals()), PASS),
    ("half there", lambda: covered(signals(150, 75)), PASS),
    ("less than half there", lambda: covered(signals(150, 74)), FAIL),
    ("too short to tell", lambda: covered(signals(99)), INCONCLUSIVE),
    ("held back", lambda: covered(signals(150, 10), is_held=True), PASS),
    ("rejected", lambda: covered(signals(150, 10), status="rejected"), PASS),
    ("a vehicle that nobody knows", lambda: covered(signals()).drive("b", spec="gone").examined("b"), INCONCLUSIVE),
]


def skewed(rows: list[dict[str, Any]], *, is_held: bool = False) -> GateFleet:
    fleet = GateFleet().drive("a").put(CLOCKS, "a", rows)
    return fleet.held("a") if is_held else fleet.examined("a")


BOUND_MS = POLICIES["sync"]["skew"]["max_skew_ms"]
SKEW: list[Scenario] = [
    ("nothing came", GateFleet, PASS),
    ("no lag", lambda: skewed(clocks(0.0)), PASS),
    ("a lag on the bound", lambda: skewed(clocks(BOUND_MS)), PASS),
    ("a lag beyond the bound", lambda: skewed(clocks(BOUND_MS + 1e-3)), FAIL),
    ("no clock", lambda: skewed([]), INCONCLUSIVE),
    ("held back", lambda: skewed(clocks(BOUND_MS + 1), is_held=True), PASS),
]

GATES: dict[tuple[str, str], list[Scenario]] = {
    ("bronze.drives", "conservation"): REGISTRATION,
    **{(table, "conservation"): step_scenarios(table) for table in STEPS},
    ("bronze.quarantine", "quarantined_share"): SHARE,
    ("silver.signals", "conservation"): SILVER,
    ("silver.signals", "coverage"): COVERAGE,
    ("silver.signals", "skew"): SKEW,
}


def test_every_gate_of_the_area_has_its_scenarios_with_all_three_outcomes() -> None:
    assert gates().keys() - GATES.keys() == {("silver.lidar_sweeps", "conservation")}  # in test_lidar_gates
    assert GATES.keys() <= gates().keys()
    for scenarios in GATES.values():
        assert {outcome for _, _, outcome in scenarios} == set(Outcome)


@pytest.mark.parametrize(
    ("gate", "scenario"),
    [pytest.param(gate, one, id=f"{'.'.join(gate)}: {one[0]}") for gate, some in GATES.items() for one in some],
)
def test_the_gate_says(gate: tuple[str, str], scenario: Scenario) -> None:
    _, fleet, outcome = scenario
    verdict = gates()[gate](fleet(), PARTITION)
    assert verdict.outcome is outcome, verdict
    assert bool(verdict.missing) is (outcome is INCONCLUSIVE)


def told(verdict: Verdict) -> Any:
    return verdict.outcome.value, dict(verdict.figures), verdict.missing


PARTS = (
    "judge_registration", "judge_step", "judge_quarantined_share", "judge_silver", "_specs", "_clean_drives",
    "judge_skew", "judge_coverage",
)  # fmt: skip


def test_every_comparison_of_the_gates_is_held_by_a_scenario() -> None:
    module = importlib.import_module("asset_checks.ingestion")

    def answers(judged: Any) -> list[Any]:
        said = []
        for gate, scenarios in GATES.items():
            for _, fleet, _ in scenarios:
                try:
                    said.append(told(gates(judged)[gate](fleet(), PARTITION)))
                except Exception as error:  # noqa: BLE001 - a mutant may crash in any way
                    said.append(repr(error))
        return said

    expected = answers(module)
    assert not [said for said in expected if isinstance(said, str)]
    found = list(mutants(inspect.getsource(module), PARTS))
    assert len(found) >= 6
    assert [mutant.place for mutant in found if answers(built(mutant.tree, module)) == expected] == []


# -- how often they err ----------------------------------------------------------------------------------------------

PARTITIONS = 150
DRIVES = 12


def share_of_failures(bad_share: float) -> float:
    """Share of simulated partitions that the gate of the quarantined share fails."""
    rng = np.random.default_rng(round(1000 * bad_share))
    judge = gates()["bronze.quarantine", "quarantined_share"]
    counts = rng.binomial(DRIVES, bad_share, PARTITIONS)
    outcome = {
        count: judge(quarantine(count, clean=DRIVES - count), PARTITION).outcome for count in set(counts.tolist())
    }
    return float(np.mean([outcome[count] is FAIL for count in counts.tolist()]))


def test_the_share_gate_holds_a_partition_at_the_limit_as_rarely_as_promised_and_a_bad_one_mostly() -> None:
    policy = POLICIES["gates"]["quarantined_share"]
    promised = 1 - policy["confidence"]
    assert share_of_failures(policy["max_share"]) <= promised + 3 * np.sqrt(promised * (1 - promised) / PARTITIONS)
    assert share_of_failures(0.1) == 0.0
    assert share_of_failures(0.95) > 0.95


TRIED = 300
"""With no wrong verdict among so many, one in a hundred is too many with 95 % confidence."""


def decided(kinds: set[Outcome]) -> Outcome:
    """What a partition must give whose drives, each alone, would give these."""
    return next((one for one in (FAIL, INCONCLUSIVE) if one in kinds), PASS)


def assert_never_wrong(wrong: int) -> None:
    assert wrong == 0
    assert clopper_pearson(wrong, TRIED, 0.95, side="upper").high < 0.01


def test_conservation_never_errs_on_partitions_that_lost_drives_at_random() -> None:
    rng, judges = np.random.default_rng(3), gates()
    means = {"made": PASS, "lost": FAIL, "old": INCONCLUSIVE, "waiting": INCONCLUSIVE}
    wrong = 0
    for tried in range(TRIED):
        table = [*STEPS][tried % len(STEPS)]
        names = [f"d{number}" for number in range(int(rng.integers(0, 7)))]
        state = dict(zip(names, rng.choice([*means], len(names), p=[0.7, 0.05, 0.1, 0.15]).tolist(), strict=True))
        fleet = GateFleet()
        for name in names:
            fleet.drive(name)
            if state[name] in {"made", "old"}:
                fleet.put(TABLES[table], name, [], OLD if state[name] == "old" else MADE)
        waiting = [name for name in names if state[name] == "waiting"]
        fleet.plan(STEPS[table], [name for name in names if name not in waiting], waiting)
        verdict = judges[table, "conservation"](fleet, PARTITION)
        wrong += verdict.outcome is not decided({means[one] for one in state.values()})
    assert_never_wrong(wrong)


UPLOADS: dict[str, tuple[tuple[str, str | None] | None, bool, Outcome]] = {
    "landed": (("landed", None), False, PASS),
    "rejected": (("rejected", "size_mismatch"), False, PASS),
    "on its way": (("landed", None), True, PASS),
    "rejected for nothing": (("rejected", None), False, FAIL),
    "lost": (None, False, FAIL),
    "waiting": (None, True, INCONCLUSIVE),
}
"""What may become of an upload: status and reason of its row, whether it waits, and what must come of it."""


def test_registration_never_errs_on_uploads_of_random_fate() -> None:
    rng = np.random.default_rng(4)
    judge, wrong = gates()["bronze.drives", "conservation"], 0
    for _ in range(TRIED):
        fates = rng.choice([*UPLOADS], int(rng.integers(0, 7)), p=[0.5, 0.2, 0.1, 0.05, 0.05, 0.1]).tolist()
        fleet = GateFleet()
        planned: list[str] = []
        late: list[str] = []
        for number, fate in enumerate(fates):
            row, waits, _ = UPLOADS[fate]
            (late if waits else planned).append(f"d{number}")
            if row is not None:
                fleet.drive(f"d{number}", row[0], reason=row[1])
        fleet.plan(REGISTER, planned, late)
        wrong += judge(fleet, PARTITION).outcome is not decided({UPLOADS[fate][2] for fate in fates})
    assert_never_wrong(wrong)


DRIVEN: dict[str, Outcome] = {
    "signals": PASS, "held": PASS, "rejected": PASS, "camera": PASS, "silent": FAIL, "held and signals": FAIL,
    "camera without clips": FAIL, "old": INCONCLUSIVE, "waiting": INCONCLUSIVE,
}  # fmt: skip
"""What may become of a drive on its way to silver, and what must come of it."""


def driven(fates: list[str]) -> GateFleet:
    """A partition with a drive of each of these fates."""
    fleet = GateFleet()
    planned: list[str] = []
    late: list[str] = []
    for number, fate in enumerate(fates):
        name, is_camera = f"d{number}", fate.startswith("camera")
        fleet.drive(name, "rejected", reason="bad") if fate == "rejected" else fleet.drive(
            name, spec="dashcam" if is_camera else SPEC
        )
        fleet.held(name) if fate in {"held", "held and signals", "rejected"} else fleet.examined(name)
        rows: list[dict[str, Any]] = [{}] if fate in {"signals", "held and signals", "old"} else []
        if fate not in {"rejected", "waiting"}:
            fleet.put(SIGNALS, name, rows, OLD if fate == "old" else MADE)
        if fate in {"signals", "silent", "old", "camera"}:
            fleet.put(CLIPS, name)
        if fate != "rejected":
            (late if fate == "waiting" else planned).append(name)
    return fleet.plan(ALIGN, planned, late)


def test_conservation_of_silver_never_errs_on_drives_of_random_fate() -> None:
    rng = np.random.default_rng(5)
    judge, wrong = gates()["silver.signals", "conservation"], 0
    for _ in range(TRIED):
        fates = rng.choice([*DRIVEN], int(rng.integers(0, 7)), p=[0.4, 0.15, 0.1, 0.1, *[0.05] * 5]).tolist()
        wrong += judge(driven(fates), PARTITION).outcome is not decided({DRIVEN[fate] for fate in fates})
    assert_never_wrong(wrong)
