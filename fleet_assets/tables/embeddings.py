"""Tables of embeddings: what the pictures, words and motion of clips are in numbers, and what the vector index holds.

A vector is stored as its model gave it, pooled per clip. Projection and normalisation belong to the index, which is
derived from these tables and no part of identity.
"""

from typing import Final

from fleet_assets.tables.schema import PARTITION_COLUMNS, Column, Table

_CLIP: Final = Column("clip_id", "string", "Clip")
_MODALITY: Final = Column("modality", "string", "Modality of policies/embeddings.yaml")
_MODEL: Final = (
    Column("model", "string", "Model: name of its weights, or of what is computed"),
    Column("model_digest", "string", "SHA-256 over weights, preparation and pooling: equal ones can be compared"),
)

PICTURE_EMBEDDINGS: Final = Table(
    key=("gold", "picture_embeddings"),
    description="Every keyframe of the drives of one day and depot as a vector; pictures are redacted ones.",
    columns=(
        *PARTITION_COLUMNS,
        _CLIP,
        Column("camera", "string", "Camera of the vehicle spec"),
        Column("t_ns", "int64", "Corrected capture time, UTC nanoseconds"),
        Column("jpeg_sha256", "string", "Digest of the picture's JPEG file"),
        *_MODEL,
        Column("vector", "list<float32>", "The model's output"),
    ),
    sort_by=("drive_id", "camera", "t_ns"),
    unique=("drive_id", "camera", "t_ns"),
)

CLIP_EMBEDDINGS: Final = Table(
    key=("gold", "clip_embeddings"),
    description="Clips of one day and depot as vectors, one per modality that the clip has something of.",
    columns=(
        *PARTITION_COLUMNS,
        _CLIP,
        _MODALITY,
        *_MODEL,
        Column("start_ns", "int64", "First grid instant of the clip, UTC nanoseconds"),
        Column("end_ns", "int64", "End, exclusive, UTC nanoseconds"),
        Column("items", "int64", "Pictures, tokens or samples that went in", minimum=1),
        Column("vector", "list<float32>", "The model's output, pooled; neither projected nor normalised"),
        Column("vector_sha256", "string", "SHA-256 over the vector's bytes, float32 little endian"),
    ),
    sort_by=("drive_id", "start_ns", "modality"),
    unique=("clip_id", "modality", "model_digest"),
)

MISSING_EMBEDDINGS: Final = Table(
    key=("gold", "missing_embeddings"),
    description="Clips of one day and depot that have no vector of a modality, and why.",
    columns=(
        *PARTITION_COLUMNS,
        _CLIP,
        _MODALITY,
        Column("reason", "string", "Why", values=("no_picture", "no_words", "too_little_motion_data")),
        Column("items", "int64", "Pictures, tokens or samples that there are", minimum=0),
    ),
    sort_by=("drive_id", "clip_id", "modality"),
    unique=("clip_id", "modality"),
)

VECTOR_INDEX: Final = Table(
    key=("gold", "vector_index"),
    description="What the vector index holds of the drives of one day and depot: its identity, whatever its files.",
    columns=(
        *PARTITION_COLUMNS,
        _MODALITY,
        *_MODEL,
        Column("dimensions", "int32", "Length of the vectors", minimum=1),
        Column("clips", "int64", "Vectors of the drive", minimum=1),
        Column("root", "string", "Merkle root over (clip, model digest, vector digest) of the drive"),
    ),
    sort_by=("drive_id", "modality"),
    unique=("drive_id", "modality", "model_digest"),
)

EMBEDDINGS: Final = (PICTURE_EMBEDDINGS, CLIP_EMBEDDINGS, MISSING_EMBEDDINGS, VECTOR_INDEX)
