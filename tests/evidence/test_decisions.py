"""An interval decides about a limit, with the boundary on the right side."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.evidence.bootstrap import TooFewClusters
from fleet_assets.evidence.decisions import at_least, at_most
from fleet_assets.evidence.intervals import Interval, clopper_pearson
from fleet_assets.evidence.verdicts import Outcome, Verdict

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
QUESTION = {"quantity": "miss rate", "unit": "drives", "evidence_digest": "a" * 64, "policy_digest": "b" * 64}


def interval(low: float, high: float) -> Interval:
    return Interval(low, high, (low + high) / 2, 30, 0.95, "bootstrap-bca")


def most(known: Interval | TooFewClusters, limit: float) -> Verdict:
    return at_most(known, limit, **QUESTION)


def least(known: Interval | TooFewClusters, limit: float) -> Verdict:
    return at_least(known, limit, **QUESTION)


ABOVE, BELOW = math.nextafter(0.25, 1), math.nextafter(0.25, 0)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.1, BELOW, PASS),
        (0.1, 0.25, PASS),
        (0.1, ABOVE, OPEN),
        (0.25, 0.4, OPEN),
        (BELOW, 0.4, OPEN),
        (ABOVE, 0.4, FAIL),
        (0.25, 0.25, PASS),
    ],
)
def test_at_most_allows_the_limit_itself(low: float, high: float, outcome: Outcome) -> None:
    assert most(interval(low, high), 0.25).outcome is outcome


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (ABOVE, 0.4, PASS),
        (0.25, 0.4, PASS),
        (BELOW, 0.4, OPEN),
        (0.1, 0.25, OPEN),
        (0.1, ABOVE, OPEN),
        (0.1, BELOW, FAIL),
        (0.25, 0.25, PASS),
    ],
)
def test_at_least_allows_the_limit_itself(low: float, high: float, outcome: Outcome) -> None:
    assert least(interval(low, high), 0.25).outcome is outcome


numbers = st.floats(-100, 100)


@given(numbers, numbers, numbers)
def test_at_least_is_at_most_in_the_mirror(a: float, b: float, limit: float) -> None:
    low, high = sorted((a, b))
    assert least(interval(low, high), limit).outcome is most(interval(-high, -low), -limit).outcome


@given(numbers, numbers, numbers, numbers)
def test_a_narrower_interval_never_contradicts_a_wider_one(a: float, b: float, c: float, limit: float) -> None:
    low, middle, high = sorted((a, b, c))
    for decide in (most, least):
        wide = decide(interval(low, high), limit).outcome
        for narrow in (interval(low, middle), interval(middle, high)):
            assert wide in (OPEN, decide(narrow, limit).outcome)


def test_figures_show_interval_limit_and_method() -> None:
    made = most(clopper_pearson(0, 59, 0.95, "upper"), 0.05)
    assert made.outcome is PASS
    assert made.figures == {
        "limit": 0.05,
        "n": 59,
        "confidence": 0.95,
        "method": "clopper-pearson",
        "low": 0.0,
        "high": pytest.approx(0.0495, abs=1e-4),
        "estimate": 0.0,
    }
    assert (made.evidence_digest, made.policy_digest) == ("a" * 64, "b" * 64)


def test_58_drives_without_a_miss_are_one_too_few() -> None:
    made = most(clopper_pearson(0, 58, 0.95, "upper"), 0.05)
    assert made.outcome is OPEN
    assert made.missing == (
        "whether miss rate is at most 0.05 is open: 0 over 58 drives, 0.95 interval 0 to 0.05034; "
        "about 1 more drives like these would settle it (as a pass)",
    )


@pytest.mark.parametrize(
    ("decide", "estimate", "result"),
    [(most, 0.2, "pass"), (most, 0.3, "fail"), (least, 0.2, "fail"), (least, 0.3, "pass")],
)
def test_the_sentence_says_where_more_evidence_leads(decide: type, estimate: float, result: str) -> None:
    made = decide(Interval(0.1, 0.4, estimate, 30, 0.95, "bootstrap-bca"), 0.25)
    assert made.outcome is OPEN
    assert f"more drives like these would settle it (as a {result})" in made.missing[0]


@pytest.mark.parametrize("k", [3, 4, 5, 9, 10, 11])
def test_as_many_more_drives_as_the_sentence_says_do_settle_it(k: int) -> None:
    n, limit = 60, 0.12
    made = most(clopper_pearson(k, n, 0.9), limit)
    assert made.outcome is OPEN
    found = re.search(r"about (\d+) more drives", made.missing[0])
    assert found is not None
    larger = n + int(found[1])
    settled = most(clopper_pearson(round(k / n * larger), larger, 0.9), limit)
    assert settled.outcome is (PASS if k / n < limit else FAIL)


@pytest.mark.parametrize(("decide", "limit"), [(most, 0.05), (least, 0.95)])
def test_nothing_observed_yet_asks_for_a_first_sample(decide: type, limit: float) -> None:
    made = decide(clopper_pearson(0, 0, 0.9), limit)
    assert made.outcome is OPEN
    assert "no drives yet; at least 59 drives without exception are needed" in made.missing[0]
    assert "estimate" not in made.figures


def test_a_value_on_the_limit_is_said_to_be_out_of_reach() -> None:
    made = most(interval(0.1, 0.4), 0.25)
    assert made.outcome is OPEN
    assert "would not settle it, since the value is too near the limit" in made.missing[0]


@pytest.mark.parametrize("limit", [5e-324, 2.8e-266, -1e-200])
def test_a_value_next_to_the_limit_is_inconclusive_and_no_crash(limit: float) -> None:
    made = most(interval(-2.0, 2.0), limit)
    assert made.outcome is OPEN
    assert "would not settle it" in made.missing[0]


def test_too_few_clusters_are_inconclusive() -> None:
    made = most(TooFewClusters(1, 2, "1 clusters with exposure, and at least 2 are needed"), 0.25)
    assert made.outcome is OPEN
    assert made.figures == {"limit": 0.25, "n": 1}
    assert made.missing[0].endswith("at least 1 more drives are needed")
    assert least(TooFewClusters(1, 2, "one"), 0.25).outcome is OPEN


def test_an_open_end_is_left_out_of_the_figures() -> None:
    made = most(Interval(-math.inf, 0.2, 0.1, 30, 0.95, "bootstrap-bca", "upper"), 0.25)
    assert made.outcome is PASS
    assert "low" not in made.figures


@pytest.mark.parametrize("decide", [most, least])
@pytest.mark.parametrize("limit", [math.nan, math.inf])
def test_a_limit_that_compares_with_nothing_is_refused(decide: type, limit: float) -> None:
    with pytest.raises(ValueError, match="the limit of miss rate is"):
        decide(interval(0.1, 0.2), limit)
