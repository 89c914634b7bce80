"""Bad input, from hostile manifests to a full disk: named with rule, value and remedy, and the rest goes on.

The hostile uploads themselves are in `bad_uploads.py`. Parsing of single documents and recordings is tested with its
module; here is what a person meets who drives `fleet`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import yaml

from tests.end_to_end.bad_uploads import (
    REFUSED,
    REJECTED,
    START,
    Zone,
    promise,
    put_unusable,
    put_without_partition,
    write_specs,
)
from tests.end_to_end.test_commands import answer, fleet_command
from tests.harness import COMMA_SPEC, CSS_SPEC, TestFleet, utc_ns
from tests.mdf4_factory import MDF4_SPEC, MDF4_VEHICLE, write_mdf4_drive, write_mdf4_vehicle
from tests.recordings_factory import write_comma2k19_drive

REPOSITORY: Final = Path(__file__).resolve().parents[2]
SECONDS: Final = 13.0
POLICIES: Final[Mapping[str, tuple[str, bytes, str]]] = {
    "a tag that would run code": ("vehicles/x", b"!!python/object/apply:os.system ['true']", "constructor for the tag"),
    "a bomb of aliases": ("vehicles/x", b"a: &a [x, x]\nb: [*a, *a]", "aliases are not allowed"),
    "a huge document": ("vehicles/x", b"a: " + b"x" * 1_000_001, "limit 1000000"),
    "deep nesting": ("vehicles/x", b"a: " + b"[" * 50_000, "nested deeper than"),
    "no document": ("vehicles/x", b"", "expected a mapping"),
    "no text": ("vehicles/x", b"a: \xff\xfe", "not valid YAML"),
    "no schema": ("vehicles/x", b"name: x", "Begin with"),
    "an unknown schema": ("x", b"schema: fleet.nothing/v1", "no schema 'nothing'"),
    "missing keys": ("vehicles/x", b"schema: fleet.vehicle/v1\nname: x", "vehicle.schema.json"),
    "another name than its file": ("vehicles/x", MDF4_SPEC.encode(), "Name file and spec alike"),
    "a number that is none": ("vehicles/x", b"schema: fleet.vehicle/v1\na: .nan", "nan"),
    "the wrong kind for its place": (
        "sync", (REPOSITORY / "policies" / "gates.yaml").read_bytes(), "allowed here: fleet.sync/v1",
    ),
}  # fmt: skip
HOMES: Final = {
    "no document": ("", "expected a mapping"),
    "no depots": ("schema: fleet.fleet_home/v1\nfirst_day: 2024-04-01\ndepots: []", "depots"),
    "a depot that leads out": ("schema: fleet.fleet_home/v1\nfirst_day: 2024-04-01\ndepots: [../x]", "../x"),
    "a month 13": ("schema: fleet.fleet_home/v1\nfirst_day: 2024-13-01\ndepots: [a]", "YYYY-MM-DD"),
    "broken YAML": ("depots: [", "not valid YAML"),
    "another policy": ((REPOSITORY / "policies" / "gates.yaml").read_text(), "allowed here: fleet.fleet_home/v1"),
}
LIMITED: Final = """
import errno, os, resource, sys
import resources.landing as landing

kind, arguments = sys.argv[1], sys.argv[2:]
if kind == "no file above 50 kB":
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
else:
    def full(source, target, digest, progress=None):
        target.write(source.read(1000))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target.name)
    landing.copy_and_hash = full

from fleet_assets.cli import main
if __name__ == "__main__":
    main(arguments)
"""


def without_clock(recording: Path, target: Path) -> Path:
    """A copy of a recording whose receiver never learned the time."""
    shutil.copytree(recording, target)
    path = target / "processed_log" / "GNSS" / "live_gnss_ublox" / "value"
    values = np.load(path)
    values[:, 3] = 0
    with path.open("wb") as stream:
        np.save(stream, values, allow_pickle=False)
    return target


@dataclass(frozen=True)
class Outcome:
    """What one turn made of a landing zone full of bad uploads and a few good ones."""

    fleet: TestFleet
    before: Mapping[str, str]
    after: Mapping[str, str]
    states: Mapping[str, Mapping[str, Any]]
    refused: Mapping[str, Mapping[str, Any]]
    in_silver: frozenset[str]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("bad_input")
    fleet = TestFleet(folder / "home", first_day="2024-04-25")
    policies = fleet.fleet.settings.policies
    gates = yaml.safe_load((REPOSITORY / "policies" / "gates.yaml").read_text())
    gates["quarantined_share"]["max_share"] = 1.0  # here the bad drives are many more than the good ones beside them
    (policies / "gates.yaml").write_text(yaml.safe_dump(gates))
    write_mdf4_vehicle(policies)
    write_specs(policies / "vehicles")
    write_mdf4_drive(folder / "mdf4", start_utc_ns=utc_ns(START), seconds=SECONDS)
    recording = next((folder / "mdf4").iterdir()).read_bytes()
    write_comma2k19_drive(folder / "arrays", start_utc_ns=utc_ns(START), seconds=SECONDS)
    fleet.upload(folder / "arrays", depot="south", drive_id="good-arrays")
    lost = without_clock(folder / "arrays", folder / "no_clock")
    fleet.upload(lost, depot="south", drive_id="given", given_start_ns=utc_ns("2024-05-01T10:00:00"))
    zone = Zone(fleet)
    zone.put("good-mdf4", {"1.MF4": recording})
    zone.put("good-mdf4", {"1.MF4": recording}, folder="once-more")
    put_without_partition(zone, recording)
    put_unusable(zone, recording, folder / "arrays" / "processed_log" / "IMU" / "gyro")
    before = zone.content()
    fleet.turn()
    states = {row["drive_id"]: row for row in answer(fleet.home, "drives")}
    refused = {row["upload"]: row for row in fleet.sql("select * from landing.quarantine")}
    silver = fleet.sql("select distinct drive_id from silver.signals")
    names = frozenset(row["drive_id"] for row in silver)
    return Outcome(fleet, before, zone.content(), states, refused, names)


def test_good_drives_reach_silver_beside_bad_ones_of_the_same_day_and_depot(outcome: Outcome) -> None:
    assert {"good-arrays", "good-mdf4"} <= outcome.in_silver
    assert {name for name, row in outcome.states.items() if row["status"] == "clean"} == outcome.in_silver
    assert [run.error for run in outcome.fleet.runs if run.error] == []


def test_nothing_in_the_landing_zone_is_changed_or_lost(outcome: Outcome) -> None:
    assert outcome.after == outcome.before


@pytest.mark.parametrize("upload", REFUSED)
def test_an_upload_without_a_partition_is_listed_with_rule_value_and_remedy(outcome: Outcome, upload: str) -> None:
    rule, value, remedy = REFUSED[upload]
    row = outcome.refused[upload]
    assert row["rule"] == rule
    assert value in row["value"]
    assert remedy in row["remedy"]
    assert row["limit"]


def test_no_upload_is_refused_that_should_not_be(outcome: Outcome) -> None:
    assert set(outcome.refused) == set(REFUSED)


@pytest.mark.parametrize("drive_id", REJECTED)
def test_a_drive_that_landing_cannot_take_is_rejected_with_a_remedy(outcome: Outcome, drive_id: str) -> None:
    rule, remedy = REJECTED[drive_id]
    row = outcome.states[drive_id]
    assert row["status"] == "rejected"
    assert rule in row["reason"]
    assert remedy in row["reason"]


def test_a_spec_whose_required_channels_are_absent_quarantines_the_drive(outcome: Outcome) -> None:
    row = outcome.states["spec-other_channel"]
    assert row["status"] == "quarantined"
    assert "sensor_missing" in row["reason"]


def test_a_given_start_stands_in_for_a_clock_that_the_recording_lacks(outcome: Outcome) -> None:
    row = outcome.states["given"]
    assert row["time_source"] == "given"
    assert row["start_ns"] == utc_ns("2024-05-01T10:00:00")
    assert row["status"] in {"clean", "quarantined"}


def test_an_upload_that_came_twice_is_one_drive_and_noted(outcome: Outcome) -> None:
    log = outcome.fleet.sql("select upload, event from bronze.ingestion_log where drive_id = 'good-mdf4'")
    assert sorted((row["upload"], row["event"]) for row in log) == [
        ("good-mdf4", "landed"),
        ("once-more", "duplicate"),
    ]


def test_an_upload_of_an_unknown_depot_is_taken_up_once_the_depot_is_added(outcome: Outcome) -> None:
    assert fleet_command(outcome.fleet.home, "depot", "add", "mars").exit_code == 0
    outcome.fleet.turn()
    states = {row["drive_id"]: row for row in answer(outcome.fleet.home, "drives")}
    assert states["new-depot"]["status"] == "clean"
    assert states["new-depot"]["partition"] == "2024-05-01|mars"


@pytest.mark.parametrize("case", POLICIES)
def test_a_hostile_policy_is_named_and_refused_and_its_removal_mends_it(tmp_path: Path, case: str) -> None:
    name, text, wanted = POLICIES[case]
    home = TestFleet(tmp_path / "home").home
    path = home / "policies" / f"{name}.yaml"
    path.write_bytes(text)
    for arguments in (("vehicle", "list"), ("drives",)):
        refused = fleet_command(home, *arguments)
        assert refused.exit_code == 2
        assert str(path) in refused.stderr
        assert wanted in refused.stderr
    path.unlink()
    assert fleet_command(home, "vehicle", "list").exit_code == 0


@pytest.mark.parametrize("case", HOMES)
def test_a_broken_fleet_yaml_is_named_and_left_as_it_is(tmp_path: Path, case: str) -> None:
    text, wanted = HOMES[case]
    home = TestFleet(tmp_path / "home").home
    (home / "fleet.yaml").write_text(text)
    for arguments in (("depot", "list"), ("depot", "add", "north")):
        refused = fleet_command(home, *arguments)
        assert refused.exit_code == 2
        assert "fleet.yaml" in refused.stderr
        assert wanted in refused.stderr
    assert (home / "fleet.yaml").read_text() == text


@pytest.mark.parametrize("place", ["file", "file/home", "/proc/home"])
def test_a_home_that_cannot_be_written_is_named_with_a_remedy(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    for arguments in (("drives",), ("depot", "add", "north")):
        refused = fleet_command(tmp_path / place, *arguments)
        assert refused.exit_code == 2
        assert str(tmp_path / place) in refused.stderr
        assert "Choose another FLEET_HOME" in refused.stderr


@dataclass(frozen=True)
class Bench:
    """A fleet and some recordings to give to `fleet ingest`."""

    fleet: TestFleet
    folder: Path

    def ingest(self, name: str, *arguments: str, spec: str = COMMA_SPEC) -> Any:
        """`fleet ingest` that only puts it into the landing zone."""
        own = ("ingest", str(self.folder / name), "--vehicle", spec, "--no-turn")
        depot = () if "--depot" in arguments else ("--depot", "north")
        return fleet_command(self.fleet.home, *own, *depot, *arguments)

    def landed(self) -> Sequence[str]:
        """Everything in the landing zone, half-made uploads too."""
        return sorted(entry.name for entry in self.fleet.fleet.settings.landing.iterdir())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("ingest")
    fleet = TestFleet(folder / "home")
    write_comma2k19_drive(folder / "arrays", start_utc_ns=utc_ns(START), seconds=SECONDS)
    without_clock(folder / "arrays", folder / "no_clock")
    write_mdf4_vehicle(fleet.fleet.settings.policies)
    write_specs(fleet.fleet.settings.policies / "vehicles")
    write_mdf4_drive(folder / "mdf4", start_utc_ns=utc_ns(START), seconds=SECONDS)
    recording = next((folder / "mdf4").iterdir()).read_bytes()
    (folder / "empty").mkdir()
    (folder / "empty.MF4").touch()
    (folder / "text.MF4").write_text("hello\n")
    (folder / "cut.MF4").write_bytes(recording[:30_000])
    return Bench(fleet, folder)


@pytest.mark.parametrize(
    ("name", "spec", "wanted"),
    [
        ("nowhere", MDF4_VEHICLE, "Check the path"),
        ("empty", MDF4_VEHICLE, "no recording of factory_mdf4"),
        ("empty.MF4", MDF4_VEHICLE, "no recording of factory_mdf4"),
        ("text.MF4", MDF4_VEHICLE, "no recording of factory_mdf4"),
        ("cut.MF4", MDF4_VEHICLE, "Upload the file again"),
        ("arrays", CSS_SPEC, "Name the vehicle spec of this recorder"),
        ("mdf4", COMMA_SPEC, "Name the vehicle spec of this recorder"),
        ("mdf4", "../../evil", "no policy"),
        ("mdf4", "no_message", "Correct the name"),
        ("mdf4", "no_unit", "Use one of"),
        ("mdf4", "no_dbc", "Put the file in one of these folders"),
        ("mdf4", "binary_dbc", "Correct the line"),
        ("mdf4", "outer_dbc", "Give a name relative"),
    ],
)
def test_a_recording_that_cannot_be_ingested_is_wrong_use(bench: Bench, name: str, spec: str, wanted: str) -> None:
    before = bench.landed()
    refused = bench.ingest(name, spec=spec)
    assert refused.exit_code == 2, refused.output
    assert wanted in refused.stderr
    assert bench.landed() == before


@pytest.mark.parametrize("option", ["--drive-id", "--vehicle-id", "--depot"])
@pytest.mark.parametrize("value", ["", "../../x", "a/b", "a b", "x\n", "a\x00b", "é", "a" * 65])
def test_a_hostile_id_is_wrong_use_and_leaves_nothing_behind(bench: Bench, option: str, value: str) -> None:
    before = bench.landed()
    refused = bench.ingest("arrays", option, value)
    assert refused.exit_code == 2
    assert option.removeprefix("--").replace("-", "_") in refused.stderr
    assert "does not match" in refused.stderr
    assert bench.landed() == before


def test_a_recording_without_a_clock_is_refused_until_its_start_is_given(bench: Bench) -> None:
    refused = bench.ingest("no_clock")
    assert refused.exit_code == 2
    assert "--start 2024-05-01T08:00:00Z" in refused.stderr
    before = bench.landed()
    given = bench.ingest("no_clock", "--start", "2024-05-03T08:00:00Z", "--drive-id", "clockless", "--json")
    assert given.exit_code == 0, given.output
    assert set(bench.landed()) - set(before) == {"clockless-r0"}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("digest", "silver.nothing"), "no table 'silver.nothing'"),
        (("digest", "--partition", "yesterday"), "DAY|DEPOT"),
        (("check", "--partition", "2024-05-01|nowhere"), "DAY|DEPOT"),
        (("drives", "--status", "lost"), "quarantined"),
        (("depot", "add", "west", "--first-day", "2024-13-01"), "YYYY-MM-DD"),
        (("depot", "add", "west", "--first-day", "20240101"), "Write 2024-01-01"),
        (("verify", "--against", __file__), "Sign something first"),
    ],
)
def test_a_misspelt_name_is_wrong_use_and_never_an_empty_answer(
    bench: Bench, arguments: tuple[str, ...], wanted: str
) -> None:
    refused = fleet_command(bench.fleet.home, *arguments)
    assert refused.exit_code == 2, refused.output
    assert wanted in refused.stderr


@pytest.mark.parametrize(
    ("kind", "turned", "wanted"),
    [
        ("no space while copying", False, "No space left on device"),
        ("no file above 50 kB", False, "File too large"),
        ("no file above 50 kB", True, "a database cannot be read or written"),
    ],
)
def test_a_full_disk_loses_nothing_and_ingest_works_once_there_is_space(
    tmp_path: Path, *, kind: str, turned: bool, wanted: str
) -> None:
    fleet = TestFleet(tmp_path / "home")
    seconds = 3.0 if turned else SECONDS  # short enough for its files to fit below the limit
    write_comma2k19_drive(tmp_path / "arrays", start_utc_ns=utc_ns(START), seconds=seconds)
    (tmp_path / "limited.py").write_text(LIMITED)
    ingest = ("ingest", str(tmp_path / "arrays"), "--vehicle", COMMA_SPEC, "--depot", "north", "--drive-id", "d")
    command = [sys.executable, str(tmp_path / "limited.py"), kind, *ingest, "--home", str(fleet.home)]
    command += [] if turned else ["--no-turn"]
    full = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    )
    assert full.returncode == 2, full.stderr
    assert wanted in full.stderr
    assert "Nothing is lost" in full.stderr
    assert "Traceback" not in full.stderr
    landing = fleet.fleet.settings.landing
    assert sorted(entry.name for entry in landing.iterdir()) == (["d-r0"] if turned else [])
    assert fleet_command(fleet.home, *ingest, "--no-turn").exit_code == 0
    for promised in json.loads((landing / "d-r0" / "manifest.json").read_text())["files"]:
        assert promised == promise(promised["path"], (landing / "d-r0" / promised["path"]).read_bytes())


@pytest.mark.slow
def test_a_store_that_takes_nothing_is_named_and_reconcile_finishes_once_it_is_mended(tmp_path: Path) -> None:
    fleet = TestFleet(tmp_path / "home")
    write_comma2k19_drive(tmp_path / "arrays", start_utc_ns=utc_ns(START), seconds=SECONDS)
    store = fleet.fleet.settings.objects / "raw"
    store.write_text("a file where the folder of raw recordings should be")
    ingest = ("ingest", str(tmp_path / "arrays"), "--vehicle", COMMA_SPEC, "--depot", "north", "--drive-id", "d")
    first, again = (fleet_command(fleet.home, *ingest, "--json") for _ in range(2))
    assert (first.exit_code, again.exit_code) == (1, 1)
    assert str(store) in json.loads(first.stdout)[0]["reason"]
    for refused in (first, again):
        row = json.loads(refused.stdout)[0]
        assert row["status"] == "in the landing zone"
        assert "fleet reconcile" in row["reason"]
    store.unlink()
    assert fleet_command(fleet.home, "reconcile").exit_code == 0
    assert [row["status"] for row in answer(fleet.home, "drives")] == ["clean"]
