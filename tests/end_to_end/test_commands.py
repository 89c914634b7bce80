"""The `fleet` command as its user meets it: answers, JSON, exit codes, errors that say what to do."""

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from click.testing import CliRunner, Result

from fleet_assets.cli import COMMANDS, main
from tests.harness import COMMA_SPEC, TestFleet, utc_ns
from tests.recordings_factory import write_comma2k19_drive


def fleet_command(home: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(main, [*arguments, "--home", str(home)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def answer(home: Path, *arguments: str) -> Any:
    result = fleet_command(home, *arguments, "--json")
    return json.loads(result.stdout)


@pytest.fixture
def copied(shared_fleet: TestFleet, tmp_path: Path) -> Path:
    """A home of the test's own with the shared drives. The lake's files keep their first place, so it is only read."""
    return Path(shutil.copytree(shared_fleet.home, tmp_path / "home"))


def test_every_command_explains_itself_with_an_example() -> None:
    runner = CliRunner()
    leaves = [
        [command.name, *([sub] if sub else [])]
        for command in COMMANDS
        for sub in (getattr(command, "commands", None) or {None: None})
    ]
    for leaf in leaves:
        text = runner.invoke(main, [*leaf, "--help"])
        assert text.exit_code == 0, leaf
        assert "Example:" in text.output, leaf
        assert "--json" in text.output, leaf


def test_drives_lists_clean_and_quarantined_ones_with_reason(shared_fleet: TestFleet) -> None:
    rows = {row["drive_id"]: row for row in answer(shared_fleet.home, "drives")}
    assert rows["clean-north"]["status"] == "clean"
    assert rows["clean-south"]["partition"] == "2024-05-01|south"
    assert rows["held-north"]["status"] == "quarantined"
    assert "imu_accelerometer" in rows["held-north"]["reason"]
    held = answer(shared_fleet.home, "drives", "--status", "quarantined")
    assert [row["drive_id"] for row in held] == ["held-north"]


def test_sql_answers_a_list_of_row_objects_and_explains_mistakes(shared_fleet: TestFleet) -> None:
    rows = answer(shared_fleet.home, "sql", "select count(distinct drive_id) as drives from silver.signals")
    assert rows == [{"drives": 2}]
    wrong = fleet_command(shared_fleet.home, "sql", "select * from silver.sygnals")
    assert wrong.exit_code == 2
    assert "silver.signals" in wrong.stderr


def test_sql_cannot_read_files_of_the_machine(shared_fleet: TestFleet) -> None:
    result = fleet_command(shared_fleet.home, "sql", "select * from read_csv('/etc/hostname')")
    assert result.exit_code == 2


def test_check_passes_on_good_data_and_writes_both_reports(shared_fleet: TestFleet, tmp_path: Path) -> None:
    result = fleet_command(
        shared_fleet.home, "check", "--partition", "2024-05-01|north", "--out", str(tmp_path), "--json"
    )
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert {row["outcome"] for row in rows} == {"pass"}
    assert {"silver/signals", "silver/clock_models", "bronze/drives"} <= {row["asset"] for row in rows}
    suite = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 - written by the command just now
    assert int(suite.attrib["tests"]) == len(rows)
    assert suite.attrib["failures"] == "0"
    assert json.loads((tmp_path / "gates.sarif").read_text())["version"] == "2.1.0"


def test_a_change_that_breaks_a_gate_turns_the_check_red(copied: Path, tmp_path: Path) -> None:
    shipped = Path(__file__).resolve().parents[2] / "policies" / "sync.yaml"
    policy = yaml.safe_load(shipped.read_text())
    asked_s = policy["coverage"]["min_evidence_s"]
    policy["coverage"]["min_evidence_s"] = 3600
    (copied / "policies").mkdir(exist_ok=True)
    (copied / "policies" / "sync.yaml").write_text(yaml.safe_dump(policy))
    arguments = ("check", "--select", "silver/signals", "--out", str(tmp_path))
    impossible = fleet_command(copied, *arguments)
    policy["coverage"]["min_evidence_s"] = asked_s
    (copied / "policies" / "sync.yaml").write_text(yaml.safe_dump(policy))
    possible = fleet_command(copied, *arguments)
    assert impossible.exit_code == 1
    assert "inconclusive" in impossible.output
    assert "coverage" in impossible.output
    assert possible.exit_code == 0, possible.output


def test_check_of_something_unknown_is_wrong_use(shared_fleet: TestFleet) -> None:
    assert fleet_command(shared_fleet.home, "check", "--select", "silver/nothing").exit_code == 2


def test_digest_names_every_table_and_verify_finds_each_byte_in_place(copied: Path, tmp_path: Path) -> None:
    roots = answer(copied, "digest", "--objects")
    assert {"silver.signals", "bronze.drives", "bronze.quarantine", "objects"} <= set(roots)
    assert "bronze.ingestion_log" not in roots
    partitions = answer(copied, "digest", "silver.signals")
    assert [row["partition"] for row in partitions] == ["2024-05-01|north", "2024-05-01|south", "2024-05-02|north"]
    signed = tmp_path / "roots.json"
    assert fleet_command(copied, "digest", "--sign", str(signed)).exit_code == 0
    assert fleet_command(copied, "verify", "--against", str(signed)).exit_code == 0
    forged = json.loads(signed.read_text())
    forged["payload"] = forged["payload"][:-8] + "AAAAAAAA"
    signed.write_text(json.dumps(forged))
    refused = fleet_command(copied, "verify", "--against", str(signed))
    assert refused.exit_code == 1


def test_verify_names_a_damaged_recording(copied: Path) -> None:
    damaged = next(path for path in (copied / "objects" / "raw").rglob("*") if path.is_file())
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x00\x01")
    result = fleet_command(copied, "verify")
    assert result.exit_code == 1
    assert "recording" in result.output


def test_plan_is_empty_when_all_is_done_and_names_what_a_policy_change_restates(copied: Path) -> None:
    assert answer(copied, "plan") == []
    shipped = Path(__file__).resolve().parents[2] / "policies" / "sync.yaml"
    policy = yaml.safe_load(shipped.read_text())
    policy["clip_s"] = 5
    (copied / "policies").mkdir(exist_ok=True)
    (copied / "policies" / "sync.yaml").write_text(yaml.safe_dump(policy))
    rows = answer(copied, "plan")
    certain = [row for row in rows if row["certainty"] == "certain"]
    assert [row["operator"] for row in certain] == ["sensor_sync_and_format_conversion.align"]
    assert certain[0]["drives"] == 3
    assert certain[0]["partitions"] == 3
    assert certain[0]["cpu_h"] > 0


def test_lineage_of_table_and_drive(shared_fleet: TestFleet) -> None:
    tables = {(row["table"], row["relation"]) for row in answer(shared_fleet.home, "lineage", "silver/signals")}
    assert ("bronze.sensor_samples", "upstream") in tables
    assert ("ops.daily_coverage", "downstream") in tables
    drive = answer(shared_fleet.home, "lineage", "clean-north")
    assert {"bronze.drives", "bronze.sensor_samples", "silver.signals"} <= {row["table"] for row in drive}
    assert fleet_command(shared_fleet.home, "lineage", "no-such-thing").exit_code == 2


def test_vehicle_check_says_what_maps_and_what_does_not(tmp_path: Path) -> None:
    write_comma2k19_drive(tmp_path / "drive", start_utc_ns=utc_ns("2024-05-01T08:00:00"), seconds=15)
    home = tmp_path / "home"
    fits = answer(home, "vehicle", "check", COMMA_SPEC, str(tmp_path / "drive"))
    assert fits["fits"]
    shutil.rmtree(tmp_path / "drive" / "processed_log" / "IMU" / "gyro")
    broken = fleet_command(home, "vehicle", "check", COMMA_SPEC, str(tmp_path / "drive"))
    assert broken.exit_code == 1
    assert "imu_gyroscope" in broken.output


def test_wrong_use_is_exit_code_two_with_a_remedy(tmp_path: Path) -> None:
    home = tmp_path / "home"
    empty = tmp_path / "empty"
    empty.mkdir()
    nothing = fleet_command(home, "ingest", str(empty), "--vehicle", COMMA_SPEC, "--depot", "main")
    unknown = fleet_command(home, "ingest", str(empty), "--vehicle", "no_such_spec", "--depot", "main")
    start = fleet_command(home, "ingest", str(empty), "--vehicle", COMMA_SPEC, "--depot", "main", "--start", "noon")
    depot = fleet_command(home, "depot", "add", "../evil")
    for result in (nothing, unknown, start, depot):
        assert result.exit_code == 2, result.output
    assert "no recording" in nothing.stderr
    assert "depots" in depot.stderr


def test_a_released_drive_reaches_silver_and_the_request_book_says_who_did_it(
    shared_fleet: TestFleet, tmp_path: Path
) -> None:
    fleet = TestFleet(tmp_path / "home")
    write_comma2k19_drive(tmp_path / "drive", start_utc_ns=utc_ns("2024-05-02T08:00:00"), seconds=15, seed=3)
    shutil.rmtree(tmp_path / "drive" / "processed_log" / "IMU" / "gyro")
    fleet.upload(tmp_path / "drive", drive_id="held")
    fleet.turn()
    unsigned = fleet_command(fleet.home, "replay", "held", "--release")
    assert unsigned.exit_code == 2
    released = fleet_command(fleet.home, "replay", "held", "--release", "--by", "ana", "--reason", "gyro not needed")
    book = answer(fleet.home, "requests")
    assert {row["kind"] for row in book} == {"release"}
    assert all(row["outcome"].startswith("released by ana") for row in book)
    states = {row["drive_id"]: row["status"] for row in answer(fleet.home, "drives")}
    assert states["held"] in {"clean", "landed"}, released.output
