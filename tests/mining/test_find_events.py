"""The step that finds events: triggers are compiled once per vehicle, however many drives a process sees."""

import pickle
from typing import Any

from fleet_assets.mining.scene_detection_and_event_triggers.operators import compiled_for
from fleet_assets.policy.documents import Policies
from fleet_assets.provenance.restate import UnitTask
from tests.memory_lake import MemoryFiles
from tests.vehicles import CANONICAL, POLICIES


def task(drive_id: str, spec: str = "sim_car", vehicle: str = "car1", policies: Policies = POLICIES) -> UnitTask:
    """A drive's task as a worker gets it: with policies of its own, pickled on their way."""
    drive = {"drive_id": drive_id, "vehicle_spec": spec, "vehicle_id": vehicle}
    sent = pickle.loads(pickle.dumps(policies))  # noqa: S301 - what was pickled a moment before
    return UnitTask(drive_id, ("2024-05-01", "north"), {}, {"drive": drive}, sent, {}, MemoryFiles())


def changed(**parts: Any) -> Policies:
    return Policies({**POLICIES.documents, "triggers": {**POLICIES["triggers"], **parts}})


def test_the_triggers_of_a_vehicle_are_compiled_once_for_all_of_its_drives() -> None:
    first = compiled_for(task("a"), CANONICAL)
    assert compiled_for(task("b"), CANONICAL) is first


def test_another_vehicle_type_or_policy_has_triggers_of_its_own() -> None:
    shorter = changed(parameters={**POLICIES["triggers"]["parameters"], "front": "2 m"})
    for_two = changed(overrides=[{"vehicle": "car2", "parameters": {"front": "1 m"}}])
    usual = compiled_for(task("a"), CANONICAL).parameters["front"].value
    assert compiled_for(task("a", policies=shorter), CANONICAL).parameters["front"].value == 2.0
    assert compiled_for(task("a", policies=for_two), CANONICAL).parameters["front"].value == usual
    assert compiled_for(task("a", vehicle="car2", policies=for_two), CANONICAL).parameters["front"].value == 1.0
    assert compiled_for(task("a", spec="boreas"), CANONICAL) is not compiled_for(task("a"), CANONICAL)
