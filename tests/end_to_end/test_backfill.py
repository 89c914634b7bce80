"""A backfill that a person launches in the UI, cancels half-way and resumes leaves what an undisturbed fleet has."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from fleet_assets.ingestion.recordings.dbc import dbc_folders
from fleet_assets.tables import TableKind
from tests.end_to_end.dagster_services import BackfillRun, Services, dagster_services, until
from tests.end_to_end.fleets import Drive, assert_at_rest
from tests.harness import CSS_SPEC, TestFleet, utc_ns
from tests.recordings_factory import write_comma2k19_drive
from tests.shift_recordings import shift_canedge, shift_comma2k19

pytestmark = pytest.mark.slow

FIRST = date(2024, 5, 1)
DAYS = [str(FIRST + timedelta(days=number)) for number in range(10)]
DEPOTS = ("north", "south")
PARTITIONS = [f"{day}|{depot}" for day in DAYS for depot in DEPOTS]
SHORT_DAY = DAYS[1]
SHORT = f"{SHORT_DAY}|north"
COMMA_DAY, CSS_DAY = date(2018, 8, 2), date(2021, 7, 26)
ROLL_UP = ("ops/daily_coverage",)
SUMMARISE = "telemetry_and_bulk_ingestion.summarise_day"

Deliver = Callable[[TestFleet], None]


@dataclass(frozen=True)
class Story:
    """What came of a backfill that was cancelled half-way and resumed.

    Attributes:
        fleet: The fleet.
        undisturbed: Roots of a fleet with the same drives that was never disturbed.
        cancelled: Runs of the cancelled backfill.
        resumed: Runs of the resumed one.
        status: How the resumed one ended.
        commits: Commits of `bronze.drives` after the cancellation, and in the end.
    """

    fleet: TestFleet
    undisturbed: Mapping[str, str]
    cancelled: Sequence[BackfillRun]
    resumed: Sequence[BackfillRun]
    status: str
    commits: tuple[int, int]


def new_fleet(home: Path, deliver: Deliver, *, durable: bool = False) -> TestFleet:
    fleet = TestFleet(home, depots=DEPOTS, first_day=DAYS[0], durable=durable)
    deliver(fleet)
    return fleet


def commits_of_drives(fleet: TestFleet) -> int:
    return len(fleet.fleet.lake.costs(fleet.fleet.table("bronze.drives")))


def launch_all(services: Services) -> str:
    return services.launch(services.bulk_assets(), PARTITIONS)


def cancel_half_way(services: Services) -> str:
    backfill = launch_all(services)

    def ended() -> int:
        return sum(run.status in {"SUCCESS", "FAILURE"} for run in services.runs(backfill))

    until(lambda: ended() >= len(PARTITIONS) // 2, "half of the backfill")
    services.cancel(backfill)
    return backfill


def tell(folder: Path, deliver: Deliver) -> Story:
    undisturbed = new_fleet(folder / "undisturbed", deliver)
    undisturbed.turn()
    fleet = new_fleet(folder / "home", deliver, durable=True)
    with dagster_services(fleet.home) as services:
        first = cancel_half_way(services)
        before = commits_of_drives(fleet)
        second = launch_all(services)
        status = services.ended(second)
        cancelled, resumed = services.runs(first), services.runs(second)
    after = commits_of_drives(fleet)
    return Story(fleet, undisturbed.digests(), cancelled, resumed, status, (before, after))


def by_partition(runs: Sequence[BackfillRun]) -> dict[str, str]:
    """Status by partition; one run per partition is what all gates rely on."""
    assert [key for key, count in Counter(run.partition for run in runs).items() if count > 1] == []
    return {run.partition: run.status for run in runs}


def assert_cut_off(story: Story) -> None:
    """The first backfill did half of the work and nothing of the rest."""
    states = by_partition(story.cancelled)
    ended = {partition for partition, status in states.items() if status in {"SUCCESS", "FAILURE"}}
    assert len(PARTITIONS) // 2 <= len(ended) < len(PARTITIONS)
    assert {states[partition] for partition in states.keys() - ended} <= {"CANCELED"}
    assert story.commits[0] < len(PARTITIONS)


def assert_same_as_undisturbed(story: Story, held_days: Collection[str] = ()) -> None:
    """Bulk tables are the same at once; turning the crank adds the roll-ups and finds no bulk work left to do."""
    fleet = story.fleet
    bulk = [name for name, table in fleet.fleet.tables.items() if table.kind is TableKind.BULK]
    digests = fleet.digests()
    assert {name: digests[name] for name in bulk} == {name: story.undisturbed[name] for name in bulk}
    assert commits_of_drives(fleet) == len(PARTITIONS)  # no drive was registered a second time
    fleet.turn()
    assert {(run.assets, run.partition) for run in fleet.runs if run.partition} == {
        (ROLL_UP, day) for day in DAYS if day not in held_days
    }
    assert fleet.digests() == story.undisturbed


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Twenty short drives of which one is too short for a gate to judge; resumed by launching all of it again."""
    folder = tmp_path_factory.mktemp("synthetic")
    recordings = folder / "recordings"

    def deliver(fleet: TestFleet) -> None:
        for number, partition in enumerate(PARTITIONS):
            day, depot = partition.split("|")
            drive = Drive(f"drive{number:02}", f"{day}T08:00:00", depot, number + 1)
            if partition == SHORT:
                path = recordings / "short"
                write_comma2k19_drive(path, start_utc_ns=utc_ns(drive.start), seconds=6.0, seed=drive.seed)
                fleet.upload(path, depot=depot, drive_id=drive.drive_id)
            else:
                drive.upload(fleet, recordings)

    return tell(folder, deliver)


def test_a_backfill_cancelled_half_way_and_launched_again_leaves_the_tables_of_an_undisturbed_fleet(
    synthetic: Story,
) -> None:
    assert_cut_off(synthetic)
    assert_same_as_undisturbed(synthetic, [SHORT_DAY])
    assert_at_rest(synthetic.fleet, {"silver/signals:coverage": SHORT}, {(SUMMARISE, (SHORT_DAY,))})


def test_one_failed_day_leaves_the_other_nine_done(synthetic: Story) -> None:
    assert synthetic.status.startswith("COMPLETED")  # Dagster counts materialisations, not gates: its runs say more
    assert by_partition(synthetic.resumed) == {
        partition: "FAILURE" if partition == SHORT else "SUCCESS" for partition in PARTITIONS
    }
    days = synthetic.fleet.sql("select distinct day from silver.signals order by day")
    assert [row["day"] for row in days] == DAYS


@pytest.mark.real_data
def test_ten_days_of_two_real_cars_cancelled_half_way_and_resumed_are_those_of_an_undisturbed_fleet(
    tmp_path: Path, real_data: Path
) -> None:
    comma = real_data / "comma2k19_example" / "sample"
    css = real_data / "css_canedge_mf4" / "sample" / "3BA199E2_trip164_morning"
    dbcs = dbc_folders(css)

    def deliver(fleet: TestFleet) -> None:
        for day in DAYS:
            on = date.fromisoformat(day)
            shifted = shift_comma2k19(comma, tmp_path / "north" / day, (on - COMMA_DAY).days)
            fleet.upload(shifted, depot="north", vehicle_id="comma", drive_id=f"comma-{day}")
            shifted = shift_canedge(css, tmp_path / "south" / day, (on - CSS_DAY).days)
            fleet.upload(
                shifted, depot="south", vehicle_id="css", drive_id=f"css-{day}", spec=CSS_SPEC, dbc_folders=dbcs
            )

    story = tell(tmp_path, deliver)
    assert_cut_off(story)
    assert story.status == "COMPLETED_SUCCESS"
    assert set(by_partition(story.resumed).values()) == {"SUCCESS"}
    assert_same_as_undisturbed(story)
    assert_at_rest(story.fleet)
    drives = story.fleet.sql("select day, depot, status, time_source from bronze.drive_status order by day, depot")
    assert [f"{row['day']}|{row['depot']}" for row in drives] == PARTITIONS
    assert {(row["status"], row["time_source"]) for row in drives} == {("clean", "gnss")}
