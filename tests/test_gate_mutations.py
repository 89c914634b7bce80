"""A gate whose comparison can be turned around unnoticed is no gate.

Every comparison in the source of every gate is swapped, one at a time, in a copy. On the fixed scenarios below at least
one verdict must change. A survivor turns this test red: add the scenario at the boundary that it moved.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.exposure import (
    AuditedDrive,
    Estimate,
    ExposureRule,
    Recall,
)
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.verdicts import CameraFacts
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.verdicts import Counted
from fleet_assets.policy.documents import load_policies
from fleet_assets.tables import Column, Table
from fleet_assets.tables.silver import CLOCK_MODELS
from tests.gate_mutants import Judged, Scenario, answers, assert_held, mutants
from tests.vehicles import CANONICAL, vehicle

POLICY = "0" * 64


# -- scenarios -----------------------------------------------------------------------------------------------------

BOUND = clopper_pearson(3, 10, 0.9, side="lower").low


def share(held: int, total: int, waiting: int, max_share: float) -> Scenario:
    return lambda gate: gate(held, total, waiting, max_share=max_share, confidence=0.9, policy_digest=POLICY)


def kept(*groups: str) -> Scenario:
    return lambda gate: gate(*(list(group) for group in groups), policy_digest=POLICY)


TOY = Table(
    ("bronze", "toy"),
    (
        Column("count", "int64", "", minimum=0, maximum=10),
        Column("floor", "float64", "", nullable=True, minimum=1),
        Column("ceiling", "float64", "", nullable=True, maximum=1),
        Column("state", "string", "", nullable=True, values=("on",)),
    ),
    (),
    "",
    unique=("count",),
)


def rows(*given: dict[str, Any], columns: Sequence[str] | None = None) -> Scenario:
    schema = pa.schema([column.arrow_field for column in TOY.columns])
    whole = [{"count": 5, "floor": 2.0, "ceiling": 0.0, "state": "on", **row} for row in given]
    data = pa.Table.from_pylist(whole, schema=schema)
    return lambda gate: gate(TOY, data.select(list(columns)) if columns else data)


POLICIES = load_policies()
SPEC = vehicle(POLICIES["vehicles/comma2k19_rav4"]).spec
SILENT = replace(
    SPEC, sensors={name: replace(sensor, latency_uncertainty_ns=0) for name, sensor in SPEC.sensors.items()}
)
MUTE = replace(SPEC, sensors={name: replace(sensor, signals={}) for name, sensor in SPEC.sensors.items()})
SYNC = {
    "coverage": {"min_share": 0.5, "min_evidence_s": 10},
    "skew": {"max_skew_ms": 400, "confidence": 0.95},
}
REQUIRED = sorted(
    name
    for sensor in SPEC.sensors.values()
    if sensor.required
    for name in sensor.signals
    if CANONICAL.signals[name].grid
)


def drives(*names: str, spec: str = SPEC.name) -> pa.Table:
    return pa.table(
        {"drive_id": pa.array(names, pa.string()), "vehicle_spec": pa.array([spec] * len(names), pa.string())}
    )


def silver(drive_id: str, instants: int, **present: int) -> pa.Table:
    """Grid rows of a drive: each required signal has so many values, all where nothing is said."""
    columns: dict[str, Any] = {"drive_id": [drive_id] * instants, "t_ns": np.arange(instants)}
    for signal in CANONICAL.on_grid:
        count = present.get(signal.name, instants if signal.name in REQUIRED else 0)
        columns[signal.name] = pa.array([1.0] * count + [None] * (instants - count), pa.float64())
    return pa.table(columns)


def covered(signals: pa.Table, judged: pa.Table) -> Scenario:
    return lambda gate: gate(signals, judged, {SPEC.name: SPEC, "mute": MUTE}, CANONICAL, SYNC, policy_digest=POLICY)


def clock(drive_id: str, sensor: str, skew_ms: float | None = None, se_ms: float = 0.0, offset_se_ms: float = 0) -> Any:
    return {
        "drive_id": drive_id, "day": "2024-05-01", "depot": "north", "sensor": sensor, "segment": 0, "start_ns": 0,
        "reference_ns": 0, "offset_ns": 0, "offset_se_ns": offset_se_ms * 1e6, "drift_ppm": 0.0, "drift_se_ppm": 0.0,
        "jump_ns": 0, "samples": 1, "source": "gnss", "skew_ns": None if skew_ms is None else round(skew_ms * 1e6),
        "skew_se_ns": None if skew_ms is None else se_ms * 1e6,
    }  # fmt: skip


def skewed(*models: Any, names: Sequence[str] = ("a",), spec: str = SPEC.name) -> Scenario:
    table = CLOCK_MODELS.from_rows(list(models))
    specs = {SPEC.name: SPEC, "silent": SILENT, "mute": MUTE}
    return lambda gate: gate(table, drives(*names, spec=spec), specs, SYNC, policy_digest=POLICY)


def counted(*counts: int, waiting: int = 0) -> Scenario:
    return lambda gate: gate(Counted(*counts), waiting, policy_digest=POLICY)


def unheard_of(messages: int, waiting: int = 0, max_share: float = 0.25, **unknown: int) -> Scenario:
    return lambda gate: gate(unknown, messages, waiting, max_share=max_share, policy_digest=POLICY)


EXPOSURE = "fleet_assets.ingestion.integrity_and_pii_redaction.audit.exposure"
SEEN = ExposureRule(0.95, 0.05, 0.01, 1, {"face": Recall(45, 50, 60), "plate": Recall(44, 50, 60)})
BLIND = replace(SEEN, recall={"face": Recall(0, 5, 5)})


def audited(*exposures: int, looked_at: int = 12, tracks: int = 9) -> list[AuditedDrive]:
    return [AuditedDrive(f"d{n}", 12, looked_at, tracks, count, 1) for n, count in enumerate(exposures)]


def exposed(
    own: list[AuditedDrive], window: list[AuditedDrive] | None = None, *waiting: str, rule: ExposureRule = SEEN
) -> Scenario:
    return lambda gate: gate(own, waiting, own if window is None else window, rule, policy_digest=POLICY)


def answered(value: object) -> Verdict:
    return Verdict(Outcome.PASS, {"answer": str(value)}, POLICY, POLICY)


def bounded(low: float, high: float, drives: int, recall: float, least: int = 1) -> Scenario:
    estimate = Estimate(low, high, drives, recall)
    return lambda gate: gate(estimate, 0.25, replace(SEEN, least_drives=least), (POLICY, POLICY))


TELEMETRY = "fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.verdicts"
COVERAGE = "fleet_assets.ingestion.sensor_sync_and_format_conversion.coverage"
REDACTION = "fleet_assets.ingestion.integrity_and_pii_redaction.redaction.verdicts"
FILMED = CameraFacts("d/front", False, 100, "redacted", False, 100, 1, 99)
HELD_CAMERA = replace(FILMED, status="quarantined", reason=True, undecodable=40, written=0)


def redacted(*cameras: CameraFacts, waiting: Sequence[str] = ()) -> Scenario:
    return lambda gate: gate(cameras, waiting, policy_digest=POLICY)


def signed(problems: dict[str, str | None], *unsigned: str) -> Scenario:
    return lambda gate: gate(problems, unsigned, policy_digest=POLICY)


JUDGED = [
    Judged(
        REDACTION,
        "frames_verdict",
        ("frames_verdict", "_problem_of"),
        [
            redacted(),
            redacted(FILMED),
            redacted(HELD_CAMERA),
            redacted(FILMED, waiting=["late"]),
            redacted(replace(FILMED, recorded=None)),
            redacted(replace(FILMED, recorded=101)),
            redacted(replace(FILMED, written=98)),
            redacted(replace(FILMED, status=None)),
            redacted(replace(HELD_CAMERA, reason=False)),
            redacted(CameraFacts("d/side", False, None, "absent", False, 0, 0, 0)),
            redacted(CameraFacts("d/side", True, None, "absent", False, 0, 0, 0)),
        ],
    ),
    Judged(
        REDACTION,
        "signed_verdict",
        ("signed_verdict",),
        [signed({}), signed({"d": None}), signed({"d": "foreign key"}), signed({"d": None}, "e"), signed({}, "e")],
    ),
    Judged(
        EXPOSURE,
        "exposure_verdict",
        ("exposure_verdict", "drives_verdict", "drives_share_verdict", "tracks_share_verdict", "_listed"),
        [
            exposed([]),
            exposed([], None, "late"),
            exposed(audited(0)),
            exposed(audited(0, 1)),
            exposed(audited(0, 2, 1)),
            exposed(audited(0), None, "late"),
            exposed(audited(0, looked_at=11)),
            exposed(audited(0, looked_at=13)),
            exposed(audited(*[1] * 5)),
            exposed(audited(*[1] * 6)),
            exposed(audited(0), audited(*[0] * 110)),
            exposed(audited(0), audited(*[0] * 110, tracks=0)),
            exposed(audited(0), audited(*[0] * 40, tracks=0) + audited(*[1] * 40, tracks=0)),
            exposed(audited(0), audited(*[1] * 30)),
            exposed(audited(0), audited(1, *[0] * 29)),
            exposed(audited(0), rule=BLIND),
        ],
    ),
    Judged(
        EXPOSURE,
        "judged",
        ("judged",),
        [
            bounded(0.25, 0.25, 1, 0.5),
            bounded(0.26, 0.3, 1, 0.5),
            bounded(0.0, 0.125, 1, 0.5),
            bounded(0.0, 0.126, 27, 0.5),
            bounded(0.0, 0.126, 28, 0.5),
            bounded(0.0, 0.126, 29, 0.5),
            bounded(0.0, 0.126, 40, 0.5),
            bounded(0.0, 0.126, 40, 0.0),
            bounded(0.0, 0.125, 5, 0.5, 5),
            bounded(0.0, 0.125, 5, 0.5, 6),
        ],
    ),
    Judged(
        EXPOSURE,
        "enough_drives",
        ("enough_drives",),
        [
            *(
                lambda gate, recall=recall, limit=limit: answered(gate(0.975, recall, limit))
                for recall, limit in ((0.0, 0.1), (0.5, 0.1), (1e-9, 0.1))
            ),
            lambda gate: answered(gate(0.975, -2 * np.expm1(np.log(0.025) / 999_999.5), 0.5)),
        ],
    ),
    Judged(
        TELEMETRY,
        "messages_conserved",
        ("messages_conserved",),
        [
            counted(0, 0, 0, 0),
            counted(6, 3, 2, 1),
            counted(7, 3, 2, 1),
            counted(5, 3, 2, 1),
            counted(6, 3, 2, 1, 1),
            counted(7, 3, 2, 1, waiting=1),
        ],
    ),
    Judged(
        TELEMETRY,
        "unknown_schema_verdict",
        ("unknown_schema_verdict",),
        [
            unheard_of(0),
            unheard_of(4),
            unheard_of(4, a=1),
            unheard_of(3, a=1),
            unheard_of(5, a=1),
            unheard_of(1, max_share=0, a=1),
            unheard_of(5, waiting=1, a=5),
            unheard_of(9, a=1, b=1, c=2, d=1, e=1),
            unheard_of(9, a=1, b=1, c=2, d=1, e=1, f=1),
        ],
    ),
    Judged(
        "fleet_assets.evidence.conservation",
        "share_within",
        ("share_within",),
        [share(3, 10, 0, BOUND), share(3, 10, 0, BOUND * 0.99), share(3, 10, 0, BOUND * 1.01), share(0, 3, 1, 0.5)],
    ),
    Judged(
        "fleet_assets.evidence.conservation",
        "conservation",
        ("conservation", "_names"),
        [kept("abcde", "", "", ""), kept("abcdef", "", "", ""), kept("ab", "a", "b", ""), kept("ab", "a", "", "b")],
    ),
    Judged(
        "asset_checks.schema",
        "judge_schema",
        ("judge_schema", "schema_breaches", "_column_breaches"),
        [
            rows({}),
            rows({"count": 0}, {"count": 10}),
            rows({"count": -1}),
            rows({"count": 11}),
            rows({"count": None}),
            rows({"floor": 1.0, "ceiling": 1.0}),
            rows({"floor": 0.5}),
            rows({"ceiling": 1.5}),
            rows({"floor": None, "ceiling": None, "state": None}),
            rows({"state": "off"}),
            rows({}, {}),
            rows({}, columns=["count"]),
        ],
    ),
    Judged(
        COVERAGE,
        "coverage_verdict",
        ("coverage_verdict", "_drive_coverage", "_giving", "_present", "_shares", "_summarised"),
        [
            covered(silver("a", 200), drives("a")),
            covered(silver("a", 200, yaw_rate_radps=100), drives("a")),
            covered(silver("a", 200, yaw_rate_radps=99), drives("a")),
            covered(silver("a", 100), drives("a")),
            covered(silver("a", 99), drives("a")),
            covered(silver("a", 200), drives("a", "b")),
            covered(silver("a", 200), drives()),
            covered(silver("a", 200), drives("a", spec="unknown")),
            covered(silver("a", 50), drives("a", spec="mute")),
        ],
    ),
    Judged(
        COVERAGE,
        "skew_verdict",
        ("skew_verdict", "_drive_skew", "_giving", "_stated", "_summarised"),
        [
            skewed(clock("a", "gnss", 400)),
            skewed(clock("a", "gnss", 400.001)),
            skewed(clock("a", "gnss", -400.001)),
            skewed(clock("a", "gnss", 350, 30)),
            skewed(clock("a", "gnss", 450, 30)),
            skewed(clock("a", "gnss", 0), clock("a", "radar", 500)),
            skewed(clock("a", "gnss", 100), clock("a", "radar")),
            skewed(clock("a", "gnss")),
            skewed(clock("a", "gnss", None, 0, 1)),
            skewed(clock("a", "imu_gyroscope")),
            skewed(),
            skewed(names=()),
            skewed(clock("a", "gnss"), spec="unknown"),
            skewed(clock("a", "gnss"), spec="silent"),
            skewed(spec="mute"),
            skewed(clock("a", "gnss", 100), clock("b", "gnss", 900), names=("a", "b")),
        ],
    ),
]


@pytest.mark.parametrize("judged", JUDGED, ids=lambda judged: str(judged.function))
def test_every_comparison_of_a_gate_is_held_by_a_scenario(judged: Judged) -> None:
    assert_held(judged)


def test_a_comparison_that_no_scenario_holds_is_found() -> None:
    source = "def gate(x, limit):\n    return x > limit\n"
    places = [mutant.place for mutant in mutants(source, ["gate"])]
    assert places == ["gate, line 2: x >= limit", "gate, line 2: x < limit"]
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # noqa: S102 - the two lines above
    far: list[Scenario] = [lambda gate: gate(5, 1)]
    at_the_limit: list[Scenario] = [lambda gate: gate(1, 1)]
    original = namespace["gate"]
    survived = {"far": [], "limit": []}  # type: dict[str, list[str]]
    for mutant in mutants(source, ["gate"]):
        changed: dict[str, Any] = {}
        exec(compile(mutant.tree, "gate", "exec"), changed)  # noqa: S102 - the two lines above
        for name, scenarios in (("far", far), ("limit", at_the_limit)):
            if answers(changed["gate"], scenarios) == answers(original, scenarios):
                survived[name].append(mutant.place)
    assert survived == {"far": [places[0]], "limit": [places[1]]}
