"""Lineage is what operators read: an asset that depends on less is not woken, one on more is held for nothing."""

import dagster as dg
import pytest

from fleet_assets.definitions import defs
from fleet_assets.operators import STEPS, in_graph_order
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.restate import Step

AREAS = ("map_and_weather_enrichment", "metadata_extraction_and_catalog", "scene_detection_and_event_triggers")
LINEAGE_ALONE = {"ops.requests"}


@pytest.mark.parametrize(
    "operator",
    [step.operator for step in STEPS if step.operator.name.split(".")[0] in AREAS],
    ids=lambda operator: operator.name,
)
def test_an_asset_depends_on_the_tables_that_its_operator_reads_and_consults(operator: Operator) -> None:
    graph = defs.resolve_asset_graph()
    for table in operator.outputs:
        parents = {".".join(key.path) for key in graph.get(dg.AssetKey(table.split("."))).parent_keys}
        assert parents - LINEAGE_ALONE == {*operator.inputs, *operator.consults}


def test_every_step_comes_after_those_whose_tables_it_reads() -> None:
    made: set[str] = set()
    ever = {name for step in STEPS for name in step.operator.outputs}
    for step in STEPS:
        assert ever.intersection(step.operator.inputs) <= made
        made |= set(step.operator.outputs)


def test_operators_that_wait_for_each_other_are_named() -> None:
    def step(name: str, reads: str, writes: str) -> Step:
        return Step(Operator(name, 1, (reads,), (writes,)), STEPS[0].compute, STEPS[0].read_state, STEPS[0].units)

    first, second = step("a.first", "x.one", "x.two"), step("b.second", "x.two", "x.three")
    assert in_graph_order((second, first)) == (first, second)
    with pytest.raises(ValueError, match=r"a\.first, b\.second"):
        in_graph_order((step("a.first", "x.two", "x.one"), step("b.second", "x.one", "x.two")))
