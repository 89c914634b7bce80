"""What `fleet vehicle init` guesses from names, units and values, and what it marks as unsure."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fleet_assets.ingestion.drafts.draft import BOUNDS_NS, Draft, Entry, draft_spec
from fleet_assets.ingestion.drafts.messages import Heard, match_database, match_databases
from fleet_assets.ingestion.drafts.rules import parse_drafting_rules, spoken
from fleet_assets.ingestion.drafts.signals import guess_signals, guess_utc, guess_valid
from fleet_assets.ingestion.drafts.survey import CanId, Sample, Survey
from fleet_assets.ingestion.drafts.tables import TableGuess, guess_table, slug
from fleet_assets.ingestion.drafts.yaml_text import yaml_text
from fleet_assets.ingestion.recordings.dbc import DbcText
from fleet_assets.ingestion.recordings.protocol import Channel, UnreadableRecordingError
from fleet_assets.policy.documents import InvalidPolicyError, load_document, parse_yaml
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec
from tests.vehicles import CANONICAL, POLICIES

RULES = parse_drafting_rules(POLICIES["spec_drafting"])
SECOND_NS = 10**9


def heard(
    values: Mapping[str, Any],
    *,
    channel: str = "/topic",
    kind: str = "other",
    units: Mapping[str, str] | None = None,
    type: str = "",
    hz: float = 10.0,
) -> Heard:
    columns = {name: np.asarray(column, dtype=np.float64) for name, column in values.items()}
    count = len(next(iter(columns.values())))
    t_ns = (np.arange(count) * SECOND_NS / hz).astype(np.int64)
    return Heard(channel, kind, count, hz, t_ns, columns, type=type, units=units or {})


def chosen(*heards: Heard) -> dict[str, tuple[str, ...]]:
    return {name: one.fields for name, one in guess_signals(heards, RULES, CANONICAL).chosen.items()}


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "signal"),
    [
        ("Latitude", "lat_deg"),
        ("gps_lat", "lat_deg"),
        ("lon", "lon_deg"),
        ("position.longitude", "lon_deg"),
        ("Altitude", "alt_m"),
        ("ele", "alt_m"),
        ("WheelBasedVehicleSpeed", "speed_mps"),
        ("VEHICLE_SPEED", "speed_mps"),
        ("twist.twist.linear.x", "speed_mps"),
        ("STEER_ANGLE", "steering_deg"),
        ("SteeringWheelAngle", "steering_deg"),
        ("YAW_RATE", "yaw_rate_radps"),
        ("Heading", "heading_deg"),
    ],
)
def test_names_as_recorders_write_them_are_recognised(name: str, signal: str) -> None:
    assert chosen(heard({name: np.linspace(1, 2, 50)})) == {signal: (name,)}


@pytest.mark.parametrize(
    "name",
    [
        "EngineSpeed",
        "SpeedLimit",
        "HeadingAccuracy",
        "PositionValid",
        "LONG_DIST",
        "ALLOW_LONG_PRESS",
        "LAT_DIST",
        "STEER_TORQUE",
        "STEER_ANGLE_RATE",
        "lateral_error",
        "platform",
        "melon",
        "default",
        "vehicle_speed_std",
    ],
)
def test_names_that_only_look_alike_are_not(name: str) -> None:
    assert chosen(heard({name: np.linspace(1, 2, 50)})) == {}


def test_values_out_of_the_possible_range_or_of_another_quantity_are_passed_over_with_the_reason() -> None:
    wild = heard({"latitude": np.linspace(1000, 2000, 20)}, channel="/wild")
    other = heard({"latitude": np.linspace(1, 2, 20)}, channel="/other", units={"latitude": "m"})
    guesses = guess_signals([wild, other], RULES, CANONICAL)
    assert guesses.chosen == {}
    said = " ".join(guesses.passed_over["lat_deg"])
    assert "out of -90 to 90 deg" in said
    assert "cannot become deg" in said


def test_a_stated_unit_is_believed_and_a_missing_one_is_unsure() -> None:
    stated = guess_signals([heard({"VehicleSpeed": [50.0, 60.0]}, units={"VehicleSpeed": "kph"})], RULES, CANONICAL)
    assert stated.chosen["speed_mps"].unit == "km/h"
    assert stated.chosen["speed_mps"].unsure == ()
    silent = guess_signals([heard({"VehicleSpeed": [5.0, 6.0]})], RULES, CANONICAL)
    assert silent.chosen["speed_mps"].unit == "m/s"
    assert "no unit" in silent.chosen["speed_mps"].unsure[0]


def test_of_two_candidates_the_better_known_is_taken_and_the_other_is_named() -> None:
    one = heard({"latitude": np.linspace(50, 51, 10)}, channel="/a")
    two = heard({"latitude": np.linspace(50, 51, 99)}, channel="/b")
    proposal = guess_signals([one, two], RULES, CANONICAL).chosen["lat_deg"]
    assert proposal.heard is two
    assert "latitude of /a" in proposal.unsure[-1]


def test_four_wheel_speeds_give_the_vehicle_speed_too() -> None:
    wheels = {f"WHEEL_SPEED_{wheel}": np.linspace(10, 20, 30) for wheel in ("FL", "FR", "RL", "RR")}
    found = chosen(heard(wheels, kind="can"))
    assert found["speed_mps"] == tuple(wheels)
    assert found["wheel_speed_rr_mps"] == ("WHEEL_SPEED_RR",)


def test_a_receivers_speed_stands_in_where_the_vehicle_tells_none() -> None:
    gnss = heard({"speed": np.linspace(0, 9, 30)}, kind="gnss")
    assert chosen(gnss) == {"speed_mps": ("speed",), "gnss_speed_mps": ("speed",)}
    car = heard({"vehicle_speed": np.linspace(0, 9, 30)}, kind="can", channel="/car")
    assert chosen(gnss, car) == {"speed_mps": ("vehicle_speed",), "gnss_speed_mps": ("speed",)}


def test_headings_in_radians_and_headings_below_zero_are_brought_into_their_circle() -> None:
    radians = guess_signals([heard({"heading": np.linspace(-3.1, 3.1, 40)})], RULES, CANONICAL).chosen["heading_deg"]
    assert (radians.unit, radians.wrap) == ("rad", True)
    degrees = guess_signals([heard({"heading": np.linspace(10, 350, 40)})], RULES, CANONICAL).chosen["heading_deg"]
    assert (degrees.unit, degrees.wrap) == ("deg", False)


# -- axes ----------------------------------------------------------------------------------------------------------

UNIT = {"x": np.array([1.0, 0, 0]), "y": np.array([0.0, 1, 0]), "z": np.array([0.0, 0, 1])}


@pytest.mark.parametrize("up", ["x", "y", "z"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gravity_tells_the_axes_and_they_stay_a_right_handed_system(up: str, sign: float) -> None:
    rows = np.random.default_rng(1).normal(0, 0.1, (200, 3)) + sign * 9.81 * UNIT[up]
    accel = {f"linear_acceleration.{axis}": rows[:, number] for number, axis in enumerate("xyz")}
    rates = {f"angular_velocity.{axis}": rows[:, 0] * 0.1 for axis in "xyz"}
    found = guess_signals([heard({**accel, **rates}, kind="imu", type="sensor_msgs/msg/Imu")], RULES, CANONICAL).chosen
    axes = {}
    for signal in ("accel_long_mps2", "accel_lat_mps2", "accel_vert_mps2"):
        axes[signal] = found[signal].scale * UNIT[found[signal].fields[0][-1]]
        assert "gravity" in found[signal].unsure[0]
    assert axes["accel_vert_mps2"] @ (sign * UNIT[up]) == 1
    left = np.cross(axes["accel_vert_mps2"], axes["accel_long_mps2"])
    assert np.array_equal(left, axes["accel_lat_mps2"])
    assert (found["yaw_rate_radps"].fields[0][-1], found["yaw_rate_radps"].scale) == (up, sign)


# -- time and flags ------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(["s", "ms", "us", "ns"]),
    st.integers(1_300_000_000, 4_000_000_000),
    st.floats(0.1, 100.0),
)
def test_a_value_that_counts_time_since_1970_is_known_by_what_it_counts(unit: str, start_s: int, hz: float) -> None:
    factor = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit]
    t_s = np.arange(50) / hz
    (found,) = guess_utc(
        [heard({"a": (start_s + t_s) * factor, "b": t_s, "c": t_s * 0 + start_s}, hz=hz)], RULES, BOUNDS_NS
    )
    assert (found.name, found.unit) == ("a", unit)


def test_the_recorders_own_stamps_are_no_source_of_utc() -> None:
    t_ns = 1_700_000_000 * SECOND_NS + np.arange(20) * SECOND_NS / 10
    assert guess_utc([heard({"header.stamp": t_ns})], RULES, BOUNDS_NS) == []


def test_a_flag_vouches_only_where_it_is_the_only_one() -> None:
    one = heard({"Speed": [1.0, 2.0], "SpeedValid": [0.0, 1.0]})
    assert guess_valid(one, RULES) == "SpeedValid"
    assert guess_valid(heard({"AValid": [1.0], "BValid": [1.0]}), RULES) is None
    assert guess_valid(heard({"Valid": [7.0]}), RULES) is None


def test_values_that_the_flag_does_not_vouch_for_do_not_speak_against_a_signal() -> None:
    flagged = heard({"Altitude": [-6000.0, -6000.0, 30.0], "AltitudeValid": [0.0, 0.0, 1.0]})
    assert chosen(flagged) == {"alt_m": ("Altitude",)}


# -- CAN databases -------------------------------------------------------------------------------------------------

DBC = """VERSION ""

BO_ 16 speeds: 8 Vector__XXX
 SG_ VehicleSpeed : 0|16@1+ (0.01,0) [0|655.35] "km/h" Vector__XXX

BO_ 2566844926 CCVS1: 8 Vector__XXX
 SG_ WheelBasedVehicleSpeed : 8|16@1+ (0.00390625,0) [0|250.996] "km/h" Vector__XXX
"""


def can_survey(*ids: tuple[int, int, bool]) -> Survey:
    frames = {}
    for bus, can_id, extended in ids:
        sample = Sample()
        data: NDArray[np.uint8] = np.zeros((20, 8), dtype=np.uint8)
        data[:, 0] = data[:, 2] = np.arange(20)
        t_ns = np.arange(20) * SECOND_NS // 10
        sample.add(t_ns, {"data": data, "length": np.full(20, 8, dtype=np.uint8)})
        frames[CanId("CAN", bus, can_id, extended)] = sample
    return Survey("mdf4", "utc", None, {"CAN": Channel("CAN", "can", ())}, {}, frames)


def dbc(text: str = DBC, name: str = "car") -> DbcText:
    return DbcText(name, f"{name}.dbc", text, "")


def test_a_database_gives_the_messages_that_are_in_the_log_bus_by_bus() -> None:
    found = match_database(dbc(), can_survey((1, 16, False), (2, 16, False), (1, 99, False)), RULES)
    assert [(one.bus, one.message) for one in found.heard] == [(1, "speeds"), (2, "speeds")]
    assert not found.by_parameter_group


def test_parameter_groups_are_proposed_only_where_whole_ids_do_not_match() -> None:
    truck = match_database(dbc(), can_survey((1, 0x18FEF100, True)), RULES)
    assert truck.by_parameter_group
    assert [one.message for one in truck.heard] == ["CCVS1"]
    exact = match_database(dbc(), can_survey((1, 2566844926 & 0x1FFFFFFF, True)), RULES)
    assert not exact.by_parameter_group


def test_of_databases_that_describe_the_same_messages_one_is_used() -> None:
    other = dbc('VERSION ""\n\nBO_ 77 nothing: 8 X\n SG_ A : 0|8@1+ (1,0) [0|0] "" X\n', "other")
    found = match_databases([dbc(name="b"), dbc(name="a"), other], can_survey((1, 16, False)), RULES)
    assert [one.text.name for one in found] == ["a"]


def test_a_log_without_database_is_kept_as_recorded_and_says_what_is_missing() -> None:
    draft = draft_spec("car", can_survey((1, 16, False), (1, 0x1ABCDEF0, True)), RULES, CANONICAL)
    text = yaml_text(draft)
    spec = parse_vehicle_spec(load_document(text.encode(), "draft", "vehicle"), "", CANONICAL)
    (sensor,) = spec.sensors.values()
    assert (sensor.kind, sensor.channel, sensor.required, sensor.signals) == ("other", "CAN", True, {})
    assert "CAN id 0x1ABCDEF0 on bus 1: 20 frames; no database describes it" in text


# -- text tables ---------------------------------------------------------------------------------------------------


def table(tmp_path: Path, text: str, kind: str = "csv") -> TableGuess:
    (tmp_path / "table").write_text(text)
    return guess_table(tmp_path / "table", kind, RULES, BOUNDS_NS)


@pytest.mark.parametrize(
    ("cells", "entry"),
    [
        (["1700000000", "1700000001"], {"unit": "s"}),
        (["1700000000.5", "1700000001.5"], {"unit": "s"}),
        (["1700000000123", "1700000000223"], {"unit": "ms"}),
        (["1700000000123456", "1700000000223456"], {"unit": "us"}),
        (["1700000000123456789", "1700000000223456789"], {"unit": "ns"}),
        (["2024-05-01T08:00:00Z", "2024-05-01T08:00:01Z"], {}),
        (["2024-05-01 08:00:00+0200", "2024-05-01 08:00:01+0200"], {}),
        (["2024-05-01 08:00:00", "2024-05-01 08:00:01"], {"zone": "UTC"}),
        (["31/05/2024 08:00:00", "31/05/2024 08:00:01"], {"format": "%d/%m/%Y %H:%M:%S", "zone": "UTC"}),
        (["05/31/2024 08:00:00", "05/31/2024 08:00:01"], {"format": "%m/%d/%Y %H:%M:%S", "zone": "UTC"}),
    ],
)
def test_the_unit_or_spelling_of_a_time_is_told_from_its_values(
    tmp_path: Path, cells: list[str], entry: dict[str, str]
) -> None:
    guess = table(tmp_path, "when it was;speed\n" + "".join(f"{cell};{n}.5\n" for n, cell in enumerate(cells)))
    (point,) = guess.body["points"]
    assert point["time"] == {"column": "when it was", **entry}
    assert point["fields"] == {"speed": "speed"}
    assert bool(guess.unsure) == bool(entry)


def test_a_column_that_is_called_a_time_goes_before_one_that_could_be_one(tmp_path: Path) -> None:
    guess = table(tmp_path, "serial,time,v\n" + "".join(f"{1500000000 + n},{1700000000 + n},{n}\n" for n in range(9)))
    assert guess.body["points"][0]["time"]["column"] == "time"
    assert "serial" in " ".join(guess.unsure)


def test_points_and_nested_values_of_a_json_list_become_fields(tmp_path: Path) -> None:
    rows = ", ".join(
        f'{{"id": "a", "p": {{"v": {n}.5}}, "point": "POINT(11.5 48.1)", "time": "2024-05-01 08:00:0{n}+0200"}}'
        for n in range(5)
    )
    guess = table(tmp_path, f"[{rows}]", "json_points")
    (point,) = guess.body["points"]
    assert point == {
        "time": {"column": "time"},
        "fields": {"p_v": "p.v", "point_lon": "point.x", "point_lat": "point.y"},
    }


def test_a_trip_list_is_proposed_as_a_drive_per_row(tmp_path: Path) -> None:
    head = "pickup_datetime,dropoff_datetime,pickup_lat,pickup_lon,dropoff_lat,dropoff_lon,fare\n"
    rows = "".join(f"2024-05-01 0{n}:00:00,2024-05-01 0{n}:20:00,40.7,-73.9,40.8,-73.8,{n}.5\n" for n in range(1, 6))
    body = table(tmp_path, head + rows).body
    assert body["drive_per_row"]
    assert [point["time"]["column"] for point in body["points"]] == ["pickup_datetime", "dropoff_datetime"]
    assert body["points"][1]["fields"] == {"lat": "dropoff_lat", "lon": "dropoff_lon"}


def test_a_table_without_header_has_its_columns_counted(tmp_path: Path) -> None:
    guess = table(tmp_path, "".join(f"{1700000000 + n},{n}.5,{n}\n" for n in range(9)))
    assert guess.body["columns"] == ["column_1", "column_2", "column_3"]
    assert guess.body["points"][0]["time"]["column"] == "column_1"


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\n\n\n", "x", '"', "{", '[{"a": {"a": '])
def test_a_table_without_times_is_named_with_its_columns(tmp_path: Path, text: str) -> None:
    for kind in ("csv", "json_points"):
        with pytest.raises(UnreadableRecordingError, match="no_time_column"):
            table(tmp_path, text, kind)


# -- the text ------------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=20)
VALUES = st.one_of(
    TEXTS, st.booleans(), st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False, width=32)
)


@given(st.dictionaries(TEXTS, st.one_of(VALUES, st.lists(VALUES, max_size=60)), min_size=1, max_size=5), TEXTS)
def test_a_draft_reads_back_as_it_was_whatever_its_names_and_comments_hold(values: dict[str, Any], said: str) -> None:
    inner = {key: Entry(value, (said,), said) for key, value in values.items()}
    draft = Draft([said], {"outer": Entry(inner), "flow": Entry(values)}, [said])
    assert parse_yaml(yaml_text(draft), "draft") == {"outer": values, "flow": values}
    assert draft.unsure == len(values)


@given(st.text(max_size=80))
def test_every_text_becomes_a_name_that_specs_allow(text: str) -> None:
    name = slug(text)
    assert name.isascii()
    assert name[0].isalpha()
    assert name == name.lower()
    assert len(name) <= 63


def test_names_are_heard_as_people_say_them() -> None:
    assert spoken("WheelSpeedFL") == "wheel_speed_fl"
    assert spoken("gps_Lat") == "gps_lat"


def test_a_pattern_that_cannot_be_compiled_is_named() -> None:
    document = {**POLICIES["spec_drafting"], "never": "("}
    with pytest.raises(InvalidPolicyError, match="pattern"):
        parse_drafting_rules(document)


def test_every_rule_is_about_a_canonical_signal() -> None:
    assert {rule.signal for rule in RULES.signals} <= set(CANONICAL.signals)
    assert {name for rule in RULES.signals for name in rule.mean_of} <= set(CANONICAL.signals)
    assert {name for pair in RULES.redundant_pairs for name in pair} <= set(CANONICAL.signals)
    assert math.isfinite(RULES.probe_s)
