"""Tables of what is withheld for people's sake; nothing in them says where."""

from typing import Final

from fleet_assets.tables.schema import PARTITION_COLUMNS, Column, Table

WITHHELD_POSITIONS: Final = Table(
    key=("silver", "withheld_positions"),
    description="Stretches of drives whose positions are withheld in silver.signals, with the reason.",
    columns=(
        *PARTITION_COLUMNS,
        Column("start_ns", "int64", "First grid instant without position, UTC nanoseconds"),
        Column("end_ns", "int64", "Last one, inclusive"),
        Column("instants", "int64", "Grid instants", minimum=1),
        Column(
            "reason",
            "string",
            "Near where the drive begins or ends standing, or near a place of policies/privacy.yaml",
            values=("first_stop", "last_stop", "place"),
        ),
    ),
    sort_by=("drive_id", "start_ns"),
    unique=("drive_id", "start_ns"),
)
