"""From a scene to what the graphics library draws: instances, shadows, halos of lamps.

Here belong lists of drawn things, nearest first. How they look is in `appearance.py`, drawing in `renderer.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.fleet_simulator.camera.appearance import TRAILER, MeshKey, Wardrobe, lamp_levels
from services.fleet_simulator.camera.gpu import INSTANCE
from services.fleet_simulator.camera.layout import Thing
from services.fleet_simulator.camera.meshes.trees import VARIANTS
from services.fleet_simulator.camera.scene import (
    CLASS_OF_KIND,
    FIRST_INSTANCE,
    Agent,
    ClassId,
    Lamp,
    SceneState,
    Signal,
    Trailer,
)
from services.fleet_simulator.camera.shade import outlines, soft_triangles
from services.fleet_simulator.camera.truth import Drawn, outline_of
from services.fleet_simulator.camera.view import View

FloatArray = NDArray[np.float64]
FIRST_STATIC: Final = FIRST_INSTANCE + 1_000_000
"""Instances of lights, signs and cones; agents lie below."""
_TREE_BOUNDS_M: Final = (26.0, 75.0)
_NEAR_M: Final = 30.0
"""Beyond it lights and lanterns are drawn coarser."""
_REACH_M: Final = 260.0
_THING_M: Final = 5.0
"""Radius of things at the roadside."""
_SHADOW_M: Final = 70.0
_DARK_GREY: Final = (0.05, 0.05, 0.055, 0.0)


class Cast:
    """What is drawn in one picture.

    Attributes:
        groups: Instances by mesh, agents and things.
        trees: Instances by mesh, trees.
        agents: Road users that may be seen, nearest first.
        drawn: What truth is wanted of, in the order of `groups`.
        parts_of: Mesh and instance record of every part of an object, by number.
    """

    def __init__(self, view: View, wardrobe: Wardrobe, outlines: dict[MeshKey, Any], mesh_of: Any) -> None:
        self._view, self._wardrobe, self._outlines, self._mesh_of = view, wardrobe, outlines, mesh_of
        self.groups: dict[MeshKey, list[tuple[Any, ...]]] = {}
        self.trees: dict[MeshKey, list[tuple[Any, ...]]] = {}
        self.drawn: list[Drawn] = []
        self.parts_of: dict[int, list[tuple[MeshKey, tuple[Any, ...]]]] = {}
        self.halos: list[tuple[float, ...]] = []
        self.agents: list[Agent] = []

    def _ahead(self, x_m: float, y_m: float, radius_m: float) -> float | None:
        """Distance, or None where it cannot be in the picture."""
        dx, dy = x_m - float(self._view.eye[0]), y_m - float(self._view.eye[1])
        away = float(np.hypot(dx, dy))
        forward = self._view.axes[2]
        along = dx * float(forward[0]) + dy * float(forward[1])
        across = abs(dx * float(forward[1]) - dy * float(forward[0]))
        slope = self._view.spec.width / 2.0 / self._view.spec.focal_px
        if along < -radius_m or away > _REACH_M or across > slope * max(along, 0.0) + 1.6 * radius_m:
            return None
        return away

    def add_agents(self, agents: Sequence[Agent], t_ns: int, slots: Mapping[str, int]) -> None:
        """Road users, nearest first; those that may be seen."""
        near = [(self._ahead(one.x_m, one.y_m, one.length_m / 2.0 + 1.5), one) for one in agents]
        ordered = sorted(
            ((away, one.agent_id, one) for away, one in near if away is not None), key=lambda item: item[:2]
        )
        for away, agent_id, one in ordered:
            agent = self._wardrobe.complete(one)
            key, scale = self._wardrobe.key(agent, away), self._wardrobe.scale(agent)
            paint, cloth = self._wardrobe.colours(agent)
            number, kind = FIRST_INSTANCE + agent_id, CLASS_OF_KIND[agent.kind]
            slot, lit = float(slots.get(agent.plate, 0)), lamp_levels(agent, t_ns)
            for part, place in parts_of(agent, key):
                self._put(part, (self._local(place), (*scale, slot), paint, cloth, lit, number), number)
                outline = self._outline(part)
                self.drawn.append(Drawn(number, agent_id, kind, agent.kind, agent.plate, outline, scale, place))
            self.agents.append(agent)

    def _local(self, place: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        eye = self._view.eye
        return (place[0] - float(eye[0]), place[1] - float(eye[1]), place[2] - float(eye[2]), place[3])

    def _put(self, key: MeshKey, record: tuple[Any, ...], number: int | None) -> None:
        self.groups.setdefault(key, []).append(record)
        if number is not None:
            self.parts_of.setdefault(number, []).append((key, record))

    def _outline(self, key: MeshKey) -> Any:
        found = self._outlines.get(key)
        if found is None:
            found = self._outlines[key] = outline_of(self._mesh_of(key))
        return found

    def add_things(
        self, sighted: Sequence[tuple[float, int, Thing]], signals: Mapping[tuple[int, int], Signal], lamps: float
    ) -> None:
        """Things at the roadside and trees, as `sighted` gives them."""
        for away, index, thing in sighted:
            place = (thing.x_m, thing.y_m, thing.z_m, thing.yaw_rad)
            if thing.kind == "tree":
                self._tree(thing, away)
            elif thing.kind == "lantern":
                self._post(("lantern", away < _NEAR_M), place, 1.0)
                if lamps > 0.0:
                    self._post(("bulb",), place, 1.0)
                    self._lantern_halo(thing, lamps, away)
            elif thing.kind == "light":
                self._light(index, thing, signals, away, lamps)
            elif thing.kind == "cone":
                self._object(index, ("cone",), "cone", place, (0.0,) * 4)
            else:
                name = thing.kind.removeprefix("sign:")
                self._post(
                    ("pole", thing.z_m),
                    (thing.x_m + 0.05 * np.cos(thing.yaw_rad), thing.y_m + 0.05 * np.sin(thing.yaw_rad), 0.0, 0.0),
                    1.0,
                )
                self._object(index, ("sign", name), "sign", place, (0.0,) * 4, name)

    def _post(self, key: MeshKey, place: tuple[float, float, float, float], size: float) -> None:
        self._put(
            key,
            (self._local(place), (size, size, size, 0.0), _DARK_GREY, _DARK_GREY, (0.0,) * 4, int(ClassId.POLE)),
            None,
        )

    def _object(  # noqa: PLR0917 - every field of an instance
        self,
        index: int,
        key: MeshKey,
        kind: str,
        place: tuple[float, float, float, float],
        lit: tuple[float, ...],
        name: str = "",
    ) -> None:
        number = FIRST_STATIC + index
        self._put(key, (self._local(place), (1.0, 1.0, 1.0, 0.0), _DARK_GREY, _DARK_GREY, lit, number), number)
        self.drawn.append(
            Drawn(number, None, CLASS_OF_KIND[kind], name or kind, "", self._outline(key), (1.0, 1.0, 1.0), place)
        )

    def _tree(self, thing: Thing, away: float) -> None:
        key = ("tree", thing.look % VARIANTS, sum(away >= bound for bound in _TREE_BOUNDS_M))
        shade = 0.85 + 0.3 * ((thing.look >> 4) % 16) / 16.0
        warm = 0.92 + 0.22 * ((thing.look >> 9) % 16) / 16.0
        place = self._local((thing.x_m, thing.y_m, 0.0, thing.yaw_rad))
        size = thing.size
        record = (
            place,
            (size, size, size, 0.0),
            (shade * warm, shade, shade * 0.9, 0.0),
            _DARK_GREY,
            (0.0,) * 4,
            int(ClassId.VEGETATION),
        )
        self.trees.setdefault(key, []).append(record)

    def _light(
        self, index: int, thing: Thing, signals: Mapping[tuple[int, int], Signal], away: float, lamps: float
    ) -> None:
        left = np.array([-np.sin(thing.yaw_rad), np.cos(thing.yaw_rad)])
        x, y = thing.x_m, thing.y_m
        if thing.look:
            self._post(("mast", round(thing.size, 2)), (x, y, 0.0, thing.yaw_rad), 1.0)
            x, y = x + float(left[0]) * thing.size, y + float(left[1]) * thing.size
        else:
            self._post(
                ("pole", thing.z_m + 0.5),
                (x + 0.14 * float(np.cos(thing.yaw_rad)), y + 0.14 * float(np.sin(thing.yaw_rad)), 0.0, 0.0),
                1.0,
            )
        signal = signals.get((thing.node_id, thing.edge_id), Signal.RED)
        lit = tuple(float(signal == state) for state in (Signal.RED, Signal.YELLOW, Signal.GREEN)) + (0.0,)
        self._object(
            index,
            ("light", away < _NEAR_M),
            "traffic_light",
            (x, y, thing.z_m, thing.yaw_rad),
            lit,
            signal.name.lower(),
        )
        colour = {Signal.RED: (1.0, 0.06, 0.04), Signal.YELLOW: (1.0, 0.6, 0.05), Signal.GREEN: (0.1, 1.0, 0.55)}[
            signal
        ]
        facing = float(np.cos(thing.yaw_rad - np.arctan2(y - self._view.eye[1], x - self._view.eye[0])))
        if facing > 0.3:  # noqa: PLR2004
            z = thing.z_m + {Signal.RED: 0.31, Signal.YELLOW: 0.0, Signal.GREEN: -0.31}[signal]
            ahead = np.array([np.cos(thing.yaw_rad), np.sin(thing.yaw_rad)]) * 0.2
            self.halo((x - ahead[0], y - ahead[1], z), 0.24 + 0.16 * lamps + 0.003 * away, colour, 0.25 + 0.2 * lamps)

    def _lantern_halo(self, thing: Thing, lamps: float, away: float) -> None:
        left = np.array([-np.sin(thing.yaw_rad), np.cos(thing.yaw_rad)]) * 2.07
        # A row of lanterns down the street must not add up to one white blob.
        strength = 0.9 * lamps * min(1.0, 30.0 / away)
        self.halo((thing.x_m + left[0], thing.y_m + left[1], 7.95), 0.5 + 0.006 * away, (1.0, 0.78, 0.45), strength)

    def halo(
        self, place: tuple[float, float, float], radius_m: float, colour: tuple[float, float, float], strength: float
    ) -> None:
        """A shine around a lamp."""
        eye = self._view.eye
        self.halos.append(
            (
                place[0] - float(eye[0]),
                place[1] - float(eye[1]),
                place[2] - float(eye[2]),
                radius_m,
                colour[0] * strength,
                colour[1] * strength,
                colour[2] * strength,
                1.0,
            )
        )

    def vehicle_halos(self, t_ns: int, lamps: float, wet: float) -> None:
        """Halos of vehicles' lamps, and their streaks on a wet road."""
        for agent in self.agents:
            head, brake, left, right = lamp_levels(agent, t_ns)
            if agent.kind == "pedestrian" or max(head, brake, left, right) == 0.0:
                continue
            x, y, length, yaw = _footprints(agent)[-1]
            ahead, side = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
            to_eye = self._view.eye[:2] - np.array([x, y])
            away = float(np.hypot(*to_eye))
            facing = float(ahead @ to_eye) / max(away, 1e-6)
            if facing > 0.0:
                x, y, length, yaw = _footprints(agent)[0]
                ahead, side = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
            front = facing > 0.0
            narrow = agent.kind in ("motorcycle", "bicycle", "cyclist")
            z = min(0.72, 0.5 * agent.height_m) if front else min(0.85, 0.58 * agent.height_m)
            level = head * (0.9 if front else 0.22) * lamps + (0.0 if front else brake * (0.25 + 0.45 * lamps))
            colour = (1.0, 0.95, 0.82) if front else (1.0, 0.04, 0.03)
            level *= min(1.0, 45.0 / max(away, 1e-6))
            for lateral, blink in ((0.0, 0.0),) if narrow else ((0.38, left), (-0.38, right)):
                spot = np.array([x, y]) + ahead * (0.5 if front else -0.5) * length + side * lateral * agent.width_m
                spread = (0.26 + 0.008 * away) * (1.0 if front else 0.7)
                if level * abs(facing) > 0.02:  # noqa: PLR2004
                    self.halo((float(spot[0]), float(spot[1]), z), spread, colour, level * abs(facing))
                    if wet > 0.2:  # noqa: PLR2004
                        eye, low = self._view.eye, float(self._view.eye[2])
                        share = low / (low + z)
                        streak = (spot - eye[:2]) * share
                        stretch = 3.5 + 0.05 * away
                        self.halos.append(
                            (
                                float(streak[0]),
                                float(streak[1]),
                                0.05 - low,
                                0.22 + 0.006 * away,
                                *(value * 0.5 * wet * level * abs(facing) for value in colour),
                                stretch,
                            )
                        )
                if blink:
                    self.halo(
                        (float(spot[0]), float(spot[1]), z), 0.22 + 0.008 * away, (1.0, 0.55, 0.08), 0.25 + 0.4 * lamps
                    )


def sighted(
    view: View, things: Sequence[Thing], indices: Sequence[int], places: FloatArray
) -> list[tuple[float, int, Thing]]:
    """Things that may be in the picture, nearest first, with distance and number.

    Args:
        view: The camera.
        things: All things of the world.
        indices: Those near by.
        places: float64[n, 2], of all things.
    """
    numbers = np.asarray(indices, dtype=np.intp)
    offset = places[numbers] - view.eye[:2]
    forward = view.axes[2]
    along = offset @ forward[:2]
    across = np.abs(offset[:, 0] * forward[1] - offset[:, 1] * forward[0])
    away = np.hypot(offset[:, 0], offset[:, 1])
    slope = view.spec.width / 2.0 / view.spec.focal_px
    kept = (along > -_THING_M) & (away < _REACH_M) & (across < slope * np.maximum(along, 0.0) + 1.6 * _THING_M)
    order = np.flatnonzero(kept)
    order = order[np.argsort(away[order], kind="stable")]
    rows = zip(away[order].tolist(), numbers[order].tolist(), strict=True)
    return [(far, number, things[number]) for far, number in rows]


Place = tuple[float, float, float, float]


def parts_of(agent: Agent, key: MeshKey) -> list[tuple[MeshKey, Place]]:
    """Meshes of a road user with their places (x, y, z, heading): itself, and its trailer, which turns at the hitch."""
    found = [(key, (agent.x_m, agent.y_m, agent.z_m, agent.yaw_rad))]
    if agent.trailer is not None:
        found.append(((TRAILER, *key[1:]), (*_hitch(agent, agent.trailer), agent.z_m, agent.trailer.yaw_rad)))
    return found


def _hitch(agent: Agent, trailer: Trailer) -> tuple[float, float]:
    ahead = agent.length_m / 2.0 - trailer.hitch_m
    return agent.x_m + float(np.cos(agent.yaw_rad)) * ahead, agent.y_m + float(np.sin(agent.yaw_rad)) * ahead


def _footprints(agent: Agent) -> list[tuple[float, float, float, float]]:
    """Middle, length and heading of what stands on the ground: a vehicle, or vehicle and trailer."""
    trailer = agent.trailer
    if trailer is None:
        return [(agent.x_m, agent.y_m, agent.length_m, agent.yaw_rad)]
    ahead = (agent.length_m - trailer.front_m) / 2.0
    x, y = _hitch(agent, trailer)
    back = (trailer.front_m - trailer.hitch_m) + (agent.length_m - trailer.front_m) / 2.0
    return [
        (
            agent.x_m + float(np.cos(agent.yaw_rad)) * ahead,
            agent.y_m + float(np.sin(agent.yaw_rad)) * ahead,
            trailer.front_m,
            agent.yaw_rad,
        ),
        (
            x - float(np.cos(trailer.yaw_rad)) * back,
            y - float(np.sin(trailer.yaw_rad)) * back,
            agent.length_m - trailer.front_m,
            trailer.yaw_rad,
        ),
    ]


def instances(records: Sequence[tuple[Any, ...]]) -> NDArray[Any]:
    """Records as the programs read them."""
    return np.array(records, dtype=INSTANCE)


def shadows(view: View, agents: Sequence[Agent], to_sun: Sequence[float], sun_share: Any) -> FloatArray:
    """Triangles of all shadows, x and y relative to the eye: x, y, height, strength, float64[n, 4]."""
    shapes, middles = [], []
    for agent in agents:
        for x, y, length, yaw in _footprints(agent):
            middle = (x - float(view.eye[0]), y - float(view.eye[1]))
            if np.hypot(*middle) > _SHADOW_M:
                continue
            for shape in outlines(length, agent.width_m, agent.height_m, yaw, to_sun, sun_share(x, y)):
                shapes.append((*shape, agent.z_m))
                middles.append(middle)
    return soft_triangles(shapes, np.array(middles)) if shapes else np.zeros((0, 4))


def signals_of(scene: SceneState, things: Sequence[Thing]) -> dict[tuple[int, int], Signal]:
    """State of every approach: as given, else by a given approach of the same junction, along it or across."""
    given = {(light.node_id, light.edge_id): light.signal for light in scene.lights}
    headings = {(thing.node_id, thing.edge_id): thing.yaw_rad for thing in things if thing.kind == "light"}
    known: dict[int, tuple[float, Signal]] = {}
    for (node_id, edge_id), signal in sorted(given.items()):
        if (node_id, edge_id) in headings:
            known.setdefault(node_id, (headings[node_id, edge_id], signal))
    states = {}
    for approach, heading in headings.items():
        if approach in given:
            states[approach] = given[approach]
        elif approach[0] in known:
            other, signal = known[approach[0]]
            along = abs(np.cos(heading - other)) > 0.7  # noqa: PLR2004
            states[approach] = signal if along else (Signal.GREEN if signal == Signal.RED else Signal.RED)
        else:
            green = (scene.t_ns // 30_000_000_000 + approach[0]) % 2 == int(abs(np.cos(heading)) > 0.7)  # noqa: PLR2004
            states[approach] = Signal.GREEN if green else Signal.RED
    return states


def lit_by_ego(lamps: Lamp) -> float:
    """Whether the ego's dipped beam is on."""
    return 1.0 if lamps & Lamp.HEAD else 0.0
