"""The gates of mined lists: three outcomes on data through the real checks, and their error rate."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from asset_checks.scenario_mining import judge_conservation, judge_lists
from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.mining.scenario_mining.verdicts import ListFacts, lists_verdict
from fleet_assets.provenance.requests import Request
from tests.mining.mining_fleet import CANDIDATE_SETS, MINING_REQUESTS, MiningFleet

Rows = list[dict[str, Any]]
QUOTAS = {"night": {"where": "light_condition = 'night'", "min": 1, "max": 2}}


def lists(fleet: MiningFleet) -> Verdict:
    return judge_lists(fleet, ())  # type: ignore[arg-type] # a hand-written twin


def conserved(fleet: MiningFleet) -> Outcome:
    return judge_conservation(fleet, ()).outcome  # type: ignore[arg-type] # a hand-written twin


def small(seed: int = 0) -> tuple[MiningFleet, Request, Request]:
    """Two drives, an earlier list, and one with every limit."""
    fleet = MiningFleet().add_drive("a", seed=seed).add_drive("b", seed=seed + 1)
    first = fleet.ask(name="first", budget={"clips": 3})
    second = fleet.ask(
        golden=["b-0000"], budget={"clips": 4, "seconds": 80}, quotas=QUOTAS, excludes={"clips": ["a-0001"]}
    )
    fleet.answer()
    return fleet, first, second


def test_lists_that_keep_to_their_requests_pass() -> None:
    fleet, first, second = small()
    assert len(fleet.rows_of(first)) == 3
    assert len(fleet.rows_of(second)) == 4
    verdict = lists(fleet)
    assert verdict.outcome is Outcome.PASS
    assert verdict.figures["all.asked_again"] == 2
    assert conserved(fleet) is Outcome.PASS
    assert lists(MiningFleet()).outcome is Outcome.PASS
    assert conserved(MiningFleet()) is Outcome.PASS


def other(rows: Rows, clip: str, **values: Any) -> Rows:
    """The list with another last clip."""
    return [*rows[:-1], {**rows[-1], "clip_id": clip, "drive_id": clip[0], **values}]


def unused(fleet: MiningFleet, *requests: Request) -> str:
    taken = {row["clip_id"] for request in requests for row in fleet.rows_of(request)} | {"b-0000", "a-0001"}
    return next(f"b-{number:04}" for number in range(1, 10) if f"b-{number:04}" not in taken)


FAULTS: dict[str, Callable[[MiningFleet, Request, Request, Rows], Rows]] = {
    "a clip too many": lambda fleet, first, second, rows: [
        *rows, {**rows[-1], "rank": 9, "clip_id": unused(fleet, first, second), "drive_id": "b", "duration_s": 0.0},
    ],
    "too long": lambda fleet, first, second, rows: [*rows[:-1], {**rows[-1], "duration_s": 20.1}],
    "too many of a slice": lambda fleet, first, second, rows: [{**row, "slices": "night"} for row in rows],
    "too few of a slice": lambda fleet, first, second, rows: [{**row, "slices": ""} for row in rows],
    "a golden clip": lambda fleet, first, second, rows: other(rows, "b-0000"),
    "an excluded clip": lambda fleet, first, second, rows: other(rows, "a-0001"),
    "a used clip": lambda fleet, first, second, rows: other(rows, fleet.rows_of(first)[0]["clip_id"]),
    "a clip of another drive": lambda fleet, first, second, rows: other(rows, "z-0000"),
    "a clip twice": lambda fleet, first, second, rows: [*rows[:-1], {**rows[0], "rank": rows[-1]["rank"]}],
    "one picture twice": lambda fleet, first, second, rows: [{**row, "perceptual_digest": "0" * 16} for row in rows],
    "another clip than its request gives": lambda fleet, first, second, rows: other(
        rows, unused(fleet, first, second), slices=rows[-1]["slices"]
    ),
    "another order": lambda fleet, first, second, rows: [
        {**row, "rank": rank} for row, rank in zip(rows, [2, 1, 3, 4], strict=True)
    ],
    "a clip lost": lambda fleet, first, second, rows: rows[:-1],
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_list_that_is_not_what_was_asked_fails(fault: str) -> None:
    fleet, first, second = small()
    fleet.tamper(second, FAULTS[fault](fleet, first, second, fleet.rows_of(second)))
    assert lists(fleet).outcome is Outcome.FAIL


def test_a_list_with_two_clips_that_are_the_same_by_vector_fails() -> None:
    fleet, first, _ = small()
    answer = fleet.rows_of(first, MINING_REQUESTS)[0]
    fleet.tamper(
        first, [{**answer, "funnel": json.dumps({**json.loads(answer["funnel"]), "near": 1})}], MINING_REQUESTS
    )
    assert lists(fleet).outcome is Outcome.FAIL


def test_it_stays_open_while_a_drive_is_made_anew_and_while_an_earlier_list_is_not_there() -> None:
    fleet, _, _ = small()
    fleet.lake.live["gold.clip_embeddings"] = {}
    assert lists(fleet).outcome is Outcome.INCONCLUSIVE
    assert conserved(fleet) is Outcome.INCONCLUSIVE
    fleet, first, _ = small()
    for table in (CANDIDATE_SETS, MINING_REQUESTS):
        entries = fleet.lake.live[table.name]
        fleet.lake.live[table.name] = {
            path: entry for path, entry in entries.items() if not first.request_id.startswith(entry.unit)
        }
    assert lists(fleet).outcome is Outcome.INCONCLUSIVE


def test_a_stricter_policy_leaves_it_open_until_the_request_was_judged_by_it_and_is_then_refused() -> None:
    fleet = MiningFleet().add_drive("a", blank=(0, 1))
    request = fleet.ask(budget={"clips": 2})
    fleet.answer()
    assert fleet.rows_of(request, MINING_REQUESTS)[0]["without_vector"] == 2
    assert lists(fleet).outcome is Outcome.PASS
    strict = fleet.under(max_without_vector=0.1)
    assert lists(strict).outcome is Outcome.INCONCLUSIVE
    strict.answer()
    assert "no vector" in strict.rows_of(request, MINING_REQUESTS)[0]["message"]
    assert lists(strict).outcome is Outcome.PASS


def test_matches_that_cannot_be_compared_leave_a_list_open() -> None:
    facts = {"r": ListFacts({}, {}, {}, matched=100, without_vector=26, alike=None)}
    verdict = lists_verdict(facts, 0, max_without_vector=0.25, policy_digest="0" * 64)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "26 of 100" in verdict.missing[0]


def test_what_cannot_be_answered_is_refused_with_its_reason_and_holds_nobody_else() -> None:
    fleet = MiningFleet().add_drive("a", blank=range(5))
    blank = fleet.ask(budget={"clips": 2}, name="blank")
    short = fleet.ask(quotas={"night": {"where": "light_condition = 'night'", "min": 5}}, name="short")
    wrong = fleet.ask(where=["now() > 1"], name="wrong")
    lost = fleet.ask(seeds={"clips": ["nobody"], "nearest": 2}, name="lost")
    odd = Request("mining", {"anything": 1}, "somebody")
    fleet.book.append(odd)
    fleet.answer()
    said = {
        request.request_id: fleet.rows_of(request, MINING_REQUESTS)[0] for request in (blank, short, wrong, lost, odd)
    }
    assert {row["status"] for row in said.values()} == {"refused"}
    for request, words in (
        (blank, "no vector"), (short, "quotas/night"), (wrong, "now()"), (lost, "nobody"), (odd, "fleet mine"),
    ):  # fmt: skip
        assert words in said[request.request_id]["message"]
        assert fleet.rows_of(request) == []
    assert lists(fleet).outcome is Outcome.PASS
    assert conserved(fleet) is Outcome.PASS


def test_a_later_drive_changes_no_list_a_corrected_one_restates_it_and_an_erased_one_leaves_it() -> None:
    fleet, first, second = small()
    before = {request.request_id: fleet.rows_of(request) for request in (first, second)}
    fleet.add_drive("c", seed=5)
    assert fleet.answer().plan.current
    assert {request.request_id: fleet.rows_of(request) for request in (first, second)} == before
    assert fleet.ask(name="first", budget={"clips": 3}).request_id not in before  # placed anew, it sees the third
    fleet.add_drive("b", seed=77)
    fleet.answer()
    assert fleet.rows_of(second) != before[second.request_id]
    assert lists(fleet).outcome is Outcome.PASS
    for live in fleet.lake.live.values():
        for path in [path for path, entry in live.items() if entry.unit == "b"]:
            del live[path]
    fleet.answer()
    assert {row["drive_id"] for row in fleet.rows_of(first)} == {"a"}
    assert lists(fleet).outcome is Outcome.PASS


def test_lists_never_share_a_clip_unless_they_may() -> None:
    fleet, first, second = small()
    again = fleet.ask(name="again", budget={"clips": 3}, excludes={"used": False})
    fleet.answer()
    taken = [{row["clip_id"] for row in fleet.rows_of(request)} for request in (first, second, again)]
    assert not taken[0] & taken[1]
    assert taken[0] == taken[2]


@pytest.mark.slow
def test_the_error_rate_of_the_check_on_right_and_on_spoilt_lists() -> None:
    """Through the real check, on fleets of other vectors, lights and events each."""
    rng = np.random.default_rng(0)
    wrongly_failed = wrongly_passed = spoilt = 0
    for seed in range(30):
        fleet, first, second = small(seed * 2)
        if not fleet.rows_of(second):
            continue  # refused: this fleet has too few nights
        wrongly_failed += lists(fleet).outcome is not Outcome.PASS
        right = fleet.rows_of(second)
        for fault in rng.choice(sorted(FAULTS), 3, replace=False):
            rows = FAULTS[str(fault)](fleet, first, second, right)
            if rows == right:
                continue
            spoilt += 1
            fleet.tamper(second, rows)
            wrongly_passed += lists(fleet).outcome is Outcome.PASS
        fleet.tamper(second, right)
    assert wrongly_failed == 0
    assert wrongly_passed == 0
    assert spoilt >= 60
    assert clopper_pearson(wrongly_passed, spoilt, 0.95, side="upper").high < 0.05
