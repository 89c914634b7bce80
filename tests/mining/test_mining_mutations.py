"""No comparison of the gate on mined lists can be turned round unnoticed."""

from collections.abc import Mapping
from typing import Any, Final

from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.mining.scenario_mining.verdicts import ListFacts, SliceFacts
from tests.gate_mutants import Judged, Scenario, assert_held

POLICY = "0" * 64
VERDICTS: Final = "fleet_assets.mining.scenario_mining.verdicts"


def judged(
    *,
    spent: tuple[float, float] = (5.0, 5.0),
    slices: Mapping[str, SliceFacts] | None = None,
    forbidden: int = 0,
    without_vector: int = 0,
    matched: int = 100,
    alike: bool | None = True,
    waiting: int = 0,
) -> Scenario:
    """One list with its budget, its quotas and what is wrong with it."""
    facts = ListFacts({"clips": spent}, slices or {}, {"golden": forbidden}, matched, without_vector, alike)
    return lambda gate: gate({"r": facts}, waiting, max_without_vector=0.25, policy_digest=POLICY)


def quota(least: int, most: int | None, chosen: int, *, reachable: bool = True) -> Mapping[str, SliceFacts]:
    return {"night": SliceFacts(least, most, chosen, reachable)}


def test_every_comparison_of_the_verdict_is_held_by_a_scenario() -> None:
    assert_held(
        Judged(
            VERDICTS,
            "lists_verdict",
            ("lists_verdict", "_list_verdict"),
            [
                judged(),
                judged(spent=(5.1, 5.0)),
                judged(spent=(4.0, 5.0)),
                judged(slices=quota(2, 4, 4)),
                judged(slices=quota(2, 4, 5)),
                judged(slices=quota(2, 4, 3)),
                judged(slices=quota(2, None, 9)),
                judged(slices=quota(2, 4, 2)),
                judged(slices=quota(2, 4, 1)),
                judged(slices=quota(2, 4, 1, reachable=False)),
                judged(forbidden=1),
                judged(without_vector=25),
                judged(without_vector=26),
                judged(without_vector=1, matched=0),
                judged(alike=False),
                judged(alike=None),
                judged(waiting=1),
            ],
        )
    )


def counted(clips: list[tuple[str, str, str | None]], bits: int, earlier: tuple[int, ...] = ()) -> Scenario:
    """Clips of a list, each with its drive and its picture; what is counted comes back as figures."""
    rows = [{"clip_id": clip, "drive_id": drive, "perceptual_digest": picture} for clip, drive, picture in clips]

    def ask(count: Any) -> Verdict:
        found = count(
            rows,
            drives=frozenset("ab"),
            refused={"golden": frozenset({"a-1"})},
            refused_drives=frozenset("b"),
            earlier_pictures=earlier,
            bits=bits,
            near=0,
        )
        return Verdict(Outcome.PASS, found, POLICY, POLICY)

    return ask


def test_every_comparison_of_what_is_forbidden_is_held_by_a_scenario() -> None:
    assert_held(
        Judged(
            VERDICTS,
            "forbidden_clips",
            ("forbidden_clips",),
            [
                counted([("a-1", "a", None), ("a-2", "a", None)], 2),
                counted([("b-1", "b", None), ("z-1", "z", None)], 2),
                counted([("a-2", "a", "0"), ("a-3", "a", "3"), ("a-4", "a", "ff")], 2),
                counted([("a-2", "a", "0"), ("a-3", "a", "7")], 2),
                counted([("a-2", "a", "0")], 2, (1, 255)),
            ],
        )
    )
