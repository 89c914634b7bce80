"""A contact sheet of a list: the redacted keyframe of each clip with its rank and reasons."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fleet_assets.perception.runtime import single_threaded_opencv

_TEXT: Final = 0.36
_LINE_PX: Final = 14
_LINES: Final = 3
_GREY: Final = 40
_ASPECT: Final = 0.6


def contact_sheet(
    rows: Sequence[Mapping[str, Any]], jpeg: Callable[[str], bytes | None], policy: Mapping[str, Any]
) -> bytes | None:
    """PNG of the first clips of a list, best first; None for an empty one.

    Args:
        rows: Rows of `gold.candidate_sets` of one request, by rank.
        jpeg: Gives the redacted keyframe of a clip, or None.
        policy: Key `sheet` of the document `mining`.
    """
    import numpy as np

    shown = rows[: policy["clips"]]
    if not shown:
        return None
    cv2 = single_threaded_opencv()
    width = policy["width_px"]
    height = int(width * _ASPECT)
    columns = min(policy["columns"], len(shown))
    lines = -(-len(shown) // columns)
    sheet = np.full((lines * (height + _LINES * _LINE_PX), columns * width, 3), 255, dtype=np.uint8)
    for place, row in enumerate(shown):
        top, left = place // columns * (height + _LINES * _LINE_PX), place % columns * width
        data = jpeg(row["clip_id"])
        sheet[top : top + height, left : left + width] = _GREY
        if data is not None:
            picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
            scale = min(width / picture.shape[1], height / picture.shape[0])
            size = (max(1, int(picture.shape[1] * scale)), max(1, int(picture.shape[0] * scale)))
            sheet[top : top + size[1], left : left + size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        said = row["reasons"].replace(" · ", "; ").encode("ascii", "replace").decode()
        most = int(width / 6.4)
        for line, text in enumerate((f"{row['rank']}. {row['clip_id']}"[:most], said[:most], said[most : 2 * most])):
            at = (left + 2, top + height + _LINE_PX * (line + 1) - 3)
            cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, _TEXT, (0, 0, 0), 1, cv2.LINE_AA)
    return bytes(cv2.imencode(".png", sheet)[1].tobytes())
