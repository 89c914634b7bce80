"""An operator whose output changes without a new version would leave old files beside new ones: that turns red here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleet_assets.ingestion.steps import KEYFRAMES_STEP, REDACT_STEP
from fleet_assets.operators import STEPS
from tests.golden.cases import CASES, GoldenRun, libraries
from tests.golden.judgement import judge
from tests.golden.renew import RECORD, refusals

REPOSITORY = Path(__file__).resolve().parents[2]
ON_ANOTHER_CPU = """
import json, sys, tempfile
from pathlib import Path
from tests.golden.cases import GoldenRun
with tempfile.TemporaryDirectory() as folder:
    json.dump(GoldenRun(Path(folder)).run(), sys.stdout)
"""


def step(version: int, output: str, policy: str = "p") -> dict[str, Any]:
    return {"step": {"version": version, "policy": policy, "outputs": {"t": output}}}


def document(operators: dict[str, Any], numpy: str = "1") -> dict[str, Any]:
    return {"libraries": {"numpy": numpy}, "operators": operators}


BEFORE = step(1, "a")


def recorded() -> Any:
    """The digests on record, where they were taken with the libraries that are installed."""
    record = json.loads(RECORD.read_text())
    installed = libraries([step.operator for step in STEPS])
    if record["libraries"] != installed:
        pytest.skip(f"digests were recorded with {record['libraries']}, installed are {installed}")
    return record["operators"]


def test_every_operator_gives_its_recorded_digests(tmp_path: Path) -> None:
    assert judge(recorded(), GoldenRun(tmp_path).run()) == []


@pytest.mark.slow
def test_the_digests_do_not_depend_on_what_the_cpu_can_do() -> None:
    """A fleet computes on many machines: NumPy and BLAS without vector extensions have to give the same bytes."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ON_ANOTHER_CPU],
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL", "OPENBLAS_CORETYPE": "Prescott"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert judge(recorded(), json.loads(done.stdout)) == []


def test_every_step_of_the_platform_has_golden_digests_of_every_drive() -> None:
    record = json.loads(RECORD.read_text())
    assert set(record["operators"]) == {step.operator.name for step in STEPS}
    for made in STEPS:
        outputs = record["operators"][made.operator.name]["outputs"]
        assert {name.split(": ")[1] for name in outputs} == set(made.operator.outputs)
        if made.operator.inputs[:1] == ("bronze.drives",) and made.operator.outputs[0] != "ops.daily_coverage":
            assert {name.split(": ")[0] for name in outputs} == {case.name for case in CASES}


def test_a_changed_output_without_a_new_version_is_named() -> None:
    problems = judge(BEFORE, step(1, "b"))
    assert len(problems) == 1
    assert "Bump its version or fix it" in problems[0]


def chain(first: int, digest: str, last: str) -> dict[str, Any]:
    """Two operators of the graph, one fed by the other; only the first one's version differs."""
    made, fed = REDACT_STEP.operator, KEYFRAMES_STEP.operator
    return {
        made.name: {"version": first, "policy": "p", "outputs": {f"d: {made.outputs[0]}": digest}},
        fed.name: {"version": 1, "policy": "p", "outputs": {f"d: {fed.outputs[0]}": last}},
    }


def test_what_changed_with_its_inputs_can_be_renewed_and_what_changed_by_itself_cannot() -> None:
    before = chain(1, "a", "b")
    assert all("make golden" in problem for problem in judge(before, chain(2, "c", "d")))
    assert refusals(document(before), document(chain(2, "c", "d"))) == []
    for unversioned in (chain(1, "c", "d"), chain(1, "a", "d")):
        assert len(refusals(document(before), document(unversioned))) == len(judge(before, unversioned))


def test_a_new_version_with_equal_output_is_named() -> None:
    problems = judge(BEFORE, step(2, "a"))
    assert len(problems) == 1
    assert "same output" in problems[0]


def test_a_deliberate_change_asks_for_renewal() -> None:
    assert "make golden" in judge(BEFORE, step(2, "b"))[0]
    assert "policy" in judge(BEFORE, step(1, "b", "q"))[0]
    assert judge(BEFORE, BEFORE) == []


@pytest.mark.parametrize(
    "after", [step(2, "b"), step(1, "b", "q"), BEFORE, {**BEFORE, "new": step(1, "c")["step"]}, {}]
)
def test_what_is_meant_can_be_renewed(after: dict[str, Any]) -> None:
    assert refusals(document(BEFORE), document(after)) == []


@pytest.mark.parametrize("after", [step(1, "b"), step(2, "a")])
def test_what_the_test_would_name_cannot_be_renewed_away(after: dict[str, Any]) -> None:
    assert len(refusals(document(BEFORE), document(after))) == 1
    assert refusals(document(BEFORE, numpy="1"), document(after, numpy="2")) == []
