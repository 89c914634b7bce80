"""Pictures of a partition's redacted media, small and side by side. Nothing but redacted media is opened."""

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from fleet_assets.ingestion.media.redacted import RedactedPictures
from fleet_assets.perception.preprocessing import Picture
from fleet_assets.perception.runtime import single_threaded_opencv
from fleet_assets.provenance.objects import ObjectStore

OPEN: Final = "open"
_COLUMNS, _ROWS = 4, 3
_WIDTH, _HEIGHT = 320, 180
_LOOKED_AT: Final = 40
"""Pictures of a file that are looked through; a video is decoded from its beginning."""


def contact_sheet(
    media: Sequence[Mapping[str, Any]], boxes: Sequence[Mapping[str, Any]], objects: ObjectStore
) -> bytes | None:
    """A PNG of some redacted pictures, those first in which something is covered.

    Args:
        media: Rows of `bronze.redacted_media`.
        boxes: Rows of `bronze.redaction_boxes`, with drive_id, camera, part and frame.
        objects: Store of the media.
    """
    covered = {(row["drive_id"], row["camera"], row["part"], row["frame"]) for row in boxes}
    places = _COLUMNS * _ROWS
    each = max(1, places // max(1, len(media)))
    step = max(1, len(media) // places)
    shown = [picture for row in media[::step][:places] for picture in _of(row, covered, each, objects)][:places]
    if not shown:
        return None
    from PIL import Image

    rows = -(-len(shown) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _WIDTH, rows * _HEIGHT), (32, 32, 32))
    for place, picture in enumerate(shown):
        small = Image.fromarray(_small(picture)[:, :, ::-1].copy())
        sheet.paste(small, (place % _COLUMNS * _WIDTH, place // _COLUMNS * _HEIGHT))
    sink = io.BytesIO()
    sheet.save(sink, "PNG")
    return sink.getvalue()


def _of(
    row: Mapping[str, Any], covered: set[tuple[str, str, int, int]], count: int, objects: ObjectStore
) -> Iterator[Picture]:
    path = objects.local(row["sha256"], OPEN)
    frames = RedactedPictures(path, row["camera"], row["media"], row["first_t_ns"]).frames()
    key = (row["drive_id"], row["camera"], row["part"])
    some = [(frame.index, _small(frame.bgr)) for frame in islice(frames, _LOOKED_AT)]
    best = [picture for index, picture in some if (*key, index) in covered]
    rest = [picture for index, picture in some if (*key, index) not in covered]
    chosen = [*best[:: max(1, len(best) // count)], *rest[:: max(1, len(rest) // count)]]
    yield from chosen[:count]


def _small(picture: Picture) -> Picture:
    cv2 = single_threaded_opencv()
    scale = min(_WIDTH / picture.shape[1], _HEIGHT / picture.shape[0], 1.0)
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small: Picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return small
