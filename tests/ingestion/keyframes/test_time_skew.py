"""The time-skew gate passing, failing and inconclusive, against distances found by brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.time_skew import (
    DriveInstants,
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


@pytest.mark.parametrize("late_ns", [0, LIDAR_NS, -LIDAR_NS])
def test_sweeps_and_positions_within_the_limits_pass_and_the_limit_itself_is_within(late_ns: int) -> None:
    verdict = judged(a=DriveInstants(FRAMES, FRAMES + late_ns, FRAMES + POSE_NS))
    assert verdict.outcome is Outcome.PASS
    assert verdict.figures["worst_share"] == 1.0
    assert verdict.policy_digest == DIGEST


@pytest.mark.parametrize("which", ["sweeps", "positions"])
def test_one_drive_whose_clock_is_off_by_more_than_the_limit_fails_and_is_named(which: str) -> None:
    late = {"sweeps": LIDAR_NS + 1, "positions": POSE_NS + 1}[which]
    off = DriveInstants(
        FRAMES, FRAMES + (late if which == "sweeps" else 0), FRAMES + (late if which == "positions" else 0)
    )
    verdict = judged(good=DriveInstants(FRAMES, FRAMES, FRAMES), bad=off)
    assert verdict.outcome is Outcome.FAIL
    assert (verdict.figures["worst_drive"], verdict.figures["worst_against"]) == ("bad", which)


def test_the_share_of_the_policy_is_what_decides() -> None:
    allowed = round(len(FRAMES) * (1 - POLICY["time_skew"]["min_share"]))
    sweeps = FRAMES.copy()
    sweeps[:allowed] += 400 * MS
    assert judged(a=DriveInstants(FRAMES, sweeps, None)).outcome is Outcome.PASS
    sweeps[allowed] += 400 * MS
    assert judged(a=DriveInstants(FRAMES, sweeps, None)).outcome is Outcome.FAIL


def test_what_should_be_there_and_is_not_is_asked_for_and_never_passes() -> None:
    verdict = judged(a=DriveInstants(FRAMES, NOTHING, FRAMES), b=DriveInstants(FRAMES, FRAMES, NOTHING))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert any("a: sweeps" in sentence for sentence in verdict.missing)
    assert any("b: positions" in sentence for sentence in verdict.missing)


def test_a_failure_is_not_hidden_by_what_is_missing() -> None:
    assert judged(a=DriveInstants(FRAMES, NOTHING, FRAMES + POSE_NS + 1)).outcome is Outcome.FAIL


def test_a_camera_alone_has_nothing_to_agree_with_and_passes_and_so_does_an_empty_partition() -> None:
    assert judged(a=DriveInstants(FRAMES, None, None)).outcome is Outcome.PASS
    assert judged().outcome is Outcome.PASS
