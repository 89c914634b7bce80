"""The camera's pictures of a drive, as JPEG, and their truth as tables.

Here belongs the way from a drive to pictures one after the other. Drawing one is in `camera/`, the messages that carry
them are in `sensors/camera.py`. Needs OpenGL; without it every other sensor still works.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.fleet_simulator.drive_truth import DrivePlan, DriveTruth
from services.fleet_simulator.world.road_network import RoadNetwork

if TYPE_CHECKING:
    from services.fleet_simulator.camera.renderer import CameraRenderer
    from services.fleet_simulator.camera.scene import Frame

QUALITY: Final = 85
_MM: Final = 1000


class Pictures:
    """Draws the pictures of one drive, in the order of time, and keeps what is in them.

    Args:
        truth: The drive.
        renderer: Camera in the drive's world; it may have drawn other drives before.
    """

    def __init__(self, truth: DriveTruth, renderer: "CameraRenderer") -> None:
        self._truth, self._renderer = truth, renderer
        self._boxes: list[dict[str, Any]] = []
        self._pii: list[dict[str, Any]] = []
        self._last: tuple[int, bytes] = (-1, b"")

    @property
    def plan(self) -> DrivePlan:
        """The plan of the drive."""
        return self._truth.plan

    def without_truth(self) -> "Pictures":
        """The same pictures for a second recording of the drive; their truth is kept by the first."""
        return Pictures(self._truth, self._renderer)

    def __call__(self, at_ns: int) -> bytes:
        """The picture at a true time as JPEG."""
        import cv2

        from services.fleet_simulator.camera.from_truth import scene_at

        if self._last[0] != at_ns:
            frame = self._renderer.render(scene_at(self._truth, at_ns))
            self._keep(at_ns, frame)
            ok, content = cv2.imencode(".jpg", frame.bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            if not ok:
                raise RuntimeError(f"picture at {at_ns}: cannot be written as JPEG. Check the installation of OpenCV")
            self._last = at_ns, content.tobytes()
        return self._last[1]

    def _keep(self, at_ns: int, frame: "Frame") -> None:
        for box in frame.boxes:
            left, top, right, bottom = box.visible or (None, None, None, None)
            self._boxes.append(
                {
                    "t_ns": at_ns,
                    "instance": box.instance,
                    "agent_id": box.agent_id,
                    "class": box.class_id.name.lower(),
                    "kind": box.kind,
                    "left": left,
                    "top": top,
                    "right": right,
                    "bottom": bottom,
                    **dict(zip(("full_left", "full_top", "full_right", "full_bottom"), box.amodal, strict=True)),
                    "pixels": box.pixels,
                    "occlusion": box.occlusion,
                    "truncation": box.truncation,
                    "distance_mm": round(box.distance_m * _MM),
                }
            )
        for found in frame.pii:
            self._pii.append(
                {
                    "t_ns": at_ns,
                    "kind": found.kind,
                    "agent_id": found.agent_id,
                    **dict(zip(("left", "top", "right", "bottom"), found.box, strict=True)),
                    "text": found.text,
                    "distance_mm": round(found.distance_m * _MM),
                    "facing": found.facing,
                    "visible_share": found.visible_share,
                }
            )

    def write_truth(self, folder: Path) -> None:
        """Write `camera_boxes.parquet` and `camera_pii.parquet` into the drive's folder of truth."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for name, rows, kinds in (("boxes", self._boxes, _BOX_TYPES), ("pii", self._pii, _PII_TYPES)):
            schema = pa.schema([(column, getattr(pa, kind)()) for column, kind in kinds.items()])
            table = pa.Table.from_pylist(rows, schema=schema)
            pq.write_table(
                table, folder / f"camera_{name}.parquet", compression="zstd", compression_level=1, store_schema=False
            )


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


def make_renderer(network: RoadNetwork, policy: Mapping[str, Any]) -> "CameraRenderer":
    """The front camera in a world.

    Raises:
        CameraUnavailableError: Without OpenGL; the message names what to install.
    """
    from services.fleet_simulator.camera.renderer import CameraRenderer
    from services.fleet_simulator.camera.scene import CameraSpec

    return CameraRenderer(network, policy, CameraSpec())
