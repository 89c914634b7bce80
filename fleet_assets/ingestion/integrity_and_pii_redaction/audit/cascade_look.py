"""A cascade as the auditor's detector: it asks, and finds again or does not in other scales and places."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.audit.views import view_of
from fleet_assets.perception.boxes import Detections
from fleet_assets.perception.cascades import CascadeDetector
from fleet_assets.perception.preprocessing import Picture
from fleet_assets.perception.weights import WeightSource

_VIEW_STEP: Final = 1.05
_SMALLER, _LARGER = 0.6, 1.7
"""What is found again has at least and at most this share of the hit's width."""


class CascadeLook:
    """A cascade of the policy.

    Args:
        rule: Entry under `detectors` of the document `audit`, method `cascade`.
        weights: Pretrained weights.
    """

    def __init__(self, rule: Mapping[str, Any], weights: WeightSource) -> None:
        self._rule, self._model = rule, weights.open(rule["weights"]).files[rule["part"]]
        self._by_scale: dict[float, CascadeDetector] = {}
        self._bare = self._cascade(1.0, _VIEW_STEP)

    def _cascade(self, scale: float, step: float) -> CascadeDetector:
        rule = self._rule
        least, neighbours = rule["least_px"], rule["neighbours"]
        return CascadeDetector(
            [self._model], rule["kind"], scale=scale, step=step, neighbours=neighbours, least_px=least
        )

    def found(self, picture: Picture, scale: float) -> Detections:
        """Questions about a picture, seen so many times larger."""
        if scale not in self._by_scale:
            self._by_scale[scale] = self._cascade(scale, self._rule["step"])
        return self._by_scale[scale](picture)

    def again(self, picture: Picture, box: NDArray[np.float32]) -> tuple[int, str]:
        """In how many views of a hit it is found again, and words about it."""
        again = sum(self._found_again(picture, box, view) for view in self._rule["again"])
        return again, f"found again in {again} of {len(self._rule['again'])} views"

    def _found_again(self, picture: Picture, box: NDArray[np.float32], view: Mapping[str, float]) -> bool:
        seen, middle = view_of(picture, box, view)
        found = self._bare(seen).boxes
        width = (found[:, 2] - found[:, 0]) / view["width_px"]
        inside = (found[:, :2] <= middle).all(axis=1) & (middle <= found[:, 2:]).all(axis=1)
        return bool((inside & (width >= _SMALLER) & (width <= _LARGER)).any())
