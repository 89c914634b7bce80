"""The simulated camera: one scene in, one picture with its truth out.

Here belongs the order of passes. Everything opaque writes colour, instance and depth at once; shadows, markings and
halos are blended over it and touch colour only (markings also the class). OpenGL is opened on construction: make one
renderer per process, after a fork.
"""

from collections.abc import Mapping
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera import agent_shaders, lens, shaders, textures
from services.fleet_simulator.camera.appearance import MeshKey, Wardrobe
from services.fleet_simulator.camera.cast import Cast, instances, lit_by_ego, shadows, sighted, signals_of
from services.fleet_simulator.camera.faces import HAIR_TONES, SKIN_TONES
from services.fleet_simulator.camera.gpu import Drawable, MeshPool, open_context, set_uniforms
from services.fleet_simulator.camera.ground import terrain_plane
from services.fleet_simulator.camera.illumination import Illumination, environment, illuminate, sky_panorama
from services.fleet_simulator.camera.images import UNITS, Images
from services.fleet_simulator.camera.scene import CameraSpec, ClassId, Frame, SceneState, Surroundings
from services.fleet_simulator.camera.shade import MAP_M, light_map, map_corner, sun_at
from services.fleet_simulator.camera.silhouettes import Silhouettes
from services.fleet_simulator.camera.town import CHUNK_M, Chunk, Town
from services.fleet_simulator.camera.truth import amodal_boxes, half_hidden, object_boxes, pii_boxes, pixels_of
from services.fleet_simulator.camera.view import View, view_of
from services.fleet_simulator.world.road_network import RoadNetwork

_STREAM: Final = 309
_SIGHT_M: Final = 330.0
_MIRRORED: Final = 8
"""Squares whose buildings a wet road mirrors; those of the others are a row of pixels."""
_MARKED: Final = 12
"""Squares whose lane markings are drawn; beyond them a line is a fraction of a pixel wide."""
_LAMP_AHEAD_M: Final = 2.9
_LAMP_HEIGHT_M: Final = 0.65
_PASSES: Final = {
    "block": (shaders.BLOCK_VERTEX, shaders.BLOCK_FRAGMENT),
    "ground": (shaders.GROUND_VERTEX, shaders.GROUND_FRAGMENT),
    "marking": (shaders.MARKING_VERTEX, shaders.MARKING_FRAGMENT),
    "shadow": (shaders.SHADOW_VERTEX, shaders.SHADOW_FRAGMENT),
    "sky": (shaders.SKY_VERTEX, shaders.SKY_FRAGMENT),
    "glow": (shaders.GLOW_VERTEX, shaders.GLOW_FRAGMENT),
    "agent": (agent_shaders.AGENT_VERTEX, agent_shaders.AGENT_FRAGMENT),
    "tree": (agent_shaders.TREE_VERTEX, agent_shaders.TREE_FRAGMENT),
}
_COLOUR_ONLY: Final = ((True,) * 4, (False,) * 4)
_ALL: Final = ((True,) * 4, (True,) * 4)
_CONSTANTS: Final[dict[str, Any]] = {
    "skins": [tuple(value**2 for value in tone) for tone in SKIN_TONES],
    "hairs": [tuple(value**2 for value in tone) for tone in HAIR_TONES],
    **agent_shaders.material_tables(),
    **UNITS,
}


class CameraRenderer:
    """A camera in a world.

    Args:
        network: The world.
        policy: Document `simulation`.
        camera: The camera.

    Raises:
        CameraUnavailableError: Without OpenGL; the message names what to install.
    """

    def __init__(self, network: RoadNetwork, policy: Mapping[str, Any], camera: CameraSpec) -> None:
        self.spec, self._policy = camera, policy
        self._gl = open_context()
        self._variants: dict[tuple[bool, bool], dict[str, Any]] = {}
        self._programs = self._variant(lamps=False, wet=False)
        self._town = Town(network)
        self._wardrobe = Wardrobe(policy)
        self._pool = MeshPool(self._gl, self._wardrobe.build)
        self._outlines: dict[MeshKey, Any] = {}
        self._silhouettes = Silhouettes(self._gl, self._pool)
        self._images = Images(self._gl)
        self._make_targets()
        self._stream_arrays: dict[int, dict[str, Any]] = {}
        self._light_key: Any = None
        self._map_key: Any = None

    def _variant(self, *, lamps: bool, wet: bool) -> dict[str, Any]:
        """Programs with or without lamps and water: the formulas that are not needed cost nothing."""
        if (lamps, wet) not in self._variants:
            defines = ("#define LAMPS\n" if lamps else "") + ("#define WET\n" if wet else "")
            self._variants[lamps, wet] = {
                name: self._gl.program(
                    vertex_shader=one.replace("//VARIANT\n", defines),
                    fragment_shader=two.replace("//VARIANT\n", defines),
                )
                for name, (one, two) in _PASSES.items()
            }
            for program in self._variants[lamps, wet].values():
                set_uniforms(program, _CONSTANTS)
        return self._variants[lamps, wet]

    def close(self) -> None:
        """Give everything back to the graphics library."""
        self._gl.release()

    def _make_targets(self) -> None:
        size = (self.spec.width, self.spec.height)
        self._colour = self._gl.renderbuffer(size, 4)
        self._truth = self._gl.renderbuffer(size, 2, dtype="u4")
        self._target = self._gl.framebuffer([self._colour, self._truth], self._gl.depth_renderbuffer(size))
        corners = np.array([-1, -1, 3, -1, -1, 3], dtype="f4")
        self._sky_array = Drawable(self._gl, corners.tobytes(), b"", "2f4", ("in_place",))
        self._shadow_buffer = self._gl.buffer(reserve=1 << 16)
        self._square = self._gl.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], dtype="f4").tobytes())
        self._halo_buffer = self._gl.buffer(reserve=1 << 14)
        names = ("in_position", "in_normal", "in_uv", "in_colour")
        self._terrain = Drawable(
            self._gl, terrain_plane(int(textures.Layer.GRASS)).tobytes(), b"", "3f4 3f4 2f4 4f1", names
        )
        self._bgr = np.empty((self.spec.height, self.spec.width, 4), dtype=np.uint8)
        self._ids = np.empty((self.spec.height, self.spec.width, 2), dtype=np.uint32)

    def render(self, scene: SceneState, camera: CameraSpec | None = None) -> Frame:
        """Draw a scene; the same scene gives the same bytes, whatever was drawn before.

        Args:
            scene: The scene.
            camera: Camera that looks elsewhere, of the same size.

        Raises:
            ValueError: When its size is another one.
        """
        spec = camera or self.spec
        if (spec.width, spec.height) != (self.spec.width, self.spec.height):
            raise ValueError(
                f"camera of {spec.width} x {spec.height} pixels: this renderer's pictures have "
                f"{self.spec.width} x {self.spec.height}. Make another renderer"
            )
        view = view_of(spec, scene.ego)
        light = self._lighting(scene.surroundings)
        reach = float(np.clip(5.0 / light.extinction_1pm, 60.0, _SIGHT_M))
        keys = self._town.keys_near(float(view.eye[0]), float(view.eye[1]), reach)
        shade = self._shade(view, light)
        cast = Cast(view, self._wardrobe, self._outlines, self._pool.mesh)
        cast.add_agents(scene.agents, scene.t_ns, self._images.plates(view.eye, scene.agents))
        wet = scene.surroundings.wetness
        indices = self._town.things_in(keys)
        lights = [thing for thing in map(self._town.things.__getitem__, indices) if thing.kind == "light"]
        in_sight = sighted(view, self._town.things, indices, self._town.places)
        cast.add_things(in_sight, signals_of(scene, lights), light.lamps)
        cast.vehicle_halos(scene.t_ns, light.lamps, wet)
        self._programs = self._variant(lamps=light.lamps > 0.0 or lit_by_ego(scene.ego.lamps) > 0.0, wet=wet > 0.0)
        self._set_scene(view, light, scene)
        visible = self._in_sight(view, keys)
        chunks = [self._town.chunk(self._gl, key) for key in visible]
        self._draw(view, cast, chunks, wet)
        self._blend(view, light, cast, chunks, shade)
        return self._frame(view, light, scene, cast)

    def _lighting(self, surroundings: Surroundings) -> Illumination:
        light = illuminate(surroundings, self._policy["camera"]["light"])
        if self._light_key != surroundings:
            panorama = sky_panorama(surroundings, light)
            self._images.write("panorama", panorama)
            self._images.write("environment", environment(panorama, light))
            self._light_key = surroundings
        return light

    def _shade(self, view: View, light: Illumination) -> tuple[NDArray[np.uint8], tuple[float, float]]:
        corner = map_corner(float(view.eye[0]), float(view.eye[1]))
        if self._map_key is None or self._map_key[0] != (corner, light.to_sun):
            middle = corner[0] + MAP_M / 2.0, corner[1] + MAP_M / 2.0
            keys = self._town.keys_near(*middle, MAP_M * 0.95)
            things = [self._town.things[index] for index in self._town.things_in(keys)]
            picture = light_map(corner, light.to_sun, self._town.buildings_in(keys), things)
            self._images.write("light_map", picture)
            self._map_key = ((corner, light.to_sun), picture)
        return self._map_key[1], corner

    @staticmethod
    def _in_sight(view: View, keys: list[tuple[int, int]]) -> list[tuple[int, int]]:
        offset = (np.array(keys, dtype=np.float64).reshape(-1, 2) + 0.5) * CHUNK_M - view.eye[:2]
        forward = view.axes[2]
        along = offset @ forward[:2]
        across = np.abs(offset[:, 0] * forward[1] - offset[:, 1] * forward[0])
        slope = view.spec.width / 2.0 / view.spec.focal_px
        seen = (along > -CHUNK_M) & (across < slope * np.maximum(along, 0.0) + 1.25 * CHUNK_M)
        return [keys[index] for index in np.flatnonzero(seen).tolist()]

    def _set_scene(self, view: View, light: Illumination, scene: SceneState) -> None:
        eye = view.eye
        corner = map_corner(float(eye[0]), float(eye[1]))
        lamp = np.array([np.cos(view.vehicle_yaw_rad), np.sin(view.vehicle_yaw_rad)]) * _LAMP_AHEAD_M
        place = (scene.ego.x_m + lamp[0] - eye[0], scene.ego.y_m + lamp[1] - eye[1], _LAMP_HEIGHT_M - eye[2])
        values = {
            "view_projection": tuple(view.matrix().T.astype("f4").ravel().tolist()),
            "to_sun": light.to_sun,
            "sun": light.sun,
            "sky": light.sky,
            "ground_light": light.ground,
            "haze": light.haze,
            "lamps": light.lamps,
            "exposure": light.exposure,
            "extinction": light.extinction_1pm * 1.442695,
            "map_place": (corner[0] - float(eye[0]), corner[1] - float(eye[1]), 1.0 / MAP_M),
            "ego_lamp": (*(float(value) for value in place), view.vehicle_yaw_rad),
            "ego_lit": lit_by_ego(scene.ego.lamps),
            "eye_height": float(eye[2]),
            "mirror": 1.0,
            "focal": view.spec.focal_px,
            "wet": scene.surroundings.wetness,
            "rays": tuple(view.rays().T.astype("f4").ravel().tolist()),
            "fogged": float(np.clip(1.0 - scene.surroundings.visibility_m / 3000.0, 0.0, 1.0)),
            "right": tuple(view.axes[0].tolist()),
            "up": tuple(view.axes[1].tolist()),
        }
        for program in self._programs.values():
            set_uniforms(program, values)
        self._images.use()

    def _draw(self, view: View, cast: Cast, chunks: list[Chunk], wet: float) -> None:
        gl = self._gl
        self._target.use()
        self._target.color_mask, self._target.depth_mask = _ALL, True
        self._target.clear(0.0, 0.0, 0.0, 1.0, depth=1.0)
        gl.enable_only(gl.DEPTH_TEST | gl.CULL_FACE)
        gl.front_face = "cw"
        if wet > 0.0:
            self._mirrored(view, cast, chunks)
        self._instances(cast.groups, "agent")
        self._chunk_pass(view, chunks, "building", "block", ClassId.BUILDING)
        gl.disable(gl.CULL_FACE)
        self._instances(cast.trees, "tree")
        if wet > 0.0:
            gl.enable(gl.BLEND)
            gl.blend_func = gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA
        self._chunk_pass(view, chunks, "road", "ground", ClassId.ROAD)
        self._chunk_pass(view, chunks, "sidewalk", "ground", ClassId.SIDEWALK)
        gl.disable(gl.BLEND)
        snapped = np.floor(view.eye[:2] / 8.0) * 8.0 - view.eye[:2]
        set_uniforms(
            self._programs["ground"],
            {"offset": (*snapped.tolist(), -0.03 - float(view.eye[2])), "class_id": int(ClassId.TERRAIN), "wet": 0.0},
        )
        self._terrain.render(self._programs["ground"])

    def _mirrored(self, view: View, cast: Cast, chunks: list[Chunk]) -> None:
        """What a wet road shows of things that stand on it, upside down; the road is then blended over it."""
        gl = self._gl
        gl.disable(gl.CULL_FACE)
        self._sky(slice(max(0, view.sky_rows() - 8), self.spec.height))
        gl.enable(gl.CULL_FACE)
        for name in ("agent", "block", "tree"):
            self._programs[name]["mirror"].value = -1.0
        gl.front_face = "ccw"
        self._instances(cast.groups, "agent")
        self._chunk_pass(view, chunks[:_MIRRORED], "building", "block", ClassId.BUILDING)
        gl.front_face = "cw"
        for name in ("agent", "block", "tree"):
            self._programs[name]["mirror"].value = 1.0

    def _instances(self, groups: Mapping[MeshKey, list[tuple[Any, ...]]], program: str) -> None:
        for key, records in groups.items():
            self._pool.draw(self._programs[program], key, instances(records))

    def _chunk_pass(self, view: View, chunks: list[Chunk], name: str, program: str, class_id: ClassId) -> None:
        one = self._programs[program]
        one["class_id"].value = int(class_id)
        for chunk in chunks:
            array = chunk.arrays.get(name)
            if array is not None:
                offset = chunk.middle - view.eye[:2]
                one["offset"].value = (float(offset[0]), float(offset[1]), -float(view.eye[2]))
                array.render(one)

    def _sky(self, rows: slice) -> None:
        gl = self._gl
        self._target.scissor = (0, rows.start, self.spec.width, rows.stop - rows.start)
        gl.depth_func = "<="
        self._target.depth_mask = False
        self._sky_array.render(self._programs["sky"])
        self._target.scissor = None
        self._target.depth_mask = True
        gl.depth_func = "<"

    def _blend(
        self,
        view: View,
        light: Illumination,
        cast: Cast,
        chunks: list[Chunk],
        shade: tuple[NDArray[np.uint8], tuple[float, float]],
    ) -> None:
        gl = self._gl
        self._sky(slice(0, view.sky_rows()))
        gl.enable(gl.BLEND)
        gl.blend_func = gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA
        gl.polygon_offset = -1.0, -1.0
        self._target.depth_mask = False
        self._chunk_pass(view, chunks[:_MARKED], "marking", "marking", ClassId.LANE_MARKING)
        self._target.color_mask = _COLOUR_ONLY
        strength = float(
            np.clip(np.mean(light.sun) / max(float(np.mean(light.sky)) + float(np.mean(light.sun)), 1e-6), 0.0, 1.0)
        )
        dark = shadows(view, cast.agents, light.to_sun, lambda x, y: strength * sun_at(*shade, x, y))
        if len(dark):
            self._write(self._shadow_buffer, dark.astype("f4").tobytes())
            self._streams()["shadow"].render(vertices=len(dark))
        gl.polygon_offset = 0.0, 0.0
        if cast.halos:
            gl.blend_func = gl.ONE, gl.ONE
            self._write(self._halo_buffer, np.array(cast.halos, dtype="f4").tobytes())
            self._streams()["glow"].render(mode=gl.TRIANGLE_STRIP, instances=len(cast.halos))
        gl.disable(gl.BLEND)
        self._target.color_mask, self._target.depth_mask = _ALL, True

    def _streams(self) -> dict[str, Any]:
        """Vertex arrays of what changes with every picture, for the programs in use."""
        key = id(self._programs["glow"])
        if key not in self._stream_arrays:
            halos = [(self._square, "2f4", "in_corner"), (self._halo_buffer, "4f4 4f4 /i", "in_centre", "in_light")]
            self._stream_arrays[key] = {
                "shadow": self._gl.vertex_array(self._programs["shadow"], [(self._shadow_buffer, "4f4", "in_place")]),
                "glow": self._gl.vertex_array(self._programs["glow"], halos),
            }
        return self._stream_arrays[key]

    @staticmethod
    def _write(buffer: Any, data: bytes) -> None:
        if len(data) > buffer.size:
            buffer.orphan(2 * len(data))
        buffer.write(data)

    def _frame(self, view: View, light: Illumination, scene: SceneState, cast: Cast) -> Frame:
        self._target.read_into(self._bgr, components=4, attachment=0, alignment=1)
        self._target.read_into(self._ids, components=2, attachment=1, dtype="u4", alignment=1)
        planes = cv2.split(self._ids.view(np.int32))
        instance, depth = planes[0].view(np.uint32), planes[1].view(np.float32)
        shapes, pixels = amodal_boxes(view, cast.drawn), pixels_of(instance)
        doubtful = half_hidden(shapes, pixels, instance, depth)
        whole = self._silhouettes.pixels(view, {number: shapes[number][0] for number in doubtful}, cast)
        boxes = object_boxes(view, cast.drawn, pixels, shapes, whole)
        pii = pii_boxes(view, cast.drawn, instance, depth)
        classes = {thing.instance: thing.class_id for thing in cast.drawn}
        return Frame(self._developed(light, scene), instance, depth, boxes, pii, classes)

    def _developed(self, light: Illumination, scene: SceneState) -> NDArray[np.uint8]:
        rng = np.random.default_rng([_STREAM, scene.seed, scene.t_ns])
        picture = lens.soften(np.asarray(cv2.cvtColor(self._bgr, cv2.COLOR_BGRA2BGR), dtype=np.uint8))
        around = scene.surroundings
        if light.lamps > 0.3:  # noqa: PLR2004
            picture = lens.bloom(picture, 0.8 * light.lamps)
        if around.condition == "rain":
            picture = lens.rain(picture, around.rain_mm_h, 1.0 - 0.6 * light.lamps, rng)
            picture = lens.drops(picture, around.rain_mm_h, scene.t_ns, scene.seed)
        if scene.smear > 0.0:
            picture = lens.smear(picture, scene.smear, scene.seed)
        return lens.add_noise(picture, light.noise, rng)
