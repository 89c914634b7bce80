"""Objects seen by radar: one row per object and message, and the vehicle ahead derived from them.

Here belongs joining the track signals of one message, and the lead rule of the canonical signals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.policy.canonical import CanonicalSignals, LeadRule

SignalSamples = Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]]
"""Corrected times (strictly increasing) and finite values by canonical signal."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One slot of one radar's object list over a drive.

    Attributes:
        sensor: Radar.
        instance: Slot.
        t_ns: int64[n], corrected times at which any of its signals has a value, strictly increasing.
        columns: float64[n] by canonical track signal, NaN where it has none at that time.
    """

    sensor: str
    instance: int
    t_ns: NDArray[np.int64]
    columns: Mapping[str, NDArray[np.float64]]


def join_track(sensor: str, instance: int, samples: SignalSamples, signals: Sequence[str]) -> Track:
    """Join the signals of one slot by time.

    Args:
        sensor: Radar.
        instance: Slot.
        samples: What is known of it.
        signals: Canonical track signals, each of which becomes a column.
    """
    t_ns = np.unique(np.concatenate([times for times, _ in samples.values()]))
    columns = {}
    for name in signals:
        column = np.full(len(t_ns), np.nan)
        if name in samples:
            times, values = samples[name]
            column[np.searchsorted(t_ns, times)] = values
        columns[name] = column
    return Track(sensor, instance, t_ns, columns)


def lead_vehicle(
    tracks: Sequence[Track], rule: LeadRule, canonical: CanonicalSignals, instants: NDArray[np.int64]
) -> Mapping[str, NDArray[np.float64]]:
    """Find the nearest object in the ego corridor at each instant.

    Of each slot, the sample nearest in time speaks (the earlier of two equally near), if it is no further away than the
    rule's greatest age and states distance and lateral offset.

    Args:
        tracks: Slots.
        rule: Lead rule.
        canonical: Canonical signals; the range of the distance column bounds what can be ahead.
        instants: int64[g], sorted.

    Returns:
        float64[g] by canonical signal, for the two columns of the rule; NaN where nothing is ahead.
    """
    distance, rel_speed = np.full(len(instants), np.inf), np.full(len(instants), np.nan)
    for track in tracks:
        known = np.isfinite(track.columns[rule.track_distance]) & np.isfinite(track.columns[rule.track_lateral])
        if not known.any():
            continue
        t_ns = track.t_ns[known]
        index = _nearest_index(instants, t_ns)
        ahead = track.columns[rule.track_distance][known][index]
        beside = np.abs(track.columns[rule.track_lateral][known][index])
        inside = (np.abs(t_ns[index] - instants) <= rule.max_age_s * NS_PER_S) & (beside <= rule.corridor_half_width_m)
        bounds = canonical.signals[rule.distance_column].range
        if bounds is not None:
            inside &= (ahead >= bounds[0]) & (ahead <= bounds[1])
        closer = inside & (ahead < distance)
        distance[closer] = ahead[closer]
        rel_speed[closer] = track.columns[rule.track_rel_speed][known][index][closer]
    distance[np.isinf(distance)] = np.nan
    return {rule.distance_column: distance, rule.rel_speed_column: rel_speed}


def _nearest_index(instants: NDArray[np.int64], t_ns: NDArray[np.int64]) -> NDArray[np.intp]:
    right = np.minimum(np.searchsorted(t_ns, instants), len(t_ns) - 1)
    left = np.maximum(right - 1, 0)
    nearer: NDArray[np.intp] = np.where(np.abs(instants - t_ns[left]) <= np.abs(t_ns[right] - instants), left, right)
    return nearer
