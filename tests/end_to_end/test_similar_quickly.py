"""`fleet similar` and words that find clips on the small shared fleet: what `test_similar.py` shows at length."""

import json
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fleet_assets.cli import main
from fleet_assets.perception.vectors import cosines
from tests.harness import TestFleet


def asked(fleet: TestFleet, *words: str) -> Any:
    result = CliRunner().invoke(main, [*words, "--home", str(fleet.home), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def moving(shared_fleet: TestFleet) -> dict[str, Any]:
    """Vectors of motion by clip, as the lake has them."""
    rows = shared_fleet.sql("select clip_id, modality, vector from gold.clip_embeddings order by clip_id")
    return {row["clip_id"]: np.array(row["vector"], np.float32) for row in rows if row["modality"] == "trajectory"}


def test_every_clip_has_a_vector_or_a_reason_and_the_gates_of_vectors_pass(
    shared_fleet: TestFleet, moving: dict[str, Any]
) -> None:
    clips = {row["clip_id"] for row in shared_fleet.sql("select clip_id from silver.clip_catalog")}
    missing = shared_fleet.sql("select clip_id, modality from gold.missing_embeddings")
    assert moving.keys() | {row["clip_id"] for row in missing if row["modality"] == "trajectory"} == clips
    outcomes = {(asset, gate): said for (asset, gate, _), said in shared_fleet.gates().items()}
    for gate in (
        ("gold/vector_index", "recall"),
        ("gold/vector_index", "duplicates"),
        ("gold/clip_embeddings", "drift"),
    ):
        assert outcomes[gate] == "pass", gate


def test_the_most_similar_clips_are_the_exactly_nearest_ones(shared_fleet: TestFleet, moving: dict[str, Any]) -> None:
    clip = next(iter(moving))
    others = [name for name in moving if name != clip]
    likeness = cosines(moving[clip][None], np.array([moving[name] for name in others]))[0]
    order = sorted(zip(others, likeness.tolist(), strict=True), key=lambda one: (-round(one[1], 6), one[0]))[:5]
    answer = asked(shared_fleet, "similar", clip, "--modality", "trajectory", "-k", "5")
    assert [row["clip_id"] for row in answer["results"]] == [name for name, _ in order]
    assert answer["index"]["clips"] == len(moving)


def test_all_pairs_of_clips_that_are_nearly_the_same_are_found(shared_fleet: TestFleet, moving: dict[str, Any]) -> None:
    clips = sorted(moving)
    near = cosines(*[np.array([moving[name] for name in clips])] * 2)
    least = float(np.quantile(near[np.triu_indices(len(clips), 1)], 0.7)) - 1e-6
    expected = {
        frozenset((clips[one], clips[other])) for one, other in zip(*np.nonzero(np.triu(near >= least, 1)), strict=True)
    }
    asking = ("duplicates", "--modality", "trajectory", "--cosine", str(least))
    said = asked(shared_fleet, *asking, "--limit", "100000")
    assert {frozenset((row["first"], row["second"])) for row in said["results"]} == expected
    assert (said["pairs"], said["clips"]) == (len(expected), len(frozenset().union(*expected)))
    ranked = [row["cosine"] for row in said["results"]]
    assert ranked == sorted(ranked, reverse=True)
    few = asked(shared_fleet, *asking, "--limit", "1")
    assert (few["pairs"], few["results"]) == (len(expected), said["results"][:1])
    assert asked(shared_fleet, "duplicates", "--modality", "trajectory")["least_cosine"] < 1.0
    for words in (("--cosine", "0"), ("--modality", "smell")):
        assert CliRunner().invoke(main, ["duplicates", *words, "--home", str(shared_fleet.home)]).exit_code == 2


def test_words_find_the_clips_that_are_told_in_them(shared_fleet: TestFleet) -> None:
    said = asked(shared_fleet, "similar", "--words", "a car that drives in daylight", "-k", "2")
    assert said["modality"] == "text"
    assert said["results"]
    event = shared_fleet.sql("select trigger, clip_id from gold.event_windows order by event_id")[0]
    found = {row["clip_id"] for row in asked(shared_fleet, "search", event["trigger"].replace("_", " "))["results"]}
    same = shared_fleet.sql("select clip_id, trigger from gold.event_windows")
    assert found & {row["clip_id"] for row in same if row["trigger"] == event["trigger"]}


def test_what_is_not_there_is_refused_with_what_there_is(shared_fleet: TestFleet, moving: dict[str, Any]) -> None:
    clip = next(iter(moving))
    for words, told in {
        ("nobody",): "no vector of image or trajectory or text",
        (clip, "--modality", "smell"): "There are: image, trajectory, text",
        (clip, "--index-version", "99"): "version 1",
    }.items():
        result = CliRunner().invoke(main, ["similar", *words, "--home", str(shared_fleet.home)])
        assert result.exit_code == 2
        assert told in result.stderr
