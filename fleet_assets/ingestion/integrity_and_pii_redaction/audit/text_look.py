"""Reading as the auditor's detector: lines of text anywhere in the picture, and what they say to a reader.

Whatever is exposed as a plate can be read as one. A dark bar on a lorry has the shape of a plate and says nothing; a
road sign says something that no plate says.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.views import line_of
from fleet_assets.perception.boxes import Detections
from fleet_assets.perception.plates import TextDetector, TextRule
from fleet_assets.perception.preprocessing import Picture
from fleet_assets.perception.reading import LineReader, Reading
from fleet_assets.perception.weights import WeightSource


class TextLook:
    """A detector of lines of the policy, and its reader.

    Args:
        rule: Entry under `detectors` of the document `audit`, method `text`.
        weights: Pretrained weights.
    """

    def __init__(self, rule: Mapping[str, Any], weights: WeightSource) -> None:
        lines, reader = weights.open(rule["weights"]), weights.open(rule["reader"]["weights"])
        self._rule = rule
        self._lines = TextDetector(lines.files[rule["part"]], lines.input, TextRule(**rule["text"]))
        self._read = LineReader(reader.files[rule["reader"]["part"]], reader.input)
        self._pattern = re.compile(rule["reads"]["pattern"])

    def found(self, picture: Picture, scale: float) -> Detections:
        """Lines of text in a picture, seen so many times larger, that are high enough to be read."""
        found = self._lines(picture, scale)
        return found[found.boxes[:, 3] - found.boxes[:, 1] >= self._rule["least_px"] / scale]

    def again(self, picture: Picture, box: NDArray[np.float32]) -> tuple[int, str]:
        """In how many views of a line a plate's text is read, and words about it that do not repeat the text."""
        readings = [self._read(line_of(picture, box, view)) for view in self._rule["again"]]
        again = sum(self.is_plate(reading) for reading in readings)
        return again, f"read as a plate in {again} of {len(readings)} views"

    def is_plate(self, reading: Reading) -> bool:
        """Whether a reading may be that of a plate: letters and digits as the policy says, read for sure enough."""
        characters = "".join(one for one in reading.text.upper() if one.isalnum())
        return reading.score >= self._rule["reads"]["least_score"] and bool(self._pattern.fullmatch(characters))
