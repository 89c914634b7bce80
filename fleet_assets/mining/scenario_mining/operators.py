"""Operator of workflow 8: a mining request to its answer, and to the clips of the answer.

Here belongs the way from tables to the stock, and from the answer to rows. The answer itself is in `mine.py`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.mining.embeddings_and_vector_index.operators import model_digest, open_sentences, sentence_model
from fleet_assets.mining.scenario_mining.mine import Answer, Stock, mine
from fleet_assets.mining.scenario_mining.predicates import ROWS
from fleet_assets.mining.scenario_mining.requests import (
    KIND,
    InvalidMiningRequestError,
    MiningRequest,
    Placed,
    parse_request,
    placed_from,
)
from fleet_assets.mining.scenario_mining.stock import (
    Keyframes,
    LakeVectors,
    Reading,
    joined_rows,
    relations,
    sentence_cosines,
    sizes_of,
)
from fleet_assets.mining.scenario_mining.vectors import fit_embedding
from fleet_assets.mining.scenario_mining.worth import NUMBERS
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.catalog import SEARCH_DOCUMENTS
from fleet_assets.tables.mining import CANDIDATE_SETS, MINING_REQUESTS

POLICY: Final = "mining"
WORDS: Final = "catalog"
SENTENCES: Final = "embeddings"
EVENTS: Final = "events"
MINE: Final = Operator(
    name="scenario_mining.mine",
    version=1,
    inputs=(
        "silver.clips",
        "silver.clip_catalog",
        "silver.clip_coverage",
        "silver.enriched_clips",
        "silver.search_documents",
        "silver.keyframes",
        "bronze.redacted_media",
        "gold.event_windows",
        "gold.trigger_exposure",  # not read: its gate says whether events are as frequent as they may be
        "gold.scene_segments",
        "gold.clip_embeddings",
    ),
    outputs=(MINING_REQUESTS.name, CANDIDATE_SETS.name),
    policy={
        POLICY: (
            "relations",
            "functions",
            "sql",
            "embedding",
            "weights",
            "coverage",
            "emphasis",
            "facets",
            "duplicates",
            "pool",
        ),
        WORDS: ("documents",),
        SENTENCES: ("words",),
    },
    libraries=("numpy", "scipy", "duckdb", "onnxruntime", "opencv-python-headless"),
    reads_requests=(KIND,),
    names_weights=(SENTENCES,),
)
_COUNTS: Final = ("clips", "without_vector", "pool", "chosen")


def answer_request(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of both tables of one request; one that cannot be answered has its reason instead of clips."""
    request = task.context["request"]
    known = {"request_id": request.request_id, "cause": request.cause}
    try:
        placed = placed_from(request.body)
        asked = parse_request(placed.document, task.policies[POLICY])
        answer, version = derive(task, placed, asked)
        _require_full(answer, task.policies[POLICY]["pool"]["max_without_vector"])
    except InvalidMiningRequestError as error:
        return _refused(known, request.body, str(error))
    rows = [_candidate(known["request_id"], asked, row) for row in answer.candidates]
    about = {
        **known,
        "name": asked.name,
        "status": "answered",
        "message": None,
        "query": asked.digest,
        "index_version": version,
        "seed": asked.seed,
        "drives": len(task.context["entries"][MINE.inputs[0]]),
        "matched": answer.funnel["nearest"],
        **{name: answer.funnel[name] for name in _COUNTS},
        "funnel": _json({**answer.funnel, "near": answer.near}),
        "limits": _json(asked.budget),
        "spent": _json({**answer.spent, "clips": len(rows)}),
        "quotas": _json({
            one.quota.name: {
                "min": one.quota.least, "max": one.quota.most, "matched": one.matched, "chosen": one.chosen,
                "reachable": one.reachable,
            }
            for one in answer.slices
        }),
        "objective": answer.objective,
    }  # fmt: skip
    return {
        MINING_REQUESTS.name: MINING_REQUESTS.from_rows([about]),
        CANDIDATE_SETS.name: CANDIDATE_SETS.from_rows(rows),
    }


def _require_full(answer: Answer, max_without_vector: float) -> None:
    """Refuse a list that is not what was asked for: no later step could tell.

    Raises:
        InvalidMiningRequestError: Naming the slice and what there is of it, or how many matches cannot be compared.
    """
    for one in answer.slices:
        if one.chosen < one.quota.least:
            raise InvalidMiningRequestError(
                f"quotas/{one.quota.name}: {one.chosen} of at least {one.quota.least} clips within all limits; "
                f"{one.matched} clips of it match. Ingest more such drives, lower the quota, or raise the budget."
            )
    matched, blank = answer.funnel["nearest"], answer.funnel["without_vector"]
    if blank > max_without_vector * matched:
        raise InvalidMiningRequestError(
            f"{blank} of {matched} matching clips have no vector of the modalities asked for, more than the share of "
            f"{max_without_vector} that policies/mining.yaml allows. Name other modalities under embedding; "
            "gold.missing_embeddings says what is missing."
        )


def derive(task: UnitTask, placed: Placed, asked: MiningRequest) -> tuple[Answer, str]:
    """The answer to a request, and the version of the index that it is a function of."""
    policy = task.policies[POLICY]
    reading = Reading(task.context["entries"], task.tables, task.files)
    predicates = [*asked.where, *(quota.where for quota in asked.quotas)]
    found = relations(reading, policy["relations"], predicates, (ROWS, EVENTS))
    clips = found[ROWS]["clip_id"].to_pylist()
    vectors = LakeVectors(reading, list(asked.modalities))
    pool = policy["pool"]
    embedding = fit_embedding(
        vectors, asked.modalities, asked.dimensions, normalise=asked.normalise, sample=pool["sample"],
        block=pool["block"],
    )  # fmt: skip
    with TemporaryDirectory(prefix="mining-") as folder:
        stock = Stock(
            relations=found,
            documents=reading.rows(SEARCH_DOCUMENTS.name) if asked.words is not None else SEARCH_DOCUMENTS.empty(),
            rows=joined_rows(vectors, embedding, clips, block=pool["block"], folder=Path(folder)),
            sizes=sizes_of(reading, found[ROWS]),
            used=_used(task),
            golden=frozenset(placed.golden),
            picture=Keyframes(reading, task.context["objects"]).digest,
            meaning=_meaning(task, asked, reading, clips),
        )
        fields = task.policies[WORDS]["documents"]["fields"]
        return mine(asked, stock, {**policy, "fields": fields}), vectors.version


def _used(task: UnitTask) -> dict[str, int | None]:
    """Clips of earlier lists, with the digests of their pictures."""
    rows = task.files.read(CANDIDATE_SETS, task.context["earlier"], ["clip_id", "perceptual_digest"]).to_pylist()
    return {
        row["clip_id"]: None if row["perceptual_digest"] is None else int(row["perceptual_digest"], 16) for row in rows
    }


def _meaning(
    task: UnitTask, asked: MiningRequest, reading: Reading, clips: Sequence[str]
) -> NDArray[np.float64] | None:
    """Cosine of each clip's text to the sentence that is asked for; None where none is.

    Raises:
        InvalidMiningRequestError: When the clips' texts cannot be compared with it.
    """
    if asked.meaning is None:
        return None
    policy, weights = task.policies[SENTENCES]["words"], task.context["weights"]
    texts = LakeVectors(reading, [policy["modality"]])
    if texts.models.get(policy["modality"]) != model_digest(sentence_model(policy), weights):
        raise InvalidMiningRequestError(
            "text/meaning: the clips have no vectors of their texts by the model that policies/embeddings.yaml names. "
            "See gold.missing_embeddings, or ask for words."
        )
    sentence, _ = open_sentences(policy, weights)(asked.meaning)
    return sentence_cosines(texts, policy["modality"], sentence, clips, block=task.policies[POLICY]["pool"]["block"])


def _json(value: Mapping[str, Any]) -> str:
    """JSON in the order given, which is that of the steps."""
    return json.dumps(dict(value))


def _candidate(request_id: str, asked: MiningRequest, row: Mapping[str, Any]) -> dict[str, Any]:
    clip = row["clip"]
    names = ("drive_id", "day", "depot", "clip_id", "start_ns", "end_ns", "duration_s")
    return {
        "request_id": request_id,
        **{name: clip[name] for name in names},
        **{name: row[name] for name in ("rank", "gain", "worth", "stands_for", "bytes", *NUMBERS)},
        "slices": " ".join(row["slices"]),
        "reasons": reasons_text(asked, row),
        "perceptual_digest": None if row["picture"] is None else f"{row['picture']:016x}",
    }


def reasons_text(asked: MiningRequest, row: Mapping[str, Any]) -> str:
    """Why a clip is in the list, as a person reads it."""
    said = row["said"]
    parts = [f"fulfils {len(asked.where)} predicate{'s' * (len(asked.where) != 1)}"] if asked.where else []
    parts += [f"words {said['says']:.2f}"] if "says" in said else []
    parts += [f"meaning {said['means']:.2f}"] if "means" in said else []
    parts += [f"like a seed {said['like']:.2f}"] if "like" in said else []
    strongest = sorted(
        (name for name in NUMBERS if asked.weights[name] > 0.0 and row[name] > 0.0 and name != "relevance"),
        key=lambda name: (-asked.weights[name] * row[name], name),
    )
    parts += [f"{name} {row[name]:.2f}" for name in strongest[:2]]
    parts.append(f"stands for {row['stands_for']}")
    parts += [f"slice {name}" for name in row["slices"]]
    return " · ".join(parts)


def _refused(known: Mapping[str, str], body: Mapping[str, Any], message: str) -> Mapping[str, pa.Table]:
    document = body.get("document")
    name = document.get("name") if isinstance(document, dict) else None
    nothing = dict.fromkeys(("drives", "matched", *_COUNTS), 0)
    about = {
        **known,
        "name": name if isinstance(name, str) else "",
        "status": "refused",
        "message": message,
        "query": None,
        "index_version": None,
        "seed": None,
        **nothing,
        **dict.fromkeys(("funnel", "limits", "spent", "quotas"), "{}"),
        "objective": 0.0,
    }
    return {MINING_REQUESTS.name: MINING_REQUESTS.from_rows([about]), CANDIDATE_SETS.name: CANDIDATE_SETS.empty()}
