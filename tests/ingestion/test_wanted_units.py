"""Which drives belong where, read from uploads, requests and the ledger alone. Nothing is computed here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fleet_assets.ingestion.steps import ALIGN_STEP, DECODE_STEP, KEYFRAMES_STEP, STEPS
from fleet_assets.ingestion.units import IngestionState, derived_units, registration_units
from fleet_assets.policy.documents import Policies, load_policies
from fleet_assets.provenance.ledger import Partition
from fleet_assets.provenance.manifest import Manifest, Upload, make_manifest
from fleet_assets.provenance.requests import Request
from fleet_assets.provenance.restate import Wanted
from fleet_assets.tables import all_tables
from resources.landing import LocalLanding
from resources.objects import LocalObjects
from resources.weights import WeightStore
from tests.memory_lake import MemoryLake

POLICIES = load_policies()
TABLES = all_tables(POLICIES["canonical_signals"])
START_NS = 1_714_550_400_000_000_000
DAY_NS = 86_400_000_000_000
FIRST: Partition = ("2024-05-01", "north")
SECOND: Partition = ("2024-05-02", "north")
SPEC = "comma2k19_rav4"
_ANYTHING: dict[str, Any] = {"string": "x", "int64": 0, "float64": 0.0, "bool": False}


def manifest(drive_id: str, *, revision: int = 0, content: int = 1, day: int = 0) -> Manifest:
    return make_manifest(
        {
            "schema": "fleet.manifest/v1",
            "drive_id": drive_id,
            "revision": revision,
            "vehicle_id": "car1",
            "vehicle_spec": SPEC,
            "depot": "north",
            "start_ns": START_NS + day * DAY_NS,
            "time_source": "gnss",
            "files": [{"path": "a.bin", "bytes": 1, "sha256": f"{content:064x}"}],
        }
    )


def state(
    lake: MemoryLake, manifests: Sequence[Manifest], requests: Sequence[Request] = (), policies: Policies = POLICIES
) -> IngestionState:
    uploads = [Upload(f"{made.drive_id}-r{made.revision}", made) for made in manifests]
    return IngestionState(
        lake=lake,
        tables=TABLES,
        policies=policies,
        dbc_folders=(),
        uploads=uploads,
        requests=requests,
        depots=("north", "south"),
        first_day="2024-01-01",
        last_day="2024-12-31",
        landing=LocalLanding(Path("landing")),
        objects=LocalObjects("objects"),
        weights=WeightStore(policies),
    )


def withdrawal(drive_id: str, revision: int) -> Request:
    return Request("withdrawal", {"drive_id": drive_id, "revision": revision}, "person:ann")


def register(lake: MemoryLake, made: Manifest, partition: Partition | None = None) -> None:
    """Put a drive into the lake as registration would, with the fingerprint that is wanted for it."""
    wanted = registration_units(state(lake, [made]))
    fingerprint = next(w.units[made.drive_id].fingerprint for w in wanted.values() if made.drive_id in w.units)
    where = partition or (made.day, made.depot)
    row: dict[str, Any] = {
        "drive_id": made.drive_id, "day": where[0], "depot": where[1], "vehicle_id": "car1", "vehicle_spec": SPEC,
        "format": "comma2k19", "start_ns": made.start_ns, "end_ns": made.start_ns + 1, "duration_s": 1.0,
        "time_source": "gnss", "clock_offset_ns": 0, "bytes": 1, "manifest_sha256": made.sha256,
        "revision": made.revision, "status": "landed", "reason": None,
    }  # fmt: skip
    table = TABLES["bronze.drives"]
    lake.commit(table, [lake.stage(table, where, made.drive_id, fingerprint, table.from_rows([row]))])


def fate(wanted: dict[Partition, Wanted], drive_id: str, partition: Partition = FIRST) -> str:
    """What happens to a drive of the lake in a partition."""
    here = wanted.get(partition, Wanted())
    if drive_id in here.units:
        return "wanted"
    return "kept" if drive_id in here.waiting else "dropped"


def test_an_admitted_upload_is_wanted_in_the_partition_that_it_announces() -> None:
    wanted = registration_units(state(MemoryLake(), [manifest("d1"), manifest("d2", content=2, day=1)]))
    assert set(wanted[FIRST].units) == {"d1"}
    assert set(wanted[SECOND].units) == {"d2"}
    assert wanted[FIRST].units["d1"].context["upload"] == "d1-r0"


def test_asking_for_one_partition_gives_that_one_only() -> None:
    here = state(MemoryLake(), [manifest("d1"), manifest("d2", content=2, day=1)])
    assert set(registration_units(here, SECOND)) == {SECOND}
    assert registration_units(here, ("2024-06-01", "south")) == {("2024-06-01", "south"): Wanted({}, ())}


def test_a_drive_whose_corrected_start_is_on_another_day_is_wanted_where_it_landed() -> None:
    """Otherwise the announced partition would take it back with every run, and the two would fight for ever."""
    lake, made = MemoryLake(), manifest("d1")
    register(lake, made, SECOND)
    wanted = registration_units(state(lake, [made]))
    assert fate(wanted, "d1", SECOND) == "wanted"
    assert "d1" not in wanted.get(FIRST, Wanted()).units


def test_a_correction_is_wanted_where_it_says_and_stays_listed_where_it_was_until_then() -> None:
    lake = MemoryLake()
    register(lake, manifest("d1"))
    wanted = registration_units(state(lake, [manifest("d1"), manifest("d1", revision=1, day=1, content=2)]))
    assert fate(wanted, "d1", SECOND) == "wanted"
    assert fate(wanted, "d1", FIRST) == "kept"


def test_clearing_the_landing_zone_takes_no_drive_out_of_the_lake() -> None:
    lake = MemoryLake()
    register(lake, manifest("d1"))
    assert fate(registration_units(state(lake, [])), "d1") == "kept"


def test_a_withdrawn_drive_is_dropped_whether_its_upload_is_still_there_or_not() -> None:
    lake = MemoryLake()
    register(lake, manifest("d1"))
    for uploads in ([], [manifest("d1")]):
        assert fate(registration_units(state(lake, uploads, [withdrawal("d1", 0)])), "d1") == "dropped"


def test_the_withdrawal_of_an_old_revision_leaves_the_corrected_drive_when_its_upload_is_cleared() -> None:
    lake = MemoryLake()
    register(lake, manifest("d1", revision=1))
    assert fate(registration_units(state(lake, [], [withdrawal("d1", 0)])), "d1") == "kept"
    assert fate(registration_units(state(lake, [], [withdrawal("d1", 1)])), "d1") == "dropped"


def test_of_several_withdrawals_the_highest_revision_counts_whatever_their_order() -> None:
    uploads = [manifest("d1"), manifest("d1", revision=1, content=2)]
    asked = [withdrawal("d1", 1), withdrawal("d1", 0)]
    for requests in (asked, asked[::-1]):
        assert state(MemoryLake(), uploads, requests).withdrawn == {"d1": 1}
        assert registration_units(state(MemoryLake(), uploads, requests)) == {}


def test_the_same_recording_that_arrives_later_under_a_smaller_id_takes_over() -> None:
    """The lake ends as if both had arrived together: one drive, not two."""
    lake = MemoryLake()
    register(lake, manifest("d2"))
    wanted = registration_units(state(lake, [manifest("d2"), manifest("d1")]))
    assert fate(wanted, "d1") == "wanted"
    assert fate(wanted, "d2") == "dropped"


def test_an_upload_that_is_refused_now_leaves_the_drive_that_was_registered_from_it() -> None:
    """A depot that was taken from the settings, say: only a request takes data out."""
    lake = MemoryLake()
    register(lake, manifest("d1"))
    here = replace(state(lake, [manifest("d1")]), depots=("south",), _vehicles={})
    assert fate(registration_units(here), "d1") == "kept"


def test_a_retry_request_makes_the_drive_stale() -> None:
    def fingerprint(*requests: Request) -> str:
        return registration_units(state(MemoryLake(), [manifest("d1")], requests))[FIRST].units["d1"].fingerprint

    retry = Request("retry", {"drive_id": "d1", "n": 1}, "person:ann")
    other = Request("retry", {"drive_id": "d2", "n": 1}, "person:ann")
    assert fingerprint() == fingerprint(other) != fingerprint(retry)


def test_a_drive_waits_downstream_until_every_input_table_has_it() -> None:
    lake = MemoryLake()
    register(lake, manifest("d1"))
    wanted = derived_units(state(lake, []), DECODE_STEP.operator)
    assert wanted[FIRST] == Wanted({}, ("d1",))
    lake.put(TABLES["bronze.drive_files"], FIRST, "d1", [])
    wanted = derived_units(state(lake, []), DECODE_STEP.operator)
    assert set(wanted[FIRST].units) == {"d1"}
    assert wanted[FIRST].waiting == ()


def test_a_drive_waits_while_its_inputs_lie_in_different_partitions() -> None:
    lake = MemoryLake()
    register(lake, manifest("d1", day=1))
    lake.put(TABLES["bronze.drive_files"], FIRST, "d1", [])
    assert derived_units(state(lake, []), DECODE_STEP.operator)[SECOND] == Wanted({}, ("d1",))


def test_a_partition_that_holds_outputs_but_no_drives_any_more_is_looked_at() -> None:
    lake = MemoryLake()
    lake.put(TABLES["silver.clips"], FIRST, "d1", [])
    assert derived_units(state(lake, []), ALIGN_STEP.operator) == {FIRST: Wanted({}, ())}


def test_keyframes_wait_for_their_drive_s_events_and_change_with_these_alone() -> None:
    lake = MemoryLake()
    for number, name in enumerate(("d1", "d2")):
        register(lake, manifest(name, content=number))
    *others, events = (TABLES[name] for name in KEYFRAMES_STEP.operator.inputs[1:])
    assert events.name == "gold.event_windows"
    for table in others:
        for name in ("d1", "d2"):
            lake.put(table, FIRST, name, [])

    def fingerprints() -> dict[str, str]:
        wanted = derived_units(state(lake, []), KEYFRAMES_STEP.operator, FIRST)[FIRST]
        assert set(wanted.waiting) == {"d1", "d2"} - set(wanted.units)
        return {name: unit.fingerprint for name, unit in wanted.units.items()}

    assert fingerprints() == {}
    lake.put(events, FIRST, "d1", [])
    assert set(fingerprints()) == {"d1"}
    lake.put(events, FIRST, "d2", [])
    before = fingerprints()
    row = {column.name: None if column.nullable else _ANYTHING[str(column.type)] for column in events.columns}
    lake.put(events, FIRST, "d2", [row], made="1")
    after = fingerprints()
    assert after["d1"] == before["d1"]
    assert after["d2"] != before["d2"]
    lake.put(events, FIRST, "d2", [], made="2")
    assert fingerprints() == before


def test_steps_of_the_area_share_one_reading_of_the_state() -> None:
    assert len({step.read_state for step in STEPS}) == 1
