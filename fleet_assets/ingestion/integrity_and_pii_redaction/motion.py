"""How fast a drive's sensors say that the vehicle goes: the witnesses against a sensor that stands or jumps.

Here belongs reading speeds at any time. What is wrong with a sensor is decided in the modules `*_rules`.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_series import Series
from fleet_assets.policy.canonical import CanonicalSignals


class Motion:
    """Speeds by sensor.

    Args:
        series: The drive's series.
        speed_signals: Canonical signals that tell the speed.
        canonical: Canonical signals, for the longest gap that a speed may be read across.
    """

    def __init__(self, series: Sequence[Series], speed_signals: Iterable[str], canonical: CanonicalSignals) -> None:
        named = frozenset(speed_signals)
        self._series = [one for one in series if one.signal in named and one.usable.any()]
        self._gaps = {name: canonical.signals[name].max_gap_s for name in named & canonical.signals.keys()}

    def lowest_mps(self, t_ns: NDArray[np.int64], *, without: str) -> NDArray[np.float64]:
        """Lowest speed that other sensors state, float64[n], NaN where none does.

        Args:
            t_ns: Times.
            without: Sensor that is no witness.
        """
        return np.asarray(np.fmin.reduce(self._stated(t_ns, without)))

    def highest_mps(self, t_ns: NDArray[np.int64], *, without: str) -> NDArray[np.float64]:
        """Highest speed that other sensors state; arguments and result as for `lowest_mps`."""
        return np.asarray(np.fmax.reduce(self._stated(t_ns, without)))

    def _stated(self, t_ns: NDArray[np.int64], without: str) -> list[NDArray[np.float64]]:
        told = [np.full(len(t_ns), np.nan)]
        return told + [self._at(one, t_ns) for one in self._series if one.sensor != without]

    def _at(self, one: Series, t_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        known, value = one.t_ns[one.usable], np.abs(one.value[one.usable])
        after = np.clip(np.searchsorted(known, t_ns), 0, len(known) - 1)
        before = np.maximum(after - 1, 0)
        origin = known[0]
        read = np.interp((t_ns - origin).astype(np.float64), (known - origin).astype(np.float64), value)
        gap_ns = (self._gaps[one.signal] or 0.0) * NS_PER_S
        nearest = np.minimum(np.abs(known[after] - t_ns), np.abs(known[before] - t_ns))
        return np.where(nearest <= gap_ns, read, np.nan)
