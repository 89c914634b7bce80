"""A fleet written down as a policy: what is refused, and that a drive is made once until something changes."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fleet_assets.policy.documents import InvalidPolicyError, load_policies
from services.fleet_simulator.fleet_plan import Order, make_drive, parse_fleet_plan

DOCUMENT = load_policies()["demo_fleet"]
SIMULATION = load_policies()["simulation"]


def order(folder: Path, name: str = "demo-1", **changes: Any) -> Order:
    """One short drive of the shipped fleet."""
    fleet = parse_fleet_plan(DOCUMENT, "demo_fleet")
    (plan,) = [drive for drive in fleet.drives if drive.drive_id == name]
    short = replace(plan, sensors=("imu", "gnss"), duration_s=3.0, **changes)
    return Order(
        short, fleet.world_seed, fleet.depots, fleet.camera_hz, SIMULATION, folder / name, folder / "truth" / name
    )


def named(document: dict[str, Any], name: str) -> dict[str, Any]:
    """A drive of a document."""
    return next(drive for drive in document["drives"] if drive["name"] == name)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda d: d["drives"].append(d["drives"][0]), "'demo-1' twice"),
        (lambda d: d["planted"]["quarantine"].update(drive="demo-9"), "no drive 'demo-9'"),
        (lambda d: d["drives"][0].update(depot="moon"), "'moon' is not among"),
        (lambda d: d["drives"][0].update(start="2024-13-01T00:00:00Z"), "demo-1"),
        (lambda d: d["drives"][0].update(faults=["explosion"]), "'explosion' is no fault"),
        (lambda d: d["drives"][0].update(events=["picnic@4"]), "'picnic@4': write KIND@SECOND"),
        (lambda d: d["drives"][0].update(events=["hard_brake@soon"]), "write KIND@SECOND"),
        (lambda d: named(d, "demo-4").update(repeats="demo-9"), "repeats 'demo-9'"),
        (lambda d: named(d, "demo-4").update(repeats="demo-4"), "repeats 'demo-4'"),
        (lambda d: named(d, "demo-4").update(seconds=31), "same depot and length"),
        (lambda d: named(d, "demo-4").update(depot="harbour"), "same depot and length"),
    ],
)
def test_a_plan_that_leads_nowhere_is_refused_by_name(spoil: Callable[[dict[str, Any]], None], told: str) -> None:
    document = copy.deepcopy(dict(DOCUMENT))
    spoil(document)
    with pytest.raises(InvalidPolicyError, match=told):
        parse_fleet_plan(document, "demo_fleet")


def test_without_cameras_everything_else_stays() -> None:
    fleet = parse_fleet_plan(DOCUMENT, "demo_fleet")
    dark = fleet.without_camera()
    assert fleet.has_camera
    assert not dark.has_camera
    assert [replace(one, sensors=()) for one in dark.drives] == [replace(one, sensors=()) for one in fleet.drives]


def test_a_drive_is_made_once_and_again_when_what_it_is_made_of_changes(tmp_path: Path) -> None:
    first = make_drive(order(tmp_path))
    written = order(tmp_path).recording.stat().st_mtime_ns
    assert make_drive(order(tmp_path)) == first
    assert order(tmp_path).recording.stat().st_mtime_ns == written
    other = make_drive(order(tmp_path, seed=7))
    assert (first.revision, other.revision) == (0, 1)
    assert first.sha256 != other.sha256
    assert order(tmp_path).made() is None


def test_a_drive_that_was_lost_or_damaged_is_made_again_to_the_same_bytes(tmp_path: Path) -> None:
    first = make_drive(order(tmp_path))
    for harm in (order(tmp_path).recording.unlink, lambda: order(tmp_path).recording.write_bytes(b"half")):
        harm()
        assert order(tmp_path).made() is None
        again = make_drive(order(tmp_path))
        assert (again.sha256, again.revision) == (first.sha256, 0)


def test_a_drive_that_repeats_another_moves_alike_and_errs_in_its_own_way(tmp_path: Path) -> None:
    one = make_drive(order(tmp_path, "demo-3"))
    two = make_drive(order(tmp_path, "demo-4"))
    assert one.sha256 != two.sha256
    motions = [pq.read_table(tmp_path / "truth" / name / "ego.parquet").drop(["t_ns"]) for name in ("demo-3", "demo-4")]
    assert motions[0].equals(motions[1])
