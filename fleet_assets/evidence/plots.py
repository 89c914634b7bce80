"""Small figures for asset metadata: fixed margins, no display, no time stamp in the file, few kilobytes.

They are drawn on every materialisation, so they are kept cheap: no layout engine, thinned lines, a small palette.
What a picture shows belongs to the workflows' `previews.py`.
"""

import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DPI: Final = 96
WIDTH_IN: Final = 7.2
_COLORS: Final = 48
_FONT: Final = 8


def figure(*, height: float, rows: int = 1, width: float = WIDTH_IN, left: float = 0.6) -> tuple[Any, list[Any]]:
    """A figure and its axes, one below the other on a common x axis, drawn off-screen.

    Args:
        height: Height in inches.
        rows: Number of axes.
        width: Width in inches.
        left: Left margin in inches, where the row labels are.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plot = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(plot)
    axes = list(plot.subplots(rows, 1, sharex=rows > 1, squeeze=False)[:, 0])
    # Margins are set by hand: matplotlib's layout engines draw everything twice.
    plot.subplots_adjust(
        left=left / width, right=1 - 0.15 / width, bottom=0.5 / height, top=1 - 0.45 / height, hspace=0.45
    )
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=_FONT)
    return plot, axes


def title(plot: Any, text: str) -> None:
    """A line of text at the top left of the figure."""
    plot.text(0.01, 1 - 0.06 / plot.get_figheight(), text, fontsize=_FONT + 1, va="top", ha="left")


def png(plot: Any) -> bytes:
    """The figure as PNG bytes with a reduced palette; equal figures give equal bytes."""
    from PIL import Image

    plot.canvas.draw()
    image = Image.fromarray(np.asarray(plot.canvas.buffer_rgba())[:, :, :3])
    sink = io.BytesIO()
    image.quantize(_COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(sink, format="png")
    return sink.getvalue()


def envelope(
    x: NDArray[np.float64], y: NDArray[np.float64], pairs: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Thin a line so that no extreme is lost: the smallest and the largest value of each of `pairs` stretches.

    Args:
        x: Ascending abscissae, shape (n,).
        y: Ordinates, shape (n,); NaN where nothing was measured, which stays a gap.
        pairs: Most stretches.

    Returns:
        x and y, unchanged when there are no more than `2 * pairs` points.
    """
    if len(x) <= 2 * pairs:
        return x, y
    starts = np.linspace(0, len(x), pairs, endpoint=False).astype(np.int64)
    low, high = np.fmin.reduceat(y, starts), np.fmax.reduceat(y, starts)
    return np.repeat(x[starts], 2), np.column_stack([low, high]).ravel()
