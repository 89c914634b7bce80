"""Redaction of real pictures through the whole path: `fleet ingest`, ticks, redaction, audit.

Here belongs one recording of the shared sample data: what redaction covered in it, what the auditor saw afterwards, and
whether pictures and their times are still there. No picture of it is kept.
"""

import shutil
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from click.testing import CliRunner

from benchmarks.measure import ROOT
from fleet_assets.cli import main as fleet_command
from resources.platform import Fleet
from resources.sql import query

DATA: Final = ROOT.parent / "shared" / "data"
_SIGNS: Final = DATA / "road_sign_detection_cc0" / "sample"
_VIDEOS: Final = DATA / "driving_videos" / "sample"
_START: Final = "2024-05-01T08:00:00Z"
_VIDEOS_FROM: Final = "2016-08-01"
_DEPOT: Final = "north"
_HELD: Final = "raw"
"""Class of redacted media until the auditor lets them go; they stay in it."""
PARTS: Final = 8
"""Parts that the photos are studied in, each a drive: a second apart, none is tracked into the next."""
TUNING_BLOCK: Final = 10
"""Photos of every second block of so many were looked at when the policy was set."""


@dataclass(frozen=True, slots=True)
class Source:
    """A recording: where it lies, its vehicle spec, its labels, if it has any, and which part of its files it is.

    A recording that states its own day needs a fleet that began before it.
    """

    path: Path
    spec: str
    labels: Path | None = None
    part: int | None = None
    first_day: str = _START[:10]

    def files(self) -> list[Path]:
        """Its pictures in order, of a folder of pictures."""
        paths = sorted(self.path.iterdir())
        if self.part is None:
            return paths
        first, last = (len(paths) * number // PARTS for number in (self.part, self.part + 1))
        return paths[first:last]

    def laid_out(self, folder: Path) -> Path:
        """What is ingested: the recording itself, or a folder with its part of the files."""
        if self.part is None:
            return self.path
        target = folder / "part"
        target.mkdir()
        for path in self.files():
            shutil.copyfile(path, target / path.name)
        return target


SOURCES: Final[Mapping[str, Source]] = {
    **{f"signs_{part}": Source(_SIGNS / "images", "photos", _SIGNS / "annotations", part) for part in range(PARTS)},
    "stills": Source(_VIDEOS / "carnd_lanelines_stills", "photos"),
    "dash_video": Source(_VIDEOS / "solidWhiteRight.mp4", "dashcam", first_day=_VIDEOS_FROM),
    "gopro_video": Source(_VIDEOS / "gopro_max_heromode_gpmf.mp4", "gopro", first_day=_VIDEOS_FROM),
}


def study_source(name: str) -> dict[str, Any]:
    """What became of one recording."""
    source = SOURCES[name]
    with tempfile.TemporaryDirectory(prefix="redaction-study-") as folder:
        home = Path(folder) / "home"
        _run("depot", "add", _DEPOT, "--first-day", source.first_day, "--home", str(home))
        given = ["--vehicle", source.spec, "--depot", _DEPOT, "--drive-id", name, "--start", _START]
        _run("ingest", str(source.laid_out(Path(folder))), *given, "--home", str(home))
        fleet = Fleet(home=str(home), granted=["raw", "open"])
        (media,) = query(fleet, "select * from bronze.redacted_media")
        boxes = query(fleet, "select frame, x_px, y_px, width_px, height_px, kind from bronze.redaction_boxes")
        hits = query(
            fleet, "select frame, detector, kind, score, confirmed, why, crop_sha256 from bronze.redaction_audit"
        )
        (audited,) = query(fleet, "select looked_at, released, exposures from bronze.audited_media")
        found = {
            "name": name,
            "frames": media["frames"],
            "source_frames": media["source_frames"],
            "width": media["width"],
            "height": media["height"],
            "blurred_share": media["blurred_share"],
            "blurred_by_frame": _by_frame(boxes, (media["width"], media["height"])),
            "boxes": len(boxes),
            "audited": audited,
            "hits": hits,
        }
        if source.labels is not None:
            found["signs"] = _signs(source, source.labels, boxes)
        if media["media"] == "mp4":
            found["timing"] = _timing(source.path, fleet.objects.local(media["sha256"], _HELD))
    return found


def _run(*arguments: str) -> None:
    result = CliRunner().invoke(fleet_command, list(arguments))
    # A gate that holds something back is a result of the study, not an error of it.
    if result.exit_code not in {0, 1}:
        raise RuntimeError(f"fleet {' '.join(arguments)}: {result.output}")


def _mask(boxes: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    mask = np.zeros((size[1], size[0]), np.bool_)
    for box in boxes:
        mask[box["y_px"] : box["y_px"] + box["height_px"], box["x_px"] : box["x_px"] + box["width_px"]] = True
    return mask


def _by_frame(boxes: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> dict[str, float]:
    """Covered share of the pictures that have any."""
    frames = sorted({box["frame"] for box in boxes})
    return {
        str(frame): round(float(_mask([box for box in boxes if box["frame"] == frame], size).mean()), 5)
        for frame in frames
    }


def _signs(source: Source, labels: Path, boxes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Area of the labelled signs of each photo, and how much of it is covered, in pixels."""
    rows = []
    for number, path in enumerate(source.files()):
        label = ET.parse(labels / f"{path.stem}.xml").getroot()  # noqa: S314 - a file of the shared data
        size = (int(label.findtext("size/width", "0")), int(label.findtext("size/height", "0")))
        covered = _mask([box for box in boxes if box["frame"] == number], size)
        signs = np.zeros_like(covered)
        for box in label.iter("bndbox"):
            left, top, right, bottom = (int(box.findtext(name, "0")) for name in ("xmin", "ymin", "xmax", "ymax"))
            signs[top:bottom, left:right] = True
        index = int(path.stem.removeprefix("road"))
        tuned = index // TUNING_BLOCK % 2 == 0
        rows.append({"photo": path.stem, "area": int(signs.sum()), "hit": int((signs & covered).sum()), "tuned": tuned})
    return rows


def _timing(original: Path, redacted: Path) -> dict[str, Any]:
    """Frames of both videos, and the largest difference between their times, by PyAV."""
    before, after = _times_s(original), _times_s(redacted)
    same = len(before) == len(after)
    return {
        "frames": [len(before), len(after)],
        "largest_difference_s": float(np.abs(before - after).max()) if same else None,
    }


def _times_s(path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = sorted(
            float(packet.pts * (stream.time_base or 0)) for packet in container.demux(stream) if packet.pts is not None
        )
    return np.array(times) - times[0]
