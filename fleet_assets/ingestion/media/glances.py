"""A short look at every picture of redacted media: enough to compare pictures, at a fraction of the cost of all pixels.

Here belongs what makes looking cheap: of a video the brightness that decoding gives anyway, of a JPEG the coarse
picture that lies in its first coefficients. The whole picture is made only when it is asked for.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fleet_assets.ingestion.media.pictures import MP4
from fleet_assets.ingestion.media.pixels import jpeg_of
from fleet_assets.ingestion.recordings.video.frames import ShownFrame, TrackFrames
from fleet_assets.ingestion.recordings.video.video import VideoRecording

ROWS, COLUMNS = 9, 16
"""Cells of the coarse picture."""
_SAMPLES: Final = 4
"""Pixels per cell and direction that are averaged."""
_ROWS_READ: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """One picture, looked at shortly.

    Attributes:
        index: Its number in the media.
        t_ns: Time on the drive's clock in bronze.
        capture_ns: When the camera states to have taken it, on its own clock; None where it states nothing.
        cells: float32[ROWS, COLUMNS], mean brightness of each part of the picture, 0 to 255.
        jpeg: Makes the whole picture: JPEG file, width, height.
    """

    index: int
    t_ns: int
    capture_ns: int | None
    cells: NDArray[np.float32]
    jpeg: Callable[[], tuple[bytes, int, int]]


def cells_of(brightness: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean brightness of the parts of a picture, float32[ROWS, COLUMNS], from evenly spread pixels.

    Args:
        brightness: uint8[height, width], of any size.
    """
    height, width = brightness.shape
    y = ((np.arange(ROWS * _SAMPLES) + 0.5) * height / (ROWS * _SAMPLES)).astype(np.intp)
    x = ((np.arange(COLUMNS * _SAMPLES) + 0.5) * width / (COLUMNS * _SAMPLES)).astype(np.intp)
    spread = brightness[y[:, None], x[None, :]].astype(np.float32)
    means: NDArray[np.float32] = spread.reshape(ROWS, _SAMPLES, COLUMNS, _SAMPLES).mean((1, 3), dtype=np.float32)
    return means


def glances(path: Path, media: str, first_t_ns: int, quality: int) -> Iterator[Glance]:
    """Look at every picture of a file of redacted media, in its order.

    Args:
        path: The file.
        media: ``frames`` or ``mp4``.
        first_t_ns: Earliest time of its pictures on the drive's clock in bronze.
        quality: Quality of the JPEG that is made of a frame of a video; single pictures keep their own data.
    """
    return _of_video(path, first_t_ns, quality) if media == MP4 else _of_pictures(path)


def _of_pictures(path: Path) -> Iterator[Glance]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(_ROWS_READ, row_groups=[group], use_threads=False):
                for row in batch.to_pylist():
                    whole = partial(tuple[bytes, int, int], (row["jpeg"], row["width"], row["height"]))
                    yield Glance(row["frame"], row["t_ns"], row["capture_ns"], _coarse(row["jpeg"]), whole)


def _coarse(jpeg: bytes) -> NDArray[np.float32]:
    from PIL import Image

    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        image.draft("L", (COLUMNS * _SAMPLES, ROWS * _SAMPLES))
        return cells_of(np.asarray(image.convert("L")))


def _of_video(path: Path, first_t_ns: int, quality: int) -> Iterator[Glance]:
    recording = VideoRecording({path.name: path})
    try:
        (file,) = recording.camera_files("video/0")
        shift: int | None = None
        for frame in TrackFrames(file).shown():
            shift = first_t_ns - frame.t_ns if shift is None else shift
            whole = partial(_encoded, frame, quality)
            yield Glance(frame.number, frame.t_ns + shift, None, cells_of(frame.brightness()), whole)
    finally:
        recording.close()


def _encoded(frame: ShownFrame, quality: int) -> tuple[bytes, int, int]:
    pixels = frame.picture("rgb24")
    return jpeg_of(pixels, quality, is_rgb=True), pixels.shape[1], pixels.shape[0]
