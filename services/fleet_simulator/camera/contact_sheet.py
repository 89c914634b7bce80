"""A sheet of pictures of the simulated camera in every light and weather, for people to look at.

Run as ``python -m services.fleet_simulator.camera.contact_sheet docs/images/simulator_contact_sheet.jpg``. The traffic
is that of simulated drives; weather and light of each tile are set here.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fleet_assets.policy.documents import load_policies
from services.fleet_simulator.camera.from_truth import Stage
from services.fleet_simulator.camera.ground import KERB_M, EdgeLine, edge_lines
from services.fleet_simulator.camera.plates import plate_text
from services.fleet_simulator.camera.renderer import CameraRenderer
from services.fleet_simulator.camera.scene import Agent, CameraSpec, EgoPose, Lamp, SceneState, Surroundings, Trailer
from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan, DriveTruth
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.world.generate import generate_network
from services.fleet_simulator.world.road_network import RoadNetwork

MAX_BYTES: Final = 400_000
_COLUMNS: Final = 3
_TILE_PX: Final = (480, 270)
_START_NS: Final = 1_718_000_000 * NS_PER_S
_SECONDS: Final = 60
_NEAR_M: Final = 45.0
_DARK_DEG: Final = 2.0
_GLOOM_M: Final = 2_000.0
_STREET_M: Final = 60.0
_BENT_RAD: Final = 0.45
_PERSON: Final = {"length_m": 0.5, "width_m": 0.5, "height_m": 1.75}
_WITHOUT_PLATE: Final = frozenset({"pedestrian", "cyclist"})
TILES: Final[Mapping[str, Surroundings]] = {
    "day": Surroundings("clear", 0.0, 20_000.0, 0.35, 0.0, 48.0, 150.0),
    "morning": Surroundings("clear", 0.0, 14_000.0, 0.25, 0.0, 14.0, 80.0),
    "overcast": Surroundings("overcast", 0.0, 9_000.0, 1.0, 0.0, 35.0, 200.0),
    "rain": Surroundings("rain", 5.0, 2_600.0, 1.0, 1.0, 28.0, 200.0),
    "fog": Surroundings("fog", 0.0, 110.0, 1.0, 0.1, 25.0, 120.0),
    "dusk": Surroundings("clear", 0.0, 15_000.0, 0.45, 0.0, -2.0, 285.0),
    "rain at dusk": Surroundings("rain", 4.0, 3_000.0, 0.9, 0.9, -2.5, 285.0),
    "night": Surroundings("clear", 0.0, 15_000.0, 0.2, 0.0, -25.0, 330.0),
    "rain at night": Surroundings("rain", 4.0, 3_000.0, 1.0, 1.0, -25.0, 330.0),
}


def _interest(scene: SceneState) -> float:
    """How much there is to see: road users ahead, more kinds rather than more of a kind."""
    cosine, sine = np.cos(scene.ego.yaw_rad), np.sin(scene.ego.yaw_rad)
    kinds: dict[str, float] = {}
    for one in scene.agents:
        dx, dy = one.x_m - scene.ego.x_m, one.y_m - scene.ego.y_m
        ahead, left = cosine * dx + sine * dy, cosine * dy - sine * dx
        if 7.0 < ahead < _NEAR_M and abs(left) < 0.6 * ahead:  # noqa: PLR2004 - nearer fills the picture
            kinds[one.kind] = kinds.get(one.kind, 0.0) + 1.0
    return float(sum(np.sqrt(count) for count in kinds.values()))


def dressed(scene: SceneState, surroundings: Surroundings) -> SceneState:
    """A scene under other weather; in the dark and in gloom everybody drives with lamps."""
    lit = (
        surroundings.sun_elevation_deg < _DARK_DEG
        or surroundings.visibility_m < _GLOOM_M
        or surroundings.rain_mm_h > 0.0
    )
    lamps = Lamp.HEAD if lit else Lamp.NONE
    agents = tuple(
        one
        if one.kind == "pedestrian" or one.speed_mps == 0.0
        else replace(one, lamps=(one.lamps & ~Lamp.HEAD) | lamps)
        for one in scene.agents
    )
    return replace(scene, surroundings=surroundings, agents=agents, ego=replace(scene.ego, lamps=lamps))


def _drives(network: RoadNetwork, policy: Mapping[str, Any], count: int) -> list[DriveTruth]:
    depots = [depot.name for depot in network.depots]
    return [
        simulate_drive(
            DrivePlan(f"sheet-{seed}", "sheet", depots[seed % len(depots)], seed, _START_NS, _SECONDS), network, policy
        )
        for seed in range(1, count + 1)
    ]


def _staged(network: RoadNetwork, policy: Mapping[str, Any]) -> dict[str, SceneState]:
    """Scenes that few drives come by: a work zone, people on a crossing, a truck that turns."""
    lines = edge_lines(network)
    works = next(line for line in lines if line.edge.work_zone is not None and line.length_m > _STREET_M)
    begins = works.edge.work_zone.first_m if works.edge.work_zone is not None else 0.0
    street = max((line for line in lines if line.edge.road_class == "residential"), key=lambda line: line.length_m)
    arterial = max((line for line in lines if line.edge.road_class == "primary"), key=lambda line: line.length_m)

    def at(line: EdgeLine, s_m: float, cast: Sequence[tuple[str, float, float, float]]) -> SceneState:
        point, yaw = line.at(max(3.0, s_m))
        cosine, sine = np.cos(yaw), np.sin(yaw)
        right = (0.5 if line.edge.lanes == 1 else 1.5) * line.edge.lane_width_m
        x, y = point + np.array([sine, -cosine]) * right
        agents = []
        for number, (kind, ahead, left, turn) in enumerate(cast, 1):
            size = policy["vehicles"].get("bicycle" if kind == "cyclist" else kind, _PERSON)
            place = float(x + cosine * ahead - sine * left), float(y + sine * ahead + cosine * left)
            measures = (size["length_m"], size["width_m"], size["height_m"])
            walks = 1.3 if kind == "pedestrian" else 8.0
            on_foot = kind == "pedestrian" and abs(left) > line.half_m - right
            text = "" if kind in _WITHOUT_PLATE else plate_text(number)
            one = Agent(number, kind, *place, yaw + turn, *measures, 40 + number, text, Lamp.NONE, walks, 0.3 * number)
            if kind == "articulated_truck":
                towed = size["trailer"]
                one = replace(one, trailer=Trailer(one.yaw_rad + _BENT_RAD, towed["hitch_m"], towed["begins_m"]))
            agents.append(replace(one, z_m=KERB_M if on_foot else 0.0))
        surroundings = TILES["day"] if line is not arterial else TILES["overcast"]
        return SceneState(_START_NS, EgoPose(float(x), float(y), yaw), tuple(agents), (), surroundings, seed=1)

    people = [("pedestrian", 7.0 + 1.6 * k, 2.6 - 1.5 * k, np.pi / 2.0 * (1 if k % 2 else 3)) for k in range(4)]
    return {
        "work zone": at(works, begins - 12.0, [("box_truck", 34.0, 0.3, 0.0), ("pedestrian", 16.0, -3.4, 3.1)]),
        "people": at(street, 40.0, [*people, ("cyclist", 15.0, -0.9, 0.0), ("hatchback", 22.0, 2.8, np.pi)]),
        "truck": at(
            arterial,
            50.0,
            [("articulated_truck", 27.0, 5.0, np.pi - 0.2), ("bus", 32.0, 0.0, 0.0), ("motorcycle", 9.0, 1.2, 0.0)],
        ),
    }


def contact_sheet() -> NDArray[np.uint8]:
    """Draw the sheet, uint8[h, w, 3], blue, green, red."""
    policy = load_policies()["simulation"]
    network = generate_network(1, policy["world"])
    renderer = CameraRenderer(network, policy, CameraSpec())
    scenes: dict[str, SceneState] = {}
    for drive, (name, surroundings) in zip(_drives(network, policy, len(TILES)), TILES.items(), strict=True):
        stage = Stage(drive)
        moments = [stage.at(int(drive.ego.t_ns[0]) + 2 * second * NS_PER_S) for second in range(_SECONDS // 2)]
        scenes[name] = dressed(max(moments, key=_interest), surroundings)
    pictures = []
    for name, scene in {**scenes, **_staged(network, policy)}.items():
        picture = cv2.resize(renderer.render(scene).bgr, _TILE_PX, interpolation=cv2.INTER_AREA)
        cv2.putText(picture, name, (9, 263), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 3, cv2.LINE_AA)
        cv2.putText(picture, name, (9, 263), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (245, 245, 245), 1, cv2.LINE_AA)
        pictures.append(picture)
    renderer.close()
    rows = [np.hstack(pictures[start : start + _COLUMNS]) for start in range(0, len(pictures), _COLUMNS)]
    return np.ascontiguousarray(np.vstack(rows), dtype=np.uint8)


def main() -> None:
    """Write the sheet to the path that is the first argument, as large as fits `MAX_BYTES`."""
    sheet = contact_sheet()
    for quality in range(92, 40, -4):
        _, data = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(data) <= MAX_BYTES:
            Path(sys.argv[1]).write_bytes(data.tobytes())
            return


if __name__ == "__main__":
    main()
