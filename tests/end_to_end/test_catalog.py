"""The catalog and its search, from the landing zone to `fleet search`."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from fleet_assets.cli import main
from fleet_assets.ingestion.metadata_extraction_and_catalog.operators import CATALOGUE, DOCUMENT
from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.requests import Request
from fleet_assets.tables.catalog import SEARCH_DOCUMENTS
from resources.platform import Fleet
from tests.end_to_end.fleets import assert_at_rest
from tests.harness import TestFleet

NIGHT, DAY = "car1-night", "car1-day"
CATALOG_TABLES = {"silver.clip_catalog", "silver.clip_coverage", "silver.clip_positions", "silver.search_documents"}


def upload(fleet: TestFleet, folder: Path, drive_id: str, start: str, seed: int, *, seconds: float = 25) -> None:
    fleet.upload_synthetic(folder / drive_id, start, seed=seed, seconds=seconds, drive_id=drive_id)


@pytest.fixture(scope="module")
def catalogued(tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """A drive by day and one by night, two clips each; to be read only."""
    folder = tmp_path_factory.mktemp("catalogued")
    fleet = TestFleet(folder / "home")
    upload(fleet, folder, DAY, "2024-05-01T08:00:00", 1)  # in Central Europe
    upload(fleet, folder, NIGHT, "2024-05-01T22:00:00", 2)
    fleet.turn()
    return fleet


def search(fleet: TestFleet, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["search", "--home", str(fleet.home), *arguments])


def found(fleet: TestFleet, *arguments: str) -> Any:
    result = search(fleet, "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def clips(fleet: TestFleet, *arguments: str) -> list[str]:
    return [row["clip_id"] for row in found(fleet, *arguments)["results"]]


def test_every_clip_is_in_the_catalog_in_the_documents_and_in_the_index(catalogued: TestFleet) -> None:
    names = {row["clip_id"] for row in catalogued.sql("select clip_id from silver.clips")}
    assert len(names) == 4
    for table in ("clip_catalog", "search_documents", "clip_positions"):
        assert {row["clip_id"] for row in catalogued.sql(f"select clip_id from silver.{table}")} == names  # noqa: S608
    assert set(clips(catalogued, "signals")) == names
    assert {row["clip_id"] for row in catalogued.sql("select clip_id from silver.clip_coverage")} == names
    assert all(
        outcome == "pass"
        for (asset, _, _), outcome in catalogued.gates().items()
        if "clip" in asset or "search" in asset
    )
    assert_at_rest(catalogued)


def test_coverage_agrees_with_counting_in_sql(catalogued: TestFleet) -> None:
    """The clocks of these drives run true, but for the millisecond that corrects them."""
    counted = catalogued.sql("""
        select clip_id, sensor, signal as name, count(*) as samples from bronze.sensor_samples
        join silver.clips using (drive_id) where t_ns >= start_ns and t_ns < end_ns group by all
    """)
    rows = {
        (row["clip_id"], row["sensor"], row["name"]): row
        for row in catalogued.sql("select * from silver.clip_coverage where kind = 'signal'")
    }
    assert len(counted) > 50
    for row in counted:
        assert rows[row["clip_id"], row["sensor"], row["name"]]["samples"] == pytest.approx(row["samples"], abs=8)
    shares = catalogued.sql("select clip_id, count(speed_mps) / count(*) as share from silver.signals group by 1")
    for row in shares:
        assert rows[row["clip_id"], "wheel_speeds", "speed_mps"]["share"] == pytest.approx(row["share"])


def test_a_search_by_words_ranks_and_one_by_fields_narrows_down(catalogued: TestFleet) -> None:
    night = [f"{NIGHT}-0000", f"{NIGHT}-0001"]
    assert sorted(clips(catalogued, "night rain hard brake")) == night
    assert sorted(clips(catalogued, "tag:night")) == night
    assert clips(catalogued, "tag:night depot:south") == []
    by_day = clips(catalogued, "signals", "light:day", "day:2024-05-01", "-day<2024-05-01")
    assert sorted(by_day) == [f"{DAY}-0000", f"{DAY}-0001"]
    fast = catalogued.sql("select clip_id from silver.clip_catalog where speed_max_mps > 16 order by start_ns desc")
    assert clips(catalogued, "speed>16") == [row["clip_id"] for row in fast]


def test_every_result_leads_to_its_bytes_and_its_dataset_version(catalogued: TestFleet) -> None:
    fleet = catalogued.fleet
    signals = {(e.unit, e.partition): e for e in fleet.lake.entries(fleet.tables["silver.signals"])}
    for row in found(catalogued, "signals")["results"]:
        address, _, digest = row["signals_uri"].partition("?sha256=")
        day, depot, drive = address.removeprefix("lake://silver.signals/").split("/")
        assert signals[drive, (day, depot)].digest == digest
        inputs = {}
        for name, table in fleet.tables.items():
            for entry in fleet.lake.entries(table) if table.partition_by == ("day", "depot") else ():
                if entry.unit == drive:
                    inputs[name] = entry.digest
        catalog, words = (_of(inputs, operator) for operator in (CATALOGUE, DOCUMENT))
        told = {name for name in words if _rows(fleet, name, drive)}
        version = {**{name: words[name] for name in told}, "silver.clip_catalog": digest_of(catalog)}
        assert row["dataset_version"] == digest_of(version)


def _of(inputs: Mapping[str, str], operator: Operator) -> dict[str, str]:
    return {name: inputs[name] for name in sorted(operator.inputs) if name in inputs and name != "bronze.drives"}


def _rows(fleet: Fleet, name: str, drive: str) -> int:
    return sum(entry.rows for entry in fleet.lake.entries(fleet.tables[name]) if entry.unit == drive)


def test_results_come_in_pages_as_text_and_as_json(catalogued: TestFleet) -> None:
    first, second = (
        found(catalogued, "signals", "--limit", "3"),
        found(catalogued, "signals", "--limit", "3", "--page", "2"),
    )
    assert (first["matches"], len(first["results"]), len(second["results"])) == (4, 3, 1)
    assert len({row["clip_id"] for row in [*first["results"], *second["results"]]}) == 4
    text = search(catalogued, "signals", "--limit", "3", "--uris").output
    assert "clips 1 to 3 of 4; --page 2 shows more" in text
    assert "lake://silver.signals/" in text
    assert "beyond the last of 4 clips" in search(catalogued, "signals", "--page", "9").output
    nothing = search(catalogued, "snowman")
    assert nothing.exit_code == 0
    assert nothing.output.startswith("no clip matches. Tags: assisted, close_lead")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["depott:north"], "no field 'depott'. Did you mean depot?"),
        (['"night'], "a quote is open"),
        (["speed>fast"], "is no number"),
        (["night", "--limit", "100000"], "--limit 100000 is more than 1000"),
        (["night", "--limit", "1000", "--page", "3"], "beyond the 2000 best results"),
        (["-night"], "takes away from nothing"),
        (["night", "--limt", "5"], "no option --limt"),
    ],
)
def test_a_bad_query_ends_with_code_2_and_says_what_to_write(
    catalogued: TestFleet, arguments: Sequence[str], part: str
) -> None:
    result = search(catalogued, *arguments)
    assert result.exit_code == 2
    assert part in result.output


def test_a_search_in_a_home_without_index_says_what_to_do(tmp_path: Path) -> None:
    result = search(TestFleet(tmp_path / "home"), "night")
    assert result.exit_code == 2
    assert "there is no search index yet. Ingest drives, or run `fleet reconcile`" in result.output


def test_the_index_is_an_asset_with_the_data_version_of_its_documents(catalogued: TestFleet) -> None:
    versions = []
    with catalogued.instance() as instance:
        for name in ("search_documents", "search_index"):
            event = instance.get_latest_materialization_event(dg.AssetKey(["silver", name]))
            assert event is not None
            assert event.asset_materialization is not None
            versions.append((event.asset_materialization.tags or {})["dagster/data_version"])
    assert versions[0] == versions[1]


def test_the_map_of_the_partition_is_in_the_assets_metadata(catalogued: TestFleet) -> None:
    with catalogued.instance() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["silver", "clip_catalog"]))
    assert event is not None
    assert event.asset_materialization is not None
    assert "data:image/png;base64," in str(event.asset_materialization.metadata["preview"].value)


@pytest.mark.slow
def test_a_lost_index_is_made_again_by_the_next_sweep_and_changes_no_digest(
    tmp_path: Path, catalogued: TestFleet
) -> None:
    fleet = TestFleet(tmp_path / "home")
    shutil.rmtree(fleet.home)
    shutil.copytree(catalogued.home, fleet.home)
    before = fleet.digests()
    shutil.rmtree(fleet.home / "index")
    fleet.turn()
    assert fleet.digests() == before
    assert len(clips(fleet, "signals")) == 4


@pytest.mark.slow
def test_a_late_drive_is_found_a_withdrawn_one_is_not_and_the_rest_is_the_same_fleet(tmp_path: Path) -> None:
    fleet, alone = TestFleet(tmp_path / "home"), TestFleet(tmp_path / "alone")
    upload(fleet, tmp_path / "f", NIGHT, "2024-05-02T22:00:00", 2, seconds=13)
    fleet.turn()
    kept = {entry.unit: entry.digest for entry in fleet.fleet.lake.entries(SEARCH_DOCUMENTS)}
    upload(fleet, tmp_path / "f", DAY, "2024-05-02T08:00:00", 1, seconds=13)
    fleet.turn()
    assert {entry.unit: entry.digest for entry in fleet.fleet.lake.entries(SEARCH_DOCUMENTS)}[NIGHT] == kept[NIGHT]
    assert len(clips(fleet, "signals")) == 2
    body = {"drive_id": DAY, "revision": 0, "reason": "a test"}
    fleet.fleet.requests.append(Request("withdrawal", body, "person:tester"))
    fleet.turn()
    assert clips(fleet, "signals") == [f"{NIGHT}-0000"]
    assert fleet.sql(f"select * from silver.search_documents where drive_id = '{DAY}'") == []  # noqa: S608
    upload(alone, tmp_path / "a", NIGHT, "2024-05-02T22:00:00", 2, seconds=13)
    alone.turn()
    assert {n: d for n, d in fleet.digests().items() if n in CATALOG_TABLES} == {
        n: d for n, d in alone.digests().items() if n in CATALOG_TABLES
    }
    assert_at_rest(fleet)


@pytest.mark.slow
def test_a_new_tag_restates_the_catalog_and_nothing_before_it(tmp_path: Path) -> None:
    fleet = TestFleet(tmp_path / "home")
    upload(fleet, tmp_path, DAY, "2024-05-01T08:00:00", 1, seconds=13)
    fleet.turn()
    before = fleet.digests()
    policy = (Path(__file__).resolve().parents[2] / "policies" / "catalog.yaml").read_text()
    own = fleet.home / "policies" / "catalog.yaml"
    own.parent.mkdir(exist_ok=True)
    own.write_text(policy.replace("tags:   ", "tags:\n  rolling: [{column: speed_min_mps, at_least: 0.5}]\n#   "))
    fleet.turn()
    changed = {name for name, digest in fleet.digests().items() if digest != before[name]}
    assert changed == {"silver.clip_catalog", "silver.search_documents"}
    assert clips(fleet, "tag:rolling") == [f"{DAY}-0000"]
