"""Measuring: CPU seconds of a whole process tree beside wall time, and rows of a report."""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36
"""Of <linux/prctl.h>."""
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Spent:
    """CPU seconds of this process and its children, and elapsed seconds."""

    cpu_s: float
    wall_s: float


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def spent(function: Callable[[], Any]) -> tuple[Any, Spent]:
    """Run a function; children count once they ended."""
    wall, cpu = time.perf_counter(), _cpu()
    value = function()
    return value, Spent(_cpu() - cpu, time.perf_counter() - wall)


def in_subprocess(module: str, *arguments: str) -> tuple[dict[str, Any], Spent]:
    """Run `python -m module arguments` and read the JSON document on its last line of output.

    The CPU figure is that of the whole tree: the process, its engine workers, and what they started. Workers are
    children of a server that nobody waits for; they are taken in and waited for here, since only then they count.

    Raises:
        RuntimeError: When the module fails, or where orphans cannot be taken in (that takes Linux).
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise RuntimeError(f"orphaned workers cannot be counted here: {os.strerror(ctypes.get_errno())}. Use Linux")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", module, *arguments]

    def run() -> str:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        _await_orphans()
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        return done.stdout

    output, cost = spent(run)
    return json.loads(output.strip().splitlines()[-1]), cost


def _await_orphans() -> None:
    with suppress(ChildProcessError):
        while True:
            os.wait()


def report(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as aligned text."""
    columns = list(rows[0])
    cells = [
        columns,
        *([f"{row[c]:.3f}" if isinstance(row[c], float) else str(row[c]) for c in columns] for row in rows),
    ]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    print(f"\n{title}")
    for line in cells:
        print("  " + "  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip())
