"""`fleet mine`: clips that somebody asks for, chosen so that they are few, different and worth a label."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fleet_assets.commands.session import DONE, REFUSED, WRONG_USE, Session, fleet_command, table_text

if TYPE_CHECKING:
    from fleet_assets.provenance.requests import Request
    from resources.platform import Fleet

_COLUMNS: Final = ("rank", "clip", "day", "depot", "seconds", "worth", "reasons")


@click.command()
@click.argument("request", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only check the request and say which drives it would look at.")
@click.option("--no-turn", is_flag=True, help="Only put it into the request book; the daemon does the rest.")
@fleet_command
def mine(session: Session, request: Path, *, dry_run: bool, no_turn: bool) -> int:
    r"""Put a mining request into the book and turn the crank until it is answered.

    REQUEST is a YAML file, or the name of a ready-made request of policies/mining_requests. Clips come best first, each
    with what speaks for it. The same request on the same drives is the same list. Exit code 1 when it is refused.

    \b
    Example:
      fleet mine night_rain --dry-run
      fleet mine my_request.yaml --json
    """
    from fleet_assets.mining.scenario_mining.requests import InvalidMiningRequestError, place

    try:
        text = _text_of(session, request)
        document = _checked(session, text, request.name)
        drives, left_out = drives_to_look_at(session)
        book = session.fleet.requests.all()
        asked = place(document, drives, golden_clips(session.fleet), f"file:{_digest(text)}", book)
    except InvalidMiningRequestError as error:
        click.echo(f"fleet: {error}", err=True)
        return WRONG_USE
    told = {"request_id": asked.request_id, "name": document["name"], "drives": len(drives), "left_out": left_out}
    if dry_run:
        session.answer({**told, "new": asked not in book}, lambda: _dry_text(told, is_new=asked not in book))
        return DONE
    session.fleet.requests.append(asked)
    runs = [] if no_turn else session.crank().turn()
    shown = _show(session, asked, told)
    return REFUSED if any(run.error for run in runs) else shown


def _text_of(session: Session, request: Path) -> bytes:
    """The request's file: as given, or one of the policies in force by its name."""
    if request.is_file():
        return request.read_bytes()
    named = Path("mining_requests") / f"{request.name}.yaml"
    for folder in reversed(session.fleet.policies.folders):
        if request.suffix == "" and (folder / named).is_file():
            return (folder / named).read_bytes()
    known = sorted(
        name.removeprefix("mining_requests/")
        for name in session.fleet.policies.documents
        if name.startswith("mining_requests/")
    )
    raise click.UsageError(f"{request}: no such file, and no ready-made request. Ready-made: {', '.join(known)}.")


def _digest(text: bytes) -> str:
    import hashlib

    return hashlib.sha256(text).hexdigest()


def _checked(session: Session, text: bytes, source: str) -> Mapping[str, Any]:
    """The request's document, predicates included; nothing is looked at yet.

    Raises:
        InvalidMiningRequestError: Naming what is wrong with it.
    """
    from fleet_assets.mining.scenario_mining.predicates import check_predicate
    from fleet_assets.mining.scenario_mining.requests import InvalidMiningRequestError, parse_request, read_request
    from fleet_assets.mining.scenario_mining.words import document_fields
    from fleet_assets.policy.search_query import BadQueryError, parse_query

    policies, tables = session.fleet.policies, session.fleet.tables
    document = read_request(text, source)
    policy = policies["mining"]
    asked = parse_request(document, policy)
    columns = {
        name: {column for table in own for column in tables[table].arrow_schema.names}
        for name, own in policy["relations"].items()
    }
    for number, predicate in enumerate(asked.where):
        check_predicate(predicate, f"{source}: where/{number}", columns, policy["functions"])
    for quota in asked.quotas:
        check_predicate(quota.where, f"{source}: quotas/{quota.name}", columns, policy["functions"])
    if asked.words is not None:
        try:
            parse_query(asked.words, document_fields(policies["catalog"]["documents"]["fields"]))
        except BadQueryError as error:
            raise InvalidMiningRequestError(f"{source}: text/words: {error}") from error
    return document


def drives_to_look_at(session: Session) -> tuple[list[str], dict[str, int]]:
    """Drives that every input of mining has, and whose gates passed; and how many were left out, by reason."""
    from fleet_assets.build import all_gates
    from fleet_assets.mining.scenario_mining.operators import MINE
    from sensors.verdicts import Guard, Standing, standings, verdict_infos

    fleet = session.fleet
    guarded: dict[str, list[Guard]] = {name: [] for name in MINE.inputs}
    for gate in all_gates(fleet.tables):
        if gate.table.name in guarded:
            guarded[gate.table.name].append(Guard(gate.key, gate.policy))
    infos = verdict_infos(session.instance, [guard.key for guards in guarded.values() for guard in guards])
    passed = standings(infos, guarded)
    places = {entry.unit: entry.partition for entry in fleet.lake.entries(fleet.tables[MINE.inputs[0]])}
    there = [{entry.unit for entry in fleet.lake.entries(fleet.tables[name])} for name in MINE.inputs]
    whole = set(places).intersection(*there)
    held = {
        drive
        for drive in whole
        if any(by_partition.get(places[drive]) is not Standing.PASSED for by_partition in passed.values())
    }
    left_out = {"not done yet": len(set(places) - whole), "gate not passed": len(held)}
    return sorted(whole - held), {reason: count for reason, count in left_out.items() if count}


def golden_clips(fleet: "Fleet") -> list[str]:
    """Clips of the golden sets that this platform has, if any."""
    names = fleet.policies["mining"]["excludes"]["golden"]
    tables = [fleet.tables[name] for name in names if name in fleet.tables]
    clips = [fleet.lake.rows(table, columns=["clip_id"])["clip_id"].to_pylist() for table in tables]
    return sorted({clip for own in clips for clip in own})


def _show(session: Session, asked: "Request", told: Mapping[str, Any]) -> int:
    import json

    from fleet_assets.tables.mining import CANDIDATE_SETS, MINING_REQUESTS

    lake = session.fleet.lake
    answers = [row for row in lake.rows(MINING_REQUESTS).to_pylist() if row["request_id"] == asked.request_id]
    if not answers:
        document = {**told, "status": "waiting"}
        session.answer(document, lambda: f"request {asked.request_id[:12]} waits; `fleet requests` shows the book")
        return DONE
    rows = [row for row in lake.rows(CANDIDATE_SETS).to_pylist() if row["request_id"] == asked.request_id]
    answer = {name: json.loads(v) if name in _JSON_COLUMNS else v for name, v in answers[0].items()}
    session.answer({**told, **answer, "clips_chosen": rows}, lambda: _text(answer, rows, told["left_out"]))
    return REFUSED if answer["status"] == "refused" else DONE


_NO_STEPS: Final = ("near", "without_vector")
_JSON_COLUMNS: Final = ("funnel", "limits", "spent", "quotas")


def _dry_text(told: Mapping[str, Any], *, is_new: bool) -> str:
    state = "would be placed" if is_new else "is in the book already"
    return f"request {told['request_id'][:12]} ({told['name']}) {state}; it looks at {_drives(told)}"


def _drives(told: Mapping[str, Any]) -> str:
    left_out = "".join(f", {count} left out: {reason}" for reason, count in told["left_out"].items())
    return f"{told['drives']} drives{left_out}"


def _text(answer: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], left_out: Mapping[str, int]) -> str:
    if answer["status"] == "refused":
        return f"refused: {answer['message']}"
    shown = [
        {**row, "clip": row["clip_id"], "seconds": f"{row['duration_s']:.0f}", "worth": f"{row['worth']:.2f}"}
        for row in rows
    ]
    told = {name: count for name, count in answer["funnel"].items() if name not in _NO_STEPS}
    steps = ", ".join(f"{name} {count}" for name, count in told.items())
    looked_at = _drives({**answer, "left_out": left_out})
    head = f"request {answer['request_id'][:12]} ({answer['name']}): {len(rows)} clips of {looked_at}"
    return "\n".join([table_text(shown, _COLUMNS)] * bool(rows) + [head, f"left after each step: {steps}"])
