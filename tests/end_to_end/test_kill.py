"""kill -9 of the whole process group costs time, never data: a re-run ends where an undisturbed run does."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.fleets import SIX, assert_at_rest, reachable_objects
from tests.end_to_end.killed_ingest import DRIVE_ID
from tests.harness import TestFleet

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "from tests.end_to_end.killed_ingest import main; main()"
PATIENCE_S = 300
FEW = [("copy.middle", 12), ("write.middle", 8), ("commit.unpointed", 13), ("event.after", 110)]
MANY = [
    *[("copy.middle", number) for number in (1, 10, 19)],
    *[("write.middle", number) for number in (1, 4, 5, 16)],
    *[("write.after", number) for number in (4, 9, 16)],
    *[("stage.before", number) for number in (1, 6)],
    *[("stage.after", number) for number in (2, 12)],
    *[("commit.before", number) for number in (1, 2, 7, 12)],
    *[("commit.unpointed", number) for number in (1, 3, 6, 24)],
    *[("commit.after", number) for number in (1, 2, 3, 6, 12)],
    *[("event.before", number) for number in (1, 5, 30, 60, 90, 130, 160)],
    *[("event.after", number) for number in (20, 40, 75, 140, 166)],
]
RANDOM_TIMES = 15


@dataclass(frozen=True)
class Undisturbed:
    """What a run that nothing happened to leaves behind."""

    recording: Path
    roots: Mapping[str, str]
    objects: Mapping[str, str]
    seconds: float


def start(home: Path, recording: Path, counter: Path, *moment: str) -> subprocess.Popen[str]:
    """Start the program as the leader of a process group of its own."""
    counter.mkdir(exist_ok=True)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(home), str(recording), str(counter), *moment]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, text=True, stdout=subprocess.PIPE)


def group_is_gone(group: int) -> bool:
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return False
    return True


def wait_for_group(group: int) -> None:
    """Wait until the kernel has taken the last process of a killed group away."""
    deadline = time.monotonic() + PATIENCE_S
    while not group_is_gone(group):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    recording = SIX[0].record(folder)
    process = start(folder / "home", recording, folder / "counter")
    assert process.stdout is not None
    assert process.stdout.readline() == "armed\n"
    began = time.monotonic()
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert output.endswith("done\n"), output
    seconds = time.monotonic() - began
    fleet = TestFleet(folder / "home", durable=True)
    assert_at_rest(fleet)
    return Undisturbed(recording, fleet.digests(), reachable_objects(fleet), seconds)


def kill_at(home: Path, recording: Path, counter: Path, moment: str, number: int) -> None:
    """Run until the program kills its own group at a moment."""
    process = start(home, recording, counter, moment, str(number))
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL, output
    wait_for_group(process.pid)
    assert (counter / moment).stat().st_size >= number


def kill_after(home: Path, recording: Path, counter: Path, seconds: float) -> None:
    """Kill the group after a time, counted from when the program began to work."""
    process = start(home, recording, counter)
    assert process.stdout is not None
    assert process.stdout.readline() == "armed\n"
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    wait_for_group(process.pid)


def assert_recovers(home: Path, undisturbed: Undisturbed) -> None:
    """Ingest again, as a person does, and compare with the run that nothing happened to."""
    fleet = TestFleet(home, durable=True)
    fleet.upload(undisturbed.recording, drive_id=DRIVE_ID)
    fleet.turn()
    assert fleet.digests() == undisturbed.roots
    assert reachable_objects(fleet) == undisturbed.objects
    assert_at_rest(fleet)
    uploads = [path.name for path in fleet.fleet.settings.landing.iterdir()]
    assert uploads == [f"{DRIVE_ID}-r0"]
    assert [path for path in fleet.fleet.settings.objects.rglob("*") if path.name.startswith(".partial-")] == []
    assert fleet.sql("select event, count(*) as times from bronze.ingestion_log group by event") == [
        {"event": "landed", "times": 1}
    ]


@pytest.mark.parametrize(("moment", "number"), [*FEW, *(pytest.param(*case, marks=pytest.mark.slow) for case in MANY)])
def test_a_kill_inside_copy_write_commit_or_event_leaves_no_trace_after_a_rerun(
    tmp_path: Path, undisturbed: Undisturbed, moment: str, number: int
) -> None:
    kill_at(tmp_path / "home", undisturbed.recording, tmp_path / "counter", moment, number)
    assert_recovers(tmp_path / "home", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(RANDOM_TIMES))
def test_a_kill_at_any_time_leaves_no_trace_after_a_rerun(tmp_path: Path, undisturbed: Undisturbed, seed: int) -> None:
    share = (seed + random.Random(seed).random()) / RANDOM_TIMES  # noqa: S311 - a time, stratified over the whole run
    kill_after(tmp_path / "home", undisturbed.recording, tmp_path / "counter", share * undisturbed.seconds)
    assert_recovers(tmp_path / "home", undisturbed)


@pytest.mark.slow
def test_one_home_survives_more_kills_than_a_failing_plan_has_attempts(
    tmp_path: Path, undisturbed: Undisturbed
) -> None:
    for number in range(5):
        counter = tmp_path / f"counter{number}"
        kill_at(tmp_path / "home", undisturbed.recording, counter, "event.before", 12)
    assert_recovers(tmp_path / "home", undisturbed)
