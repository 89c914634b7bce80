"""The auditor's look for plates: what can be read as a plate, on a vehicle, is exposed; a bar of its shape is not."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.looks import Auditor
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.text_look import TextLook
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.cover import CoverRule, covered
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.plan import Area
from fleet_assets.perception.reading import Reading
from fleet_assets.policy.documents import load_policies
from resources.weights import WeightStore
from services.fleet_simulator.camera.plates import plate_picture

POLICIES = load_policies()
RULE = next(rule for rule in POLICIES["audit"]["detectors"] if rule["kind"] == "plate")
PLATE = (150, 130, 246, 154)
"""Where a plate hangs in a picture of a wall."""


@pytest.fixture(scope="module")
def weights() -> WeightStore:
    return WeightStore(POLICIES)


@pytest.fixture(scope="module")
def look(weights: WeightStore) -> TextLook:
    return TextLook(RULE, weights)


def with_plate(shown: NDArray[np.uint8], place: tuple[int, int, int, int], text: str | None) -> NDArray[np.uint8]:
    """A picture with a plate, or a dark bar of its shape."""
    left, top, right, bottom = place
    plate = np.full((32, 128, 3), 20, np.uint8) if text is None else plate_picture(text)[..., 2::-1]
    shown = shown.copy()
    shown[top:bottom, left:right] = cv2.resize(plate, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return shown


def wall(text: str | None) -> NDArray[np.uint8]:
    return with_plate(np.full((240, 400, 3), 110, dtype=np.uint8), PLATE, text)


@pytest.mark.parametrize(
    ("text", "score", "is_plate"),
    [
        ("QX BK 4821", 0.9, True),
        ("7ABC123", 0.8, True),
        ("B-MW 123", 0.7, True),
        ("QX BK 4821", 0.3, False),
        ("80", 0.99, False),
        ("STOP", 0.99, False),
        ("MAERSK LINE", 0.99, False),
        ("12345678", 0.99, False),
        ("0171 2345678", 0.99, False),
        ("", 0.0, False),
    ],
)
def test_a_plate_has_letters_and_digits_and_is_read_for_sure(
    look: TextLook, text: str, score: float, is_plate: bool
) -> None:
    assert look.is_plate(Reading(text, score)) is is_plate


def test_a_plate_is_found_and_read_and_a_dark_bar_or_a_covered_plate_is_not(look: TextLook) -> None:
    def answers(shown: NDArray[np.uint8]) -> list[int]:
        return [look.again(shown, box)[0] for box in look.found(shown, RULE["scale"]).boxes]

    assert max(answers(wall("QX BK 4821"))) >= RULE["least_again"]
    assert max(answers(wall(None)), default=0) == 0
    area = Area("plate", 0, *PLATE, detected=True, score=1.0)
    hidden = covered(wall("QX BK 4821"), [area], CoverRule.from_policy(POLICIES["redaction"]))
    assert max(answers(hidden), default=0) == 0


def test_the_reason_does_not_repeat_what_the_plate_says(look: TextLook) -> None:
    shown = wall("QX BK 4821")
    words = [look.again(shown, box)[1] for box in look.found(shown, RULE["scale"]).boxes]
    assert words
    assert not any("4821" in one for one in words)


def test_what_reads_like_a_plate_but_hangs_on_no_vehicle_is_a_question(weights: WeightStore) -> None:
    hits = [hit for hit in Auditor(POLICIES["audit"], weights)(wall("QX BK 4821")) if hit.kind == "plate"]
    assert hits
    assert not any(hit.confirmed for hit in hits)
    assert any("no car" in hit.why for hit in hits)


@pytest.mark.real_data
def test_a_plate_on_a_real_car_is_confirmed_and_a_bar_or_a_covered_one_on_it_is_not(
    real_data: Path, weights: WeightStore
) -> None:
    folder = real_data / "driving_videos" / "sample" / "carnd_lanelines_stills"
    still = cv2.imread(str(folder / "solidYellowCurve.jpg"))
    assert still is not None
    car = cv2.resize(still[270:370, 810:950], None, fx=3.5, fy=3.5, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    place = (200, 175, 290, 198)
    auditor = Auditor(POLICIES["audit"], weights)

    def confirmed(shown: NDArray[np.uint8]) -> list[str]:
        return [hit.kind for hit in auditor(shown) if hit.confirmed]

    assert confirmed(car) == []
    assert confirmed(with_plate(car, place, "QX BK 4821")) == ["plate"]
    assert confirmed(with_plate(car, place, None)) == []
    area = Area("plate", 0, *place, detected=True, score=1.0)
    rule = CoverRule.from_policy(POLICIES["redaction"])
    assert confirmed(covered(with_plate(car, place, "QX BK 4821"), [area], rule)) == []
