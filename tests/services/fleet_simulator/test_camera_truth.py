"""What is written of a picture is what is in it: masks, depth, boxes, trailers, pavements, a camera that was turned."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from kinematic_drive import START_NS, network

from fleet_assets.policy.documents import Policies, load_policies
from services.fleet_simulator.camera.appearance import Wardrobe
from services.fleet_simulator.camera.gpu import unavailable_reason
from services.fleet_simulator.camera.ground import KERB_M, edge_lines
from services.fleet_simulator.camera.plates import plate_text
from services.fleet_simulator.camera.renderer import CameraRenderer
from services.fleet_simulator.camera.scene import (
    FIRST_INSTANCE,
    Agent,
    CameraSpec,
    EgoPose,
    Frame,
    SceneState,
    Surroundings,
    Trailer,
)
from services.fleet_simulator.camera.view import view_of
from services.fleet_simulator.picture_truth import PIXELS, PictureTruth
from services.fleet_simulator.pictures import turned
from services.fleet_simulator.shifts import Shift

CAMERA = CameraSpec(width=480, height=270)
SIZES = {"pedestrian": (0.5, 0.5, 1.75)}
_REASON = unavailable_reason()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))


@pytest.fixture(scope="module")
def policies() -> Policies:
    return load_policies()


@pytest.fixture(scope="module")
def camera(policies: Policies) -> Iterator[CameraRenderer]:
    renderer = CameraRenderer(network(policies), policies["simulation"], CAMERA)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def ego(policies: Policies) -> EgoPose:
    world = network(policies)
    line = max((one for one in edge_lines(world) if one.edge.road_class == "primary"), key=lambda one: one.length_m)
    point, yaw = line.at(30.0)
    x, y = point + np.array([np.sin(yaw), -np.cos(yaw)]) * 1.5 * line.edge.lane_width_m
    return EgoPose(float(x), float(y), yaw)


def agent(policies: Policies, ego: EgoPose, kind: str, ahead_m: float, left_m: float) -> Agent:
    size = policies["simulation"]["vehicles"].get(kind, {"length_m": 0.5, "width_m": 0.5, "height_m": 1.75})
    cosine, sine = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
    return Agent(
        1,
        kind,
        ego.x_m + cosine * ahead_m - sine * left_m,
        ego.y_m + sine * ahead_m + cosine * left_m,
        ego.yaw_rad,
        size["length_m"],
        size["width_m"],
        size["height_m"],
        look=5,
    )


def drawn(camera: CameraRenderer, ego: EgoPose, *agents: Agent, spec: CameraSpec | None = None) -> Frame:
    return camera.render(SceneState(START_NS, ego, agents, (), Surroundings(), seed=3), spec)


def pinhole(points: np.ndarray, ego: EgoPose, spec: CameraSpec) -> np.ndarray:
    """Columns and rows of points in the world, from the camera's measures alone; no roll."""
    focal = spec.width / 2.0 / np.tan(np.radians(spec.fov_deg) / 2.0)
    yaw, pitch = ego.yaw_rad + np.radians(spec.yaw_deg), np.radians(spec.pitch_deg)
    c, s = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
    x, y, z = spec.mount_m
    offset = points - np.array([ego.x_m + c * x - s * y, ego.y_m + s * x + c * y, z])
    flat = offset[:, 0] * np.cos(yaw) + offset[:, 1] * np.sin(yaw)
    right = offset[:, 0] * np.sin(yaw) - offset[:, 1] * np.cos(yaw)
    depth = flat * np.cos(pitch) - offset[:, 2] * np.sin(pitch)
    up = flat * np.sin(pitch) + offset[:, 2] * np.cos(pitch)
    return np.stack([spec.width / 2.0 + focal * right / depth, spec.height / 2.0 - focal * up / depth], axis=1)


def corners(points: np.ndarray, x_m: float, y_m: float, yaw_rad: float) -> np.ndarray:
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.stack(
        [c * points[:, 0] - s * points[:, 1] + x_m, s * points[:, 0] + c * points[:, 1] + y_m, points[:, 2]], axis=1
    )


@pytest.mark.parametrize("angle", [0.0, -0.3, -0.6])
def test_a_trailer_turns_about_its_hitch_and_belongs_to_its_truck(
    camera: CameraRenderer, policies: Policies, ego: EgoPose, angle: float
) -> None:
    measures = policies["simulation"]["vehicles"]["articulated_truck"]["trailer"]
    truck = agent(policies, ego, "articulated_truck", 34.0, 0.0)
    bent = Trailer(truck.yaw_rad + angle, measures["hitch_m"], measures["begins_m"])
    frame = drawn(camera, ego, replace(truck, trailer=bent))
    wardrobe = Wardrobe(policies["simulation"])
    ahead = truck.length_m / 2.0 - bent.hitch_m
    pin = truck.x_m + np.cos(truck.yaw_rad) * ahead, truck.y_m + np.sin(truck.yaw_rad) * ahead
    # The meshes of the middle distance.
    parts = [
        corners(wardrobe.build(("articulated_truck", 1)).position, truck.x_m, truck.y_m, truck.yaw_rad),
        corners(wardrobe.build(("trailer", 1)).position, *pin, bent.yaw_rad),
    ]
    places = pinhole(np.concatenate(parts).astype(np.float64), ego, CAMERA)
    (box,) = [one for one in frame.boxes if one.agent_id == 1]
    rows, columns = np.nonzero(frame.instance == FIRST_INSTANCE + 1)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert np.abs(found - np.concatenate([places.min(axis=0), places.max(axis=0)])).max() <= 1.0
    assert box.visible == tuple(found.tolist())


def test_who_walks_on_the_pavement_stands_on_it(camera: CameraRenderer, policies: Policies, ego: EgoPose) -> None:
    walker = agent(policies, ego, "pedestrian", 9.0, 1.0)
    feet = {}
    for height in (0.0, KERB_M):
        frame = drawn(camera, ego, replace(walker, z_m=height))
        feet[height] = next(one.amodal[3] for one in frame.boxes if one.agent_id == 1)
    here = np.array([[walker.x_m, walker.y_m, 0.0], [walker.x_m, walker.y_m, KERB_M]])
    low, high = pinhole(here, ego, CAMERA)[:, 1]
    assert feet[0.0] - feet[KERB_M] == pytest.approx(low - high, rel=0.06)


def test_a_camera_that_was_turned_sees_things_elsewhere(
    camera: CameraRenderer, policies: Policies, ego: EgoPose
) -> None:
    car = agent(policies, ego, "saloon", 20.0, 0.0)
    usual = next(one for one in drawn(camera, ego, car).boxes if one.agent_id == 1)
    spec = turned(CAMERA, Shift(camera_yaw_mrad=40.0, camera_pitch_mrad=20.0))
    other = next(one for one in drawn(camera, ego, car, spec=spec).boxes if one.agent_id == 1)
    shift = CAMERA.focal_px * 0.04
    assert (other.amodal[0] + other.amodal[2] - usual.amodal[0] - usual.amodal[2]) / 2.0 == pytest.approx(
        shift, rel=0.1
    )
    # Looking further left moves things to the right, looking further down moves them up.
    assert usual.amodal[1] - other.amodal[1] == pytest.approx(CAMERA.focal_px * 0.02, rel=0.1)


def test_a_camera_of_another_size_is_refused(camera: CameraRenderer, ego: EgoPose) -> None:
    with pytest.raises(ValueError, match="640 x 360"):
        drawn(camera, ego, spec=CameraSpec())


def test_plates_that_were_drawn_before_leave_no_trace(camera: CameraRenderer, policies: Policies, ego: EgoPose) -> None:
    car = replace(agent(policies, ego, "saloon", 8.0, 0.0), plate=plate_text(5))
    first = drawn(camera, ego, car).bgr.tobytes()
    for look in range(100, 170):
        drawn(camera, ego, replace(car, plate=plate_text(look)))
    assert drawn(camera, ego, car).bgr.tobytes() == first


def test_masks_and_depth_come_back_as_they_were(
    camera: CameraRenderer, policies: Policies, ego: EgoPose, tmp_path: Path
) -> None:
    frames = [drawn(camera, ego, agent(policies, ego, "suv", ahead, 1.0)) for ahead in (10.0, 14.0, 18.0)]
    kept = PictureTruth(tmp_path, {"rate_hz": 1.0, "depth_step_mm": 10})
    for index, frame in enumerate(frames):
        kept.add(START_NS + index * 600_000_000, frame)
    kept.finish()
    rows = pq.read_table(tmp_path / PIXELS).to_pylist()
    # The second picture lies in the same second as the first.
    assert [row["t_ns"] - START_NS for row in rows] == [0, 1_200_000_000]
    for row, frame in zip(rows, (frames[0], frames[2]), strict=True):
        planes: list[Any] = [
            cv2.imdecode(np.frombuffer(row[name], np.uint8), cv2.IMREAD_UNCHANGED)
            for name in ("semantic", "objects", "depth")
        ]
        semantic, objects, depth = planes
        assert (semantic == frame.semantic()).all()
        instances = np.concatenate([[0], row["instances"]])
        assert (instances[objects] == np.where(frame.instance >= FIRST_INSTANCE, frame.instance, 0)).all()
        seen = np.isfinite(frame.depth_m) & (frame.depth_m < 655.0)
        assert np.abs(depth[seen] * 0.01 - frame.depth_m[seen]).max() <= 0.00501
        assert (depth[~np.isfinite(frame.depth_m)] == 0).all()


def test_depth_of_a_wall_is_that_of_the_plane_it_lies_in(
    camera: CameraRenderer, policies: Policies, ego: EgoPose
) -> None:
    truck = agent(policies, ego, "box_truck", 20.0, 0.0)
    frame = drawn(camera, ego, truck)
    view = view_of(CAMERA, ego)
    rows, columns = np.nonzero(frame.instance == FIRST_INSTANCE + 1)
    middle = (rows > np.quantile(rows, 0.2)) & (rows < np.quantile(rows, 0.6))
    rows, columns = rows[middle], columns[middle]
    focal = CAMERA.focal_px
    rays = np.stack(
        [(columns + 0.5 - CAMERA.width / 2) / focal, -(rows + 0.5 - CAMERA.height / 2) / focal, np.ones(len(rows))], 1
    )
    places = view.eye + frame.depth_m[rows, columns][:, None].astype(np.float64) * (rays @ view.axes)
    ahead = (places[:, 0] - ego.x_m) * np.cos(ego.yaw_rad) + (places[:, 1] - ego.y_m) * np.sin(ego.yaw_rad)
    # The doors with their bars lie within centimetres of the rear end.
    assert np.abs(np.median(ahead) - (20.0 - truck.length_m / 2.0)) < 0.06
    assert np.quantile(ahead, 0.95) - np.quantile(ahead, 0.05) < 0.06
