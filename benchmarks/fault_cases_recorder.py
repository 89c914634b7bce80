"""Faults of the recorder in the fault study: its clock, the order of messages, the file, and what is not in it.

Here belong the smallest sizes that the rules claim, read from the policies.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from benchmarks.fault_cases import (
    RULES,
    SENSORS,
    WHOLE_DRIVE,
    Case,
    Moment,
    Right,
    found_as,
    held,
    of_all,
    struck,
)
from benchmarks.simulated_drives import Ingested
from services.fleet_simulator.faults import FaultRequest

_UTC: Final = "gnss_time"
_CERTAIN_PPM: Final = 60.0
"""In a drive this short the drift of a clock is known to some 10 ppm; the rule wants to be certain."""
_RATE_HZ: Final = 100
"""Of the IMU, the sensor that sends most often."""
_UNCERTAIN_S: Final = 60.0
"""Length of a drive by its corrected clock: the drift that 40 s show, over a day."""
_DAMAGE: Final = (
    "reader_loss", "reader_loss_share", "gap", "signal_short", "sensor_short", "sensor_missing", "decode_incomplete",
    "frame_count",
)  # fmt: skip
"""What may come of bytes that are wrong: messages are gone."""


def _set(by_ms: float) -> Case:
    words = f"{abs(by_ms):g} ms {'ahead' if by_ms > 0 else 'back'}"
    return struck("clock_jump", "", "clock_jump", words, None, by_ms)


_STEP_MS: Final = 1000 * RULES["clock_jump"]["max_step_s"] + 20
_SET_BACK: Final = frozenset({(_UTC, "clock_jump"), *of_all("clock_overlap")})


def jumps() -> list[Case]:
    """The recorder's clock is set."""
    ahead = frozenset({(_UTC, "clock_jump")})
    return [
        replace(_set(_STEP_MS), name="clock_jump ahead", right=_jumped(), expected=ahead),
        replace(_set(-_STEP_MS), name="clock_jump back", right=_jumped(), expected=_SET_BACK),
    ]


def overlaps(sensor: str = "imu") -> list[Case]:
    """The recorder's clock is set back, and stamps occur twice."""
    right, rule = found_as(sensor, "clock_overlap"), "clock_overlap"
    name = f"clock_jump back, twice in {sensor}"
    return [replace(_set(-_STEP_MS), name=name, rule=rule, right=right, expected=_SET_BACK)]


def clocks() -> list[Case]:
    """The recorder's clock runs too fast, or counts in steps."""
    drift_ppm = RULES["clock_drift"]["max_drift_ppm"] + _CERTAIN_PPM
    stamps = round(1 / (1 - RULES["time_repeated"]["max_share"])) + 1
    coarse_ms = 1000 * stamps / _RATE_HZ
    return [
        _throughout(
            "clock_drift", f"{drift_ppm:g} ppm", "clock_drift", drift_ppm, found_as(_UTC, "clock_drift"),
            frozenset({(_UTC, "clock_drift")}),
        ),
        _throughout(
            "coarse_stamps", f"steps of {coarse_ms:g} ms", "time_repeated", coarse_ms, held("imu", "time_repeated"),
            frozenset({("imu", "time_repeated"), (WHOLE_DRIVE, "time_repeated"), *of_all("rate")}),
        ),
    ]  # fmt: skip


def _throughout(  # noqa: PLR0917 - a case whose fault lasts for the whole drive
    kind: str, size: str, rule: str, magnitude: float, right: Right, expected: frozenset[tuple[str, str]]
) -> Case:
    return Case(kind, size, rule, lambda _: (FaultRequest(kind, magnitude=magnitude),), right, expected)


def _jumped() -> Right:
    """Whether exactly one jump was found, and at its time."""
    touches = found_as(_UTC, "clock_jump")

    def right(found: Sequence[Ingested], moment: Moment, faults: Sequence[FaultRequest]) -> bool:
        rows = found[-1].rows("bronze.integrity_findings", rule="clock_jump")
        return len(rows) == 1 and touches(found, moment, faults)

    return right


_LATE_MS: Final = 20.0


def shuffles() -> list[Case]:
    """Messages are written too late for a moment."""
    words = f"up to {_LATE_MS:g} ms late for 1 s"
    shuffled = struck("out_of_order", "", "time_backward", words, 1.0, _LATE_MS)
    right, expected = found_as("imu", "time_backward"), frozenset(of_all("time_backward"))
    return [replace(shuffled, name="out_of_order", right=right, expected=expected)]


def order() -> list[Case]:
    """Messages are written too late for long."""
    # Of messages that come every 10 ms and are up to 20 ms late, one in eight comes before its predecessor.
    share = 8 * (RULES["time_disorder"]["max_share"] + 0.01)
    return [
        Case(
            "out_of_order, lasting", f"up to {_LATE_MS:g} ms late for {share:.0%} of the drive", "time_disorder",
            lambda moment: _part_out_of_order(moment, share, _LATE_MS), held("imu", "time_disorder"),
            frozenset(of_all("time_backward", "time_disorder")),
        ),
    ]  # fmt: skip


def _part_out_of_order(moment: Moment, share: float, late_ms: float) -> tuple[FaultRequest, ...]:
    lasting_s = share * moment.seconds
    return (FaultRequest("out_of_order", "", moment.anywhere(lasting_s), lasting_s, late_ms),)


def missing(sensor: str) -> Case:
    """A sensor that sends nothing."""

    def right(found: Sequence[Ingested], moment: Moment, faults: Sequence[FaultRequest]) -> bool:
        del moment, faults
        return {row["rule"] for row in found[-1].rows("bronze.quarantine")} == {"sensor_missing"} and bool(
            found[-1].rows("bronze.integrity_findings", rule="sensor_missing", sensor=sensor)
        )

    expected = frozenset({(sensor, "sensor_missing"), (WHOLE_DRIVE, "sensor_missing")})
    fault = FaultRequest("missing_sensor", sensor)
    return Case(f"missing_sensor {sensor}", "all messages", "sensor_missing", lambda _: (fault,), right, expected)


def files() -> list[Case]:
    """Files that are damaged, and drives that are too short, too long, or of another vehicle than is said."""
    share = RULES["reader_loss_share"]["max_share"] + 0.01
    shortest_s, longest_s = RULES["drive_short"]["min_duration_s"], RULES["drive_long"]["max_duration_s"]
    lacking = next(sensor["messages"][0] for name, sensor in SENSORS.items() if name == "steering")
    return [
        _damaged("1 byte", 0.0, "reader_loss"),
        _damaged(f"{share:.0%} of the bytes", share, "reader_loss_share"),
        Case(
            "another car's CAN database", "lacks 1 message", "header", lambda _: (), held("recording", "header"),
            frozenset(of_all("header", "sensor_missing") | {("recording", "header")}), lacks=lacking,
        ),
        Case(
            "recorder_stops", f"before {shortest_s:g} s have passed", "drive_short",
            lambda _: (FaultRequest("recorder_stops", at_s=shortest_s - 0.01),), held(WHOLE_DRIVE, "drive_short"),
            frozenset(of_all("drive_short", "sensor_missing", "sensor_short", "signal_short")),
        ),
        Case(
            "wild_stamp", f"drive of {longest_s + _UNCERTAIN_S:g} s", "drive_long",
            lambda moment: _wild(moment, longest_s + _UNCERTAIN_S), held(WHOLE_DRIVE, "drive_long"),
            frozenset(of_all("drive_long", "time_backward", "sensor_short", "signal_short", "gap")),
        ),
    ]  # fmt: skip


def _damaged(size: str, share: float, rule: str) -> Case:
    def faults(moment: Moment) -> tuple[FaultRequest, ...]:
        return (FaultRequest("damaged_file", at_s=moment.anywhere(share * moment.seconds), magnitude=share),)

    def right(found: Sequence[Ingested], moment: Moment, faults: Sequence[FaultRequest]) -> bool:
        del moment, faults
        return bool(found[-1].rows("bronze.integrity_findings", rule=rule))

    return Case(f"damaged_file, {size}", size, rule, faults, right, frozenset(of_all(*_DAMAGE)))


def _wild(moment: Moment, lasting_s: float) -> tuple[FaultRequest, ...]:
    """A stamp that makes a drive last so long: the clock's offset makes no difference to it."""
    at_s = moment.anywhere(0.0)
    return (FaultRequest("wild_stamp", "imu", at_s, magnitude=lasting_s - at_s),)
