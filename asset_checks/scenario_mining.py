"""Gates of scenario mining: every request has its outcome, and every list is what its request asks for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asset_checks.gates import Gate
from fleet_assets.evidence.conservation import conservation
from fleet_assets.evidence.verdicts import Verdict
from fleet_assets.mining.scenario_mining.operators import POLICY, answer_request
from fleet_assets.mining.scenario_mining.requests import KIND, MiningRequest, Placed, parse_request, placed_from
from fleet_assets.mining.scenario_mining.units import unit_of
from fleet_assets.mining.scenario_mining.verdicts import ListFacts, SliceFacts, forbidden_clips, lists_verdict
from fleet_assets.mining.steps import MINE_STEP
from fleet_assets.provenance.fingerprints import gate_policy_digest
from fleet_assets.provenance.ledger import Partition
from fleet_assets.provenance.requests import Request
from fleet_assets.provenance.restate import UnitTask, Wanted
from fleet_assets.tables.mining import CANDIDATE_SETS, MINING_REQUESTS
from resources.platform import Fleet

LISTS_POLICY: Final = {POLICY: ("gate", "duplicates", "pool")}
Row = Mapping[str, Any]
_alike: dict[tuple[str, ...], bool] = {}
"""What came of asking again, by fingerprint and digests of both files: all three fix the answer."""


def _standing(fleet: Fleet) -> tuple[Wanted, set[str], set[str]]:
    """What is wanted, requests that have their files, and those that wait for them."""
    wanted = fleet.wanted(MINE_STEP, ())
    held = {entry.unit: entry.fingerprint for entry in fleet.lake.entries(CANDIDATE_SETS)}
    stale = {unit for unit, made in wanted.units.items() if held.get(unit) != made.fingerprint}
    return wanted, set(held), stale | set(wanted.waiting)


def judge_conservation(fleet: Fleet, partition: Partition) -> Verdict:
    """Every mining request in the book was answered or refused."""
    del partition
    _, held, waiting = _standing(fleet)
    asked = {unit_of(request.request_id) for request in fleet.requests.all() if request.kind == KIND}
    return conservation(asked, held - waiting, (), waiting, policy_digest=fleet.policies.digest("gates"))


def judge_lists(fleet: Fleet, partition: Partition) -> Verdict:
    """Every list keeps to what was asked, and comes out the same when its request is asked again."""
    del partition
    wanted, _, waiting = _standing(fleet)
    policy = fleet.policies[POLICY]
    book = {request.request_id: request for request in fleet.requests.all() if request.kind == KIND}
    answers = [row for row in fleet.lake.rows(MINING_REQUESTS).to_pylist() if row["request_id"] in book]
    rows: dict[str, list[Row]] = {}
    for row in fleet.lake.rows(CANDIDATE_SETS).to_pylist():
        rows.setdefault(row["request_id"], []).append(row)
    judged = [row for row in answers if row["status"] == "answered" and unit_of(row["request_id"]) not in waiting]
    latest = sorted(judged, key=lambda row: (-len(book[row["request_id"]].body["earlier"]), row["request_id"]))
    again = {row["request_id"] for row in latest[: policy["gate"]["rederive"]]}
    facts = {
        row["request_id"]: _facts(
            fleet, book[row["request_id"]], row, rows, again=row["request_id"] in again, of=wanted
        )
        for row in judged
    }
    return lists_verdict(
        facts,
        len(waiting),
        max_without_vector=policy["pool"]["max_without_vector"],
        policy_digest=gate_policy_digest(LISTS_POLICY, fleet.policies),
    )


def _facts(
    fleet: Fleet, request: Request, answer: Row, rows: Mapping[str, Sequence[Row]], *, again: bool, of: Wanted
) -> ListFacts:
    policy = fleet.policies[POLICY]
    placed = placed_from(request.body)
    asked = parse_request(placed.document, policy)
    own = rows.get(request.request_id, [])
    quotas = json.loads(answer["quotas"])
    return ListFacts(
        spent=_spent(asked, own),
        slices={
            quota.name: SliceFacts(
                quota.least,
                quota.most,
                sum(quota.name in row["slices"].split() for row in own),
                bool(quotas[quota.name]["reachable"]),
            )
            for quota in asked.quotas
        },
        forbidden=_forbidden(
            placed, asked, own, rows, near=json.loads(answer["funnel"])["near"], bits=policy["duplicates"]["bits"]
        ),
        matched=answer["matched"],
        without_vector=answer["without_vector"],
        alike=_asked_again(fleet, request.request_id, of) if again else None,
    )


def _spent(asked: MiningRequest, rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """What the rows take of each budget, counted here, and what they may."""
    takes = {
        "clips": float(len(rows)),
        "seconds": float(sum(row["duration_s"] for row in rows)),
        "bytes": float(sum(row["bytes"] for row in rows)),
    }
    return {name: (takes[name], float(limit)) for name, limit in asked.budget.items()}


def _forbidden(
    placed: Placed,
    asked: MiningRequest,
    own: Sequence[Row],
    rows: Mapping[str, Sequence[Row]],
    *,
    near: int,
    bits: int,
) -> dict[str, int]:
    earlier = [row for name in placed.earlier for row in rows.get(name, [])] if asked.without_used else []
    pictures = [int(row["perceptual_digest"], 16) for row in earlier if row["perceptual_digest"] is not None]
    return forbidden_clips(
        own,
        drives=frozenset(placed.drives),
        refused={
            "golden": frozenset(placed.golden),
            "used": frozenset(row["clip_id"] for row in earlier),
            "excluded": asked.without_clips,
            "seeds": frozenset(asked.seeds),
        },
        refused_drives=asked.without_drives,
        earlier_pictures=pictures,
        bits=bits,
        near=near,
    )


def _asked_again(fleet: Fleet, request_id: str, wanted: Wanted) -> bool:
    """Whether the operator, run once more on the same inputs, gives the rows that the tables hold."""
    unit = unit_of(request_id)
    held = {
        table.name: next(entry for entry in fleet.lake.entries(table) if entry.unit == unit)
        for table in (MINING_REQUESTS, CANDIDATE_SETS)
    }
    made = wanted.units[unit]
    key = (made.fingerprint, *(entry.digest for entry in held.values()))
    if key not in _alike:
        task = UnitTask(unit, (), made.inputs, made.context, fleet.policies, fleet.tables, fleet.lake.files)
        anew = answer_request(task)
        _alike[key] = all(
            anew[name].to_pylist() == fleet.lake.read(fleet.tables[name], [entry]).to_pylist()
            for name, entry in held.items()
        )
    return _alike[key]


def scenario_mining_gates() -> list[Gate]:
    """All gates of scenario mining."""
    return [
        Gate(MINING_REQUESTS, "conservation", "Every mining request has its outcome.", judge_conservation),
        Gate(
            CANDIDATE_SETS,
            "lists",
            "Budgets and quotas are kept, no clip is golden, used or twice, and the same request gives the same list.",
            judge_lists,
            LISTS_POLICY,
        ),
    ]
