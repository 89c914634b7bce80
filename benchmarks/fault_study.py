"""Which faults ingestion finds: simulated drives with each fault at the smallest size that its rule claims.

``python -m benchmarks.fault_study PART [--faulty 100] [--clean 200] [--seed N] [--workers 2] [--out FILE]``. The study
can be stopped and gone on with. ``--write`` renews the part's section of `docs/integrity_study.md` and leaves the
others as they are. Cases are in the modules `fault_cases_*`.
"""

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from benchmarks.bare_media import MEDIA
from benchmarks.fault_cases import FILE, WHOLE_DRIVE, Case, Moment
from benchmarks.fault_cases_media import media
from benchmarks.fault_cases_recorder import clocks, files, jumps, missing, order, overlaps, shuffles
from benchmarks.fault_cases_uploads import uploads
from benchmarks.fault_cases_values import absences, across, measurements
from benchmarks.measure import ROOT
from benchmarks.resumable import run
from benchmarks.simulated_drives import FIRST_UNSEEN_SEED, Ingested, Workshop
from fleet_assets.evidence.intervals import clopper_pearson


@dataclass(frozen=True)
class Part:
    """A part of the study, which is renewed apart from the others.

    Attributes:
        title: Heading of its section.
        sensors: The sensors that record, in words.
        groups: Their groups.
        cases: Its faults, in the order of the report.
    """

    title: str
    sensors: str
    groups: tuple[str, ...]
    cases: tuple[Case, ...]


_SIGNALS: Final = ("can", "imu", "gnss")
_NAMED: Final = "CAN, IMU and GNSS"
PARTS: Final[Mapping[str, Part]] = {
    "signals": Part(
        "Sensors, clock and uploads",
        _NAMED,
        _SIGNALS,
        (*measurements(), *across(), *jumps(), *shuffles(), missing("imu"), *uploads()),
    ),
    "recordings": Part(
        "Values, clocks and files", _NAMED, _SIGNALS, (*absences(), *overlaps(), *clocks(), *order(), *files())
    ),
    "media": Part("Camera and lidar", "camera, lidar and GNSS", ("gnss", *MEDIA), tuple(media())),
}
CASES: Final[tuple[Case, ...]] = tuple(case for part in PARTS.values() for case in part.cases)
"""All cases, in the order of the page."""
SECONDS: Final = 40.0
ASKED: Final = 0.95
SUFFIX: Final = ".mcap"
_FAULTY, _CLEAN = "faulty", "clean"
_PAGE: Final = ROOT / "docs" / "integrity_study.md"
_SHOWN: Final = 3


@cache
def _workshop(part: str) -> Workshop:
    return Workshop(Path(tempfile.mkdtemp(prefix="fault-study-")), PARTS[part].groups)


def study_seed(key: str) -> dict[str, Any]:
    """What is found in one seed's drive without faults, or in the same drive with each fault of a part."""
    part, seed, kind = key.split()
    shop = _workshop(part)
    scene = shop.scene(int(seed), SECONDS)
    path = shop.folder / f"{key.replace(' ', '-')}{SUFFIX}"
    try:
        if kind == _CLEAN:
            shop.record(scene, (), path)
            return {"found": _findings(shop.ingest(scene, (), path))}
        moment = Moment(shop, scene, int(seed))
        return {"cases": {case.name: _study(shop, case, moment, path) for case in PARTS[part].cases}}
    finally:
        path.unlink(missing_ok=True)


def _findings(found: Ingested) -> list[list[str]]:
    """Sensor and rule of each finding."""
    rows = found.rows("bronze.integrity_findings")
    told = {(FILE if row["sensor"].endswith(SUFFIX) else row["sensor"], row["rule"]) for row in rows}
    held = {(WHOLE_DRIVE, row["rule"]) for row in found.rows("bronze.quarantine")}
    refused = {(WHOLE_DRIVE, refusal.rule) for refusal in found.admission.refused}
    return sorted([sensor, rule] for sensor, rule in told | held | refused)


def _study(shop: Workshop, case: Case, moment: Moment, path: Path) -> dict[str, Any] | None:
    """Whether the fault was found with the right rule, and what else was; None where the drive has no such moment."""
    faults = case.faults(moment)
    if faults is None:
        return None
    scene = moment.scene if not case.restarts else shop.restarted(moment.scene, faults)
    shop.record(scene, faults, path)
    vehicle = shop.vehicle_without(case.lacks) if case.lacks else None
    found = [shop.ingest(scene, faults, path, turns, vehicle) for turns in case.turns]
    others = [pair for pair in _findings(found[-1]) if tuple(pair) not in case.expected]
    return {"right": case.right(found, moment, faults), "others": others}


def case_rows(cases: Sequence[Case], results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row of the report per case."""
    rows = []
    for case in cases:
        told = [result["cases"][case.name] for result in results]
        judged = [one for one in told if one is not None]
        right = sum(one["right"] for one in judged)
        others = Counter(f"{sensor} {rule}" for one in judged for sensor, rule in one["others"])
        interval = clopper_pearson(right, len(judged), 0.95)
        rows.append(
            {
                "fault": case.name,
                "size": case.size,
                "rule": case.rule,
                "drives": len(judged),
                "found": right,
                "low": interval.low,
                "high": interval.high,
                "others": ", ".join(f"{name} ({count})" for name, count in others.most_common(_SHOWN)) or "none",
            }
        )
    return rows


def report(
    cases: Sequence[Case], results: Sequence[Mapping[str, Any]], clean: Sequence[Mapping[str, Any]]
) -> list[str]:
    """The tables as lines of Markdown."""
    lines = ["| fault | smallest size | rule | drives | found | 95 % interval | other findings (drives) |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in case_rows(cases, results):
        share = row["found"] / max(row["drives"], 1)
        lines.append(
            f"| {row['fault']} | {row['size']} | `{row['rule']}` | {row['drives']} | {share:.0%} | "
            f"{row['low']:.1%} to {row['high']:.1%} | {row['others']} |"
        )
    if not clean:
        return lines
    false = [one for one in clean if one["found"]]
    bound = clopper_pearson(len(false), len(clean), 0.95, side="upper").high
    named = Counter(f"{sensor} {rule}" for one in false for sensor, rule in one["found"])
    lines += [
        "",
        f"Drives without fault: {len(clean)}, with a finding: {len(false)}"
        f"{' (' + ', '.join(f'{name}: {count}' for name, count in named.items()) + ')' if named else ''}. "
        f"One-sided 95 % bound on the share of sound drives with a finding: {bound:.2%}.",
    ]
    return lines


def section(
    name: str, results: Sequence[Mapping[str, Any]], clean: Sequence[Mapping[str, Any]], first_seed: int
) -> list[str]:
    """A part's section of the page."""
    part = PARTS[name]
    return [
        f"## {part.title}",
        "",
        f"Drives of {SECONDS:g} s with {part.sensors}, seeds from {first_seed} on.",
        "",
        *report(part.cases, results, clean),
        "",
        f"Made by `python -m benchmarks.fault_study {name} --seed {first_seed} --faulty {len(results)} "
        f"--clean {len(clean)} --write`.",
        "",
    ]


def renewed(page: str, name: str, lines: Sequence[str]) -> str:
    """The page with another section of a part.

    Raises:
        ValueError: When the page has no such section.
    """
    headings = [f"## {part.title}" for part in PARTS.values()]
    own = f"## {PARTS[name].title}"
    sections = re.split(f"^(?={'|'.join(map(re.escape, headings))}$)", page, flags=re.MULTILINE)
    if sum(text.startswith(f"{own}\n") for text in sections) != 1:
        raise ValueError(f"{_PAGE.name} has no one section {own!r}. Add the heading where it belongs.")
    return (
        "".join("\n".join(lines) + "\n" if text.startswith(f"{own}\n") else text for text in sections).rstrip() + "\n"
    )


def main() -> int:
    """Run a part, print its tables, and fail where a fault is found too seldom or a sound drive has a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--faulty", type=int, default=100, help="drives per fault")
    parser.add_argument("--clean", type=int, default=200, help="drives without fault")
    parser.add_argument("--seed", type=int, default=FIRST_UNSEEN_SEED, help="first seed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("fault_study.jsonl"), help="ledger; delete it to begin anew")
    parser.add_argument("--write", action="store_true", help="renew the part's section of docs/integrity_study.md")
    asked = parser.parse_args()
    faulty = [f"{asked.part} {seed} {_FAULTY}" for seed in range(asked.seed, asked.seed + asked.faulty)]
    sound = [f"{asked.part} {seed} {_CLEAN}" for seed in range(asked.seed, asked.seed + asked.clean)]
    done = run(asked.out, study_seed, [*faulty, *sound], asked.workers)
    results, clean = [done[key] for key in faulty], [done[key] for key in sound]
    cases = PARTS[asked.part].cases
    print("\n".join(report(cases, results, clean)))
    if asked.write:
        lines = section(asked.part, results, clean, asked.seed)
        _PAGE.write_text(renewed(_PAGE.read_text(encoding="utf-8"), asked.part, lines), encoding="utf-8")
    missed = [row["fault"] for row in case_rows(cases, results) if row["found"] < ASKED * row["drives"]]
    return 1 if missed or any(one["found"] for one in clean) else 0


if __name__ == "__main__":
    raise SystemExit(main())
