"""Pictures of what landed."""

import pyarrow as pa

from fleet_assets.ingestion.plots import figure, png

_MAX_DRIVES = 60


def coverage_timeline(drives: pa.Table) -> bytes | None:
    """When each drive of a day ran, by depot.

    Args:
        drives: Rows of `bronze.drives`.

    Returns:
        A PNG, or None without drives.
    """
    rows = sorted(drives.to_pylist(), key=lambda row: (row["depot"], row["start_ns"], row["drive_id"]))[:_MAX_DRIVES]
    if not rows:
        return None
    plot, axes = figure(height=1.2 + 0.22 * len(rows))
    day_ns = 86_400_000_000_000
    for index, row in enumerate(rows):
        start_h = (row["start_ns"] % day_ns) / 3.6e12
        length_h = max((row["end_ns"] - row["start_ns"]) / 3.6e12, 0.02)
        axes.barh(index, length_h, left=start_h, color="tab:blue" if row["status"] == "landed" else "tab:red")
    axes.set_yticks(range(len(rows)), [f"{row['depot']} {row['drive_id']}" for row in rows], fontsize=7)
    axes.set_xlim(0, 24)
    axes.set_xlabel("UTC hour (red: rejected)")
    axes.set_title(f"{rows[0]['day']}: {len(rows)} drives")
    return png(plot)
