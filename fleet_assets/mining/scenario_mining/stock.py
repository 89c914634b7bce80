"""What a mining request looks at, read from the lake: rows by relation, joined vectors, pictures, earlier lists.

Here belongs reading. What is made of it is in `mine.py`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleet_assets.mining.scenario_mining.predicates import ROWS, joined
from fleet_assets.mining.scenario_mining.vectors import Block, Embedding, Matrix, cosines, unit
from fleet_assets.perception.image_digests import perceptual_digest
from fleet_assets.perception.runtime import single_threaded_opencv
from fleet_assets.perception.vectors import drive_root, matrix
from fleet_assets.provenance.ledger import Entry
from fleet_assets.provenance.objects import ObjectStore
from fleet_assets.provenance.restate import DataFileStore
from fleet_assets.tables import Table
from fleet_assets.tables.embeddings import CLIP_EMBEDDINGS
from fleet_assets.tables.redaction import REDACTED_MEDIA
from fleet_assets.tables.silver import KEYFRAMES

OPEN: Final = "open"
_HELD_BYTES: Final = 64 << 20
"""Joined vectors beyond this lie in a file: the kernel keeps in memory what is used."""


@dataclass(frozen=True)
class Reading:
    """Files of the drives that a request looks at.

    Attributes:
        entries: Committed files by table, one per drive, in order of the drives.
        tables: All tables by dotted name.
        files: Reads them.
    """

    entries: Mapping[str, Sequence[Entry]]
    tables: Mapping[str, Table]
    files: DataFileStore

    def rows(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of one table."""
        return self.files.read(self.tables[name], self.entries.get(name, ()), columns)


def relations(
    reading: Reading, names: Mapping[str, Sequence[str]], predicates: Sequence[str], always: Sequence[str]
) -> dict[str, pa.Table]:
    """Rows by relation; one that no predicate mentions is left empty.

    Args:
        reading: The drives' files.
        names: Tables that each relation is joined of.
        predicates: All predicates of the request.
        always: Relations that are read in any case.
    """
    asked = " ".join(predicates).lower()
    found = {}
    for name, tables in names.items():
        wanted = name in always or name in asked
        parts = [reading.rows(one) if wanted else reading.tables[one].empty() for one in tables]
        found[name] = joined(parts)
    clips = found[ROWS]
    found[ROWS] = clips.take(pc.sort_indices(clips, [("clip_id", "ascending")]))
    return found


class LakeVectors:
    """Vectors of `gold.clip_embeddings` of some drives, of one model per modality: the one that most clips have.

    Args:
        reading: The drives' files.
        modalities: Modalities wanted.
    """

    def __init__(self, reading: Reading, modalities: Sequence[str]) -> None:
        self._reading, self._modalities = reading, list(modalities)
        self._entries = list(reading.entries.get(CLIP_EMBEDDINGS.name, ()))

    @cached_property
    def _listed(self) -> pa.Table:
        names = ["clip_id", "modality", "model_digest", "vector_sha256"]
        return self._reading.rows(CLIP_EMBEDDINGS.name, names)

    @cached_property
    def models(self) -> Mapping[str, str]:
        """Model digest by modality; modalities without any vector are absent."""
        pairs = zip(self._listed["modality"].to_pylist(), self._listed["model_digest"].to_pylist(), strict=True)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for modality, digest in pairs:
            counts[modality][digest] += 1
        return {
            name: min(counts[name], key=lambda digest: (-counts[name][digest], digest))
            for name in self._modalities
            if counts[name]
        }

    @property
    def version(self) -> str:
        """Merkle root over the vectors that are used."""
        columns = (self._listed[name].to_pylist() for name in self._listed.column_names)
        rows = zip(*columns, strict=True)
        return drive_root((clip, model, digest) for clip, name, model, digest in rows if self.models.get(name) == model)

    def blocks(self, size: int) -> Iterator[Block]:
        """Vectors of whole drives, at least so many clips at a time where there are so many."""
        widths: dict[str, int] = {}
        held: list[pa.Table] = []
        parts: list[list[pa.Table]] = []
        count = 0
        for entry in self._entries:
            rows = self._reading.files.read(CLIP_EMBEDDINGS, [entry], ["clip_id", "modality", "model_digest", "vector"])
            for name, digest in self.models.items():
                if name not in widths and (own := _of_model(rows, name, digest)).num_rows:
                    widths[name] = len(own["vector"][0])
            held.append(rows)
            count += len(set(rows["clip_id"].to_pylist()))
            if count >= size:
                parts.append(held)
                held, count = [], 0
                if len(widths) == len(self.models):
                    yield from (self._block(pa.concat_tables(part), widths) for part in parts)
                    parts = []
        parts += [held] if held else []
        yield from (self._block(pa.concat_tables(part), widths) for part in parts)

    def _block(self, rows: pa.Table, widths: Mapping[str, int]) -> Block:
        clips = sorted(set(rows["clip_id"].to_pylist()))
        index = {clip: number for number, clip in enumerate(clips)}
        vectors: dict[str, Matrix] = {}
        for name in self._modalities:
            vectors[name] = np.zeros((len(clips), widths.get(name, 0)), dtype=np.float32)
            own = _of_model(rows, name, self.models.get(name, ""))
            if own.num_rows:
                vectors[name][[index[clip] for clip in own["clip_id"].to_pylist()]] = matrix(own["vector"])
        return Block(clips, vectors)


def _of_model(rows: pa.Table, modality: str, digest: str) -> pa.Table:
    return rows.filter(pc.and_(pc.equal(rows["modality"], modality), pc.equal(rows["model_digest"], digest)))


def joined_rows(source: LakeVectors, embedding: Embedding, clips: Sequence[str], *, block: int, folder: Path) -> Matrix:
    """Joined vectors of clips, float32[n, k]; zeros where a clip has none.

    Args:
        source: The vectors.
        embedding: How modalities become one vector.
        clips: Clips in the order of the rows.
        block: Clips that are held at a time.
        folder: Where many rows lie as long as they are needed.
    """
    width = sum(axes.width for axes in embedding.axes.values())
    shape = (len(clips), width)
    rows: Matrix
    if len(clips) * width * 4 > _HELD_BYTES:
        rows = np.lib.format.open_memmap(folder / "rows.npy", mode="w+", dtype=np.float32, shape=shape)
    else:
        rows = np.zeros(shape, dtype=np.float32)
    index = {clip: number for number, clip in enumerate(clips)}
    for found in source.blocks(block):
        there = [(index[clip], number) for number, clip in enumerate(found.clips) if clip in index]
        if there and width:
            places, numbers = (list(part) for part in zip(*there, strict=True))
            rows[places] = embedding(found)[numbers]
    return rows


def sentence_cosines(
    source: LakeVectors, modality: str, sentence: NDArray[np.float32], clips: Sequence[str], *, block: int
) -> NDArray[np.float64]:
    """Cosine of each clip's text to a sentence, as the model gave both, float64[n]; NaN for a clip without text.

    Args:
        source: Vectors of the texts.
        modality: Their modality.
        sentence: The sentence's vector.
        clips: Clips in the order of the result.
        block: Clips that are held at a time.
    """
    found = np.full(len(clips), np.nan)
    index = {clip: number for number, clip in enumerate(clips)}
    wanted = unit(np.asarray([sentence], dtype=np.float32))
    for part in source.blocks(block):
        rows = part.vectors[modality]
        near = cosines(unit(rows), wanted)[:, 0]
        there = np.flatnonzero(np.abs(rows).max(axis=1, initial=0.0) > 0.0)
        for number in there.tolist():
            if part.clips[number] in index:
                found[index[part.clips[number]]] = near[number]
    return found


def media_bytes(clips: pa.Table, media: pa.Table) -> NDArray[np.float64]:
    """Bytes of redacted media of each clip, whole, float64[n]: the share of each file that its time overlaps.

    Args:
        clips: `drive_id`, `start_ns` and `end_ns`.
        media: Rows of `bronze.redacted_media`.
    """
    by_drive: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in media.select(["drive_id", "first_t_ns", "last_t_ns", "bytes"]).to_pylist():
        by_drive[row["drive_id"]].append(row)
    sizes = [
        sum(
            row["bytes"]
            * max(0, min(clip["end_ns"], row["last_t_ns"] + 1) - max(clip["start_ns"], row["first_t_ns"]))
            / (row["last_t_ns"] + 1 - row["first_t_ns"])
            for row in by_drive[clip["drive_id"]]
        )
        for clip in clips.select(["drive_id", "start_ns", "end_ns"]).to_pylist()
    ]
    return np.ceil(np.asarray(sizes, dtype=np.float64))


class Keyframes:
    """The picture in the middle of each clip, of its first camera by name; redacted, of class open.

    Args:
        reading: The drives' files.
        objects: Store of the shards.
    """

    def __init__(self, reading: Reading, objects: ObjectStore) -> None:
        self._reading, self._objects = reading, objects

    @cached_property
    def _places(self) -> dict[str, tuple[str, int]]:
        by_clip: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in self._reading.rows(KEYFRAMES.name, ["clip_id", "camera", "t_ns", "sha256", "shard_row"]).to_pylist():
            by_clip[row["clip_id"]].append(row)
        found = {}
        for clip, rows in by_clip.items():
            first = min(row["camera"] for row in rows)
            own = sorted((row for row in rows if row["camera"] == first), key=lambda row: int(row["t_ns"]))
            middle = own[len(own) // 2]
            found[clip] = (str(middle["sha256"]), int(middle["shard_row"]))
        return found

    def jpeg(self, clip: str) -> bytes | None:
        """JPEG data; None for a clip without pictures."""
        place = self._places.get(clip)
        return None if place is None else picture_in(self._objects.local(place[0], OPEN), place[1])

    def digest(self, clip: str) -> int | None:
        """Perceptual digest; None for a clip without pictures."""
        data = self.jpeg(clip)
        if data is None:
            return None
        cv2 = single_threaded_opencv()
        return perceptual_digest(cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR))


def picture_in(shard: Path, row: int) -> bytes:
    """One picture of a shard; only its row group is read."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(shard) as file:
        first = 0
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            if first <= row < end:
                found = file.read_row_group(group, columns=["jpeg"], use_threads=False)["jpeg"]
                return bytes(found[row - first].as_py())
            first = end
    raise IndexError(f"{shard}: no picture {row}; the shard and silver.keyframes disagree. Run `fleet verify`.")


def sizes_of(reading: Reading, clips: pa.Table) -> NDArray[np.float64]:
    """Bytes of each clip's redacted media."""
    return media_bytes(clips, reading.rows(REDACTED_MEDIA.name))
