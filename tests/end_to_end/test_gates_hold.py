"""A gate that has not passed holds its own partition back, and nothing else; it lets go as soon as it passes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import policies
from fleet_assets.provenance.requests import Request
from tests.end_to_end.fleets import SIX, Drive, assert_at_rest
from tests.harness import TestFleet, utc_ns
from tests.recordings_factory import write_comma2k19_drive

SHORT = Drive("short", "2024-05-03T08:00:00", "north", 9)
COVERAGE_HELD = {"silver/signals:coverage": "2024-05-03|north"}
BEHIND_IT = {
    ("telemetry_and_bulk_ingestion.summarise_day", ("2024-05-03",)),
    ("map_and_weather_enrichment.match", ("2024-05-03", "north")),
    ("scene_detection_and_event_triggers.cut_scenes", ("2024-05-03", "north")),
}
"""What waits for silver/signals itself; what waits for these is not yet known to be outstanding."""
DAYS = "select day from ops.daily_coverage where depot = '*' order by day"


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


def upload_short(fleet: TestFleet, folder: Path) -> None:
    """A drive of six seconds: sound, but less than the coverage gate needs to judge a partition."""
    write_comma2k19_drive(folder, start_utc_ns=utc_ns(SHORT.start), seconds=6.0, seed=SHORT.seed)
    fleet.upload(folder, depot=SHORT.depot, drive_id=SHORT.drive_id)


def overlay(fleet: TestFleet, name: str, changes: Mapping[str, str]) -> Path:
    """Lay the user's own policy over a shipped one, with some of its text changed."""
    text = (Path(policies.__file__).parent / f"{name}.yaml").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = fleet.home / "policies" / f"{name}.yaml"
    path.write_text(text)
    return path


def verdicts(fleet: TestFleet) -> dict[str, str]:
    """Outcome by partition of the coverage gate in the last turn."""
    return {partition: said for (asset, gate, partition), said in fleet.gates().items() if gate == "coverage"}


def days_rolled_up(fleet: TestFleet) -> list[str]:
    return [row["day"] for row in fleet.sql(DAYS)]


def test_an_inconclusive_day_says_what_is_missing_holds_only_itself_and_is_released_by_a_changed_policy(
    tmp_path: Path, recordings: Path
) -> None:
    fleet = TestFleet(tmp_path / "home")
    SIX[0].upload(fleet, recordings)
    upload_short(fleet, recordings / "short")
    fleet.turn()
    held = [gate for run in fleet.runs for gate in run.gates if gate.outcome != "pass"]
    assert [(gate.gate, gate.partition, gate.outcome) for gate in held] == [
        ("coverage", "2024-05-03|north", "inconclusive")
    ]
    assert "at least 10 s are needed" in held[0].metadata["missing"]
    assert [run.partition for run in fleet.runs if not run.success] == ["2024-05-03|north"]
    assert days_rolled_up(fleet) == ["2024-05-01"]
    assert fleet.turn() == []  # neither sweep nor condition asks again for what only a person can change
    assert_at_rest(fleet, COVERAGE_HELD, BEHIND_IT)

    overlay(fleet, "sync", {"min_evidence_s: 10 ": "min_evidence_s: 2 "})
    fleet.turn()
    assert verdicts(fleet) == {"2024-05-01|north": "pass", "2024-05-03|north": "pass"}
    assert days_rolled_up(fleet) == ["2024-05-01", "2024-05-03"]
    assert_at_rest(fleet)


@pytest.mark.slow
def test_a_stricter_policy_has_every_day_judged_again_and_putting_it_back_releases_them(
    tmp_path: Path, recordings: Path
) -> None:
    fleet = TestFleet(tmp_path / "home")
    for drive in (SIX[0], SIX[3]):
        drive.upload(fleet, recordings)
    fleet.turn()
    before = fleet.digests()
    stricter = overlay(fleet, "sync", {"min_evidence_s: 10 ": "min_evidence_s: 3600 "})
    fleet.turn()
    assert verdicts(fleet) == {"2024-05-01|north": "inconclusive", "2024-05-02|north": "inconclusive"}
    assert fleet.digests() == before  # judged again, not computed again
    SIX[4].upload(fleet, recordings)
    fleet.turn()
    assert days_rolled_up(fleet) == ["2024-05-01", "2024-05-02"]
    assert fleet.sql("select depots_reported from ops.daily_coverage where day = '2024-05-02' and depot = '*'") == [
        {"depots_reported": 1}  # the held depot stays out of the day
    ]
    stricter.unlink()
    fleet.turn()
    assert_at_rest(fleet)
    assert fleet.sql("select depots_reported from ops.daily_coverage where day = '2024-05-02' and depot = '*'") == [
        {"depots_reported": 2}
    ]


def without_wheel_speeds(folder: Path) -> None:
    """Take the messages of a required sensor out of a recording."""
    raw = folder / "processed_log" / "CAN" / "raw_can"
    wheel_speeds = np.load(raw / "address") == 170
    assert wheel_speeds.any()
    for name in ("t", "src", "address", "data"):
        column = np.load(raw / name)[~wheel_speeds]
        with (raw / name).open("wb") as stream:
            np.save(stream, column, allow_pickle=False)


@pytest.mark.slow
def test_a_drive_without_a_required_sensor_is_quarantined_and_a_day_of_only_such_drives_fails_until_released(
    tmp_path: Path, recordings: Path
) -> None:
    fleet = TestFleet(tmp_path / "home")
    SIX[0].upload(fleet, recordings)
    # One such drive could be chance: the gate asks for the lower bound of the share, so there have to be several.
    for number in range(6):
        drive = Drive(f"deaf{number}", f"2024-05-02T0{number}:00:00", "north", 40 + number)
        without_wheel_speeds(drive.record(recordings))
        drive.upload(fleet, recordings)
    fleet.turn()
    status = fleet.sql("select drive_id, status, reason from bronze.drive_status order by drive_id")
    assert [row["status"] for row in status] == ["clean"] + ["quarantined"] * 6
    assert "sensor_missing: wheel_speeds" in status[1]["reason"]
    assert "Check cabling" in status[1]["reason"]
    failed = {
        (gate.asset, gate.gate, gate.partition) for run in fleet.runs for gate in run.gates if gate.outcome == "fail"
    }
    assert failed == {("bronze/quarantine", "quarantined_share", "2024-05-02|north")}
    assert days_rolled_up(fleet) == ["2024-05-01"]
    tries = sum(run.partition == "2024-05-02|north" for run in fleet.runs)
    assert tries <= 5  # registration, the failing run, and what the policy allows as further attempts
    assert fleet.turn() == []

    rules = fleet.sql("select drive_id, scope, rule from bronze.quarantine where scope = 'drive'")
    for row in rules:
        body = {**row, "by": "tester", "reason": "the wheel sensor is known to be off"}
        fleet.fleet.requests.append(Request("release", body, "person:tester"))
    fleet.turn()
    released = {gate.outcome for run in fleet.runs for gate in run.gates if gate.gate == "quarantined_share"}
    assert released == {"pass"}
    assert fleet.sql("select count(distinct drive_id) as drives from silver.signals") == [{"drives": 7}]
