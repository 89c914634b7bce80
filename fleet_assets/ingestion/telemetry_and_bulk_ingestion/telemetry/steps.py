"""The steps of telemetry batches in graph order: each operator with its function and the way it finds its units."""

from typing import Final

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.operators import (
    COLLECT,
    RECEIVE,
    REFUSE_LINES,
    collect_hour,
    receive_batches,
    refuse_lines,
)
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.state import (
    hour_units,
    read_telemetry,
    receipt_units,
    refused_units,
)
from fleet_assets.provenance.restate import Step

RECEIVE_STEP: Final = Step(RECEIVE, receive_batches, read_telemetry, receipt_units)
COLLECT_STEP: Final = Step(COLLECT, collect_hour, read_telemetry, hour_units)
REFUSE_LINES_STEP: Final = Step(REFUSE_LINES, refuse_lines, read_telemetry, refused_units)
TELEMETRY_STEPS: Final = (RECEIVE_STEP, COLLECT_STEP, REFUSE_LINES_STEP)
