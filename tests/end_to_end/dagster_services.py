"""Web server and daemon of a fleet as its user starts them, spoken to through GraphQL.

Here belongs what a person does in the UI: switching sensors off, launching and cancelling backfills. What
must hold afterwards is the business of the tests. All processes end with the block that started them.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE_S: Final = 1500.0
"""Longest wait for anything: a guard against hanging, many times what is expected."""
POLL_S: Final = 1.0
UNFINISHED: Final = frozenset({"QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING"})

_SENSORS: Final = """{ repositoriesOrError { ... on RepositoryConnection {
  nodes { sensors { name sensorState { id status } } } } } }"""
_STOP: Final = """mutation($id: String!) { stopSensor(id: $id) { __typename
  ... on StopSensorMutationResult { instigationState { status } } ... on PythonError { message } } }"""
_ASSETS: Final = """{ assetNodes { assetKey { path } isMaterializable
  partitionDefinition { dimensionTypes { name } } } }"""
_LAUNCH: Final = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_CANCEL: Final = """mutation($id: String!) { cancelPartitionBackfill(backfillId: $id) {
  __typename ... on PythonError { message } } }"""
_BACKFILL: Final = """query($id: String!) { partitionBackfillOrError(backfillId: $id) { __typename
  ... on PartitionBackfill { status } ... on PythonError { message } } }"""
_RUNS: Final = """query($id: String!) { runsOrError(filter: {tags: [{key: "dagster/backfill", value: $id}]}) {
  __typename ... on Runs { results { runId status tags { key value } } } ... on PythonError { message } } }"""

Value = TypeVar("Value")


def until(asked: Callable[[], Value | None], what: str) -> Value:
    """Ask until there is an answer other than None and False.

    Raises:
        TimeoutError: Naming what never came.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = asked()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {PATIENCE_S:.0f} s")
        time.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class BackfillRun:
    """One run of a backfill."""

    run_id: str
    partition: str
    status: str


@dataclass(frozen=True, slots=True)
class Services:
    """A fleet's running web server and daemon.

    Attributes:
        url: GraphQL address.
    """

    url: str

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Answer of a GraphQL query.

        Raises:
            RuntimeError: With the errors that it names.
        """
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310 - our own
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 - our own http address
            document = json.load(answer)
        if document.get("errors"):
            raise RuntimeError(f"GraphQL: {document['errors']}")
        found: dict[str, Any] = document["data"]
        return found

    def _of(self, query: str, wanted: str, **variables: Any) -> dict[str, Any]:
        (answer,) = self.ask(query, **variables).values()
        if answer["__typename"] != wanted:
            raise RuntimeError(f"GraphQL answered {answer} instead of {wanted}")
        return dict(answer)

    def stop_sensors(self) -> list[str]:
        """Switch every sensor off, so that only a person starts runs. Returns their names."""
        nodes = self.ask(_SENSORS)["repositoriesOrError"]["nodes"]
        sensors = [sensor for node in nodes for sensor in node["sensors"]]
        for sensor in sensors:
            self._of(_STOP, "StopSensorMutationResult", id=sensor["sensorState"]["id"])
        nodes = self.ask(_SENSORS)["repositoriesOrError"]["nodes"]
        running = [s["name"] for node in nodes for s in node["sensors"] if s["sensorState"]["status"] != "STOPPED"]
        if running:
            raise RuntimeError(f"sensors {running} are still running")
        return [sensor["name"] for sensor in sensors]

    def bulk_assets(self) -> list[list[str]]:
        """Keys of all assets whose partitions have two dimensions: day × depot."""
        nodes = self.ask(_ASSETS)["assetNodes"]
        dimensions = [(node, (node["partitionDefinition"] or {}).get("dimensionTypes") or ()) for node in nodes]
        return [node["assetKey"]["path"] for node, found in dimensions if node["isMaterializable"] and len(found) == 2]

    def launch(self, assets: Sequence[Sequence[str]], partitions: Sequence[str]) -> str:
        """Launch a backfill. Returns its id."""
        params = {"assetSelection": [{"path": list(key)} for key in assets], "partitionNames": list(partitions)}
        return str(self._of(_LAUNCH, "LaunchBackfillSuccess", params=params)["backfillId"])

    def cancel(self, backfill: str) -> None:
        """Cancel a backfill and wait until its runs have ended."""
        self._of(_CANCEL, "CancelBackfillSuccess", id=backfill)
        until(lambda: self.status(backfill) == "CANCELED", f"end of cancelled backfill {backfill}")
        until(lambda: not self._unfinished(backfill), f"end of the runs of cancelled backfill {backfill}")

    def ended(self, backfill: str) -> str:
        """Wait for a backfill to end by itself. Returns its status."""
        ends = {"COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}
        status = until(lambda: found if (found := self.status(backfill)) in ends else None, f"end of {backfill}")
        until(lambda: not self._unfinished(backfill), f"end of the runs of backfill {backfill}")
        return status

    def status(self, backfill: str) -> str:
        """Status of a backfill."""
        return str(self._of(_BACKFILL, "PartitionBackfill", id=backfill)["status"])

    def runs(self, backfill: str) -> list[BackfillRun]:
        """Runs of a backfill."""
        found = []
        for run in self._of(_RUNS, "Runs", id=backfill)["results"]:
            tags: Mapping[str, str] = {tag["key"]: tag["value"] for tag in run["tags"]}
            found.append(BackfillRun(run["runId"], tags.get("dagster/partition", ""), run["status"]))
        return found

    def _unfinished(self, backfill: str) -> list[BackfillRun]:
        return [run for run in self.runs(backfill) if run.status in UNFINISHED]


@contextmanager
def dagster_services(home: Path) -> Iterator[Services]:
    """Web server and daemon of a home, with all sensors off; a home runs two at a time.

    The web server comes first: sensors are on by default, and a daemon would tick them before they can be switched off.

    Yields:
        The services.

    Raises:
        RuntimeError: When one of them does not come up, with the end of its log.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with ExitStack() as stack:
        server = stack.enter_context(_program(home, "dagster-webserver", "-h", "127.0.0.1", "-p", str(port)))
        services = Services(f"http://127.0.0.1:{port}/graphql")
        until(lambda: _answers(services, server, home), "an answer of dagster-webserver")
        services.stop_sensors()
        stack.enter_context(_program(home, "dagster-daemon", "run"))
        yield services


def _answers(services: Services, server: "subprocess.Popen[bytes]", home: Path) -> bool:
    if server.poll() is not None:
        log = (home / "dagster-webserver.log").read_text(errors="replace")
        raise RuntimeError(f"dagster-webserver did not come up:\n{log[-2000:]}")
    try:
        return bool(services.ask("{ version }"))
    except OSError:
        return False


@contextmanager
def _program(home: Path, name: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A program of the same virtual environment in a process group of its own, which ends with the block."""
    command = [str(Path(sys.executable).parent / name), *arguments, "-m", "fleet_assets.definitions"]
    environment = {**os.environ, "FLEET_HOME": str(home), "DAGSTER_HOME": str(home), "FLEET_PROFILE": "local"}
    with (home / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a program with all that it started: code servers, runs, workers."""
    for kind, patience_s in ((signal.SIGTERM, 30.0), (signal.SIGKILL, 30.0)):
        deadline = time.monotonic() + patience_s
        try:
            os.killpg(process.pid, kind)
            while time.monotonic() < deadline:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.2)
        except ProcessLookupError:
            break
    process.wait()
