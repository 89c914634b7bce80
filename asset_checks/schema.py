"""Schema checks generated from the table schemas: required values, ranges, closed sets, unique rows.

Only columns that carry a constraint are read; Parquet statistics answer for the others.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from asset_checks.gates import Gate
from fleet_assets.evidence.verdicts import Figure, Outcome, Verdict, evidence_digest
from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.ledger import Partition
from fleet_assets.tables import Column, Table, TableKind
from resources.platform import Fleet


def _column_breaches(column: Column, values: pa.ChunkedArray) -> Iterator[str]:
    if not column.nullable and values.null_count:
        yield f"{column.name}: {values.null_count} nulls in a required column"
    if column.minimum is not None or column.maximum is not None:
        if pa.types.is_floating(values.type) and (strange := pc.sum(pc.is_nan(values)).as_py()):
            yield f"{column.name}: {strange} values that are not a number in a bounded column"
        bounds = pc.min_max(values)
        low, high = bounds["min"].as_py(), bounds["max"].as_py()
        if column.minimum is not None and low is not None and low < column.minimum:
            yield f"{column.name}: {low} below {column.minimum}"
        if column.maximum is not None and high is not None and high > column.maximum:
            yield f"{column.name}: {high} above {column.maximum}"
    if column.values:
        strange = set(pc.unique(values).to_pylist()) - {*column.values, None}
        if strange:
            yield f"{column.name}: {sorted(map(str, strange))[:5]} not among {list(column.values)}"


def schema_breaches(table: Table, data: pa.Table) -> list[str]:
    """Every constraint of the table's schema that its rows break, in words.

    Args:
        table: The schema.
        data: Rows with at least the constrained columns.
    """
    breaches = [
        breach
        for column in table.columns
        if column.name in data.column_names
        for breach in _column_breaches(column, data[column.name])
    ]
    if table.unique and data.num_rows:
        distinct = data.group_by(list(table.unique), use_threads=False).aggregate([]).num_rows
        if distinct != data.num_rows:
            breaches.append(f"{'+'.join(table.unique)}: {data.num_rows - distinct} rows are not unique")
    return breaches


def judge_schema(table: Table, data: pa.Table) -> Verdict:
    """Pass when no constraint is broken, fail otherwise; there is nothing to be inconclusive about."""
    breaches = schema_breaches(table, data)
    figures: dict[str, Figure] = {"rows": data.num_rows, "breaches": len(breaches)}
    if breaches:
        figures["first_breaches"] = "; ".join(breaches[:5])
    outcome = Outcome.FAIL if breaches else Outcome.PASS
    limits = [[c.name, c.type, c.nullable, c.minimum, c.maximum, c.values] for c in table.columns]
    policy = digest_of([limits, table.unique])
    return Verdict(outcome, figures, evidence_digest([table.name, data.num_rows, breaches]), policy)


def _constrained(table: Table) -> list[str]:
    """Columns whose constraint the writer does not already enforce (`Table.conform` refuses nulls)."""
    limited = {c.name for c in table.columns if c.values or c.minimum is not None or c.maximum is not None}
    return [c.name for c in table.columns if c.name in limited | set(table.unique)]


def schema_gate(table: Table) -> Gate:
    """The generated gate of one table."""

    def judge(fleet: Fleet, partition: Partition) -> Verdict:
        return judge_schema(table, fleet.lake.rows(table, partition, _constrained(table)))

    return Gate(table, "schema", f"Every row of {table.name} keeps the constraints of its schema.", judge)


def schema_gates(tables: list[Table]) -> list[Gate]:
    """One gate per table that is part of identity and has constraints."""
    return [schema_gate(table) for table in tables if table.kind is not TableKind.LOG and _constrained(table)]
