"""Commands about identity: digest, verify, plan, lineage."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleet_assets.commands.session import DONE, WRONG_USE, Session, check_partition, fleet_command, table_text

if TYPE_CHECKING:
    from fleet_assets.provenance.ledger import Entry
    from resources.platform import Fleet


def partition_digests(fleet: "Fleet", table: str | None = None, partition: str | None = None) -> list[dict[str, str]]:
    """Merkle root of every partition of the tables that are part of identity."""
    from fleet_assets.provenance.staleness import partition_roots
    from fleet_assets.tables import TableKind

    names = (
        [fleet.table(table).name] if table else [t.name for t in fleet.tables.values() if t.kind is not TableKind.LOG]
    )
    return [
        {"table": name, "partition": "|".join(key), "digest": digest}
        for name, partitions in partition_roots(fleet, names).items()
        for key, digest in sorted(partitions.items())
        if partition in {None, "|".join(key)}
    ]


def object_digests(fleet: "Fleet") -> list[tuple[str, str]]:
    """(class and digest, digest) of every object that a table names and the store holds, each once."""
    from fleet_assets.tables.objects import OBJECT_COLUMNS

    named = {
        (one.access, row[one.column])
        for one in OBJECT_COLUMNS
        for row in fleet.lake.rows(fleet.table(one.table), None, one.columns).to_pylist()
        if one.holds(row)
    }
    return [(f"{access}/{digest}", digest) for access, digest in sorted(named) if fleet.objects.exists(digest, access)]


def lake_digests(fleet: "Fleet", *, objects: bool) -> dict[str, str]:
    """One root per table, and one over the objects that the lake refers to."""
    from fleet_assets.provenance.digests import merkle_root

    leaves: dict[str, list[tuple[str, str]]] = {}
    for row in partition_digests(fleet):
        leaves.setdefault(row["table"], []).append((row["partition"], row["digest"]))
    roots = {name: merkle_root(found) for name, found in sorted(leaves.items())}
    return {**roots, "objects": merkle_root(object_digests(fleet))} if objects else roots


@click.command()
@click.argument("table", required=False)
@click.option("--partition", help="Only this partition, e.g. '2018-08-02|sf'.")
@click.option("--objects", is_flag=True, help="Also the digest over all objects that tables name.")
@click.option("--sign", type=click.Path(dir_okay=False, path_type=Path), help="Write a signed statement of the roots.")
@fleet_command
def digest(session: Session, table: str | None, *, partition: str | None, objects: bool, sign: Path | None) -> int:
    r"""Print what "the same bytes" means: the Merkle root of every table, or of every partition of one table.

    \b
    Example:
      fleet digest --objects
      fleet digest silver.signals --partition '2018-08-02|sf'
      fleet digest --sign roots.json
    """
    if partition is not None:
        check_partition(session, partition)
    if table or partition:
        rows = partition_digests(session.fleet, table, partition)
        session.answer(rows, lambda: table_text(rows, ["table", "partition", "digest"]) if rows else "nothing there")
        return DONE
    roots = lake_digests(session.fleet, objects=objects or sign is not None)
    if sign is not None:
        _sign(session, roots, sign)
    rows = [{"table": name, "digest": root} for name, root in roots.items()]
    session.answer(roots, lambda: table_text(rows, ["table", "digest"]) if rows else "the lake is empty")
    return DONE


def _sign(session: Session, roots: dict[str, str], target: Path) -> None:
    from fleet_assets.provenance.signing import PAYLOAD_TYPE, envelope_json, slsa_provenance
    from resources.signer import LocalSigner

    policies = {name: session.fleet.policies.digest(name) for name in session.fleet.policies.documents}
    statement = slsa_provenance(
        builder_id="urn:fleet-assets:cli",
        build_type="urn:fleet-assets:lake-digest:v1",
        inputs=policies,
        outputs=roots,
        parameters={},
    )
    signer = LocalSigner(key_dir=str(session.fleet.settings.keys)).signer()
    target.write_bytes(envelope_json(signer.sign(PAYLOAD_TYPE, statement.to_payload())))
    session.say(f"signed by {signer.key_id[:16]}… into {target}")


@click.command()
@fleet_command
def plan(session: Session) -> int:
    r"""Show what would be restated before it happens: drives, partitions, CPU by operator from past cost.

    Steps further down run only where the content of their inputs really changes; they are listed as `may follow`.

    \b
    Example:
      fleet plan
    """
    rows = planned_work(session.fleet)
    columns = ["operator", "certainty", "partitions", "drives", "gone", "cpu_h"]
    session.answer(rows, lambda: table_text(rows, columns) if rows else "nothing to do: every table is up to date")
    return DONE


def planned_work(fleet: "Fleet") -> list[dict[str, Any]]:
    """Outstanding work by operator, and what may follow from it."""
    from fleet_assets.operators import STEPS
    from fleet_assets.provenance.staleness import stale_partitions

    todo: dict[str, dict[str, Any]] = {}
    for stale in stale_partitions(fleet, STEPS):
        row = todo.setdefault(stale.step.operator.name, {"partitions": set(), "drives": set(), "gone": set()})
        row["partitions"].add(stale.partition)
        row["drives"] |= {(stale.partition, unit) for unit in stale.plan.stale}
        row["gone"] |= {(stale.partition, unit) for unit in stale.plan.gone}
    changing: dict[str, set[tuple[Any, str]]] = {}
    rows = []
    for step in STEPS:
        own = todo.get(step.operator.name, {"partitions": set(), "drives": set(), "gone": set()})
        follow = {unit for name in step.operator.inputs for unit in changing.get(name, set())} - own["drives"]
        for name in step.operator.outputs:
            changing[name] = own["drives"] | own["gone"] | follow
        for certainty, drives, gone in (("certain", own["drives"], own["gone"]), ("may follow", follow, set())):
            if drives or gone:
                rows.append(
                    {
                        "operator": step.operator.name,
                        "certainty": certainty,
                        "partitions": len({partition for partition, _ in drives | gone}),
                        "drives": len(drives),
                        "gone": len(gone),
                        "cpu_h": _cpu_hours(fleet, step.operator.name, step.operator.outputs, len(drives)),
                    }
                )
    return rows


def _cpu_hours(fleet: "Fleet", operator: str, outputs: tuple[str, ...], units: int) -> float | None:
    """Past CPU seconds per unit times units, in hours; None without a past."""
    past = [cost for cost in fleet.lake.costs(fleet.table(outputs[0])) if cost.get("operator") == operator]
    done = sum(int(cost["units"]) for cost in past)
    return round(sum(float(cost["cpu_s"]) for cost in past) / done * units / 3600, 6) if done else None


@click.command()
@click.argument("key")
@fleet_command
def lineage(session: Session, key: str) -> int:
    r"""Show where a table or a drive comes from and goes to.

    KEY is a table (`silver.signals`) or a drive id.

    \b
    Example:
      fleet lineage silver.signals
      fleet lineage 3f2a9c0d11e2b4a5 --json
    """
    name = key.replace("/", ".")
    if name in session.fleet.tables:
        rows = _table_lineage(name)
        session.answer(rows, lambda: table_text(rows, ["table", "relation", "operator", "distance"]))
        return DONE
    rows = _drive_lineage(session.fleet, key)
    if not rows:
        click.echo(f"fleet: {key!r} is neither a table nor a drive. `fleet drives` lists drives.", err=True)
        return WRONG_USE
    session.answer(rows, lambda: table_text(rows, ["table", "partition", "rows", "digest", "fingerprint", "operator"]))
    return DONE


def _table_lineage(name: str) -> list[dict[str, Any]]:
    from fleet_assets.operators import STEPS

    rows: list[dict[str, Any]] = [{"table": name, "relation": "itself", "operator": "", "distance": 0}]
    for relation, sources, targets in (("upstream", "outputs", "inputs"), ("downstream", "inputs", "outputs")):
        seen, front, distance = {name}, {name}, 0
        while front:
            distance += 1
            found = [
                (other, step.operator.name)
                for step in STEPS
                if front & set(getattr(step.operator, sources))
                for other in getattr(step.operator, targets)
                if other not in seen
            ]
            front = {other for other, _ in found}
            seen |= front
            rows += [
                {"table": other, "relation": relation, "operator": operator, "distance": distance}
                for other, operator in sorted(set(found))
            ]
    return rows


def _drive_lineage(fleet: "Fleet", drive_id: str) -> list[dict[str, Any]]:
    from fleet_assets.operators import STEPS

    def row(name: str, operator: str, entry: "Entry") -> dict[str, Any]:
        return {
            "table": name,
            "partition": "|".join(entry.partition),
            "rows": entry.rows,
            "digest": entry.digest[:16],
            "fingerprint": entry.fingerprint,
            "operator": operator,
        }

    return [
        row(name, step.operator.code_version, entry)
        for step in STEPS
        for name in step.operator.outputs
        for entry in fleet.lake.entries(fleet.table(name))
        if entry.unit == drive_id
    ]
