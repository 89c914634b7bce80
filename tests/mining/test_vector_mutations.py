"""No comparison of the gates of the vector index can be turned round unnoticed."""

from types import SimpleNamespace
from typing import Any, Final

from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.mining.embeddings_and_vector_index.drift import Shift
from fleet_assets.mining.embeddings_and_vector_index.verdicts import Answers, Compared
from fleet_assets.provenance.ledger import Entry
from tests.gate_mutants import Judged, Scenario, assert_held

POLICY = "0" * 64
VERDICTS: Final = "fleet_assets.mining.embeddings_and_vector_index.verdicts"
RECALL: Final = {"at": 10, "least": 0.98, "confidence": 0.95}
DRIFT: Final = {"alpha": 0.02, "most": 0.1, "least_drives": 8}
SIDES: Final = "fleet_assets.mining.embeddings_and_vector_index.sides"
LOW: Final = clopper_pearson(60, 60, 0.95).low
"""Of sixty clips without a miss."""


def answered(
    hits: tuple[int, ...], clips: int, *, absent: int = 0, waiting: tuple[str, ...] = (), **policy: Any
) -> Scenario:
    """Clips that were asked about, of so many; a clip's copy is found where all its neighbours are."""
    own = Answers(clips, absent, hits, (10,) * len(hits), tuple(one == 10 for one in hits), 0)
    return lambda gate: gate({"image": own}, waiting, {**RECALL, **policy}, policy_digest=POLICY)


def lonely() -> Scenario:
    """A clip without any neighbour, of a sample."""
    own = Answers(5, 0, (0,), (0,), (True,), 0)
    return lambda gate: gate({"image": own}, (), RECALL, policy_digest=POLICY)


ANSWERS: Final = [
    answered((10,) * 5, 5),
    answered((10, 10, 10, 10, 9), 5),
    answered((10, 10, 10, 10, 9), 5, absent=1),
    answered((10, 10, 10, 10, 9), 5, least=0.8),
    answered((10,) * 4 + (5,), 5, least=0.9),
    answered((10,) * 5, 6),
    answered((10,) * 60, 61, least=LOW),
    answered((10,) * 60, 61, least=LOW + 1e-9),
    answered((10,) * 55 + (0,) * 5, 60, least=55 / 60),
    answered((10,) * 55 + (0,) * 5, 61),
    answered((10,) * 5, 4),
    answered((), 0),
    answered((10,) * 5, 5, waiting=("a",)),
    lonely(),
]


def moved(coefficient: float, p_value: float, *, alpha: float = 0.02) -> Scenario:
    """Enough drives on both sides."""
    own = {"image": Compared(False, 8, 9, Shift(coefficient, p_value, (8, 9)))}
    return lambda gate: gate(own, (), {**DRIFT, "alpha": alpha}, policy_digest=POLICY)


def few(before: int, after: int, *, within: bool = False, apart: bool = True) -> Scenario:
    """Some drives."""
    shift = Shift(0.5, 0.001, (before, after)) if apart else None
    return lambda gate: gate({"image": Compared(within, before, after, shift)}, (), DRIFT, policy_digest=POLICY)


def test_every_comparison_of_recall_is_held_by_a_scenario() -> None:
    parts = ("recall_verdict", "judged", "_recall_interval", "_census", "_by_modality", "_once_all_are_there")
    assert_held(Judged(VERDICTS, "recall_verdict", parts, ANSWERS))


def test_every_comparison_of_duplicates_is_held_by_a_scenario() -> None:
    parts = ("duplicate_verdict", "_census", "_by_modality", "_once_all_are_there")
    assert_held(Judged(VERDICTS, "duplicate_verdict", parts, ANSWERS))


def test_every_comparison_of_drift_is_held_by_a_scenario() -> None:
    scenarios = [
        moved(0.1, 0.001),
        moved(0.1001, 0.001),
        moved(0.05, 0.001),
        moved(0.2, 0.02),
        moved(0.2, 0.0201),
        few(8, 8),
        few(7, 8),
        few(8, 7),
        few(1, 1, within=True),
        few(9, 9, apart=False),
    ]
    assert_held(Judged(VERDICTS, "drift_verdict", ("drift_verdict", "_drift"), scenarios))


DIVIDED: Final = {"reference": {"from": None, "days": 3}, "least_drives": 2, "pool_days": 10}


def divided(days: str, day: int, begin: str | None = None) -> Scenario:
    """Drives on these days of a month, one a letter from `a` for the first; which one goes where."""

    def ask(function: Any) -> Any:
        entries = [
            Entry(f"d{at:02d}", (f"2024-05-{ord(one) - 96:02d}", "north"), "", "", 1, 1, "")
            for at, one in enumerate(days)
        ]
        policy = {**DIVIDED, "reference": {"from": begin, "days": 3}}
        found = function(entries, f"2024-05-{day:02d}", policy)
        told = {"last": found.last, "reference": [one.unit for one in found.reference]}
        told["window"] = [one.unit for one in found.window]
        return SimpleNamespace(outcome=SimpleNamespace(value="divided"), figures=told, missing=())

    return ask


def test_every_comparison_of_the_sides_of_drift_is_held_by_a_scenario() -> None:
    scenarios = [
        divided("aaaabc", 2),
        divided("aaaadef", 6),
        divided("aaaaadefgh", 6),
        divided("aceg", 9),
        divided("aceghi", 9),
        divided("abj", 10),
        divided("abk", 11),
        divided("acegopq", 17),
        divided("abcdmno", 13),
        divided("abcdmno", 14),
        divided("abcdklm", 13),
        divided("aabbccdefg", 7, "2024-05-02"),
        divided("bbccdefg", 12),
        divided("aaabcn", 14),
        divided("aaaaen", 14),
    ]
    assert_held(Judged(SIDES, "sides", ("sides", "_last_of_reference"), scenarios))
