"""Integrity rules that ask other sensors: frozen values, positions that jump, speeds that disagree."""

import numpy as np
import pytest
from synthetic_drive import (
    CANONICAL,
    RULES,
    SPEC,
    START_NS,
    Part,
    Recording,
    S,
    align,
    column,
    every,
    examine,
    healthy,
    pairs_of,
    rules_of,
    speed,
)

from fleet_assets.ingestion.integrity_and_pii_redaction.frozen_rules import repetitions
from fleet_assets.ingestion.integrity_and_pii_redaction.motion import Motion
from fleet_assets.ingestion.sensor_series import split_series
from fleet_assets.tables.bronze import INTEGRITY_FINDINGS

HEALTHY = healthy()
FROZEN, JUMP, DISAGREEMENT = RULES["frozen"], RULES["gnss_jump"], RULES["speed_disagreement"]
DEGREE_M = 111_194.9  # of a great circle on a sphere of 6371 km


def held(part: Part, first: int, last: int) -> Part:
    """A series that repeats one sample's value up to another."""
    return part.put(slice(first, last + 1), float(part.value[first]))


def frozen(recording: Recording, sensor: str, first: int, last: int) -> Recording:
    return recording.mapped(lambda part: held(part, first, last), [sensor])


def standing(recording: Recording) -> Recording:
    """The same drive of a vehicle that does not move; the unit's own noise goes on."""
    speeds = [part for part in recording.parts.values() if part.signal in {"speed_mps", "gnss_speed_mps"}]
    return recording.having(*(part.put(slice(None), 0.0) for part in speeds))


# Frozen


@pytest.mark.parametrize(("samples", "found"), [(0, []), (1, ["frozen"])])
def test_a_sensor_may_repeat_its_values_up_to_the_limit_only(samples, found):
    last = 1000 + round(FROZEN["max_s"] * 100) + samples
    rows = examine(frozen(HEALTHY, "imu", 1000, last))
    assert rules_of(rows) == found
    for row in rows:
        assert (row["sensor"], row["signal"], row["severity"]) == ("imu", None, "cut")
        assert (row["t_ns"], row["end_ns"]) == (START_NS + 10 * S, START_NS + 10 * S + (last - 1000) * S // 100)
        assert (row["value"], row["limit"]) == (pytest.approx(2.01), FROZEN["max_s"])


def test_what_is_frozen_does_not_reach_silver():
    recording = frozen(HEALTHY, "imu", 1000, 1400)
    findings = INTEGRITY_FINDINGS.from_rows(examine(recording))
    with_findings, without = (column(align(recording, one), "yaw_rate_radps") for one in (findings, None))
    assert np.isfinite(without).all()
    assert np.isnan(with_findings[101:139]).all()
    assert np.isfinite(with_findings[:99]).all()


def test_a_message_of_which_one_value_changes_is_not_frozen():
    accel = HEALTHY.part("imu", "accel_long_mps2")
    assert examine(HEALTHY.having(held(accel, 1000, 2500))) == []


def test_a_vehicle_that_stands_freezes_nothing():
    assert examine(standing(frozen(HEALTHY, "imu", 500, 2500))) == []


def test_only_the_time_in_which_the_vehicle_moves_counts():
    half = START_NS + 15 * S
    stopped = [
        Part(part.sensor, part.signal, part.t_ns, np.where(part.t_ns < half, 0.0, part.value))
        for part in HEALTHY.parts.values()
        if part.signal in {"speed_mps", "gnss_speed_mps"}
    ]
    rows = {last: rules_of(examine(frozen(HEALTHY.having(*stopped), "imu", 500, last))) for last in (1600, 2000)}
    assert rows == {1600: [], 2000: ["frozen"]}


def test_no_sensor_bears_witness_against_itself():
    wheels = frozen(HEALTHY, "wheels", 500, 700)
    assert [(row["rule"], row["sensor"]) for row in examine(wheels)] == [("frozen", "wheels")]
    gnss = HEALTHY.part("gnss", "gnss_speed_mps")
    alone = wheels.having(Part("gnss", "gnss_speed_mps", gnss.t_ns[:0], gnss.value[:0]))
    assert "frozen" not in rules_of(examine(alone))


def test_a_sensor_that_never_changes_is_found_after_its_longer_limit():
    long = healthy(120)
    rows = examine(frozen(long, "imu", 0, 12000))
    assert [(row["rule"], row["limit"]) for row in rows] == [("frozen", FROZEN["max_seldom_s"])]
    short = healthy(FROZEN["max_seldom_s"] - 1)
    assert examine(frozen(short, "imu", 0, 100_000)) == []


@pytest.mark.parametrize("step_mps", [0.5, 1 / 3.6, 1.0])
def test_a_coarse_scale_repeats_its_values_without_being_frozen(step_mps):
    t_ns = every(50, 120)
    slowly = 20 + 4 * np.sin((t_ns - START_NS) / S / 12)
    coarse = Part("wheels", "speed_mps", t_ns, np.round(slowly / step_mps) * step_mps)
    gnss = every(1, 120)
    stated = Part("gnss", "gnss_speed_mps", gnss, 20 + 4 * np.sin((gnss - START_NS) / S / 12))
    recording = healthy(120).having(coarse, stated)
    longest = max(np.diff(np.flatnonzero(np.diff(coarse.value)))) / 50
    assert longest > FROZEN["max_s"]
    assert examine(recording) == []


def test_a_sensor_that_is_silent_repeats_nothing_meanwhile():
    t_ns = np.array([0, 1, 2, 9, 10, 11]) * S
    first, last = repetitions(t_ns, [np.ones(6)], 2 * S)
    assert (first.tolist(), last.tolist()) == ([0, 3], [2, 5])


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_utc_that_stands_is_a_frozen_receiver_and_no_jump_of_the_clock(share):
    """It stood for eight jumps of the clock: one for each time that the pairs had left the level behind."""
    recording = healthy(60)
    gnss = recording.part("gnss", "gnss_utc_offset_s")
    first, last = 15, 15 + round(share * 45)
    stuck = gnss.value.copy()
    stuck[first : last + 1] = stuck[first] - np.arange(last + 1 - first)
    rows = examine(recording.having(Part("gnss", "gnss_utc_offset_s", gnss.t_ns, stuck)))
    assert [(row["rule"], row["signal"]) for row in rows] == [("frozen", "gnss_utc_offset_s")]
    assert (rows[0]["t_ns"], rows[0]["end_ns"]) == (START_NS + first * S, START_NS + last * S)


def test_utc_in_whole_seconds_at_ten_hertz_stands_for_nobody():
    seconds = np.arange(300) / 10
    assert pairs_of(seconds, np.floor(seconds) - seconds).standing(FROZEN["max_utc_s"]) == []
    assert pairs_of(seconds, 7 - seconds).standing(FROZEN["max_utc_s"]) == [(0, 299)]
    assert pairs_of(seconds[:1], seconds[:1]).standing(FROZEN["max_utc_s"]) == []


# Positions


def displaced(metres: float, first: int, last: int) -> Recording:
    latitude = HEALTHY.part("gnss", "lat_deg")
    changed = latitude.value.copy()
    changed[first : last + 1] += metres / DEGREE_M
    return HEALTHY.having(Part("gnss", "lat_deg", latitude.t_ns, changed))


def test_a_position_that_comes_back_is_cut_out_in_between():
    rows = examine(displaced(500, 10, 12))
    assert [(row["rule"], row["severity"], row["sensor"], row["signal"]) for row in rows] == [
        ("gnss_jump", "cut", "gnss", None)
    ]
    assert (rows[0]["t_ns"], rows[0]["end_ns"]) == (START_NS + 10 * S, START_NS + 12 * S)
    assert "comes back" in rows[0]["message"]
    silver = align(displaced(500, 10, 12), INTEGRITY_FINDINGS.from_rows(rows))
    latitude = column(silver, "lat_deg")
    assert np.nanmax(latitude) < 48.01
    assert np.isnan(latitude[101:119]).all()


def test_a_position_that_stays_where_it_jumped_to_is_named_where_it_did():
    rows = examine(displaced(500, 10, 30))
    assert [(row["rule"], row["t_ns"], row["end_ns"]) for row in rows] == [
        ("gnss_jump", START_NS + 9 * S, START_NS + 10 * S)
    ]
    assert "stays there" in rows[0]["message"]


def test_a_jump_begins_where_driving_ends():
    """The limit is beyond what the vehicle drives in the second between two fixes, by the fastest of its speeds."""
    latitude, longitude = HEALTHY.part("gnss", "lat_deg"), HEALTHY.part("gnss", "lon_deg")
    place = [np.zeros(31), np.zeros(31)]
    fastest = max(speed(START_NS + np.array([19, 20]) * S))

    def rows(metres: float) -> list[str]:
        north = place[0].copy()
        north[20:] += metres / 111_132.954  # of latitude at the equator is 110574 m; see below
        parts = (Part("gnss", "lat_deg", latitude.t_ns, north), Part("gnss", "lon_deg", longitude.t_ns, place[1]))
        return rules_of(examine(HEALTHY.having(*parts)))

    # A degree of latitude at the equator is 110 574.3 m (WGS84).
    scale = 111_132.954 / 110_574.3
    assert rows((fastest + JUMP["max_jump_m"] - 0.2) * scale) == []
    assert rows((fastest + JUMP["max_jump_m"] + 0.2) * scale) == ["gnss_jump"]


def test_a_long_way_in_a_long_silence_is_no_jump():
    latitude = HEALTHY.part("gnss", "lat_deg")
    keep = (latitude.t_ns < START_NS + 10 * S) | (latitude.t_ns > START_NS + 15 * S)
    recording = HEALTHY.mapped(lambda part: part.without(keep), ["gnss"])
    assert "gnss_jump" not in rules_of(examine(recording))


def test_a_speed_is_read_across_no_gap_longer_than_its_signals():
    motion = Motion(split_series(HEALTHY.samples), ("speed_mps", "gnss_speed_mps"), CANONICAL)
    at = np.array([START_NS + 10 * S + 7, START_NS + 60 * S])
    low, high = (one(at, without="gnss") for one in (motion.lowest_mps, motion.highest_mps))
    assert low[0] == high[0] == pytest.approx(float(speed(at[:1])[0]), abs=1e-6)
    assert np.isnan([low[1], high[1]]).all()
    assert np.isnan(Motion((), ("speed_mps",), CANONICAL).lowest_mps(at, without="")).all()


# Speeds


def scaled(factor: float, first_s: float = 0, last_s: float = 30) -> Recording:
    wheels = HEALTHY.part("wheels", "speed_mps")
    inside = (wheels.t_ns >= START_NS + first_s * S) & (wheels.t_ns < START_NS + last_s * S)
    return HEALTHY.having(Part("wheels", "speed_mps", wheels.t_ns, wheels.value * np.where(inside, factor, 1.0)))


def test_speeds_that_disagree_are_named_with_the_largest_difference():
    (row,) = examine(scaled(1.5))
    assert (row["rule"], row["severity"], row["sensor"], row["signal"]) == (
        "speed_disagreement",
        "note",
        "wheels",
        "speed_mps",
    )
    assert 0.4 * 20 < row["value"] < 0.6 * 21
    assert row["limit"] >= DISAGREEMENT["max_difference_mps"]


@pytest.mark.parametrize(("seconds", "found"), [(5, []), (6, ["speed_disagreement"])])
def test_speeds_may_disagree_for_a_while(seconds, found):
    assert DISAGREEMENT["min_s"] == 5
    assert rules_of(examine(scaled(1.6, 10, 10 + seconds))) == found


def test_speeds_disagree_beyond_the_limit_only():
    constant = {"speed_mps": 10.0, "gnss_speed_mps": 10.0}
    flat = [part.put(slice(None), constant[part.signal]) for part in HEALTHY.parts.values() if part.signal in constant]
    wheels = next(part for part in flat if part.sensor == "wheels")

    def rows(difference):
        # Dithered, so that they are not frozen.
        dither = 1e-6 * (-1.0) ** np.arange(len(wheels.t_ns))
        own = [
            Part(part.sensor, part.signal, part.t_ns, part.value + 1e-6 * np.arange(len(part.t_ns)) % 3e-6)
            for part in flat
            if part.sensor == "gnss"
        ]
        moved = Part("wheels", "speed_mps", wheels.t_ns, wheels.value + difference + dither)
        return rules_of(examine(HEALTHY.having(*own, moved)))

    limit = max(DISAGREEMENT["max_difference_mps"], 10 * DISAGREEMENT["max_difference_share"])
    assert rows(limit - 1e-3) == []
    assert rows(limit + 1e-3) == ["speed_disagreement"]


def test_driving_backwards_is_no_disagreement():
    signs = {"speed_mps": -0.5, "gnss_speed_mps": 0.5}
    slow = [
        Part(part.sensor, part.signal, part.t_ns, part.value * signs[part.signal])
        for part in HEALTHY.parts.values()
        if part.signal in signs
    ]
    assert examine(HEALTHY.having(*slow)) == []


def test_a_frozen_receiver_is_not_blamed_on_the_wheels():
    rows = examine(frozen(HEALTHY, "gnss", 10, 25))
    assert {row["sensor"] for row in rows} == {"gnss"}
    assert "frozen" in rules_of(rows)


def test_a_car_of_gnss_alone_is_examined_without_witnesses():
    only = HEALTHY.mapped(lambda part: part.without(slice(0, 0)), ["imu", "wheels", "pedals", "radar"])
    assert {row["rule"] for row in examine(frozen(only, "gnss", 10, 25))} <= {"sensor_missing", "gnss_jump"}
    assert SPEC.sensors["gnss"].required
