"""No comparison of the time-skew gate can be turned round without a verdict that changes."""

import importlib
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.time_skew import DriveInstants, Timed
from tests.gate_mutants import Scenario, answers, built, mutants, seen

MODULE = "fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.time_skew"
PARTS = ("time_skew_verdict", "apart_ns", "_share_within", "_drive_verdict")
MAX_MS = {"camera_lidar": 40, "camera_pose": 50, "lidar_pose": 60}
LIMITS = {"max_ms": MAX_MS, "max_gap_ms": 200, "min_compared": 0.5, "min_share": 0.5}


def timed(*t_ms: int, unknown_ms: Sequence[int] = ()) -> Timed:
    unknown = [*unknown_ms, *[0] * (len(t_ms) - len(unknown_ms))]
    return Timed(*(np.array(column, np.int64) * 1_000_000 for column in (t_ms, t_ms, unknown)))


def apart(keyframes: Timed, sweeps: Timed | None = None, poses: Timed | None = None) -> Scenario:
    drives = {"a": DriveInstants(keyframes, sweeps, poses)}
    return lambda gate: gate(drives, {"time_skew": LIMITS}, policy_digest="0" * 64)


SCENARIOS = [
    apart(timed(0)),
    apart(timed(0, 100), timed(0, 100)),
    apart(timed(0, 500), timed(0, 500)),
    apart(timed(50), timed(0, 100)),
    apart(timed(40), timed(0, 100)),
    apart(timed(60), timed(0, 100)),
    apart(timed(50), timed(10, 90)),
    apart(timed(50), timed(10, 90, unknown_ms=(9, 0))),
    apart(timed(50), timed(10, 90, unknown_ms=(0, 9))),
    apart(timed(45), timed(10, 90, unknown_ms=(9, 0))),
    apart(timed(50), timed(0, 200)),
    apart(timed(20), timed(0, 200)),
    apart(timed(20), timed(0, 201)),
    apart(timed(20, 180, 400, 500), timed(0, 200)),
    apart(timed(20, 180, 400, 500, 600), timed(0, 200)),
    apart(timed(-10, 20), timed(0, 100)),
    apart(timed(-10), timed(0, 100)),
    apart(timed(110), timed(0, 100)),
    apart(timed(20, 50, 80), timed(0, 100)),
    apart(timed(20, 50), timed(0, 100)),
    apart(timed(20, 50, 150), timed(0, 100, 200)),
    apart(timed(10), timed(0, 100), timed(50, 250)),
    apart(timed(10), timed()),
    apart(timed(10), None, timed()),
    apart(timed(50), None, timed(0, 100)),
    apart(timed(10), timed(0, 100), timed(0, 100)),
]


def test_every_comparison_is_held_by_a_scenario() -> None:
    module: Any = importlib.import_module(MODULE)
    expected = [seen(answer) for answer in answers(module.time_skew_verdict, SCENARIOS)]
    assert not [said for said in expected if isinstance(said, str)], "a scenario crashes without any mutation"
    found = list(mutants(inspect.getsource(module), PARTS))
    assert len(found) >= 10
    survivors = [
        mutant.place
        for mutant in found
        if [seen(said) for said in answers(built(mutant.tree, module).time_skew_verdict, SCENARIOS)] == expected
    ]
    assert survivors == []
