"""Tables of the clip catalog: what is in every clip, what is personal about it, and the text by which it is found.

Product tables hold no position finer than a coarse cell. What does is in `silver.clip_positions`, which says so.
"""

from typing import Final

from fleet_assets.tables.schema import PARTITION_COLUMNS, Column, Table

LIGHTS: Final = ("day", "twilight", "night")
_CLIP: Final = Column("clip_id", "string", "Clip")
_ABOUT: Final = (
    Column("vehicle_id", "string", "Vehicle that made the drive"),
    Column("vehicle_spec", "string", "Vehicle spec of the drive"),
    Column("format", "string", "Recording format"),
    Column("start_ns", "int64", "First grid instant, UTC nanoseconds"),
    Column("end_ns", "int64", "End, exclusive, UTC nanoseconds"),
    Column("duration_s", "float64", "Length", minimum=0),
)
FIGURES: Final = (
    Column("distance_m", "float64", "Distance travelled", nullable=True, minimum=0),
    Column("speed_min_mps", "float64", "Smallest speed", nullable=True),
    Column("speed_mean_mps", "float64", "Mean speed", nullable=True),
    Column("speed_max_mps", "float64", "Greatest speed", nullable=True),
    Column("stopped_share", "float64", "Share of the time at standstill", nullable=True, minimum=0, maximum=1),
    Column("deceleration_max_mps2", "float64", "Hardest loss of speed, held for a while", nullable=True, minimum=0),
    Column("acceleration_max_mps2", "float64", "Hardest gain of speed, held for a while", nullable=True, minimum=0),
    Column("lateral_max_mps2", "float64", "Hardest lateral acceleration, held for a while", nullable=True, minimum=0),
    Column("turned_deg", "float64", "Change of course from first to last, unsigned", nullable=True, minimum=0),
    Column("lead_min_m", "float64", "Smallest distance to what drives ahead", nullable=True),
    Column("braking_share", "float64", "Share of the time with the brake pressed", nullable=True, minimum=0, maximum=1),
    Column(
        "assisted_share", "float64", "Share of the time with driver assistance", nullable=True, minimum=0, maximum=1
    ),
)
"""Numbers about a clip's motion. `policies/catalog.yaml` says how each comes about."""
_SURROUNDINGS: Final = (
    Column("light_condition", "string", "Natural light in the middle of the clip", nullable=True, values=LIGHTS),
    Column("h3_cells", "string", "Coarse H3 cells that it passes through, in order of text", nullable=True),
)
_WORDS: Final = (
    Column("tags", "string", "Names of the tags whose rules hold, in order of text"),
    Column("has", "string", "Kinds of data that it has, in order of text"),
)
_ADDRESSES: Final = (
    Column("signals_uri", "string", "Its data file in silver.signals", nullable=True),
    Column("media_uris", "string", "Redacted media of the drive's cameras that overlap it", nullable=True),
    Column("keyframe_uris", "string", "Shards with its keyframes", nullable=True),
    Column("lidar_uris", "string", "Arrays with its lidar sweeps", nullable=True),
)

CLIP_CATALOG: Final = Table(
    key=("silver", "clip_catalog"),
    description="One row per clip of the drives of one day and depot: what it has, how it moves, where its bytes are.",
    columns=(
        *PARTITION_COLUMNS,
        _CLIP,
        *_ABOUT,
        Column("first_t_ns", "int64", "First grid instant with a value", nullable=True),
        Column("last_t_ns", "int64", "Last grid instant with a value", nullable=True),
        Column("instants", "int64", "Grid instants in silver.signals", minimum=0),
        Column("signals", "int32", "Signals with a value on the grid", minimum=0),
        Column("samples", "int64", "Samples as the sensors sent them", minimum=0),
        Column("tracked", "int64", "Rows in silver.radar_tracks", minimum=0),
        Column("sweeps", "int64", "Lidar sweeps", minimum=0),
        Column("points", "int64", "Points of these sweeps", minimum=0),
        Column("keyframes", "int64", "Keyframes", minimum=0),
        Column("cameras", "int32", "Cameras that recorded during it", minimum=0),
        Column("width", "int32", "Columns of its largest picture", nullable=True, minimum=1),
        Column("height", "int32", "Rows of its largest picture", nullable=True, minimum=1),
        *FIGURES,
        Column("sun_elevation_deg", "float64", "Sun over the horizon of the cell, mid-clip", nullable=True),
        *_SURROUNDINGS,
        *_WORDS,
        *_ADDRESSES,
        Column("dataset_version", "string", "Digest over the digests of the drive's files behind this row"),
    ),
    sort_by=("drive_id", "start_ns"),
    unique=("clip_id",),
)

CLIP_COVERAGE: Final = Table(
    key=("silver", "clip_coverage"),
    description="Per clip and sensor, signal, camera or lidar of its drive: how much of it there is, and when.",
    columns=(
        *PARTITION_COLUMNS,
        _CLIP,
        Column(
            "kind",
            "string",
            "signal: samples of it · stream: messages that carry no signal · camera: keyframes · lidar: sweeps",
            values=("signal", "stream", "camera", "lidar"),
        ),
        Column("sensor", "string", "Sensor of the vehicle spec"),
        Column("name", "string", "Canonical signal; else the sensor again"),
        Column("samples", "int64", "Samples, keyframes or sweeps within the clip", nullable=True, minimum=0),
        Column("rate_hz", "float64", "Their mean rate from first to last", nullable=True, minimum=0),
        Column("first_t_ns", "int64", "First one, corrected time", nullable=True),
        Column("last_t_ns", "int64", "Last one, corrected time", nullable=True),
        Column(
            "share",
            "float64",
            "signal on the grid: instants with a value · stream: part of the clip between its first and last message",
            nullable=True,
            minimum=0,
            maximum=1,
        ),
        Column("width", "int32", "Columns of the pictures", nullable=True, minimum=1),
        Column("height", "int32", "Rows of the pictures", nullable=True, minimum=1),
    ),
    sort_by=("drive_id", "clip_id", "kind", "sensor", "name"),
    unique=("clip_id", "kind", "sensor", "name"),
)

CLIP_POSITIONS: Final = Table(
    key=("silver", "clip_positions"),
    description="Where each clip begins, ends and passes, as fine as it was recorded.",
    columns=(
        *PARTITION_COLUMNS,
        _CLIP,
        Column("positions", "int64", "Grid instants with a position", minimum=1),
        Column("first_lat_deg", "float64", "WGS84 latitude of the first one", minimum=-90, maximum=90),
        Column("first_lon_deg", "float64", "WGS84 longitude of the first one", minimum=-180, maximum=180),
        Column("last_lat_deg", "float64", "WGS84 latitude of the last one", minimum=-90, maximum=90),
        Column("last_lon_deg", "float64", "WGS84 longitude of the last one", minimum=-180, maximum=180),
        Column("h3_cells", "string", "Fine H3 cells that it passes through, in order of text"),
    ),
    sort_by=("drive_id", "clip_id"),
    unique=("clip_id",),
    personal=True,
)

SEARCH_DOCUMENTS: Final = Table(
    key=("silver", "search_documents"),
    description="What clips of one day and depot are found by: text, tags, figures, and where their bytes are.",
    columns=(
        *PARTITION_COLUMNS,
        _CLIP,
        *_ABOUT,
        *FIGURES,
        *_SURROUNDINGS,
        *_WORDS,
        Column("text", "string", "Words of the document, from the sources that policies/catalog.yaml names"),
        *_ADDRESSES,
        Column("dataset_version", "string", "Digest over the digests of the drive's files behind this row"),
    ),
    sort_by=("drive_id", "start_ns"),
    unique=("clip_id",),
)

WORD_COLUMNS: Final = ("h3_cells", "has", "tags")
"""Text columns of search documents that hold several words, each of which can be asked for."""
CATALOG: Final = (CLIP_CATALOG, CLIP_COVERAGE, CLIP_POSITIONS, SEARCH_DOCUMENTS)
