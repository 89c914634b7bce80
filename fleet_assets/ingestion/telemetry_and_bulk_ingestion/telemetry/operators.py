"""Operators of telemetry batches: receive what landed, collect hours, list what belongs to no hour."""

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.batches import Limits, read_batch
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.judgement import judge_hour, refuse
from fleet_assets.policy.telemetry_schemas import Registry
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.telemetry import (
    TELEMETRY,
    TELEMETRY_BATCHES,
    TELEMETRY_LINES,
    TELEMETRY_QUARANTINE,
    TELEMETRY_REFUSED,
)

RECEIVE: Final = Operator(
    name="telemetry_and_bulk_ingestion.receive_batches",
    version=1,
    inputs=(),
    outputs=(TELEMETRY_LINES.name, TELEMETRY_BATCHES.name),
    policy={"telemetry": ("limits",)},
)
COLLECT: Final = Operator(
    name="telemetry_and_bulk_ingestion.collect_hour",
    version=1,
    inputs=(TELEMETRY_LINES.name,),
    outputs=(TELEMETRY_QUARANTINE.name, TELEMETRY.name),
)
REFUSE_LINES: Final = Operator(
    name="telemetry_and_bulk_ingestion.refuse_lines",
    version=1,
    inputs=(TELEMETRY_LINES.name,),
    outputs=(TELEMETRY_REFUSED.name,),
    policy={"telemetry": ("retention_days",)},
)


def receive_batches(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `bronze.telemetry_lines` and `bronze.telemetry_batches` of some batches, each read once."""
    limits = Limits(**task.policies["telemetry"]["limits"])
    lines = []
    summaries = []
    for batch, sha256 in task.context["batches"]:
        read = read_batch(task.context["landing"].batch(batch), sha256, limits)
        lines.append(TELEMETRY_LINES.from_rows(read.rows))
        listed = {"name": batch.printable, "stamp": batch.stamp, "received_day": task.context["received_day"]}
        summaries.append({**read.summary, **listed})
    return {
        TELEMETRY_LINES.name: pa.concat_tables(lines),
        TELEMETRY_BATCHES.name: TELEMETRY_BATCHES.from_rows(summaries),
    }


def collect_hour(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `bronze.telemetry` and `bronze.telemetry_quarantine` of one hour."""
    shared = pa.array(task.context["shared_ids"], pa.int64())
    lines: list[dict[str, Any]] = []
    for entry, hours in task.context["sources"]:
        rows = task.files.read(TELEMETRY_LINES, [entry])
        own = pc.equal(rows["hour"], task.unit)
        elsewhere = pc.and_(pc.is_in(rows["id_key"], shared), pc.is_in(rows["hour"], pa.array(hours, pa.string())))
        lines += rows.filter(pc.or_(pc.fill_null(own, fill_value=False), elsewhere)).to_pylist()
    judged = judge_hour(task.unit, lines, task.context["depots"], Registry(task.policies))
    return {
        TELEMETRY.name: TELEMETRY.from_rows(judged.taken),
        TELEMETRY_QUARANTINE.name: TELEMETRY_QUARANTINE.from_rows(judged.held),
    }


def refuse_lines(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `landing.telemetry_quarantine`."""
    held: list[dict[str, Any]] = []
    for entry, outside in task.context["sources"]:
        rows = task.files.read(TELEMETRY_LINES, [entry])
        hours = pa.array(sorted(outside), pa.string())
        rows = rows.filter(pc.or_(pc.is_valid(rows["rule"]), pc.is_in(rows["hour"], hours)))
        held += [{**row, "outside": outside.get(row["hour"])} for row in rows.to_pylist()]
    return {TELEMETRY_REFUSED.name: TELEMETRY_REFUSED.from_rows(refuse(held))}
