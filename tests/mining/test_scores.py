"""What an event is worth: each of the four numbers at its ends, and what the policy's weights make of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.mining.scene_detection_and_event_triggers.drive_signals import DriveSignals
from fleet_assets.mining.scene_detection_and_event_triggers.events import event_rows
from fleet_assets.mining.scene_detection_and_event_triggers.scores import (
    NUMBERS,
    Likeness,
    disagreement,
    diversity,
    rarity,
    scored,
    uncertainty,
)
from fleet_assets.policy.trigger_runs import TriggerEvent
from fleet_assets.policy.triggers import CompiledTrigger, Limits
from tests.mining.test_shipped_triggers import POLICIES, TRIGGERS, instants

NAN = float("nan")
EVENTS = POLICIES["events"]
POLICY = EVENTS["score"]
PAIR = {"a": "speed_mps", "b": "gnss_speed_mps", "tolerance": 1.5}
OTHER = {"a": "wheel_speed_rl_mps", "b": "wheel_speed_rr_mps", "tolerance": 2.0}
SCALE = {"speed_mps": 5.0, "duration_s": 3.0, "apart_s": 60.0}
SECOND_NS = 1_000_000_000
DRIVE = {"drive_id": "d1", "day": "2024-05-01", "depot": "north"}
(HARD_BRAKE,) = (one for one in TRIGGERS.triggers if one.name == "hard_brake")


def drive(**columns: Sequence[float]) -> DriveSignals:
    found = {name: np.array(column, np.float64) for name, column in columns.items()}
    t_ns = instants(len(next(iter(found.values()))) / 10)
    return DriveSignals(t_ns, pa.chunked_array([pa.array(["clip"] * len(t_ns))]), found, frozenset())


def event(start_s: float, seconds: float = 1.0, value: float = -4.0) -> TriggerEvent:
    start, end = round(start_s * SECOND_NS), round((start_s + seconds) * SECOND_NS)
    return TriggerEvent("hard_brake", start, end, start, value, cut=False)


@pytest.mark.parametrize(
    ("usual", "expected"),
    [(1000.0, 0.0), (5000.0, 0.0), (0.01, 1.0), (0.0001, 1.0), (10**0.5, 0.5), (10.0, 0.4), (1.0, 0.6)],
)
def test_rarity_is_a_rate_s_place_on_the_logarithmic_scale(usual: float, expected: float) -> None:
    assert rarity(usual, 1000.0, 0.01) == pytest.approx(expected)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_uncertainty_is_1_on_the_threshold_and_falls_alike_to_both_sides(sign: float) -> None:
    threshold = 3.0 * sign
    assert uncertainty(threshold, threshold, 0.1) == 1.0
    for away in (0.3, -0.3):
        assert uncertainty(threshold + away, threshold, 0.1) == pytest.approx(0.5)
    assert uncertainty(threshold + 0.9, threshold, 0.1) == pytest.approx(0.25)
    assert uncertainty(threshold * 1e9, threshold, 0.1) == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize(("value", "threshold"), [(3.0, None), (NAN, 3.0), (0.0, 0.0)])
def test_without_value_or_threshold_nothing_is_uncertain(value: float, threshold: float | None) -> None:
    assert uncertainty(value, threshold, 0.1) == 0.0


def test_disagreement_is_the_share_of_the_event_in_which_a_pair_is_further_apart_than_it_may() -> None:
    own = drive(speed_mps=[10.0] * 8, gnss_speed_mps=[10.0, 11.5, 8.4, 11.6, 10.0, 99.0, 99.0, 99.0])
    assert disagreement(own, 0, 5, [PAIR]) == pytest.approx(2 / 5)  # at the tolerance they still agree
    assert disagreement(own, 0, 2, [PAIR]) == 0.0
    assert disagreement(own, 5, 8, [PAIR]) == 1.0


def test_instants_at_which_one_of_a_pair_is_silent_say_neither_yes_nor_no() -> None:
    own = drive(speed_mps=[10.0, 10.0, NAN, 10.0], gnss_speed_mps=[NAN, 20.0, 20.0, 10.0])
    assert disagreement(own, 0, 4, [PAIR]) == pytest.approx(1 / 2)
    assert disagreement(own, 0, 1, [PAIR]) == 0.0
    assert disagreement(drive(speed_mps=[10.0] * 4), 0, 4, [PAIR]) == 0.0  # no receiver at all


def test_of_several_pairs_the_one_that_disagrees_most_counts_and_without_pairs_nothing_does() -> None:
    own = drive(
        speed_mps=[10.0] * 4,
        gnss_speed_mps=[10.0, 10.0, 10.0, 20.0],
        wheel_speed_rl_mps=[10.0] * 4,
        wheel_speed_rr_mps=[0.0, 0.0, 0.0, 10.0],
    )
    assert disagreement(own, 0, 4, [PAIR, OTHER]) == disagreement(own, 0, 4, [OTHER, PAIR]) == pytest.approx(3 / 4)
    assert disagreement(own, 0, 4, []) == 0.0


def test_the_first_event_is_wholly_new_and_the_same_again_is_not() -> None:
    own = Likeness(10.0, 2.0, 100.0)
    assert diversity(own, [], SCALE) == 1.0
    assert diversity(own, [own], SCALE) == 0.0


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Likeness(12.0, 2.0, 100.0), 2 / 5),
        (Likeness(10.0, 3.5, 100.0), 1 / 2),
        (Likeness(10.0, 2.0, 85.0), 1 / 4),
        (Likeness(8.0, 3.5, 85.0), 1 / 2),  # the greatest difference counts
        (Likeness(15.0, 2.0, 100.0), 1.0),
        (Likeness(99.0, 9.0, 0.0), 1.0),
    ],
)
def test_diversity_is_the_greatest_difference_in_its_scale(other: Likeness, expected: float) -> None:
    assert diversity(Likeness(10.0, 2.0, 100.0), [other], SCALE) == pytest.approx(expected)


def test_diversity_goes_by_the_most_similar_earlier_event() -> None:
    far, near = Likeness(15.0, 2.0, 100.0), Likeness(11.0, 2.0, 100.0)
    for earlier in ([far, near], [near, far]):
        assert diversity(Likeness(10.0, 2.0, 100.0), earlier, SCALE) == pytest.approx(1 / 5)


def test_an_event_without_a_speed_is_compared_as_one_that_stands() -> None:
    assert Likeness.of(event(3.0, 1.5), NAN) == Likeness(0.0, 1.5, 3.0)


def worth(trigger: CompiledTrigger = HARD_BRAKE, **policy: Any) -> dict[str, float]:
    """The numbers of a second of braking; half of the time the receiver's speed is another."""
    own = drive(speed_mps=[10.0] * 10, gnss_speed_mps=[10.0] * 5 + [20.0] * 5)
    found = event(0.0, value=-3.3)
    likeness = Likeness.of(found, 10.0)
    earlier = [Likeness(11.0, 1.0, 0.0)]
    rules = {**POLICY, "pairs": [PAIR], "unlike": SCALE, "uncertain_within": 0.1, **policy}
    return scored(found, trigger, own, (0, 10), earlier=earlier, own=likeness, policy=rules)


def weights(**given: float) -> Mapping[str, float]:
    return {**dict.fromkeys(NUMBERS, 0.0), **given}


def test_the_four_numbers_of_an_event_are_those_of_its_trigger_its_drive_and_the_policy() -> None:
    trigger = replace(HARD_BRAKE, limits=Limits(10.0, 100.0, 0.0))
    found = worth(trigger, commonest_per_100km=1000, rarest_per_100km=0.01)
    assert trigger.threshold == pytest.approx(-3.0)
    assert [found[name] for name in NUMBERS] == pytest.approx([0.4, 0.5, 0.5, 0.2])


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_with_all_the_weight_is_the_score_and_one_without_weight_does_not_matter(name: str) -> None:
    alone = worth(weights=weights(**{name: 3.0}))
    assert alone["score"] == pytest.approx(alone[name])
    equal = {other: 1.0 for other in NUMBERS if other != name}
    without = worth(weights=weights(**equal))
    assert without["score"] == pytest.approx(sum(without[other] for other in equal) / 3)
    assert without[name] == alone[name]  # it is told all the same


def test_the_score_is_the_mean_by_weight_and_0_without_any_weight() -> None:
    given = weights(rarity=4.0, uncertainty=2.0, disagreement=1.0, diversity=1.0)
    found = worth(weights=given)
    assert found["score"] == pytest.approx(sum(given[name] * found[name] for name in NUMBERS) / 8.0)
    assert worth(weights=weights())["score"] == 0.0


@given(
    st.floats(1e-6, 1e6),
    st.one_of(st.floats(-1e3, 1e3), st.just(NAN)),
    st.lists(st.floats(0.0, 1e6), min_size=4, max_size=4),
    st.lists(st.tuples(st.floats(0, 40), st.floats(0, 9), st.floats(0, 600)), max_size=3),
)
def test_every_number_and_the_score_stay_between_0_and_1(
    usual: float, value: float, weighed: list[float], earlier: list[tuple[float, float, float]]
) -> None:
    trigger = replace(HARD_BRAKE, limits=Limits(usual, usual, 0.0))
    own = drive(speed_mps=[10.0, NAN, 10.0], gnss_speed_mps=[NAN, 1.0, 1.0])
    found = event(0.0, 0.3, value)
    rules = {**POLICY, "weights": dict(zip(NUMBERS, weighed, strict=True))}
    before = [Likeness(*one) for one in earlier]
    numbers = scored(found, trigger, own, (0, 3), earlier=before, own=Likeness.of(found, 10.0), policy=rules)
    assert all(0.0 <= number <= 1.0 for number in numbers.values())


def test_rows_tell_a_first_event_and_its_repetition_apart_and_hold_what_was_found() -> None:
    own = drive(speed_mps=[10.0] * 100, gnss_speed_mps=[10.0] * 50 + [20.0] * 50)
    found = [event(1.0), event(4.0, value=-3.0), replace(event(7.0), value=NAN, cut=True)]
    rows = event_rows(found, own, TRIGGERS, DRIVE, EVENTS).to_pylist()
    assert [row["diversity"] for row in rows] == pytest.approx([1.0, 3.0 / POLICY["unlike"]["apart_s"]] + [0.05])
    assert [row["uncertainty"] for row in rows] == pytest.approx([1 / (1 + (1 / 3) / POLICY["uncertain_within"]), 1, 0])
    assert [row["disagreement"] for row in rows] == [0.0, 0.0, 1.0]
    assert [(row["value"], row["unit"], row["cut"]) for row in rows] == [
        (-4.0, "m/s^2", False),
        (-3.0, "m/s^2", False),
        (None, "m/s^2", True),
    ]
    assert len({row["event_id"] for row in rows}) == 3
    assert {(row["clip_id"], row["policy_version"]) for row in rows} == {("clip", TRIGGERS.version)}
    own_weights = POLICY["weights"]
    for row in rows:
        mean = sum(own_weights[name] * row[name] for name in NUMBERS) / sum(own_weights.values())
        assert row["score"] == pytest.approx(mean)


def test_events_of_another_trigger_make_none_less_new() -> None:
    own = drive(speed_mps=[10.0] * 100)
    found = [event(1.0), replace(event(1.0), trigger="hard_acceleration", value=4.0)]
    assert [row["diversity"] for row in event_rows(found, own, TRIGGERS, DRIVE, EVENTS).to_pylist()] == [1.0, 1.0]
