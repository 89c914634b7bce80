"""Numbers about a clip's motion, from the signals of its drive on the grid.

Here belongs arithmetic. Which signal is taken and how is in the policy `catalog`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.metadata_extraction_and_catalog.rules import FigureRule

Values = NDArray[np.float64]
"""float64[n] over the drive's instants, NaN where nothing was measured."""
DECIMALS: Final = 6
"""Figures are rounded to this, so that the order of additions in a processor leaves no trace."""
_HALF_TURN_DEG, _TURN_DEG = 180.0, 360.0


@dataclass(frozen=True, slots=True)
class Grid:
    """A drive's instants, evenly spaced.

    Attributes:
        spacing_s: Time from one to the next.
        starts: Index of the first instant of each clip.
        ends: Index after its last one.
    """

    spacing_s: float
    starts: Sequence[int]
    ends: Sequence[int]


def _change(values: Values, rule: FigureRule, grid: Grid) -> Values:
    """Rate of change from each instant over the rule's time."""
    steps = max(1, round(rule.over_s / grid.spacing_s))
    rates = np.full(len(values), np.nan)
    if len(values) > steps:
        rates[:-steps] = (values[steps:] - values[:-steps]) / (steps * grid.spacing_s)
    return rates


def _level(values: Values, rule: FigureRule, grid: Grid) -> Values:
    """Size of the mean from each instant over the rule's time."""
    steps = max(1, round(rule.over_s / grid.spacing_s))
    levels = np.full(len(values), np.nan)
    if len(values) >= steps:
        levels[: len(values) - steps + 1] = np.abs(np.lib.stride_tricks.sliding_window_view(values, steps).mean(axis=1))
    return levels


def _fall(values: Values, rule: FigureRule, grid: Grid) -> Values:
    return -_change(values, rule, grid)


_PREPARED: Final[Mapping[str, Callable[[Values, FigureRule, Grid], Values]]] = {
    "steepest_fall": _fall,
    "steepest_rise": _change,
    "highest_level": _level,
}
"""What is computed over the whole drive first, so that a brake across two clips belongs to the one it begins in."""


def _turned(values: Values) -> float:
    turn = (values[-1] - values[0] + _HALF_TURN_DEG) % _TURN_DEG - _HALF_TURN_DEG
    return abs(float(turn))


def _taken(values: Values, rule: FigureRule, grid: Grid) -> float:
    """The figure of one clip; values are those that are there, at least one."""
    if rule.take == "travelled":
        return float(np.abs(values).sum() * grid.spacing_s)
    if rule.take == "share_within":
        return float(np.mean(np.abs(values) <= rule.limit))
    if rule.take == "turned":
        return _turned(values)
    if rule.take in {"min", "mean"}:
        return float(values.min() if rule.take == "min" else values.mean())
    highest = float(values.max())
    return max(0.0, highest) if rule.take in _PREPARED else highest


def figures(
    signals: Mapping[str, Values], rules: Sequence[FigureRule], grid: Grid, min_share: float
) -> list[dict[str, float | None]]:
    """Figures of every clip.

    Args:
        signals: Signal → its values over the drive's instants; signals that nothing gave may be missing.
        rules: Which figures.
        grid: The drive's instants.
        min_share: Share of a clip's instants at which a signal needs a value to count.

    Returns:
        Per clip, figure → value; None where no signal of the rule counts.
    """
    found: list[dict[str, float | None]] = [{rule.name: None for rule in rules} for _ in grid.starts]
    for rule in rules:
        for name in reversed([name for name in rule.of if name in signals]):
            values = signals[name]
            prepared = _PREPARED[rule.take](values, rule, grid) if rule.take in _PREPARED else values
            for clip, (start, end) in enumerate(zip(grid.starts, grid.ends, strict=True)):
                there = np.isfinite(values[start:end])
                own = prepared[start:end]
                own = own[np.isfinite(own)]
                if len(own) and there.mean() >= min_share:
                    found[clip][rule.name] = round(_taken(own, rule, grid), DECIMALS)
    return found
