"""Vehicle specs: the schema refuses what is malformed, the parser what contradicts itself."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from fleet_assets.policy.canonical import CanonicalSignals, parse_canonical_signals
from fleet_assets.policy.documents import InvalidPolicyError, load_policies, validate
from fleet_assets.policy.units import LinearMap
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec
from fleet_assets.policy.vehicles import Combine, InvalidSpecError, MessageRef, SourceRef, VehicleSpec

POLICIES = load_policies()
CANONICAL = parse_canonical_signals(POLICIES["canonical_signals"], "digest")
SHIPPED = ("comma2k19_rav4", "css_canedge")
Change = Callable[[dict[str, Any]], Any]


def document(name: str = "comma2k19_rav4") -> dict[str, Any]:
    return copy.deepcopy(dict(POLICIES[f"vehicles/{name}"]))


def parse(changed: dict[str, Any], canonical: CanonicalSignals = CANONICAL) -> VehicleSpec:
    return parse_vehicle_spec(changed, "digest", canonical)


def schema_of(name: str) -> dict[str, Any]:
    import json
    from importlib import resources

    return json.loads((resources.files("policies") / "schemas" / f"{name}.schema.json").read_text())


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_specs_are_valid_and_can_be_sent_to_workers(name: str) -> None:
    spec = parse(document(name))
    assert spec.name == name
    assert spec.digest == "digest"
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301 - our own object


def test_a_spec_says_what_each_sensor_is_made_of() -> None:
    spec = parse(document())
    wheels = spec.sensors["wheel_speeds"]
    assert (wheels.bus, wheels.dbc, wheels.messages) == (0, "powertrain", (MessageRef("WHEEL_SPEEDS"),))
    speed = wheels.signals["speed_mps"]
    assert speed.combine is Combine.MEAN
    assert len(speed.sources) == 4
    assert speed.to_canonical == LinearMap(1 / 3.6, 0.0)
    radar = spec.sensors["radar"]
    assert [message.instance for message in radar.messages] == list(range(16))
    assert radar.messages[15].name == "TRACK_A_15"
    assert radar.signals["track_distance_m"].shift == 2.70
    assert radar.signals["track_lateral_m"].shift == 0.0
    gnss = spec.sensors["gnss"]
    assert gnss.utc is not None
    assert gnss.utc.source == SourceRef("value", 3)
    assert gnss.utc.to_seconds.scale == 0.001
    assert gnss.latency_uncertainty_ns == 400_000_000
    assert spec.channels[0] == "processed_log/CAN/raw_can"


BREACHES: dict[str, tuple[Change, str]] = {
    "unknown dbc": (
        lambda d: d["sensors"]["brake"].update(dbc="body"),
        r"sensors/brake/dbc: 'body' is not under dbc \(known: \['adas', 'powertrain'\]\)",
    ),
    "unknown canonical signal": (
        lambda d: d["sensors"]["gnss"]["signals"].update(sped={"field": "value[2]", "unit": "m/s"}),
        "sensors/gnss/signals/sped: no canonical signal of that name. Use one of: speed_mps",
    ),
    "unknown unit": (
        lambda d: d["sensors"]["gnss"]["signals"]["gnss_speed_mps"].update(unit="furlong/fortnight"),
        "sensors/gnss/signals/gnss_speed_mps/unit: unit 'furlong/fortnight' is not known",
    ),
    "unit of another quantity": (
        lambda d: d["sensors"]["gnss"]["signals"]["gnss_speed_mps"].update(unit="m/s^2"),
        r"unit 'm/s\^2' \(acceleration\) cannot become 'm/s' \(speed\)",
    ),
    "unit of time": (
        lambda d: d["sensors"]["gnss"]["utc"].update(unit="m"),
        r"sensors/gnss/utc/unit: unit 'm' \(length\) cannot become 's' \(time\)",
    ),
    "utc_from without utc": (
        lambda d: d["clock"].update(utc_from=["imu_gyroscope"]),
        "clock/utc_from: sensor 'imu_gyroscope' has no utc entry",
    ),
    "utc_from unknown": (lambda d: d["clock"].update(utc_from=["gps"]), "clock/utc_from: no sensor 'gps'. Use one of"),
    "frame_axis without frame": (
        lambda d: d["frames"]["sensors"].clear(),
        "sensors/radar/signals/track_distance_m/frame_axis: frames/sensors has no entry 'radar'",
    ),
    "frame_axis of a signal that is no length": (
        lambda d: d["sensors"]["radar"]["signals"]["track_rel_speed_mps"].update(frame_axis="x_m"),
        "unit 'm' \\(length\\) cannot become 'm/s'",
    ),
    "frame of an unknown sensor": (
        lambda d: d["frames"]["sensors"].update(lidar={"x_m": 0, "y_m": 0, "z_m": 0}),
        "frames/sensors/lidar: no such sensor",
    ),
    "grid signal given twice": (
        lambda d: d["sensors"]["gnss"]["signals"].update(speed_mps={"field": "value[2]", "unit": "m/s"}),
        "speed_mps is given by gnss and wheel_speeds. Keep one",
    ),
    "grid signal of many instances": (
        lambda d: d["sensors"]["radar"]["signals"].update(lead_distance_m={"signal": "LONG_DIST", "unit": "m"}),
        "sensors/radar/signals/lead_distance_m: 16 instances cannot share one grid column",
    ),
    "field on a bus": (
        lambda d: d["sensors"]["brake"]["signals"].update(brake_pressed={"field": "value[0]", "unit": "1"}),
        "sensors/brake/signals/brake_pressed: uses 'field', but a sensor with dbc has signals",
    ),
    "signal on a field channel": (
        lambda d: d["sensors"]["gnss"].update(valid_when={"signal": "FIX", "equals": 1}),
        "sensors/gnss/valid_when: uses 'signal', but a sensor without dbc has fields",
    ),
    "nothing mapped": (
        lambda d: d["sensors"]["brake"].update(signals={}),
        "sensors/brake: gives neither signals nor utc",
    ),
    "pair of a signal that is not mapped": (
        lambda d: d["redundant_pairs"].append({"a": "speed_mps", "b": "lead_distance_m"}),
        "redundant_pairs: no sensor gives 'lead_distance_m'",
    ),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_contradictions_are_named_with_place_and_remedy(breach: str) -> None:
    change, message = BREACHES[breach]
    changed = document()
    change(changed)
    validate(changed, schema_of("vehicle"), "spec")
    with pytest.raises(InvalidSpecError, match=message) as caught:
        parse(changed)
    assert str(caught.value).startswith("vehicle spec comma2k19_rav4: ")


def test_all_contradictions_are_named_at_once() -> None:
    changed = document()
    for breach in ("unknown dbc", "unknown unit", "utc_from unknown"):
        BREACHES[breach][0](changed)
    with pytest.raises(InvalidSpecError) as caught:
        parse(changed)
    assert len(caught.value.problems) >= 3


MALFORMED: dict[str, Change] = {
    "unknown key": lambda d: d.update(colour="red"),
    "unknown sensor key": lambda d: d["sensors"]["gnss"].update(frequency=10),
    "no rate": lambda d: d["sensors"]["gnss"].pop("rate_hz"),
    "rate of zero": lambda d: d["sensors"]["gnss"]["rate_hz"].update(nominal=0),
    "two sources": lambda d: d["sensors"]["gnss"]["signals"]["alt_m"].update(signal="ALT"),
    "no source": lambda d: d["sensors"]["gnss"]["signals"]["alt_m"].pop("field"),
    "mean of one": lambda d: d["sensors"]["wheel_speeds"]["signals"]["speed_mps"].update(mean_of=["A"]),
    "condition without bound": lambda d: d["sensors"]["radar"]["present_when"].pop("equals"),
    "dbc of path and package": lambda d: d["dbc"]["adas"].update(path="x.dbc"),
    "package without file": lambda d: d["dbc"]["adas"].pop("file"),
    "package that is not known": lambda d: d["dbc"]["adas"].update(package="os"),
    "file that is a path": lambda d: d["dbc"]["adas"].update(file="../../etc/passwd"),
    "messages without dbc": lambda d: d["sensors"]["brake"].pop("dbc"),
    "dbc without messages": lambda d: d["sensors"]["brake"].pop("messages"),
    "a million instances": lambda d: d["sensors"]["radar"]["messages"].update(instances=1_000_000),
    "a name with a slash": lambda d: d["sensors"].update({"a/b": d["sensors"].pop("gnss")}),
    "an axis that is none": lambda d: d["sensors"]["radar"]["signals"]["track_distance_m"].update(frame_axis="w"),
}


@pytest.mark.parametrize("mistake", MALFORMED)
def test_malformed_documents_are_refused_by_the_schema(mistake: str) -> None:
    changed = document()
    MALFORMED[mistake](changed)
    with pytest.raises(InvalidPolicyError):
        validate(changed, schema_of("vehicle"), "spec")


@pytest.mark.parametrize("name", ["vehicle", "canonical_signals"])
def test_schemas_are_closed_and_describe_their_parts(name: str) -> None:
    import jsonschema

    schema = schema_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)

    def objects(node: Any) -> list[dict[str, Any]]:
        if isinstance(node, list):
            return [found for item in node for found in objects(item)]
        if not isinstance(node, dict):
            return []
        own = [node] if node.get("type") == "object" else []
        return own + [found for item in node.values() for found in objects(item)]

    assert all("additionalProperties" in found for found in objects(schema))
    assert schema["description"]


def test_a_spec_that_states_utc_needs_a_signal_with_that_role() -> None:
    signals = copy.deepcopy(dict(POLICIES["canonical_signals"]))
    for body in signals["signals"].values():
        body.pop("role", None)
    with pytest.raises(InvalidSpecError, match="no canonical signal has role 'utc_offset'"):
        parse(document(), parse_canonical_signals(signals, "digest"))
