"""No comparison of the gate on rates of events can be turned round unnoticed."""

from typing import Final

from fleet_assets.evidence.poisson import poisson_bounds
from fleet_assets.mining.scene_detection_and_event_triggers.rates import Watched
from tests.gate_mutants import Judged, Scenario, assert_held

POLICY = "0" * 64
RATES: Final = "fleet_assets.mining.scene_detection_and_event_triggers.rates"
BOUNDS: Final = poisson_bounds(10, 10.0, 0.995)
"""Of ten events in 1,000 km, as one trigger has them at 99 % for both limits together."""


def rated(events: int, km: float, most: float, least: float = 0.0, *, waiting: int = 0, name: str = "a") -> Scenario:
    """One trigger with its count, its distance and its limits."""
    limits = {"a": {"most_per_100km": most, "least_per_100km": least}}
    watched, policy = {name: Watched(events, km * 1000.0)}, {"confidence": 0.99, "least_km": 0.1}
    return lambda gate: gate(watched, limits, waiting, policy, policy_digest=POLICY)


def test_every_comparison_is_held_by_a_scenario() -> None:
    assert_held(
        Judged(
            RATES,
            "rate_verdict",
            ("rate_verdict", "_trigger_verdict"),
            [
                rated(10, 1000.0, BOUNDS.low),
                rated(10, 1000.0, BOUNDS.low * 0.999),
                rated(10, 1000.0, 100.0, BOUNDS.high),
                rated(10, 1000.0, 100.0, BOUNDS.high * 1.001),
                rated(0, 0.1, 100.0),
                rated(0, 0.099, 100.0),
                rated(0, 10.0, 100.0, waiting=1),
                rated(0, 10.0, 100.0, name="unknown"),
            ],
        )
    )
