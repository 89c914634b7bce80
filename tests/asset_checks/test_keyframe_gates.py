"""The time-skew gate on tables: it passes, fails and stays inconclusive by what silver holds of a drive."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from asset_checks.keyframes import keyframe_gates
from fleet_assets.commands.sending import write_database
from fleet_assets.evidence.verdicts import Outcome
from tests.asset_checks.gate_fleet import PARTITION, POLICIES, TABLES, GateFleet

MS = 1_000_000
LIMITS = POLICIES["keyframes"]["time_skew"]
FRAMES = [second * 1000 for second in range(1, 9)]
TENTHS = [tenth * 100 for tenth in range(100)]
SETTINGS = SimpleNamespace(dbc_folder=Path("none"), depots=("north",), first_day="")
PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE


def filmed(
    late_ms: float = 0.0,
    *,
    stated: bool = True,
    sweeps_ms: list[int] | None = TENTHS,
    poses_ms: list[int] = TENTHS,
    heard: int = 100,
    spec: str = "sim_car",
) -> GateFleet:
    """A drive whose camera was late: its clock model knows nothing of it, the stamps of its pictures do."""
    fleet = GateFleet(settings=SETTINGS).drive("d", spec=spec).examined("d")
    fleet.put(TABLES["bronze.sensor_streams"], "d", [{"sensor": "lidar", "messages": heard}])
    rows = [
        {
            "camera": "camera",
            "t_ns": at * MS,
            "stamp_ns": round((at - late_ms) * MS) if stated else None,
            "jpeg_sha256": str(at),
        }
        for at in FRAMES
    ]
    fleet.put(TABLES["silver.keyframes"], "d", rows)
    turns = [
        {"sensor": "lidar", "sweep": n, "t_ns": (at - 50) * MS, "end_ns": (at + 50) * MS}
        for n, at in enumerate(sweeps_ms or [])
    ]
    fleet.put(TABLES["silver.lidar_sweeps"], "d", turns)
    position = dict.fromkeys(LIMITS["position"], 1.0)
    return fleet.put(TABLES["silver.signals"], "d", [{"t_ns": at * MS, **position} for at in poses_ms])


@pytest.fixture(scope="module", autouse=True)
def _database(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The simulated car's CAN database, where its vehicle spec looks for it."""
    folder = tmp_path_factory.mktemp("home")
    write_database(folder)
    SETTINGS.dbc_folder = folder / "dbc"


UNKNOWN_MS = 35
"""What the vehicle spec does not know of camera and lidar together."""
LIMIT_MS = LIMITS["max_ms"]["camera_lidar"]
SCENARIOS: dict[str, tuple[Callable[[], GateFleet], Outcome]] = {
    "no drive": (GateFleet, PASS),
    "as it should be": (filmed, PASS),
    "late, but surely within the limit": (lambda: filmed(LIMIT_MS - UNKNOWN_MS), PASS),
    "perhaps beyond the limit": (lambda: filmed(LIMIT_MS), INCONCLUSIVE),
    "surely beyond the limit": (lambda: filmed(LIMIT_MS + UNKNOWN_MS + 1), FAIL),
    "surely too early": (lambda: filmed(-LIMIT_MS - UNKNOWN_MS - 1), FAIL),
    "late, and nothing states it": (lambda: filmed(500, stated=False), PASS),
    "a clock that is not set": (lambda: filmed(LIMITS["max_stamp_ms"] + 1), PASS),
    "no sweeps, though the lidar sent something": (lambda: filmed(sweeps_ms=None), INCONCLUSIVE),
    "a lidar that sent nothing": (lambda: filmed(sweeps_ms=None, heard=0), PASS),
    "a lidar that fell silent": (lambda: filmed(sweeps_ms=TENTHS[:30]), INCONCLUSIVE),
    "no position": (lambda: filmed(poses_ms=[]), INCONCLUSIVE),
    "a vehicle that nobody knows any more": (lambda: filmed(spec="unknown"), INCONCLUSIVE),
    "a camera alone": (lambda: filmed(sweeps_ms=None, poses_ms=[], heard=0, spec="dashcam"), PASS),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_gate_says(name: str) -> None:
    fleet, outcome = SCENARIOS[name]
    (gate,) = keyframe_gates()
    verdict = gate.judge(fleet(), PARTITION)  # type: ignore[arg-type]
    assert verdict.outcome is outcome, verdict
    assert bool(verdict.missing) is (outcome is INCONCLUSIVE)


@pytest.mark.parametrize(
    ("name", "with_own_time"),
    [("as it should be", len(FRAMES)), ("late, and nothing states it", 0), ("a clock that is not set", 0)],
)
def test_the_verdict_says_of_how_many_keyframes_the_time_could_be_checked(name: str, with_own_time: int) -> None:
    (gate,) = keyframe_gates()
    figures = gate.judge(SCENARIOS[name][0](), PARTITION).figures  # type: ignore[arg-type]
    assert (figures["with_own_time"], figures["without_own_time"]) == (with_own_time, len(FRAMES) - with_own_time)
    assert figures["keyframes"] == len(FRAMES)
