"""Runs that ended without saying anything about their work: their process died, or something around it failed.

A killed process cannot say that it is gone: its runs would stay `started` for ever, and the sweep would wait for them.
Launchers that watch their workers (Kubernetes, ECS) need none of this.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import dagster as dg

PROCESS_TAG: Final = "fleet/process"
PLAN_TAG: Final = "fleet/plan"
"""On every run of a sweep: what it was to bring about."""
LOST_TAG: Final = "fleet/lost"
"""On runs that say nothing about their plan, so that they are no attempt at it."""
GATE_FAILURE: Final = "DagsterAssetCheckFailedError"
RECENT_RUNS: Final = 200
WAITING: Final = "Waiting for the runs under way on "
"""How a sweep begins its reason to ask for nothing, when what is outstanding is in other runs' hands."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD: Final = 19
"""Start time in /proc/PID/stat, counted from the field after the command's closing parenthesis (proc(5): field 22)."""
_UNFINISHED: Final = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def process_identity(pid: int | None = None) -> str | None:
    """Boot, number and start time of a process (default: this one); None when it does not run.

    The start time tells a process from a later one with the same number: in a container the first process always has
    the same. A system without /proc only has the number.
    """
    number = os.getpid() if pid is None else pid
    if not _BOOT.exists():
        return f"-:{number}:-" if _answers(number) else None
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()
    if state in {"Z", "X"}:
        return None  # dead, its parent has not noticed yet
    return f"{_BOOT.read_text().strip()[:8]}:{number}:{fields[_START_FIELD - 1]}"


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_gone(identity: str) -> bool:
    """Whether the process that once had this identity no longer runs."""
    return process_identity(int(identity.split(":")[1])) != identity


def runs_elsewhere(instance: dg.DagsterInstance) -> bool:
    """Whether another living process executes a run."""
    others = (run.tags.get(PROCESS_TAG) for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)))
    return any(identity != process_identity() and not is_gone(identity) for identity in others if identity)


def close_lost_runs(instance: dg.DagsterInstance) -> int:
    """Close runs whose process is gone, so that they neither block nor mislead. Returns how many.

    They carry `LOST_TAG` then: a kill says nothing about the work, so it does not count as an attempt.
    """
    closed = 0
    for record in instance.get_run_records(dg.RunsFilter(statuses=_UNFINISHED)):
        run = record.dagster_run
        identity = run.tags.get(PROCESS_TAG)
        if identity is not None and is_gone(identity):
            instance.add_run_tags(run.run_id, {LOST_TAG: "true"})
            reason = f"Process {identity.split(':')[1]} that executed it is gone; the work is requested again."
            instance.report_run_failed(run, reason)
            closed += 1
    return closed


def crash_of(events: Iterable[dg.DagsterEvent]) -> str | None:
    """First failure among the events that is not a failed gate, in one message; None when there is none."""
    for event in events:
        if event.is_step_failure and (error := event.step_failure_data.error) is not None:
            if GATE_FAILURE in error.to_string():
                continue
            while error.cause is not None:
                error = error.cause
            return error.message.strip()
    return None


def was_interrupted(events: Iterable[dg.DagsterEvent]) -> bool:
    """Whether a person stopped the run: Dagster takes Ctrl-C for a failure of the step that it meets."""
    name = dg.DagsterExecutionInterruptedError.__name__
    errors = (event.step_failure_data.error for event in events if event.is_step_failure)
    return any(error is not None and error.cls_name == name for error in errors)


def forgive_crashes(instance: dg.DagsterInstance) -> None:
    """Give every plan whose runs crashed one more attempt: a person asks again, the disk may have room by now.

    A failed gate is no crash: the same inputs and policies would fail it again.
    """
    given = set()
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
    for run in instance.get_runs(failed, limit=RECENT_RUNS):
        plan = run.tags.get(PLAN_TAG)
        if plan is None or plan in given or LOST_TAG in run.tags:
            continue
        logged = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        events = [record.dagster_event for record in logged if record.dagster_event is not None]
        if not events or crash_of(events) is not None:
            instance.add_run_tags(run.run_id, {LOST_TAG: "true"})
            given.add(plan)
