"""What finds faces and licence plates in one picture.

Here belongs how detectors are put together as the policy says. The detectors themselves are in `perception`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from fleet_assets.perception.boxes import Detections, detections
from fleet_assets.perception.faces import FaceDetector
from fleet_assets.perception.objects import ObjectDetector
from fleet_assets.perception.plate_zones import ZoneRule, plates_of
from fleet_assets.perception.plates import PlateDetector, PlateRule, TextRule
from fleet_assets.perception.preprocessing import Picture
from fleet_assets.perception.tiling import TileGrid, detect_in_tiles
from fleet_assets.perception.weights import WeightSource, named_weights
from fleet_assets.policy.documents import digest_of

Finder = Callable[[Picture], Detections]


def face_finder(rule: Mapping[str, Any], weights: WeightSource) -> Finder:
    """Faces, in tiles of the enlarged picture."""
    opened, grid = weights.open(rule["weights"]), TileGrid(**rule["tiles"])
    detector = FaceDetector(opened.files["model"], opened.input, rule["least_score"], rule["scale"])
    return lambda picture: detect_in_tiles(picture, detector, grid)


def vehicle_finder(rule: Mapping[str, Any], weights: WeightSource) -> Finder:
    """Vehicles, in tiles."""
    opened, grid = weights.open(rule["weights"]), TileGrid(**rule["tiles"])
    detector = ObjectDetector(opened.files["graph"], opened.files["description"], opened.input, rule["least_score"])
    classes = tuple(rule["classes"])
    return lambda picture: detect_in_tiles(picture, detector, grid, (frozenset(classes),)).named(classes)


def plate_finder(rule: Mapping[str, Any], weights: WeightSource) -> Finder:
    """Plates where vehicles carry them, and lines of text like plates anywhere, where the policy says so."""
    opened, vehicles = weights.open(rule["weights"]), vehicle_finder(rule["vehicles"], weights)
    tiles = rule["lines"]["tiles"]
    lines = PlateRule(**{**rule["lines"], "tiles": None if tiles is None else TileGrid(**tiles)})
    text = TextRule(**rule["text"])
    on_vehicle = PlateDetector(opened.files["model"], opened.input, replace(lines, tiles=None), text)
    anywhere = PlateDetector(opened.files["model"], opened.input, lines, text) if lines.tiles else None
    zone = ZoneRule(**rule["zone"])

    def find(picture: Picture) -> Detections:
        found = plates_of(picture, vehicles(picture), lambda whole, box: on_vehicle(whole, box[None]), zone)
        return found if anywhere is None else _together(found, anywhere(picture))

    return find


def _together(one: Detections, two: Detections) -> Detections:
    boxes, scores = np.concatenate([one.boxes, two.boxes]), np.concatenate([one.scores, two.scores])
    return detections(boxes, scores, np.zeros(len(boxes)), one.names)


_METHODS: Final[Mapping[str, Callable[[Mapping[str, Any], WeightSource], Finder]]] = {
    "faces": face_finder,
    "plates_on_vehicles": plate_finder,
}


@dataclass(frozen=True, slots=True)
class Finders:
    """All detectors of a policy.

    Attributes:
        by_kind: Detector by what it finds.
        digests: Digest of the weights by name.
    """

    by_kind: Mapping[str, Finder]
    digests: Mapping[str, str]

    def __call__(self, picture: Picture) -> dict[str, Detections]:
        """What each detector finds in uint8[h, w, 3], blue, green, red."""
        return {kind: finder(picture) for kind, finder in self.by_kind.items()}


_opened: dict[str, Finders] = {}
"""By policy and weights: models are opened once per process."""


def weight_digests(rules: Sequence[Mapping[str, Any]], weights: WeightSource) -> dict[str, str]:
    """Digest of every weight that detectors name."""
    return {name: weights.digest(name) for name in sorted(set(named_weights(rules)))}


def open_finders(rules: Sequence[Mapping[str, Any]], weights: WeightSource) -> Finders:
    """Open the detectors of a policy.

    Args:
        rules: Key `detectors` of the document `redaction`.
        weights: Where weights are found.

    Raises:
        WeightsError: When a file is missing or another one than the policy says.
    """
    digests = weight_digests(rules, weights)
    key = digest_of([list(rules), digests])
    if key not in _opened:
        _opened[key] = Finders({rule["kind"]: _METHODS[rule["method"]](rule, weights) for rule in rules}, digests)
    return _opened[key]
