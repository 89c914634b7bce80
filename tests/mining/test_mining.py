"""Answers to mining requests: reproducible, within every limit, without duplicates, golden or used clips, and exact."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_assets.mining.scenario_mining.requests import InvalidMiningRequestError
from fleet_assets.mining.scenario_mining.vectors import (
    Block,
    cosines,
    fit_embedding,
    nearest_cosine,
    unit,
    without_duplicates,
)
from fleet_assets.mining.scenario_mining.worth import facets
from tests.mining.stocks import POLICY, answered, asked, directions, listed, stock


def policy(**pool: Any) -> dict[str, Any]:
    return {**POLICY, "pool": {**POLICY["pool"], **pool}}


def test_the_same_request_gives_the_same_list_whatever_order_the_clips_come_in_and_however_many_are_held() -> None:
    vectors = directions(300)
    names = [f"d{n // 10:04}-{n % 10:04}" for n in range(300)]
    document = asked(budget={"clips": 12, "seconds": 150}, seed=5)
    first = answered(document, stock(vectors))
    assert len(first.candidates) > 5
    assert listed(answered(document, stock(vectors))) == listed(first)
    for block in (1, 7, 100):
        other = answered(document, stock(vectors), policy(block=block))
        assert [dict(row) for row in other.candidates] == [dict(row) for row in first.candidates]
    assert listed(answered({**document, "seed": 6}, stock(vectors), policy(ground=40))) != listed(
        answered(document, stock(vectors), policy(ground=40))
    )
    shuffled = np.random.default_rng(1).permutation(300)
    moved = stock(vectors[shuffled], names=[names[n] for n in shuffled])
    moved = replace(moved, relations=stock(vectors).relations, sizes=stock(vectors).sizes)
    assert listed(answered(document, moved)) == listed(first)


@settings(max_examples=12)
@given(
    seed=st.integers(0, 999),
    clips=st.integers(1, 12),
    seconds=st.integers(5, 120),
    size=st.integers(2_000, 60_000),
    most=st.integers(0, 4),
)
def test_every_limit_holds_and_nothing_forbidden_is_chosen(
    seed: int, clips: int, seconds: int, size: int, most: int
) -> None:
    vectors = directions(80, seed)
    vectors[20:30] = vectors[10:20]  # exact copies
    names = stock(vectors, seed=seed).relations["clips"]["clip_id"].to_pylist()
    used, golden = dict.fromkeys(names[:5]), frozenset(names[5:9])
    here = stock(vectors, seed=seed, used=used, golden=golden)
    document = asked(
        budget={"clips": clips, "seconds": seconds, "bytes": size},
        quotas={"night": {"where": "light_condition = 'night'", "max": most}},
        excludes={"clips": [names[40]], "drives": ["d0005"]},
        seed=seed,
    )
    answer = answered(document, here)
    chosen = listed(answer)
    rows = {row["clip_id"]: row for row in here.relations["clips"].to_pylist()}
    assert len(chosen) == len(set(chosen)) <= clips
    assert sum(rows[clip]["duration_s"] for clip in chosen) <= seconds
    assert sum(here.sizes[names.index(clip)] for clip in chosen) <= size
    assert sum(rows[clip]["light_condition"] == "night" for clip in chosen) <= most
    assert not set(chosen) & (set(used) | golden | {names[40]})
    assert not [clip for clip in chosen if clip.startswith("d0005")]
    near = cosines(here.rows, here.rows)[np.ix_(*[[names.index(clip) for clip in chosen]] * 2)]
    assert (near - np.eye(len(chosen)) < POLICY["duplicates"]["cosine"]).all()
    assert answer.near == 0


def test_clips_like_a_used_or_a_golden_one_are_left_out_too_unless_used_ones_are_wanted() -> None:
    vectors = directions(10)
    vectors[1], vectors[2] = vectors[0], vectors[3]
    here = stock(vectors)
    names = here.relations["clips"]["clip_id"].to_pylist()
    here = replace(here, used={names[0]: None}, golden=frozenset([names[3]]))
    document = asked(budget={"clips": 10})
    assert sorted(listed(answered(document, here))) == names[4:]
    again = answered({**document, "excludes": {"used": False}}, here)
    assert {names[0], names[1]} & set(listed(again))
    assert not {names[2], names[3]} & set(listed(again))


def test_clips_that_show_the_same_picture_are_one_even_when_their_vectors_differ() -> None:
    pictures = {"d0000-0001": 0b1111, "d0000-0002": 0b1110, "d0000-0003": (1 << 60) - 1}
    here = stock(directions(4), picture=pictures.get)
    chosen = listed(answered(asked(), here))
    assert len({"d0000-0001", "d0000-0002"} & set(chosen)) == 1
    assert {"d0000-0000", "d0000-0003"} <= set(chosen)
    used = replace(here, used={"elsewhere-0000": (1 << 60) - 1})
    assert "d0000-0003" not in listed(answered(asked(), used))


def test_the_nearest_of_seeds_are_those_of_brute_force() -> None:
    vectors = directions(500, 3)
    here = stock(vectors)
    names = here.relations["clips"]["clip_id"].to_pylist()
    seeds = [names[7], names[77]]
    document = asked(seeds={"clips": seeds, "nearest": 9}, budget={"clips": 9}, where=["speed_max_mps > 10"])
    answer = answered(document, here, policy(block=64))
    speeds = here.relations["clips"]["speed_max_mps"].to_pylist()
    near = np.asarray(here.rows, dtype=np.float64)
    score = np.round((near @ near[[7, 77]].T).max(axis=1), 6)
    able = [n for n in range(500) if speeds[n] > 10 and names[n] not in seeds]
    expected = {names[n] for n in sorted(able, key=lambda n: -score[n])[:9]}
    assert set(listed(answer)) == expected
    for clip, why in (("nobody-0000", "no clip"), (names[9], "no vector")):
        blank = vectors.copy()
        blank[9] = 0
        with pytest.raises(InvalidMiningRequestError, match=why):
            answered(asked(seeds={"clips": [clip], "nearest": 3}), stock(blank))


def test_clips_without_vector_are_counted_and_never_chosen() -> None:
    vectors = directions(20)
    vectors[::2] = 0
    answer = answered(asked(budget={"clips": 20}), stock(vectors))
    assert answer.funnel["without_vector"] == 10
    assert len(answer.candidates) == 10


def test_meaning_narrows_down_to_the_nearest_sentences_and_leaves_out_clips_without_text() -> None:
    meaning = np.array([0.9, np.nan, 0.1, 0.5, 0.8])
    document = asked(text={"meaning": "a dark night", "nearest": 2})
    answer = answered(document, stock(directions(5), meaning=meaning))
    assert sorted(listed(answer)) == ["d0000-0000", "d0000-0004"]
    assert {row["relevance"] for row in answer.candidates} == {0.95, 0.9}


def test_a_quota_is_met_although_better_clips_are_elsewhere() -> None:
    here = stock(directions(200, 1), seed=4)
    nights = [row["clip_id"] for row in here.relations["clips"].to_pylist() if row["light_condition"] == "night"]
    document = asked(budget={"clips": 6}, quotas={"night": {"where": "light_condition = 'night'", "min": 5}})
    answer = answered(document, here, policy(most=8, walk=8))
    assert len(set(listed(answer)) & set(nights)) >= 5
    (night,) = answer.slices
    assert (night.chosen >= 5, night.reachable, night.matched) == (True, True, len(nights))
    too_many = asked(budget={"clips": 6, "seconds": 20}, quotas=document["quotas"])
    assert not answered(too_many, here).slices[0].reachable


def test_an_event_lifts_its_clip_and_a_used_one_lowers_its_neighbours() -> None:
    here = stock(directions(40, 2))
    rows = {row["clip_id"]: row for row in here.relations["events"].to_pylist()}
    document = asked(budget={"clips": 40}, weights={"novelty": 0, "relevance": 0, "uncertainty": 0, "disagreement": 0})
    for row in answered(document, here).candidates:
        found = rows.get(row["clip"]["clip_id"])
        assert row["rarity"] == (0.0 if found is None else found["rarity"])
        assert row["worth"] == pytest.approx(row["rarity"], abs=1e-6)
    names = here.relations["clips"]["clip_id"].to_pylist()
    near = np.asarray(cosines(here.rows, here.rows[[0]]))[:, 0].clip(0)
    for row in answered(document, replace(here, used={names[0]: None})).candidates:
        assert row["novelty"] == pytest.approx(1.0 - near[names.index(row["clip"]["clip_id"])], abs=1e-6)


def test_a_list_has_every_kind_of_event_in_every_light_before_it_has_one_again() -> None:
    here = stock(directions(120, 6), seed=11)
    names, has = facets(here.relations["clips"], here.relations["events"], POLICY["facets"])
    lights = dict(
        zip(*(here.relations["clips"][name].to_pylist() for name in ("clip_id", "light_condition")), strict=True)
    )
    events = here.relations["events"].to_pylist()
    assert names == sorted({f"{row['trigger']} {lights[row['clip_id']]}" for row in events})
    assert has.sum() == len({(row["clip_id"], row["trigger"]) for row in events})
    every = {**POLICY, "coverage": 1.0, "facets": {**POLICY["facets"], "share": 1.0}}
    chosen = listed(answered(asked(budget={"clips": len(names)}), here, every))
    index = {clip: number for number, clip in enumerate(here.relations["clips"]["clip_id"].to_pylist())}
    assert has[[index[clip] for clip in chosen]].any(axis=0).all()


class Blocks:
    """Vectors in memory."""

    def __init__(self, clips: list[str], vectors: dict[str, Any]) -> None:
        self.clips, self.vectors = clips, vectors

    def blocks(self, size: int) -> Any:
        """See `VectorSource.blocks`."""
        for start in range(0, len(self.clips), size):
            part = slice(start, start + size)
            yield Block(self.clips[part], {name: rows[part] for name, rows in self.vectors.items()})


def test_joined_vectors_keep_the_weighted_cosines_of_their_modalities() -> None:
    rng = np.random.default_rng(0)
    vectors = {name: rng.normal(size=(60, width)).astype(np.float32) for name, width in (("image", 20), ("text", 8))}
    vectors["text"][50:] = 0
    source = Blocks([f"c{n:02}" for n in range(60)], vectors)
    whole = fit_embedding(source, {"image": 2.0, "text": 1.0}, 99, normalise=True, sample=1000, block=16)
    (block,) = source.blocks(60)
    joined = whole(block)
    parts = {}
    for name, rows in vectors.items():
        there = rows.any(axis=1)
        centred = (rows - rows[there].mean(axis=0)).astype(np.float64)
        parts[name] = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    expected = (2 * parts["image"] @ parts["image"].T + parts["text"] @ parts["text"].T) / 3
    assert cosines(joined, joined)[:50, :50] == pytest.approx(expected[:50, :50], abs=2e-3)
    # A clip without text is compared by its pictures alone.
    alone = (parts["image"] @ parts["image"].T)[50:, 50:]
    assert cosines(joined, joined)[50:, 50:] == pytest.approx(alone, abs=2e-3)
    few = fit_embedding(source, {"image": 1.0}, 3, normalise=True, sample=1000, block=7)
    assert few(block).shape == (60, 4)
    same = Blocks(["a", "b"], {"image": np.ones((2, 5), dtype=np.float32)})
    (both,) = same.blocks(2)
    alike = fit_embedding(same, {"image": 1.0}, 9, normalise=True, sample=10, block=2)(both)
    assert cosines(alike, alike).min() == 1.0


def test_duplicates_found_block_by_block_are_those_of_brute_force(tmp_path: Path) -> None:
    rows = directions(400, 9, width=4)
    known = rows[[3, 90]]
    kept: list[int] = []
    for index, row in enumerate(rows):
        others = np.vstack([known, rows[kept]])
        if (others @ row).max() < 0.93 and index % 17:
            kept.append(index)
    on_disk = np.lib.format.open_memmap(tmp_path / "rows.npy", mode="w+", dtype=np.float32, shape=rows.shape)
    on_disk[:] = rows
    for block in (1, 13, 400):
        found = without_duplicates(on_disk, known, lambda n: n % 17 > 0, threshold=0.93, most=999, block=block)
        assert found.tolist() == kept
        assert without_duplicates(
            rows, known, lambda n: n % 17 > 0, threshold=0.93, most=5, block=block
        ).tolist() == kept[:5]  # fmt: skip
    assert nearest_cosine(rows, rows[:0]).tolist() == [-1.0] * 400
    assert unit(np.zeros((2, 3), dtype=np.float32)).tolist() == [[0.0] * 3] * 2
