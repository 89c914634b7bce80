"""The gates of the silver signals: pass, fail and inconclusive on data, their limits, and how often they err."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_drive import (
    CANONICAL,
    KEYS,
    MS,
    SIGNALS_TABLE,
    SPEC,
    START_NS,
    SYNC,
    Part,
    S,
    every,
    healthy,
    parse_spec,
    spec_document,
    speed,
)

from fleet_assets.evidence.verdicts import Outcome
from fleet_assets.ingestion.sensor_sync_and_format_conversion.align import align_drive
from fleet_assets.ingestion.sensor_sync_and_format_conversion.coverage import (
    coverage_verdict,
    required_signals,
    skew_verdict,
)
from fleet_assets.tables.bronze import INTEGRITY_FINDINGS
from fleet_assets.tables.silver import CLOCK_MODELS

DIGEST = "e" * 64
SPECS = {SPEC.name: SPEC}
REQUIRED = required_signals(SPEC, CANONICAL)
MIN_SHARE = SYNC["coverage"]["min_share"]
MIN_SECONDS = SYNC["coverage"]["min_evidence_s"]
BOUND_MS = SYNC["skew"]["max_skew_ms"]
Z = 1.959963984540054


def drives(*names, spec=SPEC.name):
    return (
        pa.table({"drive_id": list(names), "vehicle_spec": [spec] * len(names)}, schema=None)
        if names
        else pa.table({"drive_id": pa.array([], pa.string()), "vehicle_spec": pa.array([], pa.string())})
    )


def silver(present, instants=1000, drive_id="drive-1"):
    """Rows of silver.signals where each required signal has values at so many of the instants."""
    columns = {
        **{name: [drive_id if name == "drive_id" else text] * instants for name, text in KEYS.items()},
        "clip_id": ["clip"] * instants,
        "t_ns": START_NS + np.arange(instants) * 100 * MS,
    }
    for signal in CANONICAL.on_grid:
        count = present.get(signal.name, 0)
        values = [1.0] * count + [None] * (instants - count)
        columns[signal.name] = [None if one is None else True for one in values] if signal.type == "bool" else values
    return SIGNALS_TABLE.conform(pa.table(columns, schema=SIGNALS_TABLE.arrow_schema))


def covered(signals, *names, specs=SPECS):
    return coverage_verdict(signals, drives(*names), specs, CANONICAL, SYNC, policy_digest=DIGEST)


FULL = dict.fromkeys(REQUIRED, 1000)


def test_the_signals_of_required_sensors_are_required():
    assert REQUIRED == ("accel_long_mps2", "gnss_speed_mps", "heading_deg", "lat_deg", "lon_deg", "yaw_rate_radps")


def test_an_empty_partition_passes_and_says_so():
    for verdict in (
        covered(SIGNALS_TABLE.empty()),
        skew_verdict(CLOCK_MODELS.empty(), drives(), SPECS, SYNC, policy_digest=DIGEST),
    ):
        assert verdict.outcome is Outcome.PASS
        assert verdict.figures["drives"] == 0
        assert verdict.policy_digest == DIGEST


def lidar_spec(signals):
    """A vehicle whose required sensor gives these signals."""
    document = spec_document()
    sensor = {**document["sensors"]["pedals"], "kind": "lidar", "signals": signals, "required": True}
    kept = {"sensors": {"lidar": sensor}, "clock": {"utc_from": []}, "redundant_pairs": [], "dbc": {}}
    return parse_spec({**document, "name": "lidar_rig", **kept})


def mixed(*lidar_drives):
    """One clean drive of the small car and drives of a lidar rig."""
    names = ["drive-1", *lidar_drives]
    return pa.table({"drive_id": names, "vehicle_spec": [SPEC.name, *["lidar_rig"] * len(lidar_drives)]})


def test_drives_of_vehicles_without_signals_hold_nothing_back_and_are_counted():
    specs = {"lidar_rig": lidar_spec({})}
    rows = silver({}, 3, "scan-1")
    for verdict in (
        coverage_verdict(rows, drives("scan-1", spec="lidar_rig"), specs, CANONICAL, SYNC, policy_digest=DIGEST),
        skew_verdict(CLOCK_MODELS.empty(), drives("scan-1", spec="lidar_rig"), specs, SYNC, policy_digest=DIGEST),
    ):
        assert verdict.outcome is Outcome.PASS
        assert verdict.figures["drives"] == 0
        assert verdict.figures["drives_without_signals"] == 1


def test_drives_without_signals_add_no_time_to_those_beside_them():
    specs = {**SPECS, "lidar_rig": lidar_spec({})}
    count = round(MIN_SECONDS * 10) - 1
    rows = pa.concat_tables([silver(dict.fromkeys(REQUIRED, count), count), silver({}, 1000, "scan-1")])
    verdict = coverage_verdict(rows, mixed("scan-1"), specs, CANONICAL, SYNC, policy_digest=DIGEST)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.figures["drives"] == 1
    assert verdict.figures["seconds"] == pytest.approx(count / 10)


def test_a_lidar_that_gives_a_signal_is_judged_like_any_other_sensor():
    specs = {"lidar_rig": lidar_spec({"brake_pressed": {"field": "brake", "unit": "1"}})}
    rows = silver({"brake_pressed": 499}, 1000, "scan-1")
    listed = drives("scan-1", spec="lidar_rig")
    verdict = coverage_verdict(rows, listed, specs, CANONICAL, SYNC, policy_digest=DIGEST)
    assert verdict.outcome is Outcome.FAIL
    assert "drives_without_signals" not in verdict.figures
    skewed = skew_verdict(CLOCK_MODELS.empty(), listed, specs, SYNC, policy_digest=DIGEST)
    assert skewed.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("signal", REQUIRED)
def test_each_required_signal_is_held_against_the_smallest_share(signal):
    least = math.ceil(MIN_SHARE * 1000)
    assert least == MIN_SHARE * 1000
    assert covered(silver({**FULL, signal: least}), "drive-1").outcome is Outcome.PASS
    verdict = covered(silver({**FULL, signal: least - 1}), "drive-1")
    assert verdict.outcome is Outcome.FAIL
    assert (verdict.figures["worst_signal"], verdict.figures["worst_drive"]) == (signal, "drive-1")
    assert verdict.figures["worst_share"] == (least - 1) / 1000
    assert verdict.figures["fail_drives"] == "drive-1"


def test_signals_of_optional_sensors_may_be_absent():
    assert covered(silver(FULL), "drive-1").outcome is Outcome.PASS


@pytest.mark.parametrize(("instants", "outcome"), [(0, Outcome.PASS), (-1, Outcome.INCONCLUSIVE)])
def test_a_partition_with_less_time_than_the_policy_asks_is_inconclusive(instants, outcome):
    count = round(MIN_SECONDS * 10) + instants
    verdict = covered(silver(dict.fromkeys(REQUIRED, count), count), "drive-1")
    assert verdict.outcome is outcome
    if outcome is Outcome.INCONCLUSIVE:
        assert f"at least {MIN_SECONDS:g} s" in verdict.missing[0]
    # Too little evidence is no failure either.
    assert covered(silver({}, 5), "drive-1").outcome is Outcome.INCONCLUSIVE


def test_one_bad_drive_fails_its_partition_and_is_named():
    table = pa.concat_tables([silver(FULL, drive_id="good"), silver({}, drive_id="bad")])
    verdict = covered(table, "good", "bad")
    assert verdict.outcome is Outcome.FAIL
    assert verdict.figures["fail_drives"] == "bad"
    assert verdict.figures["seconds"] == 200.0


def test_a_drive_that_never_reached_silver_is_inconclusive_and_one_not_asked_for_is_ignored():
    verdict = covered(silver(FULL), "drive-1", "drive-2")
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert any("drive-2" in sentence for sentence in verdict.missing)
    table = pa.concat_tables([silver(FULL), silver({}, drive_id="held")])
    assert covered(table, "drive-1").outcome is Outcome.PASS


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=5))
def test_the_coverage_verdict_is_that_of_counting(counts):
    names = [f"d{number}" for number in range(len(counts))]
    tables = [
        silver({**dict.fromkeys(REQUIRED, 100), REQUIRED[0]: count}, 100, name)
        for name, count in zip(names, counts, strict=True)
    ]
    expected = Outcome.PASS if all(count / 100 >= MIN_SHARE for count in counts) else Outcome.FAIL
    assert covered(pa.concat_tables(tables), *names).outcome is expected


def test_the_coverage_gate_never_errs_on_drives_with_known_dropouts():
    rng = np.random.default_rng(9)
    wrong = 0
    for _ in range(60):
        share = rng.uniform(0.2, 1.0)
        here = rng.random(1000) < share
        table = silver({**FULL, REQUIRED[0]: int(here.sum())})
        expected = Outcome.PASS if here.mean() >= MIN_SHARE else Outcome.FAIL
        wrong += covered(table, "drive-1").outcome is not expected
    assert wrong == 0


# Skew


def models(*rows):
    """Rows of silver.clock_models from (drive, sensor, lag or None, its standard error, the clock's), in ms."""
    return CLOCK_MODELS.from_rows(
        [
            {
                **KEYS,
                "drive_id": drive,
                "sensor": sensor,
                "segment": 0,
                "start_ns": START_NS,
                "reference_ns": START_NS,
                "offset_ns": 0,
                "offset_se_ns": clock_se_ms * MS,
                "drift_ppm": 0.0,
                "drift_se_ppm": None,
                "jump_ns": 0,
                "samples": 10,
                "source": "gnss",
                "skew_ns": None if lag_ms is None else round(lag_ms * MS),
                "skew_se_ns": None if lag_ms is None else se_ms * MS,
            }
            for drive, sensor, lag_ms, se_ms, clock_se_ms in rows
        ]
    )


def skewed(table, *names, spec=SPEC):
    return skew_verdict(table, drives(*names), {SPEC.name: spec}, SYNC, policy_digest=DIGEST)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("lag_ms", "outcome"),
    [
        (BOUND_MS - 10 * Z - 1e-4, Outcome.PASS),
        (BOUND_MS - 10 * Z + 1e-4, Outcome.INCONCLUSIVE),
        (BOUND_MS, Outcome.INCONCLUSIVE),
        (BOUND_MS + 10 * Z - 1e-4, Outcome.INCONCLUSIVE),
        (BOUND_MS + 10 * Z + 1e-4, Outcome.FAIL),
    ],
)
def test_a_measured_lag_is_judged_with_its_uncertainty(sign, lag_ms, outcome):
    verdict = skewed(models(("drive-1", "gnss", sign * lag_ms, 10.0, 1.0)), "drive-1")
    assert verdict.outcome is outcome
    assert verdict.figures["measured"] == 1
    assert verdict.figures["worst_ms"] == pytest.approx(lag_ms, abs=1e-3)
    assert bool(verdict.missing) == (outcome is Outcome.INCONCLUSIVE)


def test_an_exact_lag_on_the_bound_passes_and_the_next_nanosecond_fails():
    assert skewed(models(("drive-1", "gnss", BOUND_MS, 0.0, 0.0)), "drive-1").outcome is Outcome.PASS
    assert skewed(models(("drive-1", "gnss", BOUND_MS + 1e-6, 0.0, 0.0)), "drive-1").outcome is Outcome.FAIL


def stated(uncertainty_ms):
    document = spec_document()
    for sensor in document["sensors"].values():
        sensor["latency_ms"] = {"mean": 0, "uncertainty": 0}
    document["sensors"]["gnss"]["latency_ms"] = {"mean": 0, "uncertainty": uncertainty_ms}
    return parse_spec(document)


@pytest.mark.parametrize(
    ("uncertainty_ms", "clock_se_ms", "outcome"),
    [
        (BOUND_MS, 0.0, Outcome.PASS),
        (BOUND_MS + 1, 0.0, Outcome.INCONCLUSIVE),
        (BOUND_MS - 20, 20 / Z * 0.999, Outcome.PASS),
        (BOUND_MS - 20, 20 / Z * 1.001, Outcome.INCONCLUSIVE),
        (0, 0.0, Outcome.INCONCLUSIVE),
    ],
)
def test_without_a_measured_lag_the_stated_uncertainty_may_pass_but_never_fail(uncertainty_ms, clock_se_ms, outcome):
    table = models(("drive-1", "gnss", None, None, clock_se_ms), ("drive-1", "imu", None, None, clock_se_ms))
    verdict = skewed(table, "drive-1", spec=stated(uncertainty_ms))
    assert verdict.outcome is outcome
    assert verdict.figures["measured"] == 0
    if uncertainty_ms == 0:
        assert "state latency_ms" in verdict.missing[0]


def test_a_measured_lag_counts_more_than_a_statement():
    table = models(("drive-1", "gnss", 20.0, 5.0, 1.0), ("drive-1", "imu", None, None, 1.0))
    assert skewed(table, "drive-1", spec=stated(BOUND_MS * 9)).outcome is Outcome.PASS


def test_a_drive_without_any_clock_model_is_inconclusive():
    assert skewed(CLOCK_MODELS.empty(), "drive-1").outcome is Outcome.INCONCLUSIVE


def test_a_failing_drive_fails_the_partition_whatever_the_others_say():
    table = models(
        ("a", "gnss", 10.0, 5.0, 1.0),
        ("b", "gnss", BOUND_MS * 1.0, 5.0, 1.0),
        ("c", "gnss", BOUND_MS * 2.0, 5.0, 1.0),
    )
    verdict = skewed(table, "a", "b", "c")
    assert verdict.outcome is Outcome.FAIL
    assert (verdict.figures["fail_drives"], verdict.figures["inconclusive_drives"]) == ("c", "b")
    assert verdict.figures["worst_drive"] == "c"
    assert skewed(table, "a", "b").outcome is Outcome.INCONCLUSIVE
    assert skewed(table, "a").outcome is Outcome.PASS


@pytest.mark.parametrize(("truth_ms", "wrong"), [(BOUND_MS + 1e-3, Outcome.PASS), (BOUND_MS - 1e-3, Outcome.FAIL)])
def test_the_skew_gate_errs_as_rarely_as_its_confidence_says(truth_ms, wrong):
    # At the bound itself, the worst place, each error is to have a probability of 2.5 %.
    rng = np.random.default_rng(17)
    outcomes = [
        skewed(models(("drive-1", "gnss", truth_ms + error, 30.0, 1.0)), "drive-1").outcome
        for error in rng.normal(0, 30.0, 1500)
    ]
    assert np.mean([one is wrong for one in outcomes]) == pytest.approx(0.025, abs=0.012)


@pytest.mark.slow
@pytest.mark.parametrize(("late_s", "wrong"), [(0.501, Outcome.PASS), (0.499, Outcome.FAIL)])
def test_the_skew_gate_errs_rarely_on_recordings_too(late_s, wrong):
    rng = np.random.default_rng(23)
    errors = 0
    for _ in range(150):
        wheels, gnss = every(50, 60), every(10, 60)
        start = rng.uniform(0, 2000) * S
        parts = (
            Part("wheels", "speed_mps", wheels, speed(wheels + start) + rng.normal(0, 0.05, len(wheels))),
            Part("gnss", "gnss_speed_mps", gnss, speed(gnss + start - late_s * S) + rng.normal(0, 0.3, len(gnss))),
        )
        recording = healthy(60).having(*parts)
        recording = type(recording)({key: recording.parts[key] for key in ROAD}, recording.drive)
        tables = align_drive(
            recording.samples,
            recording.sensor_streams,
            INTEGRITY_FINDINGS.empty(),
            SPEC,
            CANONICAL,
            recording.drive,
            SIGNALS_TABLE,
            policy=SYNC,
        )
        errors += skewed(tables["silver.clock_models"], "drive-1").outcome is wrong
    assert errors / 150 <= 0.07


ROAD = (
    ("wheels", "speed_mps", 0),
    ("gnss", "gnss_speed_mps", 0),
    ("gnss", "gnss_utc_offset_s", 0),
)


def test_a_drive_of_an_unknown_vehicle_is_inconclusive_and_says_what_to_do():
    table = models(("drive-1", "gnss", 1.0, 1.0, 1.0))
    for verdict in (
        covered(silver(FULL), "drive-1", specs={}),
        skew_verdict(table, drives("drive-1"), {}, SYNC, policy_digest=DIGEST),
    ):
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert any("'small_car'" in sentence and "policies" in sentence for sentence in verdict.missing)


def test_verdicts_depend_on_the_evidence_and_nothing_else():
    one, two = (covered(silver({**FULL, REQUIRED[0]: count}), "drive-1") for count in (900, 901))
    assert one.evidence_digest != two.evidence_digest
    assert one == covered(silver({**FULL, REQUIRED[0]: 900}), "drive-1")
