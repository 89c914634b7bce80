"""Drives from the landing zone to vectors, their index and `fleet similar`, by real ticks."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fleet_assets.cli import main
from fleet_assets.mining.embeddings_and_vector_index.similar import similar_to_clip
from fleet_assets.perception.vectors import cosines, vector_sha256
from fleet_assets.provenance.ledger import root
from fleet_assets.tables.embeddings import VECTOR_INDEX
from tests.harness import TestFleet, utc_ns
from tests.photo_factory import SPEC, write_photo_drive
from tests.recordings_factory import write_comma2k19_drive

pytestmark = pytest.mark.slow
SEEDS = {"c1": 1, "c2": 2, "c3": 1}
"""c3 is c1 again, a day later."""
STARTS = {"c1": "2024-05-01T08:00:00", "c2": "2024-05-01T09:00:00", "c3": "2024-05-02T08:00:00"}
PHOTOS = {"p1": 0, "p2": 1}


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """Three drives that move and two that took pictures; to be read only."""
    folder = tmp_path_factory.mktemp("driven")
    fleet = TestFleet(folder / "home", first_day="2024-04-30", today="2024-05-04")
    for name, seed in SEEDS.items():
        write_comma2k19_drive(folder / name, start_utc_ns=utc_ns(STARTS[name]), seconds=45, seed=seed)
        fleet.upload(folder / name, drive_id=name)
    for name, seed in PHOTOS.items():
        start = utc_ns(f"2024-05-01T1{seed}:00:00")
        write_photo_drive(folder / name, start_utc_ns=start, pictures=12, seed=5 * seed)
        fleet.upload(folder / name, spec=SPEC, drive_id=name)
    fleet.turn()
    return fleet


def vectors(fleet: TestFleet, modality: str) -> dict[str, Any]:
    rows = fleet.sql("select clip_id, modality, vector from gold.clip_embeddings order by clip_id")
    return {row["clip_id"]: np.array(row["vector"], np.float32) for row in rows if row["modality"] == modality}


def asked(fleet: TestFleet, *words: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["similar", *words, "--home", str(fleet.home), "--json"])
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_every_clip_has_a_vector_of_every_modality_or_a_reason_why_not(driven: TestFleet) -> None:
    clips = {row["clip_id"] for row in driven.sql("select clip_id from silver.clip_catalog")}
    assert len(clips) >= 9
    rows = driven.sql("select * from gold.clip_embeddings")
    missing = driven.sql("select * from gold.missing_embeddings")
    for modality in ("image", "text", "trajectory"):
        there = {row["clip_id"] for row in rows if row["modality"] == modality}
        absent = {row["clip_id"] for row in missing if row["modality"] == modality}
        assert there | absent == clips
        assert not there & absent
    filmed = {row["clip_id"] for row in driven.sql("select clip_id from silver.keyframes")}
    assert {row["clip_id"] for row in rows if row["modality"] == "image"} == filmed
    assert {row["reason"] for row in missing if row["modality"] == "image"} == {"no_picture"}
    assert all(row["vector_sha256"] == vector_sha256(row["vector"]) for row in rows)
    assert {len(row["vector"]) for row in rows if row["modality"] != "trajectory"} == {1280, 384}
    gates = {(asset, gate): outcome for (asset, gate, _), outcome in driven.gates().items()}
    for gate in (
        ("gold/vector_index", "recall"),
        ("gold/vector_index", "duplicates"),
        ("gold/clip_embeddings", "drift"),
    ):
        assert gates[gate] == "pass", gate


def test_the_same_course_on_another_day_is_the_nearest_and_the_order_is_the_exact_one(driven: TestFleet) -> None:
    held = vectors(driven, "trajectory")
    clip = next(name for name in held if name.startswith("c1"))
    answer = asked(driven, clip, "--modality", "trajectory", "-k", "5")
    others = [name for name in held if name != clip]
    likeness = cosines(held[clip][None], np.array([held[name] for name in others]))[0]
    order = sorted(zip(others, likeness.tolist(), strict=True), key=lambda one: (-round(one[1], 6), one[0]))[:5]
    assert [row["clip_id"] for row in answer["results"]] == [name for name, _ in order]
    assert answer["results"][0]["drive_id"] == "c3"
    assert answer["results"][0]["cosine"] > 0.999
    assert answer["index"]["clips"] == len(held)


def test_pictures_and_words_find_clips_too_and_the_page_shows_redacted_pictures(
    driven: TestFleet, tmp_path: Path
) -> None:
    clip = next(iter(vectors(driven, "image")))
    sheet = tmp_path / "more.html"
    answer = asked(driven, clip, "--html", str(sheet))
    assert answer["modality"] == "image"
    text = sheet.read_text()
    assert text.count("<article") == 1 + len(answer["results"])
    assert "data:image/jpeg;base64," in text
    assert clip in text
    said = asked(driven, "--words", "a car that stands still in daylight", "-k", "3")
    assert said["modality"] == "text"
    assert len(said["results"]) == 3


def test_an_unknown_clip_modality_or_version_says_what_there_is(driven: TestFleet, tmp_path: Path) -> None:
    clip = next(iter(vectors(driven, "trajectory")))
    cases = {
        ("nobody",): "no vector of image or trajectory or text",
        (clip, "--modality", "image"): "gold.missing_embeddings",
        (clip, "--modality", "smell"): "There are: image, trajectory, text",
        (clip, "--index-version", "99"): "version 1",
        (clip, "--model", "none"): "trajectory by motion_with_extremes",
    }
    for words, told in cases.items():
        result = CliRunner().invoke(main, ["similar", *words, "--home", str(driven.home)])
        assert result.exit_code == 2
        assert told in result.stderr
    empty = CliRunner().invoke(main, ["similar", "x", "--home", str(tmp_path / "new")])
    assert empty.exit_code == 2
    assert "no vector index yet" in empty.stderr


def test_a_lost_index_is_made_again_with_the_same_roots(driven: TestFleet) -> None:
    before = {state.space: (state.root, state.clips) for state in driven.fleet.vectors.versions()}
    entries = driven.fleet.lake.entries(VECTOR_INDEX)
    shutil.rmtree(driven.home / "vectors")
    driven.turn()
    after = {state.space: (state.root, state.clips) for state in driven.fleet.vectors.versions()}
    assert after == before
    assert root(driven.fleet.lake.entries(VECTOR_INDEX)[:1]) == root(entries[:1])
    clip = next(iter(vectors(driven, "trajectory")))
    assert similar_to_clip(driven.fleet.vectors, driven.fleet.policies["embeddings"], clip, 3).neighbours
