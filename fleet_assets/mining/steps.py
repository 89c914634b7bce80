"""The steps of this area in graph order: each operator with its function and the way it finds its units."""

from functools import partial
from typing import Final

from fleet_assets.mining.embeddings_and_vector_index.operators import (
    EMBED_CLIPS,
    EMBED_PICTURES,
    LIST_VECTORS,
    embed_clips,
    embed_pictures,
    list_vectors,
)
from fleet_assets.mining.scenario_mining.operators import MINE, answer_request
from fleet_assets.mining.scenario_mining.units import read_requests, request_units
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
PICTURE_VECTORS_STEP: Final = Step(EMBED_PICTURES, embed_pictures, read_mining, partial(mining_units, EMBED_PICTURES))
CLIP_VECTORS_STEP: Final = Step(EMBED_CLIPS, embed_clips, read_mining, partial(mining_units, EMBED_CLIPS))
VECTOR_LIST_STEP: Final = Step(LIST_VECTORS, list_vectors, read_mining, partial(mining_units, LIST_VECTORS))
MINE_STEP: Final = Step(MINE, answer_request, read_requests, request_units)
MINING_STEPS: Final = (EVENTS_STEP, SCENES_STEP, PICTURE_VECTORS_STEP, CLIP_VECTORS_STEP, VECTOR_LIST_STEP, MINE_STEP)
