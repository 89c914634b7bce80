"""How road users look: which mesh, which colours, which lamps shine.

Here belongs the way from an agent to what the graphics library draws. Shapes are in `meshes/`.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import numpy as np

from services.fleet_simulator.camera.meshes import roadside
from services.fleet_simulator.camera.meshes.body import FAR
from services.fleet_simulator.camera.meshes.buses import bus
from services.fleet_simulator.camera.meshes.cars import SHAPES, car
from services.fleet_simulator.camera.meshes.heavy import box_truck, semi_trailer, tractor
from services.fleet_simulator.camera.meshes.mesh import Mesh
from services.fleet_simulator.camera.meshes.people import STANDING, WALK_PHASES, person, walking
from services.fleet_simulator.camera.meshes.trees import tree
from services.fleet_simulator.camera.meshes.two_wheelers import PEDAL_PHASES, bicycle, motorcycle
from services.fleet_simulator.camera.scene import Agent, Lamp, Trailer

_STREAM: Final = 307
STATURE_M: Final = 1.75
_STRIDE_M: Final = 1.4
_PEDAL_M: Final = 5.5
_BLINK_NS: Final = 667_000_000
_BOUNDS_M: Final = dict.fromkeys(("pedestrian", "cyclist", "bicycle"), (14.0, 28.0))
_VEHICLE_BOUNDS_M: Final = (16.0, 36.0)
_WALKS_MPS: Final = 0.25
_MEASURED_AS: Final = {"cyclist": "bicycle", "trailer": "articulated_truck"}
MeshKey = tuple[Any, ...]


class Wardrobe:
    """Meshes and colours by kind and look.

    Args:
        policy: Document `simulation`.
    """

    def __init__(self, policy: Mapping[str, Any]) -> None:
        self._vehicles = policy["vehicles"]
        self._paints, self._clothes = _frozen(policy["camera"]["paints"]), _frozen(policy["camera"]["clothes"])

    def build(self, key: MeshKey) -> Mesh:
        """Make the mesh of a key."""
        kind, *rest = key
        if kind == "tree":
            return tree(rest[0], detail=rest[1])
        if kind == "pedestrian":
            clothes, hair, bag, pose, detail = rest
            return person(
                STATURE_M,
                STANDING[pose - WALK_PHASES] if pose >= WALK_PHASES else walking(pose / WALK_PHASES),
                clothes=clothes,
                hair=hair,
                bag=bag,
                detail=detail,
            )
        if kind in _ROADSIDE:
            thing: Mesh = _ROADSIDE[kind](*rest)
            return thing
        return self._vehicle(kind, *rest)

    def _vehicle(self, kind: str, detail: int = 0, phase: int = 0) -> Mesh:
        size = self._vehicles[_MEASURED_AS.get(kind, kind)]
        if kind in ("bicycle", "cyclist"):
            return bicycle(size["length_m"], size["height_m"], phase / PEDAL_PHASES, detail=detail)
        if kind == "motorcycle":
            return motorcycle(size["length_m"], size["height_m"], detail=detail)
        measures = (size["length_m"], size["width_m"], size["height_m"])
        if kind == TRAILER:
            return semi_trailer(*measures, size["trailer"]["hitch_m"], size["trailer"]["begins_m"], detail=detail)
        if kind in SHAPES:
            return car(kind, *measures, detail=detail)
        return _HEAVY[kind](*measures, detail=detail)

    def complete(self, agent: Agent) -> Agent:
        """The agent with a trailer in line where it must have one and nothing is said of it."""
        if agent.kind != TRAILED or agent.trailer is not None:
            return agent
        measures = self._vehicles[TRAILED]["trailer"]
        return replace(agent, trailer=Trailer(agent.yaw_rad, measures["hitch_m"], measures["begins_m"]))

    def key(self, agent: Agent, distance_m: float) -> MeshKey:
        """Which mesh shows an agent at a distance."""
        bounds = _BOUNDS_M.get(agent.kind, _VEHICLE_BOUNDS_M)
        detail = sum(distance_m >= bound for bound in bounds)
        if agent.kind == "pedestrian":
            clothes, hair, bag, stand = _outfit(agent.look)
            step = int(agent.travelled_m / _STRIDE_M * WALK_PHASES + agent.look) % WALK_PHASES
            return (
                "pedestrian",
                clothes,
                hair,
                bag,
                step if agent.speed_mps > _WALKS_MPS else WALK_PHASES + stand,
                detail,
            )
        if agent.kind in ("bicycle", "cyclist"):
            return (agent.kind, detail, int(agent.travelled_m / _PEDAL_M * PEDAL_PHASES) % PEDAL_PHASES)
        return (agent.kind, detail)

    @staticmethod
    def plain(key: MeshKey) -> MeshKey:
        """The coarsest mesh of the same shape."""
        if key[0] == "pedestrian":
            return (*key[:-1], FAR)
        if key[0] == "light":
            return ("light", False)
        return (key[0], FAR, *key[2:]) if key[0] in _BY_DETAIL else key

    def scale(self, agent: Agent) -> tuple[float, float, float]:
        """Factors that give the mesh the agent's measures."""
        if agent.kind == "pedestrian":
            return (agent.height_m / STATURE_M,) * 3
        size = self._vehicles["bicycle" if agent.kind == "cyclist" else agent.kind]
        if agent.kind in ("bicycle", "cyclist", "motorcycle"):
            return (agent.length_m / size["length_m"],) * 3
        return (
            agent.length_m / size["length_m"],
            agent.width_m / size["width_m"],
            agent.height_m / size["height_m"],
        )

    def colours(self, agent: Agent) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """First colour with gloss and second colour with the tile of the face, linear."""
        return _colours(agent.kind, agent.look, self._paints, self._clothes)


TRAILED: Final = "articulated_truck"
"""Kind that draws a trailer."""
TRAILER: Final = "trailer"
"""The trailer's mesh."""
_HEAVY: Final = {"box_truck": box_truck, TRAILED: tractor, "bus": bus}
_BY_DETAIL: Final = frozenset({*SHAPES, *_HEAVY, TRAILER, "bicycle", "cyclist", "motorcycle"})


def _plain(name: str) -> Mesh:
    return roadside.sign(name)


_ROADSIDE: Final[dict[str, Any]] = {
    "light": lambda near: roadside.light_head(near=near),
    "cone": roadside.cone,
    "sign": _plain,
    "pole": roadside.pole,
    "mast": roadside.mast_arm,
    "lantern": lambda near: roadside.lantern(near=near)[0],
    "bulb": lambda: roadside.lantern()[1],
    "rail": roadside.guard_rail,
}


def _frozen(rows: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in rows)


@lru_cache(maxsize=4096)
def _outfit(look: int) -> tuple[str, str, bool, int]:
    rng = np.random.default_rng([_STREAM, look])
    clothes = ("trousers", "trousers", "coat", "skirt")[int(rng.integers(4))]
    hair = ("short", "short", "long", "cap")[int(rng.integers(4))]
    return clothes, hair, bool(rng.random() < 0.3), int(rng.integers(len(STANDING)))  # noqa: PLR2004


@lru_cache(maxsize=4096)
def _colours(
    kind: str, look: int, paints: tuple[tuple[float, ...], ...], clothes: tuple[tuple[float, ...], ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Draw colours: rows of `paints` are share, red, green, blue (sRGB)."""
    rng = np.random.default_rng([_STREAM, look, 1])
    shares = np.array([row[0] for row in paints])
    paint = np.array(paints[int(rng.choice(len(paints), p=shares / shares.sum()))][1:])
    top, bottom = (np.array(clothes[int(rng.integers(len(clothes)))]) for _ in range(2))
    vary = rng.uniform(0.9, 1.1)
    first = top if kind == "pedestrian" else paint
    second = (
        bottom
        if kind in ("pedestrian", "bicycle", "cyclist", "motorcycle")
        else np.array([0.86, 0.86, 0.84]) * rng.uniform(0.75, 1.05)
    )
    return (*(float(v) for v in (first * vary) ** 2), 1.0), (*(float(v) for v in second**2), float(rng.integers(16)))


def lamp_levels(agent: Agent, t_ns: int) -> tuple[float, float, float, float]:
    """How bright head, brake, left and right lamps are; indicators blink."""
    phase = (t_ns + agent.agent_id * 137_000_000) % _BLINK_NS < _BLINK_NS // 2
    return (
        float(bool(agent.lamps & Lamp.HEAD)),
        float(bool(agent.lamps & Lamp.BRAKE)),
        float(bool(agent.lamps & Lamp.LEFT) and phase),
        float(bool(agent.lamps & Lamp.RIGHT) and phase),
    )
