"""`fleet ingest` and `fleet demo` of folders, as a person meets them: what is taken, what is left out, and why."""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fleet_assets.cli import main
from fleet_assets.policy.documents import load_policies
from tests.formats_factory import CAN_VEHICLE, write_can_drive, write_can_vehicle
from tests.harness import COMMA_SPEC, TestFleet, utc_ns
from tests.mdf4_factory import MDF4_VEHICLE, write_mdf4_drive, write_mdf4_vehicle
from tests.recordings_factory import write_comma2k19_drive

START_NS = utc_ns("2024-05-01T08:00:00")
HOUR_NS = 3600 * 10**9


def fleet_command(home: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(main, [*arguments, "--home", str(home)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def answer(result: Result) -> Any:
    return json.loads(result.stdout)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that knows the factory's vehicles and one depot."""
    fleet = TestFleet(tmp_path / "home", depots=("north",))
    for write in (write_can_vehicle, write_mdf4_vehicle):
        write(fleet.fleet.settings.policies)
    return fleet.home


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A memory card: a drive in two files, one in one file, a copy, pictures, and a drive of another recorder."""
    folder = tmp_path / "card"
    write_mdf4_drive(folder / "a", start_utc_ns=START_NS, seconds=15, files=2)
    write_mdf4_drive(folder / "b", start_utc_ns=START_NS + HOUR_NS, seconds=15, seed=2)
    shutil.copytree(folder / "b", folder / "backup")
    write_comma2k19_drive(folder / "phone", start_utc_ns=START_NS, seconds=5)
    for number in range(20):
        (folder / f"{number}.jpg").write_bytes(b"\xff\xd8\xff picture")
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- dry run -------------------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_happen_and_writes_nothing(card: Path, home: Path) -> None:
    before = snapshot(home)
    arguments = ("ingest", str(card), "--vehicle", MDF4_VEHICLE, "--depot", "north")
    dry = answer(fleet_command(home, *arguments, "--dry-run", "--json"))
    assert snapshot(home) == before
    rows = {Path(row["root"]).name: row for row in dry["recordings"]}
    assert set(rows) == {"a", "00000001.mf4"}
    assert rows["a"]["format"] == "mdf4"
    assert rows["a"]["files"] == 2
    assert rows["a"]["bytes"] == sum(path.stat().st_size for path in (card / "a").iterdir())
    assert rows["a"]["start"].startswith("2024-05-01T08:00:0")
    assert (rows["a"]["time_source"], rows["a"]["fits"], rows["a"]["problem"]) == ("gnss", True, "")
    assert {(item["files"], item["reason"].split(" (")[0]) for item in dry["ignored"]} >= {
        (20, "no recording of a known format"),
        (1, f"copy of {card / 'b' / '00000001.mf4'}"),
    }
    assert any("comma2k19" in item["reason"] and MDF4_VEHICLE in item["reason"] for item in dry["ignored"])
    wet = answer(fleet_command(home, *arguments, "--no-turn", "--json"))
    assert {row["drive_id"] for row in wet} == {row["drive_id"] for row in dry["recordings"]}


def test_a_dry_run_makes_no_home_and_adopts_no_database(card: Path, home: Path, tmp_path: Path) -> None:
    policies = tmp_path / "new" / "policies" / "vehicles"
    policies.mkdir(parents=True)
    shutil.copy(home / "policies" / "vehicles" / f"{MDF4_VEHICLE}.yaml", policies)
    shutil.copy(home / "policies" / "vehicles" / "factory.dbc", card / "a")
    before = snapshot(tmp_path / "new")
    done = fleet_command(
        tmp_path / "new", "ingest", str(card / "a"), "--vehicle", MDF4_VEHICLE, "--depot", "far", "--dry-run"
    )
    assert done.exit_code == 0, done.output
    assert snapshot(tmp_path / "new") == before
    assert "fleet depot add far" in done.output
    assert "Nothing was written" in done.output


def test_a_dry_run_names_what_does_not_fit_and_what_knows_no_time(home: Path, tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    write_comma2k19_drive(drive, start_utc_ns=START_NS, seconds=5)
    shutil.rmtree(drive / "processed_log" / "GNSS")
    arguments = ("ingest", str(drive), "--vehicle", COMMA_SPEC, "--depot", "north", "--dry-run", "--json")
    refused = fleet_command(home, *arguments)
    assert refused.exit_code == 2
    (row,) = answer(refused)["recordings"]
    assert "--start" in row["problem"]
    assert row["misfits"] == ["gnss: missing channel"]
    given = fleet_command(home, *arguments, "--start", "2024-05-01T08:00:00Z")
    (row,) = answer(given)["recordings"]
    assert given.exit_code == 0
    assert (row["start"], row["time_source"], row["fits"]) == ("2024-05-01T08:00:00Z", "given", False)


# -- the real thing ------------------------------------------------------------------------------------------------


def test_a_folder_of_many_drives_goes_to_silver_in_one_turn(card: Path, home: Path) -> None:
    done = fleet_command(home, "ingest", str(card), "--vehicle", MDF4_VEHICLE, "--depot", "north")
    assert done.exit_code == 0, done.output
    assert done.output.count("clean  2024-05-01|north") == 2
    assert f"ignored 20 files, e.g. {card / '0.jpg'}: no recording of a known format (JPEG image)" in done.output
    again = fleet_command(home, "ingest", str(card), "--vehicle", MDF4_VEHICLE, "--depot", "north", "--json")
    assert again.exit_code == 0
    assert {row["status"] for row in answer(again)} == {"clean"}


def test_a_recording_that_fails_is_named_with_the_remedy_and_the_others_go_on(card: Path, home: Path) -> None:
    broken = card / "c"
    broken.mkdir()
    whole = (card / "b" / "00000001.mf4").read_bytes()
    (broken / "broken.mf4").write_bytes(whole[:300])
    done = fleet_command(
        home, "ingest", str(card), "--vehicle", MDF4_VEHICLE, "--depot", "north", "--no-turn", "--json"
    )
    rows = answer(done)
    assert done.exit_code == 1
    assert sorted(row["status"] for row in rows) == ["in the landing zone", "in the landing zone", "not ingested"]
    assert f"fleet: {broken / 'broken.mf4'}: " in done.stderr
    alone = fleet_command(home, "ingest", str(broken), "--vehicle", MDF4_VEHICLE, "--depot", "north")
    assert alone.exit_code == 2
    assert str(broken / "broken.mf4") in alone.stderr
    assert "Upload" in alone.stderr


def test_a_drive_id_for_several_drives_is_wrong_use(card: Path, home: Path) -> None:
    arguments = ("--vehicle", MDF4_VEHICLE, "--depot", "north", "--drive-id", "one")
    assert fleet_command(home, "ingest", str(card), *arguments).exit_code == 2


def test_the_same_folder_named_twice_is_ingested_once(card: Path, home: Path) -> None:
    paths = (str(card), str(card / "b"), str(card))
    done = fleet_command(home, "ingest", *paths, "--vehicle", MDF4_VEHICLE, "--depot", "north", "--dry-run", "--json")
    assert len(answer(done)["recordings"]) == 2


def test_a_trip_list_is_a_drive_per_row_and_a_bad_row_holds_up_no_other(home: Path, tmp_path: Path) -> None:
    row = "med,hack,CMT,1,N,2024-05-0{day} 10:00:00,2024-05-0{day} 10:20:00,1,1200,3.5,-73.98,40.75,-73.95,40.78\n"
    table = tmp_path / "trips.csv"
    table.write_text(
        "".join(row.format(day=day) for day in (1, 2, 3)) + row.format(day=4).replace("2024-05-04", "noon")
    )
    arguments = ("ingest", str(table), "--vehicle", "taxi_trips", "--depot", "north", "--vehicle-id", "cab7")
    dry = fleet_command(home, *arguments, "--dry-run")
    assert dry.exit_code == 1
    assert "every row a drive of its own: 4 drives" in dry.output
    assert "3 of 4 would be ingested" in dry.output
    done = fleet_command(home, *arguments, "--no-turn", "--json")
    rows = answer(done)
    assert done.exit_code == 1
    assert [row["status"] for row in rows].count("in the landing zone") == 3
    assert {row["partition"] for row in rows if row["drive_id"]} == {f"2024-05-0{day}|north" for day in (1, 2, 3)}
    assert not list(Path(tempfile.gettempdir()).glob("fleet-rows-*/0/trips*"))


# -- the bar -------------------------------------------------------------------------------------------------------


def on_a_terminal(command: list[str], environment: dict[str, str]) -> str:
    """Run a command whose standard error is a terminal; returns what that terminal received."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave, env=environment)
    os.close(slave)
    received = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                received += os.read(master, 1 << 16)
            except OSError:
                break
        elif process.poll() is not None:
            break
    process.wait(timeout=60)
    os.close(master)
    assert process.returncode == 0, received
    return received.decode(errors="replace")


def test_a_terminal_shows_bytes_rate_and_which_drive_and_a_pipe_shows_nothing(card: Path, home: Path) -> None:
    fleet = [
        sys.executable,
        "-m",
        "fleet_assets.cli",
        "ingest",
        str(card),
        "--vehicle",
        MDF4_VEHICLE,
        "--depot",
        "north",
    ]
    command = [*fleet, "--no-turn", "--home", str(home)]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    shown = on_a_terminal(command, environment)
    assert "drive 2 of 2" in shown
    assert "B/s" in shown or "bytes/s" in shown
    assert "/" in shown.split("drive 2 of 2")[-1]
    piped = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "drive 2 of 2" not in piped.stderr + piped.stdout


# -- the demo ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_demo_takes_each_recording_for_the_vehicle_that_it_is_of(tmp_path: Path, home: Path) -> None:
    folder = tmp_path / "all"
    write_comma2k19_drive(folder / "phone", start_utc_ns=START_NS, seconds=15)
    write_can_drive(folder / "can", "candump", start_utc_ns=START_NS)
    (folder / "prices.csv").write_text("item,price\n" + "bread,2\n" * 50)
    (home / "policies" / "vehicles" / f"{MDF4_VEHICLE}.yaml").unlink()
    done = fleet_command(home, "demo", "--recordings", str(folder))
    assert done.exit_code == 0, done.output
    assert f"landing  phone as {COMMA_SPEC}" in done.output
    assert f"landing  can/drive.log as {CAN_VEHICLE}" in done.output
    assert "csv table that no vehicle spec describes" in done.output


def test_vehicles_that_fit_equally_well_are_named(tmp_path: Path, home: Path) -> None:
    from fleet_assets.ingestion.recordings.discovery.discover import discover
    from fleet_assets.ingestion.vehicle import vehicle_of
    from fleet_assets.ingestion.vehicle_choice import choose_vehicle, specs_for

    vehicles = home / "policies" / "vehicles"
    text = (vehicles / f"{MDF4_VEHICLE}.yaml").read_text()
    for twin in ("twin_left", "twin_right"):
        (vehicles / f"{twin}.yaml").write_text(text.replace(f"name: {MDF4_VEHICLE}", f"name: {twin}"))
    (vehicles / f"{MDF4_VEHICLE}.yaml").unlink()
    (vehicles / f"{CAN_VEHICLE}.yaml").unlink()
    policies = load_policies(home / "policies")
    specs = specs_for("mdf4", policies.documents)
    assert {"twin_left", "twin_right", "css_canedge"} <= set(specs)
    assert COMMA_SPEC not in specs
    twins = [vehicle_of(policies, name, [vehicles]) for name in specs if name.startswith("twin")]
    write_mdf4_drive(tmp_path / "card", start_utc_ns=START_NS, seconds=5)
    (found,), _ = discover(tmp_path / "card")
    choice = choose_vehicle(found, twins)
    assert (choice.equals, choice.by_name) == (("twin_left", "twin_right"), False)
    shutil.copytree(tmp_path / "card", tmp_path / "twin right")
    (found,), _ = discover(tmp_path / "twin right")
    assert choose_vehicle(found, twins).equals[0] == "twin_right"
    assert choose_vehicle(found, twins).by_name


@pytest.mark.real_data
def test_every_real_recording_finds_its_vehicle(real_data: Path) -> None:
    from fleet_assets.ingestion.recordings.dbc import dbc_folders
    from fleet_assets.ingestion.recordings.discovery.discover import TEXT_TABLES, discover
    from fleet_assets.ingestion.vehicle import vehicle_of
    from fleet_assets.ingestion.vehicle_choice import choose_vehicle, specs_for

    policies = load_policies()
    founds, _ = discover(real_data)
    chosen = {}
    for found in founds:
        names = specs_for(found.format, policies.documents)
        vehicles = []
        for name in names:
            try:
                vehicles.append(vehicle_of(policies, name, dbc_folders(found.root)))
            except Exception as error:  # noqa: BLE001, PERF203 - the databases of other vehicles are not here
                assert type(error).__name__ == "DbcNotFoundError"  # noqa: PT017
        choice = choose_vehicle(found, vehicles)
        if choice.vehicle is not None or found.format not in TEXT_TABLES:
            chosen[str(found.place.relative_to(real_data)).split("/")[-1].split(".")[0]] = choice.equals[:1]
    assert {name: equals[0] if equals else None for name, equals in chosen.items()} == {
        "nyc_taxi_trips_2013-01_one_medallion": "taxi_trips",
        "x0001-001": "gps_track",
        "x0001-015": "gps_track",
        "issue-13": "gps_track",
        "lidar_poses": "boreas",
        "40": "comma2k19_rav4",
        "j1939_truck_00000001": "j1939_truck",
        "nissan_leaf_uds_00000170": "nissan_leaf",
        "3BA199E2_trip164_morning": "css_canedge",
        "gopro_max_heromode_gpmf": "gopro",
        "solidWhiteRight": "dashcam",
        "husky_imu_gps_odom_test1": "husky",
        "1673400149412331409": "nebula_pandar40p",
        "1673400677802009732": "nebula_xt32",
        "1673400471837873222": "nebula_vlp16",
        "1713492677464078412": "nebula_vlp32",
    }
