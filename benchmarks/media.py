"""What media cost: redaction against its own models alone, keyframes against bare decoding by PyAV; in one process."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.measure import ROOT, report

VIDEOS: Final = ROOT.parent / "shared" / "data" / "driving_videos" / "sample"
ROUNDS: Final = 9
LIMIT: Final = 1.3
LEAST_SPEED: Final = 0.7
PICTURES: Final = 31


def keyframes(folder: Path) -> None:
    """CPU seconds of keyframe extraction against decoding every frame; both on one thread."""
    rows: list[dict[str, Any]] = []
    for original in sorted(VIDEOS.glob("*.mp4")):
        redacted = _redacted(original, folder / original.name)
        pairs = [(_cpu_s(_decode, redacted), _cpu_s(_extract, redacted, folder)) for _ in range(ROUNDS)]
        bare_s, ours_s = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(ours / bare for bare, ours in pairs)
        rows.append({"video": original.name, "pyav_cpu_s": bare_s, "keyframes_cpu_s": ours_s, "ratio": ratio})
    if not rows:
        print(f"left out keyframes: no videos at {VIDEOS}")
        return
    report(f"keyframes: CPU against PyAV decoding alone (at most {LIMIT}; medians of {ROUNDS} rounds)", rows)


def _redacted(original: Path, path: Path) -> Path:
    from fleet_assets.ingestion.media.pictures import VideoPictures
    from fleet_assets.ingestion.media.redacted import redacted_writer
    from fleet_assets.ingestion.recordings.video.video import VideoRecording
    from fleet_assets.policy.documents import load_policies

    recording = VideoRecording({original.name: original})
    source = VideoPictures(recording.camera_files("video/0")[0], "camera", 0, 0)
    writer = redacted_writer(source, path, load_policies()["media"])
    for frame in source.frames():
        writer.add(frame)
    writer.close()
    recording.close()
    return path


def _decode(path: Path) -> None:
    import av

    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        context.thread_type, context.thread_count = "NONE", 1
        for _ in container.decode(video=0):
            pass


def _extract(path: Path, folder: Path) -> None:
    from fleet_assets.ingestion.media.glances import glances
    from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.selection import KeyframeRules, Selector
    from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.shards import ShardWriter
    from fleet_assets.policy.documents import load_policies
    from fleet_assets.provenance.digests import file_sha256

    policy = load_policies()["keyframes"]
    selector = Selector(KeyframeRules.from_policy(policy), 0, np.empty(0, np.int64))
    shards = ShardWriter(folder, policy["shard_mb"] << 20, file_sha256)
    for glance in glances(path, "mp4", 0, policy["jpeg_quality"]):
        if selector.reason(glance.t_ns, glance.cells) is not None:
            jpeg, width, height = glance.jpeg()
            shards.add("camera", glance.t_ns, jpeg, (width, height))
    shards.close()


def redaction(folder: Path) -> None:
    """Pictures per CPU second of the whole redaction against those of its models' inference, on the same pictures.

    The models' seconds are counted inside the same run, call by call, so that both sides meet the same machine: the
    rest is reading, decoding, scaling, joining, tracking, covering, encoding.
    """
    from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.camera import Redaction
    from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.finders import open_finders
    from fleet_assets.policy.documents import load_policies
    from resources.weights import WeightStore

    policies = load_policies()
    meter = _Meter()
    with meter.watching():
        finders = open_finders(policies["redaction"]["detectors"], WeightStore(policies))
        rows: list[dict[str, Any]] = []
        for original in sorted(VIDEOS.glob("*.mp4")):
            source, recording = _beginning(original, PICTURES)
            meter.seconds = 0.0
            whole_s = _cpu_s(Redaction(finders, policies["redaction"], policies["media"]).of_camera, [source], folder)
            recording.close()
            bare, ours = PICTURES / meter.seconds, PICTURES / whole_s
            rows.append(
                {"video": original.name, "models_per_cpu_s": bare, "ours_per_cpu_s": ours, "ratio": ours / bare}
            )
    if not rows:
        print(f"left out redaction: no videos at {VIDEOS}")
        return
    report(f"redaction: pictures per CPU second against its models alone (at least {LEAST_SPEED})", rows)


def _beginning(original: Path, pictures: int) -> tuple[Any, Any]:
    """The first pictures of a video, as a source, and what has to be closed afterwards."""
    from fleet_assets.ingestion.media.pictures import Frame, VideoPictures
    from fleet_assets.ingestion.recordings.video.video import VideoRecording

    class Beginning(VideoPictures):
        def frames(self, every: int = 1) -> Iterator[Frame]:
            return itertools.takewhile(lambda frame: frame.index < pictures, super().frames(every))

    recording = VideoRecording({original.name: original})
    return Beginning(recording.camera_files("video/0")[0], "camera", 0, 0), recording


class _Meter:
    """CPU seconds inside the models' inference."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def counted(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its CPU seconds added up."""

        def measured(*arguments: Any) -> Any:
            begin = time.process_time()
            try:
                return inner(*arguments)
            finally:
                self.seconds += time.process_time() - begin

        return measured

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count what the detectors of this process spend in their networks."""
        from fleet_assets.perception import faces, objects, plates

        modules: tuple[Any, ...] = (faces, objects, plates)
        runs = [module.run for module in modules]
        for module in modules:
            module.run = self.counted(module.run)
        try:
            yield
        finally:
            for module, run in zip(modules, runs, strict=True):
                module.run = run


def _cpu_s(function: Any, *arguments: Any) -> float:
    begin = time.process_time()
    function(*arguments)
    return time.process_time() - begin
