"""`fleet check` and `fleet reconcile`: judge what is there, and make Dagster know it."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

import click

from fleet_assets.commands.session import (
    DONE,
    REFUSED,
    WRONG_USE,
    Session,
    check_partition,
    fleet_command,
    table_text,
    why_text,
)

if TYPE_CHECKING:
    import dagster as dg

    from asset_checks.gates import Gate
    from fleet_assets.crank import GateResult
    from fleet_assets.provenance.ledger import Partition

_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


@click.command()
@click.option("--select", "selection", help="Asset selection, e.g. 'silver/signals' or 'group:ingestion'.")
@click.option("--partition", help="Only this partition, e.g. '2018-08-02|sf'.")
@click.option("--changed-since", "revision", help="Only gates of workflows whose code or policies changed since REV.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for junit.xml and gates.sarif (default: FLEET_HOME/reports).",
)
@fleet_command
def check(
    session: Session, *, selection: str | None, partition: str | None, revision: str | None, out: Path | None
) -> int:
    r"""Run only the checks, on existing data; print a table, write JUnit and SARIF.

    Exit code 1 when a gate fails or is inconclusive. The results count: what they let pass is no longer held back.

    \b
    Example:
      fleet check
      fleet check --select silver/signals --partition '2018-08-02|sf'
      fleet check --changed-since main
    """
    from fleet_assets.build import all_gates

    gates = all_gates(session.fleet.tables)
    if revision is not None:
        gates = [gate for gate in gates if _concerned(gate, _changed_paths(revision))]
    if selection is not None:
        keys = _selected(session, selection)
        gates = [gate for gate in gates if gate.key.asset_key in keys]
        if not gates:
            click.echo(f"fleet: no gate guards {selection!r}. `fleet check` without --select lists all.", err=True)
            return WRONG_USE
    if partition is not None:
        check_partition(session, partition)
    results = list(_judge(session, gates, partition))
    folder = out or session.path / "reports"
    write_reports(results, folder)
    rows = [
        {
            "asset": result.asset,
            "gate": result.gate,
            "partition": result.partition,
            "outcome": result.outcome,
            "why": "" if result.outcome == "pass" else why_text(result.outcome, result.metadata),
        }
        for result in results
    ]
    columns = ["asset", "gate", "partition", "outcome", "why"]
    session.answer(rows, lambda: f"{table_text(rows, columns)}\n{len(rows)} checks; reports in {folder}")
    return DONE if all(result.outcome == "pass" for result in results) else REFUSED


def _selected(session: Session, selection: str) -> set[Any]:
    import dagster as dg

    try:
        graph = session.defs.resolve_asset_graph()
        return set(dg.AssetSelection.from_string(selection).resolve(graph))
    except dg.DagsterError as error:
        raise click.UsageError(f"--select {selection!r}: {error}") from error


def _judge(session: Session, gates: "Sequence[Gate]", only: str | None) -> "Iterable[GateResult]":
    """Real check runs, one per partition, so that conditions see the new outcome."""
    by_partition: dict[Partition, list[Gate]] = {}
    for gate in gates:
        for partition in sorted({entry.partition for entry in session.fleet.lake.entries(gate.table)}):
            if only in {None, "|".join(partition)}:
                by_partition.setdefault(partition, []).append(gate)
    crank = session.crank(lambda _: None)
    for partition, guarded in sorted(by_partition.items()):
        yield from crank.judge(partition, [gate.key for gate in guarded])


def _changed_paths(revision: str) -> list[str]:
    command = ["git", "diff", "--name-only", revision, "--"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - fixed program, no shell
    except (OSError, subprocess.CalledProcessError) as error:
        raise click.UsageError(f"--changed-since {revision!r}: git does not know it here ({error}).") from error
    return done.stdout.split()


def _concerned(gate: "Gate", changed: Sequence[str]) -> bool:
    """Whether a change touches what a table is made by; anything outside one workflow's folder concerns all."""
    from fleet_assets.operators import STEPS

    workflows = {step.operator.name.split(".")[0] for step in STEPS if gate.table.name in step.operator.outputs}
    for path in changed:
        parts = Path(path).parts
        outside = {"tests", "docs", "benchmarks", ".github", "deploy"} & set(parts[:1]) or path.endswith(".md")
        in_workflow = len(parts) > 3 and parts[0] == "fleet_assets"  # noqa: PLR2004 - fleet_assets/area/workflow/file
        if not outside and (not in_workflow or parts[2] in workflows):
            return True
    return False


def write_reports(results: "Sequence[GateResult]", folder: Path) -> None:
    """JUnit for CI systems, SARIF for code hosts."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = [result for result in results if result.outcome != "pass"]
    suite = ET.Element("testsuite", name="fleet gates", tests=str(len(results)), failures=str(len(failed)))
    for result in results:
        case = ET.SubElement(suite, "testcase", classname=result.asset, name=f"{result.gate}[{result.partition}]")
        if result.outcome != "pass":
            why = why_text(result.outcome, result.metadata)
            ET.SubElement(case, "failure", type=result.outcome, message=why)
    ET.ElementTree(suite).write(folder / "junit.xml", encoding="utf-8", xml_declaration=True)
    names = sorted({f"{result.asset}:{result.gate}" for result in results})
    run = {
        "tool": {"driver": {"name": "fleet check", "rules": [{"id": name} for name in names]}},
        "results": [
            {
                "ruleId": f"{result.asset}:{result.gate}",
                "level": "error" if result.outcome == "fail" else "warning",
                "message": {
                    "text": f"{result.partition}: {result.outcome}: {why_text(result.outcome, result.metadata)}"
                },
                "locations": [{"logicalLocations": [{"fullyQualifiedName": f"{result.asset}[{result.partition}]"}]}],
            }
            for result in failed
        ],
    }
    document = {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    (folder / "gates.sarif").write_text(json.dumps(document, indent=2))


@click.command()
@fleet_command
def reconcile(session: Session) -> int:
    r"""Make Dagster know what the lake holds, after a kill or with a new instance, and finish what is outstanding.

    What failed as often as the policy allows is tried anew: whoever asks has freed the cause.

    \b
    Example:
      fleet reconcile
    """
    from resources.processes import close_lost_runs

    lost = close_lost_runs(session.instance)
    _forgive(session.instance)
    runs = session.crank().turn()
    document = {"closed_runs": lost, "runs": len(runs), "failed": sum(not run.success for run in runs)}
    session.answer(document, lambda: f"{lost} dead runs closed, {len(runs)} runs made, {document['failed']} failed")
    return REFUSED if document["failed"] else DONE


def _forgive(instance: "dg.DagsterInstance") -> None:
    """Let failed runs no longer count as attempts."""
    import dagster as dg

    from resources.processes import LOST_TAG, PLAN_TAG

    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])):
        if PLAN_TAG in run.tags and LOST_TAG not in run.tags:
            instance.add_run_tags(run.run_id, {LOST_TAG: "true"})
