"""Redaction of simulated pictures against their truth: every picture searched, each fifth, as the policy says.

Here belongs one drive: what is drawn, and which faces and plates in it are covered. The pictures go through the code
that redacts recordings; only detections are kept, so that one pass of the detectors serves all.

A drive is the second of a simulated minute with most road users ahead, in one of seven lights and weathers, with
three people besides who walk across the view of the camera.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.camera_scores import SKIES, moments, seen, under
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.camera import CameraResult, Redaction
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.finders import Finders, open_finders
from fleet_assets.ingestion.media.pictures import FRAMES
from fleet_assets.ingestion.media.pictures import Frame as Shown
from fleet_assets.perception.boxes import Detections
from fleet_assets.perception.preprocessing import Picture
from fleet_assets.policy.documents import load_policies
from resources.weights import WeightStore
from services.fleet_simulator.camera.from_truth import scene_at
from services.fleet_simulator.camera.renderer import CameraRenderer
from services.fleet_simulator.camera.scene import Agent, CameraSpec, Frame, PiiBox, SceneState
from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.world.generate import generate_network
from services.fleet_simulator.world.routes import NoRouteError

PICTURES, RATE_HZ = 26, 25
LEAST_WIDTH_PX: Final[Mapping[str, float]] = {"face": 12.0, "plate": 20.0}
LEAST_FACING, LEAST_VISIBLE = 0.5, 0.5
"""A face that looks away or is hidden to more than a half tells nobody who it is."""
COVERED: Final = 0.8
"""Share of an item's box from which on it counts as covered."""
EVERY, FIFTH, SHIPPED = "every", "fifth", "shipped"
SEARCHES: Final[Mapping[str, Mapping[str, int]]] = {
    EVERY: {"every_frames": 1},
    FIFTH: {"every_frames": 5, "most_gap_ms": 60_000, "halvings": 0},
    SHIPPED: {},
}
"""How often pictures are searched; what is not said is as in the policy."""
_SECONDS: Final = 60
_START_NS: Final = 1_718_000_000 * NS_PER_S
_STREAM: Final = 412
_SIDES_M: Final = (-3.5, 0.5, 4.0)


@dataclass(slots=True)
class _Pictures:
    """Pictures in memory as a camera's source."""

    shown: Sequence[Picture]
    camera: str = "camera"
    part: int = 0
    media: str = FRAMES
    undecodable: Counter[str] = field(default_factory=Counter)

    def frames(self, every: int = 1) -> Iterator[Shown]:
        """Pictures one after the other; see `PictureSource`."""
        for index in range(0, len(self.shown), every):
            yield Shown(index, _START_NS + index * NS_PER_S // RATE_HZ, None, self.shown[index], None)


@dataclass(frozen=True, slots=True)
class _Remembering:
    """Detectors that look at each picture once."""

    finders: Finders
    known: dict[bytes, dict[str, Detections]] = field(default_factory=dict)

    def __call__(self, picture: Picture) -> dict[str, Detections]:
        key = picture.tobytes()
        if key not in self.known:
            self.known[key] = self.finders(picture)
        return self.known[key]


@cache
def _tools() -> tuple[Any, Finders]:
    policies = load_policies()
    return policies, open_finders(policies["redaction"]["detectors"], WeightStore(policies))


def drawn(seed: int) -> tuple[str, list[Frame]]:
    """Light and weather of a drive, and its pictures with their truth."""
    policy = load_policies()["simulation"]
    network = generate_network(seed, policy["world"])
    depot = network.depots[seed % len(network.depots)].name
    plan = DrivePlan(f"redact-{seed}", "redact", depot, seed, _START_NS, _SECONDS)
    truth = simulate_drive(plan, network, policy)
    start = int(truth.ego.t_ns[0])
    usable = range(1, _SECONDS - PICTURES // RATE_HZ - 1)
    chosen = moments([scene_at(truth, start + second * NS_PER_S) for second in usable], 1)
    begin = int(chosen[0].t_ns) if chosen else start + _SECONDS // 2 * NS_PER_S
    sky = list(SKIES)[seed % len(SKIES)]
    renderer = CameraRenderer(network, policy, CameraSpec())
    frames = []
    for number in range(PICTURES):
        scene = scene_at(truth, begin + number * NS_PER_S // RATE_HZ)
        frames.append(renderer.render(under(_among_people(scene, seed, number / RATE_HZ), SKIES[sky])))
    renderer.close()
    return sky, frames


def _among_people(scene: SceneState, seed: int, after_s: float) -> SceneState:
    """The scene with three people who walk across the view, 3 to 10 m ahead, and look towards the camera or aside."""
    rng = np.random.default_rng([seed, _STREAM])
    ego = scene.ego
    ahead, left = (
        np.array([np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)]),
        np.array([-np.sin(ego.yaw_rad), np.cos(ego.yaw_rad)]),
    )
    eye = np.array([ego.x_m, ego.y_m]) + CameraSpec().mount_m[0] * ahead
    away = [one for one in scene.agents if np.hypot(one.x_m - ego.x_m, one.y_m - ego.y_m) > 12.0]  # noqa: PLR2004 - room for people
    for number, side_m in enumerate(_SIDES_M):
        far_m, pace, turned = rng.uniform(3.0, 10.0), rng.uniform(-1.4, 1.4), rng.uniform(-0.9, 0.9)
        place = eye + far_m * ahead + (side_m * far_m / 8.0 + pace * after_s) * left
        look_at = np.arctan2(*(eye - place)[::-1]) + turned * np.cos(after_s)
        away.append(
            Agent(
                agent_id=200_000 + number,
                kind="pedestrian",
                x_m=float(place[0]),
                y_m=float(place[1]),
                yaw_rad=float(look_at),
                length_m=0.4,
                width_m=0.5,
                height_m=float(rng.uniform(1.5, 1.9)),
                look=int(rng.integers(1 << 30)),
                speed_mps=abs(float(pace)),
                travelled_m=abs(float(pace)) * after_s,
            )
        )
    return replace(scene, agents=tuple(away))


def _counts(item: PiiBox) -> bool:
    return (
        item.box[2] - item.box[0] >= LEAST_WIDTH_PX[item.kind]
        and item.visible_share >= LEAST_VISIBLE
        and item.facing >= LEAST_FACING
    )


def _redacted(pictures: Sequence[Picture], search: str, finders: _Remembering) -> CameraResult:
    policies, _ = _tools()
    policy = {**policies["redaction"], "search": {**policies["redaction"]["search"], **SEARCHES[search]}}
    redaction = Redaction(finders, policy, policies["media"])  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        return redaction.of_camera([_Pictures(pictures)], Path(folder))  # type: ignore[list-item]


def _shares(frames: Sequence[Frame], result: CameraResult) -> list[float]:
    """Covered share of each item that counts, picture by picture."""
    areas: dict[int, list[Any]] = {}
    for row in result.boxes:
        areas.setdefault(row.frame, []).append(row.area)
    shares = []
    for number, frame in enumerate(frames):
        mask = np.zeros(frame.bgr.shape[:2], np.bool_)
        for area in areas.get(number, []):
            mask[area.top : area.bottom, area.left : area.right] = True
        for item in filter(_counts, frame.pii):
            left, top, right, bottom = (int(np.floor(v)) if i < 2 else int(np.ceil(v)) for i, v in enumerate(item.box))  # noqa: PLR2004 - left and top
            shares.append(round(float(mask[top:bottom, left:right].mean()), 3))
    return shares


def study_drive(seed: int) -> dict[str, Any]:
    """Light, items with their kind, owner and width, and by `SEARCHES` which share of each is covered.

    A seed whose town has no way on from its depot gives no drive, and says so.
    """
    try:
        sky, frames = drawn(seed)
    except NoRouteError as error:
        return {"seed": seed, "no_drive": str(error)}
    pictures = [seen(frame) for frame in frames]
    finders = _Remembering(_tools()[1])
    results = {search: _redacted(pictures, search, finders) for search in SEARCHES}
    items = [
        [item.kind, item.agent_id, round(item.box[2] - item.box[0], 1)]
        for frame in frames
        for item in filter(_counts, frame.pii)
    ]
    return {
        "seed": seed,
        "sky": sky,
        "items": items,
        "covered": {search: _shares(frames, result) for search, result in results.items()},
        "blurred": {search: result.blurred_share for search, result in results.items()},
        "searched": {search: result.searched for search, result in results.items()},
    }
