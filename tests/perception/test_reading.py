"""Reading lines: clear text is read, covered text is not, and repetitions are told from double letters."""

import cv2
import numpy as np
import pytest

from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.cover import CoverRule, covered
from fleet_assets.ingestion.integrity_and_pii_redaction.redaction.plan import Area
from fleet_assets.perception.reading import LineReader, read_off
from resources.weights import WeightStore


@pytest.fixture(scope="module")
def reader(weights: WeightStore) -> LineReader:
    opened = weights.open("ppocr_v4_reader")
    return LineReader(opened.files["model"], opened.input)


def line(text: str, height: int = 60) -> np.ndarray:
    shown = np.full((height, 26 * len(text) + 20, 3), 235, dtype=np.uint8)
    cv2.putText(shown, text, (10, height - 18), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (10, 10, 10), 3, cv2.LINE_AA)
    return shown


@pytest.mark.parametrize("text", ["BK4821", "WELCOME", "HA7733"])
def test_a_clear_line_is_read(reader: LineReader, text: str) -> None:
    reading = reader(line(text))
    assert reading.text.replace(" ", "") == text
    assert reading.score > 0.8


def test_nothing_is_read_of_a_covered_line_nor_of_a_bare_wall(reader: LineReader) -> None:
    shown = line("BK4821")
    height, width = shown.shape[:2]
    hidden = covered(shown, [Area("plate", 0, 0, 0, width, height, detected=True, score=1.0)], CoverRule(3, 32))
    assert len(reader(hidden).text) < 3
    assert reader(np.full((40, 160, 3), 128, dtype=np.uint8)).text == ""


def test_a_double_letter_has_a_gap_and_a_long_one_has_none() -> None:
    places = [0, 1, 1, 0, 1, 2, 2, 2, 0]
    probability = np.full((len(places), 3), 0.05)
    probability[np.arange(len(places)), places] = 0.9
    reading = read_off(probability, ("", "A", "B"))
    assert reading.text == "AAB"
    assert reading.score == pytest.approx(0.9)
    assert read_off(np.eye(3)[[0, 0]], ("", "A", "B")).text == ""
