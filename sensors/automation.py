"""The sensors that tick the automation conditions, one per area."""

import dagster as dg


def area_automation(area: str, keys: list[dg.AssetKey]) -> dg.AutomationConditionSensorDefinition:
    """Ticks the conditions of one area's assets."""
    return dg.AutomationConditionSensorDefinition(
        name=f"{area}_automation",
        target=dg.AssetSelection.assets(*keys),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description=f"Requests {area} partitions whose upstream changed and whose gates passed.",
    )
