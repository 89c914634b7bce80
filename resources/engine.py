"""The engine: one function over many drives, in worker processes, with progress and bounded memory.

Parallelism is over drives, never inside one: every worker runs one thread, so that results
do not depend on the machine.
"""

import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Final, Protocol

SINGLE_THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_PRELOAD: Final = ("pyarrow.parquet", "numpy", "fleet_assets.provenance.restate")
_pools: dict[int, ProcessPoolExecutor] = {}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task.

    Attributes:
        key: Name of the task, e.g. the drive id.
        value: Return value; None on failure.
        error: Traceback text of an unexpected failure; None on success.
        cpu_s: CPU seconds of the worker on this task.
        wall_s: Elapsed seconds.
        peak_bytes: Peak resident memory of the worker so far.
    """

    key: str
    value: Any
    error: str | None
    cpu_s: float
    wall_s: float
    peak_bytes: int


class Engine(Protocol):
    """Runs a picklable function over tasks."""

    def run(self, function: Callable[[Any], Any], tasks: Sequence[tuple[str, Any]]) -> Iterator[Outcome]:
        """Yield one outcome per (key, argument), in order of completion. A failing task never stops the others."""
        ...


def _settle() -> None:
    """A worker starts: one thread, and no last words at Ctrl-C, of which the process that waits for it tells."""
    import pyarrow as pa

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as with nohup
        signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _measured(function: Callable[[Any], Any], key: str, argument: Any) -> Outcome:
    wall, cpu = time.perf_counter(), time.process_time()
    value, error = None, None
    try:
        value = function(argument)
    except Exception:  # noqa: BLE001 - reported as this task's outcome; the caller fails the run after the other drives
        error = traceback.format_exc()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Outcome(key, value, error, time.process_time() - cpu, time.perf_counter() - wall, peak)


def _pool(workers: int) -> ProcessPoolExecutor:
    """One pool per process and size, kept warm between runs (start-up costs more than a short drive)."""
    if workers not in _pools:
        for variable in SINGLE_THREAD_VARIABLES:
            os.environ[variable] = "1"  # whatever the caller's shell says: threads would change the last bits
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_PRELOAD))
        _pools[workers] = ProcessPoolExecutor(workers, mp_context=context, initializer=_settle)
    return _pools[workers]


@dataclass(frozen=True, slots=True)
class ProcessPoolEngine:
    """Engine on local worker processes.

    Attributes:
        max_workers: Worker processes; 0 means one per CPU core.
    """

    max_workers: int = 0

    def run(self, function: Callable[[Any], Any], tasks: Sequence[tuple[str, Any]]) -> Iterator[Outcome]:
        """See `Engine.run`. At most two tasks per worker are in flight, which bounds memory.

        Raises:
            BrokenProcessPool: When a worker was killed from outside, e.g. for lack of memory.
        """
        if not tasks:
            return
        workers = self.max_workers or os.cpu_count() or 1
        pool = _pool(workers)
        waiting = iter(tasks)
        running: set[Future[Outcome]] = set()
        try:
            while True:
                while len(running) < 2 * workers and (task := next(waiting, None)) is not None:
                    running.add(pool.submit(_measured, function, *task))
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        except BrokenProcessPool:
            _pools.pop(workers, None)
            raise
