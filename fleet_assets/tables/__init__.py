"""Schemas of all tables. One definition gives the Iceberg schema, the generated checks and the docs."""

from collections.abc import Mapping
from typing import Any

from fleet_assets.tables.audit import AUDIT
from fleet_assets.tables.bronze import BRONZE
from fleet_assets.tables.catalog import CATALOG
from fleet_assets.tables.embeddings import EMBEDDINGS
from fleet_assets.tables.gold import GOLD
from fleet_assets.tables.maps import MAP_TABLES
from fleet_assets.tables.mining import SCENARIO_MINING
from fleet_assets.tables.ops import OPS
from fleet_assets.tables.privacy import WITHHELD_POSITIONS
from fleet_assets.tables.redaction import REDACTION
from fleet_assets.tables.schema import Column, SchemaMismatchError, Table, TableKind
from fleet_assets.tables.silver import SILVER, signals_table
from fleet_assets.tables.telemetry import TELEMETRY_TABLES

__all__ = ["Column", "SchemaMismatchError", "Table", "TableKind", "all_tables"]


def all_tables(canonical: Mapping[str, Any]) -> dict[str, Table]:
    """Every table by dotted name.

    Args:
        canonical: The document `canonical_signals` of the policies, which gives `silver.signals` its columns.
    """
    bronze = (*BRONZE, *REDACTION, *AUDIT, *TELEMETRY_TABLES)
    silver = (signals_table(canonical), WITHHELD_POSITIONS, *SILVER, *CATALOG, *MAP_TABLES)
    tables = (*bronze, *silver, *GOLD, *EMBEDDINGS, *SCENARIO_MINING, *OPS)
    return {table.name: table for table in tables}
