"""The gate of the audit: what it lets through, what it holds back, and how often it is wrong."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.evidence.verdicts import Outcome, Verdict
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.exposure import (
    AuditedDrive,
    ExposureRule,
    Recall,
    drives_share_verdict,
    enough_drives,
    exposure_verdict,
    tracks_share_verdict,
)
from fleet_assets.policy.documents import load_policies

POLICY = "0" * 64
RULE = ExposureRule(0.95, 0.05, 0.05, 1, {"face": Recall(45, 50, 60), "plate": Recall(40, 50, 60)})


def drive(name: str, exposures: int = 0, *, wanted: int = 12, looked_at: int = 12, tracks: int = 10) -> AuditedDrive:
    return AuditedDrive(name, wanted, looked_at, tracks, exposures, questions=3)


def clean(count: int) -> list[AuditedDrive]:
    return [drive(f"d{number}") for number in range(count)]


def judged(
    drives: list[AuditedDrive],
    window: list[AuditedDrive] | None = None,
    waiting: tuple[str, ...] = (),
    rule: ExposureRule = RULE,
) -> Verdict:
    return exposure_verdict(drives, waiting, drives if window is None else window, rule, policy_digest=POLICY)


def test_a_partition_without_media_passes() -> None:
    verdict = judged([])
    assert (verdict.outcome, verdict.figures["drives"]) == (Outcome.PASS, 0)


def test_one_clean_drive_of_a_small_fleet_passes_and_says_that_evidence_is_building_up() -> None:
    verdict = judged([drive("a")])
    assert verdict.outcome is Outcome.PASS
    assert verdict.figures["drives.standing"] == "building up"
    assert verdict.figures["own.unconfirmed"] == 3


def test_one_confirmed_exposure_holds_the_partition_and_names_the_drive() -> None:
    verdict = judged([drive("a"), drive("b", 2)])
    assert verdict.outcome is Outcome.FAIL
    assert verdict.figures["own.exposed"] == "b (2)"


def test_a_drive_that_was_not_looked_at_as_the_policy_asks_is_inconclusive() -> None:
    verdict = judged([drive("a", looked_at=11)])
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "a: 11 of 12 pictures" in verdict.missing[0]
    assert judged([], waiting=("late",)).outcome is Outcome.INCONCLUSIVE


def test_an_auditor_whose_recall_was_never_measured_is_inconclusive() -> None:
    unknown = replace(RULE, recall={**RULE.recall, "plate": Recall(0, 0, 0)})
    verdict = judged([drive("a")], rule=unknown)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert any("study" in sentence for sentence in verdict.missing)


def test_a_kind_of_which_the_auditor_finds_nothing_has_no_bound_and_is_named() -> None:
    blind = replace(RULE, recall={**RULE.recall, "plate": Recall(0, 10, 20)})
    verdict = judged([drive("a")], rule=blind)
    assert verdict.outcome is Outcome.PASS
    assert verdict.figures["own.no_bound_for"] == "plate"
    assert blind.recall_of_all == clopper_pearson(45, 60, 0.975, side="lower").low
    deaf = replace(RULE, recall={"plate": Recall(0, 10, 20)})
    assert judged([drive("a")], rule=deaf).outcome is Outcome.INCONCLUSIVE


def test_a_large_fleet_without_exposure_passes_by_its_bound_and_one_exposure_in_it_is_inconclusive_elsewhere() -> None:
    enough = enough_drives(RULE.half, RULE.recall_of_all, RULE.max_drives_share)
    assert enough is not None
    window = clean(enough)
    passed = judged([drive("own")], window)
    assert passed.outcome is Outcome.PASS
    assert "drives.standing" not in passed.figures
    held = judged([drive("own")], [*window[:-1], drive("other", 1)])
    assert held.outcome is Outcome.INCONCLUSIVE
    assert any("clean drives" in sentence for sentence in held.missing)


def test_the_fewest_drives_are_those_at_which_the_exact_bound_reaches_the_limit() -> None:
    enough = enough_drives(RULE.half, RULE.recall_of_all, RULE.max_drives_share)
    assert enough is not None
    recall = min(clopper_pearson(one.found, one.exposed, 0.975, side="lower").low for one in RULE.recall.values())
    upper = [clopper_pearson(0, count, 0.975, side="upper").high / recall for count in (enough - 1, enough)]
    assert upper[0] > RULE.max_drives_share >= upper[1]


def test_a_share_that_is_above_the_limit_for_certain_fails_however_few_drives_there_are() -> None:
    window = [drive(f"x{number}", 1) for number in range(5)]
    verdict = judged([drive("own")], window)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.figures["drives.at_least"] > RULE.max_drives_share  # type: ignore[operator]


@pytest.mark.parametrize("recall", [0.5, 0.9])
def test_a_redaction_at_the_limit_passes_in_at_most_one_of_twenty_cases(recall: float) -> None:
    rng = np.random.default_rng(10_007)
    cases, passed = 400, 0
    for _ in range(cases):
        found = int(rng.binomial(60, recall))
        rule = replace(RULE, recall={"face": Recall(found, 60, 60)})
        enough = enough_drives(rule.half, rule.recall_of_all, rule.max_drives_share)
        assert enough is not None
        exposed = rng.random(enough) < rule.max_drives_share
        seen = exposed & (rng.random(enough) < recall)
        window = [drive(str(number), int(hit)) for number, hit in enumerate(seen)]
        passed += drives_share_verdict(window, rule, policy_digest=POLICY).outcome is Outcome.PASS
    assert clopper_pearson(passed, cases, 0.99, side="lower").low <= 1 - RULE.confidence


def test_a_redaction_at_the_limit_is_called_bad_in_at_most_one_of_forty_cases() -> None:
    rng = np.random.default_rng(10_008)
    cases, failed = 400, 0
    for _ in range(cases):
        seen = rng.random(int(rng.integers(1, 200))) < RULE.max_drives_share
        window = [drive(str(number), int(hit)) for number, hit in enumerate(seen)]
        failed += drives_share_verdict(window, RULE, policy_digest=POLICY).outcome is Outcome.FAIL
    assert clopper_pearson(failed, cases, 0.99, side="lower").low <= (1 - RULE.confidence) / 2


def test_tracks_that_are_exposed_at_the_limit_pass_in_at_most_one_of_twenty_cases_though_drives_differ() -> None:
    rng = np.random.default_rng(10_009)
    recall, cases, passed = 0.8, 60, 0
    for _ in range(cases):
        rule = replace(RULE, recall={"face": Recall(int(rng.binomial(60, recall)), 60, 60)})
        enough = enough_drives(rule.half, rule.recall_in_sample, rule.max_tracks_share)
        assert enough is not None
        # Some drives are bad and most are not: tracks of one drive resemble each other.
        share = rng.beta(0.2, 0.2 * (1 / RULE.max_tracks_share - 1), enough)
        tracks = rng.integers(5, 15, enough)
        seen = rng.binomial(tracks, share * recall)
        window = [
            drive(str(number), int(hit), tracks=int(count - hit))
            for number, (hit, count) in enumerate(zip(seen, tracks, strict=True))
        ]
        passed += tracks_share_verdict(window, rule, policy_digest=POLICY).outcome is Outcome.PASS
    assert clopper_pearson(passed, cases, 0.99, side="lower").low <= 1 - RULE.confidence


def test_below_the_least_sample_nothing_is_said_and_at_it_the_bound_is() -> None:
    rule = replace(RULE, least_drives=30)
    held = judged([drive("own")], clean(29), rule=rule)
    assert held.outcome is Outcome.INCONCLUSIVE
    assert "there are 29, the least sample is 30" in held.missing[0]
    assert judged([drive("own")], clean(30), rule=rule).outcome is Outcome.PASS
    assert judged([drive("own")], [drive(str(number), 1) for number in range(29)], rule=rule).outcome is Outcome.FAIL


def test_by_the_shipped_numbers_the_window_is_long_enough_to_pass_to_fail_and_to_be_open() -> None:
    exposure = (policy := load_policies()["audit"])["exposure"]
    rule = ExposureRule.from_policy(policy)
    enough = [
        enough_drives(rule.half, rule.recall_of_all, rule.max_drives_share),
        enough_drives(rule.half, rule.recall_in_sample, rule.max_tracks_share),
    ]
    most = max(one or exposure["window_drives"] + 1 for one in enough)
    assert most <= exposure["window_drives"]
    window = clean(most)
    passed = judged([drive("own")], window, rule=rule)
    assert passed.outcome is Outcome.PASS
    assert not {"drives.standing", "tracks.standing"} & set(passed.figures)
    some = [drive(f"x{number}", 1) for number in range(most // 50)]
    assert judged([drive("own")], [*window[len(some) :], *some], rule=rule).outcome is Outcome.INCONCLUSIVE
    many = [drive(f"x{number}", 1) for number in range(most // 10)]
    assert judged([drive("own")], [*window[len(many) :], *many], rule=rule).outcome is Outcome.FAIL


def test_the_shipped_policy_names_a_recall_for_every_kind_that_the_auditor_looks_for() -> None:
    policy = load_policies()["audit"]
    assert {one["kind"] for one in policy["detectors"]} == set(policy["recall"]["kinds"])
    assert ExposureRule.from_policy(policy).recall_of_all > 0


def test_the_documentation_says_how_many_drives_the_shipped_recall_needs() -> None:
    rule = ExposureRule.from_policy(load_policies()["audit"])
    drives = enough_drives(rule.half, rule.recall_of_all, rule.max_drives_share)
    tracks = enough_drives(rule.half, rule.recall_in_sample, rule.max_tracks_share)
    said = " ".join((Path(__file__).parents[3] / "docs" / "privacy.md").read_text(encoding="utf-8").split())
    assert f"{drives:,} drives without exposure bring the bound of drives within its limit, and {tracks:,} that" in said
    assert drives_share_verdict(clean(drives or 0), rule, policy_digest=POLICY).figures["at_most"] <= 0.05
    assert drives_share_verdict(clean((drives or 0) - 1), rule, policy_digest=POLICY).figures["at_most"] > 0.05
