"""What `fleet ingest` does before the landing sensor takes over: find the start, copy and hash, write the manifest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from fleet_assets.ingestion.recordings.discovery.discover import Found
from fleet_assets.ingestion.recordings.open import open_recording
from fleet_assets.ingestion.sensor_sync_and_format_conversion.start_time import DriveClock, probe_clock
from fleet_assets.ingestion.vehicle import Vehicle
from fleet_assets.provenance.manifest import Manifest, ManifestFile, drive_id_of, make_manifest

GIVEN = "given"
_NO_DIGEST: Final = "0" * 64


class Staging(Protocol):
    """A landing zone that uploads can be put into (implemented by `resources.landing`)."""

    def stage(
        self, sources: Sequence[tuple[str, Path]], progress: Callable[[int], None] | None = None
    ) -> tuple[Path, list[ManifestFile]]:
        """Copy files next to the landing zone, hashing in the same pass."""
        ...

    def discard(self, staged: Path) -> None:
        """Remove a staged upload that will not be published."""
        ...

    def publish(self, staged: Path, manifest: Manifest) -> str:
        """Make a staged upload visible, manifest last. Returns the upload's name."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """Who delivers what, as the command line states it.

    Attributes:
        vehicle: Vehicle spec and DBC files.
        vehicle_id: The vehicle.
        depot: Depot.
        drive_id: Drive id, or None for one made from the content.
        revision: Upload revision.
        given_start_ns: UTC start for recordings that know no time.
    """

    vehicle: Vehicle
    vehicle_id: str
    depot: str
    drive_id: str | None = None
    revision: int = 0
    given_start_ns: int | None = None


def deliver(
    found: Found, delivery: Delivery, landing: Staging, progress: Callable[[int], None] | None = None
) -> tuple[str, Manifest]:
    """Put one recording into the landing zone as a vehicle would.

    Returns:
        The upload's name and its manifest.

    Raises:
        NoClockError: When the recording knows no time and none was given.
        UnreadableRecordingError: When it cannot be read at all.
        RefusedUploadError: When ids or names break the manifest's rules.
    """
    spec = delivery.vehicle.spec
    recording = open_recording(found.files, spec.formats, spec.table)
    try:
        clock = probe_clock(recording, spec, delivery.vehicle.dbcs, given_start_ns=delivery.given_start_ns)
    finally:
        recording.close()
    _manifest(delivery, clock, [ManifestFile(path, 0, _NO_DIGEST) for path in found.files])  # refuse before copying
    staged, files = landing.stage(sorted(found.files.items()), progress)
    try:
        manifest = _manifest(delivery, clock, files)
        return landing.publish(staged, manifest), manifest
    except BaseException:
        landing.discard(staged)
        raise


def _manifest(delivery: Delivery, clock: DriveClock, files: Sequence[ManifestFile]) -> Manifest:
    own_id = delivery.drive_id
    return make_manifest(
        {
            "schema": "fleet.manifest/v1",
            "drive_id": drive_id_of(delivery.vehicle_id, files) if own_id is None else own_id,
            "revision": delivery.revision,
            "vehicle_id": delivery.vehicle_id,
            "vehicle_spec": delivery.vehicle.spec.name,
            "depot": delivery.depot,
            "start_ns": clock.start_ns,
            "time_source": clock.time_source,
            "files": [{"path": file.path, "bytes": file.size_bytes, "sha256": file.sha256} for file in files],
        }
    )
