"""Rates and silences of streams, as the rules of integrity are given them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.sensor_sync_and_format_conversion.streams import (
    frame_rate_hz,
    longest_silence,
    median_rate_hz,
)

MS = 1_000_000


def frames(count: int = 400, period_ms: float = 100.0, jitter_ms: float = 4.0, seed: int = 0) -> np.ndarray:
    """Stamps of frames that come at a steady rate, and arrive a little early or late."""
    rng = np.random.default_rng(seed)
    return np.rint((np.arange(count) * period_ms + rng.normal(0.0, jitter_ms, count)) * MS).astype(np.int64)


@pytest.mark.parametrize("lost", [0.0, 0.05, 0.1, 0.15, 0.25])
def test_frames_keep_their_rate_whatever_share_of_them_is_lost(lost: float) -> None:
    t_ns = frames(2000)
    kept = t_ns[np.random.default_rng(1).random(len(t_ns)) >= lost]
    assert frame_rate_hz(kept) == pytest.approx(10.0, rel=0.003)


@pytest.mark.parametrize("twice", [0.05, 0.1, 0.15, 0.3])
@pytest.mark.parametrize("late_ms", [0, 3])
def test_frames_keep_their_rate_however_many_of_them_come_twice(twice: float, late_ms: int) -> None:
    t_ns = frames(2000)
    again = t_ns[np.random.default_rng(1).random(len(t_ns)) < twice] + late_ms * MS
    assert frame_rate_hz(np.concatenate((t_ns, again))) == pytest.approx(10.0, rel=0.003)


def test_the_rate_over_several_steps_is_wrong_where_most_of_its_windows_hold_a_lost_frame() -> None:
    t_ns = frames(2000)
    kept = np.delete(t_ns, np.arange(5, 2000, 8))
    assert median_rate_hz(kept) == pytest.approx(10.0 * 10 / 11, rel=0.02)
    assert frame_rate_hz(kept) == pytest.approx(10.0, rel=0.003)


@pytest.mark.parametrize("step_ms", [10, 20, 33])
def test_stamps_that_count_in_steps_do_not_change_the_rate(step_ms: int) -> None:
    coarse = frames(900, 1000 / 30, 0.0) // (step_ms * MS) * (step_ms * MS)
    assert frame_rate_hz(coarse) == pytest.approx(30.0, rel=0.02)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_frames_in_bursts_have_the_rate_over_several_steps(size: int) -> None:
    bursts = np.repeat(np.arange(300) * 66 * MS, size) + np.tile(np.arange(size) * MS, 300)
    assert frame_rate_hz(bursts) == median_rate_hz(bursts)
    assert frame_rate_hz(bursts) == pytest.approx(size * 1000 / 66, rel=0.35)


def test_a_clock_that_stands_and_fewer_than_two_frames_give_no_rate() -> None:
    assert [frame_rate_hz(np.array(t_ns, np.int64)) for t_ns in ([], [5], [5, 5, 5])] == [None, None, None]


@given(st.lists(st.integers(0, 10**9), max_size=30), st.integers(1, 3))
def test_the_longest_silence_is_between_neighbours_of_all_messages(stamps: list[int], parts: int) -> None:
    times = [np.array(stamps[first::parts], np.int64) for first in range(parts)]
    found = longest_silence([one for one in times if len(one)])
    ordered = sorted(stamps)
    lengths = [late - early for early, late in zip(ordered, ordered[1:], strict=False)]
    if not lengths:
        assert found is None
    else:
        assert found == (ordered[lengths.index(max(lengths))], max(lengths))
