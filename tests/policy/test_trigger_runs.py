"""Triggers over columns and sample by sample are one thing; and what a trigger's times, states and places mean."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fleet_assets.policy.documents import load_document
from fleet_assets.policy.expressions.columnar import Columns
from fleet_assets.policy.expressions.streaming import Stream
from fleet_assets.policy.trigger_runs import (
    DisorderedSamplesError,
    ObjectSlot,
    TriggerEvent,
    VehicleTracks,
    VehicleTriggers,
    drive_events,
    track_signals,
)
from fleet_assets.policy.triggers import CompiledTriggers, compile_triggers
from tests.vehicles import CANONICAL

STEP_NS = 100_000_000
START_NS = 1_714_550_400_000_000_000
NAN = math.nan
Signals = Mapping[str, NDArray[np.float64]]
VALUE = {"of": "speed_mps", "peak": "most", "unit": "m/s"}
RATE = {"usual_per_100km": 1, "most_per_100km": 10}


def document(triggers: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
    position = {"lat": "lat_deg", "lon": "lon_deg"}
    head = {"schema": "fleet.triggers/v1", "version": "1.0.0", "max_window_s": 10, "track_hold_s": 0.2}
    return {**head, "position": position, "triggers": triggers, **parts}


def compiled(triggers: Mapping[str, Any], vehicle_id: str = "", **parts: Any) -> CompiledTriggers:
    return compile_triggers(document(triggers, **parts), "0" * 64, CANONICAL, vehicle_spec="v", vehicle_id=vehicle_id)


def plain(start: str, **body: Any) -> dict[str, Any]:
    return {"description": "d", "start": start, "min_s": 0, "max_s": 100, "value": VALUE, "rate": RATE, **body}


def instants(count: int) -> NDArray[np.int64]:
    return START_NS + np.arange(count) * STEP_NS


def streamed(made: CompiledTriggers, t_ns: Iterable[int], signals: Signals) -> list[TriggerEvent]:
    """Events as a vehicle finds them, in the order of `drive_events`."""
    vehicle, found = VehicleTriggers(made), []
    for index, at in enumerate(t_ns):
        found += vehicle.step(int(at), {name: float(column[index]) for name, column in signals.items()})
    found += vehicle.finish()
    order = [one.name for one in made.triggers]
    return sorted(found, key=lambda event: (event.start_ns, order.index(event.trigger), event.end_ns))


def bits(column: Any) -> NDArray[np.uint64]:
    """Every bit of the numbers; all NaN are one."""
    values = np.array(column, dtype=np.float64)
    values[np.isnan(values)] = NAN
    return values.view(np.uint64)


def spans(events: Sequence[TriggerEvent]) -> list[tuple[int, int]]:
    """Events as first sample and end."""
    return [((one.start_ns - START_NS) // STEP_NS, (one.end_ns - START_NS) // STEP_NS) for one in events]


def found(made: CompiledTriggers, **signals: Sequence[float]) -> list[TriggerEvent]:
    columns = {name: np.array(column, np.float64) for name, column in signals.items()}
    t_ns = instants(len(next(iter(columns.values()))))
    events = drive_events(made, t_ns, columns)
    assert repr(streamed(made, t_ns, columns)) == repr(events)
    return events


WINDOWS = st.integers(1, 12).map(lambda steps: f"{steps / 10} s")
LEAVES = st.sampled_from(
    ["speed_mps", "gnss_speed_mps", "wheel_speed_fl_mps", "3 m/s", "-0.5 m/s", "0 m/s", "limit", "own"]
)


def _numbers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two, windows = st.tuples(inner, inner), st.tuples(inner, WINDOWS)
    return st.one_of(
        two.flatmap(lambda pair: st.sampled_from([f"({pair[0]} + {pair[1]})", f"({pair[0]} - {pair[1]})"])),
        two.flatmap(lambda pair: st.sampled_from([f"min({pair[0]}, {pair[1]})", f"max({pair[0]}, {pair[1]})"])),
        two.map(lambda pair: f"({pair[0]} * {pair[1]} / max(abs({pair[1]}), 1 m/s))"),
        two.map(lambda pair: f"({pair[0]} / ({pair[1]} / 1 m/s))"),
        inner.map(lambda one: f"abs(-{one})"),
        windows.flatmap(
            lambda pair: st.sampled_from(["mean", "minimum", "maximum", "delay", "last"]).map(
                lambda name: f"{name}({pair[0]}, {pair[1]})"
            )
        ),
        windows.map(lambda pair: f"(change({pair[0]}, {pair[1]}) * 1 s)"),
    )


NUMBERS = st.recursive(LEAVES, _numbers, max_leaves=4)
COMPARISONS = st.tuples(NUMBERS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMBERS).map(" ".join)
FLAGS = st.sampled_from(["brake_pressed", "adas_engaged", "missing(speed_mps)", "present(brake_pressed)", "true"])


def _conditions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    windows = st.tuples(st.sampled_from(["throughout", "recently", "was"]), inner, WINDOWS)
    return st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map(lambda part: f"({''.join(part)})"),
        inner.map(lambda one: f"not ({one})"),
        windows.map(lambda part: f"{part[0]}({part[1]}, {part[2]})"),
        st.tuples(inner, WINDOWS).map(lambda part: f"share({part[0]}, {part[1]}) >= 0.5"),
    )


CONDITIONS = st.recursive(st.one_of(COMPARISONS, FLAGS), _conditions, max_leaves=4)
SECONDS = st.sampled_from([0, 0.1, 0.15, 0.3, 0.5, 1])
PLAIN = st.builds(
    lambda start, hold, least, longer, pause, rest: plain(
        start, hold=hold, min_s=least, max_s=least + longer, bridge_s=pause, refractory_s=rest
    ),
    CONDITIONS,
    CONDITIONS,
    SECONDS,
    st.sampled_from([0.3, 1, 3]),
    SECONDS,
    SECONDS,
)
EXITS = st.fixed_dictionaries(
    {"to": st.sampled_from(["idle", "maybe", "on", "off"])},
    optional={"after_s": SECONDS, "when": CONDITIONS},
).filter(lambda one: len(one) > 1)
PARTS = {"idle": "outside", "maybe": "candidate", "on": "open", "off": "closing"}
ALLOWED = {"idle": {"maybe", "on", "idle"}, "maybe": {"idle", "on"}, "on": {"idle", "off"}, "off": {"idle", "on"}}


def _machine(exits: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    states = {}
    for (name, part), own in zip(PARTS.items(), exits, strict=True):
        kept = [dict(one) for one in own if one["to"] in ALLOWED[name]]
        states[name] = {"event": part, "exits": kept or [{"to": "idle", "after_s": 0.2}]}
    return {"description": "d", "begins": "idle", "states": states, "value": {**VALUE, "peak": "least"}, "rate": RATE}


MACHINES = st.tuples(*[st.lists(EXITS, min_size=1, max_size=3)] * 4).map(_machine)
TRIGGERS = st.one_of(PLAIN, MACHINES)


def drawn(seed: int, count: int) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Signals on few levels with silences, on a grid from which some instants are missing."""
    rng = np.random.default_rng(seed)
    signals = {}
    for name in ("speed_mps", "gnss_speed_mps", "wheel_speed_fl_mps"):
        level = np.repeat(rng.integers(-3, 6, count), rng.integers(1, 6, count))[:count].astype(np.float64)
        level = level + rng.choice([0.0, 0.25, 1 / 3], count)
        signals[name] = np.where(rng.random(count) < rng.choice([0.0, 0.1]), NAN, level)
    # Places on a coarse raster: inside, outside, on edges and corners of the zones, and unknown.
    for name, corner in (("lat_deg", 48.0), ("lon_deg", 11.0)):
        place = corner + np.repeat(rng.integers(-1, 4, count), rng.integers(1, 9, count))[:count] / 20
        signals[name] = np.where(rng.random(count) < rng.choice([0.0, 0.1]), NAN, place)
    for name in ("brake_pressed", "adas_engaged"):
        held = np.repeat(rng.integers(0, 2, count), rng.integers(1, 9, count))[:count].astype(np.float64)
        signals[name] = np.where(rng.random(count) < rng.choice([0.0, 0.1]), NAN, held)
    if rng.random() < 0.2:
        del signals["gnss_speed_mps"]
    t_ns = instants(count)
    if rng.random() < 0.3:
        t_ns = t_ns + (np.arange(count) > count // 2) * STEP_NS * 7
    return t_ns, signals


ZONES: Mapping[str, Any] = {
    "square": {"polygon": [[48.0, 11.0], [48.0, 11.1], [48.1, 11.1], [48.1, 11.0]]},
    "notched": {"polygon": [[47.97, 10.97], [48.12, 11.03], [47.98, 11.13], [48.03, 11.04]]},
}
VEHICLE = {"vehicle_spec": "v", "vehicle": "one"}
"""Whom the triggers of these tests are compiled for."""
SPEEDS = st.sampled_from(["0 m/s", "1 m/s", "3 km/h", "-2 m/s"])
FOR_WHOM = st.sampled_from(
    [*({"geofence": name} for name in ZONES), *({key: name} for key, name in VEHICLE.items()), {"vehicle": "other"}]
)
OVERRIDES = st.lists(
    st.tuples(FOR_WHOM, st.dictionaries(st.sampled_from(["limit", "t0.own"]), SPEEDS, min_size=1)).map(
        lambda pair: {**pair[0], "parameters": pair[1]}
    ),
    max_size=4,
)
CASES = (st.lists(TRIGGERS, min_size=1, max_size=2), OVERRIDES, st.integers(0, 2**32), st.integers(1, 90))


def policy_of(triggers: Sequence[Mapping[str, Any]], overrides: Sequence[Mapping[str, Any]] = ()) -> CompiledTriggers:
    """Triggers with a shared parameter and one of their own, other ones in places and for vehicles."""
    bodies = {f"t{index}": {**body, "parameters": {"own": "2 m/s"}} for index, body in enumerate(triggers)}
    made = document(bodies, parameters={"limit": "1 m/s"}, geofences=ZONES, overrides=list(overrides))
    whom = {"vehicle_spec": VEHICLE["vehicle_spec"], "vehicle_id": VEHICLE["vehicle"]}
    return compile_triggers(made, "0" * 64, CANONICAL, **whom)


def same_bits(
    triggers: Sequence[Mapping[str, Any]], overrides: Sequence[Mapping[str, Any]], seed: int, count: int
) -> None:
    """The columnar form equals the recurrence: in every operation's every value, and in every event."""
    made = policy_of(triggers, overrides)
    t_ns, signals = drawn(seed, count)
    assert repr(streamed(made, t_ns, signals)) == repr(drive_events(made, t_ns, signals))
    stream = Stream(made.plan, range(len(made.plan.nodes)))
    rows = [stream.step({name: float(column[index]) for name, column in signals.items()}) for index in range(count)]
    columns = Columns(made.plan, signals, count)
    for root, node in enumerate(made.plan.nodes):
        truths = isinstance(rows[0][root], bool)
        column = columns.truth(root) if truths else columns.number(root)
        assert np.array_equal(bits([row[root] for row in rows]), bits(column)), node


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(*CASES)
def test_random_policies_give_the_same_bits_both_ways(
    triggers: list[Any], overrides: list[Any], seed: int, count: int
) -> None:
    same_bits(triggers, overrides, seed, count)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(*CASES)
def test_a_thousand_random_policies_give_the_same_bits_both_ways(
    triggers: list[Any], overrides: list[Any], seed: int, count: int
) -> None:
    same_bits(triggers, overrides, seed, count)


def test_the_policies_of_that_test_do_find_events() -> None:
    """A comparison of nothing with nothing would prove nothing."""
    made = compiled({"t": plain("speed_mps > 1 m/s", min_s=0.2)})
    assert sum(len(drive_events(made, *drawn(seed, 80))) for seed in range(20)) > 50


@pytest.mark.parametrize("whom", [*({"geofence": name} for name in ZONES), *({key: VEHICLE[key]} for key in VEHICLE)])
@pytest.mark.parametrize("parameter", ["limit", "t0.own"])
def test_the_places_and_vehicles_of_that_test_do_change_its_events(whom: Mapping[str, str], parameter: str) -> None:
    override = {**whom, "parameters": {parameter: "4 m/s"}}
    trigger = plain(f"speed_mps > {parameter.rpartition('.')[2]}", min_s=0.2)
    usual, other = policy_of([trigger]), policy_of([trigger], [override])
    changed = [drive_events(usual, *drawn(seed, 80)) != drive_events(other, *drawn(seed, 80)) for seed in range(20)]
    assert sum(changed) > 10


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(20, 90))
def test_signals_over_tracked_objects_are_the_same_both_ways(seed: int, count: int) -> None:
    tracks = {
        "near_m": {"of": "distance_m", "where": "recently(abs(lateral_m) > 1 m, 0.4 s)", "peak": "least", "unit": "m"},
        "far_m": {
            "of": "mean(distance_m, 0.3 s)",
            "where": "share(speed_mps > 1 m/s, 0.5 s) > 0.2 and rel_speed_mps < 1 m/s",
            "peak": "most",
            "unit": "m",
        },
    }
    made = compiled({"t": plain("near_m < 5 m")}, track_signals=tracks)
    rng = np.random.default_rng(seed)
    t_ns, signals = drawn(seed, count)
    slots = []
    for _ in range(3):
        own = np.sort(rng.choice(t_ns[0] + np.arange(count * 4) * STEP_NS // 4, count, replace=False))
        names = ("distance_m", "lateral_m", "rel_speed_mps")
        slots.append(ObjectSlot(own, {name: rng.integers(-3, 9, count).astype(np.float64) for name in names}))
    whole = track_signals(made, t_ns, slots, signals)
    vehicle = VehicleTracks(made)
    for index, at in enumerate(t_ns.tolist()):
        latest = {}
        for number, slot in enumerate(slots):
            place = int(np.searchsorted(slot.t_ns, at, side="right")) - 1
            if place >= 0 and at - slot.t_ns[place] <= 0.2e9:
                latest[number] = {name: float(column[place]) for name, column in slot.columns.items()}
        sample = {name: float(column[index]) for name, column in signals.items()}
        now = vehicle.step(at, latest, sample)
        for name, value in now.items():
            assert np.array_equal(bits([value]), bits([whole[name][index]])), (name, index)


def test_an_event_lasts_from_the_first_to_the_last_sample_that_holds() -> None:
    made = compiled({"t": plain("speed_mps > 3 m/s")})
    (event,) = found(made, speed_mps=[1, 4, 5, 4, 1])
    assert spans([event]) == [(1, 4)]
    assert (event.peak_ns, event.value, event.cut) == (START_NS + 2 * STEP_NS, 5.0, False)


def test_hysteresis_keeps_an_event_open_between_the_thresholds() -> None:
    made = compiled({"t": plain("speed_mps >= 5 m/s", hold="speed_mps >= 3 m/s")})
    assert spans(found(made, speed_mps=[3, 4, 5, 4, 3, 2, 4, 5])) == [(2, 5), (7, 8)]


def test_what_is_shorter_than_the_minimum_is_no_event_and_times_are_rounded_up() -> None:
    made = compiled({"t": plain("speed_mps > 3 m/s", min_s=0.15)})
    assert spans(found(made, speed_mps=[0, 4, 0, 4, 4, 0])) == [(3, 5)]


def test_short_pauses_are_bridged_and_longer_ones_are_not() -> None:
    made = compiled({"t": plain("speed_mps > 3 m/s", bridge_s=0.2)})
    assert spans(found(made, speed_mps=[4, 0, 0, 4, 0, 0, 0, 4])) == [(0, 4), (7, 8)]


def test_a_bridged_pause_is_part_of_an_event_that_has_not_lasted_long_enough_yet() -> None:
    made = compiled({"t": plain("speed_mps > 3 m/s", min_s=0.4, bridge_s=0.2)})
    assert spans(found(made, speed_mps=[0, 4, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 4, 4])) == [(1, 5)]
    assert spans(found(made, speed_mps=[4, 4, 0, 4, 4, 0, 0, 0])) == [(0, 5)]
    assert spans(found(made, speed_mps=[4, 0, 4, 0, 0, 0, 4, 4, 4])) == []


def test_the_value_of_a_pause_counts_only_if_the_event_goes_on() -> None:
    made = compiled({"t": plain("brake_pressed", bridge_s=0.2)})
    (event,) = found(made, brake_pressed=[1, 0, 1, 0, 0], speed_mps=[1, 7, 2, 9, 9])
    assert event.value == 7.0


def test_an_event_ends_at_its_longest_and_none_begins_while_the_trigger_rests() -> None:
    made = compiled({"t": plain("speed_mps > 3 m/s", max_s=0.3, refractory_s=0.4)})
    assert spans(found(made, speed_mps=[4] * 12)) == [(0, 3), (8, 11)]


def test_an_event_that_is_open_when_the_drive_ends_is_kept_and_says_so() -> None:
    made = compiled({"t": plain("speed_mps > 3 m/s", min_s=0.2)})
    (event,) = found(made, speed_mps=[0, 4, 4])
    assert event.cut
    assert spans([event]) == [(1, 3)]
    assert found(made, speed_mps=[0, 0, 4]) == []  # a candidate is none


def test_a_missing_instant_breaks_the_stretch() -> None:
    made = compiled({"t": plain("mean(speed_mps, 0.2 s) > 3 m/s")})
    t_ns = np.delete(instants(6), 3)
    columns = {"speed_mps": np.full(5, 4.0)}
    events = drive_events(made, t_ns, columns)
    assert spans(events) == [(1, 3), (5, 6)]
    assert repr(streamed(made, t_ns, columns)) == repr(events)


def test_samples_out_of_order_are_refused_by_name() -> None:
    made = compiled({"t": plain("speed_mps > 3 m/s")})
    with pytest.raises(DisorderedSamplesError, match="Sort the drive by time"):
        drive_events(made, instants(3)[::-1], {})
    vehicle = VehicleTriggers(made)
    vehicle.step(START_NS, {})
    with pytest.raises(DisorderedSamplesError, match="is not after the one"):
        vehicle.step(START_NS, {})


SQUARE = {"school": {"polygon": [[48.0, 11.0], [48.0, 11.1], [48.1, 11.1], [48.1, 11.0]]}}


def test_a_place_a_vehicle_and_a_type_may_have_limits_of_their_own() -> None:
    triggers = {"t": plain("speed_mps > limit", parameters={"limit": "10 m/s"})}
    overrides = [
        {"geofence": "school", "parameters": {"t.limit": "5 m/s"}},
        {"vehicle": "truck", "parameters": {"t.limit": "8 m/s"}},
        {"vehicle_spec": "other", "parameters": {"t.limit": "1 m/s"}},
    ]
    speeds = {"speed_mps": [6.0, 6.0, 9.0, 9.0], "lat_deg": [48.05, 47.0, 47.0, NAN], "lon_deg": [11.05] * 4}
    assert spans(found(compiled(triggers, geofences=SQUARE, overrides=overrides), **speeds)) == [(0, 1)]
    truck = compiled(triggers, "truck", geofences=SQUARE, overrides=overrides)
    assert spans(found(truck, **speeds)) == [(0, 1), (2, 4)]


def test_inside_agrees_with_shapely_on_random_polygons() -> None:
    shapely = pytest.importorskip("shapely")
    rng = np.random.default_rng(5)
    for _ in range(20):
        corners = rng.uniform([47, 10], [49, 12], (7, 2))
        angles = np.arctan2(*(corners - corners.mean(axis=0)).T)
        corners = corners[np.argsort(angles)]
        fence = {"zone": {"polygon": corners.tolist()}}
        triggers = {"t": plain("speed_mps > limit", parameters={"limit": "10 m/s"})}
        made = compiled(triggers, geofences=fence, overrides=[{"geofence": "zone", "parameters": {"t.limit": "0 m/s"}}])
        places = rng.uniform([47, 10], [49, 12], (200, 2))
        columns = {"speed_mps": np.ones(200), "lat_deg": places[:, 0], "lon_deg": places[:, 1]}
        inside = np.zeros(200, np.bool_)
        for first, end in spans(drive_events(made, instants(200), columns)):
            inside[first:end] = True
        assert inside.tolist() == shapely.contains_xy(shapely.Polygon(corners), places[:, 0], places[:, 1]).tolist()


def test_a_document_of_the_form_of_these_tests_keeps_the_schema() -> None:
    import yaml

    text = yaml.safe_dump(document({"t": plain("speed_mps > 3 m/s")}))
    assert load_document(text.encode(), "test", "triggers")["version"] == "1.0.0"
