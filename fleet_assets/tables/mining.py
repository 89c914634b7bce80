"""Tables of scenario mining: what was asked for and how it was answered, and the clips of each answer."""

from typing import Final

from fleet_assets.tables.schema import PARTITION_COLUMNS, Column, Table, TableKind

_REQUEST: Final = Column("request_id", "string", "Request in ops.requests")


def _share(name: str, description: str) -> Column:
    return Column(name, "float64", description, minimum=0.0, maximum=1.0)


def _count(name: str, description: str) -> Column:
    return Column(name, "int64", description, minimum=0)


MINING_REQUESTS: Final = Table(
    key=("gold", "mining_requests"),
    description="Every mining request with how it was answered: how many clips each step left, budgets and quotas.",
    columns=(
        _REQUEST,
        Column("name", "string", "Name that the request gives itself"),
        Column("cause", "string", "What led to it: a file by its digest, an asset partition, or another request"),
        Column("status", "string", "Whether it could be answered", values=("answered", "refused")),
        Column("message", "string", "Why not, and what to do", nullable=True),
        Column("query", "string", "Digest of what was asked, with the defaults that held", nullable=True),
        Column("index_version", "string", "Merkle root over the vectors looked at", nullable=True),
        Column("seed", "int64", "Seed of the request", nullable=True, minimum=0),
        _count("drives", "Drives looked at"),
        _count("clips", "Their clips"),
        _count("matched", "Clips that predicates, text and seeds leave, less those excluded"),
        _count("without_vector", "Of these: clips that have no vector, so that nothing can be compared"),
        _count("pool", "Of these: clips to choose from, without duplicates"),
        _count("chosen", "Clips of the answer"),
        Column("funnel", "string", "JSON: clips that were left after each step"),
        Column("limits", "string", "JSON: budget by name, as asked"),
        Column("spent", "string", "JSON: what the answer takes of it"),
        Column("quotas", "string", "JSON: per slice its limits, clips among the matches, clips of the answer"),
        Column("objective", "float64", "What the answer is worth: its share of coverage and of worth", minimum=0),
    ),
    sort_by=("request_id",),
    unique=("request_id",),
    kind=TableKind.ROLLUP,
    partition_by=(),
)

CANDIDATE_SETS: Final = Table(
    key=("gold", "candidate_sets"),
    description="The clips that each mining request asks for, best first, with what speaks for each.",
    columns=(
        _REQUEST,
        Column("rank", "int32", "Place in the list, from 1", minimum=1),
        *PARTITION_COLUMNS,
        Column("clip_id", "string", "Clip"),
        Column("start_ns", "int64", "First grid instant, UTC nanoseconds"),
        Column("end_ns", "int64", "End, exclusive, UTC nanoseconds"),
        Column("duration_s", "float64", "Length", minimum=0),
        Column("bytes", "int64", "Bytes of its redacted media", minimum=0),
        Column("gain", "float64", "What it adds to the objective, given the clips before it", minimum=0),
        _share("worth", "Weighted mean of the five numbers that follow"),
        _share("relevance", "How well it answers text and seeds; 1 where only predicates were asked"),
        _share("novelty", "How far it is from everything that was chosen before"),
        _share("rarity", "Largest rarity of its events"),
        _share("uncertainty", "Largest uncertainty of its events"),
        _share("disagreement", "Largest disagreement of signals in its events"),
        _count("stands_for", "Matches to which no other clip of the list is nearer"),
        Column("slices", "string", "Slices that it is in, in order of text"),
        Column("reasons", "string", "Why it is in the list, as a person reads it"),
        Column("perceptual_digest", "string", "64 bits of its picture, hex", nullable=True),
    ),
    sort_by=("request_id", "rank"),
    unique=("request_id", "clip_id"),
    kind=TableKind.ROLLUP,
    partition_by=(),
)

SCENARIO_MINING: Final = (MINING_REQUESTS, CANDIDATE_SETS)
