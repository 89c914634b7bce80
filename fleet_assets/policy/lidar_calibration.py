"""Calibration documents of lidars as frozen data: what its maker states of a model, and corrections of one device.

Here belongs what a document says. How packets are laid out is known to the ingestion area, which reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.policy.documents import InvalidPolicyError

CALIBRATIONS: Final = "calibrations/"
"""Folder of the policies that holds these documents."""
_PER_DEGREE: Final = 100
_TURN: Final = 360 * _PER_DEGREE


@dataclass(frozen=True, slots=True, eq=False)
class DualReturn:
    """Which of two returns of one laser count.

    Attributes:
        same: What two returns have in common that are one: ``distance``, or ``distance_and_intensity``.
        keep: Which of two equal ones stays: ``first`` or ``last``.
        min_separation: Two returns that are nearer to each other, in units of distance, are one; the last stays.
    """

    same: str
    keep: str
    min_separation: int


@dataclass(frozen=True, slots=True, eq=False)
class LidarCalibration:
    """Numbers that turn a lidar's packets into points.

    Angles are radians: azimuth clockwise from the zero of the encoder seen from above, elevation upward.

    Attributes:
        name: Name of the document.
        model: Layout of the packets.
        distance_unit_m: Metres per unit of distance.
        shortest: Shortest distance that counts, in units.
        longest: Longest distance that counts, in units.
        view: First and last azimuth of the encoder that count, 0.01°; it may pass the zero.
        elevation: float64[channels].
        azimuth: float64[channels], added to the encoder's.
        ring: int64[channels], 0 for the lowest channel.
        forward: Azimuth of the sensor's x axis.
        channel_of: int64[units], channel of each unit of a block.
        unit_ns: int64[units], firing time of each unit of a block after the block's first.
        group_ns: Time from one firing group (one block, or two with dual return) to the next.
        anchor_last: Whether a packet's time is that of its last group instead of its first.
        anchor_ns: Time of the anchor group's first unit minus the packet's.
        steers: Whether the head's turning between two groups is added to a unit's azimuth.
        dual: Rule for two returns.
    """

    name: str
    model: str
    distance_unit_m: float
    shortest: int
    longest: int
    view: tuple[int, int]
    elevation: NDArray[np.float64]
    azimuth: NDArray[np.float64]
    ring: NDArray[np.int64]
    forward: float
    channel_of: NDArray[np.int64]
    unit_ns: NDArray[np.int64]
    group_ns: int
    anchor_last: bool
    anchor_ns: int
    steers: bool
    dual: DualReturn


def _view(body: Mapping[str, float] | None) -> tuple[int, int]:
    if body is None:
        return 0, _TURN
    return round(body["first"] * _PER_DEGREE), round(body["last"] * _PER_DEGREE)


def parse_lidar_calibration(document: Mapping[str, Any]) -> LidarCalibration:
    """Turn a schema-checked document into numbers.

    Raises:
        InvalidPolicyError: When its lists differ in length, or a unit names a channel that there is not.
    """
    name, angles, firing = document["name"], document["angles"], document["firing"]
    lists = {key: np.array(values, dtype=np.float64) for key, values in angles.items() if key != "forward_deg"}
    channels, units = len(lists["elevation_deg"]), firing["channels"]
    if wrong := [key for key, values in lists.items() if len(values) != channels]:
        raise InvalidPolicyError(
            f"policies/{CALIBRATIONS}{name}.yaml: angles/{wrong[0]} has {len(lists[wrong[0]])} values, elevation_deg "
            f"{channels}. State one per channel"
        )
    if len(firing["time_ns"]) != len(units) or max(units) >= channels:
        raise InvalidPolicyError(
            f"policies/{CALIBRATIONS}{name}.yaml: firing has {len(units)} channels up to {max(units)} and "
            f"{len(firing['time_ns'])} times. State one of each per unit, of the {channels} channels there are"
        )
    elevation = lists["elevation_deg"] + lists.get("elevation_correction_deg", 0.0)
    azimuth = lists["azimuth_deg"] + lists.get("azimuth_correction_deg", 0.0)
    unit, dual = float(document["distance_unit_m"]), document["dual_return"]
    # A distance is a whole number of units, so that the bounds are exact whatever the unit's last bit.
    shortest, longest = (round(document["range_m"][end] / unit) for end in ("min", "max"))
    return LidarCalibration(
        name=name,
        model=document["model"],
        distance_unit_m=unit,
        shortest=max(1, shortest),
        longest=longest,
        view=_view(document.get("view_deg")),
        elevation=np.radians(elevation),
        azimuth=np.radians(azimuth),
        # Rings follow the nominal angles: a correction renames none.
        ring=np.argsort(np.argsort(lists["elevation_deg"], kind="stable"), kind="stable").astype(np.int64),
        forward=float(np.radians(angles["forward_deg"])),
        channel_of=np.array(units, dtype=np.int64),
        unit_ns=np.array(firing["time_ns"], dtype=np.int64),
        group_ns=firing["group_ns"],
        anchor_last=firing["anchor"] == "last",
        anchor_ns=firing["anchor_ns"],
        steers=firing["steers"],
        dual=DualReturn(dual["same"], dual["keep"], round(dual["min_separation_m"] / unit)),
    )
