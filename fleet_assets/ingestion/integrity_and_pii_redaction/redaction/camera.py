"""One camera's pictures, searched and covered: recorded pictures in, files of redacted media and their boxes out.

Here belong the two passes over the pictures: the first one searches, the second one covers and writes. What cannot be
looked at is left out and counted; what breaks a limit gives no media at all.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.cover import CoverRule, blurred_pixels, covered
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.finders import Finders
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.plan import Area, PlanRule, plan_boxes
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.search import Found, Search, SearchRule, Stretch
from fleet_assets.ingestion.media.pictures import TopicPictures, VideoPictures
from fleet_assets.ingestion.media.redacted import Written, redacted_writer
from fleet_assets.perception.tracking import unpaired

Source = TopicPictures | VideoPictures


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit that a camera's media break, so that there are none.

    Attributes:
        rule: Rule of the document `redaction`.
        value: What was found.
        limit: What the rule allows.
        remedy: What to do next.
    """

    rule: str
    value: str
    limit: str
    remedy: str


@dataclass(frozen=True, slots=True)
class BoxRow:
    """An area in a picture of a file."""

    part: int
    frame: int
    t_ns: int
    area: Area


@dataclass(frozen=True, slots=True)
class RedactedFile:
    """One file of redacted media.

    Attributes:
        part: Which of the camera's files.
        path: Where it was written.
        written: What it holds.
        source_frames: Pictures that were recorded.
        blurred_frames: Pictures in which something is covered.
        pixels: Pixels of all pictures.
        blurred: Those of them that are covered.
    """

    part: int
    path: Path
    written: Written
    source_frames: int
    blurred_frames: int
    pixels: int
    blurred: int


@dataclass(slots=True)
class CameraResult:
    """What a camera's pictures gave.

    Attributes:
        camera: Sensor of the vehicle spec.
        files: Its redacted media; none where a limit is broken.
        boxes: What is covered in them.
        searched: Pictures that detectors looked at.
        source_frames: Pictures that were recorded.
        undecodable: Pictures that nobody can look at, by reason.
        broken: The limit that is broken, if any.
    """

    camera: str
    files: list[RedactedFile] = field(default_factory=list)
    boxes: list[BoxRow] = field(default_factory=list)
    searched: int = 0
    source_frames: int = 0
    undecodable: Counter[str] = field(default_factory=Counter)
    broken: Broken | None = None

    @property
    def frames(self) -> int:
        """Pictures in the redacted media."""
        return sum(file.written.frames for file in self.files)

    @property
    def blurred_share(self) -> float:
        """Share of all pixels that is covered."""
        pixels = sum(file.pixels for file in self.files)
        return sum(file.blurred for file in self.files) / pixels if pixels else 0.0


class PicturesChangedError(RuntimeError):
    """The second pass gave a picture that the first one did not: nobody looked at it."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """How pictures are redacted.

    Attributes:
        finders: What finds what is to be covered.
        policy: The document `redaction`.
        media: The document `media`.
    """

    finders: Finders
    policy: Mapping[str, Any]
    media: Mapping[str, Any]

    def of_camera(self, sources: Sequence[Source], folder: Path) -> CameraResult:
        """Redact all files of one camera.

        Args:
            sources: Its pictures, one source per file, in order.
            folder: Where redacted media are written.

        Raises:
            PicturesChangedError: When a source gives other pictures when it is read again.
        """
        import av

        result = CameraResult(sources[0].camera)
        try:
            for source in sources:
                self._one_file(source, folder, result)
            result.broken = self._broken(result)
        except av.error.FFmpegError as error:
            result.broken = Broken(
                "encoding",
                str(error),
                "pictures that can be encoded anew",
                "Record the camera with pictures of a usual size and format, then upload the recording again.",
            )
        if result.broken is not None:
            result.files, result.boxes = [], []
        return result

    def _one_file(self, source: Source, folder: Path, result: CameraResult) -> None:
        planned, seen = self._planned(source, result)
        path = folder / f"{source.camera}-{source.part}"
        writer = redacted_writer(source, path, self.media)
        rule = CoverRule.from_policy(self.policy)
        given = blurred_frames = pixels = blurred = 0
        for frame in source.frames():
            if frame.index not in seen:
                raise PicturesChangedError(
                    f"{source.camera}: picture {frame.index} came only when the recording was read again. Try again; "
                    "if it happens again, the storage changes what it holds."
                )
            areas = planned.get(frame.index, [])
            writer.add(frame, covered(frame.bgr, areas, rule) if areas else None)
            given += 1
            blurred_frames += bool(areas)
            height, width = frame.bgr.shape[:2]
            pixels += height * width
            blurred += blurred_pixels(areas, (width, height)) if areas else 0
            result.boxes += [BoxRow(source.part, frame.index, frame.t_ns, area) for area in areas]
        written = writer.close()
        undecodable = sum(source.undecodable.values())
        result.undecodable.update(source.undecodable)
        result.source_frames += given + undecodable
        if written is not None:
            result.files.append(
                RedactedFile(source.part, path, written, given + undecodable, blurred_frames, pixels, blurred)
            )

    def _planned(self, source: Source, result: CameraResult) -> tuple[dict[int, list[Area]], set[int]]:
        """Areas by number of the picture, and the numbers of all pictures that were there to be seen."""
        planned: dict[int, list[Area]] = {}
        seen: set[int] = set()
        tracks: Counter[str] = Counter()
        rules = PlanRule.from_policy(self.policy)

        def watched() -> Any:
            for frame in source.frames():
                seen.add(frame.index)
                yield frame

        def alone(one: Found, other: Found) -> bool:
            return any(unpaired(hits, other[kind], rules[kind].tracking) for kind, hits in one.items())

        search = Search(SearchRule.from_policy(self.policy), lambda frame: self.finders(frame.bgr), alone)
        for stretch in search.stretches(watched()):
            result.searched += len(stretch.found)
            _plan_stretch(stretch, planned, tracks, rules)
        return planned, seen

    def _broken(self, result: CameraResult) -> Broken | None:
        if not result.source_frames:
            return None
        limits = self.policy["limits"]
        lost = sum(result.undecodable.values())
        if lost > limits["most_undecodable_share"] * result.source_frames or not result.frames:
            return Broken(
                "most_undecodable_share",
                f"{lost} of {result.source_frames} pictures",
                f"{limits['most_undecodable_share']:g} of a camera's pictures",
                "Upload the recording again; if the camera always writes such pictures, use an encoding that is known.",
            )
        if result.blurred_share > limits["most_blurred_share"]:
            return Broken(
                "most_blurred_share",
                f"{result.blurred_share:.3f} of all pixels",
                f"{limits['most_blurred_share']:g}",
                "Look at the recording: detectors see faces or plates nearly everywhere. Raise the limit in the policy "
                "`redaction` if that is right.",
            )
        return None


def _plan_stretch(
    stretch: Stretch, planned: dict[int, list[Area]], tracks: Counter[str], rules: Mapping[str, PlanRule]
) -> None:
    for kind in stretch.found[stretch.first]:
        hits = {number - stretch.first: found[kind] for number, found in stretch.found.items()}
        areas = plan_boxes(
            kind, hits, stretch.last - stretch.first + 1, stretch.size, rules[kind], first_track=tracks[kind]
        )
        for number, ones in areas.items():
            planned.setdefault(stretch.first + number, []).extend(ones)
            tracks[kind] = max(tracks[kind], 1 + max(one.track for one in ones))
