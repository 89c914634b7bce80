"""Studies go on where they were stopped, and do nothing twice."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.resumable import done_lines, run

CALLS: list[str] = []


def work(key: str) -> dict[str, Any]:
    CALLS.append(key)
    if key == "bad":
        raise ValueError(key)
    return {"square": int(key) ** 2}


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    ledger = tmp_path / "below" / "study.jsonl"
    assert [row["square"] for row in run(ledger, work, ["1", "2"], 1).values()] == [1, 4]
    assert [row["square"] for row in run(ledger, work, ["3", "2", "1"], 1).values()] == [9, 4, 1]
    assert CALLS == ["1", "2", "3"]


def test_a_crash_keeps_what_was_done_before(tmp_path: Path) -> None:
    ledger = tmp_path / "study.jsonl"
    with pytest.raises(ValueError, match="bad"):
        run(ledger, work, ["1", "bad", "2"], 1)
    assert done_lines(ledger).keys() == {"1"}


def test_a_line_that_a_kill_cut_off_is_done_again(tmp_path: Path) -> None:
    ledger = tmp_path / "study.jsonl"
    run(ledger, work, ["1", "2"], 1)
    ledger.write_bytes(ledger.read_bytes()[:-5])
    assert list(run(ledger, work, ["1", "2", "3"], 1)) == ["1", "2", "3"]
    assert CALLS == ["1", "2", "2", "3"]
    assert done_lines(ledger).keys() == {"1", "2", "3"}
