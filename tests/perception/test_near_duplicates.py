"""All near-duplicates: exactly those that comparing everything finds, without holding everything."""

import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from fleet_assets.perception.near_duplicates import Twins, near_duplicates
from fleet_assets.perception.vectors import Vectors, cosines

BLOCK = 70


def clustered(seed: int, count: int, width: int = 24) -> Vectors:
    """Vectors around a few centres, with copies, near-copies and zeros among them."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((9, width)) * np.linspace(3.0, 0.1, width)
    made = centres[rng.integers(0, 9, count)] + rng.standard_normal((count, width)) * rng.choice(
        [0.02, 0.4], (count, 1)
    )
    made[rng.integers(0, count, 6)] = 0.0
    made[rng.integers(0, count, 20)] = made[0]
    made *= rng.uniform(0.5, 4.0, (count, 1))
    return np.asarray(made, np.float32)


def blocks(vectors: Vectors) -> Iterator[tuple[Sequence[str], Vectors]]:
    for start in range(0, len(vectors), BLOCK):
        own = vectors[start : start + BLOCK]
        yield [f"{start + at:05d}" for at in range(len(own))], own


def by_comparing_all(vectors: Vectors, least: float) -> list[tuple[str, str, float]]:
    near = cosines(vectors, vectors)
    return [
        (f"{one:05d}", f"{other:05d}", near[one, other])
        for one, other in zip(*np.nonzero(np.triu(near >= least, 1)), strict=True)
    ]


@pytest.mark.parametrize("least", [0.5, 0.9, 0.99, 0.9999, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_pairs_are_those_that_comparing_all_finds(seed: int, least: float) -> None:
    vectors = clustered(seed, 400)
    found = [(one.first, one.second, one.cosine) for one in near_duplicates(blocks(vectors), least)]
    expected = by_comparing_all(vectors, least)
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    np.testing.assert_allclose([one[2] for one in found], [one[2] for one in expected], atol=1e-9)
    assert len(expected) > 100


def test_vectors_of_fewer_numbers_than_components_are_compared_too() -> None:
    vectors = clustered(5, 60, width=3)
    assert [(one.first, one.second) for one in near_duplicates(blocks(vectors), 0.99)] == [
        one[:2] for one in by_comparing_all(vectors, 0.99)
    ]


def test_a_thousand_equal_vectors_are_all_pairs_and_zeros_are_like_none() -> None:
    same = np.ones((1000, 8), np.float32)
    assert sum(1 for _ in near_duplicates(blocks(same), 1.0)) == 1000 * 999 // 2
    assert list(near_duplicates(blocks(np.zeros((50, 8), np.float32)), 0.5)) == []
    assert list(near_duplicates(iter(()), 0.5)) == []
    assert list(near_duplicates([(["a"], same[:1]), ([], same[:0]), (["b"], same[:1])], 0.5)) == [Twins("a", "b", 1.0)]


def test_a_cosine_that_is_none_and_vectors_of_two_lengths_are_refused() -> None:
    for least in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            list(near_duplicates(blocks(clustered(0, 10)), least))
    with pytest.raises(ValueError, match="vectors of 8 and of 7 numbers"):
        list(near_duplicates([(["a"], np.ones((1, 8), np.float32)), (["b"], np.ones((1, 7), np.float32))], 0.9))


def test_fiftyone_brain_224_near_duplicates_are_found_without_all_vectors_in_memory() -> None:
    """That brain holds all embeddings, and a matrix of their neighbours, to find near-duplicates."""
    told = subprocess.run([sys.executable, __file__], check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr


COUNT, WIDTH, PLANTED = 40_000, 1024, 50


def found_in_little_memory() -> None:
    """160 MB of vectors, of which fifty have a near-copy at the other end; a third of that is what memory may grow."""

    def made() -> Iterator[tuple[Sequence[str], Vectors]]:
        axes = np.random.default_rng(1).standard_normal((32, WIDTH)) * np.linspace(2.0, 0.2, 32)[:, None]
        copies = np.empty((PLANTED, WIDTH), np.float32)
        for start in range(0, COUNT, 2000):
            rng = np.random.default_rng([2, start])
            own = (rng.standard_normal((2000, 32)) @ axes + 0.01 * rng.standard_normal((2000, WIDTH))).astype(
                np.float32
            )
            if start == 0:
                copies[:] = own[:PLANTED] * 1.5
            if start == COUNT - 2000:
                own[-PLANTED:] = copies
            yield [str(start + at) for at in range(2000)], own

    list(near_duplicates([(["a", "b"], np.eye(2, 16, dtype=np.float32))], 0.9))  # what is loaded once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = list(near_duplicates(made(), 0.9999))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    expected = {(str(at), str(COUNT - PLANTED + at)) for at in range(PLANTED)}
    assert {(one.first, one.second) for one in found} == expected, len(found)
    assert grown < COUNT * WIDTH * 4 / 3, f"{grown / 1e6:.0f} MB more"


if __name__ == "__main__":
    found_in_little_memory()
