"""Simulated drives for comparisons: made, recorded, and read back as real recordings are.

Drives are made by several processes; each comes out the same whatever their number.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fleet_assets.policy.documents import Policies
from services.fleet_simulator.drive_plans import FleetOrder, plan_drive, with_depots
from services.fleet_simulator.drive_truth import NS_PER_S
from services.fleet_simulator.fitting.decoding import Drive, decode_simulated
from services.fleet_simulator.making import DriveMaker
from services.fleet_simulator.sensors.can_database import FILE_NAME, dbc_text
from services.fleet_simulator.world.generate import generate_network

TUNING_SEEDS: Final = 1000
"""Seeds below this are for tuning; reports begin at 10,000."""
_SENSORS: Final = ("can", "imu", "gnss")
_DEPOTS: Final = ("first", "second")
_FIRST_START_NS: Final = 1_715_000_000 * NS_PER_S
_STEP_NS: Final = 7 * 3600 * NS_PER_S
"""Drives begin seven hours apart, so that they meet all lights and weathers."""


@dataclass(frozen=True)
class Wanted:
    """Which drives.

    Attributes:
        first_seed: Seed of the first; each drive has a town and a seed of its own.
        drives: How many.
        seconds: Length of each.
    """

    first_seed: int
    drives: int
    seconds: float


def make_drive(wanted: Wanted, policies: Policies, number: int) -> Drive:
    """One drive, from 0 on.

    Args:
        wanted: Which drives.
        policies: Policies in force.
        number: Which of them.
    """
    seed, policy = wanted.first_seed + number, policies["simulation"]
    network = with_depots(generate_network(seed, policy["world"]), _DEPOTS)
    order = FleetOrder(seed, _DEPOTS, _FIRST_START_NS + number * _STEP_NS, wanted.seconds, _SENSORS)
    with TemporaryDirectory(prefix="fleet-fit-") as place:
        folder = Path(place)
        (folder / FILE_NAME).write_text(dbc_text(), encoding="utf-8")
        made = DriveMaker(network, policy).make(plan_drive(order, 1 + seed % 2), folder / "drive", folder / "truth")
        return replace(_read(made, policies, folder), name=f"seed {seed}")


def _read(path: Path, policies: Policies, folder: Path) -> Drive:
    spec: str = policies["simulation_fit"]["simulated"]
    return decode_simulated(path, policies, folder, spec)


def make_drives(wanted: Wanted, policies: Policies, workers: int) -> Sequence[Drive]:
    """All drives, in order.

    Args:
        wanted: Which drives.
        policies: Policies in force.
        workers: Processes.
    """
    one = partial(make_drive, wanted, policies)
    if workers == 1:
        return [one(number) for number in range(wanted.drives)]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(one, range(wanted.drives)))
