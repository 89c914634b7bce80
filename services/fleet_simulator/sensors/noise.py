"""Random errors that go on from one stretch of samples to the next.

Here belong the processes. Their sizes come from the policy, their random streams from `clock.random_stream`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_WIDEST: Final = 1e6
"""Ratio of the weights within a block; beyond it the sum below would lose digits."""


def recursion(fresh: NDArray[np.float64], keep: float, last: float) -> NDArray[np.float64]:
    """x[k] = keep * x[k - 1] + fresh[k], where x[-1] is `last`; without a loop over the samples.

    (`scipy.signal.lfilter` does the same, but to import it takes as long as to simulate a minute.)

    Args:
        fresh: float64[n].
        keep: In [0, 1).
        last: Value before the first.
    """
    result = np.empty(len(fresh))
    block = max(1, int(np.log(_WIDEST) / -np.log(max(keep, 1.0 / _WIDEST))))
    for start in range(0, len(fresh), block):
        part = fresh[start : start + block]
        weights = max(keep, 1.0 / _WIDEST) ** np.arange(1, len(part) + 1)
        values = weights * (last + np.cumsum(part / weights))
        result[start : start + block] = values
        last = float(values[-1])
    return result


class GaussMarkov:
    """A first-order Gauss-Markov process: an error that wanders within its standard deviation.

    Args:
        rng: Random stream, used by nobody else.
        correlation_s: Time after which a share of 1/e of the error is left.
        period_s: Time between samples.
    """

    def __init__(self, rng: np.random.Generator, correlation_s: float, period_s: float) -> None:
        self._rng = rng
        self._keep = float(np.exp(-period_s / correlation_s))
        self._last = float(rng.normal())

    def draw(self, count: int) -> NDArray[np.float64]:
        """The next samples, of standard deviation 1."""
        fresh = self._rng.normal(size=count) * np.sqrt(1.0 - self._keep**2)
        values = recursion(fresh, self._keep, self._last)
        self._last = float(values[-1]) if count else self._last
        return values


class Resonance:
    """A swinging error of one frequency that forgets its phase: sprung masses that a road keeps moving.

    The autocorrelation is exp(-lag / memory) * cos(2 pi frequency lag).

    Args:
        rng: Random stream, used by nobody else.
        frequency_hz: Of the swinging.
        memory_s: Time after which a share of 1/e of the swinging is left.
        period_s: Time between samples.
    """

    def __init__(self, rng: np.random.Generator, frequency_hz: float, memory_s: float, period_s: float) -> None:
        self._rng = rng
        self._keep = float(np.exp(-period_s / memory_s))
        self._turn = 2.0 * np.pi * frequency_hz * period_s
        self._phase = 0
        self._last = self._rng.normal(size=2)

    def draw(self, count: int) -> NDArray[np.float64]:
        """The next samples, of standard deviation 1."""
        if count == 0:
            return np.empty(0)
        # In axes that turn with the swinging, both parts of the state are ordinary first-order processes.
        fresh = self._rng.normal(size=(count, 2)) * np.sqrt(1.0 - self._keep**2)
        parts = [recursion(fresh[:, axis], self._keep, float(self._last[axis])) for axis in range(2)]
        self._last = np.array([part[-1] for part in parts])
        angle = self._turn * (self._phase + 1 + np.arange(count))
        self._phase += count
        swinging: NDArray[np.float64] = parts[0] * np.cos(angle) - parts[1] * np.sin(angle)
        return swinging


class Smoothing:
    """Follows a signal with a lag, as errors of reception grow and fade when surroundings change."""

    def __init__(self, lag_s: float, period_s: float) -> None:
        self._keep = float(np.exp(-period_s / lag_s))
        self._last: float | None = None

    def follow(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The next samples, smoothed."""
        if len(values) == 0:
            return values
        last = float(values[0]) if self._last is None else self._last
        smooth = recursion((1.0 - self._keep) * values, self._keep, last)
        self._last = float(smooth[-1])
        return smooth
