"""Which faults ingestion finds: simulated drives with each fault at the smallest size that its rule claims.

``python -m benchmarks.fault_study [--faulty 100] [--clean 200] [--seed 10000] [--workers 2] [--out FILE]``. The study
can be stopped and gone on with. ``--write`` renews `docs/integrity_study.md`. Cases are in `fault_cases.py`.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from benchmarks.fault_cases import CASES, Case, Moment
from benchmarks.measure import ROOT
from benchmarks.resumable import run
from benchmarks.simulated_drives import FIRST_UNSEEN_SEED, Ingested, Workshop
from fleet_assets.evidence.intervals import clopper_pearson

SECONDS: Final = 40.0
ASKED: Final = 0.95
_FAULTY, _CLEAN = "faulty", "clean"
_PAGE: Final = ROOT / "docs" / "integrity_study.md"
_SHOWN: Final = 3


@cache
def _workshop() -> Workshop:
    return Workshop(Path(tempfile.mkdtemp(prefix="fault-study-")))


def study_seed(key: str) -> dict[str, Any]:
    """What is found in one seed's drive without faults, and in the same drive with each fault."""
    seed, _, kind = key.partition(" ")
    shop = _workshop()
    scene = shop.scene(int(seed), SECONDS)
    path = shop.folder / f"{key.replace(' ', '-')}.mcap"
    try:
        if kind == _CLEAN:
            shop.record(scene, (), path)
            return {"found": _findings(shop.ingest(scene, (), path))}
        return {"cases": {case.name: _study(shop, case, Moment(shop, scene, int(seed)), path) for case in CASES}}
    finally:
        path.unlink(missing_ok=True)


def _findings(found: Ingested) -> list[list[str]]:
    """Sensor and rule of each finding; a channel that nobody asked to be recorded is no finding of the drive."""
    rows = found.rows("bronze.integrity_findings")
    told = {(row["sensor"], row["rule"]) for row in rows if "missing_channel" not in row["message"]}
    held = {("*", row["rule"]) for row in found.rows("bronze.quarantine")}
    refused = {("*", refusal.rule) for refusal in found.admission.refused}
    return sorted([sensor, rule] for sensor, rule in told | held | refused)


def _study(shop: Workshop, case: Case, moment: Moment, path: Path) -> dict[str, Any] | None:
    """Whether the fault was found with the right rule, and what else was; None where the drive has no such moment."""
    faults = case.faults(moment)
    if faults is None:
        return None
    scene = moment.scene if not case.restarts else shop.restarted(moment.scene, faults)
    shop.record(scene, faults, path)
    found = [shop.ingest(scene, faults, path, turns) for turns in case.turns]
    others = [pair for pair in _findings(found[-1]) if tuple(pair) not in case.expected]
    return {"right": case.right(found, moment, faults), "others": others}


def case_rows(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row of the report per case."""
    rows = []
    for case in CASES:
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


def report(results: Sequence[Mapping[str, Any]], clean: Sequence[Mapping[str, Any]]) -> list[str]:
    """The tables as lines of Markdown."""
    lines = ["| fault | smallest size | rule | drives | found | 95 % interval | other findings (drives) |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in case_rows(results):
        share = row["found"] / max(row["drives"], 1)
        lines.append(
            f"| {row['fault']} | {row['size']} | `{row['rule']}` | {row['drives']} | {share:.0%} | "
            f"{row['low']:.1%} to {row['high']:.1%} | {row['others']} |"
        )
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


def page(results: Sequence[Mapping[str, Any]], clean: Sequence[Mapping[str, Any]], first_seed: int) -> str:
    """The page of the documentation."""
    return "\n".join(
        [
            "# Which faults are found",
            "",
            f"Simulated drives of {SECONDS:g} s on seeds from {first_seed} on (limits were tuned on seeds below 1000), "
            "each in a world of its own, with CAN, IMU and GNSS, through landing zone, admission and operators. "
            "Each fault has the smallest size that its rule claims, with the measurement's own noise on top. Found "
            "means: with this rule, for this sensor, at this time. Where there are fewer drives, the others have no "
            "moment for the fault: their vehicle stands. Intervals are Clopper and Pearson's.",
            "",
            *report(results, clean),
            "",
            "Made by `python -m benchmarks.fault_study --write`.",
            "",
        ]
    )


def main() -> int:
    """Run the study, print its tables, and fail where a fault is found too seldom or a sound drive has a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faulty", type=int, default=100, help="drives per fault")
    parser.add_argument("--clean", type=int, default=200, help="drives without fault")
    parser.add_argument("--seed", type=int, default=FIRST_UNSEEN_SEED, help="first seed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("fault_study.jsonl"), help="ledger; delete it to begin anew")
    parser.add_argument("--write", action="store_true", help="renew docs/integrity_study.md")
    asked = parser.parse_args()
    faulty = [f"{seed} {_FAULTY}" for seed in range(asked.seed, asked.seed + asked.faulty)]
    sound = [f"{seed} {_CLEAN}" for seed in range(asked.seed, asked.seed + asked.clean)]
    done = run(asked.out, study_seed, [*faulty, *sound], asked.workers)
    results, clean = [done[key] for key in faulty], [done[key] for key in sound]
    print("\n".join(report(results, clean)))
    if asked.write:
        _PAGE.write_text(page(results, clean, asked.seed), encoding="utf-8")
    missed = [row["fault"] for row in case_rows(results) if row["found"] < ASKED * row["drives"]]
    return 1 if missed or any(one["found"] for one in clean) else 0


if __name__ == "__main__":
    raise SystemExit(main())
