"""Plots of the comparison: distributions over each other, Allan deviations, distances.

Here belongs drawing. Matplotlib is imported where it is used: nothing else of the simulator needs it.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.fitting.comparison import TAUS_S, Compared

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = NDArray[np.float64]
_REAL: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b")
_SIMULATED: Final = "#222222"
_EDGES: Final = 0.002
"""Share of the samples that is left out at each end of an axis."""
_DPI: Final = 80


def _figure(columns: int, rows: int, width: float, height: float) -> "tuple[Figure, Any]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _colors(names: Iterable[str]) -> dict[str, str]:
    """A colour for each recording, the same in all panels."""
    return dict(zip(dict.fromkeys(names), cycle(_REAL), strict=False))


def _cumulative(axes: Any, values: Numbers, **style: Any) -> None:
    ordered = np.sort(values)
    shown = np.linspace(0, len(ordered) - 1, min(len(ordered), 800)).astype(np.int64)
    axes.plot(ordered[shown], (shown + 1) / len(ordered), **style)


def plot_distributions(found: Sequence[Compared], names: Mapping[str, str], path: Path) -> None:
    """Cumulative distributions, a panel per statistic: each recording, and the simulated fleet with its drives' spread.

    Args:
        found: Statistics.
        names: Short name of each recording.
        path: Where the picture goes.
    """
    figure, panels = _figure(3, -(-len(found) // 3), 12.0, 3.4 * -(-len(found) // 3))
    colors = _colors(name for one in found for name in one.real)
    for axes in panels.flat[len(found) :]:
        axes.set_visible(False)
    for axes, one in zip(panels.flat, found, strict=False):
        pooled = np.concatenate(list(one.simulated))
        low, high = np.quantile(
            np.concatenate([pooled, *(np.concatenate(list(some)) for some in one.real.values())]), [_EDGES, 1 - _EDGES]
        )
        grid = np.linspace(low, high, 200)
        each = np.array(
            [np.searchsorted(np.sort(values), grid, side="right") / len(values) for values in one.simulated]
        )
        axes.fill_between(grid, *np.quantile(each, [0.1, 0.9], axis=0), color=_SIMULATED, alpha=0.12, lw=0)
        for name, some in one.real.items():
            color = colors[name]
            _cumulative(axes, np.concatenate(list(some)), color=color, lw=1.2, label=names[name])
        _cumulative(axes, pooled, color=_SIMULATED, lw=2.0, label="simulated (10 to 90 % of drives)")
        axes.set(xlim=(low, high), ylim=(0, 1), title=one.statistic.title)
        axes.grid(alpha=0.25)
    panels.flat[0].legend(fontsize=8, loc="upper left")
    figure.savefig(path, dpi=_DPI)


def plot_allan(curves: Mapping[str, Mapping[str, tuple[Mapping[str, Numbers], Numbers]]], path: Path) -> None:
    """Allan deviations: a row per band of speeds, a column per axis.

    Args:
        curves: Band → axis → (recording → deviation, simulated drives' deviations float64[drives, taus]).
        path: Where the picture goes.
    """
    axes_named = list(next(iter(curves.values())))
    colors = _colors(name for by_axis in curves.values() for real, _ in by_axis.values() for name in real)
    figure, panels = _figure(len(axes_named), len(curves), 13.0, 3.2 * len(curves))
    for row, (band, by_axis) in zip(panels, curves.items(), strict=True):
        for axes, (name, (real, simulated)) in zip(row, by_axis.items(), strict=True):
            if len(simulated):
                known = np.isfinite(simulated).sum(axis=0) > 0
                low, middle, high = np.nanquantile(simulated[:, known], [0.1, 0.5, 0.9], axis=0)
                axes.fill_between(TAUS_S[known], low, high, color=_SIMULATED, alpha=0.15, lw=0)
                axes.loglog(TAUS_S[known], middle, color=_SIMULATED, lw=2.0, label="simulated (10 to 90 %)")
            for recording, deviation in real.items():
                color = colors[recording]
                axes.loglog(TAUS_S, deviation, color=color, marker=".", lw=1.0, label=recording)
            axes.set_title(f"{name}, {band}", fontsize=9)
            axes.grid(alpha=0.25, which="both")
            axes.legend(fontsize=7)
    for axes in panels[-1]:
        axes.set_xlabel("cluster time (s)")
    figure.savefig(path, dpi=_DPI)


def plot_distances(found: Sequence[Compared], names: Mapping[str, str], path: Path) -> None:
    """Distances of the simulated fleet beside those of each recording from the others.

    Args:
        found: Statistics.
        names: Short name of each recording.
        path: Where the picture goes.
    """
    colors = _colors(name for one in found for name in one.real)
    figure, ((left, right),) = _figure(2, 1, 12.0, 1.2 + 0.32 * len(found))
    for axes, key, title in (
        (left, "ks", "Kolmogorov-Smirnov distance"),
        (right, "wasserstein", "Wasserstein distance / interquartile range"),
    ):
        for place, one in enumerate(found):
            for name in one.real:
                color = colors[name]
                axes.plot(
                    getattr(one.between[name], key),
                    place,
                    "o",
                    color=color,
                    ms=5,
                    label=names[name] if place == 0 else None,
                )
            own = one.pooled
            low, high = getattr(own, f"{key}_low"), getattr(own, f"{key}_high")
            axes.plot([low, high], [place, place], color=_SIMULATED, lw=1.5)
            axes.plot(
                getattr(own, key), place, "D", color=_SIMULATED, ms=6, label="simulated, 95 %" if place == 0 else None
            )
        axes.set(title=title, xlim=(0, None))
        axes.set_yticks(range(len(found)), [one.statistic.title for one in found], fontsize=8)
        axes.invert_yaxis()
        axes.grid(alpha=0.25)
    left.legend(fontsize=7)
    figure.savefig(path, dpi=_DPI)
