"""The engine runs one function over many drives: no failure reaches another drive, and no drive is lost."""

import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from resources.engine import SINGLE_THREAD_VARIABLES, ProcessPoolEngine
from tests.resources.engine_tasks import burn, die, double, leave_mark, threads

ENGINE = ProcessPoolEngine(2)


def test_every_task_has_one_outcome() -> None:
    outcomes = {outcome.key: outcome.value for outcome in ENGINE.run(double, [(f"d{n}", n) for n in range(12)])}
    assert outcomes == {f"d{n}": 2 * n for n in range(12)}


def test_a_failing_task_is_an_outcome_and_the_others_go_on() -> None:
    outcomes = {outcome.key: outcome for outcome in ENGINE.run(double, [(str(n), n) for n in range(10, 17)])}
    assert len(outcomes) == 7
    assert outcomes["13"].value is None
    assert "ValueError: thirteen is refused" in (outcomes["13"].error or "")
    assert all(outcome.error is None for key, outcome in outcomes.items() if key != "13")


def test_no_tasks_start_no_worker() -> None:
    assert list(ProcessPoolEngine(7).run(double, [])) == []


def test_workers_compute_in_one_thread_each_so_that_results_do_not_depend_on_the_machine() -> None:
    (outcome,) = ENGINE.run(threads, [("a", None)])
    assert (outcome.value["arrow"], outcome.value["arrow_io"]) == (1, 1)
    assert outcome.value["variables"] == dict.fromkeys(SINGLE_THREAD_VARIABLES, "1")


def test_workers_stay_warm_between_runs() -> None:
    first = {outcome.value["pid"] for outcome in ENGINE.run(threads, [(str(n), None) for n in range(8)])}
    again = {outcome.value["pid"] for outcome in ENGINE.run(threads, [(str(n), None) for n in range(8)])}
    assert first & again


def test_what_a_task_cost_is_measured_in_its_worker() -> None:
    (outcome,) = ENGINE.run(burn, [("a", 0.05)])
    assert outcome.cpu_s >= 0.05
    assert outcome.wall_s > 0
    assert outcome.peak_bytes > 1 << 20


def test_only_a_few_tasks_are_in_flight_however_many_there_are(tmp_path: Path) -> None:
    """What is not submitted holds no memory."""
    outcomes = ENGINE.run(leave_mark, ((str(n), str(tmp_path)) for n in range(50)))  # type: ignore[arg-type]
    taken = iter(outcomes)
    (tmp_path / "go").touch()
    next(taken)
    time.sleep(0.3)  # workers may take what was submitted meanwhile, and no more
    assert len(list(tmp_path.iterdir())) - 1 <= 2 * 2 + 1
    assert sum(outcome.value for outcome in taken) == 49


def test_a_killed_worker_ends_the_run_and_the_next_run_has_new_workers() -> None:
    engine = ProcessPoolEngine(1)
    with pytest.raises(BrokenProcessPool):
        list(engine.run(die, [("a", None)]))
    assert [outcome.value for outcome in engine.run(double, [("a", 4)])] == [8]
