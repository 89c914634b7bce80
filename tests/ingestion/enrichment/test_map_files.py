"""Files in the landing zone's folder of maps: what makes a snapshot of one, and what becomes of the others."""

import pytest

from fleet_assets.ingestion.map_and_weather_enrichment.snapshots import landed_maps, landing_name, misnamed_maps
from fleet_assets.provenance.batches import BatchFile
from fleet_assets.tables.ops import LANDING_QUARANTINE

GOOD = landing_name("baltimore", "2024-05-01", "ab" * 32)


def landed(name: str) -> BatchFile:
    return BatchFile(name, 1, "stamp")


@pytest.mark.parametrize(
    "name",
    [
        "baltimore.osm.pbf",
        "baltimore/2024-05-01.osm.pbf",
        "Baltimore/2024-05-01T000000Z@abababababababab.osm",
        "baltimore/2024-05-01T000000Z@short.osm",
        "notes.txt",
    ],
)
def test_a_file_whose_name_tells_nothing_is_quarantined_and_holds_nothing_up(name: str) -> None:
    files = [landed(name), landed(GOOD)]
    assert [one.region for one in landed_maps(files)] == ["baltimore"]
    (refused,) = LANDING_QUARANTINE.from_rows([{**row, "scope": "upload"} for row in misnamed_maps(files)]).to_pylist()
    assert (refused["upload"], refused["rule"], refused["value"]) == (f"maps/{name}", "name", name)
    assert "fleet map add" in refused["remedy"]


def test_a_well_named_file_is_a_snapshot_and_in_no_quarantine() -> None:
    assert misnamed_maps([landed(GOOD)]) == []
    (one,) = landed_maps([landed(GOOD)])
    assert one.snapshot == "baltimore@2024-05-01T000000Z@abababababababab"
