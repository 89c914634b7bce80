"""`fleet telemetry`: put batches into the landing zone, and say what became of their messages; list the schemas."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleet_assets.commands.session import DONE, REFUSED, Session, fleet_command, table_text

if TYPE_CHECKING:
    import pyarrow as pa

    from fleet_assets.crank import RunResult
    from resources.platform import Fleet

_COLUMNS = ("file", "batch", "state", "lines", "stored", "duplicates", "held", "gates")


@click.group()
def telemetry() -> None:
    """Telemetry batches: small files of messages that vehicles send while they are in use."""


@telemetry.command("put")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--no-turn", is_flag=True, help="Only put them into the landing zone; the daemon does the rest.")
@fleet_command
def telemetry_put(session: Session, files: tuple[Path, ...], *, no_turn: bool) -> int:
    r"""Put telemetry batches into the landing zone and turn the crank until nothing is requested.

    FILES are JSON Lines, plain, gzip or Zstandard, one message per line: {"message_id": "…", "vehicle_id": "…",
    "depot": "…", "schema": "NAME/1.0.0", "time": "2024-05-01T08:00:00Z", "payload": {…}}. Exit code 1 when a message
    is held back or a gate fails.

    \b
    Example:
      fleet telemetry put health.jsonl heartbeats.jsonl.gz
    """
    from resources.landing import LocalLanding

    landing = LocalLanding(session.fleet.settings.landing)
    placed = [(file, landing.put_batch(file)[1]) for file in files]
    runs = [] if no_turn else session.crank().turn()
    rows = [_told(session.fleet, file, sha256, runs) for file, sha256 in placed]
    session.answer(rows, lambda: _text(rows))
    refused = any(row["held"] or set(row["gates"].values()) - {"pass"} for row in rows)
    return REFUSED if refused or any(run.error for run in runs) else DONE


def _text(rows: Iterable[Mapping[str, Any]]) -> str:
    shown = [{**row, "batch": row["batch"][:12], "gates": _summary(row["gates"])} for row in rows]
    reasons = [f"{row['file']}: {reason}" for row in shown for reason in row["reasons"]]
    return "\n".join([table_text(shown, _COLUMNS), *reasons])


def _summary(gates: Mapping[str, str]) -> str:
    """How many gates said what."""
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(gates.values()).items()))


def _told(fleet: "Fleet", file: Path, sha256: str, runs: "Iterable[RunResult]") -> dict[str, Any]:
    """What became of a batch."""
    told = {"file": str(file), "batch": sha256, "state": "in the landing zone"}
    lines = _lines(fleet, sha256)
    if lines is None:
        return {**told, "lines": None, "stored": None, "duplicates": None, "held": 0, "gates": {}, "reasons": []}
    rows = lines.to_pylist()
    hours = {row["hour"] for row in rows} - {None}
    taken = fleet.table("bronze.telemetry")
    stored = {
        row["sha256"] for hour in hours for row in fleet.lake.rows(taken, (hour,), ["sha256"]).to_pylist()
    }.intersection(row["sha256"] for row in rows)
    distinct = {row["sha256"]: row for row in rows}
    held = [row for digest, row in distinct.items() if digest not in stored]
    gates = {
        f"{gate.asset}:{gate.gate}|{gate.partition}": gate.outcome
        for run in runs
        for gate in run.gates
        if gate.partition in hours or gate.asset == "landing/telemetry_quarantine"
    }
    counts = {"lines": len(rows), "stored": len(stored), "duplicates": len(rows) - len(distinct), "held": len(held)}
    return {**told, "state": "read", **counts, "gates": gates, "reasons": sorted(_reasons(fleet, held))}


def _lines(fleet: "Fleet", sha256: str) -> "pa.Table | None":
    """Lines of a batch; None while it was not read."""
    import pyarrow.compute as pc

    from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.receipts import read_receipts

    receipt = next((found for found in read_receipts(fleet.lake) if sha256 in found.batches), None)
    if receipt is None:
        return None
    rows = fleet.lake.read(fleet.table("bronze.telemetry_lines"), [receipt.lines])
    return rows.filter(pc.equal(rows["batch"], sha256))


def _reasons(fleet: "Fleet", held: Iterable[Mapping[str, Any]]) -> set[str]:
    """Why messages of these vehicles and schemas are held back, in the words of the quarantine."""
    names = ("vehicle_id", "depot", "schema")
    wanted = {(row["hour"], *(row[name] for name in names)) for row in held}
    quarantine, refused = fleet.table("bronze.telemetry_quarantine"), fleet.table("landing.telemetry_quarantine")
    hours = {hour for hour, *_ in wanted if hour is not None}
    listed = [row for hour in hours for row in fleet.lake.rows(quarantine, (hour,)).to_pylist()]
    elsewhere = {tuple(names) for _, *names in wanted}
    listed = [row for row in listed if (row["hour"], *(row[name] for name in names)) in wanted]
    listed += [row for row in fleet.lake.rows(refused).to_pylist() if tuple(row[name] for name in names) in elsewhere]
    return {f"{row['rule']}: {row['value']} (allowed: {row['limit']}). {row['remedy']}" for row in listed}


@telemetry.command("schemas")
@fleet_command
def telemetry_schemas(session: Session) -> int:
    r"""List the schemas that messages may name, with their fields.

    \b
    Example:
      fleet telemetry schemas
    """
    from fleet_assets.policy.telemetry_schemas import Registry

    registry = Registry(session.policies)
    document = [
        {
            "schema": f"{schema.name}/{schema.version}",
            "description": schema.description,
            "fields": dict(session.policies[f"telemetry_schemas/{schema.name}"]["versions"][schema.version]),
        }
        for schema in registry
    ]
    rows = [
        {
            "schema": f"{schema.name}/{schema.version}",
            "field": name,
            "type": field.type,
            "unit": field.unit,
            "required": "yes" if field.required else "",
            "description": field.description,
        }
        for schema in registry
        for name, field in schema.fields.items()
    ]
    session.answer(document, lambda: table_text(rows, ["schema", "field", "type", "unit", "required", "description"]))
    return DONE
