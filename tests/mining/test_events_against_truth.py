"""Events of short simulated drives against what happened in them: those asked for are found, in time, and no others."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from benchmarks.simulated_drives import DEPOT, FULL_VEHICLE, START_NS, Workshop
from benchmarks.trigger_page import Score
from benchmarks.trigger_study import Limits, score_drive
from benchmarks.trigger_truth import Occurrence, occurrences
from fleet_assets.mining.scene_detection_and_event_triggers.drive_signals import drive_signals
from fleet_assets.mining.scene_detection_and_event_triggers.events import found_in
from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.triggers import CompiledTriggers, compile_triggers
from services.fleet_simulator.drive_plans import FleetOrder, plan_drive, with_depots
from services.fleet_simulator.drive_truth import EventRequest
from services.fleet_simulator.sensors.scene import Scene
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.truth import write_truth
from services.fleet_simulator.world.generate import generate_network
from tests.vehicles import POLICIES

GROUPS = ("can", "imu", "gnss", "radar")
FIRST_S, EVERY_S, AFTER_S = 15.0, 35.0, 30.0
LATEST_NS = 200_000_000
Found = Mapping[str, Sequence[Occurrence]]
"""What happened, or was found, by trigger."""


@dataclass(frozen=True)
class Drive:
    """A drive with three events on request.

    Attributes:
        seed: Its seed, of those below 1000 that limits are tuned on.
        asked: Triggers that are asked for; what happens besides is up to the traffic.
        happened: What truly happened.
        found: What the triggers found.
    """

    seed: int
    asked: Sequence[str]
    happened: Found
    found: Found


def complaints(drive: Drive, compiled: CompiledTriggers) -> list[str]:
    """What is missed, wrong, or of what was asked for too early or too late; clear of the limits' bands."""
    wrong = [f"{name}: there is no truth of it" for name in drive.found if name not in drive.happened]
    for trigger in (one for one in compiled.triggers if one.name in drive.happened):
        limits, score = Limits.of(trigger, POLICIES["triggers"]["triggers"][trigger.name]), Score()
        name, true = trigger.name, drive.happened[trigger.name]
        notes = score_drive(drive.seed, true, drive.found.get(name, ()), limits, score)
        wrong += [f"{name}: {note}" for note in notes]
        if name in drive.asked:
            wrong += [f"{name}: off by {pair} ns" for pair in score.late_ns if max(map(abs, pair)) > LATEST_NS]
            wrong += [] if score.hits[drive.seed] else [f"{name}: none clear of its limits was found"]
    return wrong


def simulated(folder: Path, seed: int, asked: Sequence[str]) -> tuple[Drive, CompiledTriggers]:
    """Drive, record, ingest, find events; the pipeline sees the recording only."""
    shop = Workshop(folder / "shop", GROUPS)
    policies = shop.policies
    network = with_depots(generate_network(seed, policies["simulation"]["world"]), (DEPOT,))
    requests = tuple(EventRequest(kind, FIRST_S + turn * EVERY_S) for turn, kind in enumerate(asked))
    order = FleetOrder(seed, (DEPOT,), START_NS, len(asked) * EVERY_S + AFTER_S, GROUPS, events=requests)
    truth = simulate_drive(plan_drive(order, 1, network), network, policies["simulation"])
    assert truth.unmet() == ()
    scene, recording = Scene(truth, network, policies["simulation"]["sensors"]), folder / "drive.mcap"
    write_truth(folder / "truth", truth, shop.record(scene, (), recording))
    ingested = shop.ingest(scene, (), recording)
    assert ingested.drive is not None

    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    compiled = compile_triggers(policies["triggers"], policies.digest("triggers"), canonical, vehicle_spec=FULL_VEHICLE)
    signals, tracks = (ingested.tables[f"silver.{name}"] for name in ("signals", "radar_tracks"))
    joined = drive_signals(signals, tracks, {}, shop.vehicle.spec, canonical, compiled)
    found = defaultdict(list)
    for row in found_in(joined, compiled, ingested.drive, policies["events"])["gold.event_windows"].to_pylist():
        found[row["trigger"]].append(Occurrence(row["start_ns"], row["end_ns"], row["value"]))
    return Drive(seed, asked, occurrences(folder / "truth"), found), compiled


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "asked"),
    [(12, ("near_miss", "engagement", "hard_brake")), (15, ("stationary_hazard", "swerve", "tailgating"))],
)
def test_what_is_asked_for_is_found_within_200_ms_and_nothing_that_did_not_happen(
    tmp_path: Path, seed: int, asked: Sequence[str]
) -> None:
    drive, compiled = simulated(tmp_path, seed, asked)
    assert complaints(drive, compiled) == []
    # It would be noticed: an event that comes too late, is lost, or is found where nothing was.
    for name in asked:
        first, *others = drive.found[name]
        late = replace(first, start_ns=first.start_ns + 2 * LATEST_NS, end_ns=first.end_ns + 2 * LATEST_NS)
        nowhere = replace(first, start_ns=START_NS - 10**10, end_ns=START_NS - 9 * 10**9)
        for changed in ([late, *others], others, [first, *others, nowhere]):
            assert complaints(replace(drive, found={**drive.found, name: changed}), compiled), name
