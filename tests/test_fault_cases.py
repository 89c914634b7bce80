"""The study of faults leaves nothing out: every rule of integrity and every fault of the simulator has a case."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from benchmarks.fault_cases import POLICIES, RULES, Case, Moment
from benchmarks.fault_study import CASES, PARTS, SECONDS, renewed
from benchmarks.simulated_drives import Workshop
from services.fleet_simulator.faults import FAULT_KINDS


def without_case(rules: Iterable[str], cases: Iterable[Case]) -> set[str]:
    """Rules that no case is about."""
    return set(rules) - {case.rule for case in cases}


def test_every_rule_of_integrity_has_a_fault_that_breaks_it() -> None:
    assert without_case(RULES, CASES) == set()


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_whose_faults_are_taken_away_is_named(rule: str) -> None:
    assert without_case(RULES, [case for case in CASES if case.rule != rule]) == {rule}


def test_a_new_rule_is_named() -> None:
    assert without_case([*RULES, "too_loud"], CASES) == {"too_loud"}


def test_rules_about_frames_have_a_fault_of_every_sensor_that_they_are_about() -> None:
    kinds = RULES["frame_count"]["kinds"]
    sensors = POLICIES["vehicles/sim_car"]["sensors"]
    filmed = {name for name, body in sensors.items() if body["kind"] in kinds}
    assert {sensor for case in CASES for sensor, rule in case.expected if rule == case.rule == "frame_count"} == filmed


def test_no_two_cases_have_one_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.fixture(scope="module")
def moment() -> Iterator[Moment]:
    with tempfile.TemporaryDirectory() as folder:
        shop = Workshop(Path(folder), PARTS["signals"].groups)
        yield Moment(shop, shop.scene(1, SECONDS), 1)


def test_every_fault_of_the_simulator_is_in_a_case(moment: Moment) -> None:
    asked = {fault.kind for case in CASES for fault in case.faults(moment) or ()}
    assert asked == FAULT_KINDS.keys()


def test_a_renewed_section_leaves_the_others_as_they_are() -> None:
    titles = [part.title for part in PARTS.values()]
    page = "# Faults\n\nWords.\n\n" + "\n".join(f"## {title}\n\nold\n" for title in titles)
    names = list(PARTS)
    for name in names:
        changed = renewed(page, name, [f"## {PARTS[name].title}", "", "new", ""])
        assert changed == page.replace(f"## {PARTS[name].title}\n\nold", f"## {PARTS[name].title}\n\nnew")
    with pytest.raises(ValueError, match="Add the heading"):
        renewed("# Faults\n", names[0], ["x"])
