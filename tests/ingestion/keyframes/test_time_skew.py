"""The time-skew gate passing, failing and inconclusive, against distances found by brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.time_skew import (
    DriveInstants,
    Others,
    nearest_ns,
    time_skew_verdict,
)
from fleet_assets.policy.documents import load_policies

MS = 1_000_000
POLICY = load_policies()["keyframes"]
LIDAR_NS = round(POLICY["time_skew"]["max_lidar_ms"] * MS)
POSE_NS = round(POLICY["time_skew"]["max_pose_ms"] * MS)
DIGEST = "0" * 64
FRAMES = np.arange(100, dtype=np.int64) * 1_000 * MS
GRID = np.arange(1001, dtype=np.int64) * 100 * MS
"""Ten instants a second, of which every tenth is that of a keyframe."""
NOTHING = np.empty(0, np.int64)


def judged(**drives: DriveInstants) -> Verdict:
    return time_skew_verdict(drives, POLICY, policy_digest=DIGEST)


@given(
    instants=st.lists(st.integers(-100, 100), max_size=20),
    others=st.lists(st.integers(-100, 100), min_size=1, max_size=20),
    gap=st.integers(0, 60),
)
def test_the_nearest_is_the_one_that_trying_all_finds(instants: list[int], others: list[int], gap: int) -> None:
    expected = []
    for one in instants:
        before = [other for other in others if other <= one]
        after = [other for other in others if other >= one]
        if before and after and min(after) - max(before) <= gap:
            expected.append(min(abs(one - other) for other in others))
    found = nearest_ns(np.array(instants, np.int64), np.array(others, np.int64), gap)
    assert found.tolist() == expected


def drive(sweeps: np.ndarray | None = None, poses: np.ndarray | None = None, unknown_ns: int = 0) -> DriveInstants:
    return DriveInstants(
        FRAMES,
        None if sweeps is None else Others(sweeps, unknown_ns),
        None if poses is None else Others(poses, unknown_ns),
    )


def seldom(distance_ns: int) -> np.ndarray:
    """Instants that are this far from every keyframe, on both sides."""
    return np.concatenate([FRAMES - distance_ns, FRAMES + distance_ns])


@pytest.mark.parametrize("late_ns", [0, 50 * MS])
def test_sweeps_and_positions_ten_times_a_second_pass(late_ns: int) -> None:
    verdict = judged(a=drive(GRID + late_ns - 100 * MS, GRID + late_ns - 100 * MS))
    assert verdict.outcome is Outcome.PASS
    assert verdict.figures["worst_share"] == 1.0
    assert verdict.policy_digest == DIGEST


@pytest.mark.parametrize("which", ["sweeps", "positions"])
def test_one_drive_beyond_the_limit_fails_and_is_named_and_the_limit_itself_is_within(which: str) -> None:
    limit = {"sweeps": LIDAR_NS, "positions": POSE_NS}[which]
    for distance, outcome in ((limit, Outcome.PASS), (limit + 1, Outcome.FAIL)):
        others = seldom(distance)
        odd = drive(others, GRID) if which == "sweeps" else drive(GRID, others)
        verdict = judged(good=drive(GRID, GRID), odd=odd)
        assert verdict.outcome is outcome
        if outcome is Outcome.FAIL:
            assert (verdict.figures["worst_drive"], verdict.figures["worst_against"]) == ("odd", which)


def test_what_is_not_known_of_the_latencies_counts_as_distance() -> None:
    assert judged(a=drive(GRID, unknown_ns=LIDAR_NS)).outcome is Outcome.PASS
    assert judged(a=drive(GRID, unknown_ns=LIDAR_NS + 1)).outcome is Outcome.FAIL
    assert judged(a=drive(seldom(1), unknown_ns=LIDAR_NS)).outcome is Outcome.FAIL


def test_the_share_of_the_policy_is_what_decides() -> None:
    allowed = round(len(FRAMES) * (1 - POLICY["time_skew"]["min_share"]))
    for far, outcome in ((allowed, Outcome.PASS), (allowed + 1, Outcome.FAIL)):
        near = np.concatenate([FRAMES[far:] - MS, FRAMES[far:] + MS])
        others = np.concatenate([near, FRAMES[:far] - LIDAR_NS - 1, FRAMES[:far] + LIDAR_NS + 1])
        assert judged(a=drive(others)).outcome is outcome


def test_a_gap_of_the_receiver_is_no_skew_unless_it_leaves_too_little_to_compare() -> None:
    needed = POLICY["time_skew"]["min_compared"]
    for kept, outcome in ((needed, Outcome.PASS), (needed - 0.02, Outcome.INCONCLUSIVE)):
        heard = GRID[(1 - kept) * len(FRAMES) * 1_000 * MS <= GRID]
        verdict = judged(a=drive(poses=heard))
        assert verdict.outcome is outcome
        assert all("are needed to judge" in sentence for sentence in verdict.missing)
    interrupted = GRID[(GRID < 40_300 * MS) | (GRID > 60_300 * MS)]
    assert judged(a=drive(poses=interrupted)).outcome is Outcome.PASS
    assert judged(a=drive(poses=interrupted)).figures["worst_share"] == 1.0


def test_what_should_be_there_and_is_not_is_asked_for_and_never_passes() -> None:
    verdict = judged(a=drive(NOTHING, GRID), b=drive(GRID, NOTHING))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert any("a: sweeps" in sentence for sentence in verdict.missing)
    assert any("b: positions" in sentence for sentence in verdict.missing)


def test_a_failure_is_not_hidden_by_what_is_missing() -> None:
    assert judged(a=drive(NOTHING, seldom(POSE_NS + 1))).outcome is Outcome.FAIL


def test_a_camera_alone_has_nothing_to_agree_with_and_passes_and_so_does_an_empty_partition() -> None:
    assert judged(a=drive()).outcome is Outcome.PASS
    assert judged().outcome is Outcome.PASS
