"""Faults of measurements in the fault study: lost, wrong, frozen, and at odds with other sensors.

Here belong the smallest sizes that the rules claim, read from the policies.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from benchmarks.fault_cases import POLICIES, RULES, SENSORS, WHOLE_DRIVE, Case, Moment, found_as, held, struck
from services.fleet_simulator.faults import FaultRequest

_SIGNALS: Final[Mapping[str, Any]] = POLICIES["canonical_signals"]["signals"]
_KMH_PER_MPS: Final = 3.6
_METRES_PER_DEGREE: Final = 111_000.0
_ONE_SAMPLE_S: Final = 0.011
"""So long a fault strikes one sample of the IMU, or two."""


def measurements() -> list[Case]:
    """Faults that a sensor's own messages tell."""
    gap_s, frozen, jump_m = RULES["gap"]["min_gap_s"] + 0.05, RULES["frozen"], RULES["gnss_jump"]["max_jump_m"]
    cases = [struck("dropout", name, "gap", f"{gap_s:.2f} s", gap_s) for name in ("imu", "gnss_position")]
    dropouts = SENSORS["gnss_velocity"]["dropouts"]["longest_s"]
    lasting = dropouts + 2 * gap_s + 1
    cases.append(struck("dropout", "gnss_velocity", "gap", f"{lasting:.1f} s, the spec allows {dropouts} s", lasting))
    # Noise and motion may lie against the spike: so much is added to what the rule claims.
    spikes = {"imu": ("accel_long_mps2", 1.0, 1.15), "motion": ("speed_mps", _KMH_PER_MPS, 1.1)}
    for name, (signal, factor, noise) in spikes.items():
        claimed = _SIGNALS[signal]["spike"]["threshold"]
        size = claimed * noise
        cases.append(struck("spike", name, "spike", f"{size:.3g} {_SIGNALS[signal]['unit']}", None, size * factor))
    far = jump_m + 10.0
    cases.append(struck("spike", "gnss_position", "gnss_jump", f"{far:g} m, one fix", None, far / _METRES_PER_DEGREE))
    stood = frozen["max_s"] + 0.2
    cases += [
        struck("frozen", name, "frozen", f"{stood:g} s, driving", stood, moving_mps=frozen["min_speed_mps"] + 0.5)
        for name in ("imu", "wheel_speeds", "steering", "gnss_position")
    ]
    stood = frozen["max_utc_s"] + 0.2
    cases.append(struck("frozen", "gnss_time", "frozen", f"{stood:g} s", stood))
    part_s = RULES["rate"]["min_part_s"] + 0.5
    cases += [
        struck("rate_change", name, "rate", f"half the rate for {part_s:g} s", part_s, 2.0)
        for name in ("imu", "gnss_time")
    ]
    return cases


def across() -> list[Case]:
    """Faults that only other sensors, or the scale's end, tell."""
    rule, saturation = RULES["speed_disagreement"], RULES["saturation"]
    lasting = rule["min_s"] + 2.5
    most_mps = 120 / _KMH_PER_MPS
    beyond = max(rule["max_difference_mps"], rule["max_difference_share"] * most_mps) + 0.5
    rail = saturation["min_share"] * _SIGNALS["accel_long_mps2"]["range"][1]
    samples = saturation["max_samples"] + 2
    drift_m = RULES["gnss_jump"]["max_jump_m"] + 10.0
    return [
        struck("offset", "motion", "speed_disagreement", f"{beyond:.1f} m/s for {lasting:g} s", lasting,
              beyond * _KMH_PER_MPS, moving_mps=2.0),
        struck("offset", "gnss_position", "gnss_jump", f"{drift_m:g} m for 3 s", 3.0, drift_m / _METRES_PER_DEGREE),
        struck("saturated", "imu", "saturation", f"{samples} samples at {rail:g} m/s^2", samples / 100 + 0.001, rail,
              also=[("imu", "spike")]),
    ]  # fmt: skip


def absences() -> list[Case]:
    """Values that are not there, or that nobody vouches for."""
    invalid, short = RULES["invalid_share"]["max_share"] + 0.02, 1 - RULES["signal_short"]["min_share"] + 0.02
    top = _SIGNALS["accel_long_mps2"]["range"][1] * 1.01
    # The receiver's spec calls two dropouts in so short a drive normal.
    parts = 3
    receiver = "gnss_position"
    return [
        replace(
            struck("saturated", "imu", "range", f"1 sample at {top:.4g} m/s^2", _ONE_SAMPLE_S, top),
            name="saturated of imu, beyond its range",
        ),
        struck("no_value", "imu", "no_value", "1 sample", _ONE_SAMPLE_S),
        Case(
            f"invalid of {receiver}", f"{invalid:.0%} of its samples, in {parts} parts", "invalid_share",
            lambda moment: _in_parts(moment, receiver, invalid, parts), found_as(receiver, "invalid_share"),
            frozenset({(receiver, "invalid_share")}),
        ),
        _lasting("no_value", "signal_short", short, also=["no_value", "invalid_share"]),
        _lasting("dropout", "sensor_short", 1 - RULES["sensor_short"]["min_share"] + 0.02, also=["gap"]),
    ]  # fmt: skip


def _in_parts(moment: Moment, sensor: str, share: float, parts: int) -> tuple[FaultRequest, ...]:
    """Equal stretches of a drive, one in each part of it."""
    part_s, length_s = moment.seconds / parts, share * moment.seconds / parts
    starts = [
        number * part_s + moment.anywhere(length_s) * (part_s - length_s) / moment.seconds for number in range(parts)
    ]
    return tuple(FaultRequest("invalid", sensor, round(at_s, 3), length_s) for at_s in starts)


def _lasting(kind: str, rule: str, share: float, also: list[str]) -> Case:
    """A fault of the IMU that lasts for a share of the drive."""

    def faults(moment: Moment) -> tuple[FaultRequest, ...]:
        length_s = share * moment.seconds
        return (FaultRequest(kind, "imu", moment.anywhere(length_s), length_s),)

    expected = {("imu", name) for name in (rule, *also)} | {(WHOLE_DRIVE, rule)}
    return Case(
        f"{kind} of imu, lasting", f"{share:.0%} of the drive", rule, faults, held("imu", rule), frozenset(expected)
    )
