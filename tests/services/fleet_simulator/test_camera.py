"""The simulated camera: what is in the picture is what its truth says, and the same scene is the same picture."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from kinematic_drive import START_NS, drive, network

from fleet_assets.policy.documents import Policies, load_policies
from services.fleet_simulator.camera.from_truth import scene_at
from services.fleet_simulator.camera.gpu import CameraUnavailableError, open_context, unavailable_reason
from services.fleet_simulator.camera.ground import edge_lines
from services.fleet_simulator.camera.plates import plate_text
from services.fleet_simulator.camera.renderer import CameraRenderer
from services.fleet_simulator.camera.scene import (
    FIRST_INSTANCE,
    Agent,
    CameraSpec,
    ClassId,
    EgoPose,
    Frame,
    Lamp,
    ObjectBox,
    SceneState,
    Surroundings,
)
from services.fleet_simulator.camera.view import view_of
from services.fleet_simulator.world.road_network import RoadNetwork

CAMERA = CameraSpec(width=480, height=270)
CARS = ("saloon", "hatchback", "estate", "suv", "van")
WEATHERS = {
    "day": Surroundings(),
    "overcast": Surroundings("overcast", 0.0, 9_000.0, 1.0, 0.0, 35.0),
    "dusk": Surroundings("clear", 0.0, 15_000.0, 0.3, 0.0, -3.0, 270.0),
    "night": Surroundings("clear", 0.0, 15_000.0, 0.2, 0.0, -30.0),
    "rain": Surroundings("rain", 5.0, 3_000.0, 1.0, 1.0, 25.0),
    "fog": Surroundings("fog", 0.0, 70.0, 1.0, 0.1, 25.0),
}
_REASON = unavailable_reason()
needs_opengl = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))


@pytest.fixture(scope="module")
def policies() -> Policies:
    return load_policies()


@pytest.fixture(scope="module")
def world(policies: Policies) -> RoadNetwork:
    return network(policies)


@pytest.fixture(scope="module")
def camera(policies: Policies, world: RoadNetwork) -> Iterator[CameraRenderer]:
    renderer = CameraRenderer(world, policies["simulation"], CAMERA)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def ego(world: RoadNetwork) -> EgoPose:
    """In the right lane of a long arterial, its beginning behind."""
    line = max((one for one in edge_lines(world) if one.edge.road_class == "primary"), key=lambda one: one.length_m)
    point, yaw = line.at(30.0)
    x, y = point + np.array([np.sin(yaw), -np.cos(yaw)]) * 1.5 * line.edge.lane_width_m
    return EgoPose(float(x), float(y), yaw, lamps=Lamp.NONE)


def agent(  # noqa: PLR0917 - where, which way, who
    policies: Policies, ego: EgoPose, kind: str, ahead_m: float, left_m: float = 0.0, turn: float = 0.0, number: int = 1
) -> Agent:
    size = policies["simulation"]["vehicles"].get(kind, {"length_m": 0.5, "width_m": 0.5, "height_m": 1.75})
    cosine, sine = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
    return Agent(
        number,
        kind,
        ego.x_m + cosine * ahead_m - sine * left_m,
        ego.y_m + sine * ahead_m + cosine * left_m,
        ego.yaw_rad + turn,
        size["length_m"],
        size["width_m"],
        size["height_m"],
        look=number,
        plate=plate_text(number) if kind != "pedestrian" else "",
    )


def scene(ego: EgoPose, *agents: Agent, weather: str = "day") -> SceneState:
    return SceneState(START_NS, ego, agents, (), WEATHERS[weather], seed=7)


def box_of(frame: Frame, number: int) -> ObjectBox:
    return next(box for box in frame.boxes if box.agent_id == number)


def digest(frame: Frame) -> str:
    parts = (
        frame.bgr.tobytes(),
        frame.instance.tobytes(),
        frame.depth_m.tobytes(),
        repr((frame.boxes, frame.pii)).encode(),
    )
    return hashlib.sha256(b"".join(parts)).hexdigest()


@needs_opengl
@pytest.mark.parametrize(
    "kind", [*CARS, "box_truck", "articulated_truck", "bus", "motorcycle", "bicycle", "pedestrian"]
)
def test_the_box_of_the_pixels_is_that_of_the_projected_vertices(
    camera: CameraRenderer, policies: Policies, ego: EgoPose, kind: str
) -> None:
    compared = 0
    for ahead, left, turn in ((14.0, 0.5, 0.0), (22.0, 1.5, 0.1), (30.0, 1.0, 3.2)):
        box = box_of(camera.render(scene(ego, agent(policies, ego, kind, ahead, left, turn))), 1)
        assert box.visible is not None
        if box.occlusion < 0.02 and box.truncation == 0.0:
            compared += 1
            # A vertex that covers less than half of a pixel leaves no mark: thin mirrors and handlebars.
            assert np.abs(np.array(box.visible) - np.array(box.amodal)).max() <= 1.0 + 1e-6
    assert compared > 0


@needs_opengl
def test_the_depth_of_the_road_is_where_the_rays_meet_the_ground(camera: CameraRenderer, ego: EgoPose) -> None:
    frame = camera.render(scene(ego))
    view = view_of(CAMERA, ego)
    rows, columns = np.nonzero(frame.instance == ClassId.ROAD)
    assert len(rows) > 5_000
    focal = CAMERA.focal_px
    local = np.stack(
        [(columns + 0.5 - CAMERA.width / 2) / focal, -(rows + 0.5 - CAMERA.height / 2) / focal, np.ones(len(rows))],
        axis=1,
    )
    falls = -(local @ view.axes)[:, 2]
    height = view.eye[2] - frame.depth_m[rows, columns] * falls
    # Carriageways lie up to 2 mm above each other.
    assert np.abs(height).max() < 0.004
    assert np.isinf(frame.depth_m[frame.instance == ClassId.SKY]).all()


@needs_opengl
def test_masks_boxes_and_classes_agree(camera: CameraRenderer, policies: Policies, ego: EgoPose) -> None:
    agents = [
        agent(policies, ego, kind, 9.0 + 6.0 * i, 3.5 * (i % 3 - 1), 0.3 * i, i + 1) for i, kind in enumerate(CARS)
    ]
    frame = camera.render(scene(ego, *agents))
    assert len([box for box in frame.boxes if box.agent_id is not None]) == len(CARS)
    for box in frame.boxes:
        rows, columns = np.nonzero(frame.instance == box.instance)
        assert len(rows) == box.pixels
        if box.visible is None:
            assert box.pixels == 0
        else:
            assert box.visible == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert (frame.semantic()[rows, columns] == box.class_id).all()
    known = {box.instance for box in frame.boxes}
    assert set(np.unique(frame.instance[frame.instance >= FIRST_INSTANCE]).tolist()) <= known


@needs_opengl
def test_what_stands_behind_a_truck_is_occluded(camera: CameraRenderer, policies: Policies, ego: EgoPose) -> None:
    truck, car = agent(policies, ego, "box_truck", 14.0, number=1), agent(policies, ego, "hatchback", 26.0, number=2)
    frame = camera.render(scene(ego, truck, car))
    assert box_of(frame, 1).occlusion < 0.05
    assert box_of(frame, 2).occlusion > 0.95
    assert box_of(camera.render(scene(ego, car)), 2).occlusion < 0.05


@needs_opengl
def test_the_same_scene_is_the_same_picture_whatever_was_drawn_before(
    camera: CameraRenderer, policies: Policies, ego: EgoPose
) -> None:
    wanted = scene(
        ego, agent(policies, ego, "saloon", 9.0, number=3), agent(policies, ego, "pedestrian", 6.0, 3.0, 3.1, 4)
    )
    first = digest(camera.render(wanted))
    elsewhere = replace(ego, x_m=ego.x_m + 200.0)
    camera.render(scene(elsewhere, agent(policies, elsewhere, "bus", 20.0, number=9), weather="rain"))
    assert digest(camera.render(wanted)) == first
    assert digest(camera.render(replace(wanted, seed=8))) != first


@needs_opengl
def test_night_is_dark_dusk_is_between_and_fog_hides_what_is_far(
    camera: CameraRenderer, policies: Policies, ego: EgoPose
) -> None:
    def mean(weather: str) -> float:
        return float(camera.render(scene(ego, weather=weather)).bgr.mean())

    assert mean("night") < 0.8 * mean("dusk")
    assert mean("dusk") < 0.9 * mean("day")
    far = agent(policies, ego, "box_truck", 60.0)
    contrasts = []
    for weather in ("overcast", "fog"):
        with_truck = camera.render(scene(ego, far, weather=weather))
        mask = with_truck.instance == FIRST_INSTANCE + 1
        without = camera.render(scene(ego, weather=weather)).bgr[mask].astype(int)
        contrasts.append(np.abs(with_truck.bgr[mask].astype(int) - without).mean())
    assert contrasts[1] < 0.35 * contrasts[0]


@needs_opengl
@pytest.mark.parametrize("weather", ["day", "night"])
def test_brake_lamps_light_up(camera: CameraRenderer, policies: Policies, ego: EgoPose, weather: str) -> None:
    dark = agent(policies, ego, "saloon", 10.0)
    reds = []
    for one in (dark, replace(dark, lamps=Lamp.BRAKE)):
        frame = camera.render(scene(ego, one, weather=weather))
        picture = frame.bgr.astype(int)
        own = frame.instance == FIRST_INSTANCE + 1
        reds.append(int(((picture[..., 2] > 150) & (picture[..., 1] < 110) & own).sum()))
    assert reds[1] > reds[0] + 40


@needs_opengl
def test_an_indicator_blinks(camera: CameraRenderer, policies: Policies, ego: EgoPose) -> None:
    one = scene(ego, replace(agent(policies, ego, "saloon", 10.0), lamps=Lamp.LEFT))
    levels = {
        camera.render(replace(one, t_ns=START_NS + k * 111_000_000)).bgr[..., 2].astype(int).sum() // 2_000
        for k in range(6)
    }
    assert len(levels) > 1


@needs_opengl
def test_headlamps_of_the_ego_light_the_road(camera: CameraRenderer, ego: EgoPose) -> None:
    unlit = camera.render(scene(ego, weather="night"))
    lit = camera.render(scene(replace(ego, lamps=Lamp.HEAD), weather="night"))
    road = unlit.instance == ClassId.ROAD
    assert lit.bgr[road].mean() > 1.3 * unlit.bgr[road].mean()


@needs_opengl
def test_faces_and_plates_are_told_with_their_text_and_only_when_they_can_be_seen(
    camera: CameraRenderer, policies: Policies, ego: EgoPose
) -> None:
    towards = agent(policies, ego, "pedestrian", 6.0, 2.0, np.pi, 1)
    away = agent(policies, ego, "pedestrian", 6.0, -2.0, 0.0, 2)
    car = agent(policies, ego, "saloon", 12.0, 0.0, 0.0, 3)
    hidden = agent(policies, ego, "hatchback", 24.0, 0.0, 0.0, 4)
    found = {(box.kind, box.agent_id): box for box in camera.render(scene(ego, towards, away, car, hidden)).pii}
    assert set(found) == {("face", 1), ("plate", 3)}
    assert found["plate", 3].text == car.plate
    left, top, right, bottom = found["plate", 3].box
    assert (right - left) / (bottom - top) == pytest.approx(0.52 / 0.11, rel=0.1)
    assert found["face", 1].visible_share > 0.8


@needs_opengl
@pytest.mark.parametrize("weather", WEATHERS)
def test_every_weather_gives_a_picture_with_detail(
    camera: CameraRenderer, policies: Policies, ego: EgoPose, weather: str
) -> None:
    frame = camera.render(scene(ego, agent(policies, ego, "suv", 12.0), weather=weather))
    assert frame.bgr.shape == (CAMERA.height, CAMERA.width, 3)
    assert frame.bgr.flags.c_contiguous
    assert frame.bgr.std() > 8


@needs_opengl
def test_a_smeared_lens_takes_contrast(camera: CameraRenderer, ego: EgoPose) -> None:
    clean = scene(ego)
    sharp, dull = (camera.render(replace(clean, smear=amount)).bgr.astype(float) for amount in (0.0, 0.9))
    assert np.abs(np.diff(dull, axis=1)).mean() < 0.8 * np.abs(np.diff(sharp, axis=1)).mean()


def test_scenes_between_the_states_of_a_drive_are_interpolated(world: RoadNetwork) -> None:
    truth = drive(world, seconds=4)
    early, late = scene_at(truth, START_NS + 1_000_000_000), scene_at(truth, START_NS + 1_010_000_000)
    between = scene_at(truth, START_NS + 1_004_000_000)
    assert between.ego.x_m == pytest.approx(0.6 * early.ego.x_m + 0.4 * late.ego.x_m, abs=1e-9)
    assert {one.agent_id for one in between.agents} == {track.agent_id for track in truth.tracks}
    assert all(one.plate == plate_text(one.look) for one in between.agents if one.kind in CARS)


def test_without_opengl_the_error_names_what_to_install() -> None:
    script = (
        "from services.fleet_simulator.camera.gpu import CameraUnavailableError, open_context\n"
        "try:\n    open_context()\nexcept CameraUnavailableError as error:\n    print(error)"
    )
    nowhere = {"__EGL_VENDOR_LIBRARY_FILENAMES": os.devnull, "__EGL_VENDOR_LIBRARY_DIRS": os.devnull}
    environment = {**os.environ, **nowhere, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert "apt-get install -y libegl1 libegl-mesa0 libgl1-mesa-dri" in done.stdout


def test_without_moderngl_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moderngl", None)
    with pytest.raises(CameraUnavailableError, match="moderngl"):
        open_context()
