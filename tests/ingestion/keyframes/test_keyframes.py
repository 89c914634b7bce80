"""Keyframes: which pictures are taken, where they lie, and that they are the redacted ones at the corrected time."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fleet_assets.ingestion.media.glances import COLUMNS, ROWS, cells_of, glances
from fleet_assets.ingestion.media.pictures import Frame, VideoPictures
from fleet_assets.ingestion.media.pixels import jpeg_of
from fleet_assets.ingestion.media.redacted import FramesWriter, RedactedPictures, redacted_writer
from fleet_assets.ingestion.recordings.video.video import VideoRecording
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.operator import (
    EXTRACT_KEYFRAMES,
    NoCameraClockError,
    extract_keyframes,
)
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.selection import KeyframeRules, Selector
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.shards import ShardWriter
from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.digests import file_sha256
from fleet_assets.provenance.objects import ObjectRef
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.bronze import DRIVES, INTEGRITY_FINDINGS
from fleet_assets.tables.schema import PARTITION_COLUMNS, Column, Table
from fleet_assets.tables.silver import CLIPS, CLOCK_MODELS, KEYFRAMES
from resources.objects import LocalObjects
from tests.ingestion.recordings.video_factory import Video, write_video
from tests.memory_lake import MemoryFiles

MS = 1_000_000
START_NS = 1_714_550_400 * 10**9
OFFSET_NS = -70 * MS
"""What the camera's clock model adds: its latency."""
POLICIES = load_policies()
RULES = KeyframeRules.from_policy(POLICIES["keyframes"])
PARTITION = {"drive_id": "a", "day": "2024-05-01", "depot": "north"}
MEDIA = Table(
    ("bronze", "redacted_media"),
    (
        *PARTITION_COLUMNS,
        Column("camera", "string", ""),
        Column("media", "string", ""),
        Column("first_t_ns", "int64", ""),
        Column("sha256", "string", ""),
    ),
    (),
    "As much of the table of redacted media as keyframes read.",
)
REPORT = Table(
    ("bronze", "redaction_report"),
    (*PARTITION_COLUMNS, Column("camera", "string", ""), Column("status", "string", "")),
    (),
    "As much of the report as keyframes read.",
)
AUDITED = Table(
    ("bronze", "audited_media"),
    (*PARTITION_COLUMNS, Column("sha256", "string", ""), Column("released", "bool", "")),
    (),
    "As much of the audit as keyframes read.",
)
EVENTS = Table(
    ("gold", "event_windows"),
    (*PARTITION_COLUMNS, *(Column(name, "int64", "") for name in ("start_ns", "peak_ns", "end_ns"))),
    (),
    "As much of the table of events as keyframes may read.",
)
TABLES = {
    table.name: table
    for table in (DRIVES, MEDIA, REPORT, AUDITED, INTEGRITY_FINDINGS, CLIPS, CLOCK_MODELS, EVENTS, KEYFRAMES)
}


def picture(grey: int, width: int = 64, height: int = 48) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((height, width, 3), grey, np.uint8)


def still(grey: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.full((ROWS, COLUMNS), grey, np.float32)


def chosen(times_ms: Sequence[int], greys: Sequence[int], events_ms: Sequence[int] = ()) -> list[tuple[int, str]]:
    selector = Selector(RULES, 0, np.array([event * MS for event in events_ms], np.int64))
    found = []
    for at, grey in zip(times_ms, greys, strict=True):
        if reason := selector.reason(at * MS, still(grey)):
            found.append((at, reason))
    return found


def test_the_first_picture_of_every_interval_is_taken_and_none_is_taken_twice() -> None:
    times = list(range(0, 5000, 40))
    assert [at for at, _ in chosen(times, [0] * len(times))] == [0, 1000, 2000, 3000, 4000]
    # Pictures that come seldom do not shift the instants of those that follow.
    assert [at for at, _ in chosen([0, 1700, 2010, 2900, 3001], [0] * 5)] == [0, 1700, 2010, 3001]


def test_a_change_of_scene_is_taken_but_not_faster_than_the_least_gap() -> None:
    limit = POLICIES["keyframes"]["scene_change"]["min_distance"]
    times = list(range(0, 1000, 40))
    jump = [0] * 10 + [limit] * 15
    assert chosen(times, jump) == [(0, "interval"), (400, "scene_change")]
    assert chosen(times, [0] * 10 + [limit - 1] * 15) == [(0, "interval")]
    flicker = [255 * (number % 2) for number in range(25)]
    gaps = np.diff([at for at, _ in chosen(times, flicker)])
    assert (gaps >= POLICIES["keyframes"]["scene_change"]["min_gap_ms"]).all()


def test_an_event_takes_the_first_picture_after_it_unless_that_is_too_late() -> None:
    times = list(range(0, 1000, 40))
    assert chosen(times, [0] * 25, events_ms=[410]) == [(0, "interval"), (440, "event")]
    assert chosen(times, [0] * 25, events_ms=[400, 401, 439]) == [(0, "interval"), (400, "event"), (440, "event")]
    late = POLICIES["keyframes"]["events"]["within_ms"]
    assert chosen([0, 100], [0, 0], events_ms=[-late]) == [(0, "event")]
    assert chosen([0, 100], [0, 0], events_ms=[-late - 1]) == [(0, "interval")]


def test_a_picture_that_is_not_later_than_the_one_before_is_never_taken() -> None:
    assert [at for at, _ in chosen([0, 1000, 1000, 500, 2500], [0, 0, 255, 255, 255])] == [0, 1000, 2500]


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (480, 848), (7, 5)])
def test_a_glance_of_any_size_has_the_brightness_of_its_parts(shape: tuple[int, int]) -> None:
    rising = np.tile(np.linspace(0, 250, shape[1]).astype(np.uint8), (shape[0], 1))
    cells = cells_of(rising)
    assert cells.shape == (ROWS, COLUMNS)
    assert (np.diff(cells[0]) >= 0).all()
    assert abs(float(cells.mean()) - float(rising.mean())) < 40


class Drive:
    """A drive's files and tables in memory, with a real object store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = LocalObjects(str(folder / "objects"), ("open",))
        self.files = MemoryFiles()
        self.media: list[dict[str, Any]] = []
        self.findings: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.policies = POLICIES
        self.quarantined: set[str] = set()
        self.exposed: set[str] = set()

    def put(self, path: Path, camera: str, media: str, first_t_ns: int) -> None:
        """Store a file of redacted media."""
        sha256 = self.objects.put(path, "open", ObjectRef(file_sha256(path), path.stat().st_size)).sha256
        row = {"camera": camera, "media": media, "first_t_ns": first_t_ns, "sha256": sha256}
        self.media.append({**PARTITION, **row})

    def frames(self, camera: str, greys: Sequence[int], step_ms: int = 100) -> list[int]:
        """Add single pictures; returns their times."""
        writer = FramesWriter(self.folder / f"{camera}.parquet", POLICIES["media"])
        times = [START_NS - OFFSET_NS + number * step_ms * MS for number in range(len(greys))]
        for number, (t_ns, grey) in enumerate(zip(times, greys, strict=True)):
            writer.add(Frame(number, t_ns, t_ns + OFFSET_NS - 1, picture(grey), None))
        written = writer.close()
        assert written is not None
        self.put(self.folder / f"{camera}.parquet", camera, written.media, written.first_t_ns)
        return times

    def task(self, cameras: Sequence[str]) -> UnitTask:
        """The operator's task; these cameras have a clock model."""
        clock = {"segment": 0, "start_ns": START_NS, "reference_ns": START_NS, "offset_ns": OFFSET_NS, "jump_ns": 0}
        clock |= {"offset_se_ns": None, "drift_ppm": 100.0, "drift_se_ppm": None, "samples": 3, "source": "gnss"}
        clock |= {"skew_ns": None, "skew_se_ns": None}
        clips = [
            {**PARTITION, "clip_id": f"a-{number:04d}", "start_ns": START_NS + number * 2 * 10**9,
             "end_ns": START_NS + (number + 1) * 2 * 10**9}
            for number in range(3)
        ]  # fmt: skip
        report = [
            {**PARTITION, "camera": camera, "status": "quarantined" if camera in self.quarantined else "redacted"}
            for camera in sorted({row["camera"] for row in self.media} - {"unmentioned"})
        ]
        audited = [
            {**PARTITION, "sha256": row["sha256"], "released": row["camera"] not in self.exposed}
            for row in self.media
            if row["camera"] != "unaudited"
        ]
        contents = {
            AUDITED: pa.Table.from_pylist(audited, AUDITED.arrow_schema),
            REPORT: pa.Table.from_pylist(report, REPORT.arrow_schema),
            MEDIA: pa.Table.from_pylist(self.media, MEDIA.arrow_schema),
            INTEGRITY_FINDINGS: pa.Table.from_pylist(self.findings, INTEGRITY_FINDINGS.arrow_schema),
            EVENTS: pa.Table.from_pylist(self.events, EVENTS.arrow_schema),
            CLIPS: CLIPS.from_rows(clips),
            CLOCK_MODELS: CLOCK_MODELS.from_rows([{**PARTITION, "sensor": camera, **clock} for camera in cameras]),
        }
        inputs = {
            table.name: self.files.stage(table.name, ("2024-05-01", "north"), "a", "0" * 16, rows)
            for table, rows in contents.items()
        }
        context: Mapping[str, Any] = {"drive": {**PARTITION, "status": "landed"}, "objects": self.objects}
        return UnitTask("a", ("2024-05-01", "north"), inputs, context, self.policies, TABLES, self.files)

    def keyframes(self, *cameras: str) -> list[dict[str, Any]]:
        """Run the operator."""
        rows: list[dict[str, Any]] = extract_keyframes(self.task(cameras))[KEYFRAMES.name].to_pylist()
        return rows


def test_times_are_those_of_the_camera_s_clock_model_and_lie_in_their_clips(tmp_path: Path) -> None:
    drive = Drive(tmp_path)
    times = drive.frames("front", [50] * 80)
    rows = drive.keyframes("front")
    for row in rows:
        uncorrected = times[row["frame"]]
        # A drift of 100 ppm, from the reference on.
        drift = round((uncorrected - START_NS) / 10_000)
        assert row["t_ns"] == uncorrected + OFFSET_NS + drift
        assert row["stamp_ns"] == uncorrected + OFFSET_NS - 1
        assert row["clip_id"] == f"a-{(row['t_ns'] - START_NS) // (2 * 10**9):04d}"
    assert [row["reason"] for row in rows] == ["interval"] * 6
    # Eight seconds of pictures, six of clips.
    assert rows[-1]["t_ns"] < START_NS + 6 * 10**9


def test_every_row_points_at_the_bytes_of_its_picture_as_it_is_in_the_redacted_media(tmp_path: Path) -> None:
    drive = Drive(tmp_path)
    drive.frames("front", [10 * (number // 5) for number in range(40)])
    drive.frames("rear", [200] * 30)
    rows = drive.keyframes("front", "rear")
    assert {row["camera"] for row in rows} == {"front", "rear"}
    for row in rows:
        assert row["uri"] == f"objects://open/{row['sha256']}"
        shard = pq.read_table(drive.objects.local(row["sha256"], "open")).to_pylist()[row["shard_row"]]
        assert (shard["camera"], shard["t_ns"]) == (row["camera"], row["t_ns"])
        assert hashlib.sha256(shard["jpeg"]).hexdigest() == row["jpeg_sha256"]
        originals = pq.read_table(tmp_path / f"{row['camera']}.parquet").to_pylist()
        assert shard["jpeg"] == next(one["jpeg"] for one in originals if one["frame"] == row["frame"])
        assert Image.open(io.BytesIO(shard["jpeg"])).size == (row["width"], row["height"]) == (64, 48)


def test_frames_of_a_redacted_video_are_taken_at_their_exact_time(tmp_path: Path) -> None:
    video = Video(frames=60, b_frames=2, rate=Fraction(30_000, 1001), timescale=90_000)
    recording = VideoRecording({"a.mp4": write_video(tmp_path / "a.mp4", video)})
    source = VideoPictures(recording.camera_files("video/0")[0], "front", 0, START_NS - OFFSET_NS)
    writer = redacted_writer(source, tmp_path / "b.mp4", POLICIES["media"])
    for frame in source.frames():
        writer.add(frame)
    written = writer.close()
    assert written is not None
    drive = Drive(tmp_path)
    drive.put(tmp_path / "b.mp4", "front", written.media, written.first_t_ns)
    rows = drive.keyframes("front")
    times = {frame.index: frame.t_ns for frame in source.frames()}
    redacted = {
        frame.index: frame.bgr
        for frame in RedactedPictures(tmp_path / "b.mp4", "front", "mp4", written.first_t_ns).frames()
    }
    assert rows
    for row in rows:
        assert row["t_ns"] == times[row["frame"]] + OFFSET_NS + round((times[row["frame"]] - START_NS) / 10_000)
        shard = pq.read_table(drive.objects.local(row["sha256"], "open")).to_pylist()[row["shard_row"]]
        assert shard["jpeg"] == jpeg_of(redacted[row["frame"]], POLICIES["keyframes"]["jpeg_quality"])
    recording.close()


def test_the_instants_of_events_that_the_policy_names_give_keyframes_of_every_camera(tmp_path: Path) -> None:
    drive = Drive(tmp_path)
    drive.frames("front", [50] * 55)
    drive.frames("rear", [50] * 55)
    quiet = {
        camera: [row["frame"] for row in drive.keyframes("front", "rear") if row["camera"] == camera]
        for camera in ("front", "rear")
    }
    assert quiet == dict.fromkeys(("front", "rear"), [0, 10, 20, 30, 40, 50])
    for start_ms, peak_ms, end_ms in ((1210, 2350, 2810), (1210, 3510, 5900)):
        instants = {"start_ns": start_ms, "peak_ns": peak_ms, "end_ns": end_ms}
        drive.events.append({**PARTITION, **{name: START_NS + at * MS for name, at in instants.items()}})
    for named, frames in ((("start_ns", "peak_ns"), [13, 24, 36]), (("peak_ns",), [24, 36]), (("end_ns",), [29])):
        events = {**POLICIES["keyframes"]["events"], "instants": list(named)}
        keyframes = {**POLICIES["keyframes"], "events": events}
        drive.policies = replace(POLICIES, documents={**POLICIES.documents, "keyframes": keyframes})
        rows = drive.keyframes("front", "rear")
        for camera in ("front", "rear"):
            own = [row for row in rows if row["camera"] == camera]
            assert [row["frame"] for row in own if row["reason"] == "event"] == frames
            assert [row["frame"] for row in own if row["reason"] != "event"] == quiet[camera]


def test_a_drive_without_redacted_media_has_no_keyframes_and_nothing_is_stored(tmp_path: Path) -> None:
    drive = Drive(tmp_path)
    assert drive.keyframes() == []
    assert list(drive.objects.digests("open")) == []


def test_media_that_the_report_does_not_vouch_for_or_the_auditor_does_not_let_go_give_no_keyframes(
    tmp_path: Path,
) -> None:
    drive = Drive(tmp_path)
    cameras = ("front", "quarantined", "unmentioned", "exposed", "unaudited")
    for number, camera in enumerate(cameras):
        drive.frames(camera, [50 + number] * 20)
    drive.quarantined, drive.exposed = {"quarantined"}, {"exposed"}
    assert {row["camera"] for row in drive.keyframes(*cameras)} == {"front"}


def test_no_picture_is_taken_from_a_stretch_that_is_cut_from_the_camera(tmp_path: Path) -> None:
    drive = Drive(tmp_path)
    times = drive.frames("front", [50] * 55)
    cut = {"severity": "cut", "signal": None, "t_ns": times[10], "end_ns": times[25]}
    drive.findings = [
        {**PARTITION, **cut, "sensor": "front"},
        {**PARTITION, **cut, "sensor": "rear", "end_ns": times[50]},
        {**PARTITION, **cut, "sensor": "front", "severity": "note", "end_ns": times[50]},
        {**PARTITION, **cut, "sensor": "front", "signal": "speed", "end_ns": times[50]},
    ]
    assert [row["frame"] for row in drive.keyframes("front")] == [0, 26, 30, 40, 50]


def test_a_camera_without_a_clock_is_named_and_not_left_uncorrected(tmp_path: Path) -> None:
    drive = Drive(tmp_path)
    drive.frames("front", [9] * 5)
    with pytest.raises(NoCameraClockError, match=r"drive a: camera front .*clock_models"):
        drive.keyframes("rear")


def test_the_same_media_give_the_same_rows_and_objects(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        drive = Drive(tmp_path / name)
        drive.frames("front", [number * 7 % 256 for number in range(50)])
        found.append((drive.keyframes("front"), sorted(ref.sha256 for ref in drive.objects.digests("open"))))
    assert found[0] == found[1]


def test_shards_stay_below_their_size_and_say_where_each_picture_is(tmp_path: Path) -> None:
    stored: dict[str, list[dict[str, Any]]] = {}

    def store(path: Path) -> str:
        digest = file_sha256(path)
        stored[digest] = pq.read_table(path).to_pylist()
        return digest

    writer = ShardWriter(tmp_path, 1000, store)
    pictures = [bytes([number]) * size for number, size in enumerate([300, 400, 500, 1500, 100, 900, 1, 999])]
    for number, data in enumerate(pictures):
        assert writer.add("front", number, data, (4, 3)) == hashlib.sha256(data).hexdigest()
    writer.close()
    assert [len(rows) for rows in stored.values()] == [2, 1, 1, 2, 2]
    for data, (digest, row) in zip(pictures, writer.places, strict=True):
        assert stored[digest][row]["jpeg"] == data
    assert list(tmp_path.iterdir()) == []


def test_only_objects_that_every_area_may_open_are_opened(tmp_path: Path) -> None:
    assert Drive(tmp_path).objects.granted == ("open",)
    assert "bronze.drive_files" not in EXTRACT_KEYFRAMES.inputs


def test_glances_of_single_pictures_and_of_video_see_the_same_brightness(tmp_path: Path) -> None:
    drive = Drive(tmp_path)
    drive.frames("front", [10, 90, 200])
    (row,) = drive.media
    seen = list(glances(drive.objects.local(row["sha256"], "open"), "frames", row["first_t_ns"], 90))
    assert [round(float(one.cells.mean())) for one in seen] == pytest.approx([10, 90, 200], abs=2)
    assert replace(seen[0]).index == 0
