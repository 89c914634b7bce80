"""Measured skew: a known lag comes back with an honest standard error, or nothing is said."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from synthetic_drive import MS, START_NS, SYNC, S, speed

from fleet_assets.ingestion.sensor_sync_and_format_conversion.skew import measure_lag

POLICY = SYNC["skew"]
Z = 1.959964


def two_sensors(lag_s, *, duration_s=60.0, rates=(50.0, 10.0), noise=(0.02, 0.05), seed=0, truth=speed):
    """The same quantity twice; the second sensor's message comes `lag_s` after what it speaks of."""
    rng = np.random.default_rng(seed)
    series = []
    for rate, sd, late_s in zip(rates, noise, (0.0, lag_s), strict=True):
        t_ns = START_NS + np.rint(np.arange(0, duration_s, 1 / rate) * S).astype(np.int64)
        series.append((t_ns, truth(t_ns - round(late_s * S)) + rng.normal(0, sd, len(t_ns))))
    return series


def lag_of(series, max_gap_s=2.5, **policy):
    return measure_lag(*series, max_gap_s=max_gap_s, policy={**POLICY, **policy})


@pytest.mark.parametrize("lag_s", [-0.6, -0.033, 0.0, 0.17, 1.1])
def test_a_known_lag_comes_back_and_a_late_second_sensor_is_positive(lag_s):
    found = lag_of(two_sensors(lag_s))
    assert found.lag_ns == pytest.approx(lag_s * S, abs=15 * MS)
    assert abs(found.lag_ns - lag_s * S) <= 3.5 * found.se_ns
    assert found.correlation > 0.9


def test_noiseless_signals_give_the_lag_below_the_spacing_of_the_search():
    found = lag_of(two_sensors(0.0731, rates=(100.0, 100.0), noise=(0, 0)))
    assert found.lag_ns == pytest.approx(73.1 * MS, abs=1 * MS)


@settings(max_examples=15, deadline=None)
@given(st.floats(-0.8, 0.8), st.integers(0, 1000))
def test_swapping_the_sensors_turns_the_lag_round(lag_s, seed):
    series = two_sensors(lag_s, seed=seed)
    one, two = lag_of(series), lag_of(series[::-1])
    assert two.lag_ns == pytest.approx(-one.lag_ns, abs=12 * MS)


@settings(max_examples=10, deadline=None)
@given(st.integers(-(10**6), 10**6), st.floats(-50, 50))
def test_neither_the_date_nor_a_constant_matters(cells, constant):
    series = two_sensors(0.2)
    shift = cells * POLICY["step_ms"] * MS
    moved = [(t_ns + shift, value + constant) for t_ns, value in series]
    assert lag_of(moved).lag_ns == pytest.approx(lag_of(series).lag_ns, abs=1000)


def test_a_slow_difference_between_the_sensors_does_not_matter():
    first, (t_ns, value) = two_sensors(0.2)
    sloping = value + 2.0 * (t_ns - START_NS) / S
    assert lag_of([first, (t_ns, sloping)]).lag_ns == pytest.approx(200 * MS, abs=15 * MS)


def test_lag_and_standard_error_are_those_of_the_formulas():
    step_s, over, reach, blocks = POLICY["step_ms"] / 1000, 50, 100, POLICY["blocks"]
    assert (over * step_s, reach * step_s) == (POLICY["derivative_s"], POLICY["max_lag_s"])
    series = two_sensors(0.123, noise=(0.1, 0.4), rates=(50.0, 50.0))
    a, b = (value[over:] - value[:-over] for _, value in series)
    a, b = a - a.mean(), b - b.mean()
    inner = np.arange(reach, len(a) - reach)
    owner = np.searchsorted(np.arange(blocks) * len(inner) // blocks, np.arange(len(inner)), side="right") - 1

    def place(kept):
        lags = np.arange(-reach, reach + 1)
        now = [(a[inner[kept]], b[inner[kept] + lag]) for lag in lags]
        found = np.array([(x @ y) / math.sqrt((x @ x) * (y @ y)) for x, y in now])
        top = int(found.argmax())
        return np.polynomial.Polynomial.fit([-1, 0, 1], found[top - 1 : top + 2], 2).deriv().roots()[0] + top - reach

    parts = np.array([place(owner != block) for block in range(blocks)])
    spread = math.sqrt((blocks - 1) / blocks * ((parts - parts.mean()) ** 2).sum())
    found = lag_of(series)
    assert found.lag_ns == pytest.approx(place(owner >= 0) * step_s * S, abs=1000)
    assert found.se_ns == pytest.approx(
        spread * step_s * S * stats.t.ppf(0.975, blocks - 1) / stats.norm.ppf(0.975), rel=1e-3
    )


def coverage(drives, seed):
    rng = np.random.default_rng(seed)
    hits, told = 0, 0
    for _ in range(drives):
        phases, lag_s = rng.uniform(0, 2 * math.pi, 12), rng.uniform(-0.3, 0.5)
        frequencies, heights = rng.uniform(0.05, 0.5, 12), rng.uniform(0.2, 1.0, 12)

        def truth(t_ns, phases=phases, frequencies=frequencies, heights=heights):
            seconds = np.asarray(t_ns - START_NS)[:, None] / S
            return (heights * np.sin(2 * math.pi * frequencies * seconds + phases)).sum(axis=1)

        series = two_sensors(
            lag_s, duration_s=60, rates=(20.0, 5.0), noise=(0.05, 0.4), seed=int(rng.integers(2**31)), truth=truth
        )
        found = lag_of(series)
        if found is not None:
            told += 1
            hits += abs(found.lag_ns - lag_s * S) <= Z * found.se_ns
    return hits / told, told / drives


def test_the_standard_error_covers_the_truth():
    share, told = coverage(80, 3)
    assert told > 0.9
    assert share >= 0.87


@pytest.mark.slow
def test_the_standard_error_covers_the_truth_in_95_of_100_drives():
    share, told = coverage(500, 4)
    assert told > 0.9
    assert 0.93 <= share <= 0.98


def test_a_steady_drive_says_nothing():
    assert lag_of(two_sensors(0.1, truth=lambda t_ns: np.full(len(t_ns), 20.0))) is None


def test_sensors_that_measure_different_things_say_nothing():
    first, _ = two_sensors(0.0)
    _, second = two_sensors(0.0, truth=lambda t_ns: speed(2 * t_ns - START_NS), seed=1)
    assert lag_of([first, second]) is None


def test_a_lag_beyond_the_search_is_not_guessed():
    assert lag_of(two_sensors(POLICY["max_lag_s"] + 0.5)) is None


def test_too_short_a_common_stretch_says_nothing():
    shortest = POLICY["min_overlap_s"]
    for step_ns, told in ((0, True), (1, False)):
        first, second = two_sensors(0.1, duration_s=shortest + 10)
        kept = first[0] <= START_NS + shortest * S
        ends = np.append(first[0][kept][:-1], START_NS + shortest * S - step_ns)
        assert (lag_of([(ends, first[1][kept]), second], min_correlation=0, max_se_ms=1e9) is not None) is told
    assert lag_of([(np.empty(0, np.int64), np.empty(0)), second]) is None


def test_a_lag_less_certain_than_the_policy_asks_is_not_told():
    series = two_sensors(0.1)
    found = lag_of(series)
    assert lag_of(series, max_se_ms=found.se_ns / MS * 1.001) is not None
    assert lag_of(series, max_se_ms=found.se_ns / MS * 0.999) is None


def test_a_correlation_below_the_policys_is_not_told():
    series = two_sensors(0.1)
    assert lag_of(series, min_correlation=lag_of(series).correlation - 1e-5) is not None
    assert lag_of(series, min_correlation=lag_of(series).correlation + 1e-5) is None


def test_gaps_are_left_out_and_not_bridged():
    first, (t_ns, value) = two_sensors(0.17)
    wild = value.copy()
    wild[200:300] = 1000.0
    kept = np.ones(len(t_ns), dtype=bool)
    kept[200:300] = False
    found = lag_of([first, (t_ns[kept], wild[kept])])
    assert found.lag_ns == pytest.approx(0.17 * S, abs=20 * MS)
