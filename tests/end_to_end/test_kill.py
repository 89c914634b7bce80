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
from tests.end_to_end.killed_ingest import DRIVE_ID, MOMENTS
from tests.harness import COMMA_SPEC, TestFleet

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "from tests.end_to_end.killed_ingest import main; main()"
PATIENCE_S = 300
FEW = [("copy.middle", 0.6), ("write.middle", 0.5), ("commit.unpointed", 0.55), ("event.after", 0.65)]
"""Where to die, as the share of all calls that an undisturbed run makes; 0 is the first call, 1 the last."""
MANY = [
    *[("copy.middle", share) for share in (0, 0.5, 1)],
    *[("write.middle", share) for share in (0, 0.2, 0.3, 1)],
    *[("write.after", share) for share in (0.25, 0.55, 1)],
    *[("stage.before", share) for share in (0, 0.5)],
    *[("stage.after", share) for share in (0.1, 1)],
    *[("commit.before", share) for share in (0, 0.1, 0.6, 1)],
    *[("commit.unpointed", share) for share in (0, 0.1, 0.25, 1)],
    *[("commit.after", share) for share in (0, 0.1, 0.2, 0.5, 1)],
    *[("event.before", share) for share in (0, 0.03, 0.18, 0.36, 0.54, 0.78, 0.96)],
    *[("event.after", share) for share in (0.12, 0.24, 0.45, 0.84, 1)],
]
RANDOM_TIMES = 15


@dataclass(frozen=True)
class Undisturbed:
    """What a run that nothing happened to leaves behind, and how often it passed each moment."""

    recording: Path
    roots: Mapping[str, str]
    objects: Mapping[str, str]
    seconds: float
    calls: Mapping[str, int]

    def call(self, moment: str, share: float) -> int:
        """Which call of a moment a share of all of them is, counted from 1."""
        return 1 + round(share * (self.calls[moment] - 1))


def start(
    home: Path,
    recording: Path,
    counter: Path,
    *moment: str,
    spec: str = COMMA_SPEC,
    given_start_ns: int | None = None,
) -> subprocess.Popen[str]:
    """Start the program as the leader of a process group of its own."""
    counter.mkdir(exist_ok=True)
    places = (str(home), str(recording), str(counter))
    told = (spec, str(given_start_ns or ""))
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, *places, *told, *moment]
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
    calls = {file.name: file.stat().st_size for file in (folder / "counter").iterdir()}
    assert set(calls) == set(MOMENTS)
    return Undisturbed(recording, fleet.digests(), reachable_objects(fleet), seconds, calls)


def kill_at(
    home: Path,
    recording: Path,
    counter: Path,
    moment: str,
    number: int,
    *,
    spec: str = COMMA_SPEC,
    given_start_ns: int | None = None,
) -> None:
    """Run until the program kills its own group at a moment."""
    process = start(home, recording, counter, moment, str(number), spec=spec, given_start_ns=given_start_ns)
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


@pytest.mark.parametrize(("moment", "share"), [*FEW, *(pytest.param(*case, marks=pytest.mark.slow) for case in MANY)])
def test_a_kill_inside_copy_write_commit_or_event_leaves_no_trace_after_a_rerun(
    tmp_path: Path, undisturbed: Undisturbed, moment: str, share: float
) -> None:
    number = undisturbed.call(moment, share)
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
        kill_at(
            tmp_path / "home", undisturbed.recording, counter, "event.before", undisturbed.call("event.before", 0.07)
        )
    assert_recovers(tmp_path / "home", undisturbed)
