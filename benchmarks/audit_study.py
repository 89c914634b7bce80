"""What the auditor of redaction finds of what is exposed: its own recall, against the simulator's truth.

`python -m benchmarks.audit_study FOLDER [--drives 30] [--first-seed 10000]` draws drives of a minute as a camera of two
pictures a second sees them, covers nothing, lets the auditor look at the sample that its policy asks for, and keeps one
JSON file per drive in FOLDER, so that it can be cut short and continued; `--page docs/audit_study.md` then writes the
page of all that is there, with the counts that `policies/audit.yaml` states. Seeds below 10,000 are for tuning.
The same pictures are then covered as redaction covers them, and looked at again: what is confirmed where nothing is
exposed is a false alarm.

A track is a face or plate of one road user that is wide enough, turned to the camera and hardly hidden in at least one
picture. In every fourth picture three people stand before the camera, and in every fourth three vehicles, since hardly
anybody comes near by himself. Whether headlamps or the sun bleach a plate does not count: it is asked for all the same.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.camera_scores import SKIES, seen, under, with_people
from fleet_assets.evidence.bootstrap import TooFewClusters, cluster_bootstrap
from fleet_assets.evidence.intervals import clopper_pearson
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.looks import Auditor, Hit
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.sampling import SampleRule, sampled
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.cover import CoverRule, covered
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.finders import open_finders
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.plan import PlanRule, plan_boxes
from fleet_assets.perception.boxes import iou
from fleet_assets.perception.preprocessing import Picture
from fleet_assets.policy.documents import Policies, load_policies
from resources.weights import WeightStore
from services.fleet_simulator.camera.from_truth import scene_at
from services.fleet_simulator.camera.plates import plate_text
from services.fleet_simulator.camera.renderer import CameraRenderer
from services.fleet_simulator.camera.scene import Agent, CameraSpec, Frame, PiiBox, SceneState
from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.world.generate import generate_network

FIRST_UNSEEN_SEED: Final = 10_000
LEAST_PX: Final = {"face": 12.0, "plate": 40.0}
"""Narrower ones tell nobody anything: letters of a plate of 40 pixels are four pixels wide."""
SHOWN_FROM_PX: Final = {"face": 12.0, "plate": 20.0}
"""From here on the page reports them."""
LEAST_FACING, LEAST_VISIBLE, LEAST_IOU = 0.5, 0.7, 0.2
WIDTHS: Final = {"face": (12, 16, 24, 1000), "plate": (20, 40, 56, 72, 1000)}
CONFIDENCE: Final = 0.95
_SECONDS, _PER_SECOND, _STAGED_EVERY = 60, 2, 4
_STREAM: Final = 413
_NEAREST_M, _FARTHEST_M, _LANES_M = 2.8, 7.0, (0.0, -3.3, 3.3)
_ROOM_M: Final = 16.0
_START_NS: Final = 1_718_000_000 * NS_PER_S


def counting(frame: Frame) -> list[PiiBox]:
    """Faces and plates that count."""
    return [
        one
        for one in frame.pii
        if one.box[2] - one.box[0] >= SHOWN_FROM_PX[one.kind]
        and one.facing >= LEAST_FACING
        and one.visible_share >= LEAST_VISIBLE
    ]


def frames_of(seed: int, policy: Mapping[str, Any]) -> Iterator[Frame]:
    """The pictures of one drive; light and weather change from drive to drive."""
    network = generate_network(seed, policy["world"])
    depot = network.depots[seed % len(network.depots)].name
    truth = simulate_drive(DrivePlan(f"audit-{seed}", "audit", depot, seed, _START_NS, _SECONDS), network, policy)
    start, sky = int(truth.ego.t_ns[0]), list(SKIES.values())[seed % len(SKIES)]
    renderer = CameraRenderer(network, policy, CameraSpec())
    for number in range(1, _SECONDS * _PER_SECOND - 1):
        scene = under(scene_at(truth, start + number * NS_PER_S // _PER_SECOND), sky)
        if number % _STAGED_EVERY == 0:
            scene = with_people(scene, seed)
        elif number % _STAGED_EVERY == _STAGED_EVERY // 2:
            scene = with_vehicles(scene, seed, policy["vehicles"])
        yield renderer.render(scene)
    renderer.close()


def with_vehicles(scene: SceneState, seed: int, sizes: Mapping[str, Mapping[str, float]]) -> SceneState:
    """A scene with three vehicles 2.8 to 7 m before the camera, from behind or from ahead, up to 20 degrees aslant."""
    rng = np.random.default_rng([seed, _STREAM])
    ego = scene.ego
    ahead = np.array([np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)])
    left = np.array([-ahead[1], ahead[0]])
    eye = np.array([ego.x_m, ego.y_m]) + CameraSpec().mount_m[0] * ahead
    others = [one for one in scene.agents if np.hypot(one.x_m - ego.x_m, one.y_m - ego.y_m) > _ROOM_M]
    kinds = [kind for kind, size in sizes.items() if size["width_m"] > 1.0 and size["length_m"] < _ROOM_M / 2]
    for number, lane_m in enumerate(_LANES_M):
        kind, look = str(rng.choice(kinds)), int(rng.integers(1 << 30))
        size = sizes[kind]
        far_m = rng.uniform(_NEAREST_M, _FARTHEST_M) + size["length_m"] / 2
        x_m, y_m = eye + far_m * ahead + lane_m * left
        yaw_rad = ego.yaw_rad + np.radians(rng.uniform(-20.0, 20.0)) + np.pi * rng.integers(2)
        shape = (size["length_m"], size["width_m"], size["height_m"])
        others.append(
            Agent(300_000 + number, kind, float(x_m), float(y_m), float(yaw_rad), *shape, look, plate_text(look))
        )
    return replace(scene, agents=tuple(others))


def redacted(picture: Picture, policies: Policies, store: WeightStore) -> Picture:
    """A picture covered as one that nothing is known about before and after it."""
    finders = open_finders(policies["redaction"]["detectors"], store)
    rules = PlanRule.from_policy(policies["redaction"])
    size = (picture.shape[1], picture.shape[0])
    areas = [
        area
        for kind, found in finders(picture).items()
        for area in plan_boxes(kind, {0: found}, 1, size, rules[kind]).get(0, [])
    ]
    return covered(picture, areas, CoverRule.from_policy(policies["redaction"]))


def false_alarms(hits: Iterable[Hit], frame: Frame) -> int:
    """Confirmed hits where there is nothing of their kind."""
    wrong = 0
    for hit in hits:
        boxes = [one.box for one in frame.pii if one.kind == hit.kind]
        wrong += hit.confirmed and not (iou([hit.box], boxes) >= LEAST_IOU / 2).any()
    return wrong


def studied(seed: int) -> dict[str, Any]:
    """What the auditor found in one drive."""
    policies = load_policies()
    store = WeightStore(policies)
    auditor = Auditor(policies["audit"], store)
    count = _SECONDS * _PER_SECOND - 2
    looked_at = set(sampled(range(count), {}, SampleRule.from_policy(policies["audit"]["sample"]), str(seed)))
    tracks: dict[str, list[Any]] = {}
    wrong = after = wrong_after = 0
    for number, frame in enumerate(frames_of(seed, policies["simulation"])):
        for one in counting(frame):
            track = tracks.setdefault(f"{one.kind}/{one.agent_id}", [0.0, 0, False])
            track[0] = max(track[0], round(one.box[2] - one.box[0], 1))
            track[1] += number in looked_at
        if number not in looked_at:
            continue
        shown = seen(frame)
        hits = list(auditor(shown))
        wrong += false_alarms(hits, frame)
        for name in confirmed_tracks(hits, frame):
            if name in tracks:
                tracks[name][2] = True
        again = list(auditor(redacted(shown, policies, store)))
        after += sum(hit.confirmed for hit in again)
        wrong_after += false_alarms(again, frame)
    return {
        "seed": seed,
        "looked_at": len(looked_at),
        "wrong": wrong,
        "after": after,
        "wrong_after": wrong_after,
        "tracks": tracks,
    }


def confirmed_tracks(hits: Iterable[Hit], frame: Frame) -> Iterator[str]:
    """Names of the tracks that confirmed hits lie on."""
    for hit in hits:
        of_kind = [one for one in frame.pii if one.kind == hit.kind]
        for one, share in zip(of_kind, iou([hit.box], [one.box for one in of_kind])[0], strict=True):
            if hit.confirmed and share >= LEAST_IOU:
                yield f"{one.kind}/{one.agent_id}"


def page(drives: Sequence[Mapping[str, Any]]) -> str:
    """The page of a study."""
    rows = [(drive["seed"], name.split("/")[0], *track) for drive in drives for name, track in drive["tracks"].items()]
    looked = sum(drive["looked_at"] for drive in drives)
    lines = [
        "# What the auditor of redaction finds",
        "",
        "<!-- Made by `python -m benchmarks.audit_study FOLDER --page docs/audit_study.md`. Do not edit. -->",
        "",
        f"{len(drives)} simulated drives of {_SECONDS} s, seeds {min(d['seed'] for d in drives)} to "
        f"{max(d['seed'] for d in drives)}, {_PER_SECOND} pictures of 640 × 360 a second, nothing covered; "
        f"{looked} pictures were looked at. The auditor was tuned on seeds below 1,000.",
        "Shares of tracks that it confirms in its sample, with 95 % intervals (bootstrap over drives). A track counts",
        f"from {LEAST_PX['face']:g} px (faces) and {LEAST_PX['plate']:g} px (plates) of width at its widest: of "
        "narrower plates nobody can read the letters.",
        "Plates that lamps or the sun bleach count all the same. What never lies in a picture of the sample cannot be "
        "found, which is part of the recall.",
        "",
        "| tracks | found | of | share | in the sample only |",
        "|---|---|---|---|---|",
    ]
    groups = [(kind, low, high) for kind, ends in WIDTHS.items() for low, high in zip(ends, ends[1:], strict=False)]
    for kind, low, high in groups:
        own = [row for row in rows if row[1] == kind and low <= row[2] < high]
        lines.append(_line(f"{kind}, {low}–{high} px" if high < 1000 else f"{kind}, from {low} px", own))  # noqa: PLR2004
    counted = [row for row in rows if row[2] >= LEAST_PX[row[1]]]
    lines += [_line(f"**{kind}** that counts", [row for row in counted if row[1] == kind]) for kind in LEAST_PX]
    lines += [
        "",
        *_alarms(drives, looked),
        "",
        "What `policies/audit.yaml` states under `recall`:",
        "",
        *(f"    {kind}: {counts}" for kind, counts in recall(counted).items()),
        "",
    ]
    return "\n".join(lines)


def _alarms(drives: Sequence[Mapping[str, Any]], looked: int) -> list[str]:
    wrong, after, wrong_after = (sum(drive[name] for drive in drives) for name in ("wrong", "after", "wrong_after"))
    with_any = sum(drive["wrong_after"] > 0 for drive in drives)
    share = clopper_pearson(with_any, len(drives), CONFIDENCE)
    return [
        f"Confirmed where there is nothing of that kind: {wrong} in {looked} pictures before redaction, {wrong_after} "
        f"in the same pictures after it,",
        f"in {with_any} of {len(drives)} drives (95 %: {share.low:.3f}–{share.high:.3f} of drives). Confirmed after "
        f"redaction where something was left exposed: {after - wrong_after}.",
    ]


def recall(rows: Sequence[tuple[Any, ...]]) -> dict[str, dict[str, int]]:
    """Counts by kind, as the policy states them."""
    by_kind = {kind: [row for row in rows if row[1] == kind] for kind in WIDTHS}
    return {
        kind: {
            "found": sum(row[4] for row in own),
            "in_sample": sum(row[3] > 0 for row in own),
            "exposed": len(own),
        }
        for kind, own in by_kind.items()
    }


def _line(name: str, rows: Sequence[tuple[Any, ...]]) -> str:
    found, looked = sum(row[4] for row in rows), [row for row in rows if row[3]]
    share = _interval([(row[0], row[4]) for row in rows])
    return f"| {name} | {found} | {len(rows)} | {share} | {_interval([(row[0], row[4]) for row in looked])} |"


def _interval(rows: Sequence[tuple[int, bool]]) -> str:
    if not rows:
        return "–"
    seeds = sorted({seed for seed, _ in rows})
    top = [sum(hit for seed, hit in rows if seed == one) for one in seeds]
    bottom = [sum(seed == one for seed, _ in rows) for one in seeds]
    interval = cluster_bootstrap(top, bottom, confidence=CONFIDENCE, seed=0, n_resamples=2000)
    share = f"{np.mean([hit for _, hit in rows]):.2f}"
    return share if isinstance(interval, TooFewClusters) else f"{share} [{interval.low:.2f}–{interval.high:.2f}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--drives", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=FIRST_UNSEEN_SEED)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    for seed in range(given.first_seed, given.first_seed + given.drives):
        path = given.folder / f"{seed}.json"
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            unfinished.write_text(json.dumps(studied(seed)))
            unfinished.replace(path)
            print(f"seed {seed}", flush=True)
    if given.page:
        drives = [json.loads(path.read_text()) for path in sorted(given.folder.glob("*.json"))]
        given.page.write_text(page(drives))


if __name__ == "__main__":
    main()
