"""Many drives of one order: their worlds, and the function that worker processes call for each drive.

Here belongs what makes drives independent of each other: a task says everything that its drive depends on, and a
process keeps worlds only to be quicker. What a drive consists of is in `making.py`, which drives there are in
`drive_plans.py`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.fleet_simulator.drive_plans import FleetOrder, drive_shift, plan_drive, with_depots
from services.fleet_simulator.drive_truth import DrivePlan, EventRequest
from services.fleet_simulator.faults import UnknownFaultError
from services.fleet_simulator.making import DriveMaker
from services.fleet_simulator.sensors.catalogue import CAMERA, GROUPS, UnknownSensorError
from services.fleet_simulator.shifts import UnknownShiftError, region_world
from services.fleet_simulator.traffic.requests import UnknownEventError, check_requests
from services.fleet_simulator.world.generate import generate_network
from services.fleet_simulator.world.osm_xml import from_osm, to_osm_xml
from services.fleet_simulator.world.road_network import RoadNetwork


@dataclass(frozen=True, slots=True)
class WorldSource:
    """Where drives take place.

    Attributes:
        seed: Draws the town.
        depots: Names of its depots.
        map_file: OSM file that it is read from instead, empty for none.
    """

    seed: int
    depots: tuple[str, ...]
    map_file: str = ""


@dataclass(frozen=True)
class DriveTask:
    """One drive of an order with all that it depends on; can be sent to another process.

    Attributes:
        source: The world.
        order: All drives.
        number: This one, from 1 on.
        policy: The document `simulation`.
        recordings: Folder of all recordings; each drive has one of its own in it.
        truth: Folder of the truth, likewise.
        camera_hz: Pictures per second; that of the policy when None.
    """

    source: WorldSource
    order: FleetOrder
    number: int
    policy: Mapping[str, Any]
    recordings: Path
    truth: Path
    camera_hz: float | None = None


@dataclass(frozen=True, slots=True)
class MadeDrive:
    """What came of a task.

    Attributes:
        plan: What was asked for.
        recording: The recording.
        unmet: Requested events that did not happen.
    """

    plan: DrivePlan
    recording: Path
    unmet: tuple[EventRequest, ...]


def world_of(source: WorldSource, policy: Mapping[str, Any], region: str = "") -> RoadNetwork:
    """The world of an order's drives in a region.

    Raises:
        UnknownShiftError: When there is no such region, or the world is a map, which is a region of its own.
        NoRoadsError: When the map has no roads for cars that lead around.
    """
    if not source.map_file:
        return with_depots(generate_network(source.seed, region_world(policy, region)), source.depots)
    if region:
        raise UnknownShiftError(
            f"region {region!r} and a map: the map says where drives take place; leave one of them out"
        )
    return with_depots(_read_map(source.map_file, source.depots), source.depots)


@lru_cache(maxsize=2)
def _read_map(path: str, depots: tuple[str, ...]) -> RoadNetwork:
    return from_osm(Path(path), depots=depots)


@lru_cache(maxsize=4)
def _maker(source: WorldSource, region: str, policy_text: str, camera_hz: float | None) -> DriveMaker:
    policy = json.loads(policy_text)
    return DriveMaker(world_of(source, policy, region), policy, camera_hz)


def check_order(source: WorldSource, order: FleetOrder, numbers: Sequence[int], policy: Mapping[str, Any]) -> None:
    """See that an order can be carried out, before hours are spent on it.

    Raises:
        UnknownSensorError: When a sensor is not known.
        UnknownEventError: When an event cannot be requested, or lies behind the end of the drives.
        UnknownFaultError: When a fault lies behind the end of the drives or belongs to none of them.
        UnknownShiftError: When a region is not known, or a shift belongs to none of the drives.
        NoRoadsError: When the map has no roads for cars that lead around.
    """
    _check_sensors(order)
    length = f"lies behind the end of drives of {order.seconds:g} s"
    for request in order.events:
        if request.at_s >= order.seconds:
            raise UnknownEventError(f"event '{request.kind}' at second {request.at_s:g} {length}")
    for number, fault in _numbered(order.faults):
        if number and number not in numbers:
            raise UnknownFaultError(f"fault '{fault.kind}' is for drive {number}, which is not made")
        if fault.at_s >= order.seconds:
            raise UnknownFaultError(f"fault '{fault.kind}' at second {fault.at_s:g} {length}")
    for number, shift in _numbered(order.shifts):
        if number and number not in numbers:
            raise UnknownShiftError(f"shift '{shift.kind}' is for drive {number}, which is not made")
    for region in sorted({drive_shift(order, number).region for number in numbers}):
        check_requests(plan_drive(order, numbers[0], world_of(source, policy, region)))


def _numbered(asked: Mapping[int, Sequence[Any]] | None) -> Iterator[tuple[int, Any]]:
    return ((number, one) for number, found in (asked or {}).items() for one in found)


def _check_sensors(order: FleetOrder) -> None:
    groups = (*GROUPS, CAMERA)
    if unknown := [name for name in order.sensors if name not in groups]:
        raise UnknownSensorError(f"no sensor {', '.join(unknown)}. Known: {', '.join(groups)}")
    known = {*groups, *(part for parts in GROUPS.values() for part in parts)}
    for _, fault in _numbered(order.faults):
        if fault.sensor and fault.sensor not in known:
            raise UnknownSensorError(f"no sensor {fault.sensor}. Known: {', '.join(sorted(known))}")


def make_ordered(task: DriveTask) -> MadeDrive:
    """Make the drive of a task; its bytes depend on the task alone, not on the process or what it made before.

    Raises:
        CameraUnavailableError: When a camera is wanted and there is no OpenGL.
    """
    region = drive_shift(task.order, task.number).region
    maker = _maker(task.source, region, json.dumps(task.policy), task.camera_hz)
    plan = plan_drive(task.order, task.number, maker.network)
    recording = maker.make(plan, task.recordings / plan.drive_id, task.truth / plan.drive_id)
    document = json.loads((task.truth / plan.drive_id / "drive.json").read_text(encoding="utf-8"))
    unmet = tuple(EventRequest(**request) for request in document["unmet_requests"])
    return MadeDrive(plan, recording, unmet)


def write_maps(
    source: WorldSource, order: FleetOrder, policy: Mapping[str, Any], numbers: Sequence[int], folder: Path
) -> None:
    """Write the worlds of the drives, named by the first 12 digits of their digests, so that edges can be looked up.

    Args:
        source: The world.
        order: The drives.
        policy: The document `simulation`.
        numbers: Which of them.
        folder: Where to; made when it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for region in sorted({drive_shift(order, number).region for number in numbers}):
        network = world_of(source, policy, region)
        (folder / f"{network.digest[:12]}.osm").write_bytes(to_osm_xml(network))
