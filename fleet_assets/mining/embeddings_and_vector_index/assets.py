"""Assets of workflow 7: keyframes and clips as vectors, and the index over them."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa

from fleet_assets.mining.embeddings_and_vector_index.sheets import COLUMNS, Card, Cards, picture
from fleet_assets.mining.steps import CLIP_VECTORS_STEP, PICTURE_VECTORS_STEP, VECTOR_LIST_STEP
from fleet_assets.perception.neighbours import Neighbour
from fleet_assets.perception.vectors import by_space, matrix, units
from fleet_assets.provenance.ledger import Partition
from fleet_assets.tables.embeddings import CLIP_EMBEDDINGS, MISSING_EMBEDDINGS, PICTURE_EMBEDDINGS, VECTOR_INDEX
from partitions.keys import from_dagster
from resources.platform import Fleet
from resources.reporting import results, step_specs

OWNERS = ("team:ml-mlops",)


def embedding_assets(
    day_depot: dg.PartitionsDefinition[Any], condition: dg.AutomationCondition[Any]
) -> Sequence[dg.AssetsDefinition]:
    """The tables of vectors, and `gold/vector_index`, which also brings the index itself up to date."""
    specs = partial(step_specs, group="mining", owners=OWNERS, condition=condition)

    @dg.multi_asset(
        name="embed_pictures", specs=specs((PICTURE_EMBEDDINGS,), PICTURE_VECTORS_STEP), partitions_def=day_depot
    )
    def embed_pictures(context: dg.AssetExecutionContext, fleet: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(fleet.restate(PICTURE_VECTORS_STEP, from_dagster(context.partition_key)), fleet.tables)

    @dg.multi_asset(
        name="embed_clips",
        specs=specs((CLIP_EMBEDDINGS, MISSING_EMBEDDINGS), CLIP_VECTORS_STEP),
        partitions_def=day_depot,
    )
    def embed_clips(context: dg.AssetExecutionContext, fleet: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        yield from results(fleet.restate(CLIP_VECTORS_STEP, from_dagster(context.partition_key)), fleet.tables)

    @dg.multi_asset(name="index_vectors", specs=specs((VECTOR_INDEX,), VECTOR_LIST_STEP), partitions_def=day_depot)
    def index_vectors(context: dg.AssetExecutionContext, fleet: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        partition = from_dagster(context.partition_key)
        report = fleet.restate(VECTOR_LIST_STEP, partition)
        entries = fleet.lake.entries(CLIP_EMBEDDINGS, partition)
        synced = fleet.vectors.sync(entries, partial(fleet.lake.read, CLIP_EMBEDDINGS), partition)
        fleet.vectors.collect(spare=fleet.policies["embeddings"]["index"]["keep_versions"])
        figures: dict[str, float | str] = {
            "index written": float(synced.written),
            "index removed": float(synced.removed),
        }
        for one in synced.versions:
            told = f"{one.clips} clips, {one.kind}, version {one.number}, root {one.root}"
            figures[f"index of {one.space.modality} by {one.space.model}"] = told
        previews = {VECTOR_INDEX.name: lambda: picture(_rows(fleet, partition))}
        yield from results(report, fleet.tables, previews, {VECTOR_INDEX.name: figures})

    return [embed_pictures, embed_clips, index_vectors]


def _rows(fleet: Fleet, partition: Partition) -> list[tuple[Card, list[Card]]]:
    """Some clips of a partition, each with those most like it in the first modality that there is."""
    rows, policy = fleet.lake.rows(CLIP_EMBEDDINGS, partition), fleet.policies["embeddings"]
    spaces = list(by_space(rows)) if rows.num_rows else []
    if not spaces:
        return []
    space, own = spaces[0]
    step = max(1, own.num_rows // max(1, policy["similar"]["seeds"]))
    seeds = own.take(pa.array(range(0, own.num_rows, step)[: policy["similar"]["seeds"]], type=pa.int64()))
    cards = Cards(fleet.lake, fleet.tables, fleet.objects, policy)
    found = fleet.vectors.search(space, units(matrix(seeds["vector"])), COLUMNS)
    told = []
    for row, near in zip(seeds.drop_columns(["vector"]).to_pylist(), found, strict=True):
        about = {name: row[name] for name in ("clip_id", "drive_id", "day", "depot", "start_ns", "end_ns")}
        others = [cards.of(one) for one in near if one.clip_id != row["clip_id"]]
        told.append((cards.of(Neighbour(cosine=1.0, **about), is_query=True), others))
    return told
