"""The gates of one table are one step of a run, and still gates of their own."""

from collections.abc import Collection, Sequence
from pathlib import Path

import dagster as dg
import pytest

from asset_checks.gates import Gate, Judge, gate_checks
from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.provenance.digests import EMPTY_ROOT
from fleet_assets.provenance.ledger import Partition
from fleet_assets.tables import Column, Table
from partitions.fleet import DAY, DEPOT
from resources.platform import Fleet

NORTH = "2024-05-01|north"
DAY_DEPOT = dg.MultiPartitionsDefinition(
    {DAY: dg.StaticPartitionsDefinition(["2024-05-01"]), DEPOT: dg.StaticPartitionsDefinition(["north"])}
)
COLUMNS = tuple(Column(name, "string", "") for name in ("drive_id", "day", "depot"))
TABLE = Table(("silver", "toy"), COLUMNS, ("drive_id",), "")


def says(outcome: Outcome) -> Judge:
    missing = ("more drives",) if outcome is Outcome.INCONCLUSIVE else ()

    def judge(fleet: Fleet, partition: Partition) -> Verdict:
        del fleet
        return Verdict(outcome, {"partition": "|".join(partition)}, EMPTY_ROOT, EMPTY_ROOT, missing)

    return judge


def crashes(fleet: Fleet, partition: Partition) -> Verdict:
    del fleet, partition
    raise ZeroDivisionError("no drives")


def may_open(fleet: Fleet, partition: Partition) -> Verdict:
    """Says which access classes the platform at hand is granted."""
    del partition
    return Verdict(Outcome.PASS, {"granted": " ".join(fleet.granted)}, EMPTY_ROOT, EMPTY_ROOT)


def run(
    home: Path, judges: dict[str, Judge], asked: Sequence[str] | None = None, ingested: Collection[dg.AssetKey] = ()
) -> dg.ExecuteInProcessResult:
    """Materialise the table and what follows it, or (asked) only judge by some gates."""
    gates = [Gate(TABLE, name, f"{name} holds.", judge) for name, judge in judges.items()]

    @dg.asset(key=["silver", "toy"], partitions_def=DAY_DEPOT)
    def toy() -> None: ...

    @dg.asset(deps=[toy], partitions_def=DAY_DEPOT)
    def after() -> None: ...

    defs = dg.Definitions(
        assets=[toy, after],
        asset_checks=gate_checks(gates, {("day", "depot"): DAY_DEPOT}, ingested),
        resources={"ingestion": Fleet(home=str(home), granted=["raw", "open"]), "fleet": Fleet(home=str(home))},
    )
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        if asked is None:
            return job.execute_in_process(instance=instance, partition_key=NORTH, raise_on_error=False)
        keys = {gate.key for gate in gates if gate.name in asked}
        alone = job.get_subset(asset_selection=set(), asset_check_selection=keys)
        return alone.execute_in_process(instance=instance, tags={"dagster/partition": NORTH}, raise_on_error=False)


def judged(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {found.check_name: str(found.metadata["outcome"].value) for found in result.get_asset_check_evaluations()}


def made(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key}


def test_gates_that_all_pass_let_through_what_follows_in_one_step(tmp_path: Path) -> None:
    result = run(tmp_path, {"whole": says(Outcome.PASS), "fresh": says(Outcome.PASS)})
    assert result.success
    assert judged(result) == {"whole": "pass", "fresh": "pass"}
    assert made(result) == {"toy", "after"}
    assert len({event.step_key for event in result.all_events if event.is_step_success}) == 3


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.INCONCLUSIVE])
@pytest.mark.parametrize("place", [0, 1])
def test_one_gate_that_does_not_pass_holds_back_what_follows_and_its_neighbours_are_judged(
    tmp_path: Path, outcome: Outcome, place: int
) -> None:
    outcomes = [Outcome.PASS, Outcome.PASS]
    outcomes[place] = outcome
    result = run(tmp_path, {name: says(one) for name, one in zip(("whole", "fresh"), outcomes, strict=True)})
    assert not result.success
    assert judged(result) == {"whole": outcomes[0].value, "fresh": outcomes[1].value}
    assert made(result) == {"toy"}


def test_a_gate_that_crashes_is_named_and_its_neighbours_are_judged(tmp_path: Path) -> None:
    result = run(tmp_path, {"whole": crashes, "fresh": says(Outcome.PASS)})
    assert not result.success
    assert judged(result) == {"fresh": "pass"}
    assert made(result) == {"toy"}
    (failure,) = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    assert failure is not None
    assert "ZeroDivisionError: no drives" in failure.to_string()
    assert "in gate silver/toy:whole" in failure.to_string()


def test_a_gate_can_be_asked_alone(tmp_path: Path) -> None:
    judges = {"whole": says(Outcome.FAIL), "fresh": says(Outcome.PASS)}
    result = run(tmp_path, judges, ["fresh"])
    assert result.success
    assert judged(result) == {"fresh": "pass"}
    assert made(result) == set()


@pytest.mark.parametrize(
    ("ingested", "granted"), [((dg.AssetKey(list(TABLE.key)),), "raw open"), ((), "open")], ids=["ingestion", "later"]
)
def test_only_gates_of_tables_that_ingestion_makes_may_open_raw(
    tmp_path: Path, ingested: Collection[dg.AssetKey], granted: str
) -> None:
    (found,) = run(tmp_path, {"whole": may_open}, ingested=ingested).get_asset_check_evaluations()
    assert found.metadata["granted"].value == granted
