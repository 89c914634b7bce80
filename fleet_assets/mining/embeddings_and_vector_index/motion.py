"""How a clip moves, as a vector: the course of a few channels over time, which of their values occur, what is extreme.

The course tells when something happens, the quantiles that it happens at all, wherever in the clip, and the extremes
(`extremes.py`) keep what is rare from being lost in both: course and quantiles together have length one, whatever they
are, and extremes are measured by that. Values are standardised with frozen numbers of the policy, so that a vector
never depends on other clips. The constant anchors the direction: of clips near the centre of all channels only noise
would be left to compare.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.mining.embeddings_and_vector_index.extremes import Extremes
from fleet_assets.perception.vectors import units

_NS_PER_S: Final = 1e9
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """A clip's motion.

    Attributes:
        vector: Features; None where there is too little of a required channel.
        samples: Grid instants with a value of every required channel.
    """

    vector: NDArray[np.float32] | None
    samples: int


def signals_of(policy: Mapping[str, Any], extremes: Extremes) -> list[str]:
    """Signals that the channels and the extremes read, in order of text."""
    channels = {source["signal"] for channel in policy["channels"].values() for source in channel["of"]}
    return sorted(channels | extremes.signals)


def motion_vector(
    t_ns: NDArray[np.int64], signals: Mapping[str, Floats], policy: Mapping[str, Any], extremes: Extremes
) -> Moved:
    """The features of one clip.

    Args:
        t_ns: int64[n], its grid instants in order.
        signals: float64[n] by signal, NaN where nothing was measured; a signal that is not on the grid is left out.
        policy: Key `motion` of the document `embeddings`.
        extremes: Its extremes, compiled.
    """
    seconds = (t_ns - t_ns[0]) / _NS_PER_S if len(t_ns) else np.empty(0)
    known = np.ones(len(t_ns), dtype=bool)
    series: list[Floats] = []
    for channel in policy["channels"].values():
        values = _channel(seconds, signals, channel, policy["min_share"])
        if values is None and channel.get("required", False):
            return Moved(None, 0)
        if channel.get("required", False) and values is not None:
            known &= ~np.isnan(values)
        series.append(_standard(values, len(t_ns), channel, policy["limit"]))
    samples = int(known.sum())
    if samples < policy["least_samples"] or samples < policy["min_share"] * len(t_ns):
        return Moved(None, samples)
    weights = [channel.get("weight", 1.0) for channel in policy["channels"].values()]
    blocks = [weight * _features(values, policy) for weight, values in zip(weights, series, strict=True)]
    ordinary = units(np.concatenate([*blocks, [policy["anchor"]]]))
    return Moved(np.concatenate([ordinary, extremes(t_ns, signals)]).astype(np.float32), samples)


def _channel(
    seconds: Floats, signals: Mapping[str, Floats], channel: Mapping[str, Any], min_share: float
) -> Floats | None:
    """The first source that the clip has enough of, float64[n]; None where it has none."""
    for source in channel["of"]:
        values = signals.get(source["signal"])
        if values is not None and "absent" in channel:
            values = np.where(np.isnan(values), channel["absent"], values)
        if values is not None and len(values) and (~np.isnan(values)).mean() >= min_share:
            straight = _BEFORE[source["take"]](values) if source["take"] in _BEFORE else values
            smooth = _smooth(seconds, straight, source.get("over_s", 0.0))
            return _AFTER[source["take"]](seconds, smooth) if source["take"] in _AFTER else smooth
    return None


def _smooth(seconds: Floats, values: Floats, over_s: float) -> Floats:
    """Mean of the known values within the time before each instant, NaN where nothing was measured at it."""
    if over_s <= 0.0:
        return values
    known = ~np.isnan(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    begins = np.searchsorted(seconds, seconds - over_s, side="right")
    ends = np.arange(1, len(seconds) + 1)
    number = counts[ends] - counts[begins]
    return np.where(known, (sums[ends] - sums[begins]) / np.maximum(number, 1), np.nan)


def _rate(seconds: Floats, values: Floats) -> Floats:
    known = np.flatnonzero(~np.isnan(values))
    found = np.full(len(values), np.nan)
    found[known] = np.gradient(values[known], seconds[known]) if len(known) > 1 else 0.0
    return found


def _integral(seconds: Floats, values: Floats) -> Floats:
    known = np.flatnonzero(~np.isnan(values))
    found = np.full(len(values), np.nan)
    steps = np.diff(seconds[known]) * (values[known][1:] + values[known][:-1]) / 2.0
    found[known] = np.concatenate([[0.0], np.cumsum(steps)])
    return found


def _turn(values: Floats) -> Floats:
    """Change of a compass course since the begin, radians, to the left positive."""
    known = np.flatnonzero(~np.isnan(values))
    found = np.full(len(values), np.nan)
    course = np.unwrap(-np.radians(values[known]))
    found[known] = course - course[0]
    return found


_BEFORE: Final[Mapping[str, Callable[[Floats], Floats]]] = {"turn": _turn, "turn_rate": _turn}
"""What is done before values are smoothed: a mean across north would be nonsense."""
_AFTER: Final[Mapping[str, Callable[[Floats, Floats], Floats]]] = {
    "rate": _rate,
    "turn_rate": _rate,
    "integral": _integral,
}


def _standard(values: Floats | None, count: int, channel: Mapping[str, Any], limit: float) -> Floats:
    """Standardised and cut off, gaps bridged in a straight line; zeros for a channel that the clip lacks."""
    if values is None:
        return np.zeros(count)
    known = np.flatnonzero(~np.isnan(values))
    whole = np.interp(np.arange(count), known, values[known])
    cut: Floats = np.clip((whole - channel["centre"]) / channel["scale"], -limit, limit)
    return cut


def _features(values: Floats, policy: Mapping[str, Any]) -> Floats:
    """Course and quantiles of one channel; each part counts as its weight says, whatever its length."""
    points, quantiles = policy["course"]["points"], policy["levels"]["quantiles"]
    bounds = (np.arange(points + 1) * len(values)) // points
    course = np.array(
        [values[first : max(end, first + 1)].mean() for first, end in zip(bounds[:-1], bounds[1:], strict=True)]
    )
    levels = np.quantile(values, quantiles)
    return np.concatenate(
        [
            course * policy["course"]["weight"] / np.sqrt(points),
            levels * policy["levels"]["weight"] / np.sqrt(len(quantiles)),
        ]
    )
