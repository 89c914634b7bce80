"""Resampling against loops that say what is meant, and against NumPy: four kinds, gaps, order, wrap-around."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_drive import (
    CANONICAL,
    MS,
    START_NS,
    S,
)

from fleet_assets.ingestion.sensor_sync_and_format_conversion.resample import (
    grid_instants,
    hold,
    in_order,
    interpolate,
    mean,
    nearest,
    resample,
)

GRID = CANONICAL.grid_ms * MS


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


@pytest.mark.parametrize("late_ms", [-50, -20, 0, 30, 49])
def test_a_position_far_from_others_counts_at_the_nearest_instant_and_nowhere_else(late_ms: int) -> None:
    """Receivers that tell a place every ten seconds or every minute seldom meet the grid."""
    latitude = CANONICAL.signals["lat_deg"]
    instants = np.arange(0, 600, dtype=np.int64) * 100_000_000
    times = np.array([100, 200, 500], dtype=np.int64) * 100_000_000 + late_ms * 1_000_000
    found = resample(latitude, instants, times, np.array([48.0, 48.1, 48.4]))
    assert np.flatnonzero(np.isfinite(found)).tolist() == [100, 200, 500]
    assert found[[100, 200, 500]].tolist() == [48.0, 48.1, 48.4]


def test_samples_at_the_edge_of_a_gap_are_joined_to_their_neighbours_as_ever() -> None:
    latitude = CANONICAL.signals["lat_deg"]
    instants = np.arange(0, 200, dtype=np.int64) * 100_000_000
    times = np.array([0, 1000, 2000, 12_030, 13_030], dtype=np.int64) * 1_000_000
    found = resample(latitude, instants, times, np.arange(5.0))
    assert np.flatnonzero(np.isfinite(found)).tolist() == [*range(21), *range(121, 131)]


@settings(max_examples=100, deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(1, 5000))
def test_grid_instants_are_all_the_multiples_from_start_to_end(start, end, spacing):
    expected = [one for one in range(min(start, end) - spacing, end + 1) if one % spacing == 0 and start <= one <= end]
    assert grid_instants(start, end, spacing).tolist() == expected if len(expected) < 2000 else True
