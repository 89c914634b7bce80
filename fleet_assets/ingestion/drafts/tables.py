"""How the rows of a text table may become messages: which columns hold times and numbers, told from its first rows.

Here belongs guessing a layout. Reading tables by a layout is the recordings' business.
"""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from fleet_assets.ingestion.drafts.rules import DraftingRules, spoken
from fleet_assets.ingestion.recordings.protocol import UnreadableRecordingError

HEAD_BYTES: Final = 1 << 20
HEAD_ROWS: Final = 500
CHANNEL: Final = "rows"
_DELIMITERS: Final = ",;\t|"
_FACTOR_NS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_POINT: Final = re.compile(r"^\s*POINT\s*Z?\s*\(", re.IGNORECASE)
_OFFSET: Final = re.compile(r"(Z|[+-]\d{2}:?\d{2})\s*$")
_MOST: Final = 0.8
_TRIP_TIMES: Final = 2
_WORD: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class TableGuess:
    """A layout as the key `table` of a vehicle spec, and what is unsure about it."""

    body: dict[str, Any]
    unsure: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Head:
    """First rows: cells by column, and whether the first row names them."""

    columns: Mapping[str, list[str]]
    named: bool


@dataclass(frozen=True, slots=True)
class _Time:
    """A column of times as a `time` entry, its values in ns, and what is unsure."""

    body: dict[str, str]
    values: list[int]
    unsure: tuple[str, ...]
    by_name: bool


def slug(text: str, fallback: str = "field") -> str:
    """A name as vehicle specs allow it."""
    found = _WORD.sub("_", text.lower()).strip("_")
    return (found if found[:1].isalpha() else f"{fallback}_{found}".strip("_"))[:63]


def _field(column: str) -> str:
    return slug(spoken(column))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _csv_head(text: str) -> _Head:
    lines = [line for line in text.splitlines() if line.strip()][: HEAD_ROWS + 1]
    by_delimiter = {mark: list(csv.reader(lines, delimiter=mark)) for mark in _DELIMITERS}
    widths = {mark: [len(row) for row in rows] for mark, rows in by_delimiter.items()}
    usual = {mark: max(set(found), key=found.count) for mark, found in widths.items() if found}
    delimiter = max(
        usual, key=lambda mark: (usual[mark] > 1, widths[mark].count(usual[mark]), usual[mark]), default=","
    )
    rows = [row for row in by_delimiter[delimiter] if len(row) == usual.get(delimiter)]
    if not rows:
        return _Head({}, named=False)
    named = not any(_is_number(cell) or _POINT.match(cell) for cell in rows[0])
    names = [cell.strip() for cell in rows[0]] if named else [f"column_{number + 1}" for number in range(len(rows[0]))]
    cells = rows[1:] if named else rows
    return _Head({name: [row[number].strip() for row in cells] for number, name in enumerate(names)}, named)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            found |= _flat(item, f"{prefix}{name}.")
        elif isinstance(item, str | int | float) and not isinstance(item, bool):
            found[f"{prefix}{name}"] = str(item)
    return found


def _json_head(text: str) -> _Head:
    decoder, rows, place = json.JSONDecoder(), list[dict[str, str]](), text.find("{")
    while 0 <= place < len(text) and len(rows) < HEAD_ROWS:
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            break
        if isinstance(value, Mapping):
            rows.append(_flat(value))
        place = text.find("{", end)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _Head({name: [row.get(name, "") for row in rows] for name in names}, named=True)


def _number_time(name: str, cells: Sequence[str], bounds_ns: tuple[int, int], by_name: bool) -> _Time | None:
    numbers = [float(cell) for cell in cells if _is_number(cell)]
    if len(numbers) < _MOST * len(cells) or not numbers:
        return None
    for unit, factor in _FACTOR_NS.items():
        values = [int(number * factor) for number in numbers if abs(number) < bounds_ns[1]]
        inside = sum(bounds_ns[0] <= value <= bounds_ns[1] for value in values)
        if inside >= _MOST * len(cells):
            unsure = (f"the values of {name} are plausible dates if they count {unit} since 1970",)
            return _Time({"column": name, "unit": unit}, values, unsure, by_name)
    return None


def _text_time(name: str, cells: Sequence[str], rules: DraftingRules, by_name: bool) -> _Time | None:
    filled = [cell for cell in cells if cell]
    for layout in (None, *rules.tables.text_formats):
        values = []
        for cell in filled:
            try:
                moment = datetime.fromisoformat(cell) if layout is None else datetime.strptime(cell, layout)  # noqa: DTZ007
            except ValueError:
                continue
            values.append(int(moment.replace(tzinfo=None).timestamp() * 1e6) * 1000)
        if values and len(values) >= _MOST * len(cells):
            body, unsure = {"column": name}, []
            if layout is not None:
                body["format"] = layout
                unsure.append(f"the order of day and month in {name} is guessed from its first rows")
            if not all(_OFFSET.search(cell) for cell in filled):
                body["zone"] = "UTC"
                unsure.append(
                    f"{name} states no time zone, UTC is assumed; write e.g. Europe/Berlin where it is local time"
                )
            return _Time(body, values, tuple(unsure), by_name)
    return None


def _times(head: _Head, rules: DraftingRules, bounds_ns: tuple[int, int]) -> list[_Time]:
    """Columns with times: those called so first, then in the order of the table."""
    found = []
    for name, cells in head.columns.items():
        by_name = rules.tables.time.search(spoken(name)) is not None
        guess = _number_time(name, cells, bounds_ns, by_name) or _text_time(name, cells, rules, by_name)
        if guess is not None:
            found.append(guess)
    return sorted(found, key=lambda one: not one.by_name)


def _sources(head: _Head, leave_out: set[str]) -> dict[str, str]:
    """Columns of numbers, and the two parts of points, by the name of the field that they make."""
    found: dict[str, str] = {}
    for name, cells in head.columns.items():
        filled = [cell for cell in cells if cell]
        if name in leave_out or not filled:
            continue
        if all(_POINT.match(cell) for cell in filled):
            # Well-known text gives x before y: longitude before latitude.
            found |= {f"{_field(name)}_lon": f"{name}.x", f"{_field(name)}_lat": f"{name}.y"}
        elif sum(map(_is_number, filled)) >= _MOST * len(filled):
            found[_field(name)] = name
    return found


def _trip(head: _Head, times: Sequence[_Time], rules: DraftingRules) -> list[dict[str, Any]] | None:
    """Two points per row, where a row has a start and an end; None where it has not."""
    ends = [
        next((one for one in times if pattern.search(spoken(one.body["column"]))), None)
        for pattern in (rules.tables.start, rules.tables.end)
    ]
    first, last = ends
    if first is None or last is None or first is last or len(first.values) != len(last.values):
        return None
    if not all(begin <= end for begin, end in zip(first.values, last.values, strict=True)):
        return None
    sources = _sources(head, {one.body["column"] for one in times})
    points = []
    for one, pattern in ((first, rules.tables.start), (last, rules.tables.end)):
        mine = {
            pattern.sub("", name).strip("_") or name: column for name, column in sources.items() if pattern.search(name)
        }
        points.append({"time": one.body, **({"fields": mine} if mine else {})})
    same = points[0].get("fields", {}).keys() & points[1].get("fields", {}).keys()
    if not same:
        return None
    for point in points:
        point["fields"] = {name: point["fields"][name] for name in point["fields"] if name in same}
    return points


def guess_table(path: Path, kind: str, rules: DraftingRules, bounds_ns: tuple[int, int]) -> TableGuess:
    """Guess the layout of a text table from its first rows.

    Args:
        path: The table.
        kind: Its format, `csv` or a JSON point list.
        rules: Names and spellings of times.
        bounds_ns: Earliest and latest plausible UTC.

    Raises:
        UnreadableRecordingError: When no column can be a time.
    """
    with path.open("rb") as stream:
        text = stream.read(HEAD_BYTES).decode("utf-8-sig", "replace")
    head = _csv_head(text) if kind == "csv" else _json_head(text)
    times = _times(head, rules, bounds_ns)
    if not times:
        shown = ", ".join(list(head.columns)[:12]) or "none"
        raise UnreadableRecordingError(
            path.name,
            "no_time_column",
            value=f"columns {shown}",
            limit="a column with dates between 2010 and 2100",
            remedy="Write the spec by hand (docs/vehicle_specs.md, key `table`), or add a column with UTC.",
        )
    columns = {} if head.named else {"columns": list(head.columns)}
    points = _trip(head, times, rules) if len(times) >= _TRIP_TIMES else None
    if points is not None:
        unsure = ["every row has a start and an end, so each is taken for a drive of its own", *times[0].unsure]
        return TableGuess({"channel": CHANNEL, **columns, "drive_per_row": True, "points": points}, tuple(unsure))
    best, others = times[0], times[1:]
    fields = _sources(head, {best.body["column"]})
    unsure = [*best.unsure]
    if others:
        unsure.append(f"the time could also be {', '.join(one.body['column'] for one in others)}")
        unsure += [
            f"{best.body['column']} is never after {one.body['column']}: rows may be trips (drive_per_row, two points)"
            for one in others
            if len(one.values) == len(best.values)
            and all(begin <= end for begin, end in zip(best.values, one.values, strict=True))
        ]
    point = {"time": best.body, **({"fields": fields} if fields else {})}
    return TableGuess({"channel": CHANNEL, **columns, "points": [point]}, tuple(unsure))
