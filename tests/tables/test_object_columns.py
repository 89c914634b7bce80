"""The list of columns that name objects: nothing that the store holds is missing in it."""

from fleet_assets.policy.documents import load_policies
from fleet_assets.provenance.objects import ACCESS_CLASSES
from fleet_assets.tables import TableKind, all_tables
from fleet_assets.tables.objects import OBJECT_COLUMNS, ObjectColumn

TABLES = all_tables(load_policies()["canonical_signals"])
NO_OBJECTS = {
    ("bronze.drives", "manifest_sha256"),
    ("bronze.telemetry", "sha256"),
    ("silver.keyframes", "jpeg_sha256"),
    ("gold.picture_embeddings", "jpeg_sha256"),
    ("gold.clip_embeddings", "vector_sha256"),
    ("map.road_network", "sha256"),
}
"""Digests of what lies in the landing zone, in a row, or inside an object."""


def test_every_digest_in_a_table_is_known_to_be_that_of_an_object_or_of_none() -> None:
    digests = {
        (name, column.name)
        for name, table in TABLES.items()
        for column in table.columns
        if table.kind is not TableKind.LOG and column.name.endswith("sha256")
    }
    assert digests == {(one.table, one.column) for one in OBJECT_COLUMNS} | NO_OBJECTS


def test_every_column_of_the_list_is_there_and_of_a_known_class() -> None:
    for one in OBJECT_COLUMNS:
        names = {column.name for column in TABLES[one.table].columns}
        assert set(one.columns) <= names
        assert one.access in ACCESS_CLASSES


def test_a_row_without_object_or_outside_the_condition_names_none() -> None:
    released = ObjectColumn("t", "sha256", "open", "media", where="released")
    assert released.holds({"sha256": "a", "released": True})
    assert not released.holds({"sha256": "a", "released": False})
    assert not ObjectColumn("t", "sha256", "open", "media").holds({"sha256": None})
