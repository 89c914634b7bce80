"""Small videos written by PyAV, and what PyAV's demuxer says of them: the independent oracle of the video reader."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np

NS_PER_S: Final = 1_000_000_000
WIDTH, HEIGHT = 64, 48


@dataclass(frozen=True)
class Video:
    """How a video is written.

    Attributes:
        frames: Frames.
        rate: Frames per second.
        b_frames: Consecutive frames that look ahead.
        options: Options of the muxer.
        codec: Encoder.
        tracks: Video tracks.
        audio: Whether there is an audio track.
        steps: Ticks of 1/rate from frame to frame, repeated; (1,) is a constant rate.
        timescale: Ticks per second of the video tracks; the muxer's choice when None.
        created: `creation_time` of the container.
        container: Container format.
    """

    frames: int = 50
    rate: Fraction = Fraction(25)
    b_frames: int = 0
    options: Mapping[str, str] | None = None
    codec: str = "libx264"
    tracks: int = 1
    audio: bool = False
    steps: Sequence[int] = (1,)
    timescale: int | None = None
    created: str = "2024-05-01T08:00:00Z"
    container: str = "mp4"


def write_video(path: Path, video: Video = Video()) -> Path:  # noqa: B008 - frozen
    """Write a video of noise."""
    options = dict(video.options or {})
    if video.timescale:
        options["video_track_timescale"] = str(video.timescale)
    with av.open(str(path), "w", format=video.container, options=options) as container:
        container.metadata["creation_time"] = video.created
        streams = []
        for _ in range(video.tracks):
            stream = container.add_stream(video.codec, rate=video.rate)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.codec_context.max_b_frames = video.b_frames
            stream.codec_context.time_base = 1 / video.rate
            stream.codec_context.gop_size = 12
            stream.codec_context.thread_count = 1
            # Key frames come every 12 frames only, although noise looks like a cut each time.
            stream.codec_context.options = {"sc_threshold": "0"} if video.codec == "libx264" else {}
            streams.append(stream)
        sound = container.add_stream("aac", rate=48_000) if video.audio else None
        time = 0
        for number in range(video.frames):
            # Noise, so that frames outweigh the index.
            picture = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = time, 1 / video.rate
                container.mux(stream.encode(frame))
            time += video.steps[number % len(video.steps)]
        for stream in streams:
            container.mux(stream.encode(None))
        if sound is not None:
            quiet = np.zeros((1, 1024), np.float32)
            for number in range(40):
                block = av.AudioFrame.from_ndarray(quiet, format="fltp", layout="mono")
                block.sample_rate, block.pts, block.time_base = 48_000, 1024 * number, Fraction(1, 48_000)
                container.mux(sound.encode(block))
            container.mux(sound.encode(None))
    return path


@dataclass(frozen=True)
class Packet:
    """A packet as PyAV gives it: exact time in ns, size, whether it is a key frame."""

    t_ns: int
    size: int
    key: bool


def demuxed(path: Path) -> dict[str, list[Packet]]:
    """Packets by channel name in presentation order."""
    found: dict[str, list[Packet]] = {}
    with av.open(str(path)) as container:
        counts: dict[str, int] = {}
        names = {}
        for stream in container.streams:
            number = counts.setdefault(stream.type, 0)
            counts[stream.type] += 1
            names[stream.index] = f"{stream.type}/{number}"
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                t_ns = round(packet.pts * packet.time_base * NS_PER_S)
                found.setdefault(names[packet.stream.index], []).append(Packet(t_ns, packet.size, packet.is_keyframe))
    return {name: sorted(packets, key=lambda packet: packet.t_ns) for name, packets in found.items()}


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of an ISO base media file."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    """A box with version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def telemetry_file(payloads: Sequence[bytes], *, duration_ms: int = 1001, created_s: int = 0) -> bytes:
    """An MP4 with one track of telemetry, a payload per `duration_ms`."""
    data = b"".join(payloads)
    start = 16 + 8
    offsets = np.cumsum([start, *(len(payload) for payload in payloads)])[:-1]
    count = len(payloads)
    numbers = struct.Struct(">I")
    table = box(
        b"stbl",
        full_box(b"stsd", numbers.pack(1), box(b"gpmd", bytes(6), struct.pack(">H", 1), bytes(4))),
        full_box(b"stts", struct.pack(">III", 1, count, duration_ms)),
        full_box(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)),
        full_box(b"stsz", struct.pack(">II", 0, count), *(numbers.pack(len(payload)) for payload in payloads)),
        full_box(b"stco", numbers.pack(count), *(numbers.pack(offset) for offset in offsets.tolist())),
    )
    media = box(
        b"mdia",
        full_box(b"mdhd", struct.pack(">IIIIHH", created_s, created_s, 1000, count * duration_ms, 0, 0)),
        full_box(b"hdlr", b"mhlr", b"meta", bytes(12), b"\0"),
        box(b"minf", table),
    )
    header = struct.pack(">IIIIII", created_s, created_s, 1, 0, count * duration_ms, 0) + bytes(60)
    movie = box(
        b"moov",
        full_box(b"mvhd", struct.pack(">IIII", created_s, created_s, 1000, count * duration_ms), bytes(80)),
        box(b"trak", full_box(b"tkhd", header), media),
    )
    return box(b"ftyp", b"mp41", bytes(4)) + box(b"mdat", data) + movie
