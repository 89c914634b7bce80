"""What engine tests run in workers: module-level, as workers find functions by name."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from resources.engine import SINGLE_THREAD_VARIABLES


def double(value: int) -> int:
    """Twice the value; 13 is bad luck."""
    if value == 13:
        raise ValueError("thirteen is refused")
    return 2 * value


def threads(_: Any) -> dict[str, Any]:
    """How many threads the numeric libraries of this worker may use."""
    import pyarrow as pa

    variables = {name: os.environ.get(name) for name in SINGLE_THREAD_VARIABLES}
    return {"arrow": pa.cpu_count(), "arrow_io": pa.io_thread_count(), "variables": variables, "pid": os.getpid()}


def die(_: Any) -> None:
    """What the kernel does for lack of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def burn(seconds: float) -> float:
    """Compute for some CPU seconds."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return seconds


def leave_mark(folder: str) -> int:
    """Say that a task started, and wait until it may end."""
    (Path(folder) / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return 1
