"""Drives of one camera: a face that crosses the picture. JPEG files with times and a secret in EXIF, or an MP4."""

import io
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SPEC: Final = "photos"
VIDEO_SPEC: Final = "dashcam"
WIDTH, HEIGHT = 320, 200
PORTRAIT: Final = (50, 66)
"""Width and height of the portrait in a picture."""
STEP_PX: Final = 9
VIDEO_HZ: Final = 20
ROUND: Final = 26
"""Pictures after which the face is where it began."""
SERIAL: Final = "CAMERA-SERIAL-4711"
_EXIF, _TAKEN, _SUBSECOND, _OFFSET, _SERIAL = 0x8769, 0x9003, 0x9291, 0x9011, 0xA431


def portrait() -> NDArray[np.uint8]:
    """A face (NASA, public domain), blue, green, red."""
    data = resources.files("services.fleet_simulator.camera").joinpath("faces/portrait.jpg").read_bytes()
    face = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(face, dtype=np.uint8)


def portrait_box(number: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the portrait in a picture."""
    left, top = 20 + number % ROUND * STEP_PX, 60 + number % 3
    return left, top, left + PORTRAIT[0], top + PORTRAIT[1]


def face_box(number: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what tells who it is: from the brows to the mouth."""
    left, top, right, bottom = portrait_box(number)
    wide, high = right - left, bottom - top
    return left + wide // 5, top + high // 3, right - wide // 5, bottom - high // 8


def picture(number: int, seed: int = 0, *, face: bool = True) -> NDArray[np.uint8]:
    """A street of soft colours, and the face."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    shade = 90 + 40 * np.sin((x + 13 * seed) / 37.0) + 30 * np.cos(y / 29.0)
    shown = np.stack([shade, shade + 8, shade + 16], axis=2).clip(0, 255).astype(np.uint8)
    if face:
        left, top, right, bottom = portrait_box(number)
        shown[top:bottom, left:right] = cv2.resize(portrait(), PORTRAIT, interpolation=cv2.INTER_AREA)
    return shown


def jpeg(shown: NDArray[np.uint8], taken_ns: int) -> bytes:
    """A JPEG file whose EXIF says when it was taken and by which camera."""
    seconds, rest_ns = divmod(taken_ns, 1_000_000_000)
    exif = Image.Exif()
    exif.get_ifd(_EXIF).update(
        {
            _TAKEN: f"{datetime.fromtimestamp(seconds, UTC):%Y:%m:%d %H:%M:%S}",
            _SUBSECOND: f"{rest_ns // 1_000_000:03d}",
            _OFFSET: "+00:00",
            _SERIAL: SERIAL,
        }
    )
    sink = io.BytesIO()
    Image.fromarray(shown[:, :, ::-1].copy()).save(sink, "JPEG", quality=90, exif=exif)
    return sink.getvalue()


def write_photo_drive(
    folder: Path,
    *,
    start_utc_ns: int,
    pictures: int,
    step_ms: int = 40,
    seed: int = 0,
    without_face: Collection[int] = (),
    damaged: Collection[int] = (),
) -> Mapping[str, Path]:
    """Write a drive.

    Args:
        folder: Where the files go.
        start_utc_ns: When the first picture was taken.
        pictures: How many.
        step_ms: From one picture to the next.
        seed: Which street it was.
        without_face: Pictures in which nobody is seen.
        damaged: Pictures whose files are cut off in the middle of their pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(pictures):
        shown = picture(number, seed, face=number not in without_face)
        data = jpeg(shown, start_utc_ns + number * step_ms * 1_000_000)
        if number in damaged:
            data = data[: len(data) // 2]
        (folder / f"{number:05d}.jpg").write_bytes(data)
    return {path.name: path for path in sorted(folder.iterdir())}


def write_video(path: Path, pictures: Iterable[NDArray[np.uint8]]) -> Path:
    """Write pictures of one size as an MP4 of `VIDEO_HZ`, which knows no time; faces stay what they are."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=VIDEO_HZ, options={"crf": "12"})
        stream.pix_fmt = "yuv420p"
        for number, shown in enumerate(pictures):
            if not number:
                stream.height, stream.width = shown.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="bgr24")))
        container.mux(stream.encode(None))
    return path
