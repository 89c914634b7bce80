"""How much an event is worth a look: rarity, uncertainty, disagreement and diversity, each from 0 to 1.

Here belong the four numbers. None of them depends on another drive: rarity goes by the rate that the trigger policy
froze, diversity by earlier events of the same drive, so that a late drive restates no other one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Final

import numpy as np

from fleet_assets.mining.scene_detection_and_event_triggers.drive_signals import DriveSignals
from fleet_assets.policy.trigger_runs import TriggerEvent
from fleet_assets.policy.triggers import CompiledTrigger

_NS_PER_S: Final = 1_000_000_000
NUMBERS: Final = ("rarity", "uncertainty", "disagreement", "diversity")


def rarity(usual_per_100km: float, commonest_per_100km: float, rarest_per_100km: float) -> float:
    """Place of a rate between the commonest (0) and the rarest (1), logarithmically."""
    place = log(commonest_per_100km / usual_per_100km) / log(commonest_per_100km / rarest_per_100km)
    return min(max(place, 0.0), 1.0)


def uncertainty(value: float, threshold: float | None, within: float) -> float:
    """1 on the threshold, one half at the stated share of it away, towards 0 beyond; 0 without value or threshold."""
    if threshold is None or threshold == 0.0 or np.isnan(value):
        return 0.0
    return 1.0 / (1.0 + abs(value - threshold) / (within * abs(threshold)))


def disagreement(drive: DriveSignals, first: int, end: int, pairs: Sequence[Mapping[str, Any]]) -> float:
    """Largest share of an event in which two signals of a pair differ by more than they may; 0 where none is there."""
    shares = [0.0]
    for pair in pairs:
        apart = np.abs(drive.column(pair["a"])[first:end] - drive.column(pair["b"])[first:end])
        known = apart[~np.isnan(apart)]
        if len(known):
            shares.append(float((known > pair["tolerance"]).sum()) / len(known))
    return max(shares)


@dataclass(frozen=True, slots=True)
class Likeness:
    """What two events of a trigger are compared by."""

    speed_mps: float
    duration_s: float
    start_s: float

    @staticmethod
    def of(event: TriggerEvent, speed_mps: float) -> "Likeness":
        """Of an event and the speed at its start (0 where missing)."""
        speed = 0.0 if np.isnan(speed_mps) else speed_mps
        return Likeness(speed, (event.end_ns - event.start_ns) / _NS_PER_S, event.start_ns / _NS_PER_S)

    def unlike(self, other: "Likeness", scale: Mapping[str, float]) -> float:
        """0 for the same again, 1 where any difference is as large as its scale."""
        differences = (
            abs(self.speed_mps - other.speed_mps) / scale["speed_mps"],
            abs(self.duration_s - other.duration_s) / scale["duration_s"],
            abs(self.start_s - other.start_s) / scale["apart_s"],
        )
        return min(1.0, max(differences))


def diversity(own: Likeness, earlier: Sequence[Likeness], scale: Mapping[str, float]) -> float:
    """How unlike the most similar earlier event of the same trigger and drive it is; 1 for the first."""
    return min((own.unlike(other, scale) for other in earlier), default=1.0)


def scored(
    event: TriggerEvent,
    trigger: CompiledTrigger,
    drive: DriveSignals,
    span: tuple[int, int],
    *,
    earlier: Sequence[Likeness],
    own: Likeness,
    policy: Mapping[str, Any],
) -> dict[str, float]:
    """The four numbers and their weighted mean.

    Args:
        event: The event.
        trigger: Its trigger.
        drive: The drive's signals.
        span: First and end index of the event on the grid.
        earlier: Earlier events of the trigger in the drive.
        own: The event itself, likewise.
        policy: Key `score` of the document `events`.
    """
    usual = trigger.limits.usual_per_100km
    found = {
        "rarity": rarity(usual, policy["commonest_per_100km"], policy["rarest_per_100km"]),
        "uncertainty": uncertainty(event.value, trigger.threshold, policy["uncertain_within"]),
        "disagreement": disagreement(drive, *span, policy["pairs"]),
        "diversity": diversity(own, earlier, policy["unlike"]),
    }
    weights = policy["weights"]
    whole = sum(weights[name] for name in NUMBERS)
    mean = sum(weights[name] * found[name] for name in NUMBERS) / whole if whole else 0.0
    return {**found, "score": min(1.0, mean)}
