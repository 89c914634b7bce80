"""The auditor: what it looks at, what it asks about, what it calls an exposure, and who may open the media then."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.clearness import clearness
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.looks import Auditor
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.operators import AUDIT, RELEASE, audit, released_media
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.sampling import (
    SampleRule,
    ends_of_tracks,
    even_sample,
    sampled,
)
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.views import view_of
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.cover import CoverRule, covered
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.plan import Area
from fleet_assets.ingestion.media.pictures import Frame
from fleet_assets.ingestion.media.redacted import FramesWriter
from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.digests import file_sha256
from fleet_assets.provenance.ledger import Entry
from fleet_assets.provenance.objects import ObjectRef
from fleet_assets.provenance.requests import Request
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables import all_tables
from fleet_assets.tables.audit import AUDITED_MEDIA, REDACTION_AUDIT
from fleet_assets.tables.redaction import REDACTED_MEDIA, REDACTION_BOXES, REDACTION_REPORT
from resources.data_files import DataFiles
from resources.objects import LocalObjects
from resources.weights import WeightStore
from tests.photo_factory import portrait

POLICIES = load_policies()
TABLES = all_tables(POLICIES["canonical_signals"])
KEYS = {"drive_id": "d", "day": "2024-05-01", "depot": "north"}
FACE = (40, 40, 160, 199)
"""Where the portrait lies in a picture."""


@pytest.fixture(scope="module")
def weights() -> WeightStore:
    return WeightStore(POLICIES)


@pytest.fixture(scope="module")
def auditor(weights: WeightStore) -> Auditor:
    return Auditor(POLICIES["audit"], weights)


def picture(*, face: bool = True) -> NDArray[np.uint8]:
    shown = np.full((240, 320, 3), 150, dtype=np.uint8)
    if face:
        left, top, right, bottom = FACE
        shown[top:bottom, left:right] = cv2.resize(portrait(), (right - left, bottom - top))
    return shown


def hidden() -> NDArray[np.uint8]:
    area = Area("face", 0, *FACE, detected=True, score=0.9)
    return covered(picture(), [area], CoverRule.from_policy(POLICIES["redaction"]))


def test_a_face_is_an_exposure_and_the_same_face_covered_is_none(auditor: Auditor) -> None:
    hits = [hit for hit in auditor(picture()) if hit.confirmed]
    assert [hit.kind for hit in hits] == ["face"]
    middle = (hits[0].box[:2] + hits[0].box[2:]) / 2
    assert FACE[0] < middle[0] < FACE[2]
    assert FACE[1] < middle[1] < FACE[3]
    assert "on a person" in hits[0].why
    assert not any(hit.confirmed for hit in auditor(hidden()))


def test_a_covered_area_shows_no_detail_and_a_jpeg_of_it_hardly_more(auditor: Auditor) -> None:
    box = np.array(FACE, dtype=np.float32)
    _, data = cv2.imencode(".jpg", hidden(), [cv2.IMWRITE_JPEG_QUALITY, 92])
    again = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    limit = POLICIES["audit"]["detectors"][0]["least_clearness"]
    assert max(clearness(hidden(), box), clearness(again, box)) < limit / 4 < limit < clearness(picture(), box)


def test_clearness_is_the_mean_second_derivative() -> None:
    y, x = np.mgrid[0:40, 0:60].astype(np.float64)
    bowl = (x * x / 20 + y * y / 40).astype(np.uint8)
    flat = np.repeat(np.full((40, 60), 90, np.uint8)[:, :, None], 3, axis=2)
    noise = np.random.default_rng(1).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    box = np.array([0, 0, 60, 40], dtype=np.float32)
    assert clearness(flat, box) == 0.0
    assert clearness(np.repeat(bowl[:, :, None], 3, axis=2), box) < 2
    assert clearness(noise, box) > 50
    assert clearness(noise, np.array([59, 39, 60, 40], dtype=np.float32)) >= 0.0


def test_a_view_shows_the_hit_where_it_says_it_does() -> None:
    shown = np.zeros((100, 100, 3), dtype=np.uint8)
    cv2.circle(shown, (50, 60), 3, (255, 255, 255), -1)
    seen, middle = view_of(
        shown, np.array([40, 50, 60, 70], dtype=np.float32), {"width_px": 80, "right": 0.1, "down": -0.2}
    )
    y, x = np.argwhere(seen[:, :, 0] > 128).mean(axis=0)
    assert np.allclose([x, y], middle, atol=3)


def test_the_even_sample_is_even_and_any_picture_may_be_in_it() -> None:
    numbers = list(range(5, 605))
    chosen = even_sample(numbers, 12, "some digest")
    assert len(chosen) == 12
    assert set(np.diff(chosen)) <= {50}
    assert even_sample(numbers[:7], 12, "") == numbers[:7]
    ever = {one for key in range(400) for one in even_sample(numbers, 12, str(key))}
    assert len(ever) > 590


def test_pictures_beside_the_ends_of_tracks_are_in_the_sample() -> None:
    boxes = [{"kind": "face", "track": 0, "frame": frame} for frame in range(100, 140)]
    ends = ends_of_tracks(boxes)
    assert ends == {("face", 0): (100, 139)}
    chosen = sampled(list(range(1000)), ends, SampleRule(2, 8), "x")
    assert {99, 140} <= set(chosen)
    assert len(chosen) == 4
    assert {99, 140}.isdisjoint(sampled(list(range(100, 140)), ends, SampleRule(2, 8), "x"))


class Bench:
    """One drive's media and the operator on it."""

    def __init__(self, folder: Path, weights: WeightStore, shown: Sequence[NDArray[np.uint8]]) -> None:
        self.folder, self.weights = folder, weights
        self.objects = LocalObjects(str(folder / "objects"), ("raw", "open"))
        self.later = LocalObjects(str(folder / "objects"), ("open",))
        path = folder / "media.parquet"
        writer = FramesWriter(path, POLICIES["media"])
        for number, bgr in enumerate(shown):
            writer.add(Frame(number, number * 100, None, bgr, None), bgr)
        written = writer.close()
        assert written is not None
        self.sha256, size = file_sha256(path), path.stat().st_size
        self.objects.put(path, "raw", ObjectRef(self.sha256, size))
        facts = {name: getattr(written, name) for name in ("media", "codec", "width", "height", "frames")}
        facts |= {"first_t_ns": written.first_t_ns, "last_t_ns": written.last_t_ns, "source_frames": written.frames}
        media = {**KEYS, "camera": "front", "part": 0, **facts, "blurred_frames": 0, "blurred_share": 0.0,
                 "bytes": size, "sha256": self.sha256, "uri": f"objects://open/{self.sha256}"}  # fmt: skip
        report = {**KEYS, "camera": "front", "status": "redacted", "source_frames": 3, "frames": 3, "undecodable": 0,
                  "searched_frames": 1, "boxes": 0, "boxes_by_kind": "{}", "blurred_share": 0.0, "detectors": "{}",
                  "policy_digest": "p", "report_sha256": "r"}  # fmt: skip
        self.files = DataFiles({})
        tables = {
            REDACTED_MEDIA: REDACTED_MEDIA.from_rows([media]),
            REDACTION_REPORT: REDACTION_REPORT.from_rows([report]),
            REDACTION_BOXES: REDACTION_BOXES.empty(),
        }
        self.entries: Mapping[str, Entry] = {
            table.name: self.files.stage(str(folder / table.name), (), "d", "f" * 24, data)
            for table, data in tables.items()
        }
        self.media = tables[REDACTED_MEDIA]

    def run(self, requests: Sequence[Request] = ()) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of hits and of files."""
        context = {"drive": KEYS, "requests": list(requests), "objects": self.objects, "weights": self.weights}
        task = UnitTask("d", ("2024-05-01", "north"), self.entries, context, POLICIES, TABLES, self.files)
        made: Mapping[str, pa.Table] = audit(task)
        assert set(made) == set(AUDIT.outputs)
        return made[REDACTION_AUDIT.name].to_pylist(), made[AUDITED_MEDIA.name].to_pylist()


def test_clean_media_become_open_and_unconfirmed_hits_have_crops_that_do_not(
    tmp_path: Path, weights: WeightStore
) -> None:
    bench = Bench(tmp_path, weights, [hidden(), picture(face=False), hidden()])
    assert not bench.later.exists(bench.sha256, "open")
    hits, (file,) = bench.run()
    assert (file["looked_at"], file["exposures"], file["released"]) == (3, 0, True)
    assert file["hits"] == len(hits)
    assert hashlib.sha256(bench.later.local(bench.sha256, "open").read_bytes()).hexdigest() == bench.sha256
    for hit in hits:
        assert not hit["confirmed"]
        assert hit["why"]
        assert cv2.imread(str(bench.objects.local(hit["crop_sha256"], "raw"))) is not None
        assert not bench.later.exists(hit["crop_sha256"], "open")


def test_exposed_media_are_closed_until_a_person_has_judged_every_crop(tmp_path: Path, weights: WeightStore) -> None:
    bench = Bench(tmp_path, weights, [hidden(), picture(), hidden()])
    hits, (file,) = bench.run()
    exposed = [hit for hit in hits if hit["confirmed"]]
    assert [hit["frame"] for hit in exposed] == [1]
    assert (file["exposures"], file["released"]) == (1, False)
    assert not bench.later.exists(bench.sha256, "open")
    body = {"drive_id": "d", "crop_sha256": exposed[0]["crop_sha256"], "by": "ana", "reason": "a statue"}
    hits, (file,) = bench.run([Request(RELEASE, body, "person:ana")])
    assert (file["exposures"], file["released"]) == (0, True)
    assert bench.later.exists(bench.sha256, "open")
    assert [hit["released_by"] for hit in hits if hit["confirmed"]] == ["ana: a statue"]
    assert released_media(bench.media, AUDITED_MEDIA.from_rows([file])).num_rows == 1


def test_media_are_taken_back_when_a_later_audit_sees_what_an_earlier_one_did_not(
    tmp_path: Path, weights: WeightStore
) -> None:
    bench = Bench(tmp_path, weights, [picture()])
    size = bench.objects.local(bench.sha256, "raw").stat().st_size
    bench.objects.put(bench.objects.local(bench.sha256, "raw"), "open", ObjectRef(bench.sha256, size))
    _, (file,) = bench.run()
    assert not file["released"]
    assert not bench.later.exists(bench.sha256, "open")
    assert released_media(bench.media, AUDITED_MEDIA.from_rows([file])).num_rows == 0


def test_the_same_media_give_the_same_rows(tmp_path: Path, weights: WeightStore) -> None:
    bench = Bench(tmp_path, weights, [picture(), hidden()])
    assert bench.run() == bench.run()
    assert pq.read_metadata(bench.objects.local(bench.sha256, "raw")).num_rows == 2
