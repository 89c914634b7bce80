"""What a lidar measured, from the fields of its packets: which returns count, where they lie, when they were taken.

Here belongs what all models with a turning head have in common. Where the fields lie in a packet is in the makers'
modules; where one sweep ends and the next begins is in `sweeps.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.policy.lidar_calibration import LidarCalibration

TURN: Final = 36_000
"""Units of azimuth (0.01°) of a whole turn."""
JITTER: Final = 500
"""Azimuths (0.01°) fall by less than this within a turn."""
_TWO: Final = 2
_WIDEST_STEP: Final = 3
"""A head never turns by more than this many usual steps from one group to the next."""


@dataclass(frozen=True, slots=True, eq=False)
class PacketFields:
    """The fields of packets that were all taken in one return mode.

    Attributes:
        azimuth: int64[packets, blocks], 0.01°.
        distance: uint16[packets, blocks, units], units of the model.
        intensity: uint8[packets, blocks, units].
        sound: bool[packets, blocks], whether the block bears its mark.
        stated_ns: int64[packets], time stated by the lidar itself, modulo `period_ns`.
        period_ns: After which the stated time begins anew.
        dual: Whether two blocks each hold two returns of the same firing.
    """

    azimuth: NDArray[np.int64]
    distance: NDArray[np.uint16]
    intensity: NDArray[np.uint8]
    sound: NDArray[np.bool_]
    stated_ns: NDArray[np.int64]
    period_ns: int
    dual: bool


@dataclass(frozen=True, slots=True, eq=False)
class Firing:
    """Which return is which: packet, group of blocks, return and unit, intp[n] each, and the groups' azimuths.

    Attributes:
        azimuth: int64[packets, groups], 0.01°, as the packets state it.
        step: float64[packets, groups], 0.01° to the group after it.
        packet: Index of the packet.
        group: Index of the group in its packet.
        second: 1 for the second return of a dual firing.
        unit: Index in the block.
    """

    azimuth: NDArray[np.int64]
    step: NDArray[np.float64]
    packet: NDArray[np.intp]
    group: NDArray[np.intp]
    second: NDArray[np.intp]
    unit: NDArray[np.intp]


Steering = Callable[[Firing, LidarCalibration], NDArray[np.float64]]
"""Azimuth of the head (0.01°, may pass a whole turn) when each return was taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points in the order of firing.

    Attributes:
        xyz: float32[3, n], metres in the sensor's frame: x forward, y left, z up.
        intensity: float32[n].
        ring: uint16[n], 0 for the lowest channel.
        t_ns: int64[n].
        turn: int64[n], number of the turn, where the lidar turns; all 0 otherwise.
    """

    xyz: NDArray[np.float32]
    intensity: NDArray[np.float32]
    ring: NDArray[np.uint16]
    t_ns: NDArray[np.int64]
    turn: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.t_ns)

    def chosen(self, rows: NDArray[np.intp]) -> "Points":
        """Some of them."""
        columns = (self.intensity[rows], self.ring[rows], self.t_ns[rows], self.turn[rows])
        return Points(self.xyz[:, rows], *columns)


@dataclass(frozen=True, slots=True, eq=False)
class Returns:
    """Points of packets, with what they were made of.

    Attributes:
        points: The points; `turn` counts from 0 at the first packet.
        firing: Which return is which.
        distance: uint16[n], as recorded.
        broken_blocks: Blocks left out: no mark, an azimuth beyond a turn, or one that jumps.
        last_azimuth: Azimuth of the last group; None without any.
    """

    points: Points
    firing: Firing
    distance: NDArray[np.uint16]
    broken_blocks: int
    last_azimuth: int | None


def steered(firing: Firing, calibration: LidarCalibration) -> NDArray[np.float64]:
    """Azimuth of the group, and how far the head turned since it began, where the model counts that."""
    place = firing.packet * firing.azimuth.shape[1] + firing.group
    azimuth = firing.azimuth.ravel()[place].astype(np.float64)
    if calibration.steers:
        azimuth += firing.step.ravel()[place] * (calibration.unit_ns / calibration.group_ns)[firing.unit]
    result: NDArray[np.float64] = azimuth
    return result


def _steps(azimuth: NDArray[np.int64], sound: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """How far the head turns from each group to the next, and how far usually.

    The next group of the last one is in the next packet. Where packets are lost or an azimuth is wrong, the usual step
    stands in.
    """
    flat = azimuth.ravel()
    step = np.empty(flat.shape)
    step[:-1] = (flat[1:] - flat[:-1]) % TURN
    known = step[:-1][(sound.ravel()[1:] & sound.ravel()[:-1])]
    usual = float(np.median(known)) if len(known) else 0.0
    step[-1:] = usual
    step[step > _WIDEST_STEP * max(usual, 1.0)] = usual
    steps: NDArray[np.float64] = step.reshape(azimuth.shape)
    return steps, usual


def _without_jumps(azimuth: NDArray[np.int64], sound: NDArray[np.bool_], usual: float) -> NDArray[np.bool_]:
    """Leave out single groups whose azimuth lies away from both neighbours, which agree with each other."""
    places = np.flatnonzero(sound)
    flat = azimuth.ravel()[places]
    if len(flat) <= _TWO:
        return sound
    far = _WIDEST_STEP * max(usual, 1.0)
    onward = (flat[1:] - flat[:-1]) % TURN > far
    across = (flat[2:] - flat[:-2]) % TURN <= 2 * far
    wrong = places[1:-1][onward[:-1] & onward[1:] & across]
    if not len(wrong):
        return sound
    kept = sound.copy()
    kept.ravel()[wrong] = False
    return kept


def _turns(azimuth: NDArray[np.int64], sound: NDArray[np.bool_], before: int | None) -> NDArray[np.int64]:
    """Number of the turn of each group; an unsound one belongs to the turn of the one before it."""
    flat = azimuth.ravel()
    known = np.flatnonzero(sound)
    turn = np.zeros(len(flat), dtype=np.int64)
    if len(known):
        previous = np.concatenate(([flat[known[0]] if before is None else before], flat[known[:-1]]))
        # The head only turns forward. A lidar may look at a part of the circle, so that little may be left to fall.
        turn[known] = flat[known] < previous - JITTER
    result: NDArray[np.int64] = np.cumsum(turn).reshape(azimuth.shape)
    return result


def _kept(
    distance: NDArray[np.uint16], intensity: NDArray[np.uint8], calibration: LidarCalibration
) -> NDArray[np.bool_]:
    """bool[packets, groups, returns, units]: which returns count."""
    kept = (distance >= calibration.shortest) & (distance <= calibration.longest)
    if distance.shape[2] != _TWO:
        return kept
    rule = calibration.dual
    same = distance[:, :, 0] == distance[:, :, 1]
    if rule.same != "distance":
        same &= intensity[:, :, 0] == intensity[:, :, 1]
    kept[:, :, 0 if rule.keep == "last" else 1] &= ~same
    if rule.min_separation:
        apart = np.abs(distance[:, :, 0].astype(np.int32) - distance[:, :, 1])
        kept[:, :, 0] &= apart >= rule.min_separation
    return kept


def _in_view(azimuth: NDArray[np.int64], calibration: LidarCalibration) -> NDArray[np.bool_]:
    first, last = calibration.view
    if first <= last:
        return (azimuth >= first) & (azimuth <= last)
    return (azimuth >= first) | (azimuth <= last)


def packet_times(
    arrival_ns: NDArray[np.int64], stated_ns: NDArray[np.int64], period_ns: int, tolerance_ns: int
) -> NDArray[np.int64]:
    """Time of each packet on the recording's clock.

    What the lidar states is spaced far better than arrivals are, but its clock is its own. So packets are spaced as
    stated, and placed so that the last one has the time of its arrival. Where any of them would come further from its
    arrival than the tolerance, the lidar's clock is not to be trusted, and all have the times of their arrivals.

    Args:
        arrival_ns: int64[packets], on the recording's clock.
        stated_ns: int64[packets], modulo the period.
        period_ns: After which the stated time begins anew.
        tolerance_ns: Greatest difference between the two.
    """
    if not len(arrival_ns):
        return arrival_ns
    half = period_ns // 2
    stated = arrival_ns[-1] + (stated_ns - stated_ns[-1] + half) % period_ns - half
    trusted = bool((np.abs(stated - arrival_ns) <= tolerance_ns).all())
    times: NDArray[np.int64] = stated if trusted else arrival_ns
    return times


def returns_of(
    fields: PacketFields,
    packet_ns: NDArray[np.int64],
    calibration: LidarCalibration,
    *,
    azimuth_before: int | None = None,
    steering: Steering = steered,
) -> Returns:
    """Turn packets into points.

    Args:
        fields: Fields of packets in order of recording.
        packet_ns: int64[packets], see `packet_times`.
        calibration: Of this lidar.
        azimuth_before: Azimuth of the group before the first one, if it is known.
        steering: How the head's azimuth follows from the groups'.
    """
    packets, blocks, units = fields.distance.shape
    several = _TWO if fields.dual else 1
    shape = (packets, blocks // several, several)
    azimuths = fields.azimuth.reshape(shape)
    azimuth = azimuths[:, :, 0]
    marked = fields.sound.reshape(shape).all(axis=2) & (azimuth < TURN) & (azimuths == azimuth[:, :, None]).all(axis=2)
    _, usual = _steps(azimuth, marked)
    sound = _without_jumps(azimuth, marked, usual)
    step, _ = _steps(azimuth, sound)
    distance = fields.distance.reshape(*shape, units)
    intensity = fields.intensity.reshape(*shape, units)
    kept = _kept(distance, intensity, calibration)
    kept &= (sound & _in_view(azimuth, calibration))[:, :, None, None]
    place = np.flatnonzero(kept)
    group_place, inside = np.divmod(place, several * units)
    second, unit = np.divmod(inside, units)
    packet, group = np.divmod(group_place, shape[1])
    firing = Firing(azimuth, step, packet, group, second, unit)
    turns = _turns(azimuth, sound, azimuth_before)
    raw = distance.ravel()[place]
    head = steering(firing, calibration)
    channel = calibration.channel_of[firing.unit]
    points = Points(
        xyz=_places(raw, head, channel, calibration),
        intensity=intensity.ravel()[place].astype(np.float32),
        ring=calibration.ring.astype(np.uint16)[channel],
        t_ns=_times(firing, packet_ns, calibration),
        # What the head passes the zero with inside a group belongs to the next turn.
        turn=turns.ravel()[group_place] + (head >= TURN),
    )
    known = azimuth[sound]
    last = int(known[-1]) if len(known) else azimuth_before
    return Returns(points, firing, raw, int((~sound).sum()) * several, last)


def _places(
    distance: NDArray[np.uint16], head: NDArray[np.float64], channel: NDArray[np.int64], calibration: LidarCalibration
) -> NDArray[np.float32]:
    # Azimuth grows clockwise, y points left: the turn from the x axis has the other sign.
    angle = head * (2.0 * np.pi / TURN) + (calibration.azimuth - calibration.forward)[channel]
    length = distance * calibration.distance_unit_m
    flat = length * np.cos(calibration.elevation)[channel]
    xyz = np.empty((3, len(length)), dtype=np.float32)
    np.multiply(flat, np.cos(angle), out=xyz[0], casting="same_kind")
    np.multiply(flat, -np.sin(angle), out=xyz[1], casting="same_kind")
    np.multiply(length, np.sin(calibration.elevation)[channel], out=xyz[2], casting="same_kind")
    return xyz


def _times(firing: Firing, packet_ns: NDArray[np.int64], calibration: LidarCalibration) -> NDArray[np.int64]:
    first = 1 - firing.azimuth.shape[1] if calibration.anchor_last else 0
    t_ns: NDArray[np.int64] = packet_ns[firing.packet] + calibration.unit_ns[firing.unit]
    t_ns += (firing.group + first) * calibration.group_ns + calibration.anchor_ns
    return t_ns


def joined(parts: Sequence[Points]) -> Points:
    """Several stretches as one."""
    if len(parts) == 1:
        return parts[0]

    def of(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts], axis=-1)

    return Points(of("xyz"), of("intensity"), of("ring"), of("t_ns"), of("turn"))
