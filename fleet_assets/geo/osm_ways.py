"""OpenStreetMap extracts (XML or PBF, plain or packed): the ways for cars and the places of their nodes.

Here belong reading a file nobody vouches for and choosing ways. What a tag says about limits is in `osm_limits.py`,
cutting ways into edges in `osm_edges.py`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_FORMATS: Final = {"pbf": "pbf", "xml": "osm", "gz": "osm.gz", "bz2": "osm.bz2"}
_MAX_DEG_LAT: Final = 90.0
_CONTROLS: Final = frozenset({"traffic_signals", "stop", "give_way", "crossing"})
_SHOWN: Final = 200


class UnusableExtractError(ValueError):
    """An extract that cannot become a road network.

    Args:
        rule: Short name of the rule.
        name: The file.
        value: What was found.
        limit: What is allowed.
        remedy: What to do.
    """

    def __init__(self, rule: str, name: str, value: str, limit: str, remedy: str) -> None:
        super().__init__(rule, name, value, limit, remedy)
        self.rule, self.name, self.value, self.limit, self.remedy = rule, name, value, limit, remedy

    def __str__(self) -> str:
        return f"{self.name}: {self.rule}: {self.value} (allowed: {self.limit}). {self.remedy}"


@dataclass(frozen=True, slots=True)
class Way:
    """One way for cars: its number, nodes in the order of drawing, and tags."""

    way_id: int
    nodes: tuple[int, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Extract:
    """What is needed of a file.

    Attributes:
        ways: Ways for cars, by number.
        places: Node → (latitude, longitude), degrees, of the nodes of these ways that the file has.
        controls: Node → value of `highway` of the nodes with lights, signs or crossings.
        counts: `highway_ways`, and how many of them are left out for which reason.
        as_of: Time of the youngest object or of the header, ISO 8601; empty where the file states none.
    """

    ways: Sequence[Way]
    places: Mapping[int, tuple[float, float]]
    controls: Mapping[int, str]
    counts: Mapping[str, int] = field(default_factory=dict)
    as_of: str = ""


def format_of(head: bytes) -> str | None:
    """Osmium's name of the format that a file begins in; None when it is no OSM file."""
    if head[:2] == b"\x1f\x8b":
        return _FORMATS["gz"]
    if head[:3] == b"BZh":
        return _FORMATS["bz2"]
    if head[4:16].find(b"OSMHeader") >= 0:
        return _FORMATS["pbf"]
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return _FORMATS["xml"] if text.startswith(b"<") and (b"<osm" in head or b"<?xml" in text[:5]) else None


def read_extract(path: Path, rules: Mapping[str, Any], name: str | None = None) -> Extract:
    """Read the ways for cars of an extract.

    The file is streamed three times: ways, then places, so that memory follows the ways for cars and not the file.

    Args:
        path: The file.
        rules: Key `extract` of the policy `maps`.
        name: What to call it in errors.

    Raises:
        UnusableExtractError: When it is no OSM file, cut off or damaged, too large, or has no way for cars.
    """
    called = name or path.name
    size = path.stat().st_size
    if size > rules["max_bytes"]:
        remedy = "Cut it to the area that the fleet drives in, e.g. with `osmium extract`."
        raise UnusableExtractError("too_large", called, f"{size} bytes", f"{rules['max_bytes']} bytes", remedy)
    with path.open("rb") as stream:
        kind = format_of(stream.read(4096))
    if kind is None:
        remedy = "Give an OpenStreetMap extract: .osm, .osm.gz, .osm.bz2 or .osm.pbf."
        raise UnusableExtractError("not_osm", called, f"{size} bytes of something else", "an OSM file", remedy)
    source = _Source(path, kind, called, rules)
    ways, counts = source.ways()
    if not ways:
        remedy = "Give an extract with roads, or name their classes in the policy `maps`."
        value = f"{counts['highway_ways']} ways with a highway tag, none for cars"
        raise UnusableExtractError("no_roads", called, value, "at least one way for cars", remedy)
    places, controls = source.places({node for way in ways for node in way.nodes})
    return Extract(ways, places, controls, counts, source.as_of)


class _Source:
    """One file; remembers the youngest time stamp seen."""

    def __init__(self, path: Path, kind: str, name: str, rules: Mapping[str, Any]) -> None:
        self._path, self._kind, self._name, self._rules = path, kind, name, rules
        self.as_of = ""

    def _objects(self, kinds: Any) -> Iterator[Any]:
        """Objects of some kinds; what the library says about broken files becomes one error."""
        import osmium

        try:
            yield from osmium.FileProcessor(osmium.io.File(str(self._path), self._kind), kinds)
        except (RuntimeError, ValueError, OverflowError, MemoryError) as error:
            remedy = "Download or export the extract again."
            said = str(error)[:_SHOWN]
            raise UnusableExtractError("unreadable", self._name, said, "a whole, valid OSM file", remedy) from error

    def _seen(self, item: Any) -> None:
        stamp = item.timestamp
        if stamp.year > 1970:  # noqa: PLR2004 - the epoch stands for none
            self.as_of = max(self.as_of, stamp.strftime("%Y-%m-%dT%H:%M:%SZ"))

    def ways(self) -> tuple[list[Way], Counter[str]]:
        import osmium

        newest: dict[int, tuple[int, Way]] = {}
        for item in self._objects(osmium.osm.WAY):
            self._seen(item)
            if "highway" not in item.tags:
                continue
            tags = dict(item.tags)
            way = Way(item.id, tuple(node.ref for node in item.nodes), tags)
            if item.id not in newest or item.version >= newest[item.id][0]:
                newest[item.id] = (item.version, way)
            if len(newest) > self._rules["max_ways"]:
                raise self._too_many("ways", self._rules["max_ways"])
        # Counted here and not beside the reasons, so that a way that falls out below is missed.
        counts: Counter[str] = Counter({"highway_ways": len(newest)})
        kept = []
        for _, (_, way) in sorted(newest.items()):
            reason = _left_out(way, self._rules)
            counts[reason or "car_ways"] += 1
            if reason is None:
                kept.append(way)
        return kept, counts

    def places(self, wanted: set[int]) -> tuple[dict[int, tuple[float, float]], dict[int, str]]:
        import osmium

        places: dict[int, tuple[float, float]] = {}
        controls: dict[int, str] = {}
        for number, item in enumerate(self._objects(osmium.osm.NODE)):
            if number >= self._rules["max_nodes"]:
                raise self._too_many("nodes", self._rules["max_nodes"])
            self._seen(item)
            if item.id not in wanted or not item.location.valid():
                continue
            places[item.id] = (item.location.lat, item.location.lon)
            control = item.tags.get("highway")
            if control in _CONTROLS:
                controls[item.id] = control
        return places, controls

    def _too_many(self, what: str, limit: int) -> UnusableExtractError:
        remedy = "Cut it to the area that the fleet drives in, or raise the limit in the policy `maps`."
        return UnusableExtractError("too_large", self._name, f"more than {limit} {what}", f"{limit} {what}", remedy)


def _left_out(way: Way, rules: Mapping[str, Any]) -> str | None:
    """Why a way is no road for cars; None for one that is."""
    if way.tags["highway"] not in rules["road_classes"]:
        return "other_ways"
    access = next((way.tags[key] for key in rules["access_keys"] if key in way.tags), None)
    if way.tags.get("area") == "yes" or access in rules["closed_access"]:
        return "closed_ways"
    return "broken_ways" if len(set(way.nodes)) < 2 else None  # noqa: PLR2004 - two ends
