"""What a person remembers of a drive finds it: light, weather and events, from the landing zone to `fleet search`."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fleet_assets.cli import main
from fleet_assets.ingestion.map_and_weather_enrichment.weather_join import WEATHER_FOLDER
from tests.harness import TestFleet

NIGHT, DAY = "sim-21-0001", "sim-21-0002"


def command(fleet: TestFleet, *arguments: str) -> Any:
    result = CliRunner().invoke(main, [*arguments, "--home", str(fleet.home), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def in_the_rain(home: Path) -> None:
    """Every weather station of the landing zone measured rain."""
    for path in sorted((home / "landing" / WEATHER_FOLDER).rglob("*.csv")):
        head, *rows = path.read_text().splitlines()
        place = head.split(",").index("precipitation_mm_h")
        parts = [row.split(",") for row in rows]
        path.write_text("\n".join([head, *(",".join([*p[:place], "5.0", *p[place + 1 :]]) for p in parts), ""]))


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> TestFleet:
    """Two drives with a hard brake in the rain, the first one at night; to be read only."""
    fleet = TestFleet(tmp_path_factory.mktemp("driven") / "home", first_day="2024-04-30")
    asked = [
        "--drives",
        "2",
        "--seconds",
        "40",
        "--seed",
        "21",
        "--event",
        "hard_brake@12",
        "--shift",
        "1/night_share=1",
    ]
    sensors = ["--sensors", "can,imu,gnss"]
    command(fleet, "simulate", *asked, *sensors, "--depot", "north", "--no-turn")
    in_the_rain(fleet.home)
    fleet.turn()
    return fleet


@pytest.mark.slow
def test_a_hard_brake_at_night_in_the_rain_is_found_by_these_words(driven: TestFleet) -> None:
    braked = driven.sql("select distinct clip_id, drive_id from gold.event_windows where trigger = 'hard_brake'")
    assert {row["drive_id"] for row in braked} == {NIGHT, DAY}
    at_night = {row["clip_id"] for row in braked if row["drive_id"] == NIGHT}
    first, *_ = command(driven, "search", "night rain hard brake")["results"]
    assert first["clip_id"] in at_night
    documents = {row["clip_id"]: row["text"] for row in driven.sql("select clip_id, text from silver.search_documents")}
    assert all("rain" in text for text in documents.values())
    events = driven.sql("select clip_id, trigger from gold.event_windows")
    assert all(row["trigger"].replace("_", " ") in documents[row["clip_id"]] for row in events)


@pytest.mark.slow
def test_documents_wait_for_events_but_not_for_their_rate(driven: TestFleet) -> None:
    gates = {(asset, gate): outcome for (asset, gate, _), outcome in driven.gates().items()}
    assert gates["gold/trigger_exposure", "rate"] in {"pass", "fail", "inconclusive"}
    assert ("gold/event_windows", "rate") not in gates
    assert gates["silver/search_documents", "conservation"] == "pass"
