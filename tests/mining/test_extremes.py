"""What of a clip goes beyond ordinary driving: exact numbers, what is missing, and what a policy may not say."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from fleet_assets.mining.embeddings_and_vector_index.extremes import Extremes, compile_extremes
from fleet_assets.mining.embeddings_and_vector_index.motion import motion_vector
from fleet_assets.mining.embeddings_and_vector_index.operators import extremes_of
from fleet_assets.perception.vectors import cosines
from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.documents import InvalidPolicyError, load_policies

POLICIES = load_policies()
MOTION: Mapping[str, Any] = POLICIES["embeddings"]["motion"]
CANONICAL = parse_canonical_signals(POLICIES["canonical_signals"], POLICIES.digest("canonical_signals"))
STEP_NS = 100_000_000
COUNT = 200


def compiled(**kinds: Any) -> Extremes:
    policy = {"limit": 3, "max_window_s": 5, "definitions": {"along": "change(speed_mps, 0.1 s)"}, "kinds": kinds}
    return compile_extremes(policy, CANONICAL)


def forward(**changed: Any) -> dict[str, Any]:
    return {"of": ["along"], "ordinary": "2 m/s^2", "scale": "0.5 m/s^2", **changed}


def instants(count: int = COUNT) -> Any:
    return np.arange(count, dtype=np.int64) * STEP_NS


def gaining(acceleration: float) -> Any:
    """20 s at 10 m/s, and one second of acceleration after ten."""
    return 10.0 + acceleration * np.clip(instants() / 1e9 - 10.0, 0.0, 1.0)


@pytest.mark.parametrize(("acceleration", "steps"), [(1.0, 0.0), (2.0, 0.0), (3.0, 2.0), (3.25, 2.5), (9.0, 3.0)])
def test_the_greatest_value_counts_in_steps_beyond_the_ordinary_up_to_the_limit(
    acceleration: float, steps: float
) -> None:
    found = compiled(forward=forward(), half=forward(weight=0.5))(instants(), {"speed_mps": gaining(acceleration)})
    assert found == pytest.approx([steps, steps / 2], abs=1e-6)


def test_values_count_only_where_the_condition_holds() -> None:
    extremes = compiled(fast=forward(where="speed_mps >= 20 m/s"), slow=forward(where="speed_mps < 20 m/s"))
    assert extremes(instants(), {"speed_mps": gaining(3.0)}) == pytest.approx([0.0, 2.0], abs=1e-6)


def test_of_several_expressions_the_first_with_a_value_counts_and_what_is_not_measured_is_not_extreme() -> None:
    extremes = compiled(forward=forward(of=["along", "change(gnss_speed_mps, 0.1 s)"]))
    none, wild = np.full(COUNT, np.nan), gaining(9.0)
    assert extremes(instants(), {"speed_mps": gaining(3.0), "gnss_speed_mps": wild}) == pytest.approx([2.0], abs=1e-6)
    assert extremes(instants(), {"speed_mps": none, "gnss_speed_mps": wild}) == pytest.approx([3.0])
    assert extremes(instants(), {"speed_mps": none}).tolist() == [0.0]
    assert extremes(instants(0), {}).tolist() == [0.0]


def test_nothing_is_measured_across_a_break_of_the_grid() -> None:
    speed, t_ns = np.where(np.arange(COUNT) < 100, 5.0, 30.0), instants()
    assert compiled(forward=forward())(t_ns, {"speed_mps": speed}).tolist() == [3.0]
    t_ns[100:] += 10 * STEP_NS
    assert compiled(forward=forward())(t_ns, {"speed_mps": speed}).tolist() == [0.0]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (forward(of=["speed_mps"]), "`speed_mps` gives m/s"),
        (forward(scale="0.5 m/s"), "scale m/s"),
        (forward(scale="0 m/s^2"), "not above 0"),
        (forward(of=["sped_mps"]), "speed_mps"),
        (forward(where="speed_mps"), "Compare it"),
    ],
)
def test_a_kind_that_breaks_a_rule_is_named_with_what_to_do(kind: Any, said: str) -> None:
    with pytest.raises(InvalidPolicyError, match="motion/extremes/kinds/wrong") as refused:
        compiled(right=forward(), wrong=kind)
    assert said in str(refused.value)
    assert "kinds/right" not in str(refused.value)


def test_the_shipped_kinds_read_signals_that_there_are_and_ordinary_driving_is_none_of_them() -> None:
    extremes = extremes_of(POLICIES)
    assert extremes.signals <= {one.name for one in CANONICAL.on_grid}
    t = instants() / 1e9
    calm = {
        "speed_mps": 12.0 + 2.0 * np.sin(t / 3.0),
        "yaw_rate_radps": 0.05 * np.sin(t / 4.0),
        "lead_distance_m": np.full(COUNT, 40.0),
        "lead_rel_speed_mps": np.full(COUNT, -1.0),
        "adas_engaged": np.zeros(COUNT),
        "adas_state": np.zeros(COUNT),
    }
    assert extremes(instants(), calm).tolist() == [0.0] * len(MOTION["extremes"]["kinds"])


@pytest.mark.parametrize("seconds", [1.0, 2.0])
def test_a_rare_second_outweighs_the_ordinary_rest_of_a_clip(seconds: float) -> None:
    """A second of hard acceleration in town is more like one on a motorway than like town without it."""
    extremes, t = extremes_of(POLICIES), instants() / 1e9

    def vector(speed: Any, yaw_rate: float) -> Any:
        moved = motion_vector(
            instants(), {"speed_mps": speed, "yaw_rate_radps": np.full(COUNT, yaw_rate)}, MOTION, extremes
        )
        return moved.vector[None]

    gain = 4.5 * np.clip(t - 8.0, 0.0, seconds)
    town, motorway, calm = vector(8.0 + gain, 0.05), vector(28.0 + gain, 0.0), vector(np.full(COUNT, 8.0), 0.05)
    assert cosines(town, motorway)[0, 0] > cosines(town, calm)[0, 0] + 0.1
