"""The distance between sets of features, against its textbook form with a root of a matrix."""

import numpy as np
import pytest
import scipy.linalg

from fleet_assets.perception.frechet import frechet_distance


def textbook(one: np.ndarray, two: np.ndarray) -> float:
    """Heusel et al. (2017), with SciPy's matrix root."""
    first, second = np.cov(one, rowvar=False), np.cov(two, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second)
    shift = one.mean(axis=0) - two.mean(axis=0)
    return float(shift @ shift + np.trace(first + second - 2.0 * np.real(root)))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_textbook_distance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.normal(size=(60, 12)) @ rng.normal(size=(12, 12)) + rng.normal(size=12)
    two = rng.normal(size=(45, 12)) @ rng.normal(size=(12, 12))
    assert frechet_distance(one, two) == pytest.approx(textbook(one, two), rel=1e-6)


def test_fewer_rows_than_features_are_no_problem() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=(20, 200)), rng.normal(size=(20, 200)) + 1.0
    assert frechet_distance(one, two) > 200.0
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-9)


def test_a_shift_alone_counts_with_its_square() -> None:
    rows = np.random.default_rng(2).normal(size=(50, 6))
    assert frechet_distance(rows, rows + 3.0) == pytest.approx(6 * 9.0)


@pytest.mark.parametrize("wrong", [(np.zeros((1, 3)), np.zeros((5, 3))), (np.zeros((5, 3)), np.zeros((5, 4)))])
def test_samples_that_cannot_be_compared_are_refused(wrong: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="Give"):
        frechet_distance(*wrong)
