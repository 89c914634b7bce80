"""The registry of telemetry schemas: what a payload may hold, and what a new version may change."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.messages import parse_message
from fleet_assets.policy.documents import InvalidPolicyError, Policies, load_policies
from fleet_assets.policy.telemetry_schemas import ABSENT, PREFIX, Field, Registry, incompatibilities, version_of
from tests.telemetry import PROBE, write_probe

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "telemetry.md"
SHIPPED = load_policies()
KINDS: dict[str, dict[str, Any]] = {
    "number": {"type": "number", "unit": "V", "range": [0, 10], "description": "x"},
    "integer": {"type": "integer", "unit": "1", "range": [-1, 5], "description": "x"},
    "boolean": {"type": "boolean", "description": "x"},
    "text": {"type": "text", "max_length": 3, "description": "x"},
    "state": {"type": "text", "values": ["on", "off"], "description": "x"},
}


def registry(versions: dict[str, dict[str, dict[str, Any]]], tmp_path: Path) -> Registry:
    write_probe(tmp_path, versions=versions)
    return Registry(load_policies(tmp_path))


def test_two_schemas_are_shipped_and_say_what_every_field_means() -> None:
    schemas = list(Registry(SHIPPED))
    assert {schema.name for schema in schemas} == {"trip_heartbeat", "vehicle_health"}
    for schema in schemas:
        for name, field in schema.fields.items():
            assert field.description, name
            assert (field.type in {"number", "integer"}) == bool(field.unit), name


def test_every_shipped_version_only_adds_optional_fields_to_the_one_before() -> None:
    by_name: dict[str, list[Any]] = {}
    for schema in Registry(SHIPPED):
        by_name.setdefault(schema.name, []).append(schema)
    compared = 0
    for versions in by_name.values():
        for older, newer in zip(versions, versions[1:], strict=False):
            assert list(incompatibilities(older.fields, newer.fields)) == []
            compared += 1
    assert compared


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("number", 10, None),
        ("number", 10.001, "number: 10.001"),
        ("number", -0.001, "number: -0.001"),
        ("number", True, "number: boolean"),
        ("number", "1", "number: text"),
        ("number", None, "number: null"),
        ("integer", 5, None),
        ("integer", 5.0, "integer: number"),
        ("integer", 6, "integer: 6"),
        ("boolean", False, None),
        ("boolean", 0, "boolean: integer"),
        ("text", "abc", None),
        ("text", "abcd", "text: 4 characters"),
        ("text", ["a"], "text: list"),
        ("state", "on", None),
        ("state", "ON", "state: 'ON'"),
        ("unheard_of", 1, "unheard_of: unknown field"),
    ],
)
def test_a_value_that_breaks_its_field_is_named(name: str, value: Any, found: str | None, tmp_path: Path) -> None:
    schema = registry({"1.0.0": KINDS}, tmp_path).get("probe/1.0.0")
    assert schema is not None
    breach = schema.breach({name: value})
    assert (breach.value if breach else None) == found


def test_a_required_field_has_to_be_there_and_an_optional_one_need_not(tmp_path: Path) -> None:
    fields = {"a": {**KINDS["number"], "required": True}, "b": KINDS["number"]}
    schema = registry({"1.0.0": fields}, tmp_path).get("probe/1.0.0")
    assert schema is not None
    assert schema.breach({"a": 1}) is None
    missing = schema.breach({"b": 1})
    assert missing is not None
    assert missing.value == "a: missing"


def field(**changed: Any) -> Field:
    return Field(**{"type": "number", "description": "x", "unit": "V", "low": 0.0, "high": 10.0, **changed})


def text(**changed: Any) -> Field:
    return Field(**{"type": "text", "description": "x", **changed})


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (field(), field(description="other"), None),
        (field(), field(low=-1.0, high=11.0), None),
        (field(), field(low=1.0), "narrower"),
        (field(), field(high=9.0), "narrower"),
        (field(), field(unit="mV"), "is in mV"),
        (field(), field(type="integer"), "is integer"),
        (field(), field(required=True), "is required"),
        (field(required=True), field(), None),
        (text(values=("a",)), text(values=("a", "b")), None),
        (text(values=("a", "b")), text(values=("a",)), "fewer texts"),
        (text(max_length=8), text(values=("a",)), "fewer texts"),
        (text(values=("a", "bbb")), text(max_length=3), None),
        (text(values=("a", "bbb")), text(max_length=2), "shorter texts"),
        (text(max_length=8), text(max_length=9), None),
        (text(max_length=8), text(max_length=7), "shorter texts"),
    ],
)
def test_a_later_version_takes_all_that_the_earlier_one_took(old: Field, new: Field, problem: str | None) -> None:
    found = list(incompatibilities({"f": old}, {"f": new}))
    assert (problem is None) == (found == [])
    assert problem is None or problem in found[0]


def test_a_field_that_is_gone_or_newly_required_is_incompatible() -> None:
    assert list(incompatibilities({"f": field()}, {})) == ["field f is gone"]
    assert list(incompatibilities({}, {"f": field(required=True)})) == ["new field f is required"]
    assert list(incompatibilities({}, {"f": field()})) == []


def test_an_incompatible_minor_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicyError, match=r"1\.1\.0 is no compatible successor of 1\.0\.0.*Call it 2\.0\.0"):
        registry({"1.1.0": {"b": KINDS["number"]}, "1.0.0": {"a": KINDS["number"]}}, tmp_path)


def test_a_major_version_may_change_everything(tmp_path: Path) -> None:
    made = registry({"1.0.0": {"a": KINDS["number"]}, "2.0.0": {"b": KINDS["text"]}}, tmp_path)
    assert made.get("probe/2.0.0") is not None


def test_versions_order_as_numbers() -> None:
    assert sorted(["1.10.0", "1.9.9", "2.0.0"], key=version_of) == ["1.9.9", "1.10.0", "2.0.0"]


def test_an_empty_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicyError, match="Swap them"):
        registry({"1.0.0": {"a": {**KINDS["number"], "range": [2, 1]}}}, tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        {"type": "number", "description": "no unit"},
        {"type": "text", "description": "neither values nor a longest text"},
        {"type": "boolean", "unit": "V", "description": "a unit of a yes or no"},
        {"type": "float", "unit": "V", "description": "no such type"},
        {"type": "number", "unit": "V"},
    ],
)
def test_a_field_that_says_too_little_or_nonsense_is_refused(body: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicyError, match="telemetry_schema"):
        registry({"1.0.0": {"a": body}}, tmp_path)


def test_file_and_schema_have_one_name(tmp_path: Path) -> None:
    (tmp_path / "telemetry_schemas").mkdir()
    (tmp_path / "telemetry_schemas" / "other.yaml").write_text(yaml.safe_dump(dict(PROBE)))
    with pytest.raises(InvalidPolicyError, match="states name 'probe'"):
        load_policies(tmp_path)


def test_the_examples_of_the_documentation_are_what_they_say(tmp_path: Path) -> None:
    page = DOCUMENTATION.read_text()
    (schema,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "telemetry_schemas").mkdir()
    (tmp_path / "telemetry_schemas" / "tyre_pressure.yaml").write_text(schema)
    known = Registry(load_policies(tmp_path))
    assert known.get("tyre_pressure/1.0.0") is not None
    (line,) = [line for line in page.splitlines() if line.startswith('{"message_id"')]
    sent = parse_message(line.encode())
    named = known.get(sent.schema)
    assert named is not None
    assert named.breach(json.loads(sent.payload)) is None


def test_the_digest_of_a_version_changes_with_its_fields_alone() -> None:
    one = Registry(Policies({f"{PREFIX}probe": PROBE}))
    described = Registry(Policies({f"{PREFIX}probe": {**PROBE, "description": "Said in other words."}}))
    fields = {"1.0.0": {**PROBE["versions"]["1.0.0"], "more": KINDS["number"]}}
    more = Registry(Policies({f"{PREFIX}probe": {**PROBE, "versions": fields}}))
    assert one.digest("probe/1.0.0") == described.digest("probe/1.0.0") != more.digest("probe/1.0.0")
    assert one.digest("probe/1.0.1") == ABSENT
    assert one.whole == described.whole != more.whole


@given(
    st.dictionaries(st.sampled_from([*KINDS, "x"]), st.none() | st.booleans() | st.integers() | st.floats() | st.text())
)
def test_whatever_a_payload_holds_there_is_a_verdict_on_it(payload: dict[str, Any]) -> None:
    schema = Registry(Policies({f"{PREFIX}probe": {**PROBE, "versions": {"1.0.0": KINDS}}})).get("probe/1.0.0")
    assert schema is not None
    breach = schema.breach(payload)
    assert breach is None or (len(breach.value) < 200 and breach.limit)
