"""Simulated uploads on their way into the landing zone, with the faults of the upload carried out.

Here belongs what a car and its connection do: sending, breaking off, sending again. Which drives there are, and in
which order they come, is up to the commands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fleet_assets.commands.placing import admission_of, search

if TYPE_CHECKING:
    from fleet_assets.ingestion.vehicle import Vehicle
    from fleet_assets.provenance.manifest import Manifest, ManifestFile
    from resources.landing import LocalLanding
    from services.fleet_simulator.drive_truth import DrivePlan
    from services.fleet_simulator.faults import UploadStep

_FLIP: Final = 0xFF


@dataclass
class Damaging:
    """A landing zone whose uploads break on the way; the manifest speaks of what was sent.

    Attributes:
        inner: The landing zone.
        step: What happens to the upload.
    """

    inner: "LocalLanding"
    step: "UploadStep"

    def stage(self, sources: Sequence[tuple[str, Path]], progress: Any = None) -> "tuple[Path, list[ManifestFile]]":
        """See `Staging.stage`."""
        return self.inner.stage(sources, progress)

    def discard(self, staged: Path) -> None:
        """See `Staging.discard`."""
        self.inner.discard(staged)

    def publish(self, staged: Path, manifest: "Manifest") -> str:
        """See `Staging.publish`; the files are damaged before."""
        for file in manifest.files:
            _damage(staged / file.path, self.step)
        return self.inner.publish(staged, manifest)


def _damage(path: Path, step: "UploadStep") -> None:
    size = path.stat().st_size
    if step.keep_share < 1.0:
        with path.open("r+b") as stream:
            stream.truncate(round(size * step.keep_share))
    if step.changed_bytes:
        with path.open("r+b") as stream:
            # In the middle of the file, where messages lie.
            stream.seek(size // 2)
            content = bytes(byte ^ _FLIP for byte in stream.read(step.changed_bytes))
            stream.seek(size // 2)
            stream.write(content)


def send(
    step: "UploadStep", plan: "DrivePlan", recording: Path, vehicle: "Vehicle", landing: "LocalLanding"
) -> "tuple[str, Manifest]":
    """Put one upload of a simulated drive into the landing zone, as its car would.

    Args:
        step: What is uploaded, and what becomes of it on the way.
        plan: The drive.
        recording: Its recording; one without faults lies beside it where the step asks for it.
        vehicle: Spec and CAN database of the simulated car.
        landing: The landing zone.

    Returns:
        The upload's name and its manifest.

    Raises:
        NoClockError: When the recording knows no time.
        UnreadableRecordingError: When it cannot be read at all.
        RefusedUploadError: When ids or names break the manifest's rules.
    """
    from fleet_assets.ingestion.telemetry_and_bulk_ingestion.ingest import Delivery, deliver
    from services.fleet_simulator.making import SOUND

    source = recording.parent / SOUND / recording.name if step.is_sound else recording
    drive_id = f"{plan.drive_id}-copy{step.copy}" if step.copy else plan.drive_id
    delivery = Delivery(vehicle, plan.vehicle_id, step.depot, drive_id, step.revision)
    founds, _ = search([source], admission_of(vehicle.spec))
    return deliver(founds[0], delivery, Damaging(landing, step))


def write_database(folder: Path) -> None:
    """Put the simulated car's CAN database where `fleet ingest` finds it."""
    from services.fleet_simulator.sensors.can_database import FILE_NAME, dbc_text

    (folder / "dbc").mkdir(parents=True, exist_ok=True)
    (folder / "dbc" / FILE_NAME).write_text(dbc_text(), encoding="utf-8")
