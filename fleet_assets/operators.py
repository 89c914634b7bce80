"""The steps of all areas in graph order: what the sweep looks after and `fleet plan` shows."""

from typing import Final

from fleet_assets.ingestion.steps import STEPS as INGESTION_STEPS

STEPS: Final = (*INGESTION_STEPS,)
