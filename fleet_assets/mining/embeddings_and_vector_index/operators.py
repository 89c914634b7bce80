"""Operators of workflow 7: keyframes to vectors, clips to vectors, and what the index has to hold of a drive.

Here belongs the way from a drive's tables to its rows. The networks are in `perception`; pictures are redacted ones.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fleet_assets.mining.embeddings_and_vector_index.extremes import Extremes, compile_extremes
from fleet_assets.mining.embeddings_and_vector_index.motion import motion_vector, signals_of
from fleet_assets.mining.embeddings_and_vector_index.words import Known, clip_sentences, columns_of
from fleet_assets.perception.embedding import FeatureNetwork
from fleet_assets.perception.preprocessing import InputSpec
from fleet_assets.perception.runtime import single_threaded_opencv
from fleet_assets.perception.sentences import SentenceNetwork
from fleet_assets.perception.vectors import by_space, drive_root, matrix, units, vector_sha256
from fleet_assets.perception.weights import WeightSource
from fleet_assets.policy.canonical import parse_canonical_signals
from fleet_assets.policy.documents import Policies, digest_of
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.objects import ObjectStore
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.embeddings import CLIP_EMBEDDINGS, MISSING_EMBEDDINGS, PICTURE_EMBEDDINGS, VECTOR_INDEX

POLICY: Final = "embeddings"
SIGNALS: Final = "silver.signals"
CATALOG: Final = "silver.clip_catalog"
OPEN: Final = "open"
_KEYS: Final = ("drive_id", "day", "depot")
EMBED_PICTURES: Final = Operator(
    name="embeddings_and_vector_index.embed_pictures",
    version=1,
    inputs=("bronze.drives", "silver.keyframes"),
    outputs=(PICTURE_EMBEDDINGS.name,),
    policy={POLICY: ("pictures",)},
    libraries=("numpy", "onnxruntime", "opencv-python-headless"),
    names_weights=(POLICY,),
)
EMBED_CLIPS: Final = Operator(
    name="embeddings_and_vector_index.embed_clips",
    version=2,
    inputs=(
        "bronze.drives",
        CATALOG,
        "silver.enriched_clips",
        "gold.event_windows",
        SIGNALS,
        PICTURE_EMBEDDINGS.name,
    ),
    outputs=(CLIP_EMBEDDINGS.name, MISSING_EMBEDDINGS.name),
    policy={
        POLICY: ("pictures", "words", "motion"),
        "triggers": ("triggers",),
        "canonical_signals": ("grid_ms", "signals", "lead"),
    },
    libraries=("numpy", "onnxruntime"),
    names_weights=(POLICY,),
)
LIST_VECTORS: Final = Operator(
    name="embeddings_and_vector_index.list_vectors",
    version=1,
    inputs=("bronze.drives", CLIP_EMBEDDINGS.name),
    outputs=(VECTOR_INDEX.name,),
)
NO_PICTURE, NO_WORDS, NO_MOTION = "no_picture", "no_words", "too_little_motion_data"


class UnknownSourceError(ValueError):
    """A phrase of the policy reads a table or column that clips are not described by."""


def model_digest(policy: Mapping[str, Any], weights: WeightSource | None) -> str:
    """What makes vectors comparable: everything that shapes them.

    Args:
        policy: The modality's part of the document `embeddings`, as far as it shapes a vector of given input.
        weights: Where the weights are, if the part names any.
    """
    made_by = None if weights is None else weights.digest(policy["weights"])
    return digest_of({"policy": dict(policy), "weights": made_by})


def sentence_model(policy: Mapping[str, Any]) -> dict[str, Any]:
    """What of the key `words` shapes the vector of given texts; which texts are made is another matter."""
    return {name: policy[name] for name in ("weights", "most_tokens", "pooled")}


@lru_cache(maxsize=2)
def _feature_network(parameters: Path, spec: InputSpec) -> FeatureNetwork:
    return FeatureNetwork(parameters, spec)


@lru_cache(maxsize=2)
def _sentence_network(parameters: Path, vocabulary: Path, most_tokens: int) -> SentenceNetwork:
    return SentenceNetwork(parameters, vocabulary, most_tokens)


def open_sentences(policy: Mapping[str, Any], weights: WeightSource) -> SentenceNetwork:
    """The network of texts, opened once per process.

    Args:
        policy: Key `words` of the document `embeddings`.
        weights: Where its weights are.
    """
    files = weights.open(policy["weights"]).files
    return _sentence_network(files["parameters"], files["vocabulary"], policy["most_tokens"])


def embed_pictures(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `gold.picture_embeddings` of one drive, one per keyframe; none for one without pictures."""
    keyframes = task.read("silver.keyframes", ["clip_id", "camera", "t_ns", "jpeg_sha256", "sha256", "shard_row"])
    if not keyframes.num_rows:
        return {PICTURE_EMBEDDINGS.name: PICTURE_EMBEDDINGS.empty()}
    policy, weights = task.policies[POLICY]["pictures"], task.context["weights"]
    opened = weights.open(policy["weights"])
    network = _feature_network(opened.files["parameters"], opened.input)
    known = {key: task.context["drive"][key] for key in _KEYS}
    known |= {"model": policy["weights"], "model_digest": model_digest(policy, weights)}
    jpegs = _jpegs(task.context["objects"], keyframes)
    rows = [
        {
            **known,
            **{name: row[name] for name in ("clip_id", "camera", "t_ns", "jpeg_sha256")},
            "vector": network(_decoded(jpeg)),
        }
        for row, jpeg in zip(keyframes.to_pylist(), jpegs, strict=True)
    ]
    return {PICTURE_EMBEDDINGS.name: PICTURE_EMBEDDINGS.from_rows(rows)}


def _jpegs(objects: ObjectStore, keyframes: pa.Table) -> Sequence[bytes]:
    """JPEG files of keyframes, each shard opened once."""
    import pyarrow.parquet as pq

    shards = {
        sha256: pq.read_table(objects.local(sha256, OPEN), columns=["jpeg"], use_threads=False)["jpeg"]
        for sha256 in sorted(set(keyframes["sha256"].to_pylist()))
    }
    places = zip(keyframes["sha256"].to_pylist(), keyframes["shard_row"].to_pylist(), strict=True)
    return [shards[sha256][row].as_py() for sha256, row in places]


def _decoded(jpeg: bytes) -> Any:
    cv2 = single_threaded_opencv()
    return cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR)


def embed_clips(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `gold.clip_embeddings` and `gold.missing_embeddings` of one drive; none for one without clips."""
    words = columns_of(task.policies[POLICY]["words"]).get(CATALOG, set())
    clips = task.read(CATALOG, sorted({"clip_id", "start_ns", "end_ns", *words})).to_pylist()
    if not clips:
        return {name: task.tables[name].empty() for name in EMBED_CLIPS.outputs}
    known = {key: task.context["drive"][key] for key in _KEYS}
    parts = [_of_pictures(task), _of_words(task, clips), _of_motion(task)]
    found, missing = [], []
    for clip in clips:
        for part in parts:
            vector, items = part.of(clip["clip_id"])
            about = {**known, "clip_id": clip["clip_id"], "modality": part.modality, "items": items}
            if vector is None:
                missing.append({**about, "reason": part.reason})
                continue
            about |= {"model": part.model, "model_digest": part.model_digest}
            about |= {"start_ns": clip["start_ns"], "end_ns": clip["end_ns"]}
            found.append({**about, "vector": vector, "vector_sha256": vector_sha256(vector)})
    return {
        CLIP_EMBEDDINGS.name: CLIP_EMBEDDINGS.from_rows(found),
        MISSING_EMBEDDINGS.name: MISSING_EMBEDDINGS.from_rows(missing),
    }


class _Part:
    """The vectors of one modality by clip, and why there is none where there is none."""

    def __init__(self, modality: str, model: str, digest: str, reason: str) -> None:
        self.modality, self.model, self.model_digest, self.reason = modality, model, digest, reason
        self.vectors: dict[str, tuple[Any, int]] = {}

    def of(self, clip_id: str) -> tuple[Any, int]:
        """Vector or None, and what went in."""
        found: tuple[Any, int] = self.vectors.get(clip_id, (None, 0))
        return found


def _of_pictures(task: UnitTask) -> _Part:
    """The mean of a clip's keyframes, all cameras alike."""
    policy = task.policies[POLICY]["pictures"]
    digest = model_digest(policy, task.context["weights"])
    part = _Part(policy["modality"], policy["weights"], digest, NO_PICTURE)
    rows = task.read(PICTURE_EMBEDDINGS.name, ["clip_id", "vector"])
    for clip_id in sorted(set(rows["clip_id"].to_pylist())):
        own = matrix(rows.filter(pc.equal(rows["clip_id"], clip_id))["vector"])
        part.vectors[clip_id] = (own.mean(axis=0, dtype=np.float64).astype(np.float32), len(own))
    return part


def _of_words(task: UnitTask, clips: Sequence[Mapping[str, Any]]) -> _Part:
    policy, weights = task.policies[POLICY]["words"], task.context["weights"]
    part = _Part(policy["modality"], policy["weights"], model_digest(sentence_model(policy), weights), NO_WORDS)
    rows = _by_clip(task, clips, policy)
    triggers = task.policies["triggers"]["triggers"]
    known = {name: Known(body["description"], body["rate"]["usual_per_100km"]) for name, body in triggers.items()}
    sentences = {clip: clip_sentences(policy, own, {"triggers": known}) for clip, own in rows.items()}
    network = open_sentences(policy, weights)
    read = {text: network(text) for text in dict.fromkeys(text for own in sentences.values() for text in own)}
    for clip, own in sentences.items():
        if own:
            vectors = units(np.array([read[text][0] for text in own]))
            mean = np.average(vectors, axis=0, weights=list(own.values())).astype(np.float32)
            part.vectors[clip] = (mean, sum(read[text][1] for text in own))
    return part


def _by_clip(
    task: UnitTask, clips: Sequence[Mapping[str, Any]], policy: Mapping[str, Any]
) -> dict[str, dict[str, list[Mapping[str, Any]]]]:
    """Rows that are about each clip, by table."""
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {clip["clip_id"]: {CATALOG: [clip]} for clip in clips}
    for name, columns in sorted(columns_of(policy).items()):
        _require_source(task, name, columns)
        if name == CATALOG:
            continue
        for row in task.read(name, sorted({"clip_id", *columns})).to_pylist():
            if row["clip_id"] in found:
                found[row["clip_id"]].setdefault(name, []).append(row)
    return found


def _require_source(task: UnitTask, name: str, columns: set[str]) -> None:
    known = [one for one in EMBED_CLIPS.inputs if one in {CATALOG, "silver.enriched_clips", "gold.event_windows"}]
    if name not in known:
        raise UnknownSourceError(f"policy {POLICY}: phrases of {name}. Tables with words: {', '.join(known)}.")
    if unknown := sorted({"clip_id", *columns} - set(task.tables[name].arrow_schema.names)):
        raise UnknownSourceError(f"policy {POLICY}: {name} has no columns {', '.join(unknown)}. See docs/tables.md.")


def extremes_of(policies: Policies) -> Extremes:
    """The extremes of motion, compiled for the fleet's signals."""
    canonical = parse_canonical_signals(policies["canonical_signals"], policies.digest("canonical_signals"))
    return compile_extremes(policies[POLICY]["motion"]["extremes"], canonical)


def _of_motion(task: UnitTask) -> _Part:
    policy, extremes = task.policies[POLICY]["motion"], extremes_of(task.policies)
    part = _Part(policy["modality"], policy["model"], model_digest(policy, None), NO_MOTION)
    there = [name for name in signals_of(policy, extremes) if name in task.tables[SIGNALS].arrow_schema.names]
    rows = task.read(SIGNALS, ["clip_id", "t_ns", *there], encoded=True)
    clips = rows["clip_id"].combine_chunks()
    for clip_id in pc.unique(clips).to_pylist() if rows.num_rows else ():
        own = rows.filter(pc.equal(rows["clip_id"], clip_id))
        signals = {name: pc.cast(own[name], pa.float64()).to_numpy() for name in there}
        moved = motion_vector(own["t_ns"].to_numpy(), signals, policy, extremes)
        part.vectors[clip_id] = (moved.vector, moved.samples)
    return part


def list_vectors(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `gold.vector_index` of one drive: what the index has to hold of it."""
    rows = task.read(CLIP_EMBEDDINGS.name)
    known = {key: task.context["drive"][key] for key in _KEYS}
    listed = []
    for space, own in by_space(rows):
        names = ("clip_id", "model_digest", "vector_sha256")
        told = zip(*(own[name].to_pylist() for name in names), strict=True)
        about = {"modality": space.modality, "model": space.model, "model_digest": space.model_digest}
        listed.append(
            {**known, **about, "dimensions": space.dimensions, "clips": own.num_rows, "root": drive_root(told)}
        )
    return {VECTOR_INDEX.name: VECTOR_INDEX.from_rows(listed)}
