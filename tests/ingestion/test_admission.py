"""Admission decides over all uploads at once: the order of arrival cannot matter, and nothing is dropped in silence."""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.admission import Admission, Bounds, Refusal, admit
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.log import departures, landing_events, unlogged
from fleet_assets.provenance.ledger import LOG_UNIT_LENGTH, Entry
from fleet_assets.provenance.manifest import Manifest, RefusedUploadError, Upload, make_manifest

BOUNDS = Bounds(("north", "south"), "2024-01-01", "2024-12-31", ("red", "blue"), {})
DAY_NS = 86_400_000_000_000
START_NS = 1_714_550_400_000_000_000


def manifest(
    drive_id: str = "d1",
    *,
    revision: int = 0,
    content: int = 1,
    depot: str = "north",
    start_ns: int = START_NS,
    spec: str = "red",
    vehicle_id: str = "car1",
) -> Manifest:
    return make_manifest(
        {
            "schema": "fleet.manifest/v1",
            "drive_id": drive_id,
            "revision": revision,
            "vehicle_id": vehicle_id,
            "vehicle_spec": spec,
            "depot": depot,
            "start_ns": start_ns,
            "time_source": "gnss",
            "files": [{"path": "a.bin", "bytes": 1, "sha256": f"{content:064x}"}],
        }
    )


def decided(*uploads: tuple[str, Manifest], bounds: Bounds = BOUNDS) -> Admission:
    return admit([Upload(name, made) for name, made in uploads], bounds)


def standing(admission: Admission) -> dict[str, str]:
    return {drive_id: upload.name for drive_id, upload in admission.accepted.items()}


def told(admission: Admission) -> dict[str, set[tuple[str, str]]]:
    return {drive_id: {(e.upload, e.event) for e in events} for drive_id, events in admission.events.items() if events}


def only(refused: Iterable[Refusal]) -> Refusal:
    (refusal,) = refused
    return refusal


def test_an_upload_within_bounds_stands_for_its_drive() -> None:
    admission = decided(("u1", manifest()))
    assert standing(admission) == {"d1": "u1"}
    assert admission.refused == ()
    assert told(admission) == {}


def test_nothing_uploaded_is_nothing_decided() -> None:
    assert admit([], BOUNDS) == Admission({}, (), {})


@pytest.mark.parametrize(
    ("made", "rule", "value", "remedy"),
    [
        (manifest(depot="west"), "unknown_depot", "west", "Run `fleet depot add west`"),
        (manifest(start_ns=START_NS - 200 * DAY_NS), "before_first_day", "2023-10-14", "Lower `first_day`"),
        (manifest(start_ns=START_NS + 300 * DAY_NS), "in_the_future", "2025-02-25", "recording's clock"),
        (manifest(spec="green"), "unknown_vehicle_spec", "green", "policies/vehicles/green.yaml"),
    ],
)
def test_an_upload_without_a_partition_is_refused_with_rule_value_limit_and_remedy(
    made: Manifest, rule: str, value: str, remedy: str
) -> None:
    admission = decided(("u1", made), ("u2", manifest("d2", content=2)))
    refusal = only(admission.refused)
    assert (refusal.upload, refusal.drive_id, refusal.rule, refusal.value) == ("u1", "d1", rule, value)
    assert refusal.limit
    assert remedy in refusal.remedy
    assert standing(admission) == {"d2": "u2"}


@pytest.mark.parametrize(("day", "taken"), [("2024-05-01", True), ("2024-05-02", False), ("2024-04-30", False)])
def test_the_first_and_the_last_day_are_taken(day: str, taken: bool) -> None:
    bounds = replace(BOUNDS, first_day=day, last_day=day)
    assert bool(decided(("u1", manifest()), bounds=bounds).accepted) is taken


def test_a_fleet_without_depots_says_so() -> None:
    assert only(decided(("u1", manifest()), bounds=replace(BOUNDS, depots=())).refused).limit == "one of: none yet"


def test_an_unreadable_manifest_is_listed_with_its_own_words() -> None:
    error = RefusedUploadError("manifest_json", "[]", "one JSON object", "Write it again.", "d9")
    admission = admit([Upload("u1", None, error)], BOUNDS)
    assert only(admission.refused) == Refusal("u1", "d9", "manifest_json", "[]", "one JSON object", "Write it again.")


def test_the_same_upload_twice_is_one_drive_and_one_duplicate() -> None:
    admission = decided(("u2", manifest()), ("u1", manifest()))
    assert standing(admission) == {"d1": "u1"}
    assert told(admission) == {"d1": {("u2", "duplicate")}}
    assert admission.refused == ()


def test_a_higher_revision_supersedes_the_lower_ones() -> None:
    uploads = [(f"u{revision}", manifest(revision=revision, content=revision)) for revision in (0, 2, 1)]
    admission = decided(*uploads)
    assert standing(admission) == {"d1": "u2"}
    assert told(admission) == {"d1": {("u0", "superseded"), ("u1", "superseded")}}


def test_a_correction_may_change_day_and_depot() -> None:
    corrected = manifest(revision=1, depot="south", start_ns=START_NS + DAY_NS)
    admission = decided(("u0", manifest()), ("u1", corrected))
    assert admission.accepted["d1"].manifest == corrected


def test_a_refused_correction_does_not_replace_what_stands() -> None:
    admission = decided(("u0", manifest()), ("u1", manifest(revision=1, depot="west")))
    assert standing(admission) == {"d1": "u0"}
    assert only(admission.refused).rule == "unknown_depot"


def test_two_contents_under_one_revision_conflict_and_the_loser_is_told_what_to_do() -> None:
    one, two = sorted([manifest(content=1), manifest(content=2)], key=lambda made: made.sha256)
    admission = decided(("right", two), ("left", one))
    assert standing(admission) == {"d1": "left"}
    refusal = only(admission.refused)
    assert (refusal.upload, refusal.rule) == ("right", "conflicting_upload")
    assert "revision 1" in refusal.remedy


def test_the_same_files_under_another_drive_id_are_a_duplicate_of_the_smaller_one() -> None:
    admission = decided(("u2", manifest("d2")), ("u1", manifest("d1")))
    assert standing(admission) == {"d1": "u1"}
    assert told(admission) == {"d1": {("u2", "duplicate")}}
    assert admission.duplicates == {"d2"}


def test_the_same_files_of_another_vehicle_are_another_drive() -> None:
    admission = decided(("u1", manifest("d1")), ("u2", manifest("d2", vehicle_id="car2")))
    assert standing(admission) == {"d1": "u1", "d2": "u2"}
    assert admission.duplicates == frozenset()


@pytest.mark.parametrize(("withdrawn", "standing_upload"), [(0, "u1"), (1, None), (7, None)])
def test_a_withdrawal_takes_out_its_revision_and_all_below(withdrawn: int, standing_upload: str | None) -> None:
    bounds = replace(BOUNDS, withdrawn={"d1": withdrawn})
    admission = decided(("u0", manifest()), ("u1", manifest(revision=1, content=2)), bounds=bounds)
    assert standing(admission).get("d1") == standing_upload
    assert admission.refused == ()


def test_when_the_standing_duplicate_is_withdrawn_the_other_one_comes_back() -> None:
    bounds = replace(BOUNDS, withdrawn={"d1": 0})
    admission = decided(("u1", manifest("d1")), ("u2", manifest("d2")), bounds=bounds)
    assert standing(admission) == {"d2": "u2"}
    assert admission.duplicates == frozenset()


MANIFESTS = st.builds(
    manifest,
    st.sampled_from(["d1", "d2", "d3"]),
    revision=st.integers(0, 2),
    content=st.integers(1, 3),
    depot=st.sampled_from(["north", "south", "west"]),
    start_ns=st.sampled_from([START_NS, START_NS + DAY_NS, START_NS - 500 * DAY_NS]),
    spec=st.sampled_from(["red", "green"]),
    vehicle_id=st.sampled_from(["car1", "car2"]),
)
UPLOADS = st.lists(MANIFESTS, max_size=8).map(lambda made: [Upload(f"u{number}", m) for number, m in enumerate(made)])
WITHDRAWN = st.dictionaries(st.sampled_from(["d1", "d2"]), st.integers(0, 2), max_size=2)


@given(UPLOADS, WITHDRAWN, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(
    uploads: list[Upload], withdrawn: dict[str, int], rng: random.Random
) -> None:
    bounds = replace(BOUNDS, withdrawn=withdrawn)
    shuffled = rng.sample(uploads, len(uploads))
    one, two = admit(uploads, bounds), admit(shuffled, bounds)
    assert one.accepted == two.accepted
    assert one.refused == two.refused
    assert one.duplicates == two.duplicates
    assert told(one) == told(two)


@given(UPLOADS, WITHDRAWN)
def test_every_upload_stands_is_refused_is_told_of_or_was_withdrawn(
    uploads: list[Upload], withdrawn: dict[str, int]
) -> None:
    admission = admit(uploads, replace(BOUNDS, withdrawn=withdrawn))
    accounted = [upload.name for upload in admission.accepted.values()]
    accounted += [refusal.upload for refusal in admission.refused]
    accounted += [event.upload for events in admission.events.values() for event in events]
    for upload in uploads:
        made = upload.manifest
        assert made is not None
        if upload.name not in accounted:
            assert made.revision <= withdrawn.get(made.drive_id, -1)
    assert len(set(accounted)) == len(accounted)


@given(UPLOADS)
def test_no_two_accepted_drives_of_a_vehicle_have_the_same_files(uploads: list[Upload]) -> None:
    accepted = [upload.manifest for upload in admit(uploads, BOUNDS).accepted.values()]
    contents = [(made.vehicle_id, made.content) for made in accepted if made is not None]
    assert len(set(contents)) == len(contents)


@given(UPLOADS)
def test_an_event_is_told_once_however_often_it_is_looked_at(uploads: list[Upload]) -> None:
    admission = admit(uploads, BOUNDS)
    rows = [
        {
            "drive_id": drive_id,
            "status": "landed",
            "reason": None,
            "bytes": 1,
            "manifest_sha256": upload.manifest.sha256,
        }
        for drive_id, upload in admission.accepted.items()
        if upload.manifest is not None
    ]
    partition, leaving = ("2024-05-01", "north"), {"gone": "its fingerprint"}
    reverse = admit(uploads[::-1], BOUNDS)
    first = [*landing_events(admission, partition, rows), *departures(admission, partition, leaving)]
    again = [*landing_events(reverse, partition, rows), *departures(reverse, partition, leaving)]
    ids = [event["event_id"] for event in first]
    assert sorted(ids) == sorted(event["event_id"] for event in again)
    assert len(set(ids)) == len(ids)
    assert {event["event"] for event in first} <= {"landed", "duplicate", "superseded", "withdrawn"}


@given(UPLOADS)
def test_the_log_lacks_what_landing_says_of_further_uploads_until_it_is_written(uploads: list[Upload]) -> None:
    admission, partition = admit(uploads, BOUNDS), ("2024-05-01", "north")
    manifests = {drive_id: upload.manifest for drive_id, upload in admission.accepted.items()}
    rows = [
        {"drive_id": drive_id, "status": "landed", "reason": None, "bytes": 1, "manifest_sha256": manifest.sha256}
        for drive_id, manifest in manifests.items()
        if manifest is not None
    ]
    held = [Entry(drive_id, partition, "made", "digest", 1, 1, drive_id) for drive_id in manifests]
    told = [event["event_id"] for event in landing_events(admission, partition, rows) if event["event"] != "landed"]
    assert sorted(unlogged(admission, held, frozenset()).get(partition, [])) == sorted(told)
    assert unlogged(admission, held, frozenset(event[:LOG_UNIT_LENGTH] for event in told)) == {}


def test_a_drive_that_leaves_twice_is_told_of_twice() -> None:
    nothing, partition = admit([], BOUNDS), ("2024-05-01", "north")
    first, second = (departures(nothing, partition, {"a": made})[0] for made in ("once", "again"))
    assert first["event_id"] != second["event_id"]
    assert first["detail"] == "by request"
