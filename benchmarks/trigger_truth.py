"""What really happened in the drives of the trigger study: occurrences by trigger, from the simulator's truth.

Here belong oracles that share no code with the policy language: the simulator's own events, which it measures in the
true motion of everybody, and plain loops and slices over the ego's true states at 100 Hz. Nothing of the pipeline
imports this.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

NS_PER_S: Final = 1_000_000_000
EGO_STEP_NS: Final = 10_000_000
AGENT_STEPS: Final = 5
"""Steps of the ego between two states of the others."""
SIMULATOR: Final = {
    "cut_in": ("cut_in", 1e-3),
    "tailgating": ("tailgating", 1e-3),
    "near_miss": ("near_miss", 1e-3),
    "swerve": ("swerve", 1e-3),
    "engagement": ("engagement", 1e-3),
    "disengagement": ("disengagement", 1e-3),
    "driver_override": ("override", 1e-3),
}
"""Trigger → kind of the simulator's event, and its value's unit in that of the trigger."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened, or was found.

    Attributes:
        start_ns: First instant.
        end_ns: Last instant.
        value: Its value in the trigger's unit.
        edge: Whether it would not have been one had its limits been a tenth narrower.
    """

    start_ns: int
    end_ns: int
    value: float
    edge: bool = False


def _spans(t_ns: NDArray[np.int64], begins: NDArray[np.bool_], holds: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Spans that begin where one condition holds and go on while the other does, by a plain loop."""
    found, first = [], None
    for index, (start, hold) in enumerate(zip(begins.tolist(), holds.tolist(), strict=True)):
        if first is None and start:
            first = index
        elif first is not None and not hold:
            found.append((first, index - 1))
            first = None
    return found if first is None else [*found, (first, len(t_ns) - 1)]


def _merged(spans: list[tuple[int, int]], pause: int) -> list[tuple[int, int]]:
    """Spans with pauses of at most so many steps joined."""
    joined: list[tuple[int, int]] = []
    for first, last in spans:
        if joined and first - joined[-1][1] - 1 <= pause:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _trailing_mean(values: Floats, seconds: float) -> Floats:
    width = round(seconds * NS_PER_S / EGO_STEP_NS)
    return np.convolve(values, np.ones(width) / width)[: len(values)]


def _motion(
    t_ns: NDArray[np.int64], signed: Floats, threshold: float, release: float, least_s: float
) -> list[Occurrence]:
    """Spans in which a number passes a threshold and stays above the release, pauses of 0.3 s joined."""
    spans = _merged(_spans(t_ns, signed >= threshold, signed >= release), round(0.3 * NS_PER_S / EGO_STEP_NS))
    return [
        Occurrence(int(t_ns[first]), int(t_ns[last]), float(signed[first : last + 1].max()))
        for first, last in spans
        if (last - first + 1) * EGO_STEP_NS >= least_s * NS_PER_S
    ]


def _mirrored(found: list[Occurrence]) -> list[Occurrence]:
    return [Occurrence(one.start_ns, one.end_ns, -one.value) for one in found]


def _standing_ahead(folder: Path, document: Mapping[str, Any], ego: Any, wide: float) -> list[Occurrence]:
    """Somebody stands in the ego's present way, nearer than 60 m and 5 s, while it drives: from true bodies and poses.

    Limits of way, distance and time are multiplied by `wide`.
    """
    tracks, agents = (pq.read_table(folder / f"{name}.parquet").to_pandas() for name in ("tracks", "agents"))
    tracks = tracks.merge(agents[["agent_id", "length_mm", "width_mm"]], on="agent_id")
    t_ns, start = tracks["t_ns"].to_numpy(), int(ego["t_ns"][0].as_py())
    at = (t_ns - start) // EGO_STEP_NS
    own = {name: ego[name].to_numpy()[at] / 1e3 for name in ("x_mm", "y_mm", "yaw_mrad", "speed_mmps")}
    bend = ego["yaw_rate_uradps"].to_numpy()[at] / 1e6 / np.maximum(own["speed_mmps"], 2.0)
    east, north = tracks["x_mm"].to_numpy() / 1e3 - own["x_mm"], tracks["y_mm"].to_numpy() / 1e3 - own["y_mm"]
    turned = tracks["yaw_mrad"].to_numpy() / 1e3 - own["yaw_mrad"]
    length, width = tracks["length_mm"].to_numpy() / 1e3, tracks["width_mm"].to_numpy() / 1e3
    reach = 0.5 * (length * np.abs(np.cos(turned)) + width * np.abs(np.sin(turned)))
    ahead = east * np.cos(own["yaw_mrad"]) + north * np.sin(own["yaw_mrad"]) - reach
    left = north * np.cos(own["yaw_mrad"]) - east * np.sin(own["yaw_mrad"])
    gap = ahead - (document["shape"]["length_mm"] - document["shape"]["rear_overhang_mm"]) / 1e3
    stands = tracks["speed_mmps"].to_numpy() <= 300  # noqa: PLR2004 - as the simulator has it
    in_way = stands & (np.abs(left - 0.5 * bend * ahead**2) <= 1.4 * wide) & (gap > 0.0)  # noqa: PLR2004 - half a car and more
    count = int(at.max()) // AGENT_STEPS + 1
    nearest = np.full(count, np.inf)
    np.minimum.at(nearest, at[in_way] // AGENT_STEPS, gap[in_way])
    speed = ego["speed_mmps"].to_numpy()[::AGENT_STEPS][:count] / 1e3
    holds = (nearest <= 60.0 * wide) & (nearest <= 5.0 * wide * speed) & (speed >= 2.0 / wide)  # noqa: PLR2004 - the trigger's own
    step_ns = AGENT_STEPS * EGO_STEP_NS
    spans = _merged(_spans(np.arange(count), holds, holds), round(1.5 * NS_PER_S / step_ns))
    return [
        Occurrence(start + first * step_ns, start + last * step_ns, float(nearest[first : last + 1].min()))
        for first, last in spans
        if (last - first + 1) * step_ns >= NS_PER_S / wide
    ]


def _overlap(one: Occurrence, other: Occurrence) -> bool:
    return one.start_ns <= other.end_ns and other.start_ns <= one.end_ns


def _joined(parts: list[Occurrence]) -> list[Occurrence]:
    """One swerve is several of the simulator's events where its halves are more than a second apart."""
    joined: list[Occurrence] = []
    for one in sorted(parts, key=lambda part: part.start_ns):
        if joined and one.start_ns - joined[-1].end_ns <= 2 * NS_PER_S:
            before = joined.pop()
            joined.append(Occurrence(before.start_ns, one.end_ns, max(before.value, one.value)))
        else:
            joined.append(one)
    return joined


def occurrences(folder: Path) -> dict[str, list[Occurrence]]:
    """Occurrences by trigger of one drive; triggers of which the simulated drive has no truth are left out.

    Args:
        folder: The drive's folder of truth.
    """
    document: Mapping[str, Any] = json.loads((folder / "drive.json").read_text())
    ego = pq.read_table(folder / "ego.parquet")
    t_ns = ego["t_ns"].to_numpy()
    speed = ego["speed_mmps"].to_numpy().astype(np.float64) / 1e3
    yaw_rate = ego["yaw_rate_uradps"].to_numpy().astype(np.float64) / 1e6
    half = round(0.5 * NS_PER_S / EGO_STEP_NS)
    change = np.zeros(len(speed))
    change[half:] = (speed[half:] - speed[:-half]) / 0.5
    found = {
        "hard_brake": _mirrored(_motion(t_ns, -change, 3.0, 2.0, 0.15)),
        "hard_acceleration": _motion(t_ns, change, 3.0, 2.0, 0.15),
        "harsh_cornering": _motion(t_ns, np.abs(_trailing_mean(yaw_rate, 0.3) * speed), 4.0, 3.0, 0.3),
        "gnss_denied": [
            Occurrence(first, end, (end - first) / NS_PER_S)
            for first, end in document["sensors"]["gnss_position"]["outages_ns"]
        ],
    }
    narrow, usual, wide = (_standing_ahead(folder, document, ego, factor) for factor in (0.9, 1.0, 1.1))
    found["stationary_hazard"] = [
        *(replace(one, edge=not any(_overlap(one, other) for other in narrow)) for one in usual),
        *(replace(one, edge=True) for one in wide if not any(_overlap(one, other) for other in usual)),
    ]
    for trigger, (kind, scale) in SIMULATOR.items():
        found[trigger] = [
            Occurrence(event["start_ns"], event["end_ns"], event["value"] * scale)
            for event in document["events"]
            if event["kind"] == kind
        ]
    found["engagement"] = [
        Occurrence(one.start_ns, min(one.end_ns, one.start_ns + 5 * NS_PER_S), one.value) for one in found["engagement"]
    ]
    found["swerve"] = _joined(found["swerve"])
    return found
