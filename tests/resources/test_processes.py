"""Which process executes a run, told apart from every other one, and runs whose process is gone."""

import os
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest

from resources.processes import (
    LOST_TAG,
    PROCESS_TAG,
    close_lost_runs,
    is_gone,
    process_identity,
    runs_elsewhere,
)


@dg.op
def wait() -> None:
    """Does nothing: only its run is looked at."""


@dg.job
def waiting() -> None:
    """A job of one step."""
    wait()


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def started(instance: dg.DagsterInstance, identity: str | None) -> dg.DagsterRun:
    tags = {PROCESS_TAG: identity} if identity is not None else {}
    return instance.create_run_for_job(waiting, status=dg.DagsterRunStatus.STARTED, tags=tags)


def test_a_process_keeps_its_identity_and_shares_it_with_no_other(other: subprocess.Popen[bytes]) -> None:
    assert process_identity() == process_identity(os.getpid())
    assert process_identity() != process_identity(other.pid)
    assert not is_gone(str(process_identity()))


def test_a_process_that_ended_is_gone_even_before_its_parent_noticed(other: subprocess.Popen[bytes]) -> None:
    identity = str(process_identity(other.pid))
    assert not is_gone(identity)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(identity)
    other.wait()
    assert is_gone(identity)


def test_a_later_process_with_the_same_number_is_another_one() -> None:
    boot, number, start = str(process_identity()).split(":")
    assert is_gone(f"{boot}:{number}:{int(start) - 1}")
    assert is_gone(f"earlier:{number}:{start}")


def test_runs_of_dead_processes_are_closed_and_marked_and_all_others_left_alone(
    other: subprocess.Popen[bytes],
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        doomed = started(instance, process_identity(other.pid))
        own, unnamed = started(instance, process_identity()), started(instance, None)
        assert runs_elsewhere(instance)
        assert close_lost_runs(instance) == 0
        other.kill()
        other.wait()
        assert not runs_elsewhere(instance)
        assert close_lost_runs(instance) == 1
        assert close_lost_runs(instance) == 0
        found = {run.run_id: run for run in instance.get_runs()}
    assert found[doomed.run_id].status is dg.DagsterRunStatus.FAILURE
    assert LOST_TAG in found[doomed.run_id].tags
    for run in (own, unnamed):
        assert found[run.run_id].status is dg.DagsterRunStatus.STARTED
        assert LOST_TAG not in found[run.run_id].tags
