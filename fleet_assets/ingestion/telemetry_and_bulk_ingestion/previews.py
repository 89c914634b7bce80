"""Pictures of what landed."""

from typing import Final

import pyarrow as pa

from fleet_assets.evidence.plots import figure, png, title

MAX_DRIVES: Final = 60
_DAY_NS: Final = 86_400_000_000_000
_NS_PER_H: Final = 3.6e12
_SHORTEST_BAR_H: Final = 0.05


def coverage_timeline(drives: pa.Table) -> bytes | None:
    """When each drive of a day ran, by depot.

    Args:
        drives: Rows of `bronze.drives`.

    Returns:
        A PNG, or None without drives.
    """
    rows = sorted(drives.to_pylist(), key=lambda row: (row["depot"], row["start_ns"], row["drive_id"]))
    shown = rows[:MAX_DRIVES]
    if not shown:
        return None
    plot, (axes,) = figure(height=1.0 + 0.2 * len(shown), left=2.0)
    starts_h = [(row["start_ns"] % _DAY_NS) / _NS_PER_H for row in shown]
    lengths_h = [max((row["end_ns"] - row["start_ns"]) / _NS_PER_H, _SHORTEST_BAR_H) for row in shown]
    colors = ["tab:blue" if row["status"] == "landed" else "tab:red" for row in shown]
    axes.barh(range(len(shown)), lengths_h, left=starts_h, height=0.6, color=colors)
    axes.set_yticks(range(len(shown)), [f"{row['depot']}  {row['drive_id']}" for row in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, 24)
    axes.set_xticks(range(0, 25, 3))
    axes.set_xlabel("hour of the day, UTC (blue: landed, red: rejected)", fontsize=8)
    count = f"{len(rows)} drives" if len(rows) > 1 else "1 drive"
    part = f", the first {len(shown)} shown" if len(shown) < len(rows) else ""
    title(plot, f"{shown[0]['day']}: {count}{part}")
    return png(plot)
