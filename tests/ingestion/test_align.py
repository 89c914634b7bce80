"""Alignment: values at grid instants against independent references, and what must never get into silver."""

import math
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
    SIGNALS_TABLE,
    SPEC,
    START_NS,
    SYNC,
    Part,
    S,
    cut,
    every,
    healthy,
    parse_spec,
    spec_document,
    speed,
)

from fleet_assets.ingestion.sensor_sync_and_format_conversion.align import align_drive
from fleet_assets.ingestion.sensor_sync_and_format_conversion.resample import (
    grid_instants,
    hold,
    in_order,
    interpolate,
    mean,
    nearest,
    resample,
)
from fleet_assets.tables.bronze import INTEGRITY_FINDINGS

GRID = CANONICAL.grid_ms * MS
HEALTHY = healthy()
NO_FINDINGS = INTEGRITY_FINDINGS.empty()


def align(recording, findings=NO_FINDINGS, spec=SPEC, samples=None):
    table = recording.samples if samples is None else samples
    return align_drive(
        table, recording.sensor_streams, findings, spec, CANONICAL, recording.drive, SIGNALS_TABLE, policy=SYNC
    )


def column(tables, name):
    """A column of the signals with NaN for null."""
    values = tables["silver.signals"][name].to_pylist()
    return np.array([math.nan if value is None else float(value) for value in values])


def instants(tables):
    return tables["silver.signals"]["t_ns"].to_numpy()


# Resampling, against loops that say what is meant


@st.composite
def sampled(draw, kind=float):
    """Grid of 100 ms over 3 s; up to 40 samples at whole milliseconds around it; a longest gap."""
    stamps = draw(st.lists(st.integers(-400, 3400), max_size=40, unique=True).map(sorted))
    values = draw(st.lists(st.integers(-50, 50), min_size=len(stamps), max_size=len(stamps)))
    gap_ms = draw(st.integers(1, 900))
    return (
        START_NS + np.arange(31) * GRID,
        START_NS + np.array(stamps, dtype=np.int64) * MS,
        np.array(values, dtype=kind),
        gap_ms * MS,
    )


def by_loop(kind, grid, t_ns, value, gap_ns):
    """Brute force of all four kinds, one instant at a time."""
    found = []
    samples = [(int(t), float(v)) for t, v in zip(t_ns, value, strict=True)]
    for instant in map(int, grid):
        before = [one for one in samples if one[0] <= instant]
        after = [one for one in samples if one[0] >= instant]
        cell = [v for t, v in samples if instant - GRID // 2 <= t < instant + GRID // 2]
        answer = math.nan
        if kind == "hold":
            if before and instant - before[-1][0] <= gap_ns:
                answer = before[-1][1]
        elif kind == "mean" and cell:
            answer = sum(cell) / len(cell)
        elif before and before[-1][0] == instant:
            answer = before[-1][1]
        elif before and after and after[0][0] - before[-1][0] <= gap_ns:
            (t0, v0), (t1, v1) = before[-1], after[0]
            if kind == "nearest":
                answer = v0 if instant - t0 <= t1 - instant else v1
            else:
                answer = v0 + (v1 - v0) * (instant - t0) / (t1 - t0)
        found.append(answer)
    return np.array(found)


@pytest.mark.parametrize("function", [interpolate, mean, nearest, hold])
@settings(max_examples=150, deadline=None)
@given(case=sampled())
def test_each_kind_does_what_it_says(function, case):
    grid, t_ns, value, gap_ns = case
    found = function(grid, t_ns, value, max_gap_ns=gap_ns)
    np.testing.assert_allclose(found, by_loop(function.__name__, grid, t_ns, value, gap_ns), rtol=0, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(sampled())
def test_interpolation_over_any_gap_is_that_of_numpy(case):
    grid, t_ns, value, _ = case
    if len(t_ns) < 2:
        return
    found = interpolate(grid, t_ns, value, max_gap_ns=10**18)
    inside = (grid >= t_ns[0]) & (grid <= t_ns[-1])
    # numpy calculates in floats, which hold nanoseconds since 1970 to 256 ns only.
    expected = np.interp(grid[inside] - START_NS, t_ns - START_NS, value)
    np.testing.assert_allclose(found[inside], expected, atol=1e-9)
    assert np.isnan(found[~inside]).all()


@pytest.mark.parametrize("function", [interpolate, nearest, mean])
@pytest.mark.parametrize(("extra", "known"), [(0, True), (1, False)])
def test_a_gap_of_the_longest_length_is_crossed_and_a_longer_one_is_not(function, extra, known):
    grid = START_NS + np.arange(11) * GRID
    t_ns = START_NS + np.array([60 * MS, 60 * MS + 500 * MS + extra])
    found = function(grid, t_ns, np.array([1.0, 2.0]), max_gap_ns=500 * MS)
    assert np.isfinite(found[2:5]).all() == known
    assert np.isfinite(found[2:5]).any() == known


@pytest.mark.parametrize(("late", "known"), [(0, True), (-1, False)])
def test_a_held_value_is_as_old_as_allowed_and_no_older(late, known):
    grid = START_NS + np.arange(11) * GRID
    found = hold(grid, np.array([START_NS + late]), np.array([1.0]), max_gap_ns=1000 * MS)
    assert np.isfinite(found[10]) == known
    assert np.isfinite(found[:10]).all()


def test_two_instants_have_cells_to_average_in_and_one_has_none():
    t_ns, value = START_NS + np.array([-20 * MS, 20 * MS, 120 * MS]), np.array([1.0, 3.0, 7.0])
    grid = START_NS + np.arange(2) * GRID
    np.testing.assert_array_equal(mean(grid, t_ns, value + [0, 2, 0], max_gap_ns=S), [3.0, 7.0])
    np.testing.assert_array_equal(mean(grid[:1], t_ns, value, max_gap_ns=S), [2.0])


@settings(max_examples=60, deadline=None)
@given(sampled(), st.integers(0, 30))
def test_no_later_sample_changes_a_held_value(case, instant):
    grid, t_ns, value, gap_ns = case
    early = t_ns <= grid[instant]
    whole = hold(grid, t_ns, value, max_gap_ns=gap_ns)
    np.testing.assert_array_equal(
        hold(grid, t_ns[early], value[early], max_gap_ns=gap_ns)[: instant + 1], whole[: instant + 1]
    )


@pytest.mark.parametrize("kind", ["interpolate", "mean", "nearest", "hold"])
@settings(max_examples=60, deadline=None)
@given(case=sampled(), cells=st.integers(-10000, 10000))
def test_shifting_all_times_by_whole_cells_shifts_the_output(kind, case, cells):
    grid, t_ns, value, gap_ns = case
    signal = replace(CANONICAL.signals["speed_mps"], resample=kind, max_gap_s=gap_ns / S)
    shift = cells * GRID
    np.testing.assert_array_equal(
        resample(signal, grid + shift, t_ns + shift, value), resample(signal, grid, t_ns, value)
    )


@pytest.mark.parametrize("kind", ["interpolate", "mean", "nearest", "hold"])
@settings(max_examples=60, deadline=None)
@given(case=sampled(), seed=st.integers(0, 2**31))
def test_resampling_does_not_depend_on_the_order_of_the_samples(kind, case, seed):
    grid, t_ns, value, gap_ns = case
    signal = replace(CANONICAL.signals["speed_mps"], resample=kind, max_gap_s=gap_ns / S)
    t_ns, value = np.repeat(t_ns, 2), np.repeat(value, 2) + np.tile([0.0, 1.0], len(value))
    order = np.random.default_rng(seed).permutation(len(t_ns))
    np.testing.assert_array_equal(
        resample(signal, grid, t_ns[order], value[order]), resample(signal, grid, t_ns, value)
    )


def test_of_equal_stamps_the_largest_value_counts():
    t_ns, value = in_order(np.array([5, 3, 5, 3, 5]), np.array([1.0, 9.0, 4.0, 2.0, 3.0]))
    assert (t_ns.tolist(), value.tolist()) == ([3, 5], [9.0, 4.0])


@pytest.mark.parametrize("kind", ["interpolate", "mean", "nearest", "hold"])
@settings(max_examples=80, deadline=None)
@given(start=st.floats(0, 360, exclude_max=True), steps=st.lists(st.floats(-170, 170), min_size=1, max_size=30))
def test_a_heading_never_goes_the_long_way_round(kind, start, steps):
    signal = replace(CANONICAL.signals["heading_deg"], resample=kind)
    turned = start + np.concatenate(([0.0], np.cumsum(steps)))
    t_ns = START_NS + np.arange(len(turned)) * 130 * MS
    grid = START_NS + np.arange(40) * GRID
    straight = replace(signal, circular_period=None, range=None)
    found, expected = resample(signal, grid, t_ns, np.mod(turned, 360)), resample(straight, grid, t_ns, turned)
    assert (np.isnan(found) == np.isnan(expected)).all()
    known = ~np.isnan(found)
    assert ((found[known] >= 0) & (found[known] < 360)).all()
    assert np.abs((found[known] - expected[known] + 180) % 360 - 180).max(initial=0) < 1e-6


def test_longitudes_meet_at_the_date_line():
    signal = CANONICAL.signals["lon_deg"]
    grid = START_NS + np.arange(11) * GRID
    found = resample(signal, grid, START_NS + np.array([0, S]), np.array([179.9, -179.9]))
    assert found[2] == pytest.approx(179.94)
    assert found[8] == pytest.approx(-179.94)
    far = resample(signal, grid, START_NS + np.array([0, S]), np.array([-122.4723, -122.4723]))
    assert (far == -122.4723).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(1, 5000))
def test_grid_instants_are_all_the_multiples_from_start_to_end(start, end, spacing):
    expected = [one for one in range(min(start, end) - spacing, end + 1) if one % spacing == 0 and start <= one <= end]
    assert grid_instants(start, end, spacing).tolist() == expected if len(expected) < 2000 else True


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


# Radar


def track(instance, t_ns, distance, lateral=0.0, rel_speed=0.0):
    shape = np.zeros(len(t_ns))
    named = {
        "track_distance_m": distance,
        "track_lateral_m": lateral,
        "track_rel_speed_mps": rel_speed,
    }
    return [Part("radar", name, t_ns, shape + value, instance=instance) for name, value in named.items()]


def without_radar():
    parts = {key: part for key, part in HEALTHY.parts.items() if key[0] != "radar"}
    return replace(HEALTHY, parts=parts)


def test_radar_tracks_keep_their_own_rate_and_come_with_clip_and_slot():
    rows = align(HEALTHY)["silver.radar_tracks"].to_pylist()
    assert len(rows) == 2 * 601
    assert {(row["track"], row["distance_m"], row["lateral_m"], row["rel_speed_mps"]) for row in rows} == {
        (0, 30.0, 0.0, -1.0),
        (1, 40.0, 0.5, -1.0),
    }
    assert {row["clip_id"] for row in rows} == {"drive-1-0000", "drive-1-0001"}


def test_a_track_row_holds_what_is_known_at_its_time():
    parts = [part for part in track(0, every(20, 30), 20.0) if part.signal != "track_lateral_m"]
    rows = align(without_radar().having(*parts))["silver.radar_tracks"].to_pylist()
    assert {(row["distance_m"], row["lateral_m"], row["rel_speed_mps"]) for row in rows} == {(20.0, None, 0.0)}


def test_the_nearest_object_in_the_corridor_leads():
    half = CANONICAL.lead.corridor_half_width_m
    t_ns = every(20, 30)
    beside, edge, far = (
        track(0, t_ns, 10.0, np.nextafter(half, 9), 1),
        track(1, t_ns, 20.0, -half, 2),
        track(2, t_ns, 30.0, 0, 3),
    )
    tables = align(without_radar().having(*beside, *edge, *far))
    assert (column(tables, "lead_distance_m") == 20.0).all()
    assert (column(tables, "lead_rel_speed_mps") == 2.0).all()
    tables = align(without_radar().having(*beside, *far))
    assert (column(tables, "lead_distance_m") == 30.0).all()
    assert np.isnan(column(align(without_radar().having(*beside)), "lead_distance_m")).all()


@pytest.mark.parametrize(("extra", "known"), [(0, True), (1, False)])
def test_an_object_leads_no_longer_than_its_greatest_age(extra, known):
    oldest = round(CANONICAL.lead.max_age_s * S)
    seen = np.array([START_NS + 10 * S - oldest - extra])
    found = column(align(without_radar().having(*track(0, seen, 20.0))), "lead_distance_m")
    assert np.isfinite(found[100]) == known


def lead_of(*parts, name="lead_distance_m"):
    return column(align(without_radar().having(*parts)), name)


@pytest.mark.parametrize("side", [0, 1])
def test_an_object_at_the_bound_of_what_can_be_ahead_leads(side):
    bound = CANONICAL.signals["lead_distance_m"].range[side]
    beyond = np.nextafter(bound, np.inf if side else -np.inf)
    assert (lead_of(*track(0, every(20, 30), bound)) == bound).all()
    assert np.isnan(lead_of(*track(0, every(20, 30), beyond))).all()


def test_of_two_equally_near_samples_the_earlier_and_of_two_objects_the_lower_slot_counts():
    around = START_NS + 10 * S + np.array([-50 * MS, 50 * MS])
    assert lead_of(*track(0, around, np.array([20.0, 30.0])))[100] == 20.0
    twins = (*track(0, every(20, 30), 20.0, rel_speed=1.0), *track(1, every(20, 30), 20.0, rel_speed=2.0))
    assert (lead_of(*twins, name="lead_rel_speed_mps") == 1.0).all()


def test_a_sample_without_a_lateral_offset_does_not_hide_one_that_has_it():
    distance, lateral, rel_speed = track(0, every(20, 30), 20.0)
    between = lateral.without(np.arange(601) % 2 == 1)
    assert (lead_of(distance, between, rel_speed) == 20.0).all()


def test_track_rows_lie_inside_the_clips_from_the_first_instant_to_the_end_of_the_last_cell():
    recording = without_radar().having(*track(0, every(20, 30), 20.0))
    tables = align(recording.lasting(start_ns=START_NS + 130 * MS, end_ns=START_NS + 29_730 * MS))
    t_ns = tables["silver.radar_tracks"]["t_ns"].to_numpy()
    assert (t_ns == START_NS + np.arange(200, 29_800, 50) * MS).all()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 3000), st.integers(-5, 310), st.integers(-4, 4), st.integers(-9, 9)
        ),
        max_size=60,
        unique_by=lambda row: row[:2],
    )
)
def test_the_lead_vehicle_is_that_of_the_rule(objects):
    parts = []
    for instance in range(4):
        mine = sorted(row[1:] for row in objects if row[0] == instance)
        if mine:
            t_ms, distance, lateral, rel_speed = (np.array(one) for one in zip(*mine, strict=True))
            parts += track(instance, START_NS + t_ms * MS, distance, lateral, rel_speed)
    recording = without_radar().having(*parts).lasting(end_ns=START_NS + 3 * S)
    tables = align(recording)
    distance, rel_speed = column(tables, "lead_distance_m"), column(tables, "lead_rel_speed_mps")
    rule, (low, high) = CANONICAL.lead, CANONICAL.signals["lead_distance_m"].range
    for index in range(31):
        best = None
        for instance in range(4):
            mine = [row[1:] for row in objects if row[0] == instance]
            if not mine:
                continue
            t_ms, ahead, beside, closing = min(mine, key=lambda row: (abs(row[0] - index * 100), row[0]))
            near = abs(t_ms - index * 100) <= rule.max_age_s * 1000 and abs(beside) <= rule.corridor_half_width_m
            if near and low <= ahead <= high and (best is None or ahead < best[0]):
                best = (ahead, closing)
        if best is None:
            assert np.isnan(distance[index])
            assert np.isnan(rel_speed[index])
        else:
            assert (distance[index], rel_speed[index]) == best


# Clips


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 95 * S))
def test_clips_tile_the_grid_of_a_drive(start, duration):
    recording = without_radar().lasting(start_ns=START_NS + start, end_ns=START_NS + start + duration)
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
