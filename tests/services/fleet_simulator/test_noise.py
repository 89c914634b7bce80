"""Errors that wander: against scipy's filter, and by their statistics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from services.fleet_simulator.sensors.clock import random_stream
from services.fleet_simulator.sensors.noise import GaussMarkov, Smoothing, recursion


@given(keep=st.floats(0.001, 0.99999), last=st.floats(-5, 5), count=st.integers(0, 3000))
def test_the_recursion_is_that_of_scipys_filter(keep: float, last: float, count: int) -> None:
    fresh = np.random.default_rng(1).normal(size=count)
    expected, _ = lfilter([1.0], [1.0, -keep], fresh, zi=[keep * last])
    np.testing.assert_allclose(recursion(fresh, keep, last), expected, rtol=1e-8, atol=1e-8)


def test_a_gauss_markov_error_has_unit_variance_and_the_stated_correlation() -> None:
    process = GaussMarkov(random_stream(1, "test"), 2.0, 0.1)
    values = np.concatenate([process.draw(count) for count in (1, 7, 200_000, 0, 99_992)])
    assert values.std() == pytest.approx(1.0, abs=0.03)
    assert np.corrcoef(values[20:], values[:-20])[0, 1] == pytest.approx(np.exp(-1), abs=0.03)


def test_smoothing_goes_on_from_stretch_to_stretch() -> None:
    values = np.repeat([0.0, 1.0], 500)
    whole = Smoothing(5.0, 0.1).follow(values)
    parts = Smoothing(5.0, 0.1)
    assert np.concatenate([parts.follow(values[:300]), parts.follow(values[300:])]) == pytest.approx(whole)
    assert whole[549] == pytest.approx(1 - np.exp(-1), abs=0.01)
