"""One writer at a time for what is kept in a folder: the databases that are derived from the lake.

Here belongs the lock of this machine. A remote store settles conflicts itself.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def one_writer(folder: Path | None) -> Iterator[None]:
    """Wait until nobody else writes, threads of this process included; without a folder there is nothing to wait for.

    Args:
        folder: Made where it is not there; None for a remote store.
    """
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".writer").open("w") as lock:  # a lock is one of the opened file, so that threads exclude each other
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
