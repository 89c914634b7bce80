"""Vectors: digests, roots, exact neighbours against a plain search, and components that keep distances."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.perception.projection import fit, sample
from fleet_assets.perception.vectors import cosines, drive_root, matrix, nearest, units, vector_sha256


def drawn(rows: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def test_a_vectors_digest_is_that_of_its_little_endian_bytes() -> None:
    assert vector_sha256([1.0, -2.5]) == hashlib.sha256(bytes.fromhex("0000803f000020c0")).hexdigest()


def test_a_root_says_which_clips_models_and_vectors_there_are_in_any_order() -> None:
    rows = [("c1", "m", "a"), ("c2", "m", "b")]
    assert drive_root(rows) == drive_root(reversed(rows))
    others = [("c1", "m", "b"), ("c2", "m", "a")], [("c1", "n", "a"), ("c2", "m", "b")], rows[:1]
    assert len({drive_root(rows), *(drive_root(one) for one in others)}) == 4


def test_unit_vectors_keep_their_direction_and_zeros_stay() -> None:
    made = units(np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert made.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0]]


def test_lists_of_two_lengths_are_not_one_space() -> None:
    with pytest.raises(ValueError, match="one model gives one length"):
        matrix(pa.chunked_array([pa.array([[1.0, 2.0], [1.0]], pa.list_(pa.float32()))]))


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 20), st.integers(0, 1000), st.booleans())
def test_neighbours_are_those_of_a_plain_search_in_whatever_blocks(
    rows: int, count: int, block: int, seed: int, twins: bool
) -> None:
    vectors = units(drawn(rows, 5, seed))
    if twins:
        vectors[: rows // 2] = vectors[0]
    names = [f"c{at:03d}" for at in np.random.default_rng(seed).permutation(rows)]
    query = units(drawn(1, 5, seed + 1))
    found = nearest(query, ((names[at : at + block], vectors[at : at + block]) for at in range(0, rows, block)), count)[
        0
    ]
    plain = sorted(
        (
            (round(float(np.dot(query[0].astype(float), one.astype(float))), 6), name)
            for one, name in zip(vectors, names, strict=True)
        ),
        key=lambda one: (-one[0], one[1]),
    )[:count]
    assert [round(cosine, 6) for _, cosine in found] == pytest.approx([cosine for cosine, _ in plain], abs=2e-6)
    if not twins:
        assert {name for name, _ in found} == {name for _, name in plain}
    assert found == sorted(found, key=lambda one: (-one[1], one[0]))


def test_equal_vectors_are_equally_near_wherever_they_stand() -> None:
    one = units(drawn(1, 384))
    many = np.concatenate([one, units(drawn(50, 384, 1)), one, one])
    likeness = cosines(units(drawn(1, 384, 2)), many)[0]
    assert likeness[0] == likeness[51] == likeness[52]


def test_all_components_keep_all_distances_and_few_keep_those_along_the_largest_spread() -> None:
    spread = np.array([10.0, 5.0, 1.0, 0.1])
    vectors = (drawn(400, 4) * spread).astype(np.float32)
    whole = fit(vectors, 4, 400)(vectors)
    assert np.linalg.norm(whole[0] - whole[1:], axis=1) == pytest.approx(
        np.linalg.norm(vectors[0] - vectors[1:], axis=1), rel=1e-4
    )
    few = fit(vectors, 2, 400)
    assert np.abs(few.components).argmax(axis=1).tolist() == [0, 1]
    assert (few.components[np.arange(2), np.abs(few.components).argmax(axis=1)] > 0).all()


def test_the_sample_is_the_same_in_whatever_order_vectors_come() -> None:
    vectors, names = drawn(100, 3), [f"c{at}" for at in range(100)]
    forth = sample([(names[:60], vectors[:60]), (names[60:], vectors[60:])], 10)
    back = sample([(names[::-1], vectors[::-1])], 10)
    assert np.array_equal(forth, back)
    assert len(forth) == 10
