"""Which drives a simulated fleet makes: names, vehicles, depots, starts and seeds.

Here belongs the plan. What happens in a drive is up to the traffic, and each drive can be made alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan, EventRequest
from services.fleet_simulator.faults import FaultRequest, started
from services.fleet_simulator.world.road_network import Depot, RoadNetwork

_STREAM: Final = 501
"""Number of this module's random stream."""


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
    """

    seed: int
    depots: tuple[str, ...]
    start_ns: int
    seconds: float
    sensors: tuple[str, ...]
    every_s: float = 3600.0
    events: tuple[EventRequest, ...] = ()
    faults: Mapping[int, Sequence[FaultRequest]] | None = None


def drive_seed(seed: int, number: int) -> int:
    """Seed of a drive: 63 bits that depend on the fleet's seed and the drive's number alone."""
    return int(np.random.SeedSequence([seed, _STREAM, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def plan_drive(order: FleetOrder, number: int) -> DrivePlan:
    """The plan of one drive, from 1 on, whatever the number of the others.

    Each depot has one vehicle, which makes one drive after the other.
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
    )
    return started(plan)


def with_depots(network: RoadNetwork, names: Sequence[str]) -> RoadNetwork:
    """The network with depots of these names at its depots' gates, in turn."""
    gates = [depot.node_id for depot in network.depots]
    return replace(network, depots=tuple(Depot(name, gates[number % len(gates)]) for number, name in enumerate(names)))
