"""The page about how well the triggers find what happens, from the scores of `trigger_study.py`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fleet_assets.evidence.bootstrap import cluster_bootstrap
from fleet_assets.evidence.intervals import Interval, clopper_pearson

WITHIN_NS: Final = 200_000_000
LEAST: Final = 0.95
"""Asked for of recall, precision, starts and ends."""
LEAST_HOURS: Final = 10.0
DRIVE_S: Final = 300
_SECONDS_PER_HOUR: Final = 3600
_DETECTION: Final = ("recall", "precision")
_HEAD: Final = """\
# How well the triggers find what happens

<!-- Made by `python -m benchmarks.trigger_study FOLDER docs/trigger_study.md`. Do not edit. -->

[Triggers](triggers.md) run on simulated drives of five minutes as the pipeline runs them; what truly happened is told
by the simulator and by loops over its true states, which share no code with the policy language. Intervals are 95 %,
resampled by drive; those of starts and ends are exact ones over events. Limits and expressions were tuned on seeds
below 1000.
"""
_APART: Final = """\
*In the band* are events within 10 % of a threshold or of the least duration, or that limits 10 % (of a pause: or 0.1 s)
off would part, join or move by over a second, or between two instants of the grid, or (of speeding) that begin or end
where no position is known: they count neither as found nor as wrong, nor among starts and ends.
"""


@dataclass
class Score:
    """Counts of one trigger, by drive.

    Attributes:
        hits: Occurrences that were found, of those clear of the threshold.
        misses: Occurrences that were not.
        right: Events at which something clear of the threshold happened.
        wrong: Events clear of the threshold that nothing happened at.
        apart: Occurrences and events within the band.
        late_ns: Start and end of events that were hits, against the truth.
    """

    hits: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    misses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    right: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    wrong: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    apart: int = 0
    late_ns: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its interval.

    Attributes:
        value: The share; 1 of nothing.
        low: Lower end, 95 %.
        high: Upper end.
        count: Of how many.
    """

    value: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, good: Mapping[int, int], bad: Mapping[int, int]) -> "Share":
        """The share of the good among all, resampled by drive."""
        drives = sorted(set(good) | set(bad))
        top = [good.get(drive, 0) for drive in drives]
        whole = [good.get(drive, 0) + bad.get(drive, 0) for drive in drives]
        if not sum(whole):
            return cls(1.0, 0.0, 1.0, 0)
        interval = cluster_bootstrap(top, whole, confidence=0.95, seed=1, n_resamples=2000)
        if not isinstance(interval, Interval):
            # All drives alike: each counts once, right or not.
            clean = sum(one == all_ for one, all_ in zip(top, whole, strict=True))
            interval = clopper_pearson(clean, len(drives), 0.95)
        return cls(sum(top) / sum(whole), interval.low, interval.high, sum(whole))

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.count}" if self.count else "none"


def _within(late_ns: Sequence[tuple[int, int]], place: int) -> Share:
    inside = sum(abs(pair[place]) <= WITHIN_NS for pair in late_ns)
    if not late_ns:
        return Share(1.0, 0.0, 1.0, 0)
    interval = clopper_pearson(inside, len(late_ns), 0.95)
    return Share(inside / len(late_ns), interval.low, interval.high, len(late_ns))


def shares_of(score: Score) -> dict[str, Share]:
    """What is asked for of a trigger."""
    return {
        _DETECTION[0]: Share.of(score.hits, score.misses),
        _DETECTION[1]: Share.of(score.right, score.wrong),
        "start within 200 ms": _within(score.late_ns, 0),
        "end within 200 ms": _within(score.late_ns, 1),
    }


def page(scores: Mapping[str, Score], conditions: Mapping[int, str], version: str) -> str:
    """The page of the documentation.

    Args:
        scores: By trigger.
        conditions: Condition of each drive, by its seed.
        version: Of the policy that was scored.
    """
    counts = {one: list(conditions.values()).count(one) for one in sorted(set(conditions.values()))}
    hours = len(conditions) * DRIVE_S / _SECONDS_PER_HOUR
    shares = {name: shares_of(score) for name, score in scores.items()}
    columns = list(next(iter(shares.values())))
    drives = f"{len(conditions)} drives, {hours:.1f} h, seeds {min(conditions)} to {max(conditions)}"
    rows = [
        f"| {name} | {' | '.join(str(own[column]) for column in columns)} | {scores[name].apart} |"
        for name, own in shares.items()
    ]
    return "\n".join(
        [
            _HEAD,
            f"Policy {version}; {drives} ({', '.join(f'{count} {name}' for name, count in counts.items())}).",
            "",
            f"| trigger | {' | '.join(columns)} | in the band |",
            "|---" * (len(columns) + 2) + "|",
            *rows,
            "",
            _APART,
            "## Missed of what is asked for",
            "",
            *_missed(shares, hours),
            "",
        ]
    )


def _missed(shares: Mapping[str, Mapping[str, Share]], hours: float) -> list[str]:
    """One line for each figure below what is asked for, and one for those whose interval reaches below it."""
    said = [
        f"- {name}: {column} {share.value:.3f} of {share.count}, at least {LEAST} is asked for"
        for name, own in shares.items()
        for column, share in own.items()
        if share.count and share.value < LEAST
    ]
    open_still = [
        name for name, own in shares.items() if any(own[one].value >= LEAST > own[one].low for one in _DETECTION)
    ]
    if open_still:
        said.append(
            f"- recall or precision of at least {LEAST} as counted, but too few to be sure: {', '.join(open_still)}"
        )
    if hours < LEAST_HOURS:
        said.append(f"- {hours:.1f} h of drives; at least {LEAST_HOURS:.0f} are asked for")
    return said or ["Nothing."]
