"""Which messages of an hour are taken, and why the others are held back. Sets in, sets out: order never matters.

Equal content is one message. Of different messages under one id, all hours considered, the one with the smallest
digest is taken among those that break no rule; the others are conflicts.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.batches import BATCH_RULES
from fleet_assets.policy.telemetry_schemas import Registry

Row = Mapping[str, Any]

REMEDIES: Final[Mapping[str, str]] = {
    "not_json": "Correct the sender; what the line was to say has to be sent again.",
    "envelope": "Correct the sender; what the line was to say has to be sent again.",
    "line_too_long": "Send it in shorter messages, or raise limits.max_line_bytes in telemetry.yaml and send it again.",
    "batch_too_large": "Send the rest in smaller batches, or raise `limits` in telemetry.yaml first.",
    "batch_unreadable": "Send the batch again from the vehicle's own copy.",
    "before_first_day": "Lower `first_day` in FLEET_HOME/fleet.yaml; the messages are then taken up by themselves.",
    "too_old": "Raise retention_days in telemetry.yaml if messages this late are wanted; they are then taken up.",
    "in_the_future": "Correct the vehicle's clock. The messages are taken up when their hour has begun.",
    "unknown_depot": "Run `fleet depot add NAME`; the messages are then taken up by themselves.",
    "unknown_schema": (
        "Write it into FLEET_HOME/policies/telemetry_schemas/NAME.yaml; the messages are then taken up by themselves."
    ),
    "invalid_payload": "Correct the sender, or add a version of the schema that allows it and have it sent under that.",
    "conflicting_message": "Give every message an id of its own; send the other content again under a new id.",
}


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that a message or line breaks."""

    rule: str
    value: str
    limit: str


@dataclass(frozen=True, slots=True)
class Judged:
    """An hour's messages.

    Attributes:
        taken: Rows of `bronze.telemetry`.
        held: Rows of `bronze.telemetry_quarantine`.
    """

    taken: list[dict[str, Any]]
    held: list[dict[str, Any]]


def judge_hour(hour: str, lines: Iterable[Row], depots: Collection[str], registry: Registry) -> Judged:
    """Judge an hour.

    Args:
        hour: The hour.
        lines: Rows of `bronze.telemetry_lines`: all of the hour, and those of other hours that share an id with one.
        depots: Known depots.
        registry: Known schemas.
    """
    messages = {row["sha256"]: row for row in lines}
    breaches = {sha256: _breach(row, depots, registry) for sha256, row in messages.items()}
    winners: dict[str, str] = {}
    for sha256 in sorted(messages):
        if breaches[sha256] is None:
            winners.setdefault(messages[sha256]["message_id"], sha256)
    taken, held = [], []
    for sha256, row in messages.items():
        if row["hour"] != hour:
            continue
        breach = breaches[sha256]
        if breach is None and winners[row["message_id"]] != sha256:
            breach = _conflict(messages[winners[row["message_id"]]])
        if breach is None:
            taken.append(_taken(row))
        else:
            keys = {"hour": hour, "vehicle_id": row["vehicle_id"], "depot": row["depot"], "schema": row["schema"]}
            held.append((keys, breach, row["message_id"]))
    return Judged(taken, _counted(held))


def _taken(row: Row) -> dict[str, Any]:
    schema, _, version = row["schema"].partition("/")
    names = ("hour", "message_id", "vehicle_id", "depot", "t_ns", "payload", "sha256")
    return {**{name: row[name] for name in names}, "schema": schema, "schema_version": version}


def _conflict(winner: Row) -> Breach:
    value = f"other content than {winner['sha256'][:12]} of hour {winner['hour']}"
    return Breach("conflicting_message", value, "one content per message id")


def _breach(row: Row, depots: Collection[str], registry: Registry) -> Breach | None:
    """The first rule that a message breaks by itself."""
    if row["depot"] not in depots:
        return Breach("unknown_depot", row["depot"], "a depot of `fleet depot list`")
    schema = registry.get(row["schema"])
    if schema is None:
        return Breach("unknown_schema", row["schema"], "a schema and version of `fleet telemetry schemas`")
    found = schema.breach(json.loads(row["payload"]))
    return Breach("invalid_payload", found.value, found.limit) if found is not None else None


def refuse(lines: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of `landing.telemetry_quarantine`.

    Args:
        lines: Rows of `bronze.telemetry_lines` that are no messages, or whose hour is not taken; `outside` says why.
    """
    held = []
    for row in {row["sha256"]: row for row in lines}.values():
        breach = row["outside"] or Breach(row["rule"], row["value"], row["limit"])
        keys = {name: row[name] for name in ("vehicle_id", "depot", "schema")}
        keys["batch"] = row["batch"] if breach.rule in BATCH_RULES else None
        held.append((keys, breach, row["message_id"]))
    return _counted(held)


def _counted(held: Sequence[tuple[Mapping[str, Any], Breach, str | None]]) -> list[dict[str, Any]]:
    """One row per key and rule: how many, and the first example in the order of text."""
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for keys, breach, message_id in held:
        example = (breach.value, breach.limit, message_id or "")
        groups.setdefault((*keys.items(), breach.rule), []).append(example)
    rows = []
    for (*keys_found, rule), examples in groups.items():
        value, limit, message_id = min(examples)
        stated = {"rule": rule, "value": value, "limit": limit, "remedy": REMEDIES[rule], "count": len(examples)}
        rows.append({**dict(keys_found), **stated, "message_id": message_id or None})
    return rows
