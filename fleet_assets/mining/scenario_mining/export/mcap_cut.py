"""An event window as an MCAP file that Foxglove opens: the same window gives the same bytes.

Standard messages carry pictures, positions, objects and what was found; signals are a message of their own, one number
per name, which its plots read by path.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fleet_assets.mining.scenario_mining.export import foxglove
from fleet_assets.mining.scenario_mining.export.window import Window

_SIGNALS_SCHEMA: Final = "fleet.Signals"
_EVENT_SCHEMA: Final = "fleet.Event"
_LIBRARY: Final = "fleet-assets"
_JSON: Final = "json"
_ARROW_TO_JSON: Final = {"double": "number", "bool": "boolean", "int64": "integer", "int32": "integer"}


Item = tuple[int, str, str, Mapping[str, Any]]
"""Time, topic, schema and message."""


def messages(window: Window) -> list[Item]:
    """All messages of a window, ordered by time and topic."""
    parts = (_signals(window), _positions(window), _objects(window), _pictures(window), _events(window))
    return sorted((item for part in parts for item in part), key=lambda item: (item[0], item[1]))


def _signals(window: Window) -> Iterator[Item]:
    for row in window.signals.to_pylist():
        values = {name: value for name, value in row.items() if name != "t_ns" and value is not None}
        yield row["t_ns"], "/signals", _SIGNALS_SCHEMA, {"timestamp": foxglove.time_of(row["t_ns"]), **values}


def _positions(window: Window) -> Iterator[Item]:
    names = window.policy["position"]
    if not {names["lat"], names["lon"]} <= set(window.signals.column_names):
        return
    for row in window.signals.to_pylist():
        lat_deg, lon_deg, alt_m = (row.get(names[key]) for key in ("lat", "lon", "alt"))
        if lat_deg is not None and lon_deg is not None:
            fix = foxglove.location_fix(row["t_ns"], window.policy["frame"], lat_deg, lon_deg, alt_m or 0.0)
            yield row["t_ns"], "/position", "foxglove.LocationFix", fix


def _objects(window: Window) -> Iterator[Item]:
    by_instant: dict[int, list[tuple[str, float, float, Mapping[str, str]]]] = {}
    for row in window.tracks.to_pylist():
        if row["distance_m"] is None or row["lateral_m"] is None:
            continue
        speed = {} if row["rel_speed_mps"] is None else {"rel_speed_mps": f"{row['rel_speed_mps']:.2f}"}
        named = (f"{row['sensor']} {row['track']}", row["distance_m"], row["lateral_m"], speed)
        by_instant.setdefault(row["t_ns"], []).append(named)
    for t_ns, found in sorted(by_instant.items()):
        scene = foxglove.scene_update(t_ns, window.policy["frame"], found, window.policy["object"])
        yield t_ns, "/radar", "foxglove.SceneUpdate", scene


def _pictures(window: Window) -> Iterator[Item]:
    for one in window.pictures:
        picture = foxglove.compressed_image(one.t_ns, one.camera, one.jpeg)
        yield one.t_ns, f"/camera/{one.camera}", "foxglove.CompressedImage", picture


def _events(window: Window) -> Iterator[Item]:
    for row in window.events:
        t_ns = max(row["start_ns"], window.start_ns)
        own = {name: value for name, value in row.items() if value is not None}
        yield t_ns, "/events", _EVENT_SCHEMA, {"timestamp": foxglove.time_of(t_ns), **own}
        yield t_ns, "/log", "foxglove.Log", foxglove.log(t_ns, row["trigger"], event_text(row))


def event_text(row: Mapping[str, Any]) -> str:
    """An event in a line."""
    value = "" if row["value"] is None else f", {row['value']:.2f} {row['unit']}"
    lasted_s = (row["end_ns"] - row["start_ns"]) / 1e9
    return f"{row['trigger']}{value}, {lasted_s:.1f} s, score {row['score']:.2f} ({row['event_id']})"


def _schemas(window: Window) -> dict[str, Mapping[str, Any]]:
    kinds = {
        field.name: {"type": _ARROW_TO_JSON.get(str(field.type), "string")}
        for field in window.signals.schema
        if field.name != "t_ns"
    }
    time = {"type": "object", "properties": {name: {"type": "integer"} for name in ("sec", "nsec")}}
    return {
        **foxglove.SCHEMAS,
        _SIGNALS_SCHEMA: {"title": _SIGNALS_SCHEMA, "type": "object", "properties": {"timestamp": time, **kinds}},
        _EVENT_SCHEMA: {"title": _EVENT_SCHEMA, "type": "object", "properties": {"timestamp": time}},
    }


def write_mcap(window: Window, path: Path) -> int:
    """Write a window as an MCAP file. Returns how many messages it has."""
    from mcap.writer import CompressionType, Writer

    items, schemas = messages(window), _schemas(window)
    with path.open("wb") as stream:
        writer = Writer(stream, compression=CompressionType.ZSTD)
        writer.start(profile="", library=_LIBRARY)
        used = sorted({(topic, schema) for _, topic, schema, _ in items})
        known = {
            name: writer.register_schema(name, "jsonschema", _text(schemas[name]))
            for name in sorted({schema for _, schema in used})
        }
        channels = {topic: writer.register_channel(topic, _JSON, known[schema]) for topic, schema in used}
        counts = dict.fromkeys(channels, 0)
        for t_ns, topic, _, message in items:
            writer.add_message(channels[topic], t_ns, _text(message), t_ns, counts[topic])
            counts[topic] += 1
        told = {name: str(window.event[name]) for name in ("event_id", "drive_id", "trigger", "policy_version")}
        writer.add_metadata("fleet.event", {**told, "start_ns": str(window.start_ns), "end_ns": str(window.end_ns)})
        writer.add_metadata("fleet.inputs", dict(sorted(window.digests.items())))
        writer.finish()  # type: ignore[no-untyped-call] # the library's
    return len(items)


def _text(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
