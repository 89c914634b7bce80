"""What tags of a way say: speed limits with their source, lanes, direction, work zones (https://wiki.openstreetmap.org).

Here belongs the reading of single tags. Where a limit is not tagged, the policy's default for country and class holds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_KMH_PER: Final = {"": 1.0, "km/h": 1.0, "kmh": 1.0, "kph": 1.0, "mph": 1.609344, "knots": 1.852}
_LIMIT: Final = re.compile(r"^(\d{1,3}(?:\.\d+)?) ?(km/h|kmh|kph|mph|knots|)$")
_MPS_PER_KMH: Final = 1 / 3.6
_ONE_WAY: Final = {"yes": 1, "true": 1, "1": 1, "-1": -1, "reverse": -1}
_IMPLIED: Final = frozenset({"motorway", "motorway_link"})
_ROUND: Final = frozenset({"roundabout", "circular"})
_ZONE: Final = re.compile(r"^(\d+(?:\.\d+)?);(\d+(?:\.\d+)?);(\d+(?:\.\d+)?)$")
_MAX_LANES: Final = 20
TAGGED, NAMED, UNLIMITED, DEFAULT = "tagged", "named", "unlimited", "default"


@dataclass(frozen=True, slots=True)
class Limit:
    """A speed limit and where it comes from; no value where there is none (`unlimited`)."""

    mps: float | None
    source: str


@dataclass(frozen=True, slots=True)
class WorkZone:
    """A stretch under construction, metres along the way, and the limit there if one is stated."""

    first_m: float
    last_m: float
    limit_mps: float | None


def country_of(lat_deg: float, lon_deg: float, rules: Mapping[str, Any]) -> str:
    """Country by the smallest of the policy's boxes that holds a place; `other` where none does."""
    found = [
        ((north - south) * (east - west), name)
        for name, (south, west, north, east) in rules["countries"].items()
        if south <= lat_deg <= north and west <= lon_deg <= east
    ]
    return str(min(found)[1]) if found else "other"


def speed_limit(tags: Mapping[str, str], forward: bool, country: str, rules: Mapping[str, Any]) -> Limit:  # noqa: FBT001
    """Limit of a way in one direction.

    Args:
        tags: The way's tags.
        forward: Whether in the direction of drawing.
        country: Country whose defaults hold.
        rules: Key `speed_limits` of the policy `maps`.
    """
    text = tags.get("maxspeed:forward" if forward else "maxspeed:backward", tags.get("maxspeed", "")).strip()
    stated = _LIMIT.match(text)
    if stated and 0.0 < (kmh := float(stated[1]) * _KMH_PER[stated[2]]) <= rules["max_kmh"]:
        return Limit(kmh * _MPS_PER_KMH, TAGGED)
    if text == "none":
        return Limit(None, UNLIMITED)
    if text == "walk":
        return Limit(rules["walk_kmh"] * _MPS_PER_KMH, TAGGED)
    name = text or tags.get("source:maxspeed", tags.get("maxspeed:type", ""))
    if name in rules["named"]:
        return Limit(rules["named"][name] * _MPS_PER_KMH, NAMED)
    defaults = rules["defaults"].get(country, rules["defaults"]["other"])
    return Limit(defaults.get(tags["highway"], defaults["other"]) * _MPS_PER_KMH, DEFAULT)


def direction(tags: Mapping[str, str]) -> int:
    """1: only as drawn, -1: only against it, 0: both ways."""
    stated = tags.get("oneway")
    if stated in _ONE_WAY:
        return _ONE_WAY[stated]
    implied = tags["highway"] in _IMPLIED or tags.get("junction") in _ROUND
    return 1 if implied and stated is None else 0


def lanes(tags: Mapping[str, str]) -> int | None:
    """Lanes of both directions together; None where they are not told."""
    text = tags.get("lanes", "")
    return int(text) if text.isascii() and text.isdecimal() and 0 < int(text[:9]) <= _MAX_LANES else None


def work_zone(tags: Mapping[str, str], length_m: float) -> WorkZone | None:
    """Construction on a way that is open: all of it, or the stretch that `fleet:work_zone` tells (first;last;km/h)."""
    if tags.get("construction") != "minor":
        return None
    stretch = _ZONE.match(tags.get("fleet:work_zone", ""))
    if stretch is None:
        return WorkZone(0.0, length_m, None)
    first, last, kmh = (float(part) for part in stretch.groups())
    return WorkZone(first, last, kmh * _MPS_PER_KMH)
