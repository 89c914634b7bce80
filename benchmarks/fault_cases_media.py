"""Faults of camera and lidar in the fault study: pictures and sweeps that are lost, late, twice, or not there.

Their messages give no samples, so the rules about time stamps, numbers and presence are all that there is for them.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from benchmarks.bare_media import MEDIA
from benchmarks.fault_cases import POLICIES, RULES, SENSORS, WHOLE_DRIVE, Case, Moment, found_as, held, of_all, struck
from benchmarks.fault_cases_recorder import overlaps
from services.fleet_simulator.faults import FaultRequest

_PAST: Final = 0.005
"""So far beyond its limit a share of frames is."""
_MANY: Final = 0.125
"""A larger share of lost frames, far beyond the limit: a rule that finds few must find many."""
_LATE_MS: Final = 400.0
"""Frames that come every 100 ms change their order when they are as late."""


def media() -> list[Case]:
    """Every fault of every medium."""
    return [case for sensor in MEDIA for case in _of(sensor)]


def _of(sensor: str) -> Iterator[Case]:
    few, short = RULES["frame_count"]["max_share"] + _PAST, 1 - RULES["sensor_short"]["min_share"] + 0.02
    half_s = RULES["rate"]["min_part_s"] + 0.5
    for share, which in ((few, "few"), (_MANY, "many")):
        for kind, words in (("lost_messages", "of them"), ("repeated_messages", "more")):
            found = _counted(kind, sensor, f"{share:.1%} {words}", _everywhere(kind, sensor, share))
            yield replace(found, name=f"{found.name}, {which}")
    gap_s = RULES["gap"]["min_gap_s"] + 0.05
    yield struck("dropout", sensor, "gap", f"{gap_s:.2f} s", gap_s)
    longer = _counted("dropout", sensor, f"{few:.1%} of the drive", _lasting("dropout", sensor, few))
    yield replace(longer, name=f"dropout of {sensor}, longer")
    yield _counted("rate_change", sensor, f"half the rate for {half_s:g} s", _halved(sensor, half_s))
    slower = _slower(sensor)
    yield Case(
        f"rate_change of {sensor}, throughout", f"{slower} times slower", "rate",
        _everywhere("rate_change", sensor, slower), found_as(sensor, "rate"), frozenset({(sensor, "rate")}),
    )  # fmt: skip
    yield Case(
        f"dropout of {sensor} until the end", f"{short:.0%} of the drive", "sensor_short",
        lambda moment: (FaultRequest("dropout", sensor, (1 - short) * moment.seconds),), held(sensor, "sensor_short"),
        frozenset({(sensor, "sensor_short"), (WHOLE_DRIVE, "sensor_short"), (sensor, "frame_count")}),
    )  # fmt: skip
    missing = frozenset({(sensor, "sensor_missing"), (WHOLE_DRIVE, "sensor_missing")})
    yield Case(
        f"missing_sensor {sensor}", "all messages", "sensor_missing", _everywhere("missing_sensor", sensor, 0.0),
        held(sensor, "sensor_missing"), missing,
    )  # fmt: skip
    yield Case(
        f"unrecorded {sensor}", "no channel", "decode_incomplete", lambda _: (FaultRequest("unrecorded", sensor),),
        found_as(sensor, "decode_incomplete"), missing | {(sensor, "decode_incomplete")},
    )  # fmt: skip
    (set_back,) = overlaps(sensor)
    yield set_back
    yield Case(
        f"out_of_order, {sensor}", f"up to {_LATE_MS:g} ms late for 3 s", "time_backward",
        lambda moment: (FaultRequest("out_of_order", "", moment.anywhere(3.0), 3.0, _LATE_MS),),
        found_as(sensor, "time_backward"), frozenset(of_all("time_backward")),
    )  # fmt: skip


def _counted(kind: str, sensor: str, size: str, faults: Callable[[Moment], tuple[FaultRequest, ...]]) -> Case:
    rule = "frame_count"
    expected = frozenset({(sensor, rule), (sensor, "gap")} if kind == "dropout" else {(sensor, rule)})
    return Case(f"{kind} of {sensor}", size, rule, faults, found_as(sensor, rule), expected)


def _everywhere(kind: str, sensor: str, magnitude: float) -> Callable[[Moment], tuple[FaultRequest, ...]]:
    return lambda _: (FaultRequest(kind, sensor, magnitude=magnitude),)


def _lasting(kind: str, sensor: str, share: float) -> Callable[[Moment], tuple[FaultRequest, ...]]:
    def faults(moment: Moment) -> tuple[FaultRequest, ...]:
        lasting_s = share * moment.seconds
        return (FaultRequest(kind, sensor, moment.anywhere(lasting_s), lasting_s),)

    return faults


def _halved(sensor: str, lasting_s: float) -> Callable[[Moment], tuple[FaultRequest, ...]]:
    return lambda moment: (FaultRequest("rate_change", sensor, moment.anywhere(lasting_s), lasting_s, 2.0),)


def _slower(sensor: str) -> int:
    """How many times slower a sensor must be to leave what its spec allows, a whole number."""
    stated = SENSORS[sensor]["rate_hz"]
    usual_hz = POLICIES["simulation"]["sensors"]["timing"][sensor]["rate_hz"]
    lowest_hz = stated["nominal"] * (1 - stated["tolerance"])
    return next(times for times in range(2, 100) if usual_hz / times < lowest_hz)
