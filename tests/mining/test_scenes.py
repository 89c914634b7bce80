"""Scenes: exact change points, silences, and the defects of ADDF's scene detection."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from fleet_assets.mining.scene_detection_and_event_triggers.change_points import QUANTUM, change_points
from fleet_assets.mining.scene_detection_and_event_triggers.scenes import Motion, scene_rows
from fleet_assets.policy.documents import load_policies

POLICY = load_policies()["events"]["scenes"]
STEP_NS = 100_000_000
START_NS = 1_714_550_400_000_000_000
DRIVE = {"drive_id": "d1", "day": "2024-05-01", "depot": "north"}


def motion(speed: Sequence[float], t_ns: NDArray[np.int64] | None = None) -> Motion:
    count = len(speed)
    empty = np.full(count, np.nan)
    times = START_NS + np.arange(count) * STEP_NS if t_ns is None else t_ns
    clips = pa.chunked_array([pa.array([f"clip-{index // 200}" for index in range(count)])])
    return Motion(times, np.array(speed, np.float64), np.zeros(count), empty, clips)


def rows(given: Motion) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scene_rows(given, DRIVE, 100, POLICY).to_pylist()
    return found


def seconds(row: dict[str, Any]) -> float:
    return float(row["end_ns"] - row["start_ns"]) / 1e9


def brute_force(values: NDArray[np.float64], shortest: int, longest: int, penalty: float) -> float:
    """Least cost over every partition, by trying all."""
    whole = np.rint(values * QUANTUM)

    def cost(first: int, end: int) -> float:
        part = whole[first:end]
        return float(((part - part.mean(axis=0)) ** 2).sum()) + penalty * QUANTUM**2

    def best(end: int) -> float:
        if end == 0:
            return 0.0
        return min(
            (best(first) + cost(first, end) for first in range(max(0, end - longest), end - shortest + 1)),
            default=np.inf,
        )

    return best(len(values))


@pytest.mark.parametrize("seed", range(8))
def test_the_partition_is_the_cheapest_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.repeat(rng.integers(0, 4, (5, 2)), 3, axis=0).astype(np.float64) + rng.normal(0, 0.2, (15, 2))
    ends = change_points(values, 2, 6, 1.0)
    begins = [0, *ends[:-1]]
    assert all(2 <= end - first <= 6 for first, end in zip(begins, ends, strict=True))
    whole = np.rint(values * QUANTUM)
    cost = sum(
        float(((whole[first:end] - whole[first:end].mean(axis=0)) ** 2).sum()) + QUANTUM**2
        for first, end in zip(begins, ends, strict=True)
    )
    assert cost == pytest.approx(brute_force(values, 2, 6, 1.0))


def test_a_drive_that_stops_and_goes_on_has_its_changes_where_they_are() -> None:
    braking, pulling = np.arange(15.0, 0.0, -0.3).tolist(), np.arange(0.0, 12.0, 0.2).tolist()
    found = rows(motion([15.0] * 200 + braking + [0.0] * 200 + pulling + [12.0] * 200))
    assert [row["kind"] for row in found] == ["cruising", "braking", "standing", "accelerating", "cruising"]
    borders = [(row["start_ns"] - START_NS) / 1e9 for row in found[1:]]
    assert borders == pytest.approx([20.0, 25.0, 45.0, 51.0], abs=1.0)


def test_scenes_cover_every_sample_once_and_keep_their_lengths() -> None:
    rng = np.random.default_rng(1)
    speed = np.maximum(0.0, np.cumsum(rng.normal(0, 0.3, 6000)) + 10).tolist()
    found = rows(motion(speed))
    assert sum(row["samples"] for row in found) == 6000
    assert all(one["end_ns"] == other["start_ns"] for one, other in zip(found, found[1:], strict=False))
    assert all(3.0 <= seconds(row) <= 60.0 for row in found)


@pytest.mark.parametrize(("samples", "scenes"), [(4, 1), (5, 2)])
def test_a_silence_under_500_ms_is_bridged_and_one_of_500_ms_is_not(samples: int, scenes: int) -> None:
    speed = [10.0] * 100 + [float("nan")] * samples + [10.0] * 100
    found = rows(motion(speed))
    assert len(found) == scenes
    assert sum(row["bridged_ns"] for row in found) == (samples * STEP_NS if scenes == 1 else 0)
    # The same where the instants themselves are missing.
    keep = ~np.isnan(np.array(speed))
    given = motion([10.0] * 200, (START_NS + np.arange(len(speed)) * STEP_NS)[keep])
    assert len(rows(given)) == scenes


def test_a_stretch_that_is_shorter_than_a_scene_is_one_and_a_drive_without_speed_has_none() -> None:
    assert [seconds(row) for row in rows(motion([10.0] * 12))] == [pytest.approx(1.2)]
    assert rows(motion([float("nan")] * 50)) == []
    assert rows(motion([])) == []


def test_addf_a_scene_that_is_open_when_a_recording_begins_or_ends_is_not_lost() -> None:
    """ADDF compares each row with the one before it in the same bag.

    A scene that holds from the first row on has no start there and is left out, one that holds at the last has no end.
    Here both are there with their times.
    """
    found = rows(motion([0.0] * 100 + [15.0] * 100 + [0.0] * 100))
    assert (found[0]["kind"], found[0]["start_ns"]) == ("standing", START_NS)
    assert (found[-1]["kind"], found[-1]["end_ns"]) == ("standing", START_NS + 300 * STEP_NS)
