"""The ingestion log: what landing did with every upload, each event once."""

from collections.abc import Iterable, Mapping
from typing import Any

from fleet_assets.ingestion.telemetry_and_bulk_ingestion.admission import Admission
from fleet_assets.policy.documents import digest_of
from fleet_assets.provenance.ledger import Partition


def landing_events(
    admission: Admission, partition: Partition, rows: Iterable[Mapping[str, Any]], gone: Iterable[str]
) -> list[dict[str, Any]]:
    """Events of one partition as rows of `bronze.ingestion_log` without their time.

    Args:
        admission: The decision over all uploads.
        partition: (day, depot).
        rows: Rows of `bronze.drives` in the partition.
        gone: Drives that were taken out.
    """
    day, depot = partition
    events: list[dict[str, Any]] = []

    def add(drive_id: str, upload: str, event: str, about: str, **body: Any) -> None:
        identity = digest_of([drive_id, upload, event, about])
        keys = {"drive_id": drive_id, "day": day, "depot": depot}
        events.append({**keys, "event_id": identity, "upload": upload, "event": event, **body})

    for row in rows:
        upload = admission.accepted.get(row["drive_id"])
        name = upload.name if upload is not None else "-"
        about = row["manifest_sha256"]
        add(row["drive_id"], name, row["status"], about, detail=row["reason"], bytes=row["bytes"])
        for other in admission.events.get(row["drive_id"], ()):
            add(row["drive_id"], other.upload, other.event, about, detail=other.detail, bytes=0)
    for drive_id in gone:
        add(drive_id, "-", "withdrawn", digest_of([day, depot]), detail="by request", bytes=0)
    return events
