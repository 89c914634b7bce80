"""Bronze tables: what came off the vehicles, decoded but neither cleaned nor aligned."""

from typing import Final

from fleet_assets.tables.schema import PARTITION_COLUMNS, Column, Table, TableKind

DRIVES: Final = Table(
    key=("bronze", "drives"),
    description="Drives of one day and depot, registered when their upload was complete; rejected ones stay listed.",
    columns=(
        *PARTITION_COLUMNS,
        Column("vehicle_id", "string", "Vehicle that made the drive", free_text=True),
        Column("vehicle_spec", "string", "Name of the vehicle spec that maps its channels"),
        Column("format", "string", "Recording format"),
        Column("start_ns", "int64", "Corrected start, UTC nanoseconds"),
        Column("end_ns", "int64", "Corrected end, UTC nanoseconds"),
        Column("duration_s", "float64", "End minus start", minimum=0),
        Column("time_source", "string", "Where UTC comes from", values=("gnss", "sensor", "container", "given")),
        Column("clock_offset_ns", "int64", "UTC minus the recording's own clock at the start"),
        Column("bytes", "int64", "Bytes of all files", minimum=0),
        Column("manifest_sha256", "string", "Digest of the manifest that registered the drive"),
        Column("revision", "int32", "Upload revision; a correction carries a higher one", minimum=0),
        Column("status", "string", "Result of landing", values=("landed", "rejected")),
        Column("reason", "string", "Why it was rejected: rule, value, limit, remedy", nullable=True, free_text=True),
    ),
    sort_by=("drive_id",),
    unique=("drive_id",),
)

DRIVE_FILES: Final = Table(
    key=("bronze", "drive_files"),
    description="Files of the landed drives of one day and depot, each a content-addressed object.",
    columns=(
        *PARTITION_COLUMNS,
        Column("path", "string", "Name of the file inside the drive"),
        Column("bytes", "int64", "Size", minimum=0),
        Column("sha256", "string", "Digest of the bytes, which is also the object's address"),
        Column("format", "string", "Recording format"),
    ),
    sort_by=("drive_id", "path"),
    unique=("drive_id", "path"),
    personal=True,
)

INGESTION_LOG: Final = Table(
    key=("bronze", "ingestion_log"),
    description="What landing did with every upload of one day and depot, and when.",
    columns=(
        *PARTITION_COLUMNS,
        Column("event_id", "string", "Digest of upload, manifest and event: the same event is written once"),
        Column("upload", "string", "Folder in the landing zone"),
        Column(
            "event", "string", "What happened", values=("landed", "duplicate", "superseded", "rejected", "withdrawn")
        ),
        Column("detail", "string", "Reason or counterpart", nullable=True),
        Column("bytes", "int64", "Bytes of the upload", minimum=0),
        Column("logged_ns", "int64", "Wall clock of the platform, UTC nanoseconds"),
    ),
    sort_by=("drive_id", "event_id"),
    unique=("event_id",),
    kind=TableKind.LOG,
    partition_by=(),
    personal=True,
)

SENSOR_SAMPLES: Final = Table(
    key=("bronze", "sensor_samples"),
    description="Canonical signals at the rate they were sent at, decoded but neither cleaned nor aligned.",
    columns=(
        *PARTITION_COLUMNS,
        Column("sensor", "string", "Sensor of the vehicle spec"),
        Column("signal", "string", "Canonical signal"),
        Column("instance", "int32", "Index among equal objects, e.g. the radar slot; 0 otherwise", minimum=0),
        Column("t_ns", "int64", "Time of the message: recording clock plus drives.clock_offset_ns"),
        Column("value", "float64", "Value in the canonical unit", nullable=True),
        Column("valid", "bool", "Whether the sensor itself vouches for the value"),
    ),
    sort_by=("sensor", "signal", "instance", "t_ns"),
    presorted=True,
    personal=True,
)

SENSOR_STREAMS: Final = Table(
    key=("bronze", "sensor_streams"),
    description="Per drive and sensor: how many messages came, when, and what the reader lost.",
    columns=(
        *PARTITION_COLUMNS,
        Column(
            "sensor",
            "string",
            "Sensor of the vehicle spec, or the file name for losses outside any sensor",
            free_text=True,
        ),
        Column("messages", "int64", "Messages read", minimum=0),
        Column(
            "items",
            "int64",
            "What lies inside the messages, e.g. lidar packets, where counted",
            nullable=True,
            minimum=0,
        ),
        Column("first_t_ns", "int64", "First message", nullable=True),
        Column("last_t_ns", "int64", "Last message", nullable=True),
        Column("rate_hz", "float64", "Median rate; of frames, the one between lost ones", nullable=True, minimum=0),
        Column("backward_steps", "int64", "Messages older than their predecessor", minimum=0),
        Column("lost_bytes", "int64", "Bytes that could not be read", minimum=0),
        Column("lost_messages", "int64", "Messages lost, where countable", nullable=True, minimum=0),
        Column("broken_rule", "string", "Why nothing or not everything could be read", nullable=True),
        Column("message", "string", "The reader's words and the remedy", nullable=True, free_text=True),
        Column("silence_t_ns", "int64", "Start of the longest time without a message", nullable=True),
        Column("silence_ns", "int64", "How long it lasted", nullable=True, minimum=0),
    ),
    sort_by=("sensor",),
    unique=("drive_id", "sensor"),
)

INTEGRITY_FINDINGS: Final = Table(
    key=("bronze", "integrity_findings"),
    description="Every breach of an integrity rule in the drives of one day and depot.",
    columns=(
        *PARTITION_COLUMNS,
        Column("sensor", "string", "Sensor of the vehicle spec", free_text=True),
        Column("signal", "string", "Canonical signal, null when the rule is about the sensor", nullable=True),
        Column("instance", "int32", "Index among equal objects, null when all are meant", nullable=True),
        Column("rule", "string", "Rule of policies/integrity.yaml"),
        Column(
            "severity",
            "string",
            "note: reported · cut: kept out of silver · drive: the drive is quarantined",
            values=("note", "cut", "drive"),
        ),
        Column("t_ns", "int64", "First instant concerned"),
        Column("end_ns", "int64", "Last instant concerned, inclusive"),
        Column("value", "float64", "What was found", nullable=True),
        Column("limit", "float64", "What the policy allows", nullable=True),
        Column("message", "string", "The finding in words, with the remedy", free_text=True),
    ),
    sort_by=("drive_id", "sensor", "rule", "t_ns", "end_ns", "signal", "instance"),
)

QUARANTINE: Final = Table(
    key=("bronze", "quarantine"),
    description="Drives, or parts of them, that broke a rule and are left out downstream until released.",
    columns=(
        *PARTITION_COLUMNS,
        Column("scope", "string", "What is held back: drive, or sensor:NAME"),
        Column("rule", "string", "Rule that was broken"),
        Column("value", "string", "What was found", free_text=True),
        Column("limit", "string", "What the rule allows"),
        Column("remedy", "string", "What to do next", free_text=True),
        Column("first_seen_ns", "int64", "First instant of the recording that breaks the rule"),
        Column("released_by", "string", "Who released it and why; null while it holds", nullable=True),
    ),
    sort_by=("drive_id", "scope", "rule"),
    unique=("drive_id", "scope", "rule"),
)

BRONZE: Final = (DRIVES, DRIVE_FILES, INGESTION_LOG, SENSOR_SAMPLES, SENSOR_STREAMS, INTEGRITY_FINDINGS, QUARANTINE)
