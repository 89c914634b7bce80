"""Opening the Dagster instance of a home."""

import subprocess
import sys
from pathlib import Path

import pytest

from resources.home import open_home
from resources.instance import open_instance

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 4


def test_several_processes_may_open_a_new_home_at_the_same_moment(tmp_path: Path) -> None:
    open_home(tmp_path)
    command = [sys.executable, "-W", "ignore", "-m", "tests.resources.instance_opener", str(tmp_path)]
    openers = [
        subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    answers = [opener.communicate(timeout=120)[0] for opener in openers]
    assert answers == ["0\n"] * PROCESSES
    with open_instance(tmp_path) as instance:
        assert list(instance.get_runs()) == []


def test_a_folder_that_is_no_home_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"), open_instance(tmp_path / "nowhere"):
        pass
