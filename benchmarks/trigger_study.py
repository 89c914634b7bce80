"""Precision and recall of the shipped triggers on simulated drives, against what really happened in them.

`python -m benchmarks.trigger_study FOLDER [PAGE]` over drives that `benchmarks.trigger_drives` made; with a page, its
tables and what is missed are written there (`trigger_page.py`). Triggers run as the pipeline runs them, on the rows of
silver that ingestion wrote. Events within 10 % of a trigger's threshold or least duration are scored apart: which side
of it they are on is up to the sensors' noise. So is speeding that begins or ends where no position is known, and with
it no road. Intervals are 95 %, resampled by drive. Definitions and limits were tuned on seeds below 1000; those from
10,000 to 11,539 were looked at, or made, under earlier policies.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.simulated_drives import FULL_VEHICLE
from benchmarks.trigger_page import Score, page
from benchmarks.trigger_surroundings import SEEN
from benchmarks.trigger_truth import GRID_NS, NS_PER_S, Occurrence, occurrences
from fleet_assets.mining.scene_detection_and_event_triggers.drive_signals import drive_signals
from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.documents import load_policies
from fleet_assets.policy.trigger_runs import drive_events
from fleet_assets.policy.triggers import CompiledTrigger, CompiledTriggers, compile_triggers
from fleet_assets.policy.vehicle_parsing import parse_vehicle_spec

BAND: Final = 0.1
"""Share of a threshold within which an event is scored apart."""
NEAR_NS: Final = 1_000_000_000
"""An event is the one that happened if they overlap or are no further apart than this."""
OWN_THRESHOLDS: Final = {"gnss_denied": 2.5}
"""Of triggers without one in the policy: seconds of silence that alignment bridges (max_gap_s of the position)."""
FIRST_UNSEEN: Final = 11_540
NEEDS_POSITION: Final = ("speeding",)
"""Triggers that cannot watch where no position is known."""


def _near(one: Occurrence, other: Occurrence) -> bool:
    return one.start_ns <= other.end_ns + NEAR_NS and other.start_ns <= one.end_ns + NEAR_NS


def _about(value: float, threshold: float | None) -> bool:
    return threshold is not None and abs(value - threshold) <= BAND * abs(threshold)


@dataclass(frozen=True, slots=True)
class Limits:
    """What decides whether something is an event.

    Attributes:
        value: Threshold of its value, None where there is none.
        least_ns: How long it has to last, None where that is not asked.
    """

    value: float | None
    least_ns: float | None

    @classmethod
    def of(cls, trigger: CompiledTrigger, body: Mapping[str, Any]) -> "Limits":
        """Those of a shipped trigger, written as `body` in the policy."""
        least_ns = body["min_s"] * NS_PER_S if body.get("min_s") else None
        return cls(trigger.threshold or OWN_THRESHOLDS.get(trigger.name), least_ns)

    def in_band(self, one: Occurrence) -> bool:
        """Whether value or duration are too near a limit to say on which side of it they are."""
        return _about(one.value, self.value) or _about(one.end_ns - one.start_ns, self.least_ns)


def score_drive(  # noqa: PLR0917 - what is compared, then where it is counted
    seed: int, true: Sequence[Occurrence], found: Sequence[Occurrence], limits: Limits, score: Score
) -> list[str]:
    """Count one drive; what is wrong with it in words."""
    notes = []
    for one in true:
        matches = [other for other in found if _near(one, other)]
        if one.edge or limits.in_band(one):
            score.apart += 1
        elif matches:
            first = min(matches, key=lambda other: abs(other.start_ns - one.start_ns))
            score.late_ns.append((first.start_ns - one.start_ns, first.end_ns - one.end_ns))
            score.hits[seed] += 1
        else:
            score.misses[seed] += 1
            notes.append(f"missed at {one.start_ns} ns, value {one.value:.2f}")
    for other in found:
        near = [one for one in true if _near(one, other)]
        if any(not one.edge and not limits.in_band(one) for one in near):
            score.right[seed] += 1
        elif near:
            continue  # at an occurrence that is told apart already
        elif limits.in_band(other):
            score.apart += 1
        else:
            score.wrong[seed] += 1
            notes.append(f"wrong at {other.start_ns} ns, value {other.value:.2f}")
    return notes


def found_events(folder: Path, compiled: CompiledTriggers) -> dict[str, list[Occurrence]]:
    """What the triggers find in the rows of silver of one drive."""
    policies = load_policies()
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    name = f"vehicles/{FULL_VEHICLE}"
    spec = parse_vehicle_spec(policies[name], policies.digest(name), canonical)
    signals, tracks = (pq.read_table(folder / f"silver.{name}.parquet") for name in ("signals", "radar_tracks"))
    sources = {table: pq.read_table(path) for table in SEEN if (path := folder / f"{table}.parquet").exists()}
    drive = drive_signals(signals, tracks, sources, spec, canonical, compiled)
    found: dict[str, list[Occurrence]] = defaultdict(list)
    for event in drive_events(compiled, drive.t_ns, drive.columns):
        found[event.trigger].append(Occurrence(event.start_ns, event.end_ns, event.value))
    return found


def unplaced_apart(true: Sequence[Occurrence], folder: Path) -> list[Occurrence]:
    """Occurrences, those told apart that begin or end where no position is known: withheld, or without reception."""
    rows = pq.read_table(folder / "silver.signals.parquet", columns=["t_ns", "lat_deg"])
    known_ns = rows["t_ns"].to_numpy()[rows["lat_deg"].is_valid().to_numpy()]
    return [
        replace(one, edge=one.edge or not all(_placed(at_ns, known_ns) for at_ns in (one.start_ns, one.end_ns)))
        for one in true
    ]


def _placed(at_ns: int, known_ns: NDArray[np.int64]) -> bool:
    """Whether a position is known on either side of an instant, no further away than the grid is spaced."""
    after = int(np.searchsorted(known_ns, at_ns))
    return 0 < after < len(known_ns) and int(known_ns[after] - known_ns[after - 1]) <= GRID_NS


def scores_of(folder: Path, seeds: range) -> tuple[dict[str, Score], dict[int, str], list[str]]:
    """Score all drives of a folder.

    Args:
        folder: Where the drives are.
        seeds: Seeds that count.

    Returns:
        Scores by trigger, the condition of each drive by its seed, and every miss and false event in words.
    """
    policies = load_policies()
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    compiled = compile_triggers(policies["triggers"], policies.digest("triggers"), canonical, vehicle_spec=FULL_VEHICLE)
    scores = {one.name: Score() for one in compiled.triggers}
    conditions: dict[int, str] = {}
    told: list[str] = []
    for made in sorted(folder.glob("*/made.json"), key=lambda path: int(path.parent.name)):
        drive, seed = made.parent, int(made.parent.name)
        if seed not in seeds:
            continue
        conditions[seed] = json.loads(made.read_text())["condition"]
        true, found = occurrences(drive / "truth"), found_events(drive, compiled)
        true["gnss_denied"] = [
            one for one in true["gnss_denied"] if one.value > (1 - BAND) * OWN_THRESHOLDS["gnss_denied"]
        ]
        for name in set(NEEDS_POSITION) & set(true):
            true[name] = unplaced_apart(true[name], drive)
        for trigger in compiled.triggers:
            if trigger.name not in true:
                continue
            limits = Limits.of(trigger, policies["triggers"]["triggers"][trigger.name])
            notes = score_drive(seed, true[trigger.name], found[trigger.name], limits, scores[trigger.name])
            told += [f"{seed} {trigger.name}: {note}" for note in notes]
    return scores, conditions, told


def main(arguments: Sequence[str]) -> None:
    """Score what a folder holds, print the table, and write the page if one is named."""
    places = [Path(word) for word in arguments if not word.startswith("--")]
    seeds = range(1000) if "--tuning" in arguments else range(FIRST_UNSEEN, 10**9)
    scores, conditions, told = scores_of(places[0], seeds)
    print("\n".join(told if "--told" in arguments else ()))
    text = page(scores, conditions, load_policies()["triggers"]["version"])
    print(text)
    for target in places[1:]:
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
