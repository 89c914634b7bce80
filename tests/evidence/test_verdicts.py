"""Verdicts keep their rules, and the algebra over them is Kleene's."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.evidence.verdicts import Outcome, Verdict, all_of, any_of, evidence_digest
from fleet_assets.provenance.canonical import NotCanonicalError

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
DIGEST = "0" * 64
RANK = {FAIL: 0, OPEN: 1, PASS: 2}
"""Kleene's order of truth; conjunction is its minimum, disjunction its maximum."""


def verdict(outcome: Outcome, label: str = "a") -> Verdict:
    missing = (f"more {label}",) if outcome is OPEN else ()
    return Verdict(outcome, {f"{label}_n": 1}, evidence_digest(label), DIGEST, missing)


outcomes = st.sampled_from(Outcome)
verdict_lists = st.lists(st.builds(verdict, outcomes, st.sampled_from("abcdef")), max_size=6)


@pytest.mark.parametrize(
    ("left", "right", "conjunction", "disjunction"),
    [
        (PASS, PASS, PASS, PASS),
        (PASS, OPEN, OPEN, PASS),
        (PASS, FAIL, FAIL, PASS),
        (OPEN, PASS, OPEN, PASS),
        (OPEN, OPEN, OPEN, OPEN),
        (OPEN, FAIL, FAIL, OPEN),
        (FAIL, PASS, FAIL, PASS),
        (FAIL, OPEN, FAIL, OPEN),
        (FAIL, FAIL, FAIL, FAIL),
    ],
)
def test_two_verdicts_combine_as_in_kleenes_truth_tables(
    left: Outcome, right: Outcome, conjunction: Outcome, disjunction: Outcome
) -> None:
    pair = [verdict(left, "a"), verdict(right, "b")]
    assert all_of(pair).outcome is conjunction
    assert any_of(pair).outcome is disjunction


def test_nothing_to_ask_passes_and_no_alternative_fails() -> None:
    assert all_of([]).outcome is PASS
    assert any_of([]).outcome is FAIL
    assert all_of({}).outcome is PASS
    assert any_of({}).outcome is FAIL


@given(verdict_lists)
def test_the_joint_outcome_is_the_least_or_the_greatest_part(parts: list[Verdict]) -> None:
    ranks = [RANK[part.outcome] for part in parts]
    assert RANK[all_of(parts).outcome] == min(ranks, default=RANK[PASS])
    assert RANK[any_of(parts).outcome] == max(ranks, default=RANK[FAIL])


@given(st.permutations([verdict(o, label) for o, label in zip([PASS, OPEN, FAIL, OPEN], "abcd", strict=True)]))
def test_the_order_of_parts_changes_nothing_at_all(parts: list[Verdict]) -> None:
    for combine in (all_of, any_of):
        assert combine(parts) == combine(sorted(parts, key=lambda part: part.evidence_digest))


@given(verdict_lists, verdict_lists, verdict_lists)
def test_grouping_changes_neither_outcome_nor_figures(
    first: list[Verdict], second: list[Verdict], third: list[Verdict]
) -> None:
    for combine in (all_of, any_of):
        left = combine([combine([*first, combine(second)]), *third])
        right = combine([*first, combine([combine(second), *third])])
        flat = combine([*first, *second, *third])
        if second:  # an empty group is a verdict of its own
            assert left.outcome is right.outcome is flat.outcome
        assert left.figures == right.figures == flat.figures


@given(verdict_lists)
def test_de_morgan_links_conjunction_and_disjunction(parts: list[Verdict]) -> None:
    opposite = {PASS: FAIL, FAIL: PASS, OPEN: OPEN}
    negated = [verdict(opposite[part.outcome], label) for part, label in zip(parts, "abcdef", strict=False)]
    assert any_of(parts).outcome is opposite[all_of(negated).outcome]
    assert all_of(parts).outcome is opposite[any_of(negated).outcome]


@given(verdict_lists.filter(bool), st.data())
def test_a_better_part_never_makes_the_whole_worse(parts: list[Verdict], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(parts) - 1))
    better = data.draw(outcomes.filter(lambda outcome: RANK[outcome] >= RANK[parts[index].outcome]))
    improved = [*parts[:index], verdict(better, "a"), *parts[index + 1 :]]
    for combine in (all_of, any_of):
        assert RANK[combine(improved).outcome] >= RANK[combine(parts).outcome]


def test_parts_by_name_show_their_figures_outcomes_and_what_they_miss() -> None:
    joint = all_of({"skew": verdict(PASS, "a"), "coverage": verdict(OPEN, "b")})
    assert joint.figures == {
        "skew.outcome": "pass",
        "skew.a_n": 1,
        "coverage.outcome": "inconclusive",
        "coverage.missing": "more b",
        "coverage.b_n": 1,
    }
    assert joint.missing == ("coverage: more b",)


def test_a_failed_whole_misses_nothing_but_still_shows_which_part_was_open() -> None:
    joint = all_of({"skew": verdict(FAIL, "a"), "coverage": verdict(OPEN, "b")})
    assert joint.outcome is FAIL
    assert joint.missing == ()
    assert joint.figures["coverage.missing"] == "more b"


def test_what_is_missing_is_named_once_and_in_order() -> None:
    assert all_of([verdict(OPEN, "b"), verdict(OPEN, "a"), verdict(OPEN, "b")]).missing == ("more a", "more b")


def test_joint_digests_change_with_any_part_and_with_its_name() -> None:
    joint = all_of({"x": verdict(PASS, "a"), "y": verdict(PASS, "b")})
    assert joint.evidence_digest == evidence_digest({"x": evidence_digest("a"), "y": evidence_digest("b")})
    others = [
        all_of({"x": verdict(PASS, "a")}),
        all_of({"x": verdict(PASS, "b"), "y": verdict(PASS, "a")}),
        all_of([verdict(PASS, "a"), verdict(PASS, "b")]),
    ]
    assert len({joint.evidence_digest, *(other.evidence_digest for other in others)}) == 4
    policies = [Verdict(PASS, {}, DIGEST, evidence_digest(policy)) for policy in "ab"]
    assert all_of(policies).policy_digest != all_of(policies[:1]).policy_digest


def test_one_figure_with_two_values_needs_names() -> None:
    parts = [Verdict(PASS, {"n": 1}, DIGEST, DIGEST), Verdict(PASS, {"n": 2}, DIGEST, DIGEST)]
    with pytest.raises(ValueError, match="figure 'n' has the values 1 and 2. Give the verdicts by name"):
        all_of(parts)
    assert all_of(dict(zip("xy", parts, strict=True))).figures["y.n"] == 2


def test_a_figure_may_not_pose_as_the_outcome_of_its_part() -> None:
    with pytest.raises(ValueError, match=r"figures called \['x.outcome'\]"):
        all_of({"x": Verdict(FAIL, {"outcome": "pass"}, DIGEST, DIGEST)})


def test_inconclusive_must_say_what_is_missing() -> None:
    with pytest.raises(ValueError, match="must say what is missing"):
        Verdict(OPEN, {}, DIGEST, DIGEST)
    with pytest.raises(ValueError, match="empty sentence"):
        Verdict(OPEN, {}, DIGEST, DIGEST, ("  ",))
    with pytest.raises(TypeError, match="tuple of sentences"):
        Verdict(OPEN, {}, DIGEST, DIGEST, "more drives")  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", [PASS, FAIL])
def test_a_settled_verdict_misses_nothing(outcome: Outcome) -> None:
    with pytest.raises(ValueError, match=f"outcome {outcome} says that this is missing: ten more drives"):
        Verdict(outcome, {}, DIGEST, DIGEST, ("ten more drives",))


def test_a_truth_value_is_no_outcome() -> None:
    with pytest.raises(TypeError, match="no room for 'unknown'"):
        Verdict(True, {}, DIGEST, DIGEST)  # type: ignore[arg-type]


@pytest.mark.parametrize("digest", ["", "abc", "A" * 64, "0" * 65, "0" * 64 + "\n"])
def test_a_digest_is_a_sha256_in_lower_case_hex(digest: str) -> None:
    with pytest.raises(ValueError, match="evidence_digest is"):
        Verdict(PASS, {}, digest, DIGEST)
    with pytest.raises(ValueError, match="policy_digest is"):
        Verdict(PASS, {}, DIGEST, digest)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_a_figure_is_finite(value: float) -> None:
    with pytest.raises(ValueError, match="figure 'skew_ms' is"):
        Verdict(PASS, {"skew_ms": value}, DIGEST, DIGEST)


def test_a_figure_is_a_number_or_text() -> None:
    with pytest.raises(TypeError, match="figure 'drives' is of type list"):
        Verdict(PASS, {"drives": [1]}, DIGEST, DIGEST)  # type: ignore[dict-item]


def test_numpy_figures_become_python_numbers() -> None:
    figures = Verdict(PASS, {"n": np.int64(3), "x": np.float32(0.5)}, DIGEST, DIGEST).figures  # type: ignore[dict-item]
    assert [type(value) for value in figures.values()] == [int, float]


def test_a_verdict_does_not_change_with_the_mapping_it_was_made_from() -> None:
    figures = {"n": 1}
    made = Verdict(PASS, figures, DIGEST, DIGEST)
    figures["n"] = 2
    assert made.figures == {"n": 1}
    with pytest.raises(AttributeError):
        made.outcome = FAIL  # type: ignore[misc]


def test_a_verdict_survives_the_way_to_another_process() -> None:
    made = verdict(OPEN)
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - bytes of our own
    assert hash(made) == hash(verdict(OPEN))


def test_the_digest_of_known_evidence_is_known() -> None:
    # printf '{"a":[1,2.5,null,true],"b":"Å"}' | sha256sum
    expected = "6ccb9e8136c93bf1df060aaa39eba7df9a94c881ca7068707fb50d4f98c46458"
    assert evidence_digest({"b": "Å", "a": (1, 2.5, None, True)}) == expected


@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_the_order_of_keys_does_not_change_a_digest(evidence: dict[str, float]) -> None:
    assert evidence_digest(evidence) == evidence_digest(dict(reversed(evidence.items())))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_last_bit_of_a_float_changes_the_digest(number: float) -> None:
    neighbour = math.nextafter(number, 0.0 if number else 1.0)
    assert evidence_digest([number]) != evidence_digest([neighbour])


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        ({"skew": [0.0, math.nan]}, r"\$.skew\[1\] is nan"),
        ({"skew": math.inf}, r"\$.skew is inf"),
        ({"by_id": {3: "x"}}, r"\$.by_id has the key 3 of type int"),
        ({"raw": b"x"}, r"\$.raw is of type bytes"),
        ([np.zeros(2)], r"\$\[0\] is of type ndarray.*tolist"),
        (["\ud800"], "not valid Unicode"),
    ],
)
def test_evidence_without_one_json_form_is_refused_with_its_place(evidence: object, message: str) -> None:
    with pytest.raises(NotCanonicalError, match=message):
        evidence_digest(evidence)


def test_numpy_numbers_digest_like_the_python_numbers_they_equal() -> None:
    assert evidence_digest([np.int32(3), np.float64(0.1)]) == evidence_digest([3, 0.1])
    assert evidence_digest([np.float32(0.1)]) == evidence_digest([float(np.float32(0.1))])
