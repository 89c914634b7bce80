"""Opening the Dagster instance of a home."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from resources.home import open_home
from resources.instance import open_instance, run_kept_open

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


def test_a_runs_events_are_kept_in_a_file_of_dagsters_own_kind_that_another_process_can_read(tmp_path: Path) -> None:
    @dg.asset
    def wheel() -> None: ...

    open_home(tmp_path)
    run_id = "00000000-0000-4000-8000-000000000001"
    job = dg.Definitions(assets=[wheel]).resolve_implicit_global_asset_job_def()
    with open_instance(tmp_path) as instance:
        with run_kept_open(instance, run_id):
            assert job.execute_in_process(instance=instance, run_id=run_id).success
            made = len(instance.all_logs(run_id))
        log = tmp_path / "history" / "runs" / f"{run_id}.db"
        assert not log.with_name(f"{log.name}-wal").exists()  # written back once the run is over
    with open_instance(tmp_path) as again:
        assert len(again.all_logs(run_id)) == made
        assert again.get_latest_materialization_event(dg.AssetKey("wheel")) is not None


def test_an_instance_in_memory_has_no_file_to_keep_open() -> None:
    with dg.DagsterInstance.ephemeral() as instance, run_kept_open(instance, "no-such-run"):
        assert not list(Path(instance.root_directory).rglob("no-such-run*"))
