"""Opening the Dagster instance of a home, one process at a time.

Dagster creates and stamps its databases on first use without a lock: two processes that do so at once both stamp them,
and no one can open them any more.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import dagster as dg

LOCK_NAME: Final = ".instance.lock"


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance in a home, which has to hold a `dagster.yaml` (see `open_home`); created on first use.

    Raises:
        OSError: When the folder cannot be written.
    """
    with (home / LOCK_NAME).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        instance = dg.DagsterInstance.from_config(str(home))
    with instance:
        yield instance
