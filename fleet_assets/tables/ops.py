"""Tables about the platform itself."""

from typing import Final

from fleet_assets.tables.schema import Column, Table, TableKind

REQUESTS: Final = Table(
    key=("ops", "requests"),
    description="Feedback edges as data: who asked for what and why. Content-addressed: a retry is the same request.",
    columns=(
        Column("request_id", "string", "SHA-256 over kind, body and cause"),
        Column("kind", "string", "What is asked for"),
        Column("body", "string", "Parameters, canonical JSON"),
        Column("cause", "string", "What led to it: an asset partition, a person, or another request (request:ID)"),
    ),
    sort_by=("request_id",),
    unique=("request_id",),
    kind=TableKind.LOG,
    partition_by=(),
)

DAILY_COVERAGE: Final = Table(
    key=("ops", "daily_coverage"),
    description="One UTC day over all depots: drives, hours, kilometres, and how many depots reported.",
    columns=(
        Column("day", "string", "UTC day, YYYY-MM-DD"),
        Column("depot", "string", "Depot, or * for the whole fleet"),
        Column("depots_reported", "int32", "Depots with at least one drive that day", minimum=0),
        Column("drives", "int64", "Drives registered", minimum=0),
        Column("quarantined", "int64", "Drives held back", minimum=0),
        Column("hours", "float64", "Hours on the silver grid", minimum=0),
        Column("distance_km", "float64", "Distance from the speed signal", minimum=0),
    ),
    sort_by=("day", "depot"),
    unique=("day", "depot"),
    kind=TableKind.ROLLUP,
    partition_by=("day",),
)

LANDING_QUARANTINE: Final = Table(
    key=("landing", "quarantine"),
    description="What belongs to no partition: unreadable manifest, unknown depot, before the first day, unnamed map.",
    columns=(
        Column("upload", "string", "Folder in the landing zone"),
        Column("drive_id", "string", "Drive, where the manifest states one", nullable=True),
        Column("scope", "string", "Always the upload"),
        Column("rule", "string", "Rule that was broken"),
        Column("value", "string", "What was found"),
        Column("limit", "string", "What the rule allows"),
        Column("remedy", "string", "What to do next"),
    ),
    sort_by=("upload", "rule"),
    unique=("upload", "rule"),
    kind=TableKind.ROLLUP,
    partition_by=(),
    personal=True,
)

OPS: Final = (REQUESTS, DAILY_COVERAGE, LANDING_QUARANTINE)
