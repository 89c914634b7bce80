"""Raw video streams have no times: they are counted and refused alone, and let be beside a recording that has times."""

from pathlib import Path

import av
import pytest

from fleet_assets.ingestion.recordings.open import open_recording, sniff_format
from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError
from fleet_assets.ingestion.recordings.video.annexb import codec_of
from tests.harness import utc_ns
from tests.ingestion.recordings.video_factory import Video, write_video
from tests.recordings_factory import write_comma2k19_drive


def raw(folder: Path, codec: str, filters: str) -> Path:
    """A raw stream of 50 frames."""
    folder.mkdir(exist_ok=True)
    path = write_video(folder / "video.mp4", Video(codec=codec, b_frames=2))
    bare = folder / f"video.{codec}"
    with av.open(str(path)) as source, bare.open("wb") as target:
        stream = source.streams.video[0]
        unpack = av.BitStreamFilterContext(filters, stream)
        for packet in source.demux(stream):
            for part in unpack.filter(packet if packet.size else None):
                target.write(bytes(part))
    return bare


@pytest.mark.parametrize(
    ("encoder", "codec", "filters"),
    [("libx264", "h264", "h264_mp4toannexb"), ("libx265", "hevc", "hevc_mp4toannexb")],
)
def test_a_raw_stream_is_refused_with_its_frames_counted_and_a_remedy(
    tmp_path: Path, encoder: str, codec: str, filters: str
) -> None:
    path = raw(tmp_path, encoder, filters)
    assert codec_of(path.read_bytes()[:64]) == codec
    with pytest.raises(UnreadableRecordingError, match="ffmpeg -framerate") as caught:
        open_recording({"video": path})
    assert (caught.value.rule, caught.value.value) == ("no_time", f"50 frames of raw {codec}")


def test_a_raw_stream_beside_a_recording_with_times_is_a_companion(tmp_path: Path) -> None:
    files = write_comma2k19_drive(tmp_path / "log", start_utc_ns=utc_ns("2024-05-01T08:00:00"), seconds=2)
    files["video.hevc"] = raw(tmp_path / "raw", "libx265", "hevc_mp4toannexb")
    assert sniff_format(files) == "comma2k19"
    open_recording(files).close()


@pytest.mark.parametrize("head", [b"", b"\0\0\1", b"\0\0\0\1\xff\xff\xff\xff", b"\0" * 64, b"\0\0\0\x14ftypmp42"])
def test_other_beginnings_are_no_raw_stream(head: bytes) -> None:
    assert codec_of(head) is None
