"""Opening the Dagster instance of a home, one process at a time, and keeping its databases open.

Dagster creates and stamps its databases on first use without a lock: two processes that do so at once both stamp them,
and no one can open them any more. It connects anew for every query; whoever closes the last connection to a database
makes SQLite write the whole log of changes back, hundreds of times per run. One idle connection spares that.
"""

import fcntl
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

import dagster as dg

LOCK_NAME: Final = ".instance.lock"
TIMEOUT_S: Final = 60.0
_HISTORY: Final = "history"
_RUNS: Final = "runs"


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance in a home, which has to hold a `dagster.yaml` (see `open_home`); created on first use.

    Raises:
        OSError: When the folder cannot be written.
    """
    with (home / LOCK_NAME).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        instance = dg.DagsterInstance.from_config(str(home))
    shared = (home / _HISTORY / "runs.db", home / _HISTORY / _RUNS / "index.db")
    with instance, _kept_open(path for path in shared if path.exists()):
        yield instance


@contextmanager
def run_kept_open(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Keep the database of a run's events open, where the instance has one file per run.

    Args:
        instance: The instance.
        run_id: The run, which may be new.
    """
    folder = Path(instance.root_directory) / _HISTORY / _RUNS
    with _kept_open([folder / f"{run_id}.db"] if folder.is_dir() else []):
        yield


@contextmanager
def _kept_open(databases: Iterable[Path]) -> Iterator[None]:
    """Hold an idle connection to each of some SQLite databases; one that does not exist yet is made, empty."""
    with ExitStack() as stack:
        for path in databases:
            connection = stack.enter_context(closing(sqlite3.connect(path, timeout=TIMEOUT_S)))
            connection.execute("pragma journal_mode = wal")  # as Dagster makes them
            connection.execute("select count(*) from sqlite_master").fetchall()  # connects for good
        yield
