"""What the auditor of redaction finds of what is exposed: its own recall, against the simulator's truth.

`python -m benchmarks.audit_study FOLDER [--drives 30] [--first-seed 10000]` draws drives of a minute as a camera of two
pictures a second sees them, covers nothing, lets the auditor look at the sample that its policy asks for, and keeps one
JSON file per drive in FOLDER, so that it can be cut short and continued; `--page docs/audit_study.md` then writes the
page of all that is there, with the counts that `policies/audit.yaml` states. Seeds below 10,000 are for tuning.

A track is a face or plate of one road user that is wide enough, turned to the camera and hardly hidden in at least one
picture. In every fourth picture three people stand before the camera, since hardly anybody comes near by himself.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.camera_scores import SKIES, seen, under, with_people
from fleet_assets.evidence.bootstrap import TooFewClusters, cluster_bootstrap
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.looks import Auditor
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.sampling import SampleRule, sampled
from fleet_assets.perception.boxes import iou
from fleet_assets.policy.documents import load_policies
from resources.weights import WeightStore
from services.fleet_simulator.camera.from_truth import scene_at
from services.fleet_simulator.camera.renderer import CameraRenderer
from services.fleet_simulator.camera.scene import CameraSpec, Frame, PiiBox
from services.fleet_simulator.drive_truth import NS_PER_S, DrivePlan
from services.fleet_simulator.traffic.drive import simulate_drive
from services.fleet_simulator.world.generate import generate_network

FIRST_UNSEEN_SEED: Final = 10_000
LEAST_PX: Final = {"face": 12.0, "plate": 20.0}
LEAST_FACING, LEAST_VISIBLE, LEAST_IOU = 0.5, 0.7, 0.2
WIDTHS: Final = {"face": (12, 16, 24, 1000), "plate": (20, 32, 48, 1000)}
CONFIDENCE: Final = 0.95
_SECONDS, _PER_SECOND, _STAGED_EVERY = 60, 2, 4
_START_NS: Final = 1_718_000_000 * NS_PER_S


def counting(frame: Frame) -> list[PiiBox]:
    """Faces and plates that count."""
    return [
        one
        for one in frame.pii
        if one.box[2] - one.box[0] >= LEAST_PX[one.kind]
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
        yield renderer.render(with_people(scene, seed) if number % _STAGED_EVERY == 0 else scene)
    renderer.close()


def studied(seed: int) -> dict[str, Any]:
    """What the auditor found in one drive."""
    policies = load_policies()
    auditor = Auditor(policies["audit"], WeightStore(policies))
    count = _SECONDS * _PER_SECOND - 2
    looked_at = set(sampled(range(count), {}, SampleRule.from_policy(policies["audit"]["sample"]), str(seed)))
    tracks: dict[str, list[Any]] = {}
    wrong = 0
    for number, frame in enumerate(frames_of(seed, policies["simulation"])):
        own = counting(frame)
        for one in own:
            track = tracks.setdefault(f"{one.kind}/{one.agent_id}", [0.0, 0, False])
            track[0] = max(track[0], round(one.box[2] - one.box[0], 1))
            track[1] += number in looked_at
        if number not in looked_at:
            continue
        hits = [hit for hit in auditor(seen(frame)) if hit.confirmed]
        for hit in hits:
            of_kind = [one for one in frame.pii if one.kind == hit.kind]
            overlap = iou([hit.box], [one.box for one in of_kind])[0]
            wrong += not (overlap >= LEAST_IOU / 2).any()
            for one, share in zip(of_kind, overlap, strict=True):
                name = f"{one.kind}/{one.agent_id}"
                if share >= LEAST_IOU and name in tracks:
                    tracks[name][2] = True
    return {"seed": seed, "looked_at": len(looked_at), "wrong": wrong, "tracks": tracks}


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
        f"from {LEAST_PX['face']:g} px (faces) and {LEAST_PX['plate']:g} px (plates) of width at its widest; "
        "what never lies in a picture of the",
        "sample cannot be found, which is part of the recall.",
        "",
        "| tracks | found | of | share | in the sample only |",
        "|---|---|---|---|---|",
    ]
    groups = [(kind, low, high) for kind, ends in WIDTHS.items() for low, high in zip(ends, ends[1:], strict=False)]
    for kind, low, high in [*groups, ("face", 0, 1e9), ("plate", 0, 1e9), ("", 0, 1e9)]:
        own = [row for row in rows if row[1].startswith(kind) and low <= row[2] < high]
        name = (kind or "all") + ("" if low == 0 else f", {low}–{high} px" if high < 1000 else f", from {low} px")  # noqa: PLR2004
        lines.append(_line(name, own))
    wrong = sum(drive["wrong"] for drive in drives)
    lines += [
        "",
        f"Confirmed where there is neither face nor plate: {wrong} in {looked} pictures.",
        "",
        "What `policies/audit.yaml` states under `recall`:",
        "",
        *(f"    {kind}: {counts}" for kind, counts in recall(rows).items()),
        "",
    ]
    return "\n".join(lines)


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
