"""The standing world on the graphics card, in square chunks that are built when they come near.

Here belong chunks and their buffers. What stands where is in `layout.py`, flat things in `ground.py`.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera.gpu import Drawable, vertex_bytes
from services.fleet_simulator.camera.ground import Patch, Strip, edge_lines, junction_patches, markings, road_patches
from services.fleet_simulator.camera.layout import Building, Thing, lay_out
from services.fleet_simulator.camera.meshes.buildings import building
from services.fleet_simulator.camera.meshes.mesh import Mesh, merged, triangles_mesh
from services.fleet_simulator.camera.textures import Layer
from services.fleet_simulator.world.road_network import RoadNetwork

FloatArray = NDArray[np.float64]
CHUNK_M: Final = 64.0
_KEPT: Final = 400
_LAYERS: Final = {"road": (Layer.ASPHALT, 1.0), "sidewalk": (Layer.PAVING, 1.0), "kerb": (Layer.KERB, 1.0)}
_CLASS_OF_PATCH: Final = {"road": "road", "sidewalk": "sidewalk", "kerb": "sidewalk"}
Key = tuple[int, int]


@dataclass
class _Content:
    patches: list[Patch] = field(default_factory=list)
    strips: list[Strip] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)
    things: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Chunk:
    """Buffers of one square by pass (``road``, ``sidewalk``, ``building``, ``marking``) around its middle."""

    middle: FloatArray
    arrays: dict[str, Drawable]


class Town:
    """A network with everything that stands along it.

    Args:
        network: The network.
    """

    def __init__(self, network: RoadNetwork) -> None:
        layout = lay_out(network)
        self.things: tuple[Thing, ...] = layout.things
        self.buildings: tuple[Building, ...] = layout.buildings
        self._contents: dict[Key, _Content] = {}
        lines = edge_lines(network)
        for line in lines:
            for middle, patches in road_patches(line):
                self._at(middle).patches += patches
            for strip in markings(network, line):
                self._at(strip[0].mean(axis=0)).strips.append(strip)
        for middle, patches in junction_patches(network, lines):
            self._at(middle).patches += patches
        for block in layout.buildings:
            self._at(np.array([block.x_m, block.y_m])).buildings.append(block)
        for index, thing in enumerate(layout.things):
            self._at(np.array([thing.x_m, thing.y_m])).things.append(index)
        self._loaded: OrderedDict[Key, Chunk] = OrderedDict()
        self.places = np.array([(thing.x_m, thing.y_m) for thing in layout.things]).reshape(-1, 2)
        self._keys = sorted(self._contents)
        self._middles = (np.array(self._keys, dtype=np.float64).reshape(-1, 2) + 0.5) * CHUNK_M

    def _at(self, place: FloatArray) -> _Content:
        key = (int(np.floor(place[0] / CHUNK_M)), int(np.floor(place[1] / CHUNK_M)))
        return self._contents.setdefault(key, _Content())

    def keys_near(self, x_m: float, y_m: float, reach_m: float) -> list[Key]:
        """Squares with something in them whose middle is within reach, nearest first."""
        away = np.hypot(self._middles[:, 0] - x_m, self._middles[:, 1] - y_m)
        near = np.flatnonzero(away < reach_m)
        return [self._keys[index] for index in near[np.argsort(away[near], kind="stable")].tolist()]

    def things_in(self, keys: Iterable[Key]) -> list[int]:
        """Indices into `things` of squares."""
        return [index for key in keys for index in self._contents[key].things]

    def buildings_in(self, keys: Iterable[Key]) -> list[Building]:
        """Blocks of squares."""
        return [block for key in keys for block in self._contents[key].buildings]

    def chunk(self, context: Any, key: Key) -> Chunk:
        """A square's buffers; the longest unused are given back."""
        chunk = self._loaded.get(key)
        if chunk is None:
            chunk = _load(context, key, self._contents[key])
            self._loaded[key] = chunk
            if len(self._loaded) > _KEPT:
                _, old = self._loaded.popitem(last=False)
                for array in old.arrays.values():
                    array.release()
        self._loaded.move_to_end(key)
        return chunk


def _load(context: Any, key: Key, content: _Content) -> Chunk:
    middle = (np.array(key) + 0.5) * CHUNK_M
    arrays: dict[str, Drawable] = {}
    for kind in ("road", "sidewalk"):
        patches = [patch for patch in content.patches if _CLASS_OF_PATCH[patch.kind] == kind]
        if patches:
            arrays[kind] = _mesh_array(context, merged([_ground_mesh(patch, middle) for patch in patches]))
    if content.buildings:
        blocks = [_placed(block, middle) for block in content.buildings]
        arrays["building"] = _mesh_array(context, merged(blocks))
    if content.strips:
        arrays["marking"] = _strip_array(context, content.strips, middle)
    return Chunk(middle, arrays)


def _ground_mesh(patch: Patch, middle: FloatArray) -> Mesh:
    layer, tint = _LAYERS[patch.kind]
    position = patch.position - np.array([middle[0], middle[1], 0.0])
    return triangles_mesh(position, patch.triangles, (tint,) * 3, layer, normal=patch.normal, uv=patch.uv)


def _placed(block: Building, middle: FloatArray) -> Mesh:
    mesh = building(
        block.width_m, block.depth_m, block.height_m, block.style, block.tint, shop=block.shop, gabled=block.gabled
    )
    return mesh.turned("z", block.yaw_rad).moved(block.x_m - middle[0], block.y_m - middle[1])


def _mesh_array(context: Any, mesh: Mesh) -> Drawable:
    return Drawable(
        context,
        vertex_bytes(mesh),
        mesh.triangles.tobytes(),
        "3f4 3f4 2f4 4f1",
        ("in_position", "in_normal", "in_uv", "in_colour"),
    )


def _strip_array(context: Any, strips: list[Strip], middle: FloatArray) -> Drawable:
    rows, faces, start = [], [], 0
    for points, across, half in strips:
        count = len(points)
        rows += [
            np.column_stack([points - middle, across, np.full(count, side), np.full(count, half)])
            for side in (1.0, -1.0)
        ]
        index = np.arange(count - 1) + start
        faces += [
            np.stack([index, index + count, index + count + 1], 1),
            np.stack([index, index + count + 1, index + 1], 1),
        ]
        start += 2 * count
    data = np.concatenate(rows).astype("f4").tobytes()
    index_data = np.concatenate(faces).astype("u4").tobytes()
    return Drawable(context, data, index_data, "2f4 2f4 1f4 1f4", ("in_place", "in_across", "in_side", "in_half"))
