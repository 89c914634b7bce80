"""What a home can lose without losing its drives: Dagster's instance, data files, recordings, the landing zone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import policies
from fleet_assets.cli import main
from fleet_assets.provenance.ledger import Entry
from resources.data_files import local_path
from resources.iceberg import IcebergLake
from tests.end_to_end.fleets import SIX, assert_at_rest, identity_tables, reachable_objects
from tests.harness import TestFleet

NO_SPACE = 28


def built(home: Path, recordings: Path) -> TestFleet:
    fleet = TestFleet(home, durable=True)
    SIX[0].upload(fleet, recordings)
    fleet.turn()
    return fleet


def entry_of(fleet: TestFleet, table: str) -> Entry:
    return fleet.fleet.lake.entries(fleet.fleet.table(table))[0]


def file_of(fleet: TestFleet, table: str) -> Path:
    path = local_path(entry_of(fleet, table).path)
    assert path is not None
    return path


def snapshots(fleet: TestFleet) -> dict[str, int]:
    """Commits by table."""
    return {name: len(fleet.fleet.lake.costs(fleet.fleet.table(name))) for name in identity_tables(fleet)}


def test_a_lost_instance_is_told_everything_again_and_nothing_is_computed_again(tmp_path: Path) -> None:
    fleet = built(tmp_path / "home", tmp_path / "recordings")
    roots, commits = fleet.digests(), snapshots(fleet)
    for folder in ("history", "schedules", "storage"):
        shutil.rmtree(fleet.home / folder)
    again = TestFleet(fleet.home, durable=True)
    again.turn()
    assert_at_rest(again)
    assert again.digests() == roots
    assert snapshots(again) == commits
    assert again.turn() == []


@pytest.mark.slow
def test_uploads_may_leave_the_landing_zone_and_their_drives_still_follow_a_new_policy(tmp_path: Path) -> None:
    fleet = built(tmp_path / "home", tmp_path / "recordings")
    shutil.rmtree(fleet.home / "landing" / "a1-r0")
    assert fleet.turn() == []
    text = (Path(policies.__file__).parent / "sync.yaml").read_text()
    fresh = TestFleet(tmp_path / "fresh")
    for home in (fleet.home, fresh.home):
        (home / "policies" / "sync.yaml").write_text(text.replace("clip_s: 20", "clip_s: 5"))
    fleet.turn()
    SIX[0].upload(fresh, tmp_path / "recordings")
    fresh.turn()
    assert_at_rest(fleet)
    assert fleet.digests() == fresh.digests()
    assert fleet.sql("select count(*) as clips from silver.clips") == [{"clips": 3}]


def remove(path: Path) -> None:
    path.unlink()


def flip_a_bit(path: Path) -> None:
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    path.write_bytes(payload)


@pytest.mark.parametrize(
    ("table", "harm"),
    [
        ("silver.signals", remove),
        pytest.param("bronze.drives", flip_a_bit, marks=pytest.mark.slow),
        pytest.param("bronze.sensor_samples", flip_a_bit, marks=pytest.mark.slow),
        pytest.param("ops.daily_coverage", remove, marks=pytest.mark.slow),
        pytest.param("a recording", flip_a_bit, marks=pytest.mark.slow),
        pytest.param("a recording", remove, marks=pytest.mark.slow),
    ],
)
def test_a_damaged_file_is_named_and_made_again_bit_by_bit(
    tmp_path: Path, table: str, harm: Callable[[Path], None]
) -> None:
    fleet = built(tmp_path / "home", tmp_path / "recordings")
    roots, objects = fleet.digests(), reachable_objects(fleet)
    digest = max(objects.values())
    damaged = fleet.fleet.objects.local(digest, "raw") if table == "a recording" else file_of(fleet, table)
    harm(damaged)
    verify = ["verify", "--home", str(fleet.home)]
    found = CliRunner().invoke(main, verify)
    assert found.exit_code == 1
    assert table.removeprefix("a ") in found.output
    assert "fleet verify --mend" in found.output
    mended = CliRunner().invoke(main, [*verify, "--mend"])
    assert mended.exit_code == 0, mended.output
    assert fleet.digests() == roots
    assert reachable_objects(fleet) == objects
    assert_at_rest(fleet)


@pytest.mark.slow
def test_mending_never_drops_a_recording_that_no_upload_could_give_back(tmp_path: Path) -> None:
    fleet = built(tmp_path / "home", tmp_path / "recordings")
    shutil.rmtree(fleet.home / "landing" / "a1-r0")
    fleet.fleet.objects.local(max(reachable_objects(fleet).values()), "raw").unlink()
    refused = CliRunner().invoke(main, ["verify", "--mend", "--home", str(fleet.home)])
    assert refused.exit_code == 1
    assert "not in the store" in refused.output
    assert fleet.sql("select status from bronze.drive_status") == [{"status": "clean"}]


def test_a_full_disk_fails_the_run_and_the_next_turn_finishes_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = TestFleet(tmp_path / "home")
    commit = IcebergLake.commit

    def full(*arguments: object, **named: object) -> None:
        if getattr(arguments[1], "name", "") == "silver.clips":
            raise OSError(NO_SPACE, "No space left on device")
        commit(*arguments, **named)  # type: ignore[arg-type]

    SIX[0].upload(fleet, tmp_path / "recordings")
    with monkeypatch.context() as patch:
        patch.setattr(IcebergLake, "commit", full)
        fleet.turn()
        errors = {run.error for run in fleet.runs if not run.success}
        assert errors == {"OSError: [Errno 28] No space left on device"}
        failed = [run for run in fleet.turn() if not run.success]
        assert len(failed) == 1  # one more try per turn, not one per tick
    fleet.turn()
    assert_at_rest(fleet)
    assert fleet.sql("select status from bronze.drive_status") == [{"status": "clean"}]
