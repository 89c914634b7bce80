"""Nothing vanishes between two tables, and a quarantine that fills up raises an alarm that is rarely false."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from fleet_assets.evidence.conservation import conservation, share_within
from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.evidence.verdicts import Outcome, Verdict

POLICY = "0" * 64
PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
DRIVES = st.sets(st.sampled_from("abcdef"))


def conserved(incoming: str, out: str, held: str = "", waiting: str = "") -> Verdict:
    return conservation(list(incoming), list(out), list(held), list(waiting), policy_digest=POLICY)


def share(held: int, total: int, waiting: int = 0, *, max_share: float = 0.5, confidence: float = 0.95) -> Verdict:
    return share_within(held, total, waiting, max_share=max_share, confidence=confidence, policy_digest=POLICY)


@pytest.mark.parametrize(
    ("case", "outcome", "figure"),
    [
        (("", ""), PASS, None),
        (("ab", "ab"), PASS, None),
        (("ab", "a", "b"), PASS, None),
        (("ab", "", "ab"), PASS, None),
        (("ab", "a"), FAIL, ("lost", "b")),
        (("ab", "", "b"), FAIL, ("lost", "a")),
        (("a", "ab"), FAIL, ("surplus", "b")),
        (("a", "a", "b"), FAIL, ("surplus", "b")),
        (("", "a"), FAIL, ("surplus", "a")),
        (("ab", "ab", "b"), FAIL, ("both", "b")),
        (("ab", "a", "", "b"), OPEN, None),
        (("a", "a", "", "a"), OPEN, None),
        (("abc", "a", "", "b"), FAIL, ("lost", "c")),
    ],
)
def test_in_is_out_plus_quarantined_drive_by_drive(
    case: tuple[str, ...], outcome: Outcome, figure: tuple[str, str] | None
) -> None:
    verdict = conserved(*case)
    assert verdict.outcome is outcome
    named = {name: verdict.figures[name] for name in ("lost", "surplus", "both") if name in verdict.figures}
    assert named == ({} if figure is None else dict([figure]))


def test_an_empty_partition_passes_and_says_that_it_is_empty() -> None:
    assert conserved("", "").figures["drives"] == 0


def test_a_verdict_that_waits_says_for_whose_inputs_and_what_to_run() -> None:
    verdict = conserved("abc", "a", "", "cb")
    assert verdict.figures["waiting"] == 2
    assert verdict.missing == ("inputs of b, c: run the upstream assets of this partition, then this check",)


def test_many_lost_drives_are_named_up_to_five_and_counted() -> None:
    lost = [f"d{number}" for number in range(8)]
    figures = conservation(lost, [], [], [], policy_digest=POLICY).figures
    assert figures["lost"] == "d0, d1, d2, d3, d4 and 3 more"
    assert conservation(lost[:5], [], [], [], policy_digest=POLICY).figures["lost"] == "d0, d1, d2, d3, d4"


@given(DRIVES, DRIVES, DRIVES, DRIVES)
def test_the_gate_passes_exactly_when_every_drive_has_one_place(
    incoming: set[str], out: set[str], held: set[str], waiting: set[str]
) -> None:
    verdict = conservation(incoming, out, held, waiting, policy_digest=POLICY)
    one_place_each = not out & held and out | held == incoming
    assert (verdict.outcome is PASS) == (one_place_each and not waiting)
    broken = any(d not in out | held | waiting for d in incoming) or any(d not in incoming for d in out | held)
    assert (verdict.outcome is FAIL) == (broken or bool(out & held))


@given(DRIVES, DRIVES, DRIVES, DRIVES)
def test_the_evidence_digest_does_not_depend_on_order(a: set[str], b: set[str], c: set[str], d: set[str]) -> None:
    forth, back = ([sorted(group, reverse=reverse) for group in (a, b, c, d)] for reverse in (False, True))
    assert conservation(*forth, policy_digest=POLICY) == conservation(*back, policy_digest=POLICY)


def exact_tail(held: int, total: int, limit: Fraction) -> Fraction:
    """P(at least `held` of `total` quarantined) at the limit, in whole numbers: the test behind the bound."""
    return sum(
        (comb(total, k) * limit**k * (1 - limit) ** (total - k) for k in range(held, total + 1)), start=Fraction(0)
    )


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5, 8, 13, 40])
@pytest.mark.parametrize("limit", [Fraction(1, 2), Fraction(1, 10), Fraction(1, 4)])
def test_the_share_fails_exactly_when_so_many_are_improbable_at_the_limit(total: int, limit: Fraction) -> None:
    """The bound is above the limit if and only if the exact binomial test rejects it, count by count."""
    for held in range(total + 1):
        rejected = exact_tail(held, total, limit) < Fraction(1, 20)
        assert (share(held, total, max_share=float(limit)).outcome is FAIL) == rejected, (held, total)


@pytest.mark.parametrize(
    ("held", "total", "outcome"), [(0, 0, PASS), (4, 4, PASS), (5, 5, FAIL), (6, 7, PASS), (7, 7, FAIL), (7, 8, FAIL)]
)
def test_at_a_half_a_small_day_is_held_only_when_five_of_five_are_bad(held: int, total: int, outcome: Outcome) -> None:
    # 1/2^4 is above 5 %, 1/2^5 below; 8/2^7 = 6.25 % and 9/2^8 = 3.5 %.
    assert share(held, total).outcome is outcome


def test_a_bound_on_the_limit_itself_passes() -> None:
    bound = float(clopper_pearson(3, 10, 0.9, side="lower").low)
    assert share(3, 10, max_share=bound, confidence=0.9).outcome is PASS
    assert share(3, 10, max_share=float(np.nextafter(bound, 0)), confidence=0.9).outcome is FAIL
    assert bound == pytest.approx(float(beta.ppf(0.1, 3, 8)), rel=1e-12)


def test_drives_that_wait_leave_it_open_unless_it_fails_already() -> None:
    assert share(0, 3, 1).outcome is OPEN
    assert "integrity findings of 1 drives" in share(0, 3, 1).missing[0]
    assert share(9, 9, 1).outcome is FAIL
    assert share(0, 3, 0).outcome is PASS


def test_the_figures_say_how_far_it_is_from_the_limit() -> None:
    figures = share(2, 8, max_share=0.25).figures
    assert (figures["drives"], figures["quarantined"], figures["share"], figures["max_share"]) == (8, 2, 0.25, 0.25)
    assert 0 < float(figures["lower_bound"]) < 0.25


@pytest.mark.parametrize(("total", "limit", "confidence"), [(10, 0.5, 0.95), (40, 0.1, 0.95), (200, 0.25, 0.9)])
def test_a_partition_at_the_limit_is_held_by_mistake_as_rarely_as_promised(
    total: int, limit: float, confidence: float
) -> None:
    """Simulated through the gate itself: false alarms at the limit stay within 1 - confidence, beyond chance."""
    rng = np.random.default_rng([total, round(limit * 100)])
    outcomes = {held: share(held, total, max_share=limit, confidence=confidence).outcome for held in range(total + 1)}
    days = 20_000
    alarms = sum(outcomes[int(held)] is FAIL for held in rng.binomial(total, limit, days))
    assert clopper_pearson(alarms, days, 0.999, side="lower").low <= 1 - confidence


@pytest.mark.parametrize(("total", "limit", "truth"), [(40, 0.1, 0.4), (200, 0.25, 0.4), (20, 0.5, 0.9)])
def test_a_quarantine_far_beyond_the_limit_is_noticed(total: int, limit: float, truth: float) -> None:
    rng = np.random.default_rng([total, 7])
    days = 5_000
    alarms = sum(share(int(held), total, max_share=limit).outcome is FAIL for held in rng.binomial(total, truth, days))
    assert clopper_pearson(alarms, days, 0.999, side="lower").low > 0.85
