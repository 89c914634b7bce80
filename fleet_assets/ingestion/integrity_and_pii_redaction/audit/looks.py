"""Where the auditor sees a face or a plate in redacted pictures, and when that is an exposure.

A hit of a cascade is a question. It is an exposure when the cascade finds it again in other scales and places, where
a bearer of faces or plates is seen around it, and the area shows detail. What is covered is decided elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.clearness import clearness
from fleet_assets.perception.boxes import clipped
from fleet_assets.perception.cascades import CascadeDetector
from fleet_assets.perception.objects import ObjectDetector
from fleet_assets.perception.preprocessing import Picture
from fleet_assets.perception.runtime import single_threaded_opencv
from fleet_assets.perception.weights import WeightSource

_VIEW_MARGIN = 1.0
"""What a view shows around the hit on every side, in its sizes."""
_VIEW_STEP = 1.05
_SMALLER, _LARGER = 0.6, 1.7
"""What is found again has at least and at most this share of the hit's width."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One question of the auditor and its answer.

    Attributes:
        kind: What was seen.
        detector: Name of the weights.
        box: float32[4], left, top, right, bottom.
        score: Of the cascade.
        confirmed: Whether it is an exposure.
        why: What the second look said.
    """

    kind: str
    detector: str
    box: NDArray[np.float32]
    score: float
    confirmed: bool
    why: str


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
        self._looks = [
            _Look(rule, weights.open(rule["weights"]).files[rule["part"]], self._objects)
            for rule in policy["detectors"]
        ]

    def __call__(self, picture: Picture) -> Iterator[Hit]:
        """Hits in uint8[h, w, 3], blue, green, red, each with its answer."""
        for look in self._looks:
            yield from look(picture)


class _Look:
    """One detector of the policy."""

    def __init__(self, rule: Mapping[str, Any], model: Path, objects: ObjectDetector) -> None:
        self._rule, self._model, self._objects = rule, model, objects
        self._by_scale: dict[float, CascadeDetector] = {}
        self._bare = self._cascade(1.0, _VIEW_STEP)

    def _cascade(self, scale: float, step: float) -> CascadeDetector:
        rule = self._rule
        least, neighbours = rule["least_px"], rule["neighbours"]
        return CascadeDetector(
            [self._model], rule["kind"], scale=scale, step=step, neighbours=neighbours, least_px=least
        )

    def __call__(self, picture: Picture) -> Iterator[Hit]:
        rule = self._rule
        scale = min(rule["scale"], rule["longest_px"] / max(picture.shape[:2]))
        if scale not in self._by_scale:
            self._by_scale[scale] = self._cascade(scale, rule["step"])
        found = self._by_scale[scale](picture)
        for box, score in zip(found.boxes, found.scores, strict=True):
            confirmed, why = self._second_look(picture, box)
            yield Hit(rule["kind"], rule["weights"], box, float(score), confirmed, why)

    def _second_look(self, picture: Picture, box: NDArray[np.float32]) -> tuple[bool, str]:
        rule = self._rule
        clear = clearness(picture, box)
        if clear < rule["least_clearness"]:
            return False, f"smooth: {clear:.1f} of {rule['least_clearness']} grey levels per square pixel"
        again = sum(self._found_again(picture, box, view) for view in rule["again"])
        if again < rule["least_again"]:
            return False, f"found again in {again} of {len(rule['again'])} views, {rule['least_again']} are needed"
        bearer = self._bearer(picture, box)
        if bearer is None:
            return False, f"no {' or '.join(rule['borne_by'])} around it"
        return True, f"found again in {again} of {len(rule['again'])} views, on a {bearer}, {clear:.1f} grey levels"

    def _found_again(self, picture: Picture, box: NDArray[np.float32], view: Mapping[str, float]) -> bool:
        seen, middle = view_of(picture, box, view)
        found = self._bare(seen).boxes
        width = (found[:, 2] - found[:, 0]) / view["width_px"]
        inside = (found[:, :2] <= middle).all(axis=1) & (middle <= found[:, 2:]).all(axis=1)
        return bool((inside & (width >= _SMALLER) & (width <= _LARGER)).any())

    def _bearer(self, picture: Picture, box: NDArray[np.float32]) -> str | None:
        around, size = self._rule["around"], box[2] - box[0]
        wide = np.concatenate([
            box[:2] - size * np.array([around["left"], around["above"]], dtype=np.float32),
            box[2:] + size * np.array([around["right"], around["below"]], dtype=np.float32),
        ])  # fmt: skip
        (area,) = clipped(wide[None], picture.shape[1], picture.shape[0]).astype(np.int64)
        left, top, right, bottom = (int(value) for value in area)
        found = self._objects(np.ascontiguousarray(picture[top:bottom, left:right])).named(self._rule["borne_by"])
        middle = (box[:2] + box[2:]) / 2.0 - np.array([left, top], dtype=np.float32)
        inside = (found.boxes[:, :2] <= middle).all(axis=1) & (middle <= found.boxes[:, 2:]).all(axis=1)
        return found.names[int(found.labels[inside][0])] if inside.any() else None


def view_of(
    picture: Picture, box: NDArray[np.float32], view: Mapping[str, float]
) -> tuple[Picture, NDArray[np.float32]]:
    """A hit and its surroundings, scaled and shifted.

    Args:
        picture: uint8[h, w, 3].
        box: float32[4] of the hit.
        view: `width_px` of the hit in the view; `right`, `down`: how far the view is shifted, in sizes of the hit.

    Returns:
        uint8[a, b, 3] and the middle of the hit in it, float32[2].
    """
    cv2 = single_threaded_opencv()
    size = box[2:] - box[:2]
    shift = size * np.array([view["right"], view["down"]], dtype=np.float32)
    half = size * np.float32(0.5 + _VIEW_MARGIN)
    scale = np.float32(view["width_px"] / float(size[0]))
    corner = (box[:2] + box[2:]) / 2.0 + shift - half
    matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]], dtype=np.float32)
    extent = tuple(int(value) for value in np.ceil(2.0 * half * scale))
    seen = cv2.warpAffine(picture, matrix, extent, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, dtype=np.uint8), ((half - shift) * scale).astype(np.float32)


def crop_of(picture: Picture, box: Sequence[float], margin: float) -> Picture:
    """The hit with some of its surroundings, for people to look at.

    Args:
        picture: uint8[h, w, 3].
        box: Left, top, right, bottom.
        margin: Share of its size on every side.
    """
    height, width = picture.shape[:2]
    wide, high = (box[2] - box[0]) * margin, (box[3] - box[1]) * margin
    left, top = max(0, int(box[0] - wide)), max(0, int(box[1] - high))
    right, bottom = min(width, int(np.ceil(box[2] + wide))), min(height, int(np.ceil(box[3] + high)))
    return np.ascontiguousarray(picture[top:bottom, left:right])
