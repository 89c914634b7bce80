"""Radar tracks and the lead vehicle, against the rule applied by a loop."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_drive import CANONICAL, MS, START_NS, Part, S, align, column, every, healthy

GRID = CANONICAL.grid_ms * MS
HEALTHY = healthy()


def track(instance, t_ns, distance, lateral=0.0, rel_speed=0.0):
    shape = np.zeros(len(t_ns))
    named = {
        "track_distance_m": distance,
        "track_lateral_m": lateral,
        "track_rel_speed_mps": rel_speed,
    }
    return [Part("radar", name, t_ns, shape + value, instance=instance) for name, value in named.items()]


def without_radar():
    parts = {key: part for key, part in HEALTHY.parts.items() if key[0] != "radar"}
    return replace(HEALTHY, parts=parts)


def test_radar_tracks_keep_their_own_rate_and_come_with_clip_and_slot():
    rows = align(HEALTHY)["silver.radar_tracks"].to_pylist()
    assert len(rows) == 2 * 601
    assert {(row["track"], row["distance_m"], row["lateral_m"], row["rel_speed_mps"]) for row in rows} == {
        (0, 30.0, 0.0, -1.0),
        (1, 40.0, 0.5, -1.0),
    }
    assert {row["clip_id"] for row in rows} == {"drive-1-0000", "drive-1-0001"}


def test_a_track_row_holds_what_is_known_at_its_time():
    parts = [part for part in track(0, every(20, 30), 20.0) if part.signal != "track_lateral_m"]
    rows = align(without_radar().having(*parts))["silver.radar_tracks"].to_pylist()
    assert {(row["distance_m"], row["lateral_m"], row["rel_speed_mps"]) for row in rows} == {(20.0, None, 0.0)}


def test_the_nearest_object_in_the_corridor_leads():
    half = CANONICAL.lead.corridor_half_width_m
    t_ns = every(20, 30)
    beside, edge, far = (
        track(0, t_ns, 10.0, np.nextafter(half, 9), 1),
        track(1, t_ns, 20.0, -half, 2),
        track(2, t_ns, 30.0, 0, 3),
    )
    tables = align(without_radar().having(*beside, *edge, *far))
    assert (column(tables, "lead_distance_m") == 20.0).all()
    assert (column(tables, "lead_rel_speed_mps") == 2.0).all()
    tables = align(without_radar().having(*beside, *far))
    assert (column(tables, "lead_distance_m") == 30.0).all()
    assert np.isnan(column(align(without_radar().having(*beside)), "lead_distance_m")).all()


@pytest.mark.parametrize(("extra", "known"), [(0, True), (1, False)])
def test_an_object_leads_no_longer_than_its_greatest_age(extra, known):
    oldest = round(CANONICAL.lead.max_age_s * S)
    seen = np.array([START_NS + 10 * S - oldest - extra])
    found = column(align(without_radar().having(*track(0, seen, 20.0))), "lead_distance_m")
    assert np.isfinite(found[100]) == known


def lead_of(*parts, name="lead_distance_m"):
    return column(align(without_radar().having(*parts)), name)


@pytest.mark.parametrize("side", [0, 1])
def test_an_object_at_the_bound_of_what_can_be_ahead_leads(side):
    bound = CANONICAL.signals["lead_distance_m"].range[side]
    beyond = np.nextafter(bound, np.inf if side else -np.inf)
    assert (lead_of(*track(0, every(20, 30), bound)) == bound).all()
    assert np.isnan(lead_of(*track(0, every(20, 30), beyond))).all()


def test_of_two_equally_near_samples_the_earlier_and_of_two_objects_the_lower_slot_counts():
    around = START_NS + 10 * S + np.array([-50 * MS, 50 * MS])
    assert lead_of(*track(0, around, np.array([20.0, 30.0])))[100] == 20.0
    twins = (*track(0, every(20, 30), 20.0, rel_speed=1.0), *track(1, every(20, 30), 20.0, rel_speed=2.0))
    assert (lead_of(*twins, name="lead_rel_speed_mps") == 1.0).all()


def test_a_sample_without_a_lateral_offset_does_not_hide_one_that_has_it():
    distance, lateral, rel_speed = track(0, every(20, 30), 20.0)
    between = lateral.without(np.arange(601) % 2 == 1)
    assert (lead_of(distance, between, rel_speed) == 20.0).all()


def test_track_rows_lie_inside_the_clips_from_the_first_instant_to_the_end_of_the_last_cell():
    recording = without_radar().having(*track(0, every(20, 30), 20.0))
    tables = align(recording.lasting(start_ns=START_NS + 130 * MS, end_ns=START_NS + 29_730 * MS))
    t_ns = tables["silver.radar_tracks"]["t_ns"].to_numpy()
    assert (t_ns == START_NS + np.arange(200, 29_800, 50) * MS).all()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 3000), st.integers(-5, 310), st.integers(-4, 4), st.integers(-9, 9)
        ),
        max_size=60,
        unique_by=lambda row: row[:2],
    )
)
def test_the_lead_vehicle_is_that_of_the_rule(objects):
    parts = []
    for instance in range(4):
        mine = sorted(row[1:] for row in objects if row[0] == instance)
        if mine:
            t_ms, distance, lateral, rel_speed = (np.array(one) for one in zip(*mine, strict=True))
            parts += track(instance, START_NS + t_ms * MS, distance, lateral, rel_speed)
    recording = without_radar().having(*parts).lasting(end_ns=START_NS + 3 * S)
    tables = align(recording)
    distance, rel_speed = column(tables, "lead_distance_m"), column(tables, "lead_rel_speed_mps")
    rule, (low, high) = CANONICAL.lead, CANONICAL.signals["lead_distance_m"].range
    for index in range(31):
        best = None
        for instance in range(4):
            mine = [row[1:] for row in objects if row[0] == instance]
            if not mine:
                continue
            t_ms, ahead, beside, closing = min(mine, key=lambda row: (abs(row[0] - index * 100), row[0]))
            near = abs(t_ms - index * 100) <= rule.max_age_s * 1000 and abs(beside) <= rule.corridor_half_width_m
            if near and low <= ahead <= high and (best is None or ahead < best[0]):
                best = (ahead, closing)
        if best is None:
            assert np.isnan(distance[index])
            assert np.isnan(rel_speed[index])
        else:
            assert (distance[index], rel_speed[index]) == best
