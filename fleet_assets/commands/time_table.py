"""Where the time of a demo went, workflow by workflow, from its real runs.

Here belongs adding up. What was measured comes from the engine's workers, the gates, Dagster's steps and this process.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from fleet_assets.commands.session import table_text

if TYPE_CHECKING:
    import dagster as dg

    from fleet_assets.crank import RunResult


@dataclass(frozen=True, slots=True)
class Watch:
    """Started when it is made."""

    wall: float = field(default_factory=perf_counter)
    cpu: float = field(default_factory=process_time)

    @property
    def wall_s(self) -> float:
        """Elapsed seconds so far."""
        return perf_counter() - self.wall

    @property
    def cpu_s(self) -> float:
        """CPU seconds of this process so far."""
        return process_time() - self.cpu


@dataclass(frozen=True, slots=True)
class Spent:
    """Time of one workflow.

    Attributes:
        workflow: Its name.
        cpu_s: CPU seconds, of all processes.
        wall_s: Elapsed seconds.
        what: What was done.
    """

    workflow: str
    cpu_s: float
    wall_s: float
    what: str

    def row(self) -> dict[str, Any]:
        """The row of the table, in tenths of a second."""
        return {
            "workflow": self.workflow,
            "cpu_s": round(self.cpu_s, 1),
            "elapsed_s": round(self.wall_s, 1),
            "what": self.what,
        }


def time_rows(
    instance: "dg.DagsterInstance", runs: "Sequence[RunResult]", watch: Watch, first: Sequence[Spent] = ()
) -> list[dict[str, Any]]:
    """Time by workflow, of the gates, of all the rest, and in total; each column sums up to its last row.

    Args:
        instance: Where the runs took place.
        runs: What the crank ran.
        watch: Started when the command was.
        first: What was done before, e.g. simulating.
    """
    workflows, gates = _of_workflows(instance, runs), _of_gates(instance, runs)
    rows = [spent.row() for spent in (*first, *workflows, gates)]
    # Gates are asked in this process, and so is all the rest; what is done before and in workflows is not.
    elsewhere_s = sum(spent.cpu_s for spent in (*first, *workflows))
    total = Spent("total", elsewhere_s + watch.cpu_s, watch.wall_s, "").row()
    rest: dict[str, Any] = {
        name: round(total[name] - sum(row[name] for row in rows), 1) for name in ("cpu_s", "elapsed_s")
    }
    what = f"{len(runs)} runs: landing, planning, commits, Dagster"
    return [*rows, {"workflow": "orchestration", **rest, "what": what}, total]


def times_text(rows: Sequence[dict[str, Any]]) -> str:
    """The table for people."""
    return table_text(rows, ["workflow", "cpu_s", "elapsed_s", "what"])


def _of_workflows(instance: "dg.DagsterInstance", runs: "Sequence[RunResult]") -> list[Spent]:
    """What workers spent, each operator once: all its outputs report the same CPU seconds."""
    from fleet_assets.operators import STEPS

    elapsed = _elapsed(instance, runs)
    cpu: dict[str, float] = defaultdict(float)
    wall: dict[str, float] = defaultdict(float)
    names: dict[str, list[str]] = {}
    for operator in (step.operator for step in STEPS):
        workflow, _, name = operator.name.partition(".")
        asset = operator.outputs[0].replace(".", "/")
        for run in (run for run in runs if asset in run.worker_cpu_s):
            cpu[workflow] += run.worker_cpu_s[asset]
            wall[workflow] += elapsed.get((run.run_id, asset), 0.0)
            known = names.setdefault(workflow, [])
            known += [name] if name not in known else []
    return [
        Spent(workflow.replace("_", " "), cpu[workflow], wall[workflow], ", ".join(done))
        for workflow, done in names.items()
    ]


def _of_gates(instance: "dg.DagsterInstance", runs: "Sequence[RunResult]") -> Spent:
    elapsed = _elapsed(instance, runs)
    gates = [(run, gate) for run in runs for gate in run.gates]
    gates_cpu_s = sum(float(gate.metadata.get("cpu_s", 0.0)) for _, gate in gates)
    # The gates of one table are one step.
    by_step = {
        (run.run_id, gate.asset): elapsed.get((run.run_id, f"{gate.asset}:{gate.gate}"), 0.0) for run, gate in gates
    }
    return Spent("gates", gates_cpu_s, sum(by_step.values()), f"{len(gates)} verdicts")


def _elapsed(instance: "dg.DagsterInstance", runs: "Sequence[RunResult]") -> dict[tuple[str, str], float]:
    """Elapsed seconds of the steps that made assets or asked gates, by run and by asset or `asset:gate`."""
    return {(run.run_id, name): wall_s for run in runs for name, wall_s in _elapsed_in(instance, run).items()}


def _elapsed_in(instance: "dg.DagsterInstance", run: "RunResult") -> dict[str, float]:
    steps = {stats.step_key: stats for stats in instance.get_run_step_stats(run.run_id)}
    found = {name: steps[key] for name, key in run.steps.items() if key in steps}
    return {
        name: stats.end_time - stats.start_time
        for name, stats in found.items()
        if stats.end_time is not None and stats.start_time is not None
    }
