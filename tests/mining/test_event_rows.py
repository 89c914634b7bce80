"""Rows of events: criticality counts from the front bumper, as the triggers do, and equals closed forms."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from fleet_assets.ingestion.sensor_sync_and_format_conversion.tracks import Track, lead_vehicle
from fleet_assets.mining.scene_detection_and_event_triggers.drive_signals import DriveSignals
from fleet_assets.mining.scene_detection_and_event_triggers.events import event_rows, found_in
from fleet_assets.policy.documents import InvalidPolicyError, digest_of
from fleet_assets.policy.expressions.checking import Parameter
from fleet_assets.policy.expressions.quantities import Quantity
from fleet_assets.policy.trigger_runs import ObjectSlot, TriggerEvent, track_signals
from fleet_assets.policy.triggers import CompiledTriggers, compile_triggers
from tests.mining.test_shipped_triggers import CANONICAL, POLICIES, TRIGGERS, driving, instants, seen

Floats = NDArray[np.float64]
EVENTS = POLICIES["events"]
RULES = EVENTS["criticality"]
DRIVE = {"drive_id": "d1", "day": "2024-05-01", "depot": "north"}
FRONT_M = TRIGGERS.parameters["front"].value
"""From the reference point to the bumper of the vehicle of these tests."""


def compiled(overrides: Sequence[Mapping[str, Any]] = (), **vehicle: str) -> CompiledTriggers:
    """The shipped triggers with other overrides."""
    zone = {"school": {"polygon": [[48.0, 11.0], [48.0, 11.1], [48.1, 11.1]]}}
    document = {**POLICIES["triggers"], "overrides": list(overrides), "geofences": zone}
    return compile_triggers(document, digest_of(document), CANONICAL, **vehicle)


def signals(own: Mapping[str, Floats], **columns: Floats) -> DriveSignals:
    t_ns = instants(len(own["speed_mps"]) / 10)
    clips = pa.chunked_array([pa.array([f"clip-{index // 50}" for index in range(len(t_ns))])])
    return DriveSignals(t_ns, clips, {**own, **columns}, frozenset())


def with_lead(own: Mapping[str, Floats], *slots: ObjectSlot) -> DriveSignals:
    """A drive as alignment and the triggers see it: who is ahead is told by the lead rule of the canonical signals."""
    t_ns = instants(len(own["speed_mps"]) / 10)
    tracked = [one for one in CANONICAL.signals.values() if one.track_column]
    tracks = [
        Track("radar", number, slot.t_ns, {one.name: slot.columns[str(one.track_column)] for one in tracked})
        for number, slot in enumerate(slots)
    ]
    assert CANONICAL.lead is not None
    lead = lead_vehicle(tracks, CANONICAL.lead, CANONICAL, t_ns)
    return signals(own, **lead, **track_signals(TRIGGERS, t_ns, slots, own))


def rows(drive: DriveSignals, trigger: str) -> list[dict[str, Any]]:
    found = found_in(drive, TRIGGERS, DRIVE, EVENTS)["gold.event_windows"].to_pylist()
    return [row for row in found if row["trigger"] == trigger]


def row(drive: DriveSignals, first: int = 0, end: int = 1, made: CompiledTriggers = TRIGGERS) -> dict[str, Any]:
    """The row of an event from one sample to another."""
    start, after = int(drive.t_ns[first]), int(drive.t_ns[end - 1]) + int(drive.t_ns[1] - drive.t_ns[0])
    event = TriggerEvent("hard_brake", start, after, start, -4.0, cut=False)
    (found,) = event_rows([event], drive, made, DRIVE, EVENTS).to_pylist()
    return dict(found)


def at(speed_mps: float, gap_m: float, rel_speed_mps: float, front_m: float = FRONT_M) -> DriveSignals:
    """A second in which nothing changes, the one ahead so far from the bumper."""
    own = driving(1.0, speed_mps)
    still = np.ones(len(own["speed_mps"]))
    return signals(own, lead_distance_m=still * (front_m + gap_m), lead_rel_speed_mps=still * rel_speed_mps)


@pytest.mark.parametrize(("speed", "gap", "closing"), [(8.0, 20.0, 8.0), (25.0, 6.0, 3.0), (33.0, 0.5, 12.0)])
def test_every_measure_equals_its_closed_form_over_the_gap_from_the_bumper(
    speed: float, gap: float, closing: float
) -> None:
    found = row(at(speed, gap, -closing))
    assert found["ttc_s"] == pytest.approx(gap / closing)  # Hayward, 1972
    assert found["thw_s"] == pytest.approx(gap / speed)
    assert found["drac_mps2"] == pytest.approx(closing**2 / (2 * gap))  # Almqvist et al., 1991


@pytest.mark.parametrize("front_speed", [0.0, 12.0, 20.0])
def test_a_gap_just_below_the_published_safe_distance_is_a_violation_and_one_just_above_is_none(
    front_speed: float,
) -> None:
    """Shalev-Shwartz et al., 2017, definition 1, written out with the policy's numbers."""
    speed, rss = 20.0, RULES["rss"]
    rho, accel, least, most = (
        rss[name] for name in ("response_s", "accel_max_mps2", "brake_min_mps2", "brake_max_mps2")
    )
    safe = speed * rho + accel * rho**2 / 2 + (speed + rho * accel) ** 2 / (2 * least) - front_speed**2 / (2 * most)
    assert safe > FRONT_M  # else the place that is counted from would not matter
    outcomes = [row(at(speed, safe + by, front_speed - speed))["rss_violated"] for by in (-0.01, 0.01)]
    assert outcomes == [True, False]


def test_the_worst_moment_of_an_event_counts_and_none_beside_it() -> None:
    own = driving(2.0, 10.0)
    gap = np.linspace(30.0, 11.0, 20)
    gap[15:] = 1.0
    closing = np.where(np.arange(20) == 7, 6.0, 2.0)
    drive = signals(own, lead_distance_m=FRONT_M + gap, lead_rel_speed_mps=-closing)
    found = row(drive, 5, 10)
    assert found["ttc_s"] == pytest.approx(gap[7] / 6.0)
    assert found["thw_s"] == pytest.approx(gap[9] / 10.0)
    assert found["drac_mps2"] == pytest.approx(36.0 / (2 * gap[7]))


def test_where_nobody_is_ahead_or_nobody_is_before_the_bumper_there_is_no_criticality() -> None:
    nobody = signals(driving(1.0, 10.0))
    beside = at(10.0, -0.2, -3.0)
    for drive in (nobody, beside):
        found = row(drive)
        assert [found[name] for name in ("ttc_s", "thw_s", "drac_mps2", "rss_violated")] == [None] * 4


def test_a_vehicle_and_a_type_with_another_front_are_measured_from_their_own() -> None:
    overrides = [
        {"vehicle_spec": "truck", "parameters": {"front": "1.2 m"}},
        {"vehicle": "truck-7", "parameters": {"front": "90 cm"}},
    ]
    drive = at(10.0, 20.0, -5.0, front_m=1.2)
    assert row(drive, made=compiled(overrides, vehicle_spec="truck", vehicle_id="truck-1"))["ttc_s"] == 4.0
    assert row(drive, made=compiled(overrides, vehicle_spec="truck", vehicle_id="truck-7"))["ttc_s"] == pytest.approx(
        20.3 / 5
    )
    assert row(drive, made=compiled(overrides, vehicle_spec="car"))["ttc_s"] == pytest.approx((21.2 - FRONT_M) / 5)


def test_every_shipped_vehicle_with_a_front_radar_is_measured_from_where_its_radar_sits() -> None:
    """A spec says how far ahead of the reference point, that distances count from, its radar is: behind the bumper."""
    radars = {
        name.removeprefix("vehicles/"): body["frames"]["sensors"]["radar"]["x_m"]
        for name, body in POLICIES.documents.items()
        if name.startswith("vehicles/") and "radar" in body.get("frames", {}).get("sensors", {})
    }
    assert len(radars) >= 2
    fronts = {
        name: compile_triggers(POLICIES["triggers"], "0" * 64, CANONICAL, vehicle_spec=name).parameters["front"].value
        for name in radars
    }
    assert fronts == pytest.approx(radars)


@pytest.mark.parametrize(
    ("overrides", "front", "message"),
    [
        ((), "nose", "no shared parameter 'nose'. Known: front, half_width"),
        (({"geofence": "school", "parameters": {"front": "2 m"}},), "front", "differs from place to place"),
    ],
)
def test_a_front_that_is_not_one_length_of_the_vehicle_is_refused(
    overrides: Sequence[Mapping[str, Any]], front: str, message: str
) -> None:
    policy = {**EVENTS, "criticality": {**RULES, "front": front}}
    with pytest.raises(InvalidPolicyError, match=message):
        event_rows([], at(10.0, 20.0, -5.0), compiled(overrides), DRIVE, policy)


def test_a_front_in_seconds_is_refused() -> None:
    parameters = {**TRIGGERS.parameters, "front": Parameter(Quantity.of("s"), 3.7)}
    with pytest.raises(InvalidPolicyError, match=r"is given in s \(time\)"):
        event_rows([], at(10.0, 20.0, -5.0), replace(TRIGGERS, parameters=parameters), DRIVE, EVENTS)


def approach(gap_m: float, closing_mps: float, lateral_m: float = 0.0) -> ObjectSlot:
    """Somebody who is met from the first second on until the bumper would touch, then brakes away."""

    def distance_m(t: Floats) -> Floats:
        return np.asarray(FRONT_M + gap_m - closing_mps * np.maximum(t - 1.0, 0.0))

    return seen(8.0, distance_m, lateral_m, -closing_mps)


@pytest.mark.parametrize(("gap", "closing"), [(40.05, 8.0), (30.3, 5.0), (19.9, 3.0)])
def test_the_ttc_of_a_near_miss_is_its_value_down_to_contact(gap: float, closing: float) -> None:
    (found,) = rows(with_lead(driving(8.0, 12.0), approach(gap, closing)), "near_miss")
    assert found["ttc_s"] == pytest.approx(found["value"], abs=1e-12)
    assert found["value"] < 0.1  # 10 Hz: contact lies within the next instant
    # Near contact the needed deceleration grows beyond all bounds: nothing is added to the gap.
    assert found["drac_mps2"] == pytest.approx(closing / (2 * found["value"]))
    assert found["rss_violated"]


@pytest.mark.parametrize("headway", [0.3, 0.6, 0.85])
def test_the_headway_of_tailgating_is_its_value(headway: float) -> None:
    speed = 15.0
    followed = seen(8.0, lambda t: FRONT_M + headway * speed + 0.5 * np.sin(t), 0.0, lambda t: 0.5 * np.cos(t))
    (found,) = rows(with_lead(driving(8.0, speed), followed), "tailgating")
    # The value is of distances that are steadied over 0.4 s.
    assert found["thw_s"] == pytest.approx(found["value"], abs=1e-3)
    assert found["value"] == pytest.approx(headway - 0.5 / speed, abs=0.01)


def test_in_a_bend_the_triggers_follow_the_driven_circle_and_the_columns_the_lead_straight_ahead() -> None:
    """The one difference between value and columns: whose corridor somebody is in."""
    own, radius_m = driving(4.0, 12.0, 0.3), 40.0

    def distance_m(t: Floats) -> Floats:
        return np.asarray(FRONT_M + 42.0 - 10.0 * t)

    met = seen(3.0, distance_m, lambda t: 0.5 * distance_m(t) ** 2 / radius_m, -10.0)
    (found,) = rows(with_lead(own, met), "near_miss")
    assert found["value"] == pytest.approx(1.2, abs=0.2)
    assert found["ttc_s"] is None


def test_at_the_edge_of_the_lead_s_corridor_the_columns_speak_of_somebody_whom_no_near_miss_is_with() -> None:
    assert CANONICAL.lead is not None
    edge = CANONICAL.lead.corridor_half_width_m - 0.05
    drive = with_lead(driving(8.0, 12.0), approach(40.05, 8.0, edge))
    assert rows(drive, "near_miss") == []
    assert row(drive, 0, 80)["ttc_s"] < 0.1
