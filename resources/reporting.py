"""From a restatement's report to what Dagster shows: data version, rows, bytes, column schema, pictures."""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import dagster as dg

from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.restate import Report, Step
from fleet_assets.tables import Table, TableKind

Preview = Callable[[], bytes | None]
"""Draws a PNG of the partition; None where there is nothing to draw."""

_FILES: Final[Mapping[TableKind, str]] = {
    TableKind.BULK: "one per drive; part of `fleet digest`",
    TableKind.ROLLUP: "one per partition; part of `fleet digest`",
    TableKind.LOG: "one per event; outside `fleet digest`, since it carries wall-clock times",
}


def column_schema(table: Table) -> dg.TableSchema:
    """The table's columns as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=column.type,
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=table.unique == (column.name,)),
            )
            for column in table.columns
        ]
    )


def table_spec(
    table: Table,
    *,
    operator: Operator,
    group: str,
    owners: Sequence[str],
    deps: Sequence[dg.AssetDep | dg.AssetKey] = (),
    partitions_def: dg.PartitionsDefinition[str] | None = None,
    condition: dg.AutomationCondition[dg.AssetKey] | None = None,
) -> dg.AssetSpec:
    """The asset of a table: key, text and columns from its schema, code version from its operator."""
    return dg.AssetSpec(
        dg.AssetKey(list(table.key)),
        deps=deps,
        description=table.description,
        group_name=group,
        owners=owners,
        kinds={"iceberg", "parquet"},
        tags={"layer": table.key[0], "operator": operator.name, **({"personal_data": "yes"} if table.personal else {})},
        code_version=operator.code_version,
        metadata={
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.name,
            "rows in order of": ", ".join(table.sort_by),
            "data files": _FILES[table.kind],
        },
        partitions_def=partitions_def,
        automation_condition=condition,
    )


def step_specs(
    tables: Sequence[Table],
    step: Step,
    *,
    group: str,
    owners: Sequence[str],
    condition: dg.AutomationCondition[dg.AssetKey] | None = None,
) -> list[dg.AssetSpec]:
    """The assets of a step's tables, which depend on what its operator reads.

    What it consults, whichever rows these are, enters through fingerprints; here it is lineage alone.
    """
    operator = step.operator
    deps = [dg.AssetDep(name.split(".")) for name in operator.inputs]
    deps += [dg.AssetDep(name.split("."), partition_mapping=dg.AllPartitionMapping()) for name in operator.consults]
    return [
        table_spec(table, operator=operator, group=group, owners=owners, deps=deps, condition=condition)
        for table in tables
    ]


def picture(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """A PNG inline, so that it needs no server of its own."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")


def results(
    report: Report,
    tables: Mapping[str, Table],
    previews: Mapping[str, Preview] | None = None,
    figures: Mapping[str, Mapping[str, float | str]] | None = None,
) -> Iterator[dg.MaterializeResult[None]]:
    """One result per output table of a restatement.

    Args:
        report: What was done.
        tables: All tables by dotted name.
        previews: Dotted table name → function that draws its partition.
        figures: Dotted table name → further numbers and words about its partition.
    """
    for name, entries in report.entries.items():
        table = tables[name]
        metadata: dict[str, dg.MetadataValue] = {
            "dagster/row_count": dg.MetadataValue.int(sum(entry.rows for entry in entries)),
            "bytes": dg.MetadataValue.int(sum(entry.size_bytes for entry in entries)),
            "drives": dg.MetadataValue.int(len(entries)),
            "restated": dg.MetadataValue.int(len(report.plan.stale)),
            "removed": dg.MetadataValue.int(len(report.plan.gone)),
            "unchanged": dg.MetadataValue.int(len(report.plan.current)),
            "worker_cpu_s": dg.MetadataValue.float(round(report.cpu_s, 3)),
        }
        for figure, value in (figures or {}).get(name, {}).items():
            metadata[figure] = dg.MetadataValue.text(value) if isinstance(value, str) else dg.MetadataValue.float(value)
        if previews and name in previews and (png := previews[name]()) is not None:
            metadata["preview"] = picture(png, name)
        yield dg.MaterializeResult(
            asset_key=dg.AssetKey(list(table.key)),
            metadata=metadata,
            data_version=dg.DataVersion(report.data_version(name)),
        )
