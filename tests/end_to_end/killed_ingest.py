"""A program for `test_kill.py`: ingests one drive and kills its whole process group at a stated moment.

`main` takes HOME RECORDING COUNTER VEHICLE_SPEC START_NS [MOMENT NUMBER] from the command line (START_NS may be
empty); it is imported, since what runs as the main module cannot be found again by the engine's workers. The hooks
live here, never in the product: each one sits around one function that makes something durable. Engine workers
install the same hooks, and all processes count in one file, so that the n-th call is the n-th of the whole group.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MOMENTS: Final = (
    "copy.middle",
    "write.middle",
    "write.after",
    "stage.before",
    "stage.after",
    "commit.before",
    "commit.unpointed",
    "commit.after",
    "event.before",
    "event.after",
)
"""Where it can be killed: half a file copied; half a file written; a file in place; around staging a data file; before
a commit, with its metadata written but the catalog not pointing at it, after it; around an event of the instance."""

MEDIA_MOMENTS: Final = (
    "picture.redacted",
    "media.stored",
    "picture.audited",
    "media.released",
    "keyframe.added",
    "shard.stored",
    "sweep.added",
)
"""The same inside the work on media, in the engine's workers: between two pictures that redaction writes, with their
file stored and no row of it; between two that the audit looks at, and with media in class open and no row to say so;
between two keyframes, and with a shard of them stored and no row of it; between two lidar sweeps."""

DRIVE_ID: Final = "killed"
TELEMETRY: Final = "telemetry"
"""In place of a vehicle spec: the recording is a folder of telemetry batches."""


@dataclass(frozen=True)
class Plan:
    """When to die.

    Attributes:
        counter: Folder with one file per moment, one byte per call.
        moment: One of `MOMENTS` or `MEDIA_MOMENTS`, or empty.
        number: Which call, counted from 1.
    """

    counter: Path
    moment: str = ""
    number: int = 0

    def pass_by(self, moment: str) -> bool:
        """Count a call; True when it is the one to die in."""
        file = os.open(self.counter / moment, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, b".")
        calls = os.fstat(file).st_size
        os.close(file)
        return moment == self.moment and calls == self.number

    def die(self, moment: str) -> None:
        """Kill the process group when this is the moment."""
        if self.pass_by(moment):
            os.killpg(0, signal.SIGKILL)


@dataclass(frozen=True)
class Armed:
    """A function as a worker runs it, with the hooks in place."""

    function: Callable[[Any], Any]
    plan: Plan

    def __call__(self, argument: Any) -> Any:
        """Run the function in this process, hooks in place."""
        arm(self.plan)
        return self.function(argument)


_armed: list[Plan] = []


def arm(plan: Plan) -> None:
    """Put the hooks in place, once per process."""
    if _armed:
        return
    _armed.append(plan)
    _arm_files(plan)
    _arm_lake(plan)
    _arm_media(plan)


def _arm_files(plan: Plan) -> None:
    from resources import data_files, home, landing, objects

    copy, write = objects.copy_and_hash, data_files.write_atomically

    def copy_and_hash(source: Any, target: Any, digest: Any, progress: Any = None) -> int:
        if plan.pass_by("copy.middle"):
            target.write(source.read(os.fstat(source.fileno()).st_size // 2))
            os.killpg(0, signal.SIGKILL)
        return copy(source, target, digest, progress)

    def write_atomically(target: Path, payload: bytes) -> None:
        if plan.pass_by("write.middle"):
            target.parent.mkdir(parents=True, exist_ok=True)
            (target.parent / f".staging-{os.getpid()}").write_bytes(payload[: len(payload) // 2])
            os.killpg(0, signal.SIGKILL)
        write(target, payload)
        plan.die("write.after")

    objects.copy_and_hash = landing.copy_and_hash = copy_and_hash
    data_files.write_atomically = landing.write_atomically = home.write_atomically = write_atomically


def _around(owner: Any, name: str, plan: Plan, before: str = "", after: str = "") -> None:
    original = getattr(owner, name)

    def hooked(*arguments: Any, **named: Any) -> Any:
        if before:
            plan.die(before)
        result = original(*arguments, **named)
        if after:
            plan.die(after)
        return result

    setattr(owner, name, hooked)


def _arm_lake(plan: Plan) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    from resources.data_files import DataFiles
    from resources.iceberg import IcebergLake

    _around(DataFiles, "stage", plan, "stage.before", "stage.after")
    _around(IcebergLake, "_try_commit", plan, "commit.before", "commit.after")
    write_metadata = SqlCatalog._write_metadata  # noqa: SLF001 - the only place between metadata and pointer

    def hooked(*arguments: Any, **named: Any) -> None:
        write_metadata(*arguments, **named)
        plan.die("commit.unpointed")

    SqlCatalog._write_metadata = staticmethod(hooked)  # type: ignore[method-assign] # noqa: SLF001


def _arm_media(plan: Plan) -> None:
    from fleet_assets.ingestion.integrity_and_pii_redaction.audit import operators as auditing
    from fleet_assets.ingestion.integrity_and_pii_redaction.audit.looks import Auditor
    from fleet_assets.ingestion.integrity_and_pii_redaction.redaction import operators as redacting
    from fleet_assets.ingestion.media.redacted import FramesWriter, VideoWriter
    from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.shards import ShardWriter
    from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.zarr_shards import SweepWriter

    for writer in (FramesWriter, VideoWriter):
        _around(writer, "add", plan, after="picture.redacted")
    _around(redacting, "_stored", plan, after="media.stored")
    _around(Auditor, "__call__", plan, before="picture.audited")
    _around(auditing, "_let_go", plan, after="media.released")
    _around(ShardWriter, "add", plan, after="keyframe.added")
    _around(ShardWriter, "close", plan, after="shard.stored")
    _around(SweepWriter, "add", plan, after="sweep.added")


def _arm_engine(plan: Plan) -> None:
    from resources.engine import ProcessPoolEngine

    run = ProcessPoolEngine.run

    def hooked(engine: Any, function: Callable[[Any], Any], tasks: Sequence[tuple[str, Any]]) -> Iterator[Any]:
        return run(engine, Armed(function, plan), tasks)

    ProcessPoolEngine.run = hooked  # type: ignore[method-assign, assignment]


def land_batches(home: Path, batches: Path) -> Any:
    """A fleet into whose landing zone the telemetry batches of a folder were put."""
    from resources.landing import LocalLanding
    from tests.harness import TestFleet
    from tests.telemetry import TODAY, write_probe

    fleet = TestFleet(home, durable=True, today=TODAY)
    write_probe(home / "policies")
    for batch in sorted(batches.iterdir()):
        LocalLanding(fleet.fleet.settings.landing).put_batch(batch)
    return fleet


def main() -> None:
    """Ingest as a user does: put the drive into the landing zone and turn the crank."""
    import dagster as dg

    from tests.harness import TestFleet

    home, recording, counter, spec, start_ns, *moment = sys.argv[1:]
    plan = Plan(Path(counter), *moment[:1], *(int(number) for number in moment[1:]))
    arm(plan)
    _arm_engine(plan)
    _around(dg.DagsterInstance, "handle_new_event", plan, "event.before", "event.after")
    print("armed", flush=True)
    if spec == TELEMETRY:
        fleet = land_batches(Path(home), Path(recording))
    else:
        fleet = TestFleet(Path(home), durable=True)
        given_ns = int(start_ns) if start_ns else None
    fleet.upload(Path(recording), spec=spec, drive_id=DRIVE_ID, given_start_ns=given_ns)
    for run in fleet.turn():
        print(run.source, run.partition, run.success, run.error, flush=True)
    print("done", flush=True)
