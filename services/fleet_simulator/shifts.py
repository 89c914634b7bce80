"""Shifts on request: what differs in a drive from those that a fleet has learned from.

Here belong the kinds of shifts, what is asked for and what one drive gets of it. Starts at night and shares of drives
are planned in `drive_plans.py`; weather and traffic change in `world/` and `traffic/`, sensors in `sensors/` and
`camera/`. Unlike a fault, a shift breaks nothing: recordings stay sound.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

_REQUEST: Final = re.compile(r"^(?P<kind>[a-z_0-9]+)(?:=(?P<value>.+))?$")
_PLASTIC: Final = 1.324_717_957_244_746
"""Multiples of 1/p and 1/p^2 fill a square evenly (M. Roberts, The R2 sequence, 2018): shares of numbered drives are
met as exactly as can be, each on its own and both together."""
NIGHT_SHARE: Final = "night_share"
RAIN_SHARE: Final = "rain_share"
REGION: Final = "region"


class UnknownShiftError(ValueError):
    """A request for a shift that there is not, or of a size that it cannot have; the message says how to write one."""


@dataclass(frozen=True, slots=True)
class ShiftKind:
    """A kind of shift.

    Attributes:
        acts_on: ``drives`` (which of them), ``world``, ``traffic``, or the sensor whose measurements differ.
        value: Its size where none is given; None where one must be.
        unit: Unit of the size.
        lowest: Smallest size.
        highest: Largest size.
        words: What is different.
    """

    acts_on: str
    value: float | None
    unit: str
    lowest: float
    highest: float
    words: str


SHIFT_KINDS: Final[Mapping[str, ShiftKind]] = {
    NIGHT_SHARE: ShiftKind("drives", 0.5, "share of drives", 0.0, 1.0, "drives start when it is night there"),
    RAIN_SHARE: ShiftKind("drives", 0.5, "share of drives", 0.0, 1.0, "it rains during these drives"),
    "new_vehicle_share": ShiftKind("traffic", 0.25, "share of traffic", 0.0, 1.0, "a type of vehicle unknown so far"),
    "smeared_lens": ShiftKind("camera", 0.6, "share of the lens", 0.0, 1.0, "dirt on the lens"),
    "camera_yaw_mrad": ShiftKind("camera", 30.0, "mrad", -500.0, 500.0, "the camera looks further left"),
    "camera_pitch_mrad": ShiftKind("camera", 30.0, "mrad", -500.0, 500.0, "the camera looks further down"),
    "imu_bias_mps2": ShiftKind("imu", 0.3, "m/s2", -20.0, 20.0, "added to the acceleration along the vehicle"),
    "imu_scale": ShiftKind("imu", 1.03, "factor", 0.1, 10.0, "accelerations and rates are so many times as large"),
    "radar_yaw_mrad": ShiftKind("radar", 20.0, "mrad", -300.0, 300.0, "the radar looks further left"),
    REGION: ShiftKind("world", None, "name", 0.0, 0.0, "another region: its towns, limits and place on earth"),
}


@dataclass(frozen=True, slots=True)
class Shift:
    """What differs in one drive; the defaults are none.

    Attributes:
        night: Whether the start was moved into the night.
        rain: Whether it rains, whatever the weather would be.
        new_vehicle_share: Share of the traffic that is of the policy's new type.
        smeared_lens: Dirt on the camera's lens, 0 to 1.
        camera_yaw_mrad: The camera looks so much further left than its calibration says.
        camera_pitch_mrad: Further down.
        imu_bias_mps2: Added to the acceleration along the vehicle.
        imu_scale: Factor of all true accelerations and rates.
        radar_yaw_mrad: The radar looks so much further left than its calibration says.
        region: Name under `shifts.regions` of the policy, empty for the usual one.
    """

    night: bool = False
    rain: bool = False
    new_vehicle_share: float = 0.0
    smeared_lens: float = 0.0
    camera_yaw_mrad: float = 0.0
    camera_pitch_mrad: float = 0.0
    imu_bias_mps2: float = 0.0
    imu_scale: float = 1.0
    radar_yaw_mrad: float = 0.0
    region: str = ""

    def as_json(self) -> dict[str, Any]:
        """What differs, for the record of truth; empty when nothing does."""
        return {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}


NO_SHIFT: Final = Shift()


@dataclass(frozen=True, slots=True)
class ShiftRequest:
    """A shift that is wanted.

    Attributes:
        kind: One of `SHIFT_KINDS`.
        value: Its size in the unit of its kind, or the region's name.
    """

    kind: str
    value: float | str


def parse_shift(text: str) -> ShiftRequest:
    """Read ``kind[=value]``, e.g. ``smeared_lens=0.6`` or ``region=old_town``.

    Raises:
        UnknownShiftError: With the kinds that there are, or the sizes that this one can have.
    """
    match = _REQUEST.match(text)
    if match is None or match["kind"] not in SHIFT_KINDS:
        raise UnknownShiftError(
            f"{text!r} is no shift. Write KIND[=VALUE], e.g. smeared_lens=0.6; kinds: {', '.join(SHIFT_KINDS)}"
        )
    name, value = match["kind"], match["value"]
    kind = SHIFT_KINDS[name]
    if name == REGION:
        if value is None:
            raise UnknownShiftError(f"{text!r} names no region. Write region=NAME")
        return ShiftRequest(name, value)
    return ShiftRequest(name, _size(text, value, kind))


def _size(text: str, value: str | None, kind: ShiftKind) -> float:
    try:
        size = float(kind.value or 0.0) if value is None else float(value)
    except ValueError:
        size = float("nan")
    if not kind.lowest <= size <= kind.highest:
        raise UnknownShiftError(
            f"{text!r}: the value must be a number from {kind.lowest:g} to {kind.highest:g} ({kind.unit})"
        )
    return size


def shift_of(requests: Sequence[ShiftRequest], number: int) -> Shift:
    """What a drive gets of the requests; of two of a kind the last one holds.

    Args:
        requests: What is wanted.
        number: The drive's number in its fleet, from 1 on: of the first `n` drives a share p is `n * p`, give or take
            4.1 up to 300 drives and 4.8 up to 3,000, and night and rain are independent of each other.
    """
    found: dict[str, Any] = {}
    for request in requests:
        if request.kind == NIGHT_SHARE:
            found["night"] = _is_chosen(request.value, number / _PLASTIC)
        elif request.kind == RAIN_SHARE:
            found["rain"] = _is_chosen(request.value, number / _PLASTIC**2)
        else:
            found[request.kind] = request.value
    return Shift(**found)


def _is_chosen(share: float | str, place: float) -> bool:
    return place % 1.0 < float(share)


def region_world(policy: Mapping[str, Any], region: str) -> Mapping[str, Any]:
    """The key `world` of the policy as it is in a region; what the region does not say is as everywhere.

    Args:
        policy: The document `simulation`.
        region: Name of the region, empty for the usual one.

    Raises:
        UnknownShiftError: When the policy has no such region.
    """
    world: Mapping[str, Any] = policy["world"]
    if not region:
        return world
    regions = policy["shifts"]["regions"]
    if region not in regions:
        raise UnknownShiftError(f"region {region!r} is not in the policy `simulation`. It has: {', '.join(regions)}")
    other = regions[region]
    roads = {**world["roads"], **other.get("roads", {})}
    return {**world, **other, "roads": roads}


def shifted_vehicles(policy: Mapping[str, Any], shift: Shift) -> Mapping[str, Any]:
    """The policy with the shares of vehicles that a shift asks for."""
    if not shift.new_vehicle_share:
        return policy
    new, vehicles = policy["shifts"]["new_vehicle_kind"], policy["vehicles"]
    total = sum(float(vehicle["share"]) for kind, vehicle in vehicles.items() if kind != new)
    rest = 1.0 - shift.new_vehicle_share
    shares = {
        kind: {**vehicle, "share": shift.new_vehicle_share if kind == new else vehicle["share"] / total * rest}
        for kind, vehicle in vehicles.items()
    }
    return {**policy, "vehicles": shares}
