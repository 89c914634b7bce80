"""The vehicle spec of the simulated car says what the simulator does."""

import pytest

from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.sensors.can_database import FILE_NAME, MESSAGES, RADAR_PREFIX, RADAR_SLOTS
from services.fleet_simulator.sensors.catalogue import CAMERA, GROUPS

POLICIES = load_policies()
SPEC = POLICIES["vehicles/sim_car"]
SIMULATED = POLICIES["simulation"]["sensors"]


@pytest.mark.parametrize("name", sorted(SPEC["sensors"]))
def test_rates_and_latencies_are_those_of_the_simulation(name: str) -> None:
    stated, made = SPEC["sensors"][name], SIMULATED["timing"][name]
    assert stated["latency_ms"] == made["latency_ms"]
    nominal, tolerance = stated["rate_hz"]["nominal"], stated["rate_hz"]["tolerance"]
    assert abs(made["rate_hz"] - nominal) <= tolerance * nominal
    assert name == CAMERA or made["rate_hz"] == nominal


def test_every_simulated_sensor_is_in_the_spec_and_the_other_way_round() -> None:
    assert {part for parts in GROUPS.values() for part in parts} | {CAMERA} == set(SPEC["sensors"])


def test_places_and_messages_agree() -> None:
    assert SPEC["frames"]["sensors"]["radar"]["x_m"] == SIMULATED["radar"]["ahead_m"]
    lidar = SPEC["frames"]["sensors"]["lidar"]
    assert (lidar["x_m"], lidar["z_m"]) == (SIMULATED["lidar"]["ahead_m"], SIMULATED["lidar"]["height_m"])
    assert SPEC["dbc"] == {"vehicle": {"path": FILE_NAME}}
    names = {message.name for message in MESSAGES}
    wanted = [sensor["messages"] for sensor in SPEC["sensors"].values() if isinstance(sensor.get("messages"), list)]
    assert {name for group in wanted for name in group} <= names
    assert SPEC["sensors"]["radar"]["messages"] == {"prefix": RADAR_PREFIX, "instances": RADAR_SLOTS}
