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
CAMERA: Final = "camera"
CAMERA_HZ: Final = float(os.environ.get("FLEET_BENCH_CAMERA_HZ", "2"))
FIRST_SEED: Final = 10_000


@dataclass
class Runs:
    """Repetitions of one kind of step.

    Attributes:
        name: Title of the row.
        told: What each repetition said of itself.
        costs: What it cost.
        ran: Units by operator that it ran, as the lake's commits say; empty where that is not asked.
    """

    name: str
    told: list[dict[str, Any]] = field(default_factory=list)
    costs: list[Spent] = field(default_factory=list)
    ran: list[dict[str, int]] = field(default_factory=list)

    def add(self, measured: tuple[dict[str, Any], Spent], ran: dict[str, int] | None = None) -> None:
        """Keep one repetition.

        Raises:
            RuntimeError: When a run of it failed: there is nothing to compare then.
        """
        told, cost = measured
        if told.get("failed"):
            raise RuntimeError(f"{self.name}: runs failed: {told['failed']}")
        self.told.append(told)
        self.costs.append(cost)
        if ran is not None:
            self.ran.append(ran)

    @property
    def cpu_s(self) -> float:
        """Median CPU seconds of the process tree."""
        return statistics.median(cost.cpu_s for cost in self.costs)

    def row(self) -> dict[str, Any]:
        """Row of the report."""
        return {
            "step": self.name,
            "n": len(self.costs),
            "tree_cpu_s": self.cpu_s,
            "least": min(cost.cpu_s for cost in self.costs),
            "most": max(cost.cpu_s for cost in self.costs),
            "wall_s": statistics.median(cost.wall_s for cost in self.costs),
            "runs": max((told.get("runs", 0) for told in self.told), default=0),
            "operators": "; ".join(sorted({_counted(ran) for ran in self.ran})) or "-",
        }


def _counted(ran: Mapping[str, int]) -> str:
    by_units: dict[int, int] = {}
    for units in ran.values():
        by_units[units] = by_units.get(units, 0) + 1
    return ", ".join(f"{count} x {units}" for units, count in sorted(by_units.items())) or "none"


class Home:
    """A fleet's home, and what its operators did so far.

    Attributes:
        path: The home.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._work: dict[str, int] = {}

    def step(self, runs: Runs, name: str, *arguments: str) -> None:
        """Measure one step; which operators it ran is read from the lake by another process, which is not measured."""
        measured = in_subprocess(WORKER, name, str(self.path), *arguments)
        work, _ = in_subprocess(WORKER, "work", str(self.path))
        ran = {operator: units - self._work.get(operator, 0) for operator, units in work.items()}
        self._work = work
        runs.add(measured, {operator: units for operator, units in sorted(ran.items()) if units})

    def look(self, runs: Runs, name: str) -> None:
        """Measure a step that writes nothing."""
        runs.add(in_subprocess(WORKER, name, str(self.path)))


def drive(number: int, *, corrected: bool = False) -> Path:
    """Recording of one drive, simulated where it is not there yet; a corrected one carries the other seed's noise."""
    seed = FIRST_SEED + number + (500 if corrected else 0)
    start = datetime(2024, 5, 1, 8) + timedelta(days=number % DAYS, minutes=7 * number)  # noqa: DTZ001 - written as UTC
    kind = f"{SENSORS.replace(',', '-')}-{CAMERA_HZ:g}hz-{SECONDS:g}"
    made = KEPT / kind / f"{number}{'-corrected' if corrected else ''}"
    recordings = made / "recordings"
    if not recordings.exists():
        command = [sys.executable, "-m", "fleet_assets.cli", "simulate", "--out", str(made.with_suffix(".new"))]
        command += ["--drives", "1", "--seconds", f"{SECONDS:g}", "--seed", str(seed), "--sensors", SENSORS]
        command += ["--start", f"{start:%Y-%m-%dT%H:%M:%SZ}"]
        if CAMERA in SENSORS.split(","):
            command += ["--camera-hz", f"{CAMERA_HZ:g}"]
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


def same(home: Home, uploads: Sequence[str], cold: Runs, scratch: Path) -> str:
    """Build the same state from scratch, which is one more cold build, and compare all roots."""
    other = Home(scratch)
    other.step(cold, "deliver", *uploads)
    found, _ = in_subprocess(WORKER, "digests", str(home.path))
    wanted, _ = in_subprocess(WORKER, "digests", str(scratch))
    shutil.rmtree(scratch)
    differing = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    if differing:
        return f"differs in {', '.join(differing)} from a build from scratch"
    return f"same {len(found)} roots as a build from scratch"


def exactly(ran: Mapping[str, int], expected: Mapping[str, int]) -> str:
    """What ran besides what should have, or the other way round."""
    others = [
        f"{name} {ran.get(name, 0)} instead of {expected.get(name, 0)}"
        for name in sorted({*ran, *expected})
        if ran.get(name) != expected.get(name)
    ]
    return "NOT as wanted: " + ", ".join(others) if others else f"exactly the {len(ran)} wanted operators"


def descended(ran: Mapping[str, int], drives: int, home: Home, *, changes_output: bool) -> str:
    """Whether a changed operator ran on every drive, and beside it descendants only, if any may run at all."""
    graph, _ = in_subprocess(WORKER, "descendants", str(home.path))
    changed, fed = graph["changed"], set(graph["fed"]) - {graph["changed"]}
    strangers = sorted(set(ran) - fed - {changed})
    if ran.get(changed) != drives:
        return f"NOT as wanted: {changed} ran on {ran.get(changed, 0)} of {drives} drives"
    if strangers or (not changes_output and len(ran) > 1):
        return f"NOT as wanted: also ran {', '.join(strangers or sorted(set(ran) - {changed}))}"
    return f"{changed} on {drives} drives, then {len(ran) - 1} of its {len(fed)} descendants, and nothing else"


def restatement(folder: Path) -> None:
    """Nothing, one drive more, one operator's version, one corrected drive: cost, counts, same digests."""
    uploads = [upload(number) for number in range(DRIVES)]
    extra = [upload(number) for number in range(DRIVES, DRIVES + REPETITIONS)]
    corrections = [upload(number, corrected=True) for number in range(REPETITIONS)]
    size = sum(path.stat().st_size for name in uploads for path in Path(name.partition("=")[0]).glob("*.mcap"))
    print(f"\nincremental restatement: {DRIVES} drives, {size / 1e9:.2f} GB, {DAYS * len(DEPOTS)} partitions")
    home, scratch, said = Home(folder / "home"), folder / "scratch", []
    start, workers = Runs("process start: interpreter, imports, catalog"), Runs("the same, with both workers")
    plan, cold = Runs("planning: ask the ledger what is stale"), Runs("cold build")
    again, asked = Runs("(a) nothing changed"), Runs("(a) automation conditions, two ticks")
    force, peer = Runs("(a) every asset run again by force"), Runs("peer: script decodes every drive again")
    one, version = Runs("(b) one more drive"), Runs("(c) next version, same output")
    output, corrected = Runs("(c) next version, other output"), Runs("(d) one corrected drive")

    home.step(cold, "deliver", *uploads)
    once = dict.fromkeys(cold.ran[0], 1)
    for _ in range(REPETITIONS):
        for runs, name in ((start, "nothing"), (workers, "workers"), (plan, "planning"), (asked, "conditions")):
            home.look(runs, name)
        home.step(again, "turn")
        home.step(force, "force")
        peer.add(in_subprocess(WORKER, "loop", *uploads))
    said.append(f"(a) {same(home, uploads, cold, scratch)}")
    for name in extra:
        home.step(one, "deliver", name)
    said += [f"(b) {text}" for text in sorted({exactly(ran, once) for ran in one.ran})]
    said.append(f"(b) {same(home, [*uploads, *extra], cold, scratch)}")
    for runs, kind in ((version, "version"), (output, "output")):
        before, _ = in_subprocess(WORKER, "digests", str(home.path))
        changed(kind)
        home.step(runs, "turn")
        told = descended(runs.ran[0], DRIVES + REPETITIONS, home, changes_output=kind == "output")
        said.append(f"(c) {kind}: {told}")
        if kind == "output":
            said.append(f"(c) {kind}: {same(home, [*uploads, *extra], cold, scratch)}")
        else:  # the same as the build from scratch before it
            after, _ = in_subprocess(WORKER, "digests", str(home.path))
            said.append(f"(c) {kind}: {'the same' if after == before else 'NOT the same'} {len(after)} roots as before")
        changed("")
        home.step(Runs("back"), "turn")
    for name in corrections:
        home.step(corrected, "deliver", name)
    said += [f"(d) {text}" for text in sorted({exactly(ran, once) for ran in corrected.ran})]
    final = [*corrections, *uploads[REPETITIONS:], *extra]
    said.append(f"(d) {same(home, final, cold, scratch)}")

    title = "CPU seconds of the whole process tree, medians; operators x drives"
    report(title, [r.row() for r in (start, workers, plan, asked, cold, again, force, one, version, output, corrected)])
    report("peer", [peer.row()])
    _figures({"cold": cold, "plan": plan, "again": again, "force": force, "one": one, "asked": asked})
    _beside_the_script({"again": again, "one": one, "corrected": corrected, "cold": cold}, peer)
    for line in said:
        print(f"  {line}")


def _cold_of(cold: Runs, drives: int) -> float:
    """Median CPU seconds of the cold builds of so many drives."""
    return statistics.median(
        cost.cpu_s for cost, ran in zip(cold.costs, cold.ran, strict=True) if max(ran.values()) == drives
    )


def _figures(runs: Mapping[str, Runs]) -> None:
    cold, again, one, force = runs["cold"], runs["again"], runs["one"], runs["force"]
    small, large = _cold_of(cold, DRIVES), _cold_of(cold, DRIVES + REPETITIONS)
    as_large = small + (large - small) * (REPETITIONS + 1) / (2 * REPETITIONS)
    planning = statistics.median(told["cpu_s"] for told in runs["plan"].told)
    opened = statistics.median(told["catalog_cpu_s"] for told in runs["plan"].told)
    requested = max(told["runs"] for told in again.told)
    wanted = max(told["requested"] for told in runs["asked"].told)
    print(f"  (a) sweeps request {requested} runs (0), automation conditions {wanted} partitions (0)")
    written = max(told["written_bytes"] for told in force.told)
    print(f"  (a) forced: {sum(sum(ran.values()) for ran in force.ran)} drives computed (0), {written} bytes (0)")
    print(
        f"  (a) planning {planning:.3f} s, and {opened:.3f} s to open the catalog: cold build / planning = "
        f"{small / planning:.0f}, with the catalog {small / (planning + opened):.0f} (at least 400)"
    )
    print(
        f"  (b) cold / one more drive = {as_large / one.cpu_s:.1f} (at least 25); cold builds of {DRIVES} drives "
        f"{small:.1f} s, of {DRIVES + REPETITIONS} {large:.1f} s, in between {as_large:.1f} s for a fleet as large"
    )
    print("  best published system: 386 x warm, 7.2 x incremental (arXiv 2606.00162)")


def _beside_the_script(runs: Mapping[str, Runs], peer: Runs) -> None:
    told = ", ".join(f"{own.name} {peer.cpu_s / own.cpu_s:.2f}" for own in runs.values())
    print(f"  script that decodes every drive again / {told}")
