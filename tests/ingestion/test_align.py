"""Alignment of whole drives: known truth at grid instants, clips, and what must never get into silver."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_drive import (
    CANONICAL,
    KEYS,
    MS,
    SPEC,
    START_NS,
    SYNC,
    Part,
    S,
    align,
    column,
    cut,
    every,
    healthy,
    instants,
    parse_spec,
    spec_document,
    speed,
)

GRID = CANONICAL.grid_ms * MS
HEALTHY = healthy()


# A whole drive


def test_a_healthy_drive_comes_out_as_its_truth():
    tables = align(HEALTHY)
    t_ns = instants(tables)
    assert (t_ns == START_NS + np.arange(301) * GRID).all()
    np.testing.assert_allclose(column(tables, "speed_mps"), speed(t_ns), atol=0.01)
    seconds = (t_ns - START_NS) / S
    np.testing.assert_allclose(column(tables, "heading_deg"), np.mod(350 + seconds, 360), atol=1e-9)
    # The cells of the first and the last instant are half empty.
    np.testing.assert_allclose(column(tables, "accel_long_mps2")[1:-1], np.sin(seconds)[1:-1], atol=0.01)
    pedal = HEALTHY.part("pedals", "brake_pressed")
    assert (column(tables, "brake_pressed") == pedal.value).all()
    assert tables["silver.signals"].schema.field("brake_pressed").type == pa.bool_()


def test_signals_that_the_car_has_no_sensor_for_are_null():
    tables = align(HEALTHY)
    given_signals = {name for sensor in SPEC.sensors.values() for name in sensor.signals}
    derived = {CANONICAL.lead.distance_column, CANONICAL.lead.rel_speed_column}
    for signal in CANONICAL.on_grid:
        missing = tables["silver.signals"][signal.name].null_count == 301
        assert missing == (signal.name not in given_signals | derived)


def test_a_clock_that_is_off_and_drifts_puts_every_sensor_where_it_belongs():
    offset_s, drift_ppm = 0.73, 60.0

    def stamps(t_ns):
        return t_ns - np.rint((offset_s + drift_ppm * 1e-6 * (t_ns - START_NS) / S) * S).astype(np.int64)

    def change(part):
        moved = stamps(part.t_ns)
        value = (part.t_ns - moved) / S if part.signal == "gnss_utc_offset_s" else part.value
        return Part(part.sensor, part.signal, moved, value, instance=part.instance)

    true = healthy(300)
    ends = stamps(np.array([true.drive["start_ns"], true.drive["end_ns"]]))
    tables = align(true.mapped(change).lasting(start_ns=int(ends[0]), end_ns=int(ends[1])))
    t_ns = instants(tables)
    assert abs(int(t_ns[0]) - START_NS) <= GRID
    assert abs(int(t_ns[-1]) - START_NS - 300 * S) <= GRID
    known = ~np.isnan(column(tables, "speed_mps"))
    assert known.mean() > 0.99
    np.testing.assert_allclose(column(tables, "speed_mps")[known], speed(t_ns[known]), atol=0.01)
    model = tables["silver.clock_models"].to_pylist()
    assert {row["sensor"] for row in model} == SPEC.sensors.keys()
    assert all(row["drift_ppm"] == pytest.approx(drift_ppm, abs=0.1) for row in model)


def test_a_leap_of_the_clock_leaves_no_hole_in_silver():
    at_ns, by_ns = START_NS + 30 * S + S // 2, 600 * S

    def change(part):
        later = part.t_ns >= at_ns
        value = part.value - 600.0 * later if part.signal == "gnss_utc_offset_s" else part.value
        return Part(part.sensor, part.signal, part.t_ns + by_ns * later, value, instance=part.instance)

    recording = healthy(60).mapped(change).lasting(end_ns=START_NS + 660 * S)
    tables = align(recording)
    t_ns = instants(tables)
    assert t_ns[-1] == START_NS + 60 * S
    np.testing.assert_allclose(column(tables, "speed_mps"), speed(t_ns), atol=0.01)


def test_a_lagging_sensor_is_measured_and_stands_in_its_clock_model():
    gnss = every(10, 60)
    late = Part("gnss", "gnss_speed_mps", gnss, speed(gnss - 200 * MS))
    rows = {row["sensor"]: row for row in align(healthy(60).having(late))["silver.clock_models"].to_pylist()}
    assert rows["gnss"]["skew_ns"] == pytest.approx(200 * MS, abs=20 * MS)
    assert rows["gnss"]["skew_se_ns"] is not None
    assert rows["wheels"]["skew_ns"] is None


def test_the_order_of_the_rows_does_not_matter():
    samples = HEALTHY.samples
    shuffled = samples.take(pa.array(np.random.default_rng(0).permutation(samples.num_rows)))
    for name, table in align(HEALTHY).items():
        assert align(HEALTHY, samples=shuffled)[name].equals(table)


def test_shifting_a_drive_by_whole_cells_shifts_silver():
    cells = 12_345
    moved = HEALTHY.mapped(lambda part: replace(part, t_ns=part.t_ns + cells * GRID)).lasting(
        start_ns=START_NS + cells * GRID, end_ns=START_NS + cells * GRID + 30 * S
    )
    one, two = align(HEALTHY)["silver.signals"], align(moved)["silver.signals"]
    assert (two["t_ns"].to_numpy() - one["t_ns"].to_numpy() == cells * GRID).all()
    assert two.drop_columns(["t_ns"]).equals(one.drop_columns(["t_ns"]))


def test_a_drive_between_two_instants_has_no_row_anywhere():
    recording = HEALTHY.lasting(start_ns=START_NS + 10 * MS, end_ns=START_NS + 90 * MS)
    tables = align(recording)
    assert {name: tables[name].num_rows for name in ("silver.signals", "silver.clips", "silver.radar_tracks")} == {
        "silver.signals": 0,
        "silver.clips": 0,
        "silver.radar_tracks": 0,
    }


def test_a_drive_without_any_sample_has_a_grid_of_nulls():
    nothing = HEALTHY.mapped(lambda part: part.without(slice(0, 0)))
    table = align(nothing)["silver.signals"]
    assert table.num_rows == 301
    assert all(table[signal.name].null_count == 301 for signal in CANONICAL.on_grid)


# What must never get into silver

SENTINEL = 24.875


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2950), st.integers(0, 400), st.booleans())
def test_no_value_of_a_cut_stretch_reaches_silver(first, length, whole_sensor):
    imu = HEALTHY.part("imu", "accel_long_mps2")
    last = min(first + length, len(imu.t_ns) - 1)
    findings = cut("imu", imu.t_ns[first], imu.t_ns[last], None if whole_sensor else "accel_long_mps2")
    kept = np.ones(len(imu.t_ns), dtype=bool)
    kept[first : last + 1] = False
    poisoned = align(HEALTHY.having(imu.put(slice(first, last + 1), SENTINEL)), findings)
    removed = HEALTHY.having(imu.without(kept))
    np.testing.assert_array_equal(column(poisoned, "accel_long_mps2"), column(align(removed), "accel_long_mps2"))
    assert np.nanmax(column(poisoned, "accel_long_mps2")) <= 1.0


@pytest.mark.parametrize("end", ["t_ns", "end_ns"])
def test_the_ends_of_a_cut_stretch_are_cut_and_their_neighbours_are_not(end):
    imu = HEALTHY.part("imu", "accel_long_mps2")
    spikes = imu.put(1500, 24.0)
    t = int(imu.t_ns[1500])
    between = {"t_ns": (t, t + 5), "end_ns": (t - 5, t)}[end]
    beside = {"t_ns": (t + 1, t + 5), "end_ns": (t - 5, t - 1)}[end]
    assert np.nanmax(column(align(HEALTHY.having(spikes), cut("imu", *between)), "accel_long_mps2")) <= 1.0
    assert np.nanmax(column(align(HEALTHY.having(spikes), cut("imu", *beside)), "accel_long_mps2")) > 2.0


def test_a_cut_of_another_signal_instance_sensor_drive_or_severity_cuts_nothing():
    t = START_NS + 15 * S
    expected = align(HEALTHY)["silver.signals"]
    other = cut("imu", t, t + S, "accel_long_mps2")
    for findings in (
        cut("imu", t, t + S, "accel_lat_mps2"),
        cut("wheels", t, t + S, "accel_long_mps2"),
        cut("imu", t, t + S, "accel_long_mps2", 3),
        other.set_column(0, "drive_id", pa.array(["drive-2"])),
        other.set_column(other.column_names.index("severity"), "severity", pa.array(["note"])),
    ):
        assert align(HEALTHY, findings)["silver.signals"].equals(expected)
    assert not align(HEALTHY, other)["silver.signals"].equals(expected)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=200))
def test_no_sample_that_its_sensor_does_not_vouch_for_reaches_silver(indices):
    imu = HEALTHY.part("imu", "accel_long_mps2")
    poisoned = imu.put(np.array(indices, dtype=int), SENTINEL).flagged(np.array(indices, dtype=int))
    kept = np.ones(len(imu.t_ns), dtype=bool)
    kept[indices] = False
    expected = align(HEALTHY.having(imu.without(kept)))
    np.testing.assert_array_equal(
        column(align(HEALTHY.having(poisoned)), "accel_long_mps2"), column(expected, "accel_long_mps2")
    )


def test_a_long_gap_stays_empty_for_every_kind_of_signal():
    first, last = START_NS + 10 * S, START_NS + 20 * S
    hole = HEALTHY.mapped(lambda part: part.without((part.t_ns <= first) | (part.t_ns >= last)))
    tables = align(hole)
    t_ns = instants(tables)
    inside = (t_ns > first) & (t_ns < last)
    for name in ("speed_mps", "accel_long_mps2", "heading_deg", "lat_deg"):
        assert np.isnan(column(tables, name)[inside]).all()
        assert np.isfinite(column(tables, name)[~inside]).all()
    oldest = CANONICAL.signals["brake_pressed"].max_gap_s * S
    held = (t_ns > first) & (t_ns <= first + oldest)
    np.testing.assert_array_equal(np.isfinite(column(tables, "brake_pressed")), ~inside | held)


# Two sensors for one signal


def test_the_sensor_that_the_spec_names_first_has_priority_and_the_other_fills():
    from dataclasses import replace as with_

    second = with_(SPEC.sensors["wheels"], name="backup")
    for order in (("wheels", "backup"), ("backup", "wheels")):
        sensors = {**SPEC.sensors, "backup": second}
        ordered = {name: sensors[name] for name in (*order, *(set(SPEC.sensors) - {"wheels"}))}
        spec = with_(SPEC, sensors=ordered)
        t_ns = every(50, 30)
        half = Part("wheels", "speed_mps", t_ns[t_ns <= START_NS + 15 * S], speed(t_ns[t_ns <= START_NS + 15 * S]))
        other = Part("backup", "speed_mps", t_ns, np.full(len(t_ns), 7.0))
        found = column(align(HEALTHY.having(half, other), spec=spec), "speed_mps")
        grid = START_NS + np.arange(301) * GRID
        expected = np.full(301, 7.0)
        if order[0] == "wheels":
            expected[:151] = speed(grid[:151])
        np.testing.assert_allclose(found, expected, atol=0.01)


# Clips


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 95 * S))
def test_clips_tile_the_grid_of_a_drive(start, duration):
    recording = HEALTHY.lasting(start_ns=START_NS + start, end_ns=START_NS + start + duration)
    tables = align(recording)
    clips, t_ns = tables["silver.clips"].to_pylist(), instants(tables)
    if not len(t_ns):
        assert clips == []
        return
    assert clips[0]["start_ns"] == t_ns[0]
    assert clips[-1]["end_ns"] == t_ns[-1] + GRID
    length = SYNC["clip_s"] * S
    assert all(clip["end_ns"] - clip["start_ns"] == length for clip in clips[:-1])
    assert 0 < clips[-1]["end_ns"] - clips[-1]["start_ns"] <= length
    assert all(one["end_ns"] == two["start_ns"] for one, two in zip(clips, clips[1:], strict=False))
    assert [clip["clip_id"] for clip in clips] == [f"{KEYS['drive_id']}-{index:04d}" for index in range(len(clips))]
    spans = {clip["clip_id"]: (clip["start_ns"], clip["end_ns"]) for clip in clips}
    for row in tables["silver.signals"].select(["clip_id", "t_ns"]).to_pylist():
        first, end = spans[row["clip_id"]]
        assert first <= row["t_ns"] < end


def test_a_car_with_other_sensors_needs_no_other_code():
    document = spec_document()
    document["sensors"] = {"odometer": {**document["sensors"]["wheels"], "required": True}}
    document |= {"clock": {"utc_from": []}, "redundant_pairs": []}
    t_ns = every(50, 30)
    recording = replace(HEALTHY, parts={}).having(Part("odometer", "speed_mps", t_ns, speed(t_ns)))
    tables = align(recording.lasting(time_source="container"), spec=parse_spec(document))
    np.testing.assert_allclose(column(tables, "speed_mps"), speed(instants(tables)), atol=0.01)
    [row] = tables["silver.clock_models"].to_pylist()
    assert (row["sensor"], row["source"], row["offset_se_ns"]) == ("odometer", "container", None)


def test_a_vehicle_that_only_looks_has_clips_and_no_rows_of_signals():
    document = spec_document()
    document["sensors"] = {
        name: {**body, "kind": "camera", "signals": {}} for name, body in list(document["sensors"].items())[:1]
    }
    document["redundant_pairs"] = []
    document["clock"]["utc_from"] = []
    document.pop("frames", None)
    tables = align(HEALTHY, spec=parse_spec(document))
    assert tables["silver.signals"].num_rows == 0
    assert tables["silver.clips"].num_rows > 0
