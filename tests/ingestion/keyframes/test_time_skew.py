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
NOTHING = np.empty(0, np.int64)


def judged(**drives: DriveInstants) -> Verdict:
    return time_skew_verdict(drives, POLICY, policy_digest=DIGEST)


@given(
    instants=st.lists(st.integers(-(10**15), 10**15), max_size=20),
    others=st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=20),
)
def test_the_nearest_is_the_one_that_trying_all_finds(instants: list[int], others: list[int]) -> None:
    found = nearest_ns(np.array(instants, np.int64), np.array(others, np.int64))
    assert found.tolist() == [min(abs(one - other) for other in others) for one in instants]


def drive(sweeps: np.ndarray | None = None, poses: np.ndarray | None = None, unknown_ns: int = 0) -> DriveInstants:
    return DriveInstants(
        FRAMES,
        None if sweeps is None else Others(sweeps, unknown_ns),
        None if poses is None else Others(poses, unknown_ns),
    )


@pytest.mark.parametrize("late_ns", [0, LIDAR_NS, -LIDAR_NS])
def test_sweeps_and_positions_within_the_limits_pass_and_the_limit_itself_is_within(late_ns: int) -> None:
    verdict = judged(a=drive(FRAMES + late_ns, FRAMES + POSE_NS))
    assert verdict.outcome is Outcome.PASS
    assert verdict.figures["worst_share"] == 1.0
    assert verdict.policy_digest == DIGEST


@pytest.mark.parametrize("which", ["sweeps", "positions"])
def test_one_drive_whose_clock_is_off_by_more_than_the_limit_fails_and_is_named(which: str) -> None:
    late = {"sweeps": (LIDAR_NS + 1, 0), "positions": (0, POSE_NS + 1)}[which]
    verdict = judged(good=drive(FRAMES, FRAMES), bad=drive(FRAMES + late[0], FRAMES + late[1]))
    assert verdict.outcome is Outcome.FAIL
    assert (verdict.figures["worst_drive"], verdict.figures["worst_against"]) == ("bad", which)


def test_what_is_not_known_of_the_latencies_counts_as_distance() -> None:
    assert judged(a=drive(FRAMES, unknown_ns=LIDAR_NS)).outcome is Outcome.PASS
    assert judged(a=drive(FRAMES, unknown_ns=LIDAR_NS + 1)).outcome is Outcome.FAIL
    assert judged(a=drive(FRAMES + 1, unknown_ns=LIDAR_NS)).outcome is Outcome.FAIL


def test_the_share_of_the_policy_is_what_decides() -> None:
    allowed = round(len(FRAMES) * (1 - POLICY["time_skew"]["min_share"]))
    sweeps = FRAMES.copy()
    sweeps[:allowed] += 400 * MS
    assert judged(a=drive(sweeps)).outcome is Outcome.PASS
    sweeps[allowed] += 400 * MS
    assert judged(a=drive(sweeps)).outcome is Outcome.FAIL


def test_a_gap_of_the_receiver_is_no_skew_unless_it_leaves_too_little_to_compare() -> None:
    limits = POLICY["time_skew"]
    outage = len(FRAMES) - round(len(FRAMES) * limits["min_compared"])
    beyond = round(limits["max_gap_ms"] / 1000) + 1
    kept = FRAMES[outage - beyond + 1 :]
    assert judged(a=drive(poses=kept)).outcome is not Outcome.INCONCLUSIVE
    verdict = judged(a=drive(poses=kept[2:]))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "are needed to judge" in verdict.missing[0]
    short = FRAMES[(FRAMES < 40_000 * MS) | (FRAMES > 60_000 * MS)]
    gap_edges = judged(a=drive(poses=short))
    assert gap_edges.outcome is not Outcome.INCONCLUSIVE


def test_what_should_be_there_and_is_not_is_asked_for_and_never_passes() -> None:
    verdict = judged(a=drive(NOTHING, FRAMES), b=drive(FRAMES, NOTHING))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert any("a: sweeps" in sentence for sentence in verdict.missing)
    assert any("b: positions" in sentence for sentence in verdict.missing)


def test_a_failure_is_not_hidden_by_what_is_missing() -> None:
    assert judged(a=drive(NOTHING, FRAMES + POSE_NS + 1)).outcome is Outcome.FAIL


def test_a_camera_alone_has_nothing_to_agree_with_and_passes_and_so_does_an_empty_partition() -> None:
    assert judged(a=drive()).outcome is Outcome.PASS
    assert judged().outcome is Outcome.PASS
