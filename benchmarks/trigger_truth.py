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

from benchmarks.trigger_cut_ins import cut_ins

NS_PER_S: Final = 1_000_000_000
EGO_STEP_NS: Final = 10_000_000
AGENT_STEPS: Final = 5
"""Steps of the ego between two states of the others."""
AGENT_STEP_NS: Final = AGENT_STEPS * EGO_STEP_NS
GRID_NS: Final = 100_000_000
"""Spacing of the grid: what lasts for less can lie between two of its instants."""
BAND: Final = 0.1
"""Share of a limit within which something is told apart."""
STANDS_S: Final = 0.3
"""Who stops for less stands in nobody's way: walkers end their way with a state at rest."""
LONGEST_S: Final = {"engagement": 5}
"""Triggers whose event is the beginning of what the simulator tells."""
SIMULATOR: Final = {
    "tailgating": ("tailgating", 1e-3),
    "near_miss": ("near_miss", 1e-3),
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
        end_ns: End, exclusive.
        value: Its value in the trigger's unit.
        edge: Whether it would be none, or another one, had its limits been a tenth narrower or wider.
    """

    start_ns: int
    end_ns: int
    value: float
    edge: bool = False


def _spans(begins: NDArray[np.bool_], holds: NDArray[np.bool_], pause: int = 0) -> list[tuple[int, int]]:
    """Spans that begin where one condition holds and go on while the other does, by a plain loop.

    Args:
        begins: bool[n], the one.
        holds: bool[n], the other.
        pause: So many steps in a row may lack it.
    """
    found: list[tuple[int, int]] = []
    first, last = -1, -1
    for index, (start, hold) in enumerate(zip(begins.tolist(), holds.tolist(), strict=True)):
        if first >= 0 and not hold and index - last > pause:
            found.append((first, last))
            first = -1
        if first < 0 and start:
            first = last = index
        elif first >= 0 and hold:
            last = index
    return found if first < 0 else [*found, (first, last)]


def _trailing_mean(values: Floats, seconds: float) -> Floats:
    width = round(seconds * NS_PER_S / EGO_STEP_NS)
    return np.convolve(values, np.ones(width) / width)[: len(values)]


def _slack(pause_s: float, step_ns: int) -> tuple[int, int]:
    """Steps of a pause that is a tenth, or an instant of the grid, shorter and longer than one that is bridged."""
    slack_s = max(BAND * pause_s, GRID_NS / NS_PER_S)
    return round((pause_s - slack_s) * NS_PER_S / step_ns), round((pause_s + slack_s) * NS_PER_S / step_ns)


def _doubtful(one: tuple[int, int], others: list[list[tuple[int, int]]], most: int) -> bool:
    """Whether under other limits a span is parted, joined with another one, or moved by more steps at either end."""
    for spans in others:
        same = [other for other in spans if other[0] <= one[1] and one[0] <= other[1]]
        if len(same) > 1 or any(abs(was - now) > most for other in same for was, now in zip(one, other, strict=True)):
            return True
    return False


def _motion(  # noqa: PLR0917 - the numbers of one definition
    t_ns: NDArray[np.int64], signed: Floats, threshold: float, release: float, least_s: float, pause_s: float = 0.3
) -> list[Occurrence]:
    """Spans in which a number passes a threshold and stays above the release, short pauses joined.

    Those are told apart that a tenth more or less of the release or of the pause would part, join, or let begin or end
    more than a second earlier or later.
    """
    begins, pause, slack = signed >= threshold, round(pause_s * NS_PER_S / EGO_STEP_NS), BAND * abs(release)
    spans = _spans(begins, signed >= release, pause)
    others = [_spans(begins, signed >= release, steps) for steps in _slack(pause_s, EGO_STEP_NS)]
    others += [_spans(begins, signed >= release + own, pause) for own in (-slack, slack)]
    return [
        Occurrence(
            int(t_ns[first]),
            int(t_ns[last]) + EGO_STEP_NS,
            float(signed[first : last + 1].max()),
            edge=_doubtful((first, last), others, NS_PER_S // EGO_STEP_NS),
        )
        for first, last in spans
        if (last - first + 1) * EGO_STEP_NS >= least_s * NS_PER_S
    ]


def _mirrored(found: list[Occurrence]) -> list[Occurrence]:
    return [replace(one, value=-one.value) for one in found]


def _standing_ahead(folder: Path, document: Mapping[str, Any], ego: Any, wide: float) -> list[Occurrence]:
    """Somebody stands in the ego's way, nearer than 60 m and 5 s, while it drives: from true bodies and poses.

    The way is the circle that the ego has driven for a second, so that there is none before. Limits of way, distance
    and time are multiplied by `wide`.
    """
    tracks, agents = (pq.read_table(folder / f"{name}.parquet").to_pandas() for name in ("tracks", "agents"))
    tracks = tracks.merge(agents[["agent_id", "length_mm", "width_mm"]], on="agent_id")
    t_ns, start = tracks["t_ns"].to_numpy(), int(ego["t_ns"][0].as_py())
    at = (t_ns - start) // EGO_STEP_NS
    own = {name: ego[name].to_numpy()[at] / 1e3 for name in ("x_mm", "y_mm", "yaw_mrad")}
    turning = _trailing_mean(ego["yaw_rate_uradps"].to_numpy() / 1e6, 1.0)
    bend = (turning / np.maximum(_trailing_mean(ego["speed_mmps"].to_numpy() / 1e3, 1.0), 2.0))[at]
    east, north = tracks["x_mm"].to_numpy() / 1e3 - own["x_mm"], tracks["y_mm"].to_numpy() / 1e3 - own["y_mm"]
    turned = tracks["yaw_mrad"].to_numpy() / 1e3 - own["yaw_mrad"]
    length, width = tracks["length_mm"].to_numpy() / 1e3, tracks["width_mm"].to_numpy() / 1e3
    reach = 0.5 * (length * np.abs(np.cos(turned)) + width * np.abs(np.sin(turned)))
    ahead = east * np.cos(own["yaw_mrad"]) + north * np.sin(own["yaw_mrad"]) - reach
    left = north * np.cos(own["yaw_mrad"]) - east * np.sin(own["yaw_mrad"])
    gap = ahead - (document["shape"]["length_mm"] - document["shape"]["rear_overhang_mm"]) / 1e3
    # Beyond a quarter of the circle nothing lies ahead.
    cosine = np.sqrt(np.maximum(1.0 - (bend * ahead) ** 2, 0.0))
    way = np.where(np.abs(bend * ahead) < 1.0, bend * ahead**2 / (1.0 + cosine), np.inf)
    stands = _lasting(tracks["agent_id"].to_numpy(), tracks["speed_mmps"].to_numpy() <= 300)  # noqa: PLR2004 - the simulator's
    in_way = stands & (t_ns - start >= NS_PER_S) & (np.abs(left - way) <= 1.4 * wide) & (gap > 0.0)  # noqa: PLR2004 - half a car and more
    count = int(at.max()) // AGENT_STEPS + 1
    nearest = np.full(count, np.inf)
    np.minimum.at(nearest, at[in_way] // AGENT_STEPS, gap[in_way])
    speed = ego["speed_mmps"].to_numpy()[::AGENT_STEPS][:count] / 1e3
    holds = (nearest <= 60.0 * wide) & (nearest <= 5.0 * wide * speed) & (speed >= 2.0 / wide)  # noqa: PLR2004 - the trigger's own
    step_ns = AGENT_STEP_NS
    pauses = (round(1.5 * NS_PER_S / step_ns), *_slack(1.5, step_ns))
    spans, *others = (_spans(holds, holds, pause) for pause in pauses)
    return [
        Occurrence(
            start + first * step_ns,
            start + (last + 1) * step_ns,
            float(nearest[first : last + 1].min()),
            edge=_doubtful((first, last), others, NS_PER_S // step_ns),
        )
        for first, last in spans
        if (last - first + 1) * step_ns >= NS_PER_S / wide
    ]


def _lasting(agent: NDArray[np.int64], stands: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of the states of agents, one agent behind the other: those at rest that belong to a rest that lasts."""
    kept = stands.copy()
    for first, last in _spans(stands, stands):
        cuts = [first, *(np.flatnonzero(np.diff(agent[first : last + 1])) + first + 1).tolist(), last + 1]
        for begin, end in zip(cuts[:-1], cuts[1:], strict=True):
            kept[begin:end] = (end - begin) * AGENT_STEP_NS >= STANDS_S * NS_PER_S
    return kept


def _swerves(t_ns: NDArray[np.int64], sideways: Floats, speed: Floats) -> list[Occurrence]:
    """Lateral acceleration passes 2 m/s^2 to one side, at 7 m/s and more, and within 1.6 s to the other."""
    spans = _spans(np.abs(sideways) >= 2.0, np.abs(sideways) >= 2.0)  # noqa: PLR2004 - the trigger's own
    found: list[Occurrence] = []
    side, began, ended = 0.0, 0, 0
    for first, last in spans:
        now, start, end = float(np.sign(sideways[first])), int(t_ns[first]), int(t_ns[last]) + EGO_STEP_NS
        value = float(np.abs(sideways[first : last + 1]).max())
        fast = speed[began] >= 7.0  # noqa: PLR2004 - the trigger's own
        if found and start - found[-1].end_ns <= NS_PER_S:
            found[-1] = replace(found[-1], end_ns=end)
        elif now == -side and fast and start - int(t_ns[began]) <= 1.6 * NS_PER_S:
            # Both halves have to pass the threshold, so the lesser one says how clearly it does.
            before = float(np.abs(sideways[began : ended + 1]).max())
            found.append(Occurrence(int(t_ns[began]), end, min(before, value)))
        side, began, ended = now, first, last
    return found


def _overlap(one: Occurrence, other: Occurrence) -> bool:
    return one.start_ns <= other.end_ns and other.start_ns <= one.end_ns


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
    if (folder / "limits.parquet").exists():
        limit = pq.read_table(folder / "limits.parquet")["limit_mps"].to_numpy()
        found["speeding"] = _motion(t_ns, speed - limit, 10 / 3.6, 5 / 3.6, 3.0, 2.0)
        minutes = np.array([one["t_ns"] for one in document["conditions"]], dtype=np.int64)
        seen = np.array([one["weather"]["visibility_m"] for one in document["conditions"]], dtype=np.float64)
        now = seen[np.maximum(np.searchsorted(minutes, t_ns, side="right") - 1, 0)]
        found["low_visibility"] = _mirrored(_motion(t_ns, -now, -1000.0, -1500.0, 10.0, 2.0))
    narrow, usual, wide = (_standing_ahead(folder, document, ego, factor) for factor in (0.9, 1.0, 1.1))
    found["stationary_hazard"] = [
        *(replace(one, edge=one.edge or not any(_overlap(one, other) for other in narrow)) for one in usual),
        *(replace(one, edge=True) for one in wide if not any(_overlap(one, other) for other in usual)),
    ]
    for trigger, (kind, scale) in SIMULATOR.items():
        found[trigger] = [
            Occurrence(
                event["start_ns"],
                min(event["end_ns"] + AGENT_STEP_NS, event["start_ns"] + LONGEST_S.get(trigger, 3600) * NS_PER_S),
                event["value"] * scale,
                edge=event["end_ns"] - event["start_ns"] < GRID_NS,
            )
            for event in document["events"]
            if event["kind"] == kind
        ]
    found["cut_in"] = [Occurrence(*one) for one in cut_ins(folder, document["events"], ego)]
    sideways = ego["lateral_accel_mmps2"].to_numpy().astype(np.float64) / 1e3
    found["swerve"] = _swerves(t_ns, sideways, speed)
    return found
