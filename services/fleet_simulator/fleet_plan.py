"""A fleet written down drive by drive: from the document to plans, and each drive made once and kept.

Here belong reading such a document and knowing whether a drive has to be made again. Which fleet it is stands in the
document; sending the drives anywhere is up to the commands.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

from fleet_assets.policy.documents import InvalidPolicyError, digest_of
from services.fleet_simulator.drive_plans import with_depots
from services.fleet_simulator.drive_truth import EVENT_UNITS, NS_PER_S, DrivePlan, EventRequest, Repeated
from services.fleet_simulator.faults import UnknownFaultError, parse_fault, started, uploads
from services.fleet_simulator.making import DriveMaker
from services.fleet_simulator.sensors.catalogue import CAMERA
from services.fleet_simulator.world.generate import generate_network

STAMP: Final = "made.json"
"""Written last into a drive's folder: what it was made of, and what came out."""
_SOURCES: Final = Path(__file__).resolve().parent
_LIBRARIES: Final = ("numpy", "moderngl", "opencv-python-headless", "cantools")


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Drives of one fleet.

    Attributes:
        world_seed: Draws the road network.
        vehicle_spec: Vehicle spec that the recordings follow.
        depots: Its depots.
        camera_hz: Pictures per second.
        drives: Plans, in order.
        planted: What is planted and how it must end, as the document says.
    """

    world_seed: int
    vehicle_spec: str
    depots: tuple[str, ...]
    camera_hz: float
    drives: tuple[DrivePlan, ...]
    planted: Mapping[str, Mapping[str, Any]]

    @property
    def has_camera(self) -> bool:
        """Whether any drive takes pictures."""
        return any(CAMERA in drive.sensors for drive in self.drives)

    def without_camera(self) -> "FleetPlan":
        """The same drives, recorded by every other sensor."""
        drives = (replace(one, sensors=tuple(name for name in one.sensors if name != CAMERA)) for one in self.drives)
        return replace(self, drives=tuple(drives))


def parse_fleet_plan(document: Mapping[str, Any], source: str) -> FleetPlan:
    """Read a document of the schema `demo_fleet`.

    Args:
        document: The document.
        source: Its name, for errors.

    Raises:
        InvalidPolicyError: When names repeat or lead nowhere, or an event or a fault is not known.
    """
    bodies: dict[str, Mapping[str, Any]] = {}
    for body in document["drives"]:
        if body["name"] in bodies:
            raise InvalidPolicyError(f"{source}: drive {body['name']!r} twice. Give each drive a name of its own.")
        bodies[body["name"]] = body
    for case, facts in document["planted"].items():
        if facts["drive"] not in bodies:
            raise InvalidPolicyError(
                f"{source}: planted/{case}: no drive {facts['drive']!r}. Known: {', '.join(bodies)}."
            )
    sensors = tuple(document["sensors"])
    drives = tuple(_drive(body, bodies, document["depots"], sensors, source) for body in bodies.values())
    return FleetPlan(
        world_seed=document["world_seed"],
        vehicle_spec=document["vehicle_spec"],
        depots=tuple(document["depots"]),
        camera_hz=float(document["camera_hz"]),
        drives=drives,
        planted=document["planted"],
    )


def _drive(
    body: Mapping[str, Any],
    bodies: Mapping[str, Mapping[str, Any]],
    depots: list[str],
    sensors: tuple[str, ...],
    source: str,
) -> DrivePlan:
    place = f"{source}: drive {body['name']!r}"
    if body["depot"] not in depots:
        raise InvalidPolicyError(f"{place}: depot {body['depot']!r} is not among {', '.join(depots)}.")
    acts = body
    if (repeated := body.get("repeats")) is not None:
        acts = bodies.get(repeated, body)
        if acts is body or acts["depot"] != body["depot"] or acts["seconds"] != body["seconds"] or "repeats" in acts:
            raise InvalidPolicyError(
                f"{place}: repeats {repeated!r}, which must be another drive of the same depot and length that repeats "
                "none itself."
            )
    try:
        start_ns = _start_ns(body)
        repeats = None if acts is body else Repeated(acts["name"], acts["seed"], _start_ns(acts))
        faults = tuple(parse_fault(text) for text in body.get("faults", ()))
    except (ValueError, UnknownFaultError) as error:
        raise InvalidPolicyError(f"{place}: {error}.") from error
    return started(
        DrivePlan(
            drive_id=body["name"],
            vehicle_id=body["vehicle"],
            depot=body["depot"],
            seed=body["seed"],
            start_ns=start_ns,
            duration_s=float(body["seconds"]),
            sensors=sensors,
            events=tuple(_event(text, place) for text in acts.get("events", ())),
            faults=faults,
            repeats=repeats,
        )
    )


def _start_ns(body: Mapping[str, Any]) -> int:
    return round(datetime.fromisoformat(body["start"]).timestamp()) * NS_PER_S


def _event(text: str, place: str) -> EventRequest:
    kind, _, at = text.partition("@")
    if kind not in EVENT_UNITS or not at.replace(".", "", 1).isdigit():
        raise InvalidPolicyError(f"{place}: event {text!r}: write KIND@SECOND. Kinds: {', '.join(EVENT_UNITS)}.")
    return EventRequest(kind, float(at))


@dataclass(frozen=True, slots=True)
class Order:
    """One drive to be made; can be sent to another process.

    Attributes:
        plan: The drive.
        world_seed: Draws the road network.
        depots: Depots of the fleet.
        camera_hz: Pictures per second.
        policy: Document `simulation`.
        folder: Folder of its own for the recording.
        truth: Folder of its own for the truth.
    """

    plan: DrivePlan
    world_seed: int
    depots: tuple[str, ...]
    camera_hz: float
    policy: Mapping[str, Any]
    folder: Path
    truth: Path

    @property
    def recording(self) -> Path:
        """Where the recording lies once it is made."""
        return self.folder / f"{self.plan.drive_id}.mcap"

    def fingerprint(self) -> str:
        """Digest of everything that the drive is made of: plan, policy, the simulator's code, numeric libraries."""
        parts = [repr(self.plan), self.world_seed, list(self.depots), self.camera_hz, digest_of(self.policy)]
        return digest_of([*parts, _code_digest()])

    def made(self) -> "Made | None":
        """What there is of it already, or None when it has to be made."""
        stamp = _stamp(self.folder)
        if stamp is None or stamp["fingerprint"] != self.fingerprint() or not self.truth.is_dir():
            return None
        made = Made(**stamp)
        return made if self.recording.is_file() and self.recording.stat().st_size == made.bytes else None


@dataclass(frozen=True, slots=True)
class Made:
    """A drive that was made.

    Attributes:
        drive_id: Its name.
        fingerprint: Digest of what it was made of.
        sha256: Digest of the recording.
        bytes: Size of the recording.
        pictures: Camera frames in it.
        revision: Revision that its first upload carries: a drive that came out otherwise is a correction.
        next_revision: Revision that the next correction will carry.
        cpu_s: CPU seconds that it cost.
        wall_s: Elapsed seconds.
    """

    drive_id: str
    fingerprint: str
    sha256: str
    bytes: int
    pictures: int
    revision: int
    next_revision: int
    cpu_s: float
    wall_s: float


def make_drive(order: Order) -> Made:
    """Make a drive, or give what there is of it when nothing has changed that it is made of.

    An interrupted call leaves no stamp, so that the next one begins anew; the bytes are the same.

    Raises:
        UnknownSensorError: When plan or faults name a sensor that there is not.
        CameraUnavailableError: When a camera is wanted and there is no OpenGL.
    """
    if (made := order.made()) is not None:
        return made
    wall, cpu = perf_counter(), process_time()
    before = _stamp(order.folder)
    maker = _maker(order.world_seed, order.depots, order.camera_hz, _Keyed(order.policy))
    fresh = order.folder.with_name(f".{order.folder.name}.making")
    for folder in (fresh, order.truth):
        shutil.rmtree(folder, ignore_errors=True)
    path = maker.make(order.plan, fresh, order.truth)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    facts = json.loads((order.truth / "drive.json").read_text(encoding="utf-8"))
    revision = 0 if before is None else before["revision"] if before["sha256"] == digest else before["next_revision"]
    steps = uploads(order.plan)
    made = Made(
        drive_id=order.plan.drive_id,
        fingerprint=order.fingerprint(),
        sha256=digest,
        bytes=path.stat().st_size,
        pictures=facts["messages"][facts["sensors"][CAMERA]["topic"]] if CAMERA in facts["sensors"] else 0,
        revision=revision,
        next_revision=revision + 1 + max(step.revision for step in steps),
        cpu_s=process_time() - cpu,
        wall_s=perf_counter() - wall,
    )
    (fresh / STAMP).write_text(json.dumps(asdict(made), indent=1) + "\n", encoding="utf-8")
    _put(fresh, order.folder)
    return made


def _put(fresh: Path, folder: Path) -> None:
    """Replace a folder, so that at no time a stamp stands for another recording; the old stamp outlives a kill."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in sorted(fresh.iterdir(), key=lambda one: one.name == STAMP):
        target = folder / entry.name
        if target.is_dir():
            shutil.rmtree(target)
        entry.replace(target)
    fresh.rmdir()


def _stamp(folder: Path) -> dict[str, Any] | None:
    path = folder / STAMP
    if not path.is_file():
        return None
    stamp: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return stamp


@dataclass(frozen=True, slots=True)
class _Keyed:
    """A policy document as a key of a cache."""

    document: Mapping[str, Any]

    def __hash__(self) -> int:
        return hash(digest_of(self.document))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self.document == other.document


@lru_cache(maxsize=1)
def _maker(world_seed: int, depots: tuple[str, ...], camera_hz: float, policy: _Keyed) -> DriveMaker:
    """One world and one camera for all drives that a process makes."""
    network = with_depots(generate_network(world_seed, policy.document["world"]), depots)
    return DriveMaker(network, policy.document, camera_hz)


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Digest of the simulator's own code and data, and of the libraries that its numbers depend on."""
    digest = hashlib.sha256()
    for path in sorted(one for one in _SOURCES.rglob("*") if one.suffix in {".py", ".jpg"}):
        digest.update(path.relative_to(_SOURCES).as_posix().encode() + b"\0" + path.read_bytes())
    for name in _LIBRARIES:
        digest.update(f"{name}={_version(name)}\n".encode())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
