"""The steps of this area in graph order: each operator with its function and the way it finds its units."""

from functools import partial
from typing import Final

from fleet_assets.mining.scene_detection_and_event_triggers.operators import (
    CUT_SCENES,
    FIND_EVENTS,
    cut_scenes,
    find_events,
)
from fleet_assets.mining.units import mining_units, read_mining
from fleet_assets.provenance.restate import Step

EVENTS_STEP: Final = Step(FIND_EVENTS, find_events, read_mining, partial(mining_units, FIND_EVENTS))
SCENES_STEP: Final = Step(CUT_SCENES, cut_scenes, read_mining, partial(mining_units, CUT_SCENES))
MINING_STEPS: Final = (EVENTS_STEP, SCENES_STEP)
