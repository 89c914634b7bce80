"""Videos that are hard to read fast: a fragment per frame as live recorders write them, and telemetry of few streams.

Here belongs how they are made, and what the usual libraries do with them. Nothing here is used by the product.
"""

import struct
from pathlib import Path
from typing import Final

import numpy as np

PAYLOAD_S: Final = 1.001
_RATES_HZ: Final = {"ACCL": 200, "GYRO": 200}
_HEAD_BYTES: Final = 8
_NESTS: Final = (b"DEVC", b"STRM")


def write_fragmented_video(path: Path, frames: int) -> Path:
    """A video in fragments of one frame each."""
    import av

    options = {"movflags": "frag_every_frame+empty_moov+default_base_moof"}
    with av.open(path, "w", format="mp4", options=options) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            picture = np.full((48, 64, 3), index % 256, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def _item(key: str, kind: str, size: int, data: bytes) -> bytes:
    head = struct.pack(">4sBBH", key.encode(), ord(kind) if kind else 0, size, len(data) // size)
    return head + data + bytes(-len(data) % 4)


def write_telemetry(path: Path, payloads: int) -> Path:
    """A GoPro's telemetry track alone: a payload per second, with accelerometer and gyroscope of 200 Hz."""
    from tests.ingestion.recordings.video_factory import telemetry_file

    rng = np.random.default_rng(1)
    written = []
    for number in range(payloads):
        streams = b""
        for key, rate in _RATES_HZ.items():
            rows = rng.integers(-3000, 3000, (rate, 3)).astype(">i2").tobytes()
            total = _item("TSMP", "L", 4, struct.pack(">I", (number + 1) * rate))
            inside = total + _item("SCAL", "s", 2, struct.pack(">h", 418)) + _item(key, "s", 6, rows)
            streams += _item("STRM", "", 1, inside)
        written.append(_item("DEVC", "", 1, _item("DVID", "L", 4, struct.pack(">I", 1)) + streams))
    path.write_bytes(telemetry_file(written))
    return path


def _items(payload: bytes, begin: int, end: int) -> int:
    """Samples in the items of a payload, found by walking through them, undecoded."""
    count, samples = 0, 0
    while begin + _HEAD_BYTES <= end:
        key, kind, size, repeat = struct.unpack_from(">4sBBH", payload, begin)
        after = begin + _HEAD_BYTES + (size * repeat + 3) // 4 * 4
        if not kind:
            count += _items(payload, begin + _HEAD_BYTES, after)
        elif key not in _NESTS:
            samples = repeat  # a stream's data are its last item
        begin = after
    return count + (samples if not count else 0)


def walked_telemetry(path: Path) -> int:
    """Demux the payloads with PyAV and walk through their items."""
    import av

    with av.open(path) as container:
        payloads = [bytes(packet) for packet in container.demux(container.streams.data[0]) if packet.size]
    return sum(_items(payload, 0, len(payload)) for payload in payloads)


def parsed_telemetry(path: Path) -> int:
    """Samples as the maker's parser gives them, with its Python binding."""
    from py_gpmf_parser.gopro_telemetry_extractor import GoProTelemetryExtractor  # type: ignore[import-untyped]

    extractor = GoProTelemetryExtractor(str(path))
    extractor.open_source()
    try:
        return sum(len(extractor.extract_data(key)[0]) for key in _RATES_HZ)
    finally:
        extractor.close_source()
