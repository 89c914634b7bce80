"""Where the auditor sees a face or a plate in redacted pictures, and when that is an exposure.

A hit of a detector is a question. It is an exposure when the area shows detail, when it is found again in other scales
and places or can be read there, and when a bearer of faces or plates is seen around it, a face where he would have his.
What is covered is decided elsewhere.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.bearing import around, bearing
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.cascade_look import CascadeLook
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.clearness import clearness
from fleet_assets.ingestion.integrity_and_pii_redaction.audit.text_look import TextLook
from fleet_assets.perception.boxes import Detections, clipped
from fleet_assets.perception.objects import ObjectDetector
from fleet_assets.perception.preprocessing import Picture
from fleet_assets.perception.weights import WeightSource


@dataclass(frozen=True, slots=True)
class Hit:
    """One question of the auditor and its answer.

    Attributes:
        kind: What was seen.
        detector: Name of the weights.
        box: float32[4], left, top, right, bottom.
        score: Of the detector.
        confirmed: Whether it is an exposure.
        why: What the second look said.
    """

    kind: str
    detector: str
    box: NDArray[np.float32]
    score: float
    confirmed: bool
    why: str


class Look(Protocol):
    """A detector of the auditor."""

    def found(self, picture: Picture, scale: float) -> Detections:
        """Questions about a picture, seen so many times larger."""
        ...

    def again(self, picture: Picture, box: NDArray[np.float32]) -> tuple[int, str]:
        """In how many views of a hit the answer is yes, and words about it."""
        ...


_METHODS: Final[Mapping[str, Callable[[Mapping[str, Any], WeightSource], Look]]] = {
    "cascade": CascadeLook,
    "text": TextLook,
}


class Auditor:
    """The auditor's detectors, opened.

    Args:
        policy: The document `audit`.
        weights: Pretrained weights.
    """

    def __init__(self, policy: Mapping[str, Any], weights: WeightSource) -> None:
        opened = weights.open(policy["objects"]["weights"])
        self._objects = ObjectDetector(
            opened.files["graph"], opened.files["description"], opened.input, policy["objects"]["least_score"]
        )
        self._looks: list[tuple[Mapping[str, Any], Look]] = [
            (rule, _METHODS[rule["method"]](rule, weights)) for rule in policy["detectors"]
        ]

    def __call__(self, picture: Picture) -> Iterator[Hit]:
        """Hits in uint8[h, w, 3], blue, green, red, each with its answer."""
        for rule, look in self._looks:
            found = look.found(picture, min(rule["scale"], rule["longest_px"] / max(picture.shape[:2])))
            for box, score in zip(found.boxes, found.scores, strict=True):
                confirmed, why = self._second_look(picture, box, rule, look)
                yield Hit(rule["kind"], rule["weights"], box, float(score), confirmed, why)

    def _second_look(
        self, picture: Picture, box: NDArray[np.float32], rule: Mapping[str, Any], look: Look
    ) -> tuple[bool, str]:
        clear = clearness(picture, box)
        if clear < rule["least_clearness"]:
            return False, f"smooth: {clear:.1f} of {rule['least_clearness']} grey levels per square pixel"
        again, words = look.again(picture, box)
        if again < rule["least_again"]:
            return False, f"{words}, {rule['least_again']} are needed"
        shown, bearer = self._around(picture, box, rule)
        if bearer is not None:
            return True, f"{words}, on a {bearer}, {clear:.1f} grey levels"
        if shown is not None:
            return False, f"{words}, but not where the {shown} around it would have a {rule['kind']}"
        return False, f"{words}, but no {' or '.join(rule['borne_by'])} around it"

    def _around(
        self, picture: Picture, box: NDArray[np.float32], rule: Mapping[str, Any]
    ) -> tuple[str | None, str | None]:
        """What is seen around a hit, and what of it may bear the hit, in any of the surroundings that are looked at."""
        shown = None
        for wide in rule["around"]:
            found = self._objects_in(picture, surroundings(box, wide)).named(rule["borne_by"])
            found = found[around(found.boxes, box)]
            shown = shown or _first(found)
            if "bearer" in rule:
                found = found[bearing(found.boxes, box, rule["bearer"])]
            if len(found):
                return shown, _first(found)
        return shown, None

    def _objects_in(self, picture: Picture, area: NDArray[np.float32]) -> Detections:
        """Objects in an area, float32[4], with their boxes in the whole picture."""
        (inside,) = clipped(area[None], picture.shape[1], picture.shape[0]).astype(np.int64)
        left, top, right, bottom = (int(value) for value in inside)
        found = self._objects(np.ascontiguousarray(picture[top:bottom, left:right]))
        return replace(found, boxes=found.boxes + np.array([left, top, left, top], dtype=np.float32))


def surroundings(box: NDArray[np.float32], wide: Mapping[str, float]) -> NDArray[np.float32]:
    """A box, float32[4], with as many of its widths on every side as an entry of `around` says."""
    width = box[2] - box[0]
    before = width * np.array([wide["left"], wide["above"]], dtype=np.float32)
    after = width * np.array([wide["right"], wide["below"]], dtype=np.float32)
    return np.concatenate([box[:2] - before, box[2:] + after])


def _first(found: Detections) -> str | None:
    return found.names[int(found.labels[0])] if len(found) else None
