"""The ingestion log: what landing did with every upload, each event once."""

from collections.abc import Iterable, Mapping
from typing import Any

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.admission import Admission
from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.ledger import LOG_UNIT_LENGTH, Entry, Partition


def _event(partition: Partition, drive_id: str, upload: str, event: str, about: str, **body: Any) -> dict[str, Any]:
    day, depot = partition
    keys = {"drive_id": drive_id, "day": day, "depot": depot}
    return {**keys, "event_id": _identity(drive_id, upload, event, about), "upload": upload, "event": event, **body}


def _identity(drive_id: str, upload: str, event: str, about: str) -> str:
    return digest_of([drive_id, upload, event, about])


def landing_events(
    admission: Admission, partition: Partition, rows: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Events of the drives of one partition as rows of `bronze.ingestion_log` without their time.

    Args:
        admission: The decision over all uploads.
        partition: (day, depot).
        rows: Rows of `bronze.drives` in the partition.
    """
    events = []
    for row in rows:
        drive_id, about = row["drive_id"], row["manifest_sha256"]
        upload = admission.accepted.get(drive_id)
        name = upload.name if upload is not None else "-"
        own = {"detail": row["reason"], "bytes": row["bytes"]}
        events.append(_event(partition, drive_id, name, row["status"], about, **own))
        for other in admission.events.get(drive_id, ()):
            body = {"detail": other.detail, "bytes": 0}
            events.append(_event(partition, drive_id, other.upload, other.event, about, **body))
    return events


def departures(admission: Admission, partition: Partition, leaving: Mapping[str, str]) -> list[dict[str, Any]]:
    """Events of drives that are about to be taken out of one partition, written before they are.

    Args:
        admission: The decision over all uploads.
        partition: (day, depot).
        leaving: Drive id → fingerprint of its file, which tells one departure from a later one.
    """
    return [
        _event(partition, drive_id, "-", "withdrawn", fingerprint, detail=_cause(admission, drive_id), bytes=0)
        for drive_id, fingerprint in leaving.items()
    ]


def _cause(admission: Admission, drive_id: str) -> str:
    return "its files are those of another drive" if drive_id in admission.duplicates else "by request"


def unlogged(admission: Admission, held: Iterable[Entry], logged: frozenset[str]) -> dict[Partition, list[str]]:
    """Events about further uploads of registered drives that the log does not have yet, by partition.

    A duplicate changes no table, so nothing else would ask for it to be written down.

    Args:
        admission: The decision over all uploads.
        held: Entries of `bronze.drives`.
        logged: Units of the log.
    """
    missing: dict[Partition, list[str]] = {}
    for entry in held:
        upload = admission.accepted.get(entry.unit)
        if upload is None or upload.manifest is None:
            continue
        for other in admission.events.get(entry.unit, ()):
            identity = _identity(entry.unit, other.upload, other.event, upload.manifest.sha256)
            if identity[:LOG_UNIT_LENGTH] not in logged:
                missing.setdefault(entry.partition, []).append(identity)
    return missing
