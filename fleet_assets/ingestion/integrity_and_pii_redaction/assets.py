"""Assets of workflow 2: integrity findings, what they hold back, and redacted media."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.operators import released_media
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.vouching import require_vouched
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.operators import OPEN
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.previews import contact_sheet
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.signatures import wanted_signatures
from fleet_assets.ingestion.steps import AUDIT_STEP, FIND_STEP, HOLD_BACK_STEP, REDACT_STEP
from fleet_assets.provenance.ledger import Partition
from fleet_assets.tables.audit import AUDITED_MEDIA, REDACTION_AUDIT
from fleet_assets.tables.bronze import (
    DRIVE_FILES,
    DRIVES,
    INTEGRITY_FINDINGS,
    QUARANTINE,
    SENSOR_SAMPLES,
    SENSOR_STREAMS,
)
from fleet_assets.tables.ops import REQUESTS
from fleet_assets.tables.redaction import REDACTED_MEDIA, REDACTION_BOXES, REDACTION_REPORT, REDACTION_SIGNATURES
from partitions.keys import from_dagster
from resources.platform import Fleet
from resources.reporting import results, table_spec

OWNERS = ("team:data-engineering",)


def integrity_assets(
    day_depot: dg.PartitionsDefinition[Any], condition: dg.AutomationCondition[Any]
) -> Sequence[dg.AssetsDefinition]:
    """`bronze/integrity_findings` and `bronze/quarantine`."""

    @dg.multi_asset(
        name="find_breaches",
        specs=[
            table_spec(
                INTEGRITY_FINDINGS,
                operator=FIND_STEP.operator,
                group="ingestion",
                owners=OWNERS,
                deps=[dg.AssetKey(list(table.key)) for table in (DRIVES, SENSOR_SAMPLES, SENSOR_STREAMS)],
                condition=condition,
            )
        ],
        partitions_def=day_depot,
    )
    def find_breaches(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(FIND_STEP, from_dagster(context.partition_key)), ingestion.tables)

    @dg.multi_asset(
        name="hold_back",
        specs=[
            table_spec(
                QUARANTINE,
                operator=HOLD_BACK_STEP.operator,
                group="ingestion",
                owners=OWNERS,
                deps=[
                    *(dg.AssetKey(list(table.key)) for table in (DRIVES, INTEGRITY_FINDINGS)),
                    dg.AssetDep(list(REQUESTS.key)),
                ],
                condition=condition,
            )
        ],
        partitions_def=day_depot,
    )
    def hold_back(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(ingestion.restate(HOLD_BACK_STEP, from_dagster(context.partition_key)), ingestion.tables)

    return [find_breaches, hold_back]


def redaction_assets(
    day_depot: dg.PartitionsDefinition[Any], condition: dg.AutomationCondition[Any]
) -> Sequence[dg.AssetsDefinition]:
    """`bronze/redacted_media`, its boxes, `bronze/redaction_report` and its signatures."""
    deps = [dg.AssetKey(list(table.key)) for table in (DRIVES, DRIVE_FILES, SENSOR_STREAMS)]

    @dg.multi_asset(
        name="redact_media",
        specs=[
            table_spec(
                table,
                operator=REDACT_STEP.operator,
                group="ingestion",
                owners=OWNERS,
                deps=deps,
                condition=condition,
            )
            for table in (REDACTED_MEDIA, REDACTION_BOXES, REDACTION_REPORT, REDACTION_SIGNATURES)
        ],
        partitions_def=day_depot,
    )
    def redact_media(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        partition = from_dagster(context.partition_key)
        report = ingestion.restate(REDACT_STEP, partition, lambda done, of: context.log.info(f"{done}/{of} drives"))
        rows = {name: ingestion.lake.read(ingestion.tables[name], found) for name, found in report.entries.items()}
        signed = _sign(ingestion, rows[REDACTION_REPORT.name])
        media, boxes = (rows[table.name].to_pylist() for table in (REDACTED_MEDIA, REDACTION_BOXES))
        # Nobody sees the pictures before the audit, which shows them.
        yield from results(report, ingestion.tables, None, {REDACTED_MEDIA.name: _figures(media, boxes)})
        yield dg.MaterializeResult(
            asset_key=list(REDACTION_SIGNATURES.key),
            metadata={"new_signatures": signed},
            data_version=dg.DataVersion(report.data_version(REDACTION_REPORT.name)),
        )

    return [redact_media]


def audit_assets(
    day_depot: dg.PartitionsDefinition[Any], condition: dg.AutomationCondition[Any]
) -> Sequence[dg.AssetsDefinition]:
    """`bronze/redaction_audit` and `bronze/audited_media`."""
    # The signatures lie beside the report; the report's gate asks for them, and so does the asset itself.
    read = (DRIVES, REDACTED_MEDIA, REDACTION_BOXES, REDACTION_REPORT)
    deps: list[dg.AssetDep | dg.AssetKey] = [dg.AssetKey(list(table.key)) for table in read]
    deps.append(dg.AssetDep(list(REQUESTS.key)))

    @dg.multi_asset(
        name="audit_media",
        specs=[
            table_spec(
                table, operator=AUDIT_STEP.operator, group="ingestion", owners=OWNERS, deps=deps, condition=condition
            )
            for table in (REDACTION_AUDIT, AUDITED_MEDIA)
        ],
        partitions_def=day_depot,
    )
    def audit_media(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        partition = from_dagster(context.partition_key)
        require_vouched(ingestion.lake, partition, ingestion.verifier, ingestion.signing.signer().key_id)
        report = ingestion.restate(AUDIT_STEP, partition, lambda done, of: context.log.info(f"{done}/{of} drives"))
        previews = {AUDITED_MEDIA.name: lambda: _released_sheet(ingestion, partition)}
        yield from results(report, ingestion.tables, previews)

    return [audit_media]


def _released_sheet(ingestion: Fleet, partition: Partition) -> bytes | None:
    """Some pictures of the media that others may open."""
    media, audited, boxes = (
        ingestion.lake.rows(table, partition) for table in (REDACTED_MEDIA, AUDITED_MEDIA, REDACTION_BOXES)
    )
    return contact_sheet(released_media(media, audited).to_pylist(), boxes.to_pylist(), ingestion.objects)


def _sign(ingestion: Fleet, report: pa.Table) -> int:
    """Sign what the platform's key has not signed yet. Returns how many."""
    held = {entry.unit for entry in ingestion.lake.entries(REDACTION_SIGNATURES)}
    if not report.num_rows:
        return 0
    now_ns = time.time_ns()
    wanted = wanted_signatures(
        report.to_pylist(),
        held,
        lambda sha256: ingestion.objects.local(sha256, OPEN).read_bytes(),
        ingestion.signing.signer(),
        now_ns,
    )
    return ingestion.append_log(REDACTION_SIGNATURES, wanted, "signature_id", "signed_ns", now_ns)


def _figures(media: Sequence[dict[str, Any]], boxes: Sequence[dict[str, Any]]) -> dict[str, float | str]:
    """Share of all pixels that is covered, and what covers it."""
    pixels = sum(row["frames"] * row["width"] * row["height"] for row in media)
    blurred = sum(row["frames"] * row["width"] * row["height"] * row["blurred_share"] for row in media)
    kinds = Counter(row["kind"] for row in boxes)
    return {
        "pictures": float(sum(row["frames"] for row in media)),
        "blurred_share": blurred / pixels if pixels else 0.0,
        **{f"boxes_{kind}": float(count) for kind, count in sorted(kinds.items())},
    }
