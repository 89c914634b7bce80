"""What really is in a camera's pictures, as tables beside the drive that grow with it, not in memory.

Here belong `camera_boxes.parquet` and `camera_pii.parquet` (every picture) and `camera_pixels.parquet` (masks and
depth, at the policy's rate, each as a lossless PNG). Where objects are in a picture is found in `camera/truth.py`.

- ``semantic``: 8 bits, values of `camera.scene.ClassId`.
- ``objects``: 16 bits, 0 where there is no object, else k for the k-th number of the column ``instances``.
- ``depth``: 16 bits, distance along the optical axis in steps of ``depth_step_mm``, 0 for the sky and for what is
  farther than they reach.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.drive_truth import NS_PER_S

if TYPE_CHECKING:
    import pyarrow as pa

    from services.fleet_simulator.camera.scene import Frame

BOXES: Final = "camera_boxes.parquet"
PII: Final = "camera_pii.parquet"
PIXELS: Final = "camera_pixels.parquet"
_MM: Final = 1000
_GROUP_FRAMES: Final = 100
_EDGES: Final = ("left", "top", "right", "bottom")
_BOX_TYPES: Final[Mapping[str, str]] = {
    "t_ns": "int64",
    "instance": "int64",
    "agent_id": "int64",
    "class": "string",
    "kind": "string",
    **dict.fromkeys(_EDGES, "int32"),
    **{f"full_{edge}": "float64" for edge in _EDGES},
    "pixels": "int64",
    "occlusion": "float64",
    "truncation": "float64",
    "distance_mm": "int64",
}
_PII_TYPES: Final[Mapping[str, str]] = {
    "t_ns": "int64",
    "kind": "string",
    "agent_id": "int64",
    **dict.fromkeys(_EDGES, "float64"),
    "text": "string",
    "distance_mm": "int64",
    "facing": "float64",
    "visible_share": "float64",
}
_PIXEL_TYPES: Final[Mapping[str, str]] = {
    "t_ns": "int64",
    "semantic": "binary",
    "objects": "binary",
    "instances": "int64s",
    "depth": "binary",
    "depth_step_mm": "int32",
}
_TABLES: Final = {BOXES: _BOX_TYPES, PII: _PII_TYPES, PIXELS: _PIXEL_TYPES}


class PictureTruth:
    """Takes the pictures of one drive in the order of time; call `finish` after the last.

    Args:
        folder: The drive's folder of truth; made when it is not there.
        policy: Key `camera.pixel_truth` of the document `simulation`.
    """

    def __init__(self, folder: Path, policy: Mapping[str, Any]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        self._period_ns = round(NS_PER_S / policy["rate_hz"])
        self._step_mm = int(policy["depth_step_mm"])
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _TABLES}
        self._schemas = {name: _schema(types) for name, types in _TABLES.items()}
        options: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "store_schema": False}
        self._writers = {
            name: pq.ParquetWriter(pa.OSFile(str(folder / name), "wb"), schema, **options)
            for name, schema in self._schemas.items()
        }
        self._frames, self._kept = 0, -1

    def add(self, at_ns: int, frame: "Frame") -> None:
        """Keep what is in a picture."""
        self._rows[BOXES] += [_box_row(at_ns, box) for box in frame.boxes]
        self._rows[PII] += [_pii_row(at_ns, found) for found in frame.pii]
        if at_ns // self._period_ns != self._kept:
            self._kept = at_ns // self._period_ns
            self._rows[PIXELS].append(self._pixel_row(at_ns, frame))
        self._frames += 1
        if self._frames % _GROUP_FRAMES == 0:
            self._flush()

    def finish(self) -> None:
        """Write what is left and close the files."""
        self._flush()
        for writer in self._writers.values():
            writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        for name, rows in self._rows.items():
            if rows:
                self._writers[name].write_table(pa.Table.from_pylist(rows, schema=self._schemas[name]))
                rows.clear()

    def _pixel_row(self, at_ns: int, frame: "Frame") -> dict[str, Any]:
        objects, instances = numbered(frame.instance)
        return {
            "t_ns": at_ns,
            "semantic": _png(frame.semantic()),
            "objects": _png(objects),
            "instances": instances,
            "depth": _png(depth_steps(frame.depth_m, self._step_mm)),
            "depth_step_mm": self._step_mm,
        }


def numbered(instance: NDArray[np.uint32]) -> tuple[NDArray[np.uint16], list[int]]:
    """Objects of a mask counted from 1 on, uint16[h, w] with 0 for no object, and their instances in that order."""
    from services.fleet_simulator.camera.scene import FIRST_INSTANCE

    result = np.zeros(instance.shape, dtype=np.uint16)
    things = instance >= FIRST_INSTANCE
    values, places = np.unique(instance[things], return_inverse=True)
    result[things] = (places + 1).astype(np.uint16)
    return result, [int(value) for value in values]


def depth_steps(depth_m: NDArray[np.float32], step_mm: int) -> NDArray[np.uint16]:
    """Depth in whole steps, 0 where there is none or it is too far."""
    steps = np.rint(depth_m.astype(np.float64) * (_MM / step_mm))
    return np.asarray(np.where(steps <= np.iinfo(np.uint16).max, steps, 0.0), dtype=np.uint16)


def _png(picture: NDArray[Any]) -> bytes:
    import cv2

    ok, content = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not ok:
        raise RuntimeError("a mask cannot be written as PNG. Check the installation of OpenCV")
    return content.tobytes()


def _schema(types: Mapping[str, str]) -> "pa.Schema":
    import pyarrow as pa

    made = {"int64s": pa.list_(pa.int64())}
    return pa.schema([(name, made[kind] if kind in made else getattr(pa, kind)()) for name, kind in types.items()])


def _box_row(at_ns: int, box: Any) -> dict[str, Any]:
    return {
        "t_ns": at_ns,
        "instance": box.instance,
        "agent_id": box.agent_id,
        "class": box.class_id.name.lower(),
        "kind": box.kind,
        **dict(zip(_EDGES, box.visible or (None,) * 4, strict=True)),
        **{f"full_{edge}": value for edge, value in zip(_EDGES, box.amodal, strict=True)},
        "pixels": box.pixels,
        "occlusion": box.occlusion,
        "truncation": box.truncation,
        "distance_mm": round(box.distance_m * _MM),
    }


def _pii_row(at_ns: int, found: Any) -> dict[str, Any]:
    return {
        "t_ns": at_ns,
        "kind": found.kind,
        "agent_id": found.agent_id,
        **dict(zip(_EDGES, found.box, strict=True)),
        "text": found.text,
        "distance_mm": round(found.distance_m * _MM),
        "facing": found.facing,
        "visible_share": found.visible_share,
    }
