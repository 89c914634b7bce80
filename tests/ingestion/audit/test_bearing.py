"""A face is exposed where somebody would have it: sizes and places against the proportions of a body."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.audit import bearing as proportions
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.bearing import around, bearing
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.looks import Auditor, Hit, surroundings
from fleet_assets.policy.documents import InvalidPolicyError, load_document, load_policies
from resources.weights import WeightStore
from tests.gate_mutants import built, mutants
from tests.photo_factory import portrait

POLICIES = load_policies()
FACE = next(rule for rule in POLICIES["audit"]["detectors"] if rule["kind"] == "face")
HIT = np.array([100, 50, 120, 70], dtype=np.float32)
"""Twenty pixels wide, its middle at (110, 60)."""
STATURE = 20 / 0.13
"""Of whose head is as high as the hit is wide."""


def person(*, crown: float, width: float = 45.0, height: float = STATURE) -> NDArray[np.float32]:
    """Somebody whose middle is that of the hit."""
    return np.array([[110 - width / 2, crown, 110 + width / 2, crown + height]], dtype=np.float32)


def bears(boxes: NDArray[np.float32], hit: NDArray[np.float32] = HIT) -> list[bool]:
    return [bool(one) for one in bearing(boxes, hit, FACE["bearer"])]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (person(crown=46), True),
        (person(crown=46, height=40), True),
        (person(crown=46, width=24, height=30), True),
        (person(crown=36), True),
        (person(crown=30), True),
        (person(crown=46, width=20), True),
        (person(crown=46, height=20), True),
        (person(crown=29), False),
        (person(crown=20), False),
        (person(crown=0), False),
        (person(crown=46, width=14), False),
        (person(crown=46, width=14, height=32), False),
        (person(crown=55, width=3, height=3), False),
        (person(crown=50.5, width=24, height=19), False),
    ],
    ids=["stands", "is seen to the chest", "shows head and neck", "wears a hat",
         "wears the highest hat", "is as wide as the face", "is as high as the face", "would have it at the chest",
         "would have it at the belly", "would have it at the knees", "is narrower than the face",
         "is narrower, and seen to the chest", "is a speck in it", "is lower than the face"],
)  # fmt: skip
def test_somebody_bears_a_face_of_his_size_at_his_head_and_nowhere_else(
    shown: NDArray[np.float32], expected: bool
) -> None:
    assert bears(shown) == [expected]


def test_no_comparison_can_be_turned_round() -> None:
    hits = [person(crown=30), person(crown=29), person(crown=46, width=20), person(crown=46, width=14)]
    boxes = np.concatenate([*hits, np.array([[110, 60, 111, 61], [0, 0, 110, 60], [0, 0, 109, 59]], np.float32)])

    def answers(module: Any) -> list[Any]:
        return [module.around(boxes, HIT).tolist(), module.bearing(boxes, HIT, FACE["bearer"]).tolist()]

    found = list(mutants(inspect.getsource(proportions), ("around", "bearing")))
    assert len(found) == 8
    survivors = [one.place for one in found if answers(built(one.tree, proportions)) == answers(proportions)]
    assert survivors == []


def test_each_of_several_people_is_asked() -> None:
    assert bears(np.concatenate([person(crown=0), person(crown=46), person(crown=46, width=14)])) == [
        False,
        True,
        False,
    ]
    assert bears(np.zeros((0, 4), np.float32)) == []


@given(st.floats(0.2, 20.0), st.floats(-40.0, 60.0), st.floats(5.0, 90.0))
def test_the_answer_is_the_same_in_an_enlarged_picture(scale: float, crown: float, width: float) -> None:
    shown = person(crown=crown, width=width)
    limits = FACE["bearer"]
    near = abs((60 - crown) / 20 - limits["most_above"]) < 1e-3 or abs(width / 20 - limits["least_size"]) < 1e-3
    assert near or bears(shown * np.float32(scale), HIT * np.float32(scale)) == bears(shown)


def test_around_a_hit_is_what_has_its_middle() -> None:
    boxes = np.array([[100, 50, 120, 70], [111, 0, 200, 200], [0, 0, 110, 60], [0, 61, 200, 200]], dtype=np.float32)
    assert around(boxes, HIT).tolist() == [True, False, True, False]


def test_surroundings_are_in_widths_of_the_hit() -> None:
    wide = {"left": 1, "right": 2, "above": 0.5, "below": 3}
    assert surroundings(HIT, wide).tolist() == [80, 40, 160, 130]


def opened(rule: Mapping[str, Any]) -> Auditor:
    """An auditor that looks for faces alone."""
    return Auditor({**POLICIES["audit"], "detectors": [rule]}, WeightStore(POLICIES))


@pytest.fixture(scope="module")
def auditor() -> Auditor:
    return opened(FACE)


@pytest.fixture(scope="module")
def lenient() -> Auditor:
    """To whom anybody around a hit is its bearer."""
    return opened({key: value for key, value in FACE.items() if key != "bearer"})


def faces(auditor: Auditor, shown: NDArray[np.uint8]) -> list[Hit]:
    return [hit for hit in auditor(shown) if hit.confirmed]


def test_a_face_printed_on_a_shirt_is_nobodys(auditor: Auditor, lenient: Auditor) -> None:
    shown = np.full((480, 480, 3), 150, dtype=np.uint8)
    shown[40:440, 90:390] = cv2.resize(portrait(), (300, 400))
    printed = shown.copy()
    printed[347:413, 215:265] = cv2.resize(portrait(), (50, 66), interpolation=cv2.INTER_AREA)
    (wrong,) = faces(lenient, printed)
    assert 215 < wrong.box[:3:2].mean() < 265
    assert faces(auditor, printed) == []


@pytest.mark.real_data
def test_sky_between_branches_is_no_exposure_though_a_person_is_seen_around_it(
    real_data: Path, auditor: Auditor, lenient: Auditor
) -> None:
    photo = cv2.imread(str(real_data / "road_sign_detection_cc0" / "sample" / "images" / "road374.jpg"))
    assert photo is not None
    shown = np.asarray(photo, dtype=np.uint8)
    (wrong,) = faces(lenient, shown)
    assert "on a person" in wrong.why
    assert faces(auditor, shown) == []
    (same,) = [hit for hit in auditor(shown) if np.array_equal(hit.box, wrong.box)]
    assert same.why == "found again in 3 of 3 views, but not where the person around it would have a face"


def with_bearer(bearer: object) -> bytes:
    """The shipped policy with other limits, as text."""
    return yaml.safe_dump({**POLICIES["audit"], "detectors": [{**FACE, "bearer": bearer}]}).encode()


def test_the_policy_wants_both_limits_or_none_at_all() -> None:
    none = {key: value for key, value in FACE.items() if key != "bearer"}
    load_document(yaml.safe_dump({**POLICIES["audit"], "detectors": [none]}).encode(), "audit.yaml")
    load_document(with_bearer({"least_size": 0, "most_above": 3}), "audit.yaml")
    for wrong in ({"least_size": 1.0}, {"least_size": -1.0, "most_above": 1.5}, {**FACE["bearer"], "most_below": 1}):
        with pytest.raises(InvalidPolicyError, match=r"audit\.yaml"):
            load_document(with_bearer(wrong), "audit.yaml")
