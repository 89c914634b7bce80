"""What a clip is found by: its row of the catalog, and words from the tables that the policy names.

Here belongs the making of documents. The index that is searched is derived from them (`resources/search_index.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from fleet_assets.ingestion.metadata_extraction_and_catalog.rules import TextSource
from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.ledger import Entry
from fleet_assets.tables.catalog import CLIP_CATALOG, SEARCH_DOCUMENTS

_OWN: Final = tuple(name for name in SEARCH_DOCUMENTS.arrow_schema.names if name in CLIP_CATALOG.arrow_schema.names)


def search_documents(
    catalog: pa.Table,
    sources: Sequence[tuple[TextSource, pa.Table]],
    words: Mapping[str, str],
    *,
    versions: Mapping[str, str],
) -> pa.Table:
    """One document per clip of a drive.

    Args:
        catalog: Its rows of `silver.clip_catalog`.
        sources: Where words come from, with the drive's rows of the table.
        words: Value → what else a person may call it.
        versions: Table → digest of the drive's file in it, of the sources besides the catalog.

    Returns:
        Conforming rows. The dataset version is the catalog's where nothing else gave words.
    """
    found = [(source, rows.to_pylist()) for source, rows in sources]
    documents = []
    for clip in catalog.to_pylist():
        values = [
            value for source, rows in found for row in _of_clip(source, rows, clip) for value in _texts(source, row)
        ]
        version = clip["dataset_version"]
        if versions:
            version = digest_of({**versions, CLIP_CATALOG.name: version})
        document = {name: clip[name] for name in _OWN}
        documents.append({**document, "text": _text(values, words), "dataset_version": version})
    return SEARCH_DOCUMENTS.from_rows(documents)


def _of_clip(source: TextSource, rows: Iterable[Mapping[str, Any]], clip: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows of a source that are about a clip."""
    if source.span is not None:
        first, last = source.span
        return [row for row in rows if row[first] < clip["end_ns"] and row[last] >= clip["start_ns"]]
    return [row for row in rows if row.get("clip_id", clip["clip_id"]) == clip["clip_id"]]


def _texts(source: TextSource, row: Mapping[str, Any]) -> list[str]:
    told = [str(row[column]) for column in source.text if row[column] is not None]
    return [*told, *(word for word, conditions in source.says if all(one.holds(row) for one in conditions))]


def _text(values: Iterable[str], words: Mapping[str, str]) -> str:
    """Every value once, in the order in which they come, underscores as spaces, then what else they are called."""
    said = list(dict.fromkeys(part for value in values for part in value.split()))
    also = [word for value in said for word in words.get(value, "").split()]
    return " ".join(dict.fromkeys([*(part.replace("_", " ") for part in said), *also]))


def source_versions(sources: Sequence[TextSource], inputs: Mapping[str, Entry]) -> dict[str, str]:
    """Digests of a drive's files that give words, besides the catalog's own and those without a row."""
    return {
        source.table: inputs[source.table].digest
        for source in sources
        if source.table in inputs and source.table != CLIP_CATALOG.name and inputs[source.table].rows
    }
