"""Pictures with a mark that only the recording shows, and a search for it in whatever bytes somebody can get at.

The mark is noise on a face: fine enough that covering leaves nothing of it, known to the pixel, so that no detector is
needed to find it again. The search decodes every picture that it meets, also inside Parquet, ZIP, MP4, MCAP, SQLite,
Base64 and EXIF.
"""

import base64
import io
import re
import sqlite3
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mcap.reader import make_reader
from numpy.typing import NDArray
from PIL import Image

from services.fleet_simulator.mcap_writer import ChannelInfo, McapWriter
from services.fleet_simulator.sensors.camera import compressed_image
from services.fleet_simulator.sensors.ros_messages import COMPRESSED_IMAGE, definition
from tests.photo_factory import jpeg, portrait, write_video

WIDTH, HEIGHT = 480, 320
FACE: Final = (40, 40, 160, 199)
"""Left, top, right, bottom of the portrait in the first picture."""
MARK: Final = (78, 92, 126, 152)
"""Where the mark lies on it: from the brows to the mouth."""
STEP_PX: Final = 3
LEAST_MATCH: Final = 0.35
SIZES: Final = (1.0, 0.75, 0.5)
"""Shares of the recorded size at which pictures are searched as well: previews are smaller."""
TOPIC: Final = "/camera/front/compressed"
TOPIC_VEHICLE: Final = "marked_topic"
TOPIC_SPEC: Final = f"""schema: fleet.vehicle/v1
name: {TOPIC_VEHICLE}
description: Test vehicle that records pictures as messages
format: mcap
sensors:
  camera:
    kind: camera
    channel: {TOPIC}
    rate_hz: {{nominal: 10, tolerance: 0.2}}
    required: true
    latency_ms: {{mean: 0, uncertainty: 50}}
    signals: {{}}
clock:
  utc_from: []
"""
_JPEG, _PNG, _MCAP, _SQLITE = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\x89MCAP0\r\n", b"SQLite format 3\0"
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{200,}={0,2}")


def mark() -> NDArray[np.float32]:
    """The mark, zero on average: coarse enough for JPEG, fine enough for the cover."""
    rng = np.random.default_rng(10_011)
    high, wide = (MARK[3] - MARK[1]) // 4, (MARK[2] - MARK[0]) // 4
    cells = rng.choice(np.array([-16.0, 16.0], dtype=np.float32), (high, wide))
    return np.asarray(np.kron(cells, np.ones((4, 4), dtype=np.float32)), dtype=np.float32)


def marked_picture(number: int) -> NDArray[np.uint8]:
    """A street, and a face with the mark that moves a little."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    shade = 100 + 30 * np.sin(x / 41.0) + 20 * np.cos(y / 33.0)
    shown = np.repeat(shade[:, :, None], 3, axis=2).astype(np.float32)
    left, top, right, bottom = FACE
    face = cv2.resize(portrait(), (right - left, bottom - top), interpolation=cv2.INTER_AREA).astype(np.float32)
    face[MARK[1] - top : MARK[3] - top, MARK[0] - left : MARK[2] - left] += mark()[:, :, None]
    aside = number * STEP_PX
    shown[top:bottom, left + aside : right + aside] = face
    return shown.clip(0, 255).astype(np.uint8)


def write_marked_drive(folder: Path, *, start_utc_ns: int, pictures: int) -> Mapping[str, Path]:
    """A drive of JPEG files, each with a thumbnail of itself in its EXIF."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(pictures):
        shown = marked_picture(number)
        data = jpeg(shown, start_utc_ns + number * 100_000_000)
        (folder / f"{number:05d}.jpg").write_bytes(_with_thumbnail(data, shown))
    return {path.name: path for path in sorted(folder.iterdir())}


def write_marked_video(path: Path, *, frames: int) -> Path:
    """The same as an MP4, fine enough that the mark is in every frame."""
    return write_video(path, (marked_picture(number) for number in range(frames)))


def write_marked_topic(path: Path, *, start_utc_ns: int, pictures: int) -> Path:
    """The same as messages of a camera, in the compressed chunks of an MCAP file."""
    with path.open("wb") as stream:
        writer = McapWriter(stream, [ChannelInfo(TOPIC, COMPRESSED_IMAGE, definition(COMPRESSED_IMAGE))])
        for number in range(pictures):
            shown, t_ns = marked_picture(number), start_utc_ns + number * 100_000_000
            data = _with_thumbnail(jpeg(shown, t_ns), shown)
            writer.write([(1, t_ns, t_ns, compressed_image(t_ns, "camera", data))])
        writer.finish()
    return path


def write_topic_vehicle(policies: Path) -> None:
    """Write the spec of a vehicle that records so into a policies folder (`vehicles/…`)."""
    vehicles = policies / "vehicles"
    vehicles.mkdir(parents=True, exist_ok=True)
    (vehicles / f"{TOPIC_VEHICLE}.yaml").write_text(TOPIC_SPEC)


def _with_thumbnail(data: bytes, shown: NDArray[np.uint8]) -> bytes:
    """The JPEG with another JPEG in a comment, where nobody looks for pictures."""
    _, small = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 90])
    comment = small.tobytes()
    # Behind the first two segments, which readers of times expect at the beginning.
    place = 2
    for _ in range(2):
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return data[:place] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[place:]


def shows_mark(picture: NDArray[np.uint8]) -> bool:
    """Whether a picture shows the mark, at its recorded size or smaller."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32) if picture.ndim == 3 else picture  # noqa: PLR2004
    # A flat area correlates with anything: noise far below the mark makes it correlate with nothing.
    noise = np.random.default_rng(0).normal(0.0, 0.7, grey.shape).astype(np.float32)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 4) + noise
    for size in SIZES:
        wanted = cv2.resize(mark(), None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
        wanted = wanted - cv2.GaussianBlur(wanted, (0, 0), 4)
        if min(fine.shape[0] - wanted.shape[0], fine.shape[1] - wanted.shape[1]) < 0:
            continue
        match = cv2.matchTemplate(fine.astype(np.float32), wanted, cv2.TM_CCOEFF_NORMED)
        if float(match.max()) >= LEAST_MATCH:
            return True
    return False


def pictures_in_file(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Every picture that a file holds, whatever it is; databases are read with what is still in their log."""
    data = path.read_bytes()
    if data[: len(_SQLITE)] == _SQLITE:
        yield from _in_database(path)
        return
    yield from pictures_in_bytes(data)
    yield from pictures_in_text(data.decode("latin-1"))


def _in_database(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Pictures in the cells of an SQLite database; in its file, long ones lie in pieces."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        for name in names:
            for row in database.execute(f'select * from "{name}"'):  # noqa: S608 - names of the database itself
                for value in row:
                    if isinstance(value, bytes):
                        yield from pictures_in_bytes(value)
                    elif isinstance(value, str):
                        yield from pictures_in_text(value)


def pictures_in_bytes(data: bytes) -> Iterator[NDArray[np.uint8]]:
    """Every picture that some bytes hold, whatever they are."""
    if data[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(data))
        yield from pictures_in_table(table)
        return
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield from pictures_in_bytes(archive.read(name))
        return
    if data[4:8] == b"ftyp":
        yield from _frames(data)
        return
    if data[: len(_MCAP)] == _MCAP:
        for _, _, message in make_reader(io.BytesIO(data)).iter_messages():
            yield from pictures_in_bytes(message.data)
        return
    for signature in (_JPEG, _PNG):
        place = data.find(signature)
        while place >= 0:
            with suppress(OSError, SyntaxError), Image.open(io.BytesIO(data[place:])) as image:  # a signature by chance
                yield np.asarray(image.convert("RGB"), dtype=np.uint8)[:, :, ::-1].copy()
            place = data.find(signature, place + 1)


def _frames(data: bytes) -> Iterator[NDArray[np.uint8]]:
    import av

    with av.open(io.BytesIO(data), "r") as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8)


def pictures_in_table(table: pa.Table) -> Iterator[NDArray[np.uint8]]:
    """Every picture in the cells of a table."""
    for column in table.columns:
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            for value in column.to_pylist():
                yield from pictures_in_bytes(value or b"")
        elif pa.types.is_string(column.type):
            for text in set(column.to_pylist()) - {None}:
                yield from pictures_in_text(text)


def pictures_in_text(text: str) -> Iterator[NDArray[np.uint8]]:
    """Every picture that a text holds in Base64."""
    for match in _BASE64.finditer(text):
        data = match[0]
        yield from pictures_in_bytes(base64.b64decode(data[: len(data) // 4 * 4]))
