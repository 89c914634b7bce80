"""Gates of the vector index: their three outcomes on data through the checks themselves, and their error rates."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from asset_checks.vectors import judge_drift, judge_duplicates, judge_recall
from fleet_assets.evidence.verdicts import Outcome
from fleet_assets.mining.embeddings_and_vector_index.drift import shift
from fleet_assets.mining.embeddings_and_vector_index.questions import answers_of
from fleet_assets.mining.embeddings_and_vector_index.verdicts import (
    Answers,
    Compared,
    drift_verdict,
    duplicate_verdict,
    recall_verdict,
)
from fleet_assets.mining.steps import CLIP_VECTORS_STEP, VECTOR_LIST_STEP
from fleet_assets.perception.neighbours import Neighbour
from fleet_assets.perception.vectors import Vectors
from fleet_assets.provenance.ledger import Partition
from fleet_assets.provenance.restate import UnitInput, Wanted
from fleet_assets.tables.embeddings import CLIP_EMBEDDINGS, VECTOR_INDEX
from resources.vectors import LanceVectors
from tests.asset_checks.gate_fleet import MADE, PARTITION, POLICIES, GateFleet
from tests.vector_files import NORTH, SPACE, embedding_rows, index_in, vectors_of

GATES = POLICIES["embeddings"]["gates"]
DIGEST = "0" * 64


class VectorFleet(GateFleet):
    """A gate fleet with a real index, and vectors of any partition."""

    vectors: LanceVectors

    def wanted(self, step: Any, partition: Partition) -> Wanted:
        """What was put is what is wanted."""
        entries = self.lake.entries(self.tables[step.operator.outputs[0]], partition)
        waiting = self.plans.get(step.operator.name, Wanted()).waiting
        return Wanted({one.unit: UnitInput(one.fingerprint) for one in entries}, waiting)

    def embed(self, drive: str, vectors: np.ndarray, partition: tuple[str, str] = NORTH) -> None:
        """Put a drive's vectors into the lake."""
        self.lake.put(CLIP_EMBEDDINGS, partition, drive, embedding_rows(drive, vectors, partition), MADE)

    def index(self, partition: tuple[str, str] = NORTH) -> None:
        """Bring the index up to date."""
        entries = self.lake.entries(CLIP_EMBEDDINGS, partition)
        self.vectors.sync(entries, lambda some: self.lake.read(CLIP_EMBEDDINGS, some), partition)


@pytest.fixture
def fleet(tmp_path: Path) -> Any:
    made = VectorFleet()
    made.vectors = index_in(tmp_path)
    return made


class Forgetful:
    """An index that leaves out some of what is nearest, as one of many vectors may."""

    def __init__(self, index: LanceVectors, leaves_out: int) -> None:
        self._index, self._leaves_out = index, leaves_out

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def search(self, space: Any, queries: Vectors, count: int) -> list[list[Neighbour]]:
        """Neighbours but for the first few."""
        return [own[self._leaves_out :] for own in self._index.search(space, queries, count + self._leaves_out)]


# -- recall and duplicates -----------------------------------------------------------------------------------------


def test_an_index_that_is_exact_passes_with_all_clips_asked(fleet: Any) -> None:
    for drive in "ab":
        fleet.embed(drive, vectors_of(drive, 20))
    fleet.index()
    verdict = judge_recall(fleet, PARTITION)
    assert verdict.outcome is Outcome.PASS
    assert (verdict.figures["image.estimate"], verdict.figures["image.n"]) == (1.0, 40)
    assert judge_duplicates(fleet, PARTITION).outcome is Outcome.PASS


def test_a_partition_without_vectors_passes(fleet: Any) -> None:
    assert judge_recall(fleet, PARTITION).outcome is Outcome.PASS
    assert judge_duplicates(fleet, PARTITION).outcome is Outcome.PASS
    assert judge_drift(fleet, PARTITION).outcome is Outcome.PASS


def test_an_index_behind_the_lake_leaves_it_open_and_names_the_drives(fleet: Any) -> None:
    fleet.embed("a", vectors_of("a", 20))
    fleet.index()
    fleet.embed("b", vectors_of("b", 20))
    for judge in (judge_recall, judge_duplicates):
        verdict = judge(fleet, PARTITION)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "(b)" in verdict.missing[0]
    fleet.index()
    fleet.plans[VECTOR_LIST_STEP.operator.name] = Wanted({}, ("late",))
    fleet.lake.put(VECTOR_INDEX, PARTITION, "a", [], MADE)
    assert judge_recall(fleet, PARTITION).outcome is Outcome.INCONCLUSIVE


def test_an_index_that_says_to_have_a_drive_and_has_another_fails(fleet: Any) -> None:
    fleet.embed("a", vectors_of("a", 20))
    fleet.index()
    table = fleet.vectors.database.opened(SPACE.label)
    table.delete("clip_id = 'a-003'")
    row = {**fleet.vectors.database.opened("versions").to_arrow().to_pylist()[0], "version": table.version}
    versions = fleet.vectors.database.opened("versions")
    versions.update(where=f"number = {row['number']}", values={"version": row["version"]})
    verdict = judge_recall(fleet, PARTITION)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.figures["image.absent_or_other"] == 1


def test_an_index_that_leaves_out_neighbours_fails_and_one_that_leaves_out_copies_too(fleet: Any) -> None:
    twins = vectors_of("a", 30)
    twins[1] = twins[0]
    fleet.embed("a", twins)
    fleet.index()
    rows = fleet.lake.rows(CLIP_EMBEDDINGS, PARTITION)
    whole = answers_of(fleet.vectors, rows, GATES)["image"]
    assert (sum(whole.hits), sum(whole.possible), whole.duplicates, all(whole.copies)) == (300, 300, 2, True)
    poor = answers_of(Forgetful(fleet.vectors, 2), rows, GATES)
    assert recall_verdict(poor, (), GATES["recall"], policy_digest=DIGEST).outcome is Outcome.FAIL
    assert duplicate_verdict(poor, (), GATES["duplicates"], policy_digest=DIGEST).outcome is Outcome.FAIL


def test_clips_that_are_equally_near_may_stand_for_each_other(fleet: Any) -> None:
    fleet.embed("a", np.repeat(vectors_of("a", 2), 40, axis=0))
    fleet.index()
    assert judge_recall(fleet, PARTITION).outcome is Outcome.PASS
    assert judge_duplicates(fleet, PARTITION).outcome is Outcome.PASS


def answered(found: int, asked: int, clips: int = 10_000) -> dict[str, Answers]:
    """So many of the asked clips have all their neighbours and copies; the others miss half, or theirs."""
    good = [at < found for at in range(asked)]
    return {"image": Answers(clips, 0, tuple(10 if one else 5 for one in good), (10,) * asked, tuple(good), 0)}


@pytest.mark.parametrize(
    ("found", "asked", "outcome"),
    [
        (200, 200, Outcome.PASS),
        (150, 200, Outcome.FAIL),
        (50, 50, Outcome.INCONCLUSIVE),
        (192, 200, Outcome.INCONCLUSIVE),
    ],
)
def test_of_a_sample_the_interval_decides(found: int, asked: int, outcome: Outcome) -> None:
    recall = recall_verdict(answered(found, asked), (), GATES["recall"], policy_digest=DIGEST)
    assert recall.outcome is outcome
    assert bool(recall.missing) is (outcome is Outcome.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("found", "asked", "outcome"),
    [
        (200, 200, Outcome.PASS),
        (180, 200, Outcome.FAIL),
        (50, 50, Outcome.INCONCLUSIVE),
        (195, 200, Outcome.INCONCLUSIVE),
    ],
)
def test_of_a_sample_of_copies_the_interval_decides(found: int, asked: int, outcome: Outcome) -> None:
    verdict = duplicate_verdict(answered(found, asked), (), GATES["duplicates"], policy_digest=DIGEST)
    assert verdict.outcome is outcome


@pytest.mark.slow
def test_an_index_at_the_limit_is_wrongly_passed_or_failed_in_at_most_one_of_twenty_cases() -> None:
    """Indices of exactly the least recall, neighbours missing in clumps as they do, by the gates themselves."""
    generator = np.random.default_rng(5)
    decided = {Outcome.PASS: 0, Outcome.FAIL: 0, Outcome.INCONCLUSIVE: 0}
    copies = dict(decided)
    for case in range(1000):
        poor = generator.random(200) < 0.08
        hits = tuple(np.where(poor, generator.binomial(10, 0.75, 200), 10).tolist())
        own = {"image": Answers(10_000, 0, hits, (10,) * 200, tuple((generator.random(200) < 0.98).tolist()), 0)}
        if case < 80:
            decided[recall_verdict(own, (), GATES["recall"], policy_digest=DIGEST).outcome] += 1
        copies[duplicate_verdict(own, (), GATES["duplicates"], policy_digest=DIGEST).outcome] += 1
    assert decided[Outcome.PASS] + decided[Outcome.FAIL] <= stats.binom.ppf(0.999, 80, 0.06)
    assert copies[Outcome.PASS] + copies[Outcome.FAIL] <= stats.binom.ppf(0.999, 1000, 0.05)


# -- drift ---------------------------------------------------------------------------------------------------------


def clustered(generator: np.random.Generator, drives: int, centre: float, prefix: str) -> tuple[np.ndarray, list[str]]:
    """Six clips a drive that resemble each other, so that clips are no independent evidence."""
    own = generator.normal(size=(drives, 1, 8))
    vectors = np.concatenate([own + 0.3 * generator.normal(size=(drives, 6, 8))]).reshape(-1, 8)
    vectors[:, 0] += centre
    return vectors.astype(np.float32), [f"{prefix}{at}" for at in range(drives) for _ in range(6)]


def put_days(fleet: Any, before: int, after: int, moved: float, first: str = "2024-04-01") -> None:
    generator = np.random.default_rng(3)
    for count, day, centre in ((before, first, 0.0), (after, NORTH[0], moved)):
        vectors, names = clustered(generator, count, centre, day)
        for at, name in enumerate(dict.fromkeys(names)):
            fleet.embed(name, vectors[6 * at : 6 * at + 6], (day, "north"))


LONG_AGO = "2023-05-01"


@pytest.mark.parametrize(
    ("days", "outcome"),
    [
        ((30, 20, 0.0, "2024-04-01"), Outcome.PASS),
        ((30, 20, 3.0, "2024-04-01"), Outcome.FAIL),
        ((30, 20, 3.0, LONG_AGO), Outcome.FAIL),
        ((30, 7, 3.0, "2024-04-01"), Outcome.FAIL),
        ((30, 7, 3.0, LONG_AGO), Outcome.INCONCLUSIVE),
        ((4, 20, 3.0, LONG_AGO), Outcome.INCONCLUSIVE),
    ],
)
def test_new_drives_are_held_against_the_depots_first_ones(
    fleet: Any, days: tuple[int, int, float, str], outcome: Outcome
) -> None:
    put_days(fleet, *days)
    verdict = judge_drift(fleet, PARTITION)
    assert verdict.outcome is outcome
    assert bool(verdict.missing) is (outcome is Outcome.INCONCLUSIVE)


@pytest.mark.parametrize("before", [0, 4])
def test_the_first_days_pass_as_the_reference_which_is_longer_where_drives_are_few(fleet: Any, before: int) -> None:
    put_days(fleet, before, 20, 3.0)
    verdict = judge_drift(fleet, PARTITION)
    assert verdict.outcome is Outcome.PASS
    assert verdict.figures["image.part_of"] == "the reference"


def depot_with_a_drive_a_day(fleet: Any, drives: int, moved: float, since: int, seed: int = 3) -> None:
    """The last drive is of the day that is judged; those from one of them on look different."""
    vectors, _ = clustered(np.random.default_rng(seed), drives, 0.0, "s")
    vectors[6 * since :, 0] += moved
    for at in range(drives):
        day = (date.fromisoformat(NORTH[0]) - timedelta(days=drives - 1 - at)).isoformat()
        fleet.embed(f"s{at:03d}", vectors[6 * at : 6 * at + 6], (day, "north"))


@pytest.mark.parametrize(("drives", "newer", "reference"), [(17, 8, 9), (20, 8, 12), (24, 8, 16), (60, 8, 16)])
def test_a_depot_with_a_drive_a_day_gets_a_verdict_from_its_last_eight_drives(
    fleet: Any, drives: int, newer: int, reference: int
) -> None:
    depot_with_a_drive_a_day(fleet, drives, 4.0, drives - 8)
    verdict = judge_drift(fleet, PARTITION)
    assert (verdict.figures["image.newer_drives"], verdict.figures["image.reference_drives"]) == (newer, reference)
    assert verdict.outcome is Outcome.FAIL


def test_newest_drives_are_pooled_until_every_modality_has_enough(fleet: Any) -> None:
    """Only every other drive of this depot takes pictures."""
    depot_with_a_drive_a_day(fleet, 50, 0.0, 50)
    for entry in fleet.lake.entries(CLIP_EMBEDDINGS):
        rows = fleet.lake.read(CLIP_EMBEDDINGS, [entry]).to_pylist()
        if int(entry.unit[1:]) % 2:
            rows += [{**row, "modality": "text"} for row in rows]
        fleet.lake.put(CLIP_EMBEDDINGS, entry.partition, entry.unit, rows, MADE)
    verdict = judge_drift(fleet, PARTITION)
    assert (verdict.figures["image.newer_drives"], verdict.figures["text.newer_drives"]) == (16, 8)


def depots(drives: int, moved: float, cases: int, seed: int) -> Counter[Outcome]:
    """Outcomes of the check itself for so many small depots, the last eight drives of which may look different."""
    found: Counter[Outcome] = Counter()
    for case in range(cases):
        fleet: Any = VectorFleet()
        depot_with_a_drive_a_day(fleet, drives, moved, drives - 8, seed=1000 * seed + case)
        found[judge_drift(fleet, PARTITION).outcome] += 1
    return found


def test_small_depots_without_drift_fail_no_more_often_than_alpha_and_drift_is_seen() -> None:
    """A drive a day, by the check itself with the shipped policy."""
    still = depots(24, 0.0, 100, 4)
    assert still[Outcome.FAIL] <= stats.binom.ppf(0.999, 100, GATES["drift"]["alpha"])
    assert still[Outcome.PASS] >= 90
    assert depots(24, 3.0, 30, 5)[Outcome.FAIL] >= 24


def test_drives_without_vectors_leave_drift_open(fleet: Any) -> None:
    put_days(fleet, 16, 10, 0.0)
    fleet.plans[CLIP_VECTORS_STEP.operator.name] = Wanted({}, ("late",))
    assert judge_drift(fleet, PARTITION).outcome is Outcome.INCONCLUSIVE


def drifts(moved: float, drives: int, cases: int, seed: int) -> Sequence[Outcome]:
    """Outcomes of the gate for so many depots, ten to one drives of which are the reference."""
    generator, found = np.random.default_rng(seed), []
    policy = {**GATES["drift"], "most": 0.0, "permutations": 99, "alpha": 0.05}
    for _ in range(cases):
        one, names = clustered(generator, 2 * drives, 0.0, "r")
        other, others = clustered(generator, drives, moved, "n")
        apart = shift(one, names, other, others, permutations=policy["permutations"], seed=1)
        compared = {"image": Compared(False, 2 * drives, drives, apart)}
        found.append(drift_verdict(compared, (), policy, policy_digest=DIGEST).outcome)
    return found


def test_depots_without_drift_fail_no_more_often_than_alpha_though_clips_of_a_drive_are_alike() -> None:
    """With no tolerance at all, so that the test's own level shows; 120 depots, six clips to a drive."""
    wrong = sum(one is Outcome.FAIL for one in drifts(0.0, 12, 120, 11))
    assert wrong <= stats.binom.ppf(0.999, 120, 0.05)


def test_a_drift_of_two_deviations_between_drives_is_seen_in_most_cases() -> None:
    assert sum(one is Outcome.FAIL for one in drifts(2.0, 12, 40, 12)) >= 36


def test_distances_are_those_of_a_plain_sum_over_pairs_of_drives() -> None:
    generator = np.random.default_rng(0)
    (one, names), (other, others) = clustered(generator, 3, 0.0, "a"), clustered(generator, 4, 1.0, "b")

    def mean(left: Any, left_names: Any, right: Any, right_names: Any) -> float:
        pairs = [
            np.linalg.norm(a.astype(float) - b.astype(float))
            for a, a_name in zip(left, left_names, strict=True)
            for b, b_name in zip(right, right_names, strict=True)
            if a_name != b_name
        ]
        return float(np.mean(pairs))

    across = mean(one, names, other, others)
    expected = (2 * across - mean(one, names, one, names) - mean(other, others, other, others)) / (2 * across)
    found = shift(one, names, other, others, permutations=99, seed=0)
    assert found.coefficient == pytest.approx(expected, rel=1e-9)
    assert found.drives == (3, 4)
    with pytest.raises(ValueError, match="two are needed"):
        shift(one[:6], names[:6], other, others, permutations=99, seed=0)
