"""Scenario mining by real ticks: a request becomes a list with gates, and an event a file that viewers open."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from fleet_assets.cli import main
from fleet_assets.mining.scenario_mining.export.mcap_cut import messages, write_mcap
from fleet_assets.mining.scenario_mining.export.rerun_recording import TIMELINE, write_rerun
from fleet_assets.mining.scenario_mining.export.window import UnknownEventError, Window, event_window
from tests.end_to_end.fleets import SIX, assert_at_rest
from tests.harness import TestFleet

REQUEST = """
schema: fleet.mining_request/v1
name: turns
where: ["duration_s > 1"]
text: {words: "turn brake day -unheardof"}
budget: {clips: 3, seconds: 60}
quotas: {north: {where: "depot = 'north'", max: 1}}
"""


def run(home: Path, *words: str, code: int = 0) -> Any:
    """What a command answers."""
    result = CliRunner().invoke(main, [*words, "--home", str(home), "--json"], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if result.stdout.strip() else result.stderr


@pytest.mark.slow
def test_a_request_becomes_a_list_and_the_same_request_the_same_list(tmp_path: Path) -> None:
    fleet = TestFleet(tmp_path / "home", first_day="2024-04-30", today="2024-05-02", durable=True)
    for drive in SIX[:3]:
        drive.upload(fleet, tmp_path)
    fleet.turn()
    file = tmp_path / "turns.yaml"
    file.write_text(REQUEST)

    dry = run(fleet.home, "mine", str(file), "--dry-run")
    assert (dry["drives"], dry["new"], dry["left_out"]) == (3, True, {})
    assert run(fleet.home, "requests") == []
    answer = run(fleet.home, "mine", str(file))
    assert answer["status"] == "answered"
    assert answer["request_id"] == dry["request_id"]
    clips = [row["clip_id"] for row in answer["clips_chosen"]]
    assert len(clips) == 2  # at most one of the north, and one in the south
    assert sorted(row["depot"] for row in answer["clips_chosen"]) == ["north", "south"]
    assert all(row["reasons"] for row in answer["clips_chosen"])
    assert_at_rest(fleet)
    before = fleet.digests()["gold.candidate_sets"]

    assert run(fleet.home, "mine", str(file), "--dry-run")["new"] is False
    assert [row["clip_id"] for row in run(fleet.home, "mine", str(file))["clips_chosen"]] == clips
    assert fleet.digests()["gold.candidate_sets"] == before
    (row,) = run(fleet.home, "requests", "--kind", "mining")
    assert row["outcome"] == "answered: 2"

    # What was chosen once is not chosen by the next request, and near-duplicates of it are not either.
    file.write_text(REQUEST.replace("name: turns", "name: more"))
    more = run(fleet.home, "mine", str(file))
    assert not {row["clip_id"] for row in more["clips_chosen"]} & set(clips)
    # A list that cannot be had is refused and holds nothing else.
    file.write_text(REQUEST.replace("max: 1", "min: 3"))
    refused = run(fleet.home, "mine", str(file), code=1)
    assert "quotas/north" in refused["message"]
    assert_at_rest(fleet)
    for text in (REQUEST.replace("duration_s > 1", "now() > 1"), "a: [", REQUEST + "\nmore: 1\n"):
        file.write_text(text)
        assert "turns.yaml" in run(fleet.home, "mine", str(file), code=2)
    assert "Ready-made: construction" in run(fleet.home, "mine", "nothing_like_it", code=2)


def test_a_request_is_told_before_it_is_placed_and_a_wrong_one_is_refused(
    shared_fleet: TestFleet, tmp_path: Path
) -> None:
    file = tmp_path / "turns.yaml"
    file.write_text(REQUEST)
    one, other = (run(shared_fleet.home, "mine", str(file), "--dry-run") for _ in range(2))
    assert one == other
    assert (one["name"], one["new"]) == ("turns", True)
    assert run(shared_fleet.home, "requests") == []
    file.write_text(REQUEST.replace("duration_s > 1", "now() > 1"))
    assert "turns.yaml" in run(shared_fleet.home, "mine", str(file), "--dry-run", code=2)


@pytest.fixture
def window(shared_fleet: TestFleet) -> Window:
    """The first event of the shared fleet."""
    return shared_window(shared_fleet)


def shared_window(fleet: TestFleet) -> Window:
    opened = fleet.fleet.model_copy(update={"granted": ["open"]})
    event = fleet.sql("select event_id from gold.event_windows order by event_id")[0]["event_id"]
    policy = opened.policies["mining"]["export"]
    return event_window(event, opened.lake, opened.tables, opened.objects, policy)


def test_an_exported_event_reads_back_as_what_the_tables_hold(
    window: Window, shared_fleet: TestFleet, tmp_path: Path
) -> None:
    import jsonschema
    from mcap.reader import make_reader

    for name in ("one.mcap", "two.mcap"):
        write_mcap(window, tmp_path / name)
    assert (tmp_path / "one.mcap").read_bytes() == (tmp_path / "two.mcap").read_bytes()
    with (tmp_path / "one.mcap").open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        schemas = {}
        for schema, channel, message in reader.iter_messages():
            assert schema is not None
            assert (schema.encoding, channel.message_encoding) == ("jsonschema", "json")
            schemas[channel.topic] = schema.name
            jsonschema.validate(json.loads(message.data), json.loads(schema.data))
            found.setdefault(channel.topic, []).append((message.log_time, json.loads(message.data)))
        about = {record.name: record.metadata for record in reader.iter_metadata()}
    assert schemas["/position"] == "foxglove.LocationFix"
    assert schemas["/log"] == "foxglove.Log"
    drive, start, end = window.event["drive_id"], window.start_ns, window.end_ns
    rows = shared_fleet.sql("select drive_id, t_ns, speed_mps, lat_deg, lon_deg from silver.signals order by t_ns")
    grid = [row for row in rows if row["drive_id"] == drive and start <= row["t_ns"] < end]
    assert [(t_ns, said.get("speed_mps")) for t_ns, said in found["/signals"]] == [
        (row["t_ns"], row["speed_mps"]) for row in grid
    ]
    known = [row for row in grid if row["lat_deg"] is not None]
    assert [(t_ns, said["latitude"], said["longitude"]) for t_ns, said in found["/position"]] == [
        (row["t_ns"], row["lat_deg"], row["lon_deg"]) for row in known
    ]
    events = {said["event_id"] for _, said in found["/events"]}
    assert window.event["event_id"] in events
    assert about["fleet.event"]["event_id"] == window.event["event_id"]
    assert set(about["fleet.inputs"]) >= {"silver.signals", "gold.event_windows"}


def test_where_the_table_withholds_positions_the_export_has_none(window: Window) -> None:
    half = window.signals.num_rows // 2
    names = window.policy["position"]
    signals = window.signals
    for name in (names["lat"], names["lon"]):
        values = [None] * half + signals[name].to_pylist()[half:]
        signals = signals.set_column(signals.column_names.index(name), name, pa.array(values, pa.float64()))
    begins = signals["t_ns"][half].as_py()
    items = messages(replace(window, signals=signals))
    fixes = [t_ns for t_ns, topic, _, _ in items if topic == "/position"]
    assert fixes
    assert min(fixes) >= begins
    shown = [said for t_ns, topic, _, said in items if topic == "/signals" and t_ns < begins]
    assert shown
    assert not [said for said in shown if {names["lat"], names["lon"]} & set(said)]


def test_a_rerun_recording_reads_back_with_every_signal(window: Window, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="the extra viz (rerun-sdk) is not installed")
    from rerun.chunk import RrdReader

    path = tmp_path / "event.rrd"
    assert write_rerun(window, path) > 0
    rows: dict[str, int] = {}
    times: list[int] = []
    for chunk in RrdReader(str(path)).stream():
        rows[chunk.entity_path] = rows.get(chunk.entity_path, 0) + chunk.num_rows
        if TIMELINE in chunk.timeline_names:
            times += chunk.to_record_batch()[TIMELINE].cast("int64").to_pylist()
    known = window.signals["speed_mps"]
    assert rows["/signals/speed_mps"] == len(known) - known.null_count
    assert rows["/events"] == len(window.events)
    assert window.start_ns <= min(times) <= max(times) < window.end_ns


def test_an_event_that_is_not_there_and_a_missing_library_are_said_plainly(
    window: Window, shared_fleet: TestFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = shared_fleet.fleet
    with pytest.raises(UnknownEventError, match="gold.event_windows"):
        event_window("nothing", fleet.lake, fleet.tables, fleet.objects, window.policy)
    monkeypatch.setitem(__import__("sys").modules, "rerun", None)
    with pytest.raises(RuntimeError, match=r"fleet-assets\[viz\]"):
        write_rerun(window, tmp_path / "event.rrd")
    told = run(shared_fleet.home, "export", "nothing", "--format", "mcap", "--out", str(tmp_path / "x"), code=2)
    assert "no event" in told
