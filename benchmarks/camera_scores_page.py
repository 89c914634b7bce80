"""The page of the simulated camera's scores, from the results of `camera_scores`: tables with intervals, and text."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.evidence.intervals import Interval
from fleet_assets.perception.frechet import frechet_distance
from fleet_assets.perception.metrics import share

HEIGHTS_PX: Final = (12, 20, 30, 36, 45, 80, 1000)
TARGET_PX: Final = 36
LEAST_DETECTION_PX: Final = 12
REAL_CARS: Final[Mapping[int, float]] = {20: 0.53, 30: 0.88, 36: 0.94, 45: 1.00, 80: 1.00}
"""Recall of the same detector in the same tiles for real cars that were shrunk to a height in a 640 x 360 picture."""
BY_DAY: Final = "day, clear"
_STILLS: Final = 200

WITHOUT_PRECISION: Final = frozenset({"cyclists"})
"""Found by the labels of others as well, so that what is no cyclist need not be wrong."""

Rows = list[tuple[int, float, bool]]
"""Drive, height in pixels, found or right."""


def _rows(scores: Sequence[Mapping[str, Any]], sky: str, name: str, which: str) -> Rows:
    return [
        (score["seed"], height, hit)
        for score in scores
        for frame in score["skies"][sky]
        for height, hit in frame[name][which]
    ]


def _told(rows: Rows) -> str:
    """Share with its 95 % interval and number."""
    if not rows:
        return "–"
    interval = share([hit for _, _, hit in rows], [drive for drive, _, _ in rows])
    return f"{_interval(interval)} ({len(rows)})"


def _interval(interval: Interval) -> str:
    estimate = interval.estimate if interval.estimate is not None else float("nan")
    return f"{estimate:.2f} [{interval.low:.2f}–{interval.high:.2f}]"


def _bins() -> Iterator[tuple[str, float, float]]:
    low = 0.0
    for high in HEIGHTS_PX:
        yield (f"{low:g}–{high} px" if high < HEIGHTS_PX[-1] else f"≥ {low:g} px"), low, float(high)
        low = float(high)


def recall_table(scores: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Recall by height, light and weather."""
    skies = list(scores[0]["skies"])
    real = name == "vehicles"
    lines = [
        "| height | " + " | ".join(skies) + (" | real cars, shrunk |" if real else " |"),
        "|---" * (len(skies) + 1 + real) + "|",
    ]
    for label, low, high in _bins():
        cells = [_told([row for row in _rows(scores, sky, name, "objects") if low <= row[1] < high]) for sky in skies]
        curve = ", ".join(
            f"{recall:.2f} at {height} px" for height, recall in REAL_CARS.items() if low <= height < high
        )
        lines.append(f"| {label} | " + " | ".join(cells) + (f" | {curve or '–'} |" if real else " |"))
    return lines


def summary_table(scores: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Recall from the target's height on, and precision of detections of at least a height."""
    skies = list(scores[0]["skies"])
    lines = ["| | " + " | ".join(skies) + " |", "|---" * (len(skies) + 1) + "|"]
    for name in names:
        for title, which, least in (
            (f"{name}: recall ≥ {TARGET_PX} px", "objects", TARGET_PX),
            (f"{name}: precision ≥ {TARGET_PX} px", "detections", TARGET_PX),
            (f"{name}: precision ≥ {LEAST_DETECTION_PX} px", "detections", LEAST_DETECTION_PX),
        ):
            if which == "detections" and name in WITHOUT_PRECISION:
                continue
            cells = [_told([row for row in _rows(scores, sky, name, which) if row[1] >= least]) for sky in skies]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def face_table(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """Faces by distance."""
    lines = ["| distance | staged | in traffic |", "|---|---|---|"]
    for label, low, high in (("≤ 8 m", 0.0, 8.01), ("3–5 m", 3.0, 5.0), ("5–6.5 m", 5.0, 6.5), ("6.5–8 m", 6.5, 8.01)):
        cells = []
        for which in ("staged", "in traffic"):
            rows = [
                (score["seed"], width, hit)
                for score in scores
                for distance, width, hit in score["faces"][which]
                if low <= distance < high
            ]
            cells.append(_told(rows))
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def video_features(path: Path, network: Any, count: int) -> NDArray[np.float32]:
    """Features of frames spread evenly over a video."""
    import av

    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return np.asarray([network(frames[index]) for index in chosen], dtype=np.float32)


def still_features(folder: Path, network: Any, count: int) -> NDArray[np.float32]:
    """Features of pictures spread evenly over a folder."""
    import cv2

    paths = sorted(path for path in folder.iterdir() if path.suffix in {".jpg", ".png"})
    chosen = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return np.asarray([network(cv2.imread(str(paths[index]))) for index in chosen], dtype=np.float32)


def distance_table(scores: Sequence[Mapping[str, Any]], videos: Path) -> list[str]:
    """Fréchet distances of simulated and real pictures, all between sets of one size."""
    from fleet_assets.perception.embedding import FeatureNetwork
    from fleet_assets.policy.documents import load_policies
    from resources.weights import WeightStore

    weights = WeightStore(load_policies()).open("efficientnet_lite0")
    network = FeatureNetwork(weights.files["parameters"], weights.input)
    simulated = np.asarray([row for score in scores for row in score["features"]], dtype=np.float32)
    sets = {
        "dash video": video_features(videos / "solidWhiteRight.mp4", network, _STILLS),
        "GoPro video": video_features(videos / "gopro_max_heromode_gpmf.mp4", network, _STILLS),
        "road photos": still_features(
            videos.parents[1] / "road_sign_detection_cc0" / "sample" / "images", network, _STILLS
        ),
    }
    half = min(len(simulated) // 2, *(len(rows) for rows in sets.values()), _STILLS // 2)

    def part(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(rows[np.linspace(0, len(rows) - 1, half).round().astype(int)])

    pairs = {
        "simulated – dash video": (part(simulated), part(sets["dash video"])),
        "simulated – road photos": (part(simulated), part(sets["road photos"])),
        "simulated – GoPro video": (part(simulated), part(sets["GoPro video"])),
        "dash video – road photos": (part(sets["dash video"]), part(sets["road photos"])),
        "dash video – GoPro video": (part(sets["dash video"]), part(sets["GoPro video"])),
        "road photos – GoPro video": (part(sets["road photos"]), part(sets["GoPro video"])),
        "road photos, one half – the other": (sets["road photos"][::2][:half], sets["road photos"][1::2][:half]),
        "simulated, one half of the drives – the other": (
            simulated[: len(simulated) // 2],
            simulated[len(simulated) // 2 :],
        ),
    }
    lines = [f"| sets of {half} pictures | Fréchet distance |", "|---|---|"]
    return lines + [
        f"| {name} | {frechet_distance(one[:half], two[:half]):.0f} |" for name, (one, two) in pairs.items()
    ]


INTRODUCTION: Final = """The simulator was tuned on seeds below 1,000. Moments are chosen by the number of road
users 6 to 25 m ahead; each is drawn in several lights and weathers, and goes through JPEG. Numbers are shares with
95 % intervals (bootstrap over drives; exact over drives where these are few or all agree) and, in brackets, how many
objects or detections they stand on.

Detector: SSD-MobileNetV2 (COCO), score ≥ 0.3, tiles of 240 × 180 with 50 % overlap and, for what is larger than the
overlap, the whole picture. An object counts when at most 10 % of it is hidden and at most 5 % lies outside the picture.
A vehicle is found by any of car, truck, bus, motorcycle with an overlap (IoU) of at least 0.5; a pedestrian by person,
a cyclist by person, bicycle or motorcycle, a traffic light by traffic light, each with at least 0.3 (they are a few
pixels wide). Detections on things that do not count are left out of precision.
"""
FACES: Final = """
CenterFace on the picture enlarged three times, score ≥ 0.2. Faces within 8 m of the camera, turned to it by at most
60°, at least 70 % visible; overlap of at least 0.3. Staged: three people 3 to 8 m ahead; in traffic: whoever is there,
every tenth second of a drive.
"""
REAL: Final = """
Fréchet distance of EfficientNet-Lite0 features (1280 numbers, ImageNet), simulated pictures by clear day. It grows when
sets are small, so all sets have one size. Distances between real recordings are the yardstick: different cameras in
different places.
"""


def page(scores: Sequence[Mapping[str, Any]], videos: Path) -> str:
    """The page as Markdown.

    Args:
        scores: Results of the drives.
        videos: Folder of the real videos; without it the distances to them are left out.
    """
    seeds = [score["seed"] for score in scores]
    frames = sum(len(frames) for score in scores for frames in score["skies"].values())
    empty = sum(not score["skies"][BY_DAY] for score in scores)
    names = next(list(score["skies"][BY_DAY][0]) for score in scores if score["skies"][BY_DAY])
    parts = [
        "# How the simulated camera looks to detectors trained on real pictures",
        "",
        "Made by `python -m benchmarks.camera_scores FOLDER --page docs/fleet_simulator_camera_scores.md`.",
        f"{len(scores)} drives, seeds {min(seeds)} to {max(seeds)}, {frames} pictures of 640 × 360 for objects;",
        f"in {empty} of the drives nobody came within 25 m ahead, and there are no pictures of them.",
        INTRODUCTION,
        "## Recall of large objects, and precision",
        "",
        f"Wanted by clear day: vehicles of at least {TARGET_PX} px are found to at least 80 % with a precision of",
        "at least 0.8, faces within 8 m to at least 90 %; recall falls with size, night, rain and fog.",
        "",
        *summary_table(scores, names),
    ]
    for name in names:
        parts += ["", f"## Recall of {name} by height", "", *recall_table(scores, name)]
    parts += ["", "## Faces by day", FACES, *face_table(scores)]
    if videos.is_dir():
        parts += ["", "## Distance to real pictures", REAL, *distance_table(scores, videos)]
    return "\n".join(parts) + "\n"
