"""Admission: which uploads become which drives, and which are refused. Independent of the order of arrival."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from fleet_assets.provenance.manifest import Manifest, RefusedUploadError, Upload


@dataclass(frozen=True, slots=True)
class Refusal:
    """An upload that belongs to no partition."""

    upload: str
    drive_id: str | None
    rule: str
    value: str
    limit: str
    remedy: str


@dataclass(frozen=True, slots=True)
class LogEvent:
    """What admission decided about an upload that is not the one landed for its drive."""

    upload: str
    event: str
    detail: str


@dataclass(frozen=True, slots=True)
class Admission:
    """The decision over all uploads.

    Attributes:
        accepted: Drive id → the one upload that stands for it.
        refused: Uploads without a partition.
        events: Drive id → what happened to its other uploads (duplicate, superseded).
        duplicates: Drive ids whose files are those of another, accepted drive of the same vehicle.
    """

    accepted: Mapping[str, Upload]
    refused: tuple[Refusal, ...]
    events: Mapping[str, tuple[LogEvent, ...]]
    duplicates: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the fleet admits.

    Attributes:
        depots: Known depots.
        first_day: First UTC day (YYYY-MM-DD) with partitions.
        last_day: Last UTC day with partitions.
        vehicle_specs: Known vehicle specs.
        withdrawn: Drive id → highest revision that was withdrawn.
    """

    depots: Collection[str]
    first_day: str
    last_day: str
    vehicle_specs: Collection[str]
    withdrawn: Mapping[str, int]


def _breach(manifest: Manifest, bounds: Bounds) -> RefusedUploadError | None:
    """First rule that keeps a manifest from having a partition."""
    depots, specs = ", ".join(sorted(bounds.depots)) or "none yet", ", ".join(sorted(bounds.vehicle_specs))
    rules = (
        (
            manifest.depot not in bounds.depots,
            "unknown_depot",
            manifest.depot,
            f"one of: {depots}",
            f"Run `fleet depot add {manifest.depot}`; the upload is then taken up by itself.",
        ),
        (
            manifest.day < bounds.first_day,
            "before_first_day",
            manifest.day,
            f"{bounds.first_day} or later",
            "Lower `first_day` in FLEET_HOME/fleet.yaml, or correct the recording's clock with `--start`.",
        ),
        (
            manifest.day > bounds.last_day,
            "in_the_future",
            manifest.day,
            f"{bounds.last_day} or earlier",
            "Correct the recording's clock with `--start` and upload it again.",
        ),
        (
            manifest.vehicle_spec not in bounds.vehicle_specs,
            "unknown_vehicle_spec",
            manifest.vehicle_spec,
            f"one of: {specs}",
            f"Write FLEET_HOME/policies/vehicles/{manifest.vehicle_spec}.yaml, or correct the manifest.",
        ),
    )
    for broken, rule, value, limit, remedy in rules:
        if broken:
            return RefusedUploadError(rule, value, limit, remedy, manifest.drive_id)
    return None


def _refusal(upload: str, error: RefusedUploadError) -> Refusal:
    return Refusal(upload, error.drive_id, error.rule, error.value, error.limit, error.remedy)


def admit(uploads: Iterable[Upload], bounds: Bounds) -> Admission:
    """Decide over all uploads at once, so that their order of arrival cannot matter.

    The highest revision of a drive stands for it. Equal manifests are duplicates. Two different manifests of one
    revision are a conflict: the one with the smaller digest stands, the other is refused and says how to mend it. The
    same files under another drive id of the same vehicle are a duplicate of the smaller drive id.
    """
    refused: list[Refusal] = []
    by_drive: dict[str, list[tuple[Manifest, str]]] = defaultdict(list)
    for upload in uploads:
        error = upload.refusal
        if upload.manifest is not None:
            error = _breach(upload.manifest, bounds)
        if error is not None:
            refused.append(_refusal(upload.name, error))
        elif upload.manifest is not None and upload.manifest.revision > bounds.withdrawn.get(
            upload.manifest.drive_id, -1
        ):
            by_drive[upload.manifest.drive_id].append((upload.manifest, upload.name))
    accepted: dict[str, Upload] = {}
    events: dict[str, list[LogEvent]] = defaultdict(list)
    for drive_id, candidates in sorted(by_drive.items()):
        candidates.sort(key=_precedence)
        standing, name = candidates[0]
        accepted[drive_id] = Upload(name, standing)
        for manifest, other in candidates[1:]:
            if manifest.sha256 == standing.sha256:
                events[drive_id].append(LogEvent(other, "duplicate", f"same upload as {name}"))
            elif manifest.revision < standing.revision:
                detail = f"revision {manifest.revision} replaced by {standing.revision}"
                events[drive_id].append(LogEvent(other, "superseded", detail))
            else:
                refused.append(_refusal(other, _conflict(manifest, name)))
    duplicates = _drop_same_content(accepted, events)
    ordered = tuple(sorted(refused, key=lambda refusal: (refusal.upload, refusal.rule)))
    return Admission(accepted, ordered, {drive_id: tuple(items) for drive_id, items in events.items()}, duplicates)


def _precedence(candidate: tuple[Manifest, str]) -> tuple[int, str, bool, str]:
    """Highest revision first; of equal uploads the one in the drive's own folder, which came first as a rule."""
    manifest, name = candidate
    return -manifest.revision, manifest.sha256, name != f"{manifest.drive_id}-r{manifest.revision}", name


def _conflict(manifest: Manifest, standing: str) -> RefusedUploadError:
    return RefusedUploadError(
        "conflicting_upload",
        f"other content than {standing} under the same revision {manifest.revision}",
        "one content per drive and revision",
        f"Upload the right one with revision {manifest.revision + 1}.",
        manifest.drive_id,
    )


def _drop_same_content(accepted: dict[str, Upload], events: dict[str, list[LogEvent]]) -> frozenset[str]:
    duplicates = set()
    first: dict[tuple[str, str], str] = {}
    for drive_id in sorted(accepted):
        upload = accepted[drive_id]
        if upload.manifest is None:
            continue
        key = (upload.manifest.vehicle_id, upload.manifest.content)
        if key in first:
            del accepted[drive_id]
            duplicates.add(drive_id)
            events[first[key]].append(LogEvent(upload.name, "duplicate", f"same files as drive {first[key]}"))
        else:
            first[key] = drive_id
    return frozenset(duplicates)
