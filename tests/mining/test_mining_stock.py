"""What a mining request reads of the lake: vectors of one model, exact in blocks; sizes, pictures, contact sheets."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fleet_assets.mining.scenario_mining.previews import contact_sheet
from fleet_assets.mining.scenario_mining.stock import (
    Keyframes,
    LakeVectors,
    Reading,
    joined_rows,
    media_bytes,
    picture_in,
    relations,
    sentence_cosines,
)
from fleet_assets.mining.scenario_mining.vectors import fit_embedding
from fleet_assets.perception.image_digests import perceptual_digest
from fleet_assets.perception.vectors import drive_root, vector_sha256
from fleet_assets.tables.embeddings import CLIP_EMBEDDINGS
from fleet_assets.tables.redaction import REDACTED_MEDIA
from fleet_assets.tables.silver import KEYFRAMES
from tests.asset_checks.gate_fleet import TABLES
from tests.mining.mining_fleet import MiningFleet
from tests.mining.stocks import POLICY, directions


def reading(fleet: MiningFleet, *names: str) -> Reading:
    return Reading({name: fleet.lake.entries(fleet.tables[name]) for name in names}, fleet.tables, fleet.lake.files)


def embedded(drive: str, rows: Any, modality: str = "text", model: str = "0") -> list[dict[str, Any]]:
    return [
        {
            "clip_id": f"{drive}-{number:04}",
            "start_ns": number,
            "end_ns": number + 1,
            "modality": modality,
            "model": "m",
            "model_digest": model * 64,
            "items": 1,
            "vector": row.tolist(),
            "vector_sha256": vector_sha256(row),
        }
        for number, row in enumerate(rows)
    ]


@pytest.fixture
def fleet() -> MiningFleet:
    """Three drives: one with both modalities, one with text alone, one with text of an older model."""
    fleet, rows = MiningFleet(), directions(12, 1, 6)
    both = embedded("a", rows[:5]) + embedded("a", directions(5, 2, 4), "trajectory", "2")
    fleet.put_rows(CLIP_EMBEDDINGS, "a", both)
    fleet.put_rows(CLIP_EMBEDDINGS, "b", embedded("b", rows[5:9]))
    fleet.put_rows(CLIP_EMBEDDINGS, "c", embedded("c", rows[9:], model="1"))
    return fleet


def test_vectors_of_the_model_that_most_clips_have_are_compared_and_make_the_index_version(fleet: MiningFleet) -> None:
    source = LakeVectors(reading(fleet, CLIP_EMBEDDINGS.name), ["text", "trajectory"])
    assert source.models == {"text": "0" * 64, "trajectory": "2" * 64}
    rows = fleet.lake.rows(CLIP_EMBEDDINGS).to_pylist()
    used = [row for row in rows if row["model_digest"] != "1" * 64]
    assert len(used) == 14
    assert source.version == drive_root((row["clip_id"], row["model_digest"], row["vector_sha256"]) for row in used)


def test_vectors_read_in_blocks_of_any_size_are_the_same(fleet: MiningFleet, tmp_path: Path) -> None:
    source = LakeVectors(reading(fleet, CLIP_EMBEDDINGS.name), ["text", "trajectory"])
    clips = [f"{drive}-{number:04}" for drive, count in (("a", 5), ("b", 4), ("c", 3)) for number in range(count)]
    found = []
    for block in (1, 5, 100):
        weights = {"text": 1.0, "trajectory": 1.0}
        embedding = fit_embedding(source, weights, 3, normalise=True, sample=100, block=block)
        found.append(joined_rows(source, embedding, clips, block=block, folder=tmp_path))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    assert np.abs(found[0][:9]).max(axis=1).min() > 0.0
    assert not found[0][9:].any()  # of the other model


def test_a_sentence_is_compared_with_the_texts_as_the_model_gave_them(fleet: MiningFleet) -> None:
    source = LakeVectors(reading(fleet, CLIP_EMBEDDINGS.name), ["text"])
    rows = directions(12, 1, 6)
    sentence = rows[2] * 7.0
    found = sentence_cosines(source, "text", sentence, ["a-0002", "b-0000", "c-0000"], block=4)
    assert found[:2] == pytest.approx([1.0, float(rows[2] @ rows[5])], abs=1e-6)
    assert np.isnan(found[2])


def test_relations_that_no_predicate_mentions_are_not_read() -> None:
    fleet = MiningFleet().add_drive("b", 3).add_drive("a", 2)
    names = POLICY["relations"]
    whole = reading(fleet, *{table for own in names.values() for table in own})
    found = relations(whole, names, ["exists (select 1 from Scenes)"], ("clips", "events"))
    assert found["clips"]["clip_id"].to_pylist() == ["a-0000", "a-0001", "b-0000", "b-0001", "b-0002"]
    assert found["scenes"].num_rows == 5
    assert found["coverage"].num_rows == 0
    assert {"road_class", "tags"} <= set(found["clips"].column_names)


def test_a_clip_has_the_bytes_of_the_media_that_its_time_overlaps() -> None:
    clips = pa.table({"drive_id": ["a", "a", "b"], "start_ns": [0, 100, 0], "end_ns": [100, 200, 100]})
    plain = {"string": "x", "int64": 1, "int32": 1, "float64": 0.0}
    row = {column.name: plain[column.type] for column in REDACTED_MEDIA.columns}
    row |= {"drive_id": "a", "media": "mp4", "codec": "h264", "first_t_ns": 0}
    media = [
        {**row, "part": 0, "last_t_ns": 149, "bytes": 1500},
        {**row, "part": 1, "last_t_ns": 99, "bytes": 10},
    ]
    assert media_bytes(clips, REDACTED_MEDIA.from_rows(media)).tolist() == [1010.0, 500.0, 0.0]


class Shards:
    """A store with one object."""

    def __init__(self, path: Path) -> None:
        self.path, self.asked = path, set[str]()

    def local(self, sha256: str, access: str) -> Path:
        """See `ObjectStore.local`."""
        self.asked.add(access)
        assert sha256 == "shard"
        return self.path


def test_the_picture_of_a_clip_is_the_middle_one_of_its_first_camera_read_as_class_open(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(5)]
    jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
    path = tmp_path / "shard.parquet"
    pq.write_table(pa.table({"jpeg": jpegs}), path, row_group_size=2)
    assert [picture_in(path, row) for row in range(5)] == jpegs
    with pytest.raises(IndexError, match="no picture 5"):
        picture_in(path, 5)
    fleet = MiningFleet()
    fleet.put_rows(
        KEYFRAMES,
        "a",
        [
            {"clip_id": "a-0000", "camera": camera, "t_ns": t_ns, "sha256": "shard", "shard_row": row}
            for camera, t_ns, row in (("front", 3, 0), ("front", 1, 1), ("front", 2, 2), ("back", 9, 4))
        ],
    )
    store = Shards(path)
    frames = Keyframes(reading(fleet, KEYFRAMES.name), store)  # type: ignore[arg-type] # a hand-written twin
    assert frames.jpeg("a-0000") == jpegs[4]
    assert frames.jpeg("nobody") is None
    assert frames.digest("nobody") is None
    decoded = cv2.imdecode(np.frombuffer(jpegs[4], dtype=np.uint8), cv2.IMREAD_COLOR)
    assert frames.digest("a-0000") == perceptual_digest(decoded)
    assert store.asked == {"open"}


def test_a_contact_sheet_shows_each_clip_of_a_list_with_and_without_picture() -> None:
    bright = cv2.imencode(".jpg", np.full((30, 40, 3), 200, dtype=np.uint8))[1].tobytes()
    rows = [{"clip_id": f"c{n}", "rank": n + 1, "reasons": "worth it · stands for 3"} for n in range(8)]
    policy = {"clips": 7, "columns": 3, "width_px": 60}
    sheet = contact_sheet(rows, {"c0": bright}.get, policy)
    assert sheet is not None
    picture = cv2.imdecode(np.frombuffer(sheet, dtype=np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (3 * (36 + 42), 180, 3)
    assert abs(int(picture[10, 10, 0]) - 200) < 5
    assert int(picture[10, 70, 0]) == 40
    assert contact_sheet([], {}.get, policy) is None
    assert TABLES["gold.candidate_sets"].sort_by == ("request_id", "rank")
