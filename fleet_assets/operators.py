"""The steps of all areas in graph order: what the sweep looks after and `fleet plan` shows."""

from collections.abc import Sequence
from typing import Final

from fleet_assets.ingestion.map_and_weather_enrichment.state import ENRICHMENT_STEPS
from fleet_assets.ingestion.steps import STEPS as INGESTION_STEPS
from fleet_assets.ingestion.telemetry_and_bulk_ingestion.telemetry.steps import TELEMETRY_STEPS
from fleet_assets.mining.steps import MINING_STEPS
from fleet_assets.provenance.restate import Step


def in_graph_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Every step after those whose tables it reads, otherwise as given: an area may read what another one makes of it.

    Raises:
        ValueError: Naming the steps that wait for each other.
    """
    ordered: list[Step] = []
    left = list(steps)
    while left:
        to_come = {name for step in left for name in step.operator.outputs}
        ready = next((step for step in left if to_come.isdisjoint(step.operator.inputs)), None)
        if ready is None:
            names = ", ".join(step.operator.name for step in left)
            raise ValueError(f"operators wait for each other's tables: {names}. Take one of the inputs away")
        ordered.append(ready)
        left.remove(ready)
    return tuple(ordered)


STEPS: Final = in_graph_order((*INGESTION_STEPS, *TELEMETRY_STEPS, *ENRICHMENT_STEPS, *MINING_STEPS))
