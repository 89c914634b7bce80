"""Incremental restatement of a simulated fleet: what a change costs against building everything, and what it runs.

`python -m benchmarks.run restatement`. Drives are made first and kept under `benchmarks/.drives` (not measured); every
figure is CPU seconds of the whole process tree, medians over the repetitions, wall seconds beside them. After each kind
of change the digests are compared with a build from scratch. The peer is a script that decodes every drive again.
"""

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import ROOT, Spent, in_subprocess, report
from benchmarks.restatement_worker import CHANGED

WORKER: Final = "benchmarks.restatement_worker"
KEPT: Final = ROOT / "benchmarks" / ".drives"
DEPOTS: Final = ("north", "south")
DAYS: Final = 2
DRIVES: Final = int(os.environ.get("FLEET_BENCH_DRIVES", "48"))
REPETITIONS: Final = int(os.environ.get("FLEET_BENCH_REPETITIONS", "5"))
SECONDS: Final = float(os.environ.get("FLEET_BENCH_SECONDS", "40"))
SENSORS: Final = os.environ.get("FLEET_BENCH_SENSORS", "can,imu,gnss,radar,lidar,camera")
CAMERA, CAMERA_HZ = "camera", 5
FIRST_SEED: Final = 10_000


@dataclass
class Runs:
    """Repetitions of one kind of step."""

    name: str
    told: list[dict[str, Any]] = field(default_factory=list)
    costs: list[Spent] = field(default_factory=list)

    def add(self, measured: tuple[dict[str, Any], Spent]) -> dict[str, Any]:
        """Keep one repetition.

        Raises:
            RuntimeError: When a run of it failed: there is nothing to compare then.
        """
        told, cost = measured
        if told.get("failed"):
            raise RuntimeError(f"{self.name}: runs failed: {told['failed']}")
        self.told.append(told)
        self.costs.append(cost)
        return told

    @property
    def cpu_s(self) -> float:
        """Median CPU seconds of the process tree."""
        return statistics.median(cost.cpu_s for cost in self.costs)

    def row(self) -> dict[str, Any]:
        """Row of the report."""
        last = self.told[-1] if self.told else {}
        return {
            "step": self.name,
            "n": len(self.costs),
            "tree_cpu_s": self.cpu_s,
            "wall_s": statistics.median(cost.wall_s for cost in self.costs),
            "runs": last.get("runs", 0),
            "ran": ", ".join(f"{name} {units}" for name, units in last.get("ran", {}).items()) or "-",
        }


def drive(number: int, *, corrected: bool = False) -> Path:
    """Recording of one drive, simulated where it is not there yet; a corrected one carries the other seed's noise."""
    seed = FIRST_SEED + number + (500 if corrected else 0)
    start = datetime(2024, 5, 1, 8) + timedelta(days=number % DAYS, minutes=7 * number)  # noqa: DTZ001 - written as UTC
    made = KEPT / f"{SENSORS.replace(',', '-')}-{SECONDS:g}" / f"{number}{'-corrected' if corrected else ''}"
    recordings = made / "recordings"
    if not recordings.exists():
        command = [sys.executable, "-m", "fleet_assets.cli", "simulate", "--out", str(made.with_suffix(".new"))]
        command += ["--drives", "1", "--seconds", f"{SECONDS:g}", "--seed", str(seed), "--sensors", SENSORS]
        command += ["--start", f"{start:%Y-%m-%dT%H:%M:%SZ}"]
        if CAMERA in SENSORS.split(","):
            command += ["--camera-hz", str(CAMERA_HZ)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"simulation of drive {number} failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
        made.with_suffix(".new").rename(made)
        found = next(path for path in recordings.iterdir() if path.name != "dbc")
        found.rename(recordings / f"drive{number:03d}")
    return recordings / f"drive{number:03d}"


def upload(number: int, *, corrected: bool = False) -> str:
    """How the worker is told of an upload: folder=depot:revision."""
    depot = DEPOTS[number // DAYS % len(DEPOTS)]
    return f"{drive(number, corrected=corrected)}={depot}:{int(corrected)}"


def changed(kind: str) -> None:
    """Have the steps that follow run with a changed operator; an empty kind takes it back."""
    os.environ.pop(CHANGED, None)
    if kind:
        os.environ[CHANGED] = kind


def same(home: Path, uploads: Sequence[str], cold: Runs, scratch: Path) -> str:
    """Build the same state from scratch, which is one more cold build, and compare all roots."""
    cold.add(in_subprocess(WORKER, "deliver", str(scratch), *uploads))
    found, _ = in_subprocess(WORKER, "digests", str(home))
    wanted, _ = in_subprocess(WORKER, "digests", str(scratch))
    shutil.rmtree(scratch)
    differing = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    return f"differs in {', '.join(differing)}" if differing else "same roots"


def restatement(folder: Path) -> None:
    """Nothing, one drive more, one operator's version, one corrected drive: cost, counts, same digests."""
    more = range(DRIVES, DRIVES + REPETITIONS)
    uploads = [upload(number) for number in range(DRIVES)]
    extra = [upload(number) for number in more]
    corrections = [upload(number, corrected=True) for number in range(REPETITIONS)]
    size = sum(path.stat().st_size for name in uploads for path in Path(name.partition("=")[0]).glob("*.mcap"))
    print(f"\nincremental restatement: {DRIVES} drives, {size / 1e9:.2f} GB, {DAYS * len(DEPOTS)} partitions")
    home, verdicts = folder / "home", {}
    start, plan = Runs("process start: interpreter, imports, catalog"), Runs("planning: ask the ledger what is stale")
    cold, again, force = Runs("cold build"), Runs("(a) nothing changed"), Runs("(a) every asset run again by force")
    one = Runs("(b) one more drive")
    version, output = Runs("(c) next version, same output"), Runs("(c) next version, other output")
    corrected, peer = Runs("(d) one corrected drive"), Runs("peer: script decodes every drive again")

    cold.add(in_subprocess(WORKER, "deliver", str(home), *uploads))
    for _ in range(REPETITIONS):
        start.add(in_subprocess(WORKER, "nothing", str(home)))
        plan.add(in_subprocess(WORKER, "planning", str(home)))
        again.add(in_subprocess(WORKER, "turn", str(home)))
        force.add(in_subprocess(WORKER, "force", str(home)))
        peer.add(in_subprocess(WORKER, "loop", *uploads))
    verdicts["(a)"] = same(home, uploads, cold, folder / "scratch")
    for name in extra:
        one.add(in_subprocess(WORKER, "deliver", str(home), name))
    verdicts["(b)"] = same(home, [*uploads, *extra], cold, folder / "scratch")
    for runs, kind in ((version, "version"), (output, "output")):
        changed(kind)
        runs.add(in_subprocess(WORKER, "turn", str(home)))
        verdicts[runs.name] = same(home, [*uploads, *extra], cold, folder / "scratch")
        changed("")
        in_subprocess(WORKER, "turn", str(home))
    for name in corrections:
        corrected.add(in_subprocess(WORKER, "deliver", str(home), name))
    final = [*corrections, *uploads[REPETITIONS:], *extra]
    verdicts["(d)"] = same(home, final, cold, folder / "scratch")

    report("CPU seconds of the whole process tree", [r.row() for r in (start, cold, again, force, plan, one)])
    report("continued", [r.row() for r in (version, output, corrected, peer)])
    _figures({"cold": cold, "plan": plan, "again": again, "force": force, "one": one, "peer": peer})
    for name, verdict in verdicts.items():
        print(f"  {name}: {verdict} as a build from scratch" if verdict == "same roots" else f"  {name}: {verdict}")


def _figures(runs: Mapping[str, Runs]) -> None:
    cold, again, one, peer = runs["cold"], runs["again"], runs["one"], runs["peer"]
    planning = statistics.median(told["cpu_s"] for told in runs["plan"].told)
    counted: Mapping[str, Any] = runs["force"].told[-1]
    requested = max(told["runs"] for told in again.told)
    print(f"  (a) automation requests {requested} runs (0)")
    print(f"  (a) forced: {sum(counted['ran'].values())} drives computed (0), {counted['written_bytes']} bytes (0)")
    print(f"  planning: cold build / planning = {cold.cpu_s / planning:.0f} (at least 400)")
    print(
        f"  cold / nothing changed = {cold.cpu_s / again.cpu_s:.1f}; script / nothing = {peer.cpu_s / again.cpu_s:.1f}"
    )
    print(f"  (b) cold / one more drive = {cold.cpu_s / one.cpu_s:.1f} (at least 25)")
    print(f"  script that starts over / one more drive = {peer.cpu_s / one.cpu_s:.1f}")
    print("  best published system: 386 x warm, 7.2 x incremental (arXiv 2606.00162)")
