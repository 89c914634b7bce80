"""The trigger policy as a document: everything that is wrong with one is told at once, with its place."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from fleet_assets.policy.documents import InvalidPolicyError, digest_of, load_document, load_policies
from fleet_assets.policy.triggers import CompiledTriggers, compile_triggers
from tests.vehicles import CANONICAL

Change = Callable[[dict[str, Any]], None]


def changed(change: Change) -> dict[str, Any]:
    """The shipped policy with a change."""
    document: dict[str, Any] = yaml.safe_load(yaml.safe_dump(load_policies()["triggers"]))
    change(document)
    return document


def compiled(document: dict[str, Any], **vehicle: str) -> CompiledTriggers:
    return compile_triggers(document, digest_of(document), CANONICAL, **vehicle)


def brake(document: dict[str, Any]) -> dict[str, Any]:
    trigger: dict[str, Any] = document["triggers"]["hard_brake"]
    return trigger


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: brake(d).update(start="acceleration <= -3 m/s"), "triggers/hard_brake/start: character 14"),
        (lambda d: brake(d).update(hold="speed < 1 m/s"), "Did you mean 'speed_mps'?"),
        (
            lambda d: brake(d)["value"].update(unit="m/s"),
            "triggers/hard_brake/value/of: gives m/s\\^2 .* stated is m/s",
        ),
        (lambda d: brake(d).update(max_s=0.1), "triggers/hard_brake/max_s: 0.1 is not above min_s 0.15"),
        (
            lambda d: brake(d)["parameters"].update(threshold="fast"),
            "parameters/threshold: .* one number with its unit",
        ),
        (lambda d: d["sources"].update(speed_mps=d["sources"]["visibility_m"]), "sources/speed_mps: is a canonical"),
        (
            lambda d: d.update(overrides=[{"vehicle": "a", "parameters": {"hard_brake.limit": "1 m"}}]),
            "overrides/0: no parameter 'hard_brake.limit'",
        ),
        (
            lambda d: d.update(overrides=[{"vehicle_spec": "", "parameters": {"hard_brake.threshold": "1 m"}}]),
            "overrides/0/parameters/hard_brake.threshold: m \\(length\\) instead of m/s\\^2",
        ),
        (
            lambda d: d.update(overrides=[{"geofence": "x", "parameters": {"hard_brake.threshold": "1 m/s^2"}}]),
            "overrides/0: no geofence 'x'. Known: none",
        ),
        (
            lambda d: d["triggers"]["swerve"]["states"]["left"]["exits"][0].update(to="nowhere"),
            "states/left/exits/0/to: no state 'nowhere'. Known: calm",
        ),
        (
            lambda d: d["triggers"]["swerve"]["states"]["calm"].update(event="open"),
            "begins: 'calm' is part of an event. Begin outside",
        ),
        (
            lambda d: d["triggers"]["swerve"]["states"]["ending"].update(event="candidate"),
            "back \\(open\\) leads to ending \\(candidate\\). Allowed next: closing, open, outside",
        ),
        (lambda d: d["track_signals"]["gap_m"].update(of="speed_mps * 1 s"), "gap_m/of: reads nothing of the object"),
        (lambda d: d["track_signals"]["gap_m"].update(where="range_m > 1 m"), "track_signals/gap_m/where: character 1"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_a_remedy(change: Change, told: str) -> None:
    with pytest.raises(InvalidPolicyError, match=told):
        compiled(changed(change))


def test_all_that_is_wrong_is_told_at_once() -> None:
    def change(document: dict[str, Any]) -> None:
        brake(document).update(start="nothing", hold="3 m")
        document["triggers"]["swerve"]["value"].update(of="speed")

    with pytest.raises(InvalidPolicyError) as caught:
        compiled(changed(change))
    assert all(place in str(caught.value) for place in ("hard_brake/start", "hard_brake/hold", "swerve/value/of"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("schema: fleet.triggers/v1\ntriggers: &a {x: *a}", "alias"),
        ("schema: fleet.triggers/v1\nversion: !!python/object:os.system {}", "not valid YAML"),
        ("schema: fleet.triggers/v1\nversion: 1.0.0\nversion: 2.0.0", "twice"),
        ("schema: fleet.triggers/v1\nmax_window_s: .inf", "max_window_s|finite|Infinity|inf"),
        ("schema: fleet.triggers/v1\nversion: '1.0'", "version: '1.0' does not match"),
    ],
)
def test_hostile_and_malformed_documents_are_refused_before_anything_is_compiled(text: str, told: str) -> None:
    with pytest.raises(InvalidPolicyError, match=told):
        load_document(text.encode(), "triggers.yaml", "triggers")


def test_a_machine_and_a_start_cannot_be_mixed_and_a_deep_bomb_is_no_policy() -> None:
    both = changed(lambda d: brake(d).update(begins="calm", states={"a": {"exits": []}}))
    with pytest.raises(InvalidPolicyError, match="triggers/hard_brake"):
        load_document(yaml.safe_dump(both).encode(), "t", "triggers")
    with pytest.raises(InvalidPolicyError, match="not valid|recursion|nested"):
        load_document(("schema: fleet.triggers/v1\nx: " + "[" * 5000).encode(), "t", "triggers")


def test_the_digest_of_a_policy_is_that_of_its_content() -> None:
    assert compiled(changed(lambda d: None)).digest == load_policies().digest("triggers")
    assert compiled(changed(lambda d: d.update(version="1.0.1"))).digest != load_policies().digest("triggers")


def test_the_order_of_keys_changes_neither_digest_nor_triggers() -> None:
    """A bundle is canonical JSON, whose keys are sorted: what it compiles to must be the same."""
    backward = changed(lambda d: d.update(triggers=dict(reversed(d["triggers"].items()))))
    assert compiled(backward) == compiled(changed(lambda d: None)) == compiled(dict(load_policies()["triggers"]))


def test_a_trigger_names_the_signals_that_it_reads_and_those_that_it_can_do_without() -> None:
    found = {one.name: one for one in compiled(changed(lambda d: None)).triggers}
    assert found["hard_brake"].signals == {"speed_mps"}
    assert found["hard_brake"].threshold == -3.0
    assert found["speeding"].threshold == pytest.approx(10 / 3.6)
    assert found["engagement"].signals - found["engagement"].optional == {"adas_engaged", "speed_mps"}
