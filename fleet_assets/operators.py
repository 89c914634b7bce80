"""The steps of all areas in graph order: what the sweep looks after and `fleet plan` shows."""

from typing import Final

from fleet_assets.ingestion.map_and_weather_enrichment.state import ENRICHMENT_STEPS
from fleet_assets.ingestion.steps import STEPS as INGESTION_STEPS
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.steps import TELEMETRY_STEPS
from fleet_assets.mining.steps import MINING_STEPS

STEPS: Final = (*INGESTION_STEPS, *TELEMETRY_STEPS, *ENRICHMENT_STEPS, *MINING_STEPS)
