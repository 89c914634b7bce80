"""The clocks that the pipeline estimates from 500 simulated receivers, against those that they had."""

from dataclasses import replace

import numpy as np
import pytest
from kinematic_drive import drive, network, scene

from fleet_assets.ingestion.sensor_sync_and_format_conversion.clock_model import ClockBounds, TimePairs, fit_clock
from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.recorder_faults import RECORDER
from services.fleet_simulator.sensors.clock import draw_clock
from services.fleet_simulator.sensors.gnss import Utc
from services.fleet_simulator.sensors.messages import render

DRIVES = 500


@pytest.mark.slow
def test_intervals_cover_the_true_drift_in_95_of_100_drives_and_long_drives_are_known_within_2_ppm() -> None:
    policies = load_policies()
    world = network(policies)
    whole = drive(world, seconds=600)
    policy, clocks = policies["sync"]["clock"], policies["simulation"]["sensors"]["recorder"]
    bounds = ClockBounds(**policy)
    lengths = np.random.default_rng(0).uniform(20, 600, DRIVES)
    covered, long_errors, beyond = 0, [], 0
    for seed, seconds in enumerate(lengths):
        ego = replace(whole.ego, t_ns=whole.ego.t_ns[: int(seconds * 100) + 1])
        own = scene(policies, world, replace(whole, plan=replace(whole.plan, seed=seed), ego=ego))
        clock = draw_clock(clocks, seed, RECORDER, own.start_ns)
        parts = list(render(Utc(own), own))
        stamps = clock.read(np.concatenate([part.arrival_ns for part in parts]))
        measured = np.concatenate([part.measured_ns for part in parts])
        fit = fit_clock(TimePairs(stamps, measured - stamps), bounds, start_ns=int(stamps[0]))
        error = abs(fit.drift_ppm + clock.drift_ppb / 1e3)
        covered += error < 1.96 * fit.drift_se_ppm
        if seconds >= 300:
            long_errors.append(error)
        else:
            beyond += error > 3 * fit.drift_se_ppm
    assert 0.93 <= covered / DRIVES <= 0.97
    assert max(long_errors) < 2
    assert beyond <= 0.01 * DRIVES
