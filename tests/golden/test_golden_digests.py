"""An operator whose output changes without a new version would leave old files beside new ones: that turns red here."""

import json
from pathlib import Path
from typing import Any

import pytest

from fleet_assets.operators import STEPS
from tests.golden.cases import GoldenRun, judge, libraries
from tests.golden.renew import RECORD


def step(version: int, output: str, policy: str = "p") -> dict[str, Any]:
    return {"step": {"version": version, "policy": policy, "outputs": {"t": output}}}


BEFORE = step(1, "a")


def test_every_operator_gives_its_recorded_digests(tmp_path: Path) -> None:
    record = json.loads(RECORD.read_text())
    installed = libraries([step.operator for step in STEPS])
    if record["libraries"] != installed:
        pytest.skip(f"digests were recorded with {record['libraries']}, installed are {installed}")
    assert judge(record["operators"], GoldenRun(tmp_path).run()) == []


def test_every_step_of_the_platform_has_golden_digests() -> None:
    record = json.loads(RECORD.read_text())
    assert set(record["operators"]) == {step.operator.name for step in STEPS}


def test_a_changed_output_without_a_new_version_is_named() -> None:
    problems = judge(BEFORE, step(1, "b"))
    assert len(problems) == 1
    assert "Bump its version or fix it" in problems[0]


def test_a_new_version_with_equal_output_is_named() -> None:
    problems = judge(BEFORE, step(2, "a"))
    assert len(problems) == 1
    assert "same output" in problems[0]


def test_a_deliberate_change_asks_for_renewal() -> None:
    assert "make golden" in judge(BEFORE, step(2, "b"))[0]
    assert "policy" in judge(BEFORE, step(1, "b", "q"))[0]
    assert judge(BEFORE, BEFORE) == []
