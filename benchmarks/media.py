"""Keyframes out of redacted videos against bare decoding of the same files by PyAV, in one process, turn about."""

import statistics
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.measure import ROOT, report

VIDEOS: Final = ROOT.parent / "shared" / "data" / "driving_videos" / "sample"
ROUNDS: Final = 9
LIMIT: Final = 1.3


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


def _cpu_s(function: Any, *arguments: Any) -> float:
    begin = time.process_time()
    function(*arguments)
    return time.process_time() - begin
