"""Long studies that can be stopped and gone on with: one line of JSON per piece of work, done by several processes.

Here belong the ledger of what is done and the spreading over processes. What a piece of work is belongs to the studies.
"""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

NICENESS: Final = 5


def done_lines(ledger: Path) -> dict[str, Any]:
    """What a ledger holds, by key; a line that was cut off by a kill is left out."""
    if not ledger.exists():
        return {}
    found = {}
    for line in ledger.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[row["key"]] = row
    return found


def run(ledger: Path, work: Callable[[str], dict[str, Any]], keys: Sequence[str], workers: int) -> dict[str, Any]:
    """Do what is not done yet, and give all results.

    Args:
        ledger: File of lines; made when it is not there. Delete it to begin anew.
        work: Module-level function that does one piece of work, by its key.
        keys: All pieces.
        workers: Processes.

    Returns:
        Result by key, in the order of the keys.
    """
    ledger.parent.mkdir(parents=True, exist_ok=True)
    done = done_lines(ledger)
    missing = [key for key in keys if key not in done]
    with ledger.open("a", encoding="utf-8") as stream:
        if ledger.stat().st_size and not ledger.read_bytes().endswith(b"\n"):
            stream.write("\n")
        for key, result in _results(work, missing, workers):
            done[key] = {"key": key, **result}
            stream.write(json.dumps(done[key], sort_keys=True) + "\n")
            stream.flush()
    return {key: done[key] for key in keys}


def _results(
    work: Callable[[str], dict[str, Any]], keys: Sequence[str], workers: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    if workers <= 1:
        yield from ((key, work(key)) for key in keys)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=os.nice, initargs=(NICENESS,)) as pool:
        yield from pool.imap_unordered(_Keyed(work), keys)


class _Keyed:
    """A piece of work that says which one it was."""

    def __init__(self, work: Callable[[str], dict[str, Any]]) -> None:
        self._work = work

    def __call__(self, key: str) -> tuple[str, dict[str, Any]]:
        return key, self._work(key)
