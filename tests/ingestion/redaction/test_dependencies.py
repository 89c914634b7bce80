"""What the assets of this workflow wait for is what their operators read: a gate holds both or neither."""

from typing import Any

import dagster as dg
import pytest

from fleet_assets.build import build_defs
from fleet_assets.ingestion.steps import AUDIT_STEP, FIND_STEP, HOLD_BACK_STEP, REDACT_STEP
from fleet_assets.provenance.restate import Step
from fleet_assets.tables.ops import REQUESTS


@pytest.fixture(scope="module")
def graph() -> Any:
    return build_defs().resolve_asset_graph()


@pytest.mark.parametrize(
    "step", [FIND_STEP, HOLD_BACK_STEP, REDACT_STEP, AUDIT_STEP], ids=lambda step: step.operator.name.rpartition(".")[2]
)
def test_an_asset_depends_on_what_its_operator_reads(graph: Any, step: Step) -> None:
    read = {*step.operator.inputs, *([REQUESTS.name] if step.operator.reads_requests else [])}
    for name in step.operator.outputs:
        assert {".".join(key.path) for key in graph.get(dg.AssetKey(name.split("."))).parent_keys} == read
