"""Which drives a simulated fleet makes: names, vehicles, depots, starts and seeds.

Here belongs the plan. What happens in a drive is up to the traffic, and each drive can be made alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fleet_assets.geo.sun import Light, light_condition, sun_position
from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan, EventRequest
from services.fleet_simulator.faults import NS_PER_DAY, FaultRequest, started
from services.fleet_simulator.shifts import Shift, ShiftRequest, shift_of
from services.fleet_simulator.world.road_network import Depot, RoadNetwork

_STREAM: Final = 501
"""Number of this module's random stream."""
_HOUR_NS: Final = 3600 * NS_PER_S
_DAY_H: Final = 24


@dataclass(frozen=True, slots=True)
class FleetOrder:
    """Drives that are wanted.

    Attributes:
        seed: The fleet's seed.
        depots: Depots; drives take turns.
        start_ns: Start of the first drives, UTC.
        seconds: Length of each.
        sensors: Groups of sensors that record.
        every_s: Time between a vehicle's drives.
        events: Events wanted in every drive.
        faults: Faults by number of the drive, from 1 on; 0 stands for all drives.
        shifts: Shifts, likewise.
    """

    seed: int
    depots: tuple[str, ...]
    start_ns: int
    seconds: float
    sensors: tuple[str, ...]
    every_s: float = 3600.0
    events: tuple[EventRequest, ...] = ()
    faults: Mapping[int, Sequence[FaultRequest]] | None = None
    shifts: Mapping[int, Sequence[ShiftRequest]] | None = None


def drive_seed(seed: int, number: int) -> int:
    """Seed of a drive: 63 bits that depend on the fleet's seed and the drive's number alone."""
    return int(np.random.SeedSequence([seed, _STREAM, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def drive_shift(order: FleetOrder, number: int) -> Shift:
    """What is different from usual in a drive, from 1 on."""
    asked = order.shifts or {}
    return shift_of((*asked.get(0, ()), *asked.get(number, ())), number)


def plan_drive(order: FleetOrder, number: int, network: RoadNetwork | None = None) -> DrivePlan:
    """The plan of one drive, from 1 on, whatever the number of the others.

    Each depot has one vehicle, which makes one drive after the other.

    Args:
        order: What is wanted.
        number: The drive.
        network: The drive's world; only needed where drives at night are asked for.

    Raises:
        ValueError: When a drive at night is wanted and the network is missing.
    """
    place, turn = (number - 1) % len(order.depots), (number - 1) // len(order.depots)
    asked = order.faults or {}
    plan = DrivePlan(
        drive_id=f"sim-{order.seed}-{number:04d}",
        vehicle_id=f"sim-car-{place + 1}",
        depot=order.depots[place],
        seed=drive_seed(order.seed, number),
        start_ns=order.start_ns + round(turn * order.every_s * NS_PER_S),
        duration_s=order.seconds,
        sensors=order.sensors,
        events=order.events,
        faults=(*asked.get(0, ()), *asked.get(number, ())),
        shift=drive_shift(order, number),
    )
    if not plan.shift.night:
        return started(plan)
    if network is None:
        raise ValueError(f"drive {plan.drive_id} is to start at night: pass the network, which says where it is night")
    return started(replace(plan, start_ns=night_start(plan, network)))


def night_start(plan: DrivePlan, network: RoadNetwork) -> int:
    """Start of a drive, moved by whole hours into the night at its place, within its UTC day where that has one.

    Whole hours leave the traffic lights, which run by the minute, as they were. The nearest hour is taken at which it
    is night from start to end, or the darkest one where there is none.
    """
    lat, lon = network.frame.lat_deg, network.frame.lon_deg
    hours = np.arange(-_DAY_H, _DAY_H + 1)
    starts = plan.start_ns + hours * _HOUR_NS
    ends = starts + round(plan.duration_s * NS_PER_S)
    height = np.maximum(sun_position(starts, lat, lon)[0], sun_position(ends, lat, lon)[0])
    dark = light_condition(height) == Light.NIGHT.value
    other_day = starts // NS_PER_DAY != plan.start_ns // NS_PER_DAY
    order = np.lexsort((np.abs(hours), other_day, np.where(dark, 0.0, 90.0 + height)))
    return int(starts[order[0]])


def with_depots(network: RoadNetwork, names: Sequence[str]) -> RoadNetwork:
    """The network with depots of these names at its depots' gates, in turn."""
    gates = [depot.node_id for depot in network.depots]
    return replace(network, depots=tuple(Depot(name, gates[number % len(gates)]) for number, name in enumerate(names)))
