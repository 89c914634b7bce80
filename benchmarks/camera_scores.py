"""How the simulated camera's pictures look to detectors that were trained on real ones.

`python -m benchmarks.camera_scores FOLDER [--drives 40] [--first-seed 10000] [--workers 2]` draws pictures of
simulated drives, runs the detectors and keeps one JSON file per drive in FOLDER, so that it can be cut short and
continued; `--page docs/fleet_simulator_camera_scores.md` then writes the page of all that is there.
Seeds below 10,000 are for tuning.

The traffic is that of simulated drives; light and weather are set here, so that the same moments are seen in each.
"""

import argparse
import json
import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.camera_scores_page import page
from benchmarks.measure import ROOT
from fleet_assets.perception.boxes import Detections
from fleet_assets.perception.embedding import FeatureNetwork
from fleet_assets.perception.faces import FaceDetector
from fleet_assets.perception.metrics import matched
from fleet_assets.perception.objects import VEHICLES, ObjectDetector
from fleet_assets.perception.tiling import TileGrid, detect_in_tiles
from fleet_assets.policy.documents import load_policies
from resources.weights import WeightStore
from services.fleet_simulator.camera.from_truth import scene_at
from services.fleet_simulator.camera.renderer import CameraRenderer
from services.fleet_simulator.camera.scene import (
    Agent,
    CameraSpec,
    Frame,
    Lamp,
    ObjectBox,
    PiiBox,
    SceneState,
    Surroundings,
)
from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.world.generate import generate_network

SKIES: Final[Mapping[str, Surroundings]] = {
    "day, clear": Surroundings("clear", 0.0, 20_000.0, 0.3, 0.0, 45.0, 150.0),
    "day, overcast": Surroundings("overcast", 0.0, 9_000.0, 1.0, 0.0, 35.0, 200.0),
    "dusk, clear": Surroundings("clear", 0.0, 15_000.0, 0.45, 0.0, -2.0, 285.0),
    "night, clear": Surroundings("clear", 0.0, 15_000.0, 0.2, 0.0, -25.0, 330.0),
    "day, rain": Surroundings("rain", 5.0, 2_600.0, 1.0, 1.0, 28.0, 200.0),
    "night, rain": Surroundings("rain", 4.0, 3_000.0, 1.0, 1.0, -25.0, 330.0),
    "day, fog": Surroundings("fog", 0.0, 110.0, 1.0, 0.1, 25.0, 120.0),
}
BY_DAY: Final = "day, clear"
FRAMES: Final[Mapping[str, int]] = {BY_DAY: 3, "day, overcast": 2, "night, clear": 2, "day, rain": 2}
FRAMES_ELSEWHERE: Final = 1
GRID: Final = TileGrid(240, 180, overlap=0.5)
LEAST_SCORE: Final = 0.3
FACE_SCORE: Final = 0.2
FACE_SCALE: Final = 3.0
GROUPS: Final = (VEHICLES,)
CLASSES: Final[Mapping[str, tuple[frozenset[str], frozenset[str], float]]] = {
    "vehicles": (
        frozenset(
            {"saloon", "hatchback", "estate", "suv", "van", "box_truck", "articulated_truck", "bus", "motorcycle"}
        ),
        VEHICLES,
        0.5,
    ),
    "pedestrians": (frozenset({"pedestrian"}), frozenset({"person"}), 0.3),
    "cyclists": (frozenset({"cyclist", "bicycle"}), frozenset({"person", "bicycle", "motorcycle"}), 0.3),
    "traffic lights": (frozenset({"red", "yellow", "green"}), frozenset({"traffic light"}), 0.3),
}
"""Kinds of the simulator, labels of the detector that count for them, overlap from which a box is the object."""
MOST_HIDDEN, MOST_CUT = 0.1, 0.05
NEAR_M, FAR_M = 6.0, 25.0
FACE_M, FACE_FACING, FACE_VISIBLE = 8.0, 0.5, 0.7
QUALITY: Final = 85
_SECONDS: Final = 60
_APART_S: Final = 4
_START_NS: Final = 1_718_000_000 * NS_PER_S
_STREAM: Final = 411


def under(scene: SceneState, sky: Surroundings) -> SceneState:
    """A scene in other light and weather; in the dark and in gloom everybody drives with lamps."""
    gloom = sky.sun_elevation_deg < 2.0 or sky.visibility_m < 2_000.0 or sky.rain_mm_h > 0.0  # noqa: PLR2004
    lamps = Lamp.HEAD if gloom else Lamp.NONE
    agents = tuple(
        one
        if one.kind == "pedestrian" or one.speed_mps == 0.0
        else replace(one, lamps=(one.lamps & ~Lamp.HEAD) | lamps)
        for one in scene.agents
    )
    return replace(scene, surroundings=sky, agents=agents, ego=replace(scene.ego, lamps=lamps))


def moments(scenes: Sequence[SceneState], count: int) -> list[SceneState]:
    """Those with most road users 6 to 25 m ahead, at least one and four seconds apart: chosen without any detector."""

    def ahead(scene: SceneState) -> int:
        cosine, sine = np.cos(scene.ego.yaw_rad), np.sin(scene.ego.yaw_rad)
        places = [(one.x_m - scene.ego.x_m, one.y_m - scene.ego.y_m) for one in scene.agents]
        along = [(cosine * x + sine * y, abs(cosine * y - sine * x)) for x, y in places]
        return sum(NEAR_M <= far < FAR_M and aside < 0.6 * far for far, aside in along)  # noqa: PLR2004 - field of view

    users = [ahead(scene) for scene in scenes]
    chosen: list[int] = []
    for index in sorted(range(len(scenes)), key=lambda number: -users[number]):
        if users[index] and all(abs(index - other) >= _APART_S for other in chosen):
            chosen.append(index)
        if len(chosen) == count:
            break
    return [scenes[index] for index in chosen]


def seen(frame: Frame) -> NDArray[np.uint8]:
    """The picture as it is recorded: through JPEG."""
    import cv2

    _, content = cv2.imencode(".jpg", frame.bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), dtype=np.uint8)


def boxes_of(objects: Sequence[ObjectBox]) -> list[tuple[int, int, int, int]]:
    """Boxes of the visible parts of objects."""
    return [one.visible for one in objects if one.visible is not None]


def objects_of(frame: Frame, found: Detections) -> dict[str, Any]:
    """Per class: height and found or not of each object that counts; right or wrong and height of each detection."""
    result: dict[str, Any] = {}
    for name, (kinds, labels, least_iou) in CLASSES.items():
        boxes = [one for one in frame.boxes if one.kind in kinds and one.visible is not None]
        good = [one for one in boxes if one.occlusion <= MOST_HIDDEN and one.truncation <= MOST_CUT]
        # Cars that are half hidden, and cyclists where vehicles are asked for, are neither right nor wrong.
        others = [one for one in frame.boxes if one.visible is not None and one not in good and one.kind in _ROAD_USERS]
        mine = found.named(sorted(labels))
        match = matched(mine, boxes_of(good), least_iou=least_iou, ignore=boxes_of(others))
        height = mine.boxes[:, 3] - mine.boxes[:, 1]
        result[name] = {
            "objects": [
                [round(one.amodal[3] - one.amodal[1], 1), bool(hit)] for one, hit in zip(good, match.found, strict=True)
            ],
            "detections": [
                [round(float(height[row]), 1), bool(match.right[row])]
                for row in range(len(mine))
                if not match.ignored[row]
            ],
        }
    return result


_ROAD_USERS: Final = frozenset(kind for kinds, _, _ in list(CLASSES.values())[:3] for kind in kinds)


def with_people(scene: SceneState, seed: int) -> SceneState:
    """A scene with three people 3 to 8 m before the camera who look towards it, up to 40 degrees aside."""
    rng = np.random.default_rng([seed, _STREAM])
    ego = scene.ego
    away = [one for one in scene.agents if np.hypot(one.x_m - ego.x_m, one.y_m - ego.y_m) > 14.0]  # noqa: PLR2004
    eye = np.array([ego.x_m, ego.y_m]) + CameraSpec().mount_m[0] * np.array([np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)])
    for number, side_deg in enumerate((-22.0, 0.0, 22.0)):
        angle = ego.yaw_rad + np.radians(side_deg + rng.uniform(-6.0, 6.0))
        place = eye + rng.uniform(3.0, 8.0) * np.array([np.cos(angle), np.sin(angle)])
        look_at = angle + np.pi + np.radians(rng.uniform(-40.0, 40.0))
        away.append(
            Agent(
                agent_id=100_000 + number,
                kind="pedestrian",
                x_m=float(place[0]),
                y_m=float(place[1]),
                yaw_rad=float(look_at),
                length_m=0.4,
                width_m=0.5,
                height_m=float(rng.uniform(1.55, 1.9)),
                look=int(rng.integers(1 << 30)),
                speed_mps=1.2,
                travelled_m=float(rng.uniform(0.0, 3.0)),
            )
        )
    return replace(scene, agents=tuple(away))


def faces_in(frame: Frame) -> list[PiiBox]:
    """Faces that count."""
    return [
        one
        for one in frame.pii
        if one.kind == "face"
        and one.distance_m <= FACE_M
        and one.facing >= FACE_FACING
        and one.visible_share >= FACE_VISIBLE
    ]


def faces_of(frame: Frame, detector: FaceDetector) -> list[list[Any]]:
    """Distance, width in pixels and found or not of each face that counts."""
    faces = faces_in(frame)
    match = matched(detector(seen(frame)), [one.box for one in faces], least_iou=0.3)
    return [
        [one.distance_m, round(one.box[2] - one.box[0], 1), bool(hit)]
        for one, hit in zip(faces, match.found, strict=True)
    ]


class Scorer:
    """The detectors of one process."""

    def __init__(self) -> None:
        self.policies = load_policies()
        store = WeightStore(self.policies)
        objects, faces, features = (
            store.open(name) for name in ("ssd_mobilenet_v2_coco", "centerface", "efficientnet_lite0")
        )
        self.objects = ObjectDetector(objects.files["graph"], objects.files["description"], objects.input, LEAST_SCORE)
        self.faces = FaceDetector(faces.files["model"], faces.input, FACE_SCORE, FACE_SCALE)
        self.features = FeatureNetwork(features.files["parameters"], features.input)

    def drive(self, seed: int) -> dict[str, Any]:
        """Scores of one drive."""
        policy = self.policies["simulation"]
        network = generate_network(seed, policy["world"])
        depot = network.depots[seed % len(network.depots)].name
        plan = DrivePlan(f"score-{seed}", "score", depot, seed, _START_NS, _SECONDS)
        truth = simulate_drive(plan, network, policy)
        start = int(truth.ego.t_ns[0])
        scenes = [scene_at(truth, start + second * NS_PER_S) for second in range(1, _SECONDS)]
        renderer = CameraRenderer(network, policy, CameraSpec())
        chosen = moments(scenes, max(FRAMES.values()))
        skies: dict[str, Any] = {}
        features: list[list[float]] = []
        for name, sky in SKIES.items():
            frames = [renderer.render(under(one, sky)) for one in chosen[: FRAMES.get(name, FRAMES_ELSEWHERE)]]
            pictures = [seen(frame) for frame in frames]
            skies[name] = [
                objects_of(frame, detect_in_tiles(picture, self.objects, GRID, GROUPS))
                for frame, picture in zip(frames, pictures, strict=True)
            ]
            if name == BY_DAY:
                features = [self.features(picture).round(5).tolist() for picture in pictures]
        staged = renderer.render(under(with_people(scenes[9], seed), SKIES[BY_DAY]))
        by_day = (renderer.render(under(one, SKIES[BY_DAY])) for one in scenes[::10])
        natural = [frame for frame in by_day if faces_in(frame)]
        faces = {
            "staged": faces_of(staged, self.faces),
            "in traffic": [row for frame in natural for row in faces_of(frame, self.faces)],
        }
        renderer.close()
        return {"seed": seed, "skies": skies, "faces": faces, "features": features}


_scorer: list[Scorer] = []


def score_drive(task: tuple[int, Path]) -> int:
    """Score a drive and keep the result; one that is there already is left alone."""
    seed, folder = task
    path = folder / f"{seed}.json"
    if not path.exists():
        if not _scorer:
            _scorer.append(Scorer())
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(_scorer[0].drive(seed)))
        unfinished.replace(path)
    return seed


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--drives", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    tasks = [(seed, given.folder) for seed in range(given.first_seed, given.first_seed + given.drives)]
    with multiprocessing.get_context("spawn").Pool(given.workers) as pool:
        for seed in pool.imap_unordered(score_drive, tasks):
            print(f"seed {seed}", flush=True)
    if given.page:
        scores = [json.loads(path.read_text()) for path in sorted(given.folder.glob("*.json"))]
        given.page.write_text(page(scores, ROOT.parent / "shared" / "data" / "driving_videos" / "sample"))


if __name__ == "__main__":
    main()
