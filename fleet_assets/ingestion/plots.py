"""Small figures for asset metadata: one size, no display, no time stamp in the file."""

import io
from typing import Any

DPI = 70


def figure(width: float = 9.0, height: float = 3.2, rows: int = 1) -> tuple[Any, Any]:
    """A figure and its axes (one, or an array of `rows`), in inches, drawn off-screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plot = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(plot)
    return plot, plot.subplots(rows, 1, sharex=rows > 1)


def png(plot: Any) -> bytes:
    """The figure as PNG bytes; equal figures give equal bytes."""
    sink = io.BytesIO()
    plot.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()
