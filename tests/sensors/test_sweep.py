"""What the sweep asks for: capped, counted by attempt, held by gates, and never beside a run under way."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.policy.documents import Policies
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.ledger import Partition, Plan, root
from fleet_assets.provenance.restate import Step, UnitInput, Wanted
from fleet_assets.provenance.staleness import Stale
from fleet_assets.tables import Column, Table
from resources.processes import PLAN_TAG
from sensors.restatement import (
    DATA_VERSION_TAG,
    PARTITION_TAG,
    PLAN_TAG_LENGTH,
    Ask,
    Observed,
    decide,
    observe,
    open_work,
    plan_identities,
    run_request,
)
from tests.memory_lake import MemoryLake

NORTH: Partition = ("2024-05-01", "north")
SOUTH: Partition = ("2024-05-01", "south")
LATER: Partition = ("2024-05-02", "north")


def step(name: str, outputs: tuple[str, ...] = ("bronze.a",), units: Mapping[Partition, Wanted] | None = None) -> Step:
    def compute(task: Any) -> Any:
        raise AssertionError("the sweep computes nothing")

    def wanted(
        state: Any, partition: Partition | None, found: Mapping[Partition, Wanted]
    ) -> Mapping[Partition, Wanted]:
        del state, partition
        return found

    return Step(Operator(name, 1, (), outputs), compute, lambda platform: platform, partial(wanted, found=units or {}))


def stale(partition: Partition, name: str = "one", made: str = "f1", gone: tuple[str, ...] = ()) -> Stale:
    return Stale(step(name), partition, Plan({"d1": made}, gone, ()))


def observed(*items: Stale, **given: Any) -> Observed:
    nothing: dict[str, Any] = {"unreported": {}, "active": frozenset(), "held": frozenset(), "attempts": {}, "lost": {}}
    return Observed(items, **(nothing | given))


def asked(seen: Observed, cap: int = 25, attempts: int = 3) -> list[Partition]:
    return [ask.partition for ask in decide(seen, cap=cap, attempts=attempts)]


def identity_of(*items: Stale) -> str:
    (identity,) = plan_identities(items, {}).values()
    return identity


def test_nothing_stale_and_nothing_unreported_asks_for_nothing() -> None:
    assert asked(observed()) == []


def test_each_stale_partition_is_asked_for_once_however_many_steps_are_stale_there() -> None:
    seen = observed(stale(SOUTH, "one"), stale(NORTH, "one"), stale(NORTH, "two", gone=("d9",)))
    first, second = decide(seen, cap=25, attempts=3)
    assert first.partition == NORTH
    assert first.reason == "one: 1 stale, 0 gone; two: 1 stale, 1 gone"
    assert second.partition == SOUTH


def test_a_partition_that_dagster_does_not_know_is_asked_for_with_the_reason() -> None:
    (ask,) = decide(observed(unreported={NORTH: ["bronze.a"]}), cap=25, attempts=3)
    assert ask.partition == NORTH
    assert "do not know the lake's state" in ask.reason


def test_a_partition_with_a_run_under_way_waits_for_it() -> None:
    assert asked(observed(stale(NORTH), stale(SOUTH), active=frozenset([NORTH]))) == [SOUTH]


def test_a_partition_that_a_gate_holds_back_waits_for_it() -> None:
    assert asked(observed(stale(NORTH), stale(SOUTH), held=frozenset([SOUTH]))) == [NORTH]


@pytest.mark.parametrize(
    ("made", "lost", "asks"), [(0, 0, True), (2, 0, True), (3, 0, False), (4, 0, False), (3, 1, True), (5, 2, False)]
)
def test_a_plan_is_tried_three_times_and_runs_that_were_killed_do_not_count(made: int, lost: int, asks: bool) -> None:
    identity = identity_of(stale(NORTH))
    found = decide(observed(stale(NORTH), attempts={identity: made}, lost={identity: lost}), cap=25, attempts=3)
    assert bool(found) is asks
    if found:
        assert found[0].attempt == made


def test_a_plan_that_was_given_up_is_asked_for_again_once_anything_about_it_changes() -> None:
    tried = {identity_of(stale(NORTH)): 3}
    assert asked(observed(stale(NORTH), attempts=tried)) == []
    assert asked(observed(stale(NORTH, made="f2"), attempts=tried)) == [NORTH]
    assert asked(observed(stale(NORTH, gone=("d2",)), attempts=tried)) == [NORTH]
    assert asked(observed(stale(NORTH), stale(NORTH, "two"), attempts=tried)) == [NORTH]
    assert asked(observed(stale(NORTH), unreported={NORTH: ["bronze.a"]}, attempts=tried)) == [NORTH]


def test_the_cap_holds_and_partitions_that_cannot_be_asked_for_do_not_use_it_up() -> None:
    items = [stale((f"2024-05-{day:02}", "north")) for day in range(1, 11)]
    assert len(asked(observed(*items), cap=4)) == 4
    blocked = frozenset(item.partition for item in items[:8])
    assert asked(observed(*items, active=blocked), cap=4) == [item.partition for item in items[8:]]


def test_the_same_plans_on_two_partitions_are_two_plans() -> None:
    identities = plan_identities([stale(NORTH), stale(LATER)], {})
    assert len(set(identities.values())) == 2


@given(st.permutations([("one", "f1"), ("two", "f2"), ("three", "f3")]), st.permutations(["x", "y", "z"]))
def test_the_identity_of_a_plan_does_not_depend_on_order(steps: list[tuple[str, str]], reports: list[str]) -> None:
    items = [stale(NORTH, name, made) for name, made in steps]
    straight = [stale(NORTH, name, made) for name, made in (("one", "f1"), ("three", "f3"), ("two", "f2"))]
    assert plan_identities(items, {NORTH: reports}) == plan_identities(straight, {NORTH: ["x", "y", "z"]})


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4)), unique_by=lambda pair: pair[0], max_size=9),
    st.sets(st.integers(1, 9)),
    st.integers(1, 5),
)
def test_asks_are_within_the_cap_unique_and_sorted(plans: list[tuple[int, int]], active: set[int], cap: int) -> None:
    def where(day: int) -> Partition:
        return (f"2024-05-0{day}", "north")

    items = [stale(where(day)) for day, _ in plans]
    attempts = {identity_of(stale(where(day))): made for day, made in plans}
    found = asked(observed(*items, active=frozenset(map(where, active)), attempts=attempts), cap=cap)
    assert found == sorted(where(day) for day, made in plans if made < 3 and day not in active)[:cap]


def test_the_same_ask_is_the_same_run_and_the_next_attempt_another() -> None:
    keys = [dg.AssetKey(["bronze", "a"])]
    first, again, second = (run_request(Ask(NORTH, "a" * 64, attempt, "why"), keys) for attempt in (0, 0, 1))
    assert first.run_key == again.run_key != second.run_key
    assert (first.partition_key, list(first.asset_selection or [])) == ("2024-05-01|north", keys)
    assert first.tags[PLAN_TAG] == "a" * PLAN_TAG_LENGTH
    assert run_request(Ask((), "a" * 64, 0, "why"), keys).partition_key is None
    assert run_request(Ask(("2024-05-01",), "a" * 64, 0, "why"), keys).partition_key == "2024-05-01"


# -- reading ledger and instance -------------------------------------------------------------------------------------

COLUMNS = (Column("drive_id", "string", ""), Column("day", "string", ""), Column("depot", "string", ""))
BULK = Table(("bronze", "a"), COLUMNS, ("drive_id",), "")
WHOLE = Table(("landing", "b"), COLUMNS[:1], ("drive_id",), "", partition_by=())
UNIT = UnitInput("f" * 24)


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def look(instance: dg.DagsterInstance, lake: MemoryLake, steps: list[Step], size: int) -> Observed:
    platform: Any = SimpleNamespace(lake=lake, tables={BULK.name: BULK, WHOLE.name: WHOLE}, policies=Policies({}))
    return observe(platform, instance, steps, ("day", "depot")[:size], {})


def add_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, **tags: str) -> None:
    instance.add_run(dg.DagsterRun(job_name="sweep", status=status, tags=tags))


def bulk_step() -> Step:
    return step("bulk", (BULK.name,), {NORTH: Wanted({"d1": UNIT})})


def whole_step() -> Step:
    return step("whole", (WHOLE.name,), {(): Wanted({"landing": UNIT})})


def test_a_sweep_looks_after_the_steps_of_its_own_partitions_only(instance: dg.DagsterInstance) -> None:
    steps = [bulk_step(), whole_step()]
    assert [item.partition for item in look(instance, MemoryLake(), steps, 2).stale] == [NORTH]
    assert [item.partition for item in look(instance, MemoryLake(), steps, 0).stale] == [()]
    assert look(instance, MemoryLake(), steps, 1).stale == []


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
)
def test_runs_under_way_are_seen_with_and_without_a_partition(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    add_run(instance, status, **{PARTITION_TAG: "2024-05-01|north"})
    assert look(instance, MemoryLake(), [bulk_step()], 2).active == {NORTH}
    add_run(instance, status, **{PLAN_TAG: "a" * PLAN_TAG_LENGTH})
    assert asked(look(instance, MemoryLake(), [whole_step()], 0)) == []


def test_runs_that_ended_are_not_under_way_and_count_as_attempts(instance: dg.DagsterInstance) -> None:
    identity = identity_of(*look(instance, MemoryLake(), [bulk_step()], 2).stale)
    for _ in range(2):
        tags = {PARTITION_TAG: "2024-05-01|north", PLAN_TAG: identity[:PLAN_TAG_LENGTH]}
        add_run(instance, dg.DagsterRunStatus.FAILURE, **tags)
    seen = look(instance, MemoryLake(), [bulk_step()], 2)
    assert seen.active == frozenset()
    assert seen.attempts == {identity: 2}
    assert decide(seen, cap=1, attempts=3)[0].attempt == 2


def test_a_partition_whose_data_version_dagster_knows_otherwise_is_unreported(instance: dg.DagsterInstance) -> None:
    lake = MemoryLake()
    row = {"drive_id": "d1", "day": NORTH[0], "depot": NORTH[1]}
    lake.put(BULK, NORTH, "d1", [row], "f" * 24)
    seen = look(instance, lake, [bulk_step()], 2)
    assert (list(seen.stale), dict(seen.unreported)) == ([], {NORTH: [BULK.name]})
    for digest, known in (("old", False), (root(lake.entries(BULK)), True)):
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                dg.AssetKey(["bronze", "a"]), partition="2024-05-01|north", tags={DATA_VERSION_TAG: digest}
            )
        )
        assert (look(instance, lake, [bulk_step()], 2).unreported == {}) is known


def chain_of_steps() -> list[Step]:
    """`one` makes a and b, `two` makes c of a, `three` makes d of c, `other` makes e of nothing."""

    def made(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Step:
        return replace(step(name), operator=Operator(name, 1, inputs, outputs))

    return [
        made("one", (), ("a", "b")),
        made("two", ("a",), ("c",)),
        made("three", ("c",), ("d",)),
        made("other", (), ("e",)),
    ]


@pytest.mark.parametrize(
    ("shut", "wanted"),
    [
        ({}, ["one", "two", "three", "other"]),
        ({NORTH: frozenset(["a"])}, ["one", "other"]),
        ({NORTH: frozenset(["c"])}, ["one", "two", "other"]),
        ({NORTH: frozenset(["b"])}, ["one", "two", "three", "other"]),
        ({SOUTH: frozenset(["a", "c"])}, ["one", "two", "three", "other"]),
    ],
)
def test_work_behind_a_gate_that_did_not_pass_is_not_asked_for(
    shut: dict[Partition, frozenset[str]], wanted: list[str]
) -> None:
    steps = chain_of_steps()
    outstanding = [Stale(one, NORTH, Plan({"d1": "f1"}, (), ())) for one in steps]
    assert [item.step.operator.name for item in open_work(outstanding, steps, shut)] == wanted
