"""Tables of telemetry batches: what came, what is taken of it by hour, and what is held back."""

from typing import Final

from fleet_assets.tables.schema import Column, Table, TableKind

_HOUR: Final = Column("hour", "string", "UTC hour of the message's own time, YYYY-MM-DD-HH:00")
_HELD: Final = (
    Column("rule", "string", "Rule that was broken"),
    Column("value", "string", "What was found; of several the first in order of text"),
    Column("limit", "string", "What the rule allows"),
    Column("remedy", "string", "What to do next"),
    Column("message_id", "string", "Message in which the value was found", nullable=True),
    Column("count", "int64", "Different messages or lines that break the rule", minimum=1),
)

TELEMETRY_BATCHES: Final = Table(
    key=("bronze", "telemetry_batches"),
    description="Every telemetry batch that was read, once per content: what lay in it and which hours it touches.",
    columns=(
        Column("batch", "string", "SHA-256 of the file"),
        Column("name", "string", "Name in the landing zone when it was read"),
        Column("stamp", "string", "State of that file, by which the landing zone tells it from a later one"),
        Column("bytes", "int64", "Size of the file", minimum=0),
        Column("received_day", "string", "UTC day on which it was read, YYYY-MM-DD"),
        Column("lines", "int64", "Lines in it; a rest that could not be read counts as one", minimum=0),
        Column("messages", "int64", "Lines that are messages", minimum=0),
        Column("duplicates", "int64", "Messages that the same batch has before", minimum=0),
        Column("first_t_ns", "int64", "Earliest time of a message", nullable=True),
        Column("last_t_ns", "int64", "Latest time of a message", nullable=True),
        Column("hours", "string", "JSON: by hour the number of messages, their schemas and their depots"),
        Column("problem", "string", "Why it could not be read to its end", nullable=True),
    ),
    sort_by=("batch",),
    unique=("batch",),
    kind=TableKind.LOG,
    partition_by=(),
    personal=True,
)

TELEMETRY_LINES: Final = Table(
    key=("bronze", "telemetry_lines"),
    description="Every line of every telemetry batch as it came, parsed once, neither judged nor freed of duplicates.",
    columns=(
        Column("batch", "string", "Batch that the line came in"),
        Column("line", "int64", "Number of the line, counted from 1", minimum=1),
        Column("bytes", "int64", "Length of the line", minimum=0),
        Column("sha256", "string", "Digest of the message's content, or of the line where it is no message"),
        Column("hour", "string", "UTC hour of the message's own time; null where it is no message", nullable=True),
        Column("message_id", "string", "Message id as the vehicle gave it", nullable=True),
        Column("id_key", "int64", "First 64 bits of the id's digest, to find ids that occur in several hours"),
        Column("vehicle_id", "string", "Vehicle that sent it", nullable=True),
        Column("depot", "string", "Depot that the vehicle belongs to", nullable=True),
        Column("schema", "string", "Schema and version that it names", nullable=True),
        Column("t_ns", "int64", "The message's own time, UTC nanoseconds", nullable=True),
        Column("payload", "string", "Payload, canonical JSON", nullable=True),
        Column("rule", "string", "Why it is no message", nullable=True),
        Column("value", "string", "What was found instead", nullable=True),
        Column("limit", "string", "What is allowed", nullable=True),
    ),
    sort_by=("batch", "line"),
    unique=("batch", "line"),
    kind=TableKind.LOG,
    partition_by=(),
    personal=True,
)

TELEMETRY: Final = Table(
    key=("bronze", "telemetry"),
    description="Telemetry messages of one UTC hour that keep their schema, each message id once, over all batches.",
    columns=(
        _HOUR,
        Column("message_id", "string", "Message id, unique over the fleet"),
        Column("vehicle_id", "string", "Vehicle that sent it"),
        Column("depot", "string", "Depot that the vehicle belongs to"),
        Column("t_ns", "int64", "The message's own time, UTC nanoseconds"),
        Column("schema", "string", "Schema of the payload, policies/telemetry_schemas"),
        Column("schema_version", "string", "Version of the schema, MAJOR.MINOR.PATCH"),
        Column("payload", "string", "Payload, canonical JSON: payload ->> 'FIELD' in SQL"),
        Column("sha256", "string", "Digest of the message's content"),
    ),
    sort_by=("vehicle_id", "t_ns", "message_id"),
    unique=("message_id",),
    kind=TableKind.ROLLUP,
    partition_by=("hour",),
    personal=True,
)

TELEMETRY_QUARANTINE: Final = Table(
    key=("bronze", "telemetry_quarantine"),
    description="Telemetry messages of one UTC hour that are held back: unknown schema or depot, payload, conflict.",
    columns=(
        _HOUR,
        Column("vehicle_id", "string", "Vehicle that sent them"),
        Column("depot", "string", "Depot that they name"),
        Column("schema", "string", "Schema and version that they name"),
        *_HELD,
    ),
    sort_by=("vehicle_id", "depot", "schema", "rule"),
    unique=("vehicle_id", "depot", "schema", "rule"),
    kind=TableKind.ROLLUP,
    partition_by=("hour",),
    personal=True,
)

TELEMETRY_REFUSED: Final = Table(
    key=("landing", "telemetry_quarantine"),
    description="Lines of telemetry batches that belong to no hour: no message, or a time that is not taken.",
    columns=(
        Column("batch", "string", "Batch, where the rule is about it as a whole", nullable=True),
        Column("vehicle_id", "string", "Vehicle, where the line names one", nullable=True),
        Column("depot", "string", "Depot, where the line names one", nullable=True),
        Column("schema", "string", "Schema, where the line names one", nullable=True),
        *_HELD,
    ),
    sort_by=("batch", "vehicle_id", "depot", "schema", "rule"),
    unique=("batch", "vehicle_id", "depot", "schema", "rule"),
    kind=TableKind.ROLLUP,
    partition_by=(),
    personal=True,
)

TELEMETRY_TABLES: Final = (
    TELEMETRY_BATCHES,
    TELEMETRY_LINES,
    TELEMETRY,
    TELEMETRY_QUARANTINE,
    TELEMETRY_REFUSED,
)
