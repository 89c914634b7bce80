"""Silver tables: cleaned, on one clock and one grid."""

from collections.abc import Mapping
from typing import Any, Final

from fleet_assets.tables.schema import PARTITION_COLUMNS, Column, Table

CLIPS: Final = Table(
    key=("silver", "clips"),
    description="Fixed-length clips of the drives of one day and depot; the last one of a drive may be shorter.",
    columns=(
        *PARTITION_COLUMNS,
        Column("clip_id", "string", "Clip"),
        Column("start_ns", "int64", "First grid instant, UTC nanoseconds"),
        Column("end_ns", "int64", "End, exclusive, UTC nanoseconds"),
    ),
    sort_by=("drive_id", "start_ns"),
    unique=("clip_id",),
)

RADAR_TRACKS: Final = Table(
    key=("silver", "radar_tracks"),
    description="Objects seen by radar at the radar's own rate, on corrected time, from the ego reference point.",
    columns=(
        *PARTITION_COLUMNS,
        Column("clip_id", "string", "Clip"),
        Column("t_ns", "int64", "Corrected time, UTC nanoseconds"),
        Column("sensor", "string", "Radar that saw the object"),
        Column("track", "int32", "Slot of the object in the radar's list", minimum=0),
        Column("distance_m", "float64", "Longitudinal distance, forward positive", nullable=True),
        Column("lateral_m", "float64", "Lateral offset, left positive", nullable=True),
        Column("rel_speed_mps", "float64", "Relative longitudinal speed, positive when it draws away", nullable=True),
    ),
    sort_by=("drive_id", "t_ns", "sensor", "track"),
    unique=("drive_id", "t_ns", "sensor", "track"),
)

CLOCK_MODELS: Final = Table(
    key=("silver", "clock_models"),
    description="How each sensor's clock runs against UTC: corrected = t + offset + drift * (t - reference).",
    columns=(
        *PARTITION_COLUMNS,
        Column("sensor", "string", "Sensor of the vehicle spec"),
        Column("segment", "int32", "Stretch between two jumps, counted from 0", minimum=0),
        Column("start_ns", "int64", "First instant of the stretch before correction"),
        Column("reference_ns", "int64", "Instant at which the offset holds"),
        Column("offset_ns", "int64", "Correction added at the reference instant"),
        Column("offset_se_ns", "float64", "Standard error of the offset", nullable=True, minimum=0),
        Column("drift_ppm", "float64", "Correction's slope, parts per million"),
        Column("drift_se_ppm", "float64", "Standard error of the drift", nullable=True, minimum=0),
        Column("jump_ns", "int64", "Step of the clock at the start of the stretch, 0 for the first"),
        Column("samples", "int64", "Time pairs behind the estimate", minimum=0),
        Column("source", "string", "What UTC was taken from"),
        Column("skew_ns", "int64", "Measured lag against the redundant sensor", nullable=True),
        Column("skew_se_ns", "float64", "Standard error of that lag", nullable=True, minimum=0),
    ),
    sort_by=("drive_id", "sensor", "segment"),
    unique=("drive_id", "sensor", "segment"),
)


LIDAR_SWEEPS: Final = Table(
    key=("silver", "lidar_sweeps"),
    description="Sweeps of lidars on corrected time; their points are rows of the arrays in the object.",
    columns=(
        *PARTITION_COLUMNS,
        Column("clip_id", "string", "Clip that holds the first instant"),
        Column("sensor", "string", "Lidar of the vehicle spec"),
        Column("sweep", "int32", "Number of the sweep in the object", minimum=0),
        Column("t_ns", "int64", "Corrected time of the earliest point, UTC nanoseconds"),
        Column("end_ns", "int64", "Corrected time of the latest point, UTC nanoseconds"),
        Column("points", "int64", "Points", minimum=1),
        Column("first_point", "int64", "Index of its first point in the arrays", minimum=0),
        Column("uri", "string", "Address of the object: a zip of Zarr v3 arrays"),
        Column("sha256", "string", "Digest of the object"),
    ),
    sort_by=("drive_id", "sensor", "sweep"),
    unique=("drive_id", "sensor", "sweep"),
)

LIDAR_SHARDS: Final = Table(
    key=("silver", "lidar_shards"),
    description="Per drive and lidar: what its messages gave, what was left out and why, and the object made of it.",
    columns=(
        *PARTITION_COLUMNS,
        Column("sensor", "string", "Lidar of the vehicle spec"),
        Column("calibration", "string", "Calibration that the spec names", nullable=True),
        Column("messages", "int64", "Messages read", minimum=0),
        Column("broken_messages", "int64", "Messages that gave nothing for a reason", minimum=0),
        Column("packets", "int64", "Packets in the other messages", minimum=0),
        Column("broken_packets", "int64", "Packets left out", minimum=0),
        Column("broken_blocks", "int64", "Blocks left out of sound packets", minimum=0),
        Column("sweeps", "int64", "Sweeps in the object", minimum=0),
        Column("points", "int64", "Points in the object", minimum=0),
        Column("cut_sweeps", "int64", "Sweeps left out since a finding covers them", minimum=0),
        Column("outside_sweeps", "int64", "Sweeps left out since they lie in no clip", minimum=0),
        Column("problems", "string", "What was broken, and how often", nullable=True, free_text=True),
        Column("bytes", "int64", "Size of the object", minimum=0),
        Column("uri", "string", "Address of the object; null where there is no sweep", nullable=True),
        Column("sha256", "string", "Digest of the object", nullable=True),
    ),
    sort_by=("drive_id", "sensor"),
    unique=("drive_id", "sensor"),
)

KEYFRAMES: Final = Table(
    key=("silver", "keyframes"),
    description="Pictures of the drives' cameras that later areas see, from redacted media only, each with its reason.",
    columns=(
        *PARTITION_COLUMNS,
        Column("clip_id", "string", "Clip that holds the instant"),
        Column("camera", "string", "Camera of the vehicle spec"),
        Column("t_ns", "int64", "Corrected capture time, UTC nanoseconds"),
        Column("stamp_ns", "int64", "When the camera itself states to have taken it, on its own clock", nullable=True),
        Column("frame", "int64", "Number of the picture in its redacted media", minimum=0),
        Column("reason", "string", "Why it was taken", values=("event", "scene_change", "interval")),
        Column("width", "int32", "Columns of the picture", minimum=1),
        Column("height", "int32", "Rows of the picture", minimum=1),
        Column("jpeg_sha256", "string", "Digest of the picture's JPEG file"),
        Column("shard_row", "int32", "Row of the picture in its shard", minimum=0),
        Column("sha256", "string", "Digest of the shard"),
        Column("uri", "string", "Address of the shard, a Parquet file"),
    ),
    sort_by=("drive_id", "camera", "t_ns"),
    unique=("drive_id", "camera", "t_ns"),
)


SILVER: Final = (RADAR_TRACKS, CLIPS, CLOCK_MODELS, LIDAR_SHARDS, LIDAR_SWEEPS, KEYFRAMES)
"""All but `silver.signals`, which has its columns from the canonical signals."""


def signals_table(canonical: Mapping[str, Any]) -> Table:
    """`silver.signals`: one column per canonical signal that is on the grid.

    Args:
        canonical: The document `canonical_signals` of the policies.
    """
    grid_ms = canonical["grid_ms"]
    grid = tuple(
        Column(name, signal["type"], signal["description"], nullable=True)
        for name, signal in canonical["signals"].items()
        if signal.get("grid", True)
    )
    return Table(
        key=("silver", "signals"),
        description=f"All canonical signals of the drives of one day and depot on one {grid_ms} ms grid, UTC.",
        columns=(
            *PARTITION_COLUMNS,
            Column("clip_id", "string", "Clip that holds the instant"),
            Column("t_ns", "int64", f"Grid instant, UTC nanoseconds, a multiple of {grid_ms} ms"),
            *grid,
        ),
        sort_by=("drive_id", "t_ns"),
        unique=("drive_id", "t_ns"),
    )
