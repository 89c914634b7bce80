"""The gate of the triggers' rates: its three outcomes on data, its error rate, and that each comparison counts."""

import numpy as np
import pytest
from scipy import stats

from asset_checks.mining import judge_rates
from fleet_assets.evidence.poisson import poisson_bounds
from fleet_assets.evidence.verdicts import Outcome
from fleet_assets.mining.scene_detection_and_event_triggers.rates import Watched, counted, rate_verdict
from fleet_assets.mining.steps import EVENTS_STEP
from fleet_assets.provenance.restate import UnitInput, Wanted
from fleet_assets.tables.gold import TRIGGER_EXPOSURE
from tests.asset_checks.gate_fleet import MADE, PARTITION, POLICIES, GateFleet

POLICY = {"confidence": 0.99, "least_km": 0.1}
LIMITS = {"hard_brake": {"most_per_100km": 40.0}, "swerve": {"most_per_100km": 40.0, "least_per_100km": 1.0}}
DIGEST = "0" * 64


def verdict(watched: dict[str, Watched], waiting: int = 0) -> Outcome:
    return rate_verdict(watched, LIMITS, waiting, POLICY, policy_digest=DIGEST).outcome


def exposure(trigger: str, events: int, km: float, drive: str = "d1", missing: str | None = None) -> dict[str, object]:
    keys = dict(zip(("day", "depot"), PARTITION, strict=True))
    return {
        **keys,
        "drive_id": drive,
        "trigger": trigger,
        "distance_m": km * 1000,
        "events": events,
        "missing": missing,
        "policy_version": "1.0.0",
        "policy_digest": DIGEST,
    }


def judged(*rows: dict[str, object], searched: bool = True) -> Outcome:
    """The check itself on a partition with these rows."""
    fleet = GateFleet()
    by_drive: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        by_drive.setdefault(str(row["drive_id"]), []).append(row)
    for drive, own in by_drive.items() if searched else ():
        entry = fleet.lake.stage(TRIGGER_EXPOSURE, PARTITION, drive, MADE, TRIGGER_EXPOSURE.from_rows(own))
        fleet.lake.commit(TRIGGER_EXPOSURE, [entry])
    wanted = Wanted({drive: UnitInput(MADE, {}, {}) for drive in by_drive})
    fleet.plans[EVENTS_STEP.operator.name] = wanted
    return judge_rates(fleet, PARTITION).outcome  # type: ignore[arg-type] # a hand-written twin


def test_usual_rates_pass_and_a_depot_that_brakes_all_the_time_fails() -> None:
    most = POLICIES["triggers"]["triggers"]["hard_brake"]["rate"]["most_per_100km"]
    assert judged(exposure("hard_brake", 3, 10.0), exposure("swerve", 0, 10.0)) is Outcome.PASS
    assert judged(exposure("hard_brake", most, 10.0), exposure("swerve", 0, 10.0)) is Outcome.FAIL


def test_drives_that_were_not_searched_yet_or_hardly_moved_leave_it_open() -> None:
    assert judged(exposure("hard_brake", 0, 10.0), searched=False) is Outcome.INCONCLUSIVE
    assert judged(exposure("hard_brake", 0, 0.05)) is Outcome.INCONCLUSIVE


def test_a_partition_in_which_nothing_can_be_watched_passes() -> None:
    assert judged() is Outcome.PASS
    assert judged(exposure("low_visibility", 0, 0.0, missing="visibility_m")) is Outcome.PASS


def test_each_trigger_is_judged_by_its_own_limits() -> None:
    assert verdict({"hard_brake": Watched(4, 10_000.0)}) is Outcome.PASS
    assert verdict({"hard_brake": Watched(40, 10_000.0)}) is Outcome.FAIL
    assert verdict({"swerve": Watched(0, 2_000_000.0)}) is Outcome.FAIL  # below the lower limit
    assert verdict({"swerve": Watched(0, 10_000.0)}) is Outcome.PASS
    assert verdict({"unheard_of": Watched(0, 10_000.0)}) is Outcome.INCONCLUSIVE
    # A failure is not softened by what is still missing.
    assert verdict({"hard_brake": Watched(40, 10_000.0)}, waiting=1) is Outcome.FAIL
    assert verdict({"hard_brake": Watched(4, 50.0)}) is Outcome.FAIL


def test_drives_of_a_trigger_are_summed_and_those_without_its_signals_left_out() -> None:
    rows = [
        exposure("hard_brake", 1, 2.0, "a"),
        exposure("hard_brake", 2, 3.0, "b"),
        exposure("hard_brake", 0, 0.0, "c", missing="speed_mps"),
    ]
    assert counted(rows) == {"hard_brake": Watched(3, 5000.0)}


@pytest.mark.parametrize("km", [5.0, 50.0, 500.0])
def test_a_partition_at_all_its_limits_fails_in_at_most_one_case_of_a_hundred(km: float) -> None:
    """Through the real judgement: 4,000 partitions per distance with both triggers at the upper limit."""
    rng = np.random.default_rng(11)
    counts = rng.poisson(40.0 * km / 100, (4000, 2)).tolist()
    failed = sum(
        verdict({name: Watched(events, km * 1000) for name, events in zip(LIMITS, pair, strict=True)}) is Outcome.FAIL
        for pair in counts
    )
    assert stats.binomtest(failed, 4000, 0.01, alternative="greater").pvalue > 0.001


def test_a_rate_of_three_times_the_limit_is_noticed_within_a_day() -> None:
    rng = np.random.default_rng(12)
    counts = rng.poisson(3 * 40.0 * 50 / 100, 500).tolist()
    noticed = sum(verdict({"hard_brake": Watched(events, 50_000.0)}) is Outcome.FAIL for events in counts)
    assert noticed >= 495


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 2.9957), (1, 0.0513, 4.7439), (10, 5.4254, 16.9622)])
def test_the_bounds_are_garwoods(count: int, low: float, high: float) -> None:
    """One-sided 95 % limits of a Poisson mean as tabulated since Garwood, 1936."""
    bounds = poisson_bounds(count, 1.0, 0.95)
    assert bounds.low == pytest.approx(low, abs=1e-4)
    assert bounds.high == pytest.approx(high, abs=1e-4)
    with pytest.raises(ValueError, match="exposures above 0"):
        poisson_bounds(1, 0.0, 0.95)
