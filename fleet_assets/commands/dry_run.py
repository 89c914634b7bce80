"""`fleet ingest --dry-run`: what would be ingested as which drive. Everything is read, nothing is written."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fleet_assets.commands.placing import (
    Consignment,
    Failure,
    progress_bar,
    refusals,
    single_drives,
    unreadable_source,
)
from fleet_assets.commands.session import DONE, REFUSED, WRONG_USE, Session

if TYPE_CHECKING:
    from fleet_assets.ingestion.recordings.discovery.walk import Ignored
    from fleet_assets.provenance.manifest import ManifestFile

_BLOCK_BYTES: Final = 1 << 20
_NS_PER_S: Final = 1_000_000_000
_REASONS_SHOWN: Final = 5
_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB")


def answer_dry_run(session: Session, consignments: Sequence[Consignment], ignored: "Sequence[Ignored]") -> int:
    """Print a block per recording; exit code as the real thing would have before its gates."""
    rows = []
    with single_drives(consignments) as (singles, failures), progress_bar("reading", [i.found for i in singles]) as bar:
        done = 0
        for number, item in enumerate(singles):
            bar.begin(number, done)
            rows.append(_row(session, item, bar.advance))
            done += item.found.bytes
    rows += [_failed(failure) for failure in failures]
    document = {
        "recordings": rows,
        "ignored": [{"path": str(item.path), "files": item.files, "reason": item.reason} for item in ignored],
    }
    session.answer(document, lambda: "\n".join([*_texts(rows), _sum(rows)]))
    failed = [row for row in rows if row["problem"]]
    if len(failed) == len(rows):
        return WRONG_USE
    return REFUSED if failed else DONE


def _failed(failure: Failure) -> dict[str, Any]:
    empty = dict.fromkeys(("table", "format", "files", "bytes", "start", "end", "time_source", "drive_id", "fits"))
    return {"root": str(failure.place), **empty, "misfits": [], "notes": [], "problem": failure.reason}


def _utc(ns: int) -> str:
    return datetime.fromtimestamp(ns // _NS_PER_S, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _row(session: Session, item: Consignment, advance: Callable[[int], None]) -> dict[str, Any]:
    found = item.found
    row: dict[str, Any] = {
        **_failed(Failure(item.place, "")),
        "table": None if item.table is None else str(item.table),
        "format": found.format,
        "files": len(found.files),
        "bytes": found.bytes,
        "notes": [*found.notes, *_home_notes(session, item)],
    }
    try:
        row |= _times_and_fit(item)
        row["drive_id"] = item.settings["drive_id"] or _drive_id(item, advance)
    except refusals() as error:
        row["problem"] = str(error)
    except OSError as error:
        row["problem"] = unreadable_source(error, found) or str(error)
    return row


def _times_and_fit(item: Consignment) -> dict[str, Any]:
    from fleet_assets.ingestion.recordings.open import open_recording
    from fleet_assets.ingestion.sensor_sync_and_format_conversion.start_time import NoClockError, probe_clock
    from fleet_assets.ingestion.vehicle_choice import check_fit, misfits

    spec = item.vehicle.spec
    result = check_fit(item.found, item.vehicle)
    known: dict[str, Any] = {"fits": result.fits, "misfits": misfits(result)}
    recording = open_recording(item.found.files, spec.formats, spec.table)
    try:
        clock = probe_clock(recording, spec, item.vehicle.dbcs, given_start_ns=item.settings["given_start_ns"])
    except NoClockError as error:
        return known | {"problem": str(error)}
    finally:
        recording.close()
    return known | {"start": _utc(clock.start_ns), "end": _utc(clock.end_ns), "time_source": clock.time_source}


def _home_notes(session: Session, item: Consignment) -> list[str]:
    depot, home = item.settings["depot"], session.known_home
    if depot in home.depots:
        return []
    return [
        f"depot {depot} is not known ({', '.join(home.depots)}); the drive would wait. Run `fleet depot add {depot}`"
    ]


def _drive_id(item: Consignment, advance: Callable[[int], None]) -> str:
    from fleet_assets.provenance.manifest import drive_id_of

    files = [_hashed(name, path, advance) for name, path in sorted(item.found.files.items())]
    return drive_id_of(item.settings["vehicle_id"], files)


def _hashed(name: str, path: Path, advance: Callable[[int], None]) -> "ManifestFile":
    from fleet_assets.provenance.manifest import ManifestFile

    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        for block in iter(partial(stream.read, _BLOCK_BYTES), b""):
            digest.update(block)
            size += len(block)
            advance(len(block))
    return ManifestFile(name, size, digest.hexdigest())


def _size(count: int) -> str:
    power = 0
    number = float(count)
    while number >= 1000 and power < len(_UNITS) - 1:  # noqa: PLR2004 - as storage is sold
        number, power = number / 1000, power + 1
    return f"{number:.0f} {_UNITS[power]}" if power == 0 else f"{number:.1f} {_UNITS[power]}"


def _texts(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A block per recording; one for all drives of a table."""
    tables = list(dict.fromkeys(row["table"] for row in rows if row["table"]))
    pieces = [[row for row in rows if row["table"] == table] for table in tables]
    return [*map(_table_text, pieces), *(_text(row) for row in rows if not row["table"])]


def _table_text(rows: Sequence[dict[str, Any]]) -> str:
    lines = [rows[0]["table"], f"  {rows[0]['format']}, every row a drive of its own: {len(rows)} drives"]
    starts, ends = ([row[key] for row in rows if row[key]] for key in ("start", "end"))
    lines += [f"  {min(starts)} to {max(ends)}"] if starts else []
    for key, says in (("misfits", "does not fit"), ("notes", "note"), ("problem", "would not be ingested")):
        found = Counter("; ".join(row[key]) if isinstance(row[key], list) else row[key] for row in rows if row[key])
        lines += [f"  {says}: {count} drives, e.g. {words}" for words, count in found.most_common(_REASONS_SHOWN)]
    return "\n".join(lines)


def _text(row: dict[str, Any]) -> str:
    lines = [row["root"]]
    if row["format"]:
        files = "file" if row["files"] == 1 else "files"
        lines.append(f"  {row['format']}, {row['files']} {files}, {_size(row['bytes'])}")
    if row["start"]:
        lines.append(f"  {row['start']} to {row['end']} (time from {row['time_source']})")
    if row["fits"] is not None:
        lines.append("  fits the vehicle spec" if row["fits"] else f"  does not fit: {'; '.join(row['misfits'])}")
    if row["drive_id"]:
        lines.append(f"  would be drive {row['drive_id']}")
    lines += [f"  note: {note}" for note in row["notes"]]
    if row["problem"]:
        lines.append(f"  would not be ingested: {row['problem']}")
    return "\n".join(lines)


def _sum(rows: Sequence[dict[str, Any]]) -> str:
    failed = sum(bool(row["problem"]) for row in rows)
    size = _size(sum(row["bytes"] or 0 for row in rows))
    return f"{len(rows) - failed} of {len(rows)} would be ingested ({size}). Nothing was written."
