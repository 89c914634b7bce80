"""Gates of telemetry: three outcomes, each on data, and nothing between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.verdicts import (
    Counted,
    messages_conserved,
    unknown_schema_verdict,
)

POLICY = "0" * 64


def share(unknown: int, messages: int, max_share: float, waiting: int = 0) -> Verdict:
    named = {"new/1.0.0": unknown} if unknown else {}
    return unknown_schema_verdict(named, messages, waiting, max_share=max_share, policy_digest=POLICY)


@pytest.mark.parametrize(
    ("unknown", "messages", "max_share", "outcome"),
    [
        (0, 0, 0, Outcome.PASS),
        (0, 10, 0, Outcome.PASS),
        (1, 1_000_000, 0, Outcome.FAIL),
        (1, 10, 0.1, Outcome.PASS),
        (2, 10, 0.1, Outcome.FAIL),
        (10, 10, 1, Outcome.PASS),
    ],
)
def test_the_limit_is_the_last_share_that_passes(
    unknown: int, messages: int, max_share: float, outcome: Outcome
) -> None:
    assert share(unknown, messages, max_share).outcome is outcome


def test_a_failure_names_the_schemas_most_frequent_first() -> None:
    counts = {f"s{i}/1.0.0": i for i in range(1, 8)}
    verdict = unknown_schema_verdict(counts, 28, 0, max_share=0.5, policy_digest=POLICY)
    assert verdict.figures["unknown_schemas"] == "s7/1.0.0, s6/1.0.0, s5/1.0.0, s4/1.0.0, s3/1.0.0 and 2 more"


def test_an_hour_that_is_behind_what_came_is_judged_neither_way() -> None:
    for verdict in (share(1, 1, 0, waiting=1), messages_conserved(Counted(5, 1, 0, 0), 1, policy_digest=POLICY)):
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "materialise this partition" in verdict.missing[0]


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(-3, 3), st.integers(0, 2))
def test_messages_are_conserved_exactly_when_none_is_lost_or_from_nowhere(
    stored: int, duplicates: int, held: int, lost: int, unknown: int
) -> None:
    counted = Counted(stored + duplicates + held + lost, stored, duplicates, held, unknown)
    verdict = messages_conserved(counted, 0, policy_digest=POLICY)
    assert verdict.outcome is (Outcome.PASS if lost == 0 and unknown == 0 else Outcome.FAIL)
    assert verdict.figures["lost"] == lost
