"""The graphics library: opening it, programs, meshes with their instances.

Here belongs what every pass needs of OpenGL. What is drawn in which order is in `renderer.py`.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera.meshes.mesh import Mesh

PACKAGES: Final = ("libegl1", "libegl-mesa0", "libgl1-mesa-dri")
"""Debian packages that give OpenGL without a screen."""
INSTANCE: Final = np.dtype(
    [("place", "f4", 4), ("scale", "f4", 4), ("paint", "f4", 4), ("cloth", "f4", 4), ("lit", "f4", 4), ("id", "u4")]
)
"""One drawn copy of a mesh; fields as in `agent_shaders.py`."""
_INSTANCE_LAYOUT: Final = "4f4 4f4 4f4 4f4 4f4 1u4 /i"
_INSTANCE_NAMES: Final = ("in_place", "in_scale", "in_paint", "in_cloth", "in_lit", "in_id")
_VERTEX_NAMES: Final = ("in_position", "in_normal", "in_uv", "in_colour")
_VERTEX_LAYOUT: Final = "3f4 3f4 2f4 4f1"
_SIZES: Final = {"f4": 4, "u4": 4}


class CameraUnavailableError(RuntimeError):
    """No OpenGL on this machine; the message says what to install."""


def open_context() -> Any:
    """A context without a screen, in this process; make it after a fork, never before.

    Raises:
        CameraUnavailableError: When the Python package or the system's libraries are missing.
    """
    # Mesa's own threads would make every process fight for all cores; one process per core is faster.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    remedy = f"Install Debian's packages with `apt-get install -y {' '.join(PACKAGES)}`, or simulate without cameras."
    try:
        import moderngl
    except ImportError as error:
        raise CameraUnavailableError(f"the simulated camera needs the Python package moderngl: {error}.") from error
    try:
        create: Any = moderngl.create_standalone_context
        context = create(backend="egl", require=330)
    except Exception as error:
        raise CameraUnavailableError(
            f"the simulated camera needs OpenGL 3.3 through EGL, which does not start here: {error}. {remedy}"
        ) from error
    return context


def unavailable_reason() -> str | None:
    """Why there can be no camera here, or None."""
    try:
        open_context().release()
    except CameraUnavailableError as error:
        return str(error)
    return None


def set_uniforms(program: Any, values: Mapping[str, Any]) -> None:
    """Set those of the values that the program uses."""
    for name, value in values.items():
        member = program.get(name, None)
        if member is not None:
            member.value = value


def vertex_bytes(mesh: Mesh) -> bytes:
    """Vertices as the programs read them."""
    count = len(mesh.position)
    record = np.empty(count, dtype=[("p", "f4", 3), ("n", "f4", 3), ("uv", "f4", 2), ("c", "u1", 4)])
    record["p"], record["n"], record["uv"], record["c"] = mesh.position, mesh.normal, mesh.uv, mesh.colour
    return record.tobytes()


def used(program: Any, layout: str, names: tuple[str, ...]) -> tuple[str, list[str]]:
    """Layout and names without those attributes that the program does not read (they are skipped as padding)."""
    parts, kept = [], []
    tail = " /i" if layout.endswith("/i") else ""
    for part, name in zip(layout.removesuffix("/i").split(), names, strict=True):
        if program.get(name, None) is not None:
            parts.append(part)
            kept.append(name)
        else:
            parts.append(f"{int(part[0]) * (_SIZES.get(part[1:], 1))}x")
    return " ".join(parts) + tail, kept


class Drawable:
    """Triangles on the graphics card that several programs may draw.

    Args:
        context: Graphics library.
        vertices: Vertices.
        index: Triangles, uint32, or nothing for vertices in order.
        layout: Layout of a vertex.
        names: Attributes.
    """

    def __init__(self, context: Any, vertices: bytes, index: bytes, layout: str, names: tuple[str, ...]) -> None:
        self._context, self._layout, self._names = context, layout, names
        self._vertices = context.buffer(vertices)
        self._index = context.buffer(index) if index else None
        self._arrays: dict[int, Any] = {}

    def render(self, program: Any) -> None:
        """Draw with a program."""
        array = self._arrays.get(id(program))
        if array is None:
            layout, names = used(program, self._layout, self._names)
            content = [(self._vertices, layout, *names)]
            array = self._context.vertex_array(program, content, self._index, index_element_size=4)
            self._arrays[id(program)] = array
        array.render()

    def release(self) -> None:
        """Give the buffers back."""
        for one in (*self._arrays.values(), self._vertices, self._index):
            if one is not None:
                one.release()


class MeshPool:
    """Meshes on the graphics card, each with room for instances; made when first drawn."""

    def __init__(self, context: Any, build: Callable[[Any], Mesh]) -> None:
        self._context, self._build = context, build
        self._entries: dict[Any, dict[str, Any]] = {}

    def mesh(self, key: Any) -> Mesh:
        """The mesh of a key."""
        mesh: Mesh = self._entry(key)["mesh"]
        return mesh

    def _entry(self, key: Any) -> dict[str, Any]:
        entry = self._entries.get(key)
        if entry is None:
            mesh = self._build(key)
            entry = {
                "mesh": mesh,
                "vertices": self._context.buffer(vertex_bytes(mesh)),
                "index": self._context.buffer(mesh.triangles.astype("u4").tobytes()),
                "instances": self._context.buffer(reserve=64 * INSTANCE.itemsize),
                "arrays": {},
            }
            self._entries[key] = entry
        return entry

    def draw(self, program: Any, key: Any, instances: NDArray[Any]) -> None:
        """Draw copies of a mesh, in the order given."""
        entry = self._entry(key)
        if instances.nbytes > entry["instances"].size:
            entry["instances"].orphan(2 * instances.nbytes)
        entry["instances"].write(instances.tobytes())
        array = entry["arrays"].get(id(program))
        if array is None:
            vertices, vertex_names = used(program, _VERTEX_LAYOUT, _VERTEX_NAMES)
            layout, names = used(program, _INSTANCE_LAYOUT, _INSTANCE_NAMES)
            array = self._context.vertex_array(
                program,
                [(entry["vertices"], vertices, *vertex_names), (entry["instances"], layout, *names)],
                entry["index"],
                index_element_size=4,
            )
            entry["arrays"][id(program)] = array
        array.render(instances=len(instances))
