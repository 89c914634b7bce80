"""The time-skew gate passing, failing and inconclusive, against distances found by brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.time_skew import (
    DriveInstants,
    Timed,
    apart_ns,
    time_skew_verdict,
)
from fleet_assets.policy.documents import load_policies

MS = 1_000_000
POLICIES = load_policies()
POLICY, SIM_CAR = POLICIES["keyframes"], POLICIES["vehicles/sim_car"]["sensors"]
MAX_MS = POLICY["time_skew"]["max_ms"]
LIDAR_NS, POSE_NS = (round(MAX_MS[pair] * MS) for pair in ("camera_lidar", "camera_pose"))
DIGEST = "0" * 64
FRAMES = np.arange(100, dtype=np.int64) * 1_000 * MS
GRID = np.arange(1001, dtype=np.int64) * 100 * MS
"""Ten instants a second, of which every tenth is that of a keyframe."""
NOTHING = np.empty(0, np.int64)


def timed(t_ns: np.ndarray, unknown_ns: int = 0) -> Timed:
    return Timed(t_ns, t_ns, np.full(len(t_ns), unknown_ns, np.int64))


def shifted(t_ns: np.ndarray, late_ns: int) -> Timed:
    """Instants that were in truth earlier than their rows say."""
    return Timed(t_ns, t_ns - late_ns, np.zeros(len(t_ns), np.int64))


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
    found, _ = apart_ns(timed(np.array(instants, np.int64)), timed(np.array(others, np.int64)), gap)
    assert found.tolist() == expected


def drive(sweeps: np.ndarray | None = None, poses: np.ndarray | None = None, unknown_ns: int = 0) -> DriveInstants:
    return DriveInstants(
        timed(FRAMES),
        None if sweeps is None else timed(sweeps, unknown_ns),
        None if poses is None else timed(poses, unknown_ns),
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


@pytest.mark.parametrize("which", ["camera_lidar", "camera_pose", "lidar_pose"])
def test_one_drive_beyond_the_limit_fails_and_is_named_and_the_limit_itself_is_within(which: str) -> None:
    for late, outcome in ((MAX_MS[which] * MS, Outcome.PASS), (MAX_MS[which] * MS + 1, Outcome.FAIL)):
        keyframes, sweeps = shifted(FRAMES, late), timed(GRID)
        odd = {
            "camera_lidar": DriveInstants(keyframes, sweeps, None),
            "camera_pose": DriveInstants(keyframes, None, timed(GRID)),
            "lidar_pose": DriveInstants(keyframes, shifted(GRID, late), timed(GRID)),
        }[which]
        verdict = judged(good=drive(GRID, GRID), odd=odd)
        assert verdict.outcome is outcome
        if outcome is Outcome.FAIL:
            assert (verdict.figures["worst_drive"], verdict.figures["worst_pair"]) == ("odd", which)


def test_what_is_not_known_of_the_latencies_makes_a_pass_unsure_and_hides_no_certain_failure() -> None:
    assert judged(a=drive(GRID, unknown_ns=LIDAR_NS)).outcome is Outcome.PASS
    unsure = judged(a=drive(GRID, unknown_ns=LIDAR_NS + 1))
    assert unsure.outcome is Outcome.INCONCLUSIVE
    assert "measure latency_ms" in unsure.missing[0]
    for beyond, outcome in ((0, Outcome.INCONCLUSIVE), (1, Outcome.FAIL)):
        far = seldom(LIDAR_NS + 20 * MS + beyond)
        assert judged(a=drive(far, unknown_ns=20 * MS)).outcome is outcome


def test_a_camera_that_was_late_fails_though_a_sweep_is_near_the_time_in_its_row() -> None:
    for late, outcome in ((LIDAR_NS, Outcome.PASS), (LIDAR_NS + 1, Outcome.FAIL)):
        assert judged(a=DriveInstants(shifted(FRAMES, late), timed(GRID), None)).outcome is outcome


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
    assert any("a: keyframes and sweeps" in sentence for sentence in verdict.missing)
    assert any("b: keyframes and poses" in sentence for sentence in verdict.missing)


def test_a_failure_is_not_hidden_by_what_is_missing() -> None:
    late = DriveInstants(shifted(FRAMES, POSE_NS + 1), timed(NOTHING), timed(GRID))
    assert judged(a=late).outcome is Outcome.FAIL


def test_a_camera_alone_has_nothing_to_agree_with_and_passes_and_so_does_an_empty_partition() -> None:
    assert judged(a=drive()).outcome is Outcome.PASS
    assert judged().outcome is Outcome.PASS


def drawn(rng: np.random.Generator, planted_ms: float) -> DriveInstants:
    """Thirty seconds of a car whose sensors do what the simulated one's spec says, and whose camera is late by more.

    Camera, lidar and receiver work at 10 Hz with phases of their own; latencies lie anywhere within their uncertainty,
    jitter by some ms, and the camera's own clock is off by 5 ms (standard deviation).
    """
    camera, lidar, gnss = (SIM_CAR[name]["latency_ms"]["uncertainty"] for name in ("camera", "lidar", "gnss_position"))
    grid = np.arange(300) * 100.0 + rng.uniform(0, 100)
    seconds = rng.uniform(0, 100) + np.arange(30) * 1000.0
    late = rng.uniform(-camera, camera) + rng.normal(0, 4, len(seconds)) + planted_ms
    sweeps = grid + rng.uniform(-lidar, lidar) + rng.normal(0, 3, len(grid))
    poses = np.arange(300) * 100.0
    seen, stated = seconds + late, seconds + rng.normal(0, 5)
    unknown = np.full(len(seconds), camera * MS, np.int64)
    return DriveInstants(
        Timed((seen * MS).astype(np.int64), (stated * MS).astype(np.int64), unknown),
        timed((sweeps * MS).astype(np.int64), lidar * MS),
        timed((poses * MS).astype(np.int64), gnss * MS),
    )


def share_of(outcome: Outcome, planted_ms: float, trials: int) -> float:
    """Of simulated partitions of three drives, one of them with the planted latency."""
    rng = np.random.default_rng(7)
    found = [
        judged(a=drawn(rng, 0.0), b=drawn(rng, 0.0), c=drawn(rng, planted_ms)).outcome is outcome for _ in range(trials)
    ]
    return float(np.mean(found))


def test_sound_drives_never_fail_and_a_camera_beyond_the_limit_and_all_uncertainty_always_does() -> None:
    # No failure in 300 partitions: at most 1 % of sound ones at 95 % (rule of three).
    assert share_of(Outcome.PASS, 0.0, 300) == 1.0
    sensors = ("camera", "lidar")
    beyond_ms = MAX_MS["camera_lidar"] + 50 + 2 * sum(SIM_CAR[name]["latency_ms"]["uncertainty"] for name in sensors)
    assert share_of(Outcome.FAIL, beyond_ms, 100) == 1.0
    assert share_of(Outcome.FAIL, -beyond_ms, 100) == 1.0
    # In between, the more the later; what is late does not pass.
    rising = [share_of(Outcome.FAIL, late, 40) for late in (10.0, 100.0, 150.0, 200.0)]
    assert rising == sorted(rising)
    assert rising[0] == 0.0
    assert share_of(Outcome.PASS, MAX_MS["camera_lidar"] + 50.0, 100) == 0.0
