"""Foxglove's standard messages as JSON, with the schemas that its viewer knows them by.

Source: https://docs.foxglove.dev/docs/visualization/message-schemas/introduction. Only fields that are written are
required of a reader.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

_NS_PER_S: Final = 1_000_000_000
_WARNING: Final = 3
_NO_COVARIANCE: Final = 0

Message = Mapping[str, Any]


def _object(title: str, **properties: Any) -> dict[str, Any]:
    return {"title": title, "type": "object", "properties": properties}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}
_WHOLE: Final = {"type": "integer"}
_TIME: Final = _object("time", sec={**_WHOLE, "minimum": 0}, nsec={**_WHOLE, "minimum": 0, "maximum": 999_999_999})
_DURATION: Final = _object("duration", sec=_WHOLE, nsec={**_WHOLE, "minimum": 0, "maximum": 999_999_999})
_VECTOR: Final = _object("foxglove.Vector3", x=_NUMBER, y=_NUMBER, z=_NUMBER)
_QUATERNION: Final = _object("foxglove.Quaternion", x=_NUMBER, y=_NUMBER, z=_NUMBER, w=_NUMBER)
_POSE: Final = _object("foxglove.Pose", position=_VECTOR, orientation=_QUATERNION)
_COLOR: Final = _object("foxglove.Color", r=_NUMBER, g=_NUMBER, b=_NUMBER, a=_NUMBER)
_CUBE: Final = _object("foxglove.CubePrimitive", pose=_POSE, size=_VECTOR, color=_COLOR)
_WORDS: Final = _object(
    "foxglove.TextPrimitive",
    pose=_POSE,
    billboard={"type": "boolean"},
    font_size=_NUMBER,
    scale_invariant={"type": "boolean"},
    color=_COLOR,
    text=_TEXT,
)
_PAIR: Final = _object("foxglove.KeyValuePair", key=_TEXT, value=_TEXT)
_NOTHING: Final = _list({"type": "object"})
_ENTITY: Final = _object(
    "foxglove.SceneEntity",
    timestamp=_TIME,
    frame_id=_TEXT,
    id=_TEXT,
    lifetime=_DURATION,
    frame_locked={"type": "boolean"},
    metadata=_list(_PAIR),
    cubes=_list(_CUBE),
    texts=_list(_WORDS),
    **dict.fromkeys(("arrows", "spheres", "cylinders", "lines", "triangles", "models"), _NOTHING),
)
SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "foxglove.CompressedImage": _object(
        "foxglove.CompressedImage",
        timestamp=_TIME,
        frame_id=_TEXT,
        data={"type": "string", "contentEncoding": "base64"},
        format=_TEXT,
    ),
    "foxglove.LocationFix": _object(
        "foxglove.LocationFix",
        timestamp=_TIME,
        frame_id=_TEXT,
        latitude=_NUMBER,
        longitude=_NUMBER,
        altitude=_NUMBER,
        position_covariance={**_list(_NUMBER), "minItems": 9, "maxItems": 9},
        position_covariance_type=_WHOLE,
    ),
    "foxglove.Log": _object(
        "foxglove.Log", timestamp=_TIME, level=_WHOLE, message=_TEXT, name=_TEXT, file=_TEXT, line=_WHOLE
    ),
    "foxglove.SceneUpdate": _object("foxglove.SceneUpdate", deletions=_NOTHING, entities=_list(_ENTITY)),
}


def time_of(t_ns: int) -> Message:
    """Seconds and nanoseconds."""
    return {"sec": t_ns // _NS_PER_S, "nsec": t_ns % _NS_PER_S}


def compressed_image(t_ns: int, frame: str, jpeg: bytes) -> Message:
    """A JPEG picture."""
    return {"timestamp": time_of(t_ns), "frame_id": frame, "data": base64.b64encode(jpeg).decode(), "format": "jpeg"}


def location_fix(t_ns: int, frame: str, lat_deg: float, lon_deg: float, alt_m: float) -> Message:
    """A position on the earth."""
    return {
        "timestamp": time_of(t_ns),
        "frame_id": frame,
        "latitude": lat_deg,
        "longitude": lon_deg,
        "altitude": alt_m,
        "position_covariance": [0.0] * 9,
        "position_covariance_type": _NO_COVARIANCE,
    }


def log(t_ns: int, name: str, message: str) -> Message:
    """A line of text at an instant."""
    return {
        "timestamp": time_of(t_ns), "level": _WARNING, "message": message, "name": name, "file": "", "line": 0
    }  # fmt: skip


def scene_update(
    t_ns: int, frame: str, objects: Sequence[tuple[str, float, float, Mapping[str, str]]], size: Mapping[str, Any]
) -> Message:
    """Objects as boxes.

    Args:
        t_ns: Instant.
        frame: Coordinate frame.
        objects: Name, metres forward and to the left of their nearest point, and what else is known.
        size: Key `object` of the export policy.
    """
    lifetime_ns = size["lives_ms"] * 1_000_000
    return {
        "deletions": [],
        "entities": [_entity(t_ns, frame, lifetime_ns, one, size) for one in objects],
    }


def _entity(
    t_ns: int,
    frame: str,
    lifetime_ns: int,
    one: tuple[str, float, float, Mapping[str, str]],
    size: Mapping[str, Any],
) -> Message:
    name, forward_m, left_m, known = one
    turned = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}
    length, width, height = (size[key] for key in ("length_m", "width_m", "height_m"))
    middle = {"x": forward_m + length / 2.0, "y": left_m, "z": height / 2.0}
    above = {**middle, "z": height + 0.5}
    white = {"r": 1.0, "g": 1.0, "b": 1.0, "a": 1.0}
    return {
        "timestamp": time_of(t_ns),
        "frame_id": frame,
        "id": name,
        "lifetime": time_of(lifetime_ns),
        "frame_locked": True,
        "metadata": [{"key": key, "value": value} for key, value in sorted(known.items())],
        **{key: [] for key in ("arrows", "spheres", "cylinders", "lines", "triangles", "models")},
        "cubes": [
            {
                "pose": {"position": middle, "orientation": turned},
                "size": {"x": length, "y": width, "z": height},
                "color": {"r": 1.0, "g": 0.5, "b": 0.1, "a": 0.7},
            }
        ],
        "texts": [
            {
                "pose": {"position": above, "orientation": turned},
                "billboard": True,
                "font_size": 12.0,
                "scale_invariant": True,
                "color": white,
                "text": name,
            }
        ],
    }
