"""Simulated drives for the study of triggers: made, ingested and kept with their truth, below one folder.

Here belongs making them: `python -m benchmarks.trigger_drives FOLDER FIRST_SEED END_SEED`. What is found in them is
scored by `trigger_study.py`. A drive that is there already is not made again; with `--limits` only the true limits
beside the drives that are there are written anew.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from benchmarks.simulated_drives import DEPOT, START_NS, Workshop
from benchmarks.trigger_surroundings import surround, write_limits
from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.drive_plans import FleetOrder, plan_drive, with_depots
from services.fleet_simulator.drive_truth import EventRequest
from services.fleet_simulator.sensors.scene import Scene
from services.fleet_simulator.shifts import ShiftRequest
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.truth import write_truth
from services.fleet_simulator.world.generate import generate_network
from services.fleet_simulator.world.road_network import RoadNetwork

SECONDS: Final = 300.0
EVERY_S: Final = 75.0
FIRST_EVENT_S: Final = 15.0
GROUPS: Final = ("can", "imu", "gnss", "radar")
KINDS: Final = (
    "hard_brake",
    "cut_in",
    "tailgating",
    "stationary_hazard",
    "swerve",
    "engagement",
    "override",
    "disengagement",
    "near_miss",
)
CONDITIONS: Final = ("day", "night", "rain")
"""Of a drive, by its seed modulo three."""
UNUSUAL_EVERY: Final = 3
"""One in so many drives of each condition is through a town in haste, where fog is common and reception poor: what the
usual town has too seldom to be counted."""
UNUSUAL: Final[Mapping[str, Any]] = {
    "ego": {"driver": {"speed_factor": {"mean": 1.25}, "jerk_mps3": 2.5}},
    "traffic": {"idm": {"acceleration_mps2": 4.0}, "lateral_acceleration_mps2": 4.5},
    "sensors": {"gnss": {"outages": {"urban_per_hour": 60.0}}},
    "weather": {"fog_share": 0.6},
}
"""What differs there from the document `simulation`."""
KEPT: Final = ("bronze.drives", "silver.signals", "silver.radar_tracks", "bronze.quarantine")


def condition_of(seed: int) -> str:
    """Light or weather that is asked for."""
    return CONDITIONS[seed % len(CONDITIONS)]


def is_unusual(seed: int) -> bool:
    """Whether the town in haste is asked for."""
    return seed // len(CONDITIONS) % UNUSUAL_EVERY == UNUSUAL_EVERY - 1


def rules_of(seed: int, simulation: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document `simulation` by which a drive is made."""
    return _changed(simulation, UNUSUAL) if is_unusual(seed) else simulation


def _changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The document with some of its values replaced, level by level."""
    changed = {key: _changed(document[key], new) if isinstance(new, Mapping) else new for key, new in changes.items()}
    return {**document, **changed}


def order_of(seed: int) -> FleetOrder:
    """One drive of five minutes with four events on request; kinds take turns from seed to seed."""
    asked = int(SECONDS // EVERY_S)
    kinds = [KINDS[(seed * asked + turn) % len(KINDS)] for turn in range(asked)]
    events = tuple(EventRequest(kind, FIRST_EVENT_S + turn * EVERY_S) for turn, kind in enumerate(kinds))
    shift = {"day": (), "night": (ShiftRequest("night_share", 1.0),), "rain": (ShiftRequest("rain_share", 1.0),)}
    return FleetOrder(seed, (DEPOT,), START_NS, SECONDS, GROUPS, events=events, shifts={0: shift[condition_of(seed)]})


def network_of(seed: int, simulation: Mapping[str, Any]) -> RoadNetwork:
    """The world of a drive."""
    return with_depots(generate_network(seed, simulation["world"]), (DEPOT,))


def renew_limits(folder: Path, seeds: Sequence[int]) -> None:
    """Write the true limits of the drives that are there anew."""
    simulation = load_policies()["simulation"]
    for seed in seeds:
        if (folder / str(seed) / "made.json").exists():
            write_limits(folder / str(seed), network_of(seed, rules_of(seed, simulation)))


def make(folder: Path, seeds: Sequence[int]) -> None:
    """Make and ingest the drives of some seeds; an unfinished one is made anew."""
    with tempfile.TemporaryDirectory() as place:
        shop = Workshop(Path(place) / "shop", GROUPS)
        for seed in seeds:
            target = folder / str(seed)
            simulation = rules_of(seed, shop.policies["simulation"])
            if (target / "made.json").exists():
                continue
            shutil.rmtree(target, ignore_errors=True)
            network = network_of(seed, simulation)
            truth = simulate_drive(plan_drive(order_of(seed), 1, network), network, simulation)
            scene = Scene(truth, network, simulation["sensors"])
            recording = Path(place) / f"{seed}.mcap"
            recorded = shop.record(scene, (), recording)
            write_truth(target / "truth", truth, recorded)
            ingested = shop.ingest(scene, (), recording)
            recording.unlink()
            for name in KEPT:
                pq.write_table(ingested.tables[name], target / f"{name}.parquet")
            surround(target, network, shop.policies, simulation)
            unmet = [request.kind for request in truth.unmet()]
            made = {"condition": condition_of(seed), "unusual": is_unusual(seed), "unmet": unmet}
            (target / "made.json").write_text(json.dumps(made))
            print(f"made {seed}", flush=True)


if __name__ == "__main__":
    work = renew_limits if "--limits" in sys.argv else make
    work(Path(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3])))
