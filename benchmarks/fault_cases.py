"""The faults of the fault study: what is asked of the simulator, and what must come of it.

Here belong the smallest sizes that the rules claim, read from the policies, and the judgement whether a fault was found
with the right rule, for the right sensor, at the right time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.simulated_drives import FIRST_DAY, Ingested, Workshop
from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.faults import FaultRequest, interval_of, started
from services.fleet_simulator.sensors.scene import Scene

_POLICIES: Final = load_policies()
_RULES: Final[Mapping[str, Any]] = _POLICIES["integrity"]["rules"]
_SIGNALS: Final[Mapping[str, Any]] = _POLICIES["canonical_signals"]["signals"]
_KMH_PER_MPS: Final = 3.6
_METRES_PER_DEGREE: Final = 111_000.0
_SLACK_NS: Final = 400_000_000
"""Clock offset, latency and one period: times of findings are by the recorder's clock."""


@dataclass(frozen=True)
class Moment:
    """Where in a drive a fault strikes, drawn anew for each seed and case.

    Attributes:
        shop: The workshop.
        scene: The drive.
        seed: Its seed.
    """

    shop: Workshop
    scene: Scene
    seed: int

    @property
    def seconds(self) -> float:
        """Length of the drive."""
        return (self.scene.end_ns - self.scene.start_ns) / 1e9

    def anywhere(self, lasting_s: float) -> float:
        """A second such that the fault neither begins nor ends near the drive's ends."""
        rng = np.random.default_rng([self.seed, round(lasting_s * 1000)])
        return round(float(rng.uniform(3.0, self.seconds - lasting_s - 3.0)), 3)

    def moving(self, lasting_s: float, least_mps: float) -> float | None:
        """A second from which on the vehicle drives for so long; None where it never does."""
        ego = self.scene.truth.ego
        drives = np.concatenate(([0], np.cumsum(ego.speed_mmps >= least_mps * 1000)))
        steps = round(lasting_s * 100)
        whole = np.flatnonzero(drives[steps:] - drives[:-steps] == steps)
        whole = whole[(whole > 300) & (whole < len(ego.t_ns) - steps - 300)]  # noqa: PLR2004 - 3 s, as above
        if not len(whole):
            return None
        return float(np.random.default_rng([self.seed, steps]).choice(whole)) / 100


Right = Callable[[Sequence[Ingested], Moment, Sequence[FaultRequest]], bool]


@dataclass(frozen=True)
class Case:
    """A fault.

    Attributes:
        name: Fault and sensor.
        size: Its size in words.
        rule: Rule that must find it.
        faults: What is asked of the simulator in one drive; None where the drive has no moment for it.
        right: Whether it was found.
        expected: (sensor, rule) of findings that are right too.
        turns: Uploads of how many turns have come when it is looked at, for each look; None for all.
        restarts: Whether the fault changes when the drive takes place.
    """

    name: str
    size: str
    rule: str
    faults: Callable[[Moment], tuple[FaultRequest, ...] | None]
    right: Right
    expected: frozenset[tuple[str, str]]
    turns: tuple[int | None, ...] = (None,)
    restarts: bool = False


def _found(sensor: str, rule: str) -> Right:
    """Whether a finding of this rule and sensor touches the fault's time."""

    def right(found: Sequence[Ingested], moment: Moment, faults: Sequence[FaultRequest]) -> bool:
        drive = found[-1].drive
        if drive is None:
            return False
        holds = interval_of(faults[0], moment.scene.start_ns, moment.scene.end_ns)
        return any(
            row["t_ns"] <= holds.end_ns + _SLACK_NS and row["end_ns"] >= holds.start_ns - _SLACK_NS
            for row in found[-1].rows("bronze.integrity_findings", sensor=sensor, rule=rule)
        )

    return right


def _case(  # noqa: PLR0917 - what, where, how large, found by what
    kind: str,
    sensor: str,
    rule: str,
    size: str,
    lasting_s: float | None,
    magnitude: float | None = None,
    *,
    moving_mps: float | None = None,
    also: Sequence[tuple[str, str]] = (),
) -> Case:
    def faults(moment: Moment) -> tuple[FaultRequest, ...] | None:
        length = lasting_s or 0.0
        at_s = moment.anywhere(length) if moving_mps is None else moment.moving(length, moving_mps)
        return None if at_s is None else (FaultRequest(kind, sensor, at_s, lasting_s, magnitude),)

    name = f"{kind} of {sensor}" if sensor else kind
    return Case(name, size, rule, faults, _found(sensor, rule), frozenset({(sensor, rule), *also}))


def _measurements() -> list[Case]:
    gap_s, frozen, jump_m = _RULES["gap"]["min_gap_s"] + 0.05, _RULES["frozen"], _RULES["gnss_jump"]["max_jump_m"]
    cases = [_case("dropout", name, "gap", f"{gap_s:.2f} s", gap_s) for name in ("imu", "gnss_position")]
    dropouts = _POLICIES["vehicles/sim_car"]["sensors"]["gnss_velocity"]["dropouts"]["longest_s"]
    lasting = dropouts + 2 * gap_s + 1
    cases.append(_case("dropout", "gnss_velocity", "gap", f"{lasting:.1f} s, the spec allows {dropouts} s", lasting))
    # Noise and motion may lie against the spike: so much is added to what the rule claims.
    spikes = {"imu": ("accel_long_mps2", 1.0, 1.15), "motion": ("speed_mps", _KMH_PER_MPS, 1.1)}
    for name, (signal, factor, noise) in spikes.items():
        claimed = _SIGNALS[signal]["spike"]["threshold"]
        size = claimed * noise
        cases.append(_case("spike", name, "spike", f"{size:.3g} {_SIGNALS[signal]['unit']}", None, size * factor))
    far = jump_m + 10.0
    cases.append(_case("spike", "gnss_position", "gnss_jump", f"{far:g} m, one fix", None, far / _METRES_PER_DEGREE))
    stood = frozen["max_s"] + 0.2
    cases += [
        _case("frozen", name, "frozen", f"{stood:g} s, driving", stood, moving_mps=frozen["min_speed_mps"] + 0.5)
        for name in ("imu", "wheel_speeds", "steering", "gnss_position")
    ]
    stood = frozen["max_utc_s"] + 0.2
    cases.append(_case("frozen", "gnss_time", "frozen", f"{stood:g} s", stood))
    part_s = _RULES["rate"]["min_part_s"] + 0.5
    cases += [
        _case("rate_change", name, "rate", f"half the rate for {part_s:g} s", part_s, 2.0)
        for name in ("imu", "gnss_time")
    ]
    return cases


def _across() -> list[Case]:
    """Faults that only other sensors, or the scale's end, tell."""
    rule, saturation = _RULES["speed_disagreement"], _RULES["saturation"]
    lasting = rule["min_s"] + 2.5
    most_mps = 120 / _KMH_PER_MPS
    beyond = max(rule["max_difference_mps"], rule["max_difference_share"] * most_mps) + 0.5
    rail = saturation["min_share"] * _SIGNALS["accel_long_mps2"]["range"][1]
    samples = saturation["max_samples"] + 2
    drift_m = _RULES["gnss_jump"]["max_jump_m"] + 10.0
    return [
        _case("offset", "motion", "speed_disagreement", f"{beyond:.1f} m/s for {lasting:g} s", lasting,
              beyond * _KMH_PER_MPS, moving_mps=2.0),
        _case("offset", "gnss_position", "gnss_jump", f"{drift_m:g} m for 3 s", 3.0, drift_m / _METRES_PER_DEGREE),
        _case("saturated", "imu", "saturation", f"{samples} samples at {rail:g} m/s^2", samples / 100 + 0.001, rail,
              also=[("imu", "spike")]),
    ]  # fmt: skip


def _recorder() -> list[Case]:
    step_ms = 1000 * _RULES["clock_jump"]["max_step_s"] + 20
    everything = _POLICIES["vehicles/sim_car"]["sensors"]
    overlap = [(name, "clock_overlap") for name in everything]
    late_ms = 20.0
    disorder = [(name, "time_backward") for name in everything]
    ahead = _case("clock_jump", "", "clock_jump", f"{step_ms:g} ms ahead", None, step_ms)
    back = _case("clock_jump", "", "clock_jump", f"{step_ms:g} ms back", None, -step_ms)
    shuffled = _case("out_of_order", "", "time_backward", f"up to {late_ms:g} ms late for 1 s", 1.0, late_ms)
    utc = "gnss_time"
    return [
        _renamed(ahead, "clock_jump ahead", _jumped(utc), {(utc, "clock_jump")}),
        _renamed(back, "clock_jump back", _jumped(utc), {(utc, "clock_jump"), *overlap}),
        _renamed(shuffled, "out_of_order", _found("imu", "time_backward"), set(disorder)),
    ]


def _renamed(case: Case, name: str, right: Right, expected: set[tuple[str, str]]) -> Case:
    return Case(name, case.size, case.rule, case.faults, right, frozenset(expected))


def _jumped(sensor: str) -> Right:
    """Whether exactly one jump was found, and at its time."""
    touches = _found(sensor, "clock_jump")

    def right(found: Sequence[Ingested], moment: Moment, faults: Sequence[FaultRequest]) -> bool:
        rows = found[-1].rows("bronze.integrity_findings", rule="clock_jump")
        return len(rows) == 1 and touches(found, moment, faults)

    return right


def _missing(sensor: str) -> Case:
    def right(found: Sequence[Ingested], moment: Moment, faults: Sequence[FaultRequest]) -> bool:
        del moment, faults
        return {row["rule"] for row in found[-1].rows("bronze.quarantine")} == {"sensor_missing"} and bool(
            found[-1].rows("bronze.integrity_findings", rule="sensor_missing", sensor=sensor)
        )

    expected = frozenset({(sensor, "sensor_missing"), ("*", "sensor_missing")})
    fault = FaultRequest("missing_sensor", sensor)
    return Case(f"missing_sensor {sensor}", "all messages", "sensor_missing", lambda _: (fault,), right, expected)


def _rejected(kind: str, size: str, rule: str, magnitude: float) -> Case:
    def right(found: Sequence[Ingested], moment: Moment, faults: Sequence[FaultRequest]) -> bool:
        del moment, faults
        drive = found[-1].drive or {}
        return drive.get("status") == "rejected" and str(drive["reason"]).startswith(rule)

    fault = FaultRequest(kind, magnitude=magnitude)
    return Case(kind, size, rule, lambda _: (fault,), right, frozenset({("*", "landing")}))


def _lands(found: Ingested, revision: int = 0) -> bool:
    drive = found.drive or {}
    whole = drive.get("status") == "landed" and drive["revision"] == revision
    return bool(whole and not found.rows("bronze.quarantine") and found.tables["silver.signals"].num_rows)


def _uploads() -> list[Case]:
    def late(found: Sequence[Ingested], *_: Any) -> bool:
        before, after = found
        return before.drive is None and not before.admission.refused and _lands(after)

    def twice(found: Sequence[Ingested], *_: Any) -> bool:
        (events,) = found[-1].admission.events.values()
        return [event.event for event in events] == ["duplicate"] and _lands(found[-1])

    def corrected(found: Sequence[Ingested], *_: Any) -> bool:
        before, after = found
        held = {row["rule"] for row in before.rows("bronze.quarantine")} == {"sensor_missing"}
        (events,) = after.admission.events.values()
        return held and [event.event for event in events] == ["superseded"] and _lands(after, revision=1)

    def refused(found: Sequence[Ingested], *_: Any) -> bool:
        return [refusal.rule for refusal in found[-1].admission.refused] == ["unknown_depot"]

    def on_its_day(found: Sequence[Ingested], moment: Moment, faults: Sequence[FaultRequest]) -> bool:
        day = np.datetime64(started(_planned(moment, faults)).start_ns, "ns").astype("datetime64[D]")
        drive = found[-1].drive or {}
        return _lands(found[-1]) and drive["day"] == str(day) and str(day) > FIRST_DAY

    def asked(kind: str, **more: Any) -> Callable[[Moment], tuple[FaultRequest, ...]]:
        return lambda _: (FaultRequest(kind, **more),)

    both = (FaultRequest("corrected_reupload"), FaultRequest("missing_sensor", "imu"))
    return [
        _rejected("truncated_upload", "0.01 % of the bytes", "size_mismatch", 0.9999),
        _rejected("wrong_digest", "1 byte", "sha256_mismatch", 1),
        Case("late_arrival", "one turn", "lands", asked("late_arrival"), late, frozenset(), (1, None)),
        Case("duplicate_upload", "once", "duplicate", asked("duplicate_upload"), twice, frozenset()),
        Case("corrected_reupload", "a lacking sensor", "superseded", lambda _: both, corrected, frozenset(), (1, None)),
        Case("unknown_depot", "", "unknown_depot", asked("unknown_depot"), refused,
             frozenset({("*", "unknown_depot")})),
        Case("near_midnight", "0.2 s before", "day of its start", asked("near_midnight", magnitude=0.2), on_its_day,
             frozenset(), restarts=True),
    ]  # fmt: skip


def _planned(moment: Moment, faults: Sequence[FaultRequest]) -> Any:
    from dataclasses import replace

    return replace(moment.scene.truth.plan, faults=tuple(faults))


CASES: Final[tuple[Case, ...]] = (
    *_measurements(), *_across(), *_recorder(), _missing("imu"), *_uploads(),
)  # fmt: skip
"""All cases, in the order of the report."""
