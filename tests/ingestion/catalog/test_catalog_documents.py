"""What a clip is found by: words from the sources that the policy names, and from no others."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from fleet_assets.ingestion.metadata_extraction_and_catalog.documents import search_documents, source_versions
from fleet_assets.ingestion.metadata_extraction_and_catalog.operators import CATALOGUE, DOCUMENT, version_of
from fleet_assets.ingestion.metadata_extraction_and_catalog.rules import TextSource, query_fields, text_sources
from fleet_assets.policy.documents import InvalidPolicyError, digest_of
from fleet_assets.provenance.ledger import Entry
from fleet_assets.tables.catalog import CLIP_CATALOG, SEARCH_DOCUMENTS
from tests.ingestion.catalog.catalog_drive import KEYS, POLICIES, START_NS, TABLES, catalogued

POLICY = POLICIES["catalog"]
WORDS = POLICY["documents"]["words"]
SOURCES = text_sources(POLICY, TABLES, DOCUMENT.inputs)
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def catalog() -> pa.Table:
    return CLIP_CATALOG.from_rows(catalogued()["silver.clip_catalog"])


def finding(rule: str, first_s: float, last_s: float) -> dict[str, Any]:
    return {
        **KEYS, "sensor": "gnss", "rule": rule, "severity": "note", "message": "m",
        "t_ns": START_NS + int(first_s * SECOND), "end_ns": START_NS + int(last_s * SECOND),
    }  # fmt: skip


def documents(catalog: pa.Table, *findings: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    rows = {"silver.clip_catalog": catalog, **more.get("rows", {})}
    rows["bronze.integrity_findings"] = TABLES["bronze.integrity_findings"].from_rows(list(findings))
    sources = [(source, rows.get(source.table, TABLES[source.table].empty())) for source in SOURCES]
    made = search_documents(catalog, [*sources, *more.get("sources", ())], WORDS, versions=more.get("versions", {}))
    found: list[dict[str, Any]] = made.to_pylist()
    return found


def test_a_document_carries_the_clips_row_and_its_words_each_once(catalog: pa.Table) -> None:
    found = documents(catalog)
    assert [row["clip_id"] for row in found] == ["d-0000", "d-0001", "d-0002"]
    own = {
        name: catalog[name].to_pylist() for name in SEARCH_DOCUMENTS.arrow_schema.names if name in catalog.column_names
    }
    assert {name: [row[name] for row in found] for name in own} == own
    words = found[0]["text"].split()
    assert {"hard", "brake", "emergency", "daylight", "sun", "sim", "car", "car1", "north", "mcap"} <= set(words)
    assert words.count("emergency") == 1
    assert "lidar" not in words


def test_rows_with_a_time_give_words_to_the_clips_that_they_overlap(catalog: pa.Table) -> None:
    found = documents(catalog, finding("gap", 19.0, 19.9), finding("clock_jump", 20.0, 41.0))
    assert [("gap" in row["text"].split()) for row in found] == [True, False, False]
    assert [("clock jump" in row["text"]) for row in found] == [False, True, True]


def weather(clip: int, **observed: float) -> dict[str, Any]:
    """What the source of the shipped policy reads of a row of `silver.weather`."""
    nothing = dict.fromkeys(("precipitation_mm_h", "temperature_degc", "visibility_m", "wind_mps"))
    return {**nothing, "clip_id": f"d-{clip:04d}", **observed}


def test_weather_gives_the_words_that_a_person_would_use(catalog: pa.Table) -> None:
    rows = [
        weather(0, precipitation_mm_h=5.0, temperature_degc=8.0, visibility_m=4000.0, wind_mps=12.0),
        weather(1, precipitation_mm_h=0.5, temperature_degc=-3.0, visibility_m=800.0, wind_mps=2.0),
        weather(2, precipitation_mm_h=0.0, temperature_degc=15.0),
    ]
    found = documents(catalog, rows={"silver.weather": pa.Table.from_pylist(rows)})
    words = [set(row["text"].split()) for row in found]
    assert {"rain", "heavy", "wet", "strong", "wind"} <= words[0]
    assert not {"snow", "fog", "frost", "ice"} & words[0]
    assert {"snow", "fog", "mist", "frost", "ice"} <= words[1]
    assert not {"rain", "heavy", "strong"} & words[1]
    assert not {"rain", "snow", "fog", "frost", "wet", "heat"} & words[2]


def test_events_give_their_triggers_to_the_clip_that_holds_their_peak(catalog: pa.Table) -> None:
    events = [{"clip_id": "d-0001", "trigger": "cut_in"}, {"clip_id": "d-0001", "trigger": "near_miss"}]
    found = documents(catalog, rows={"gold.event_windows": pa.Table.from_pylist(events)})
    assert ["cut in" in row["text"] and "collision" in row["text"] for row in found] == [False, True, False]


def test_a_table_of_a_later_workflow_gives_words_by_clip_or_by_drive(catalog: pa.Table) -> None:
    weather = pa.Table.from_pylist([{"clip_id": "d-0001", "sky": "heavy_rain"}])
    note = pa.Table.from_pylist([{"remark": "school bus"}])
    sources = [
        (TextSource("silver.weather", ("sky",), None), weather),
        (TextSource("silver.notes", ("remark",), None), note),
    ]
    found = documents(catalog, sources=sources, versions={"silver.weather": "w" * 64})
    assert [("heavy rain" in row["text"]) for row in found] == [False, True, False]
    assert all("school bus" in row["text"] for row in found)
    plain = catalog["dataset_version"][0].as_py()
    assert {row["dataset_version"] for row in found} == {
        digest_of({"silver.weather": "w" * 64, "silver.clip_catalog": plain})
    }
    assert {row["dataset_version"] for row in documents(catalog)} == {plain}


def test_only_sources_with_rows_are_in_the_dataset_version() -> None:
    entry = Entry("d", ("2024-05-01", "north"), "f", "1" * 64, 0, 9, "p")
    inputs = {"silver.clip_catalog": replace(entry, rows=3), "bronze.integrity_findings": entry}
    assert source_versions(SOURCES, inputs) == {}
    inputs["bronze.integrity_findings"] = replace(entry, rows=1)
    assert source_versions(SOURCES, inputs) == {"bronze.integrity_findings": "1" * 64}


def test_the_dataset_version_is_that_of_the_data_and_not_of_their_registration() -> None:
    entry = Entry("d", ("2024-05-01", "north"), "f", "1" * 64, 1, 9, "p")
    inputs = dict.fromkeys(CATALOGUE.inputs, entry)
    again = {**inputs, "bronze.drives": replace(entry, digest="2" * 64)}
    other = {**inputs, "silver.signals": replace(entry, digest="2" * 64)}
    assert version_of(inputs) == version_of(again) != version_of(other)


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ({"table": "silver.clip_positions", "text": ["h3_cells"]}, "silver.clip_positions is not among the inputs"),
        ({"table": "silver.clip_catalog", "text": ["colour"]}, "silver.clip_catalog has no column 'colour'"),
        ({"table": "bronze.integrity_findings", "text": ["rule"], "span": ["t_ns", "until"]}, "no column 'until'"),
    ],
)
def test_a_source_that_cannot_give_words_is_refused_by_name(source: dict[str, Any], part: str) -> None:
    policy = {**POLICY, "documents": {**POLICY["documents"], "sources": [source]}}
    with pytest.raises(InvalidPolicyError, match=part):
        text_sources(policy, TABLES, DOCUMENT.inputs)


def test_personal_data_give_no_words_even_where_the_operator_reads_them() -> None:
    policy = {
        **POLICY,
        "documents": {**POLICY["documents"], "sources": [{"table": "silver.clip_positions", "text": ["h3_cells"]}]},
    }
    with pytest.raises(InvalidPolicyError, match="holds personal data"):
        text_sources(policy, TABLES, (*DOCUMENT.inputs, "silver.clip_positions"))


def test_a_field_without_column_is_refused_by_name() -> None:
    policy = {**POLICY, "documents": {**POLICY["documents"], "fields": {"colour": "paint"}}}
    with pytest.raises(InvalidPolicyError, match="documents/fields/colour: no column 'paint'"):
        query_fields(policy)
