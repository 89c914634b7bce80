"""The shipped triggers and the shipped vehicles fit each other."""

from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.triggers import compile_triggers
from tests.vehicles import CANONICAL


def test_the_shipped_triggers_compile_for_every_shipped_vehicle() -> None:
    policies = load_policies()
    names = [name.removeprefix("vehicles/") for name in policies.documents if name.startswith("vehicles/")]
    for name in names:
        made = compile_triggers(
            policies["triggers"], policies.digest("triggers"), CANONICAL, vehicle_spec=name, vehicle_id="x"
        )
        assert {one.name for one in made.triggers} == {
            "hard_brake",
            "hard_acceleration",
            "harsh_cornering",
            "cut_in",
            "tailgating",
            "stationary_hazard",
            "engagement",
            "disengagement",
            "driver_override",
            "speeding",
            "swerve",
            "low_visibility",
            "gnss_denied",
            "near_miss",
        }
