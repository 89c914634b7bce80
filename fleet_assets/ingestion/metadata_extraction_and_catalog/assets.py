"""Assets of workflow 4: the catalog of clips, and the documents and the index by which they are found."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import dagster as dg

from fleet_assets.ingestion.metadata_extraction_and_catalog.previews import contact_sheet, map_plot, spread
from fleet_assets.ingestion.steps import CATALOG_STEP, DOCUMENT_STEP
from fleet_assets.provenance.ledger import Partition, root
from fleet_assets.tables.catalog import CLIP_CATALOG, CLIP_COVERAGE, CLIP_POSITIONS, SEARCH_DOCUMENTS
from fleet_assets.tables.silver import KEYFRAMES
from partitions.keys import from_dagster
from resources.platform import Fleet
from resources.reporting import column_schema, results, step_specs

OWNERS = ("team:data-engineering",)
INDEX: Final = dg.AssetKey(["silver", "search_index"])


def catalog_assets(
    day_depot: dg.PartitionsDefinition[Any], condition: dg.AutomationCondition[Any]
) -> Sequence[dg.AssetsDefinition]:
    """The tables of the catalog, the search documents, and the index over them."""
    specs = partial(step_specs, group="ingestion", owners=OWNERS, condition=condition)

    @dg.multi_asset(
        name="catalog_clips",
        specs=specs((CLIP_CATALOG, CLIP_COVERAGE, CLIP_POSITIONS), CATALOG_STEP),
        partitions_def=day_depot,
    )
    def catalog_clips(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        report = ingestion.restate(CATALOG_STEP, from_dagster(context.partition_key))
        entries = report.entries[CLIP_CATALOG.name]
        previews = {CLIP_CATALOG.name: lambda: map_plot(ingestion.lake.read(CLIP_CATALOG, entries))}
        yield from results(report, ingestion.tables, previews)

    @dg.multi_asset(
        name="write_search_documents",
        specs=specs((SEARCH_DOCUMENTS,), DOCUMENT_STEP),
        partitions_def=day_depot,
    )
    def write_search_documents(
        context: dg.AssetExecutionContext, ingestion: Fleet
    ) -> Iterator[dg.MaterializeResult[None]]:
        partition = from_dagster(context.partition_key)
        report = ingestion.restate(DOCUMENT_STEP, partition)
        previews = {SEARCH_DOCUMENTS.name: lambda: contact_sheet(_pictures(ingestion, partition))}
        yield from results(report, ingestion.tables, previews)

    @dg.multi_asset(name="index_documents", specs=[_index_spec(condition)], partitions_def=day_depot)
    def index_documents(context: dg.AssetExecutionContext, ingestion: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        partition = from_dagster(context.partition_key)
        entries = ingestion.lake.entries(SEARCH_DOCUMENTS, partition)
        read = partial(ingestion.lake.read, SEARCH_DOCUMENTS)
        synced = ingestion.search_index.sync(entries, read, partition)
        yield dg.MaterializeResult(asset_key=INDEX, metadata=asdict(synced), data_version=dg.DataVersion(root(entries)))

    return [catalog_clips, write_search_documents, index_documents]


def _pictures(ingestion: Fleet, partition: Partition) -> list[tuple[str, bytes]]:
    """Some keyframes of a partition, which are redacted: label and JPEG."""
    import pyarrow.parquet as pq

    chosen = spread(ingestion.lake.rows(KEYFRAMES, partition).to_pylist())
    shards = {
        sha256: pq.read_table(ingestion.objects.local(sha256, "open"), columns=["jpeg"])["jpeg"]
        for sha256 in sorted({row["sha256"] for row in chosen})
    }
    return [(f"{row['clip_id']} {row['camera']}", shards[row["sha256"]][row["shard_row"]].as_py()) for row in chosen]


def _index_spec(condition: dg.AutomationCondition[Any]) -> dg.AssetSpec:
    """The index is no table of the lake: it can be deleted and is made again."""
    return dg.AssetSpec(
        INDEX,
        deps=[dg.AssetKey(list(SEARCH_DOCUMENTS.key))],
        description="Full-text index over the search documents of one day and depot; what `fleet search` asks.",
        group_name="ingestion",
        owners=OWNERS,
        kinds={"lancedb"},
        tags={"layer": "silver"},
        code_version="metadata_extraction_and_catalog.index.1",
        metadata={"dagster/column_schema": column_schema(SEARCH_DOCUMENTS), "part of identity": "no"},
        automation_condition=condition,
    )
