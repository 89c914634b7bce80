"""Clock models: known truth comes back, standard errors cover it, jumps are found to the pair."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from synthetic_drive import CANONICAL, MS, SPEC, START_NS, SYNC, Part, S, every, healthy, parse_spec, spec_document

from fleet_assets.ingestion.sensor_series import split_series
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_jumps import Jump, makes_jump, split_at_jumps
from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import (
    ClockBounds,
    ClockSegment,
    TimePairs,
    _variance_under_autoregression,
    correct,
    fit_clock,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.sensor_clocks import drive_clocks

BOUNDS = ClockBounds.from_policy(SYNC)
UNSHRUNK = ClockBounds(BOUNDS.min_jump_s, math.inf, BOUNDS.outlier_mads)
Z = 1.959964


def pairs_of(seconds, offset_s) -> TimePairs:
    t_ns = START_NS + np.rint(np.asarray(seconds) * S).astype(np.int64)
    return TimePairs(t_ns, np.rint(np.asarray(offset_s) * S).astype(np.int64))


def autoregressive(rng, n, rho, sd):
    noise = rng.normal(0, sd, n)
    for index in range(1, n):
        noise[index] = rho * noise[index - 1] + math.sqrt(1 - rho**2) * noise[index]
    return noise


def fit(pairs, bounds=BOUNDS):
    return fit_clock(pairs, bounds, start_ns=int(pairs.t_ns.min()))


# The line


@pytest.mark.parametrize("drift_ppm", [-100.0, 0.0, 37.5])
def test_a_clock_without_noise_is_corrected_to_the_microsecond(drift_ppm):
    seconds = np.arange(0, 300, 0.97)
    truth_s = 1.25 + drift_ppm * 1e-6 * seconds
    pairs = pairs_of(seconds, truth_s)
    segment = fit(pairs)
    assert segment.drift_ppm == pytest.approx(drift_ppm, abs=0.01)
    assert np.abs(correct(pairs.t_ns, [segment]) - pairs.utc_ns).max() < 1000
    assert (segment.samples, segment.jump_ns) == (len(pairs), 0)


def test_the_offset_holds_at_the_mean_time_stamp():
    seconds = np.array([0.0, 10.0, 20.0, 90.0])
    segment = fit(pairs_of(seconds, 0.5 + 1e-5 * seconds), UNSHRUNK)
    assert segment.reference_ns == START_NS + 30 * S
    assert segment.offset_ns == round(0.5 * S + 1e-5 * 30 * S)


def test_the_fit_is_least_squares_of_the_pairs_near_the_line():
    rng = np.random.default_rng(3)
    seconds = np.sort(rng.uniform(0, 200, 150))
    offset = 0.3 + 40e-6 * seconds + rng.normal(0, 0.02, 150)
    segment = fit(pairs_of(seconds, offset), UNSHRUNK)
    slope, level = np.polyfit(seconds - seconds.mean(), offset, 1)
    assert segment.drift_ppm == pytest.approx(slope * 1e6, rel=1e-4)
    assert segment.offset_ns == pytest.approx(level * S, abs=10)


@settings(max_examples=40, deadline=None)
@given(st.integers(-(10**17), 10**17), st.integers(-(10**12), 10**12), st.integers(0, 2**31))
def test_shifting_stamps_or_offsets_shifts_the_fit_and_nothing_else(shift_ns, more_ns, seed):
    rng = np.random.default_rng(seed)
    pairs = pairs_of(np.sort(rng.uniform(0, 100, 40)), rng.normal(0, 0.02, 40))
    moved = TimePairs(pairs.t_ns + shift_ns, pairs.offset_ns + more_ns)
    one, two = fit(pairs), fit(moved)
    assert (two.reference_ns, two.offset_ns) == (one.reference_ns + shift_ns, one.offset_ns + more_ns)
    assert (two.drift_ppm, two.drift_se_ppm, two.offset_se_ns) == (one.drift_ppm, one.drift_se_ppm, one.offset_se_ns)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_the_order_of_the_pairs_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    pairs = pairs_of(np.sort(rng.uniform(0, 100, 60)), rng.normal(0, 0.02, 60))
    assert fit(pairs[rng.permutation(60)]) == fit(pairs)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_pairs_give_an_offset_and_claim_nothing_about_its_error(count):
    segment = fit(pairs_of(np.arange(count) * 10.0, np.full(count, 0.7)))
    assert (segment.offset_ns, segment.offset_se_ns) == (round(0.7 * S), None)
    assert (segment.drift_ppm, segment.drift_se_ppm) == (0.0, None)


def test_three_pairs_give_a_drift_with_its_error():
    segment = fit(pairs_of([0.0, 10.0, 20.0], [0.0, 0.001, 0.0]))
    assert segment.drift_se_ppm is not None


def test_pairs_at_one_instant_give_no_drift():
    assert fit(pairs_of([5.0] * 10, np.linspace(0, 1e-3, 10))).drift_se_ppm is None


def test_no_pair_at_all_is_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match="Use a sensor that states UTC"):
        fit_clock(pairs_of([], []), BOUNDS, start_ns=0)


def test_wild_pairs_do_not_move_the_clock():
    rng = np.random.default_rng(8)
    seconds = np.arange(300.0)
    offset = 0.2 + 50e-6 * seconds + rng.normal(0, 0.01, 300)
    wild = offset.copy()
    chosen = rng.choice(300, 45, replace=False)
    wild[chosen] += rng.uniform(0.3, 3.0, 45)
    clean = np.delete(np.arange(300), chosen)
    assert fit(pairs_of(seconds, wild)) == fit(pairs_of(seconds[clean], offset[clean]))


def test_a_pair_on_the_edge_of_the_outliers_is_used_and_one_beyond_is_not():
    # The median is 0 and nearly all distances from it are 1 ms, so one scaled deviation is 1.4826 ms.
    offset_ns = np.append(np.tile([-1_000_000, 1_000_000], 50), 0)
    t_ns = START_NS + np.arange(101) * S
    edge = round(BOUNDS.outlier_mads * 1.4826 * 1_000_000)
    for extra, used in ((0, 101), (1, 100)):
        offset_ns[51] = edge + extra
        assert fit(TimePairs(t_ns, offset_ns)).samples == used


def test_among_five_pairs_a_wild_one_shows_and_among_four_it_does_not():
    for count, used in ((5, 4), (4, 4)):
        offset = np.zeros(count)
        offset[1] = 5.0
        assert fit(pairs_of(np.arange(count), offset)).samples == used


def test_a_wild_pair_shows_although_the_clock_drifts():
    rng = np.random.default_rng(12)
    seconds = np.arange(3000.0)
    offset = 100e-6 * seconds + rng.uniform(-0.01, 0.01, 3000)
    offset[1000] += 0.2
    assert fit(pairs_of(seconds, offset)).samples == 2999


# Standard errors


def slow_standard_errors(seconds, offset):
    """The formulas of the module's docstring with full matrices and monomials, for pairs without outliers."""
    n = len(seconds)
    x = seconds - seconds.mean()
    design = np.column_stack([np.ones(n), x])
    residual = offset - design @ np.linalg.lstsq(design, offset, rcond=None)[0]
    rho = 0.0
    if n >= 9:
        rho = (n * (residual[1:] @ residual[:-1]) / (residual @ residual) + 2) / (n - 4)
        rho = min(max(rho, 0.0), 0.95)
    matrix = rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    count = min(max(int(0.6 * math.sqrt(n)), 2), 8, n - 2)
    basis = []
    for power in range(count + 2):
        column = (x / np.abs(x).max()) ** power
        for _ in range(2):
            column -= sum((column @ other) * other for other in basis) if basis else 0.0
        basis.append(column / np.linalg.norm(column))
    variances = [column @ matrix @ column for column in basis]
    long_run = np.mean([(column @ residual) ** 2 / v for column, v in zip(basis[2:], variances[2:], strict=True)])
    factor = stats.t.ppf(0.975, count) / stats.norm.ppf(0.975)
    return factor * math.sqrt(long_run * variances[0] / n), factor * math.sqrt(long_run * variances[1] / (x @ x))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("n", [3, 4, 8, 9, 20, 90, 400])
def test_standard_errors_are_those_of_the_formulas(n, rho):
    rng = np.random.default_rng(n)
    seconds = np.arange(n) + rng.uniform(-0.2, 0.2, n)
    pairs = pairs_of(seconds, 0.3 + autoregressive(rng, n, rho, 0.02))
    wide = ClockBounds(BOUNDS.min_jump_s, math.inf, 1e6)
    segment = fit(pairs, wide)
    offset_se, drift_se = slow_standard_errors((pairs.t_ns - START_NS) / S, pairs.offset_ns / S)
    assert segment.offset_se_ns == pytest.approx(offset_se * S, rel=1e-4)
    assert segment.drift_se_ppm == pytest.approx(drift_se * 1e6, rel=1e-4)


def test_the_variance_under_autoregression_is_that_of_the_full_matrix():
    vectors = np.random.default_rng(0).normal(size=(57, 4))
    for rho in (0.0, 0.3, 0.95):
        matrix = rho ** np.abs(np.subtract.outer(np.arange(57), np.arange(57)))
        expected = np.einsum("ij,ik,kj->j", vectors, matrix, vectors)
        assert _variance_under_autoregression(vectors, rho) == pytest.approx(expected)


def _coverage(drives: int, seed: int, rho: float, prior: bool) -> tuple[float, float]:
    """Share of drives of 20 to 600 s whose true offset and drift lie within 1.96 standard errors."""
    rng = np.random.default_rng(seed)
    hits = np.zeros(2)
    for _ in range(drives):
        n = int(rng.integers(20, 601))
        seconds = np.arange(n) + rng.uniform(-0.02, 0.02, n)
        drift = rng.normal(0, BOUNDS.drift_prior_sd_ppm)
        offset = 0.4 + drift * 1e-6 * seconds + autoregressive(rng, n, rho, 0.03)
        segment = fit(pairs_of(seconds, offset), BOUNDS if prior else UNSHRUNK)
        truth_ns = (0.4 + drift * 1e-6 * (segment.reference_ns - START_NS) / S) * S
        hits += [
            abs(segment.offset_ns - truth_ns) <= Z * segment.offset_se_ns,
            abs(segment.drift_ppm - drift) <= Z * segment.drift_se_ppm,
        ]
    return tuple(hits / drives)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_standard_errors_cover_the_truth(rho):
    # 200 drives: 95 % coverage is seen between 91 % and 98.5 % in 99 of 100 such runs.
    assert all(0.905 <= share <= 0.985 for share in _coverage(200, 11, rho, prior=False))


@pytest.mark.slow
@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
def test_standard_errors_cover_the_truth_in_95_of_100_drives(rho, prior):
    assert all(0.93 <= share <= 0.97 for share in _coverage(500, 5, rho, prior))


def test_correlated_residuals_widen_the_standard_error_as_they_must():
    rng = np.random.default_rng(2)
    seconds = np.arange(600.0)
    ratio = []
    for _ in range(20):
        independent, correlated = (
            fit(pairs_of(seconds, autoregressive(rng, 600, rho, 0.03))).offset_se_ns for rho in (0.0, 0.8)
        )
        ratio.append(correlated / independent)
    # The mean of an autoregression with 0.8 has sqrt((1 + 0.8) / (1 - 0.8)) = 3 times the standard error.
    assert np.median(ratio) == pytest.approx(3.0, rel=0.25)


# Shrinking the drift


def test_an_uncertain_drift_stays_near_zero_and_a_certain_one_is_left_alone():
    rng = np.random.default_rng(6)
    for duration, weight in ((20, (0.0, 0.2)), (2000, (0.98, 1.0))):
        seconds = np.arange(float(duration))
        pairs = pairs_of(seconds, 80e-6 * seconds + rng.normal(0, 0.03, duration))
        shrunk, fitted = fit(pairs), fit(pairs, UNSHRUNK)
        assert weight[0] <= shrunk.drift_ppm / fitted.drift_ppm <= weight[1]
        assert shrunk.drift_se_ppm <= min(fitted.drift_se_ppm, BOUNDS.drift_prior_sd_ppm)


def test_shrinking_follows_the_formula():
    rng = np.random.default_rng(1)
    pairs = pairs_of(np.arange(100.0), rng.normal(0, 0.02, 100))
    shrunk, fitted, prior = fit(pairs), fit(pairs, UNSHRUNK), BOUNDS.drift_prior_sd_ppm
    weight = prior**2 / (prior**2 + fitted.drift_se_ppm**2)
    assert shrunk.drift_ppm == pytest.approx(weight * fitted.drift_ppm, rel=1e-4)
    assert shrunk.drift_se_ppm == pytest.approx(math.sqrt(weight) * fitted.drift_se_ppm, rel=1e-4)
    assert (shrunk.offset_ns, shrunk.offset_se_ns) == (fitted.offset_ns, fitted.offset_se_ns)


@pytest.mark.parametrize("duration", [20, 60, 300])
def test_correcting_drift_is_no_worse_than_leaving_it_be(duration):
    rng = np.random.default_rng(duration)
    seconds = np.arange(float(duration))
    corrected, left = [], []
    for _ in range(150):
        drift = rng.normal(0, BOUNDS.drift_prior_sd_ppm)
        truth = 0.1 + drift * 1e-6 * seconds
        pairs = pairs_of(seconds, truth + autoregressive(rng, duration, 0.5, 0.03))
        segment = fit(pairs)
        constant = ClockSegment(
            segment.start_ns, segment.reference_ns, segment.offset_ns, None, 0.0, None, 0, segment.samples
        )
        utc_ns = pairs.t_ns + truth * S
        for errors, used in ((corrected, segment), (left, constant)):
            errors.append(np.mean((correct(pairs.t_ns, [used]) - utc_ns) ** 2))
    assert np.mean(corrected) <= np.mean(left) * 1.02


# Applying


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**12), st.integers(-(10**10), 10**10), st.floats(-200, 200)), min_size=1, max_size=4
    ),
    st.lists(st.integers(-(10**11), 2 * 10**12), max_size=10),
)
def test_each_stamp_is_corrected_by_the_stretch_that_it_lies_in(stretches, stamps):
    segments = [
        ClockSegment(start, start + 17, offset, None, drift, None, 0, 1) for start, offset, drift in sorted(stretches)
    ]
    expected = []
    for stamp in stamps:
        own = [one for one in segments if one.start_ns <= stamp] or segments[:1]
        one = own[-1]
        expected.append(stamp + one.offset_ns + round(one.drift_ppm / 1e6 * (stamp - one.reference_ns)))
    found = correct(np.array(stamps, dtype=np.int64), segments)
    assert np.abs(found - np.array(expected, dtype=np.int64)).max(initial=0) <= 1


# Jumps


def stepped(n, place, step_s, rate_hz=1.0, *, sd=0.02, seed=0):
    """Pairs whose clock is set back by `step_s` (leaps ahead when negative) between two of them."""
    rng = np.random.default_rng(seed)
    true_s = np.arange(n) / rate_hz
    later = np.arange(n) >= place
    return pairs_of(true_s - step_s * later, step_s * later + rng.normal(0, sd, n))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(3, 57),
    st.sampled_from([-4000.0, -30.0, -1.0, 1.0, 2.6]),
    st.sampled_from([1.0, 10.0]),
    st.integers(0, 9),
)
def test_a_jump_is_located_between_the_right_two_pairs(place, step_s, rate_hz, seed):
    place = min(max(place, 30), 33) if step_s > 0 else place
    pairs = stepped(60, place, step_s, rate_hz, seed=seed)
    stretches, [jump] = split_at_jumps(pairs, BOUNDS)
    assert (jump.before_ns, jump.after_ns) == (pairs.t_ns[place - 1], pairs.t_ns[place])
    assert jump.step_ns == pytest.approx(step_s * S, abs=0.1 * S)
    assert [len(part) for part in stretches] == [place, 60 - place]


@pytest.mark.parametrize("place", [3, 4, 5, 55, 56, 57])
def test_a_jump_near_an_end_is_found_from_three_pairs_on(place):
    [jump] = split_at_jumps(stepped(60, place, -3.0), BOUNDS)[1]
    assert jump.before_ns == START_NS + (place - 1) * S


def test_six_pairs_are_enough_for_a_jump():
    assert [len(part) for part in split_at_jumps(stepped(6, 3, -3.0), BOUNDS)[0]] == [3, 3]


def test_a_clock_that_is_set_and_set_right_again_soon_makes_two_jumps():
    offset = np.zeros(60)
    offset[30:34] = 8.0
    stretches, jumps = split_at_jumps(pairs_of(np.arange(60.0), offset), BOUNDS)
    assert [len(part) for part in stretches] == [30, 4, 26]
    assert [jump.step_ns for jump in jumps] == [8 * S, -8 * S]


def test_noise_outliers_and_drift_are_no_jumps():
    rng = np.random.default_rng(5)
    seconds = np.arange(2000.0)
    noise = autoregressive(rng, 2000, 0.7, 0.05)
    noise[[0, 100, 101, 900, 1999]] += [-4.0, 3.0, 3.0, -5.0, 9.0]
    assert split_at_jumps(pairs_of(seconds, 200e-6 * seconds + noise), BOUNDS)[1] == ()


def test_drift_over_a_long_outage_is_no_jump():
    seconds = np.concatenate([np.arange(60.0), np.arange(3540.0, 3600.0)])
    assert split_at_jumps(pairs_of(seconds, 190e-6 * seconds), BOUNDS)[1] == ()


@pytest.mark.parametrize(("beyond_ns", "jumps"), [(0, 0), (1000, 1)])
def test_a_step_is_a_jump_beyond_the_limit_only(beyond_ns, jumps):
    seconds = np.arange(40.0)
    step_s = BOUNDS.min_jump_s + 9 * 200e-6 + beyond_ns / S
    assert len(split_at_jumps(pairs_of(seconds, step_s * (seconds >= 20)), BOUNDS)[1]) == jumps


def test_two_jumps_make_three_stretches_with_their_own_clocks():
    seconds = np.arange(90.0)
    offset = np.where(seconds < 30, 0.0, np.where(seconds < 60, -5.0, 2.0))
    stretches, jumps = split_at_jumps(pairs_of(seconds, offset), BOUNDS)
    assert [len(part) for part in stretches] == [30, 30, 30]
    assert [jump.step_ns / S for jump in jumps] == [-5.0, 7.0]


def test_noisy_pairs_do_not_fall_apart_into_jumps():
    rng = np.random.default_rng(1)
    assert split_at_jumps(pairs_of(np.arange(500.0), rng.normal(0, 0.5, 500)), BOUNDS)[1] == ()


@pytest.mark.parametrize("count", range(6))
def test_few_pairs_have_no_jump(count):
    assert split_at_jumps(pairs_of(np.arange(count), np.arange(count) * 5.0), BOUNDS)[1] == ()


def test_stamps_that_a_set_back_clock_repeats_lie_in_the_named_stretch():
    [jump] = split_at_jumps(stepped(60, 30, 7.0), BOUNDS)[1]
    first, last = jump.repeated_ns
    # The clock was set back by 7 s somewhere between true seconds 29 and 30: stamps 22 to 30 may occur twice.
    assert first == pytest.approx(START_NS + 22 * S, abs=0.1 * S)
    assert last == pytest.approx(START_NS + 30 * S, abs=0.1 * S)
    assert split_at_jumps(stepped(60, 30, -7.0), BOUNDS)[1][0].repeated_ns is None


def test_a_sensor_shows_by_its_own_stamps_whether_it_made_a_jump():
    ahead, back = Jump(29 * S, 35 * S, S, -5 * S), Jump(29 * S, 25 * S, S, 5 * S)
    steady = np.arange(0, 60 * S, S // 50)
    leapt = np.where(steady >= 30 * S, steady + 5 * S, steady)
    set_back = np.sort(np.where(steady >= 30 * S, steady - 5 * S, steady))
    assert [makes_jump(one, ahead) for one in (steady, leapt)] == [False, True]
    assert [makes_jump(one, back) for one in (steady, set_back)] == [False, True]


def test_silences_elsewhere_do_not_count_as_a_jump():
    ahead = Jump(29 * S, 35 * S, S, -5 * S)
    steady = np.arange(0, 60 * S, S // 50)
    for first, last in ((5 * S, 20 * S), (40 * S, 55 * S)):
        assert makes_jump(steady[(steady < first) | (steady > last)], ahead) is False


def test_a_step_back_by_four_periods_can_be_counted():
    stamps = np.arange(0, 60 * S, S)
    back = np.sort(np.where(stamps >= 30 * S, stamps - 4 * S, stamps))
    assert makes_jump(back, Jump(29 * S, 26 * S, S, 4 * S)) is True
    assert makes_jump(stamps, Jump(29 * S, 26 * S, S, 4 * S)) is False
    assert makes_jump(back, Jump(29 * S, 26 * S, S, 4 * S - 1)) is None


def test_sparse_or_odd_stamps_do_not_tell():
    ahead, back = Jump(29 * S, 30 * S, S, -(S // 4)), Jump(29 * S, 25 * S, S, 2 * S)
    slow = np.arange(0, 60 * S, S)
    assert makes_jump(slow, ahead) is None
    assert makes_jump(slow, back) is None
    assert makes_jump(slow[:3], back) is None
    assert makes_jump(np.zeros(50, dtype=np.int64), back) is None


def test_a_clock_set_back_beyond_the_start_leaves_two_stretches_in_the_order_of_their_stamps():
    pairs = stepped(60, 40, 4000.0)
    stretches, [jump] = split_at_jumps(pairs, BOUNDS)
    assert [len(part) for part in stretches] == [20, 40]
    assert (jump.before_ns, jump.after_ns) == (pairs.t_ns[-1], pairs.t_ns[0])
    stamps = np.sort(np.concatenate([np.arange(0, 40 * S, 20 * MS), np.arange(40 * S, 60 * S, 20 * MS) - 4000 * S]))
    assert makes_jump(START_NS + stamps, jump)
    assert makes_jump(np.arange(START_NS - 4000 * S, START_NS + 60 * S, 20 * MS), jump) is False
    # A step that only just leaves the start behind: the silence is short beside the step.
    barely = Jump(-S, 0, 7 * S, -7 * S)
    stamps = np.sort(np.concatenate([np.arange(0, 300 * MS, 20 * MS), np.arange(-6700 * MS, -S, 20 * MS)]))
    assert makes_jump(stamps, barely)


# Clocks of a drive


def clocks(recording, spec=SPEC, **more):
    return drive_clocks(split_series(recording.samples), spec, CANONICAL, recording.drive, BOUNDS, **more)


def skewed(recording, offset_s, drift_ppm, latency_ns=0):
    """The recorder's clock is wrong by so much, and GNSS messages come late by a latency; the truth is UTC."""

    def stamps(t_ns, late_ns=0):
        late = t_ns + late_ns
        return late - np.rint((offset_s + drift_ppm * 1e-6 * (late - START_NS) / S) * S).astype(np.int64)

    def change(part):
        moved = stamps(part.t_ns, latency_ns if part.sensor == "gnss" else 0)
        value = (part.t_ns - moved) / S if part.signal == "gnss_utc_offset_s" else part.value
        return Part(part.sensor, part.signal, moved, value, instance=part.instance)

    return recording.mapped(change)


def test_all_sensors_share_the_recorders_clock_and_differ_by_their_latency():
    document = spec_document()
    document["sensors"]["gnss"]["latency_ms"] = {"mean": 120, "uncertainty": 50}
    document["sensors"]["imu"]["latency_ms"] = {"mean": 15, "uncertainty": 5}
    spec = parse_spec(document)
    found = clocks(skewed(healthy(), 0.8, 0.0, 120 * MS), spec)
    offsets = {name: clock.segments[0].offset_ns for name, clock in found.sensors.items()}
    assert offsets["wheels"] == pytest.approx(0.8 * S, abs=1000)
    assert offsets["wheels"] - offsets["gnss"] == 120 * MS
    assert offsets["wheels"] - offsets["imu"] == 15 * MS
    assert found.recording.segments[0].offset_ns == offsets["wheels"]
    assert {clock.source for clock in found.sensors.values()} == {"gnss"}


def test_a_sensor_that_states_utc_has_a_clock_of_its_own():
    document = spec_document()
    document["sensors"]["wheels"]["utc"] = {"field": "utc", "unit": "s"}
    wheels = every(50, 30)
    recording = healthy().having(Part("wheels", "gnss_utc_offset_s", wheels, np.full(len(wheels), -0.25)))
    found = clocks(recording, parse_spec(document))
    assert found.sensors["wheels"].source == "wheels"
    assert found.sensors["wheels"].segments[0].offset_ns == round(-0.25 * S)
    assert found.sensors["imu"].segments[0].offset_ns == 0


def test_a_sensor_that_sent_nothing_has_no_clock():
    found = clocks(healthy().mapped(lambda part: part.without(slice(0, 0)), ["pedals"]), sensors=["stranger"])
    assert list(found.sensors) == ["gnss", "imu", "radar", "wheels"]


def test_when_no_sensor_can_tell_the_pairs_are_believed():
    recording = healthy(60).mapped(lambda part: part.without(slice(0, 0)), ["imu", "wheels", "pedals", "radar"])

    def change(part):
        later = part.t_ns >= START_NS + 30 * S
        value = part.value + 2.0 * later if part.signal == "gnss_utc_offset_s" else part.value
        return Part(part.sensor, part.signal, part.t_ns - 2 * S * later, value)

    assert [one.jump_ns for one in clocks(recording.mapped(change)).sensors["gnss"].segments] == [0, 2 * S]


def test_without_utc_the_drive_is_taken_as_it_is():
    recording = healthy().mapped(lambda part: part.without(slice(0, 0)), ["gnss"]).lasting(time_source="container")
    found = clocks(recording, sensors=["radar"])
    [segment] = found.sensors["imu"].segments
    assert (segment.offset_ns, segment.drift_ppm, segment.offset_se_ns, segment.samples) == (0, 0.0, None, 0)
    assert found.sensors["imu"].source == "container"


def test_a_start_that_a_person_gave_is_not_overruled_by_a_sensor_that_was_not_believed():
    found = clocks(healthy().lasting(time_source="given"))
    assert {clock.source for clock in found.sensors.values()} == {"given"}


def test_utc_of_a_receiver_that_counts_from_1980_is_not_used():
    gnss = healthy(60).part("gnss", "gnss_utc_offset_s")
    for years in (-40, 150):
        found = clocks(healthy(60).having(gnss.put(slice(0, 40), years * 365 * 86400.0)))
        [segment] = found.sensors["gnss"].segments
        assert (segment.offset_ns, segment.samples) == (0, 21)


def test_a_receiver_whose_utc_steps_moves_nobody_and_the_longer_stretch_counts():
    gnss = healthy(60).part("gnss", "gnss_utc_offset_s")
    for place, offset_s in ((20, 2.0), (40, 0.0)):
        found = clocks(healthy(60).having(gnss.put(slice(place, None), 2.0)))
        assert all(len(clock.segments) == 1 for clock in found.sensors.values())
        assert found.sensors["imu"].segments[0].offset_ns == round(offset_s * S)


@pytest.mark.parametrize("by_s", [20.0, -5.0])
def test_stamps_after_a_jump_of_the_recorder_come_back_to_true_time(by_s):
    at_ns, by_ns = START_NS + 30 * S + S // 2, round(by_s * S)

    def change(part):
        later = part.t_ns >= at_ns
        value = part.value - by_s * later if part.signal == "gnss_utc_offset_s" else part.value
        return Part(part.sensor, part.signal, part.t_ns + by_ns * later, value, instance=part.instance)

    true = healthy(60)
    found = clocks(true.mapped(change))
    for name, clock in found.sensors.items():
        assert [segment.jump_ns for segment in clock.segments] == [0, -by_ns]
        signal = {"gnss": "lat_deg", "radar": "track_distance_m"}.get(name) or next(iter(SPEC.sensors[name].signals))
        truth = true.part(name, signal).t_ns
        stamps = truth + by_ns * (truth >= at_ns)
        kept = np.ones(len(stamps), dtype=bool)
        for first, last in clock.repeated_ns:
            kept &= (stamps < first) | (stamps > last)
        assert np.abs(clock.correct(stamps)[kept] - truth[kept]).max() < 1000
        assert kept.mean() > 0.75
