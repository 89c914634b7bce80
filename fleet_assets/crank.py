"""The crank: ticks the real sensors and automation and executes their runs in this process until nothing is requested.

It executes what the definitions already say, on the same instance that the UI opens. It decides nothing itself. The
sweeps go first, because they find everything that a drive needs in one run; automation conditions are asked at rest.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import dagster as dg

from partitions.keys import to_dagster
from resources.instance import run_kept_open
from resources.processes import (
    PROCESS_TAG,
    WAITING,
    close_lost_runs,
    crash_of,
    forgive_crashes,
    process_identity,
    runs_elsewhere,
    was_interrupted,
)

RUN_KEY_TAG: Final = "dagster/run_key"
SENSOR_TAG: Final = "dagster/sensor_name"
PARTITION_TAG: Final = "dagster/partition"
MAX_TURNS: Final = 200
POLL_S: Final = 0.5
_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate said in one run."""

    asset: str
    gate: str
    partition: str
    outcome: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run of the crank.

    Attributes:
        run_id: Dagster run.
        source: Sensor that asked for it.
        partition: Partition key, or empty.
        assets: Assets that it was asked for.
        success: Whether it ended well; a failed gate makes it fail.
        gates: What its gates said.
        error: First error that is not a failed gate.
        wall_s: Elapsed seconds.
        cpu_s: CPU seconds of this process.
        worker_cpu_s: CPU seconds of the engine's workers, by asset.
        steps: Key of the step that made an asset or asked a gate, by asset and by `asset:gate`.
    """

    run_id: str
    source: str
    partition: str
    assets: tuple[str, ...]
    success: bool
    gates: tuple[GateResult, ...]
    error: str | None
    wall_s: float
    cpu_s: float
    worker_cpu_s: Mapping[str, float]
    steps: Mapping[str, str]


@dataclass
class Crank:
    """Turns sensors on an instance.

    Attributes:
        defs: Definitions.
        instance: The instance that the UI opens too.
        on_run: Called after every run.
        sensors: Names of the sensors to tick, in order: what drives are made with, then the sweeps, which take a drive
            from landing to the end in one run, then what they leave over.
        on_wait: Called with the reason while another process has to finish first.
    """

    defs: dg.Definitions
    instance: dg.DagsterInstance
    on_run: Callable[[RunResult], None] = lambda _: None
    sensors: Sequence[str] = (
        "map_snapshots",
        "weather_files",
        "telemetry_landing",
        "restatement_sweep",
        "roll_up_sweep",
        "telemetry_hours",
        "telemetry_refusals",
        "mining_requests",
        "landing",
        "landing_quarantine",
    )
    on_wait: Callable[[str], None] = lambda _: None
    _cursor: Any = field(default=None, repr=False)

    def turn(self) -> list[RunResult]:
        """Tick until nothing is requested, and wait while what is outstanding is in another living process's hands.

        A sensor that asked for nothing is ticked again once something ran: nothing else can change its answer here.

        Raises:
            RuntimeError: When it does not come to rest, naming what keeps asking.
            KeyboardInterrupt: When a person stopped it, also inside a run.
        """
        close_lost_runs(self.instance)
        forgive_crashes(self.instance)
        results: list[RunResult] = []
        idle_since: dict[str, int] = {}
        rounds, told = 0, ""
        while rounds < MAX_TURNS:
            before = len(results)
            waiting = self._round(results, idle_since)
            if results and len(results) == before:
                results += [self._run("automation", request) for request in self._automation()]
            if len(results) > before:
                rounds += 1
                continue
            if not waiting or not runs_elsewhere(self.instance):
                return results
            if waiting != told:
                told = waiting
                self.on_wait(told)
            time.sleep(POLL_S)
        raise RuntimeError(f"not at rest after {MAX_TURNS} rounds; last asked for: {results[-1].assets}. Report this.")

    def _round(self, results: list[RunResult], idle_since: dict[str, int]) -> str:
        """Tick every sensor once whose answer may have changed, and execute what it asks for at once.

        Args:
            results: Runs of this turn so far; those of the round are appended.
            idle_since: Sensor → number of runs after which it asked for nothing.

        Returns:
            Why a sensor waits for another process; empty when none does.
        """
        waiting = ""
        for name in self.sensors:
            if idle_since.get(name) == len(results):
                continue
            requests, reason = self._tick(name)
            if requests and self._cursor is None:
                self._automation()  # the first tick only learns what is there; changes count from then on
            results += [self._run(name, request) for request in requests]
            if not requests and reason.startswith(WAITING):
                waiting = waiting or reason
            elif not requests:
                idle_since[name] = len(results)
        return waiting

    def tick(self, names: Sequence[str]) -> list[RunResult]:
        """Tick these sensors once and execute what they ask for."""
        asked = [(name, request) for name in names for request in self._tick(name)[0]]
        return [self._run(name, request) for name, request in asked]

    def run(self, source: str, request: dg.RunRequest) -> RunResult:
        """Execute one request now."""
        return self._run(source, request)

    def judge(self, partition: tuple[str, ...], checks: Sequence[dg.AssetCheckKey]) -> tuple[GateResult, ...]:
        """Run only these checks on one partition, as a run of its own: a runless result would not count."""
        job = self.defs.resolve_implicit_global_asset_job_def()
        # A run of checks alone takes its partition from the tag: it selects no asset to validate a key against.
        tags = {PARTITION_TAG: str(to_dagster(partition))} if partition else {}
        outcome = job.get_subset(asset_selection=set(), asset_check_selection=set(checks)).execute_in_process(
            instance=self.instance,
            tags={PROCESS_TAG: str(process_identity()), **tags},
            run_config=_QUIET,
            raise_on_error=False,
        )
        if was_interrupted(outcome.all_events):
            raise KeyboardInterrupt
        if (error := crash_of(outcome.all_events)) is not None:
            raise RuntimeError(f"a check crashed on {'|'.join(partition)}: {error}")
        return tuple(_gates(outcome, "|".join(partition)))

    def _tick(self, name: str) -> tuple[list[dg.RunRequest], str]:
        """What a sensor asks for and what no earlier tick did, or why it asks for nothing."""
        sensor = self.defs.resolve_sensor_def(name)
        with (
            dg.build_sensor_context(
                instance=self.instance,
                definitions=self.defs,
                sensor_name=name,
                resources=dict(self.defs.resources or {}),
            ) as context,
            # The daemon does the same: keys of dynamic partitions are looked up in the instance.
            dg.partition_loading_context(dynamic_partitions_store=self.instance),
        ):
            tick = sensor.evaluate_tick(context)
        requests = [request for request in tick.run_requests or () if not self._known(request.run_key)]
        return requests, str(tick.skip_message or "")

    def _known(self, run_key: str | None) -> bool:
        return run_key is not None and bool(self.instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: run_key}), limit=1))

    def _automation(self) -> list[dg.RunRequest]:
        """What the automation conditions ask for, one request per partition."""
        tick = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self._cursor)
        self._cursor = tick.cursor
        wanted: dict[str | None, list[dg.AssetKey]] = defaultdict(list)
        for result in tick.results:
            if not isinstance(result.key, dg.AssetKey):
                continue  # a gate runs with its asset
            for partition in tick.get_requested_partitions(result.key) if tick.get_num_requested(result.key) else ():
                wanted[partition].append(result.key)
        by_partition = sorted(wanted.items(), key=lambda item: str(item[0]))
        return [dg.RunRequest(partition_key=key, asset_selection=sorted(assets)) for key, assets in by_partition]

    def _run(self, source: str, request: dg.RunRequest) -> RunResult:
        wall, cpu = time.perf_counter(), time.process_time()
        tags = {**request.tags, PROCESS_TAG: str(process_identity()), SENSOR_TAG: source}
        if request.run_key:
            tags[RUN_KEY_TAG] = request.run_key
        keys = list(request.asset_selection or ())
        run_id = str(uuid4())
        with run_kept_open(self.instance, run_id):
            outcome = self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=self.instance,
                partition_key=request.partition_key,
                asset_selection=keys,
                tags=tags,
                run_config=_QUIET,
                raise_on_error=False,
                run_id=run_id,
            )
        if was_interrupted(outcome.all_events):
            raise KeyboardInterrupt
        result = RunResult(
            run_id=outcome.run_id,
            source=source,
            partition=request.partition_key or "",
            assets=tuple(sorted(key.to_user_string() for key in keys)),
            success=outcome.success,
            gates=tuple(_gates(outcome, request.partition_key or "")),
            error=crash_of(outcome.all_events),
            wall_s=time.perf_counter() - wall,
            cpu_s=time.process_time() - cpu,
            worker_cpu_s=_worker_cpu(outcome),
            steps=_steps(outcome),
        )
        self.on_run(result)
        return result


def _gates(outcome: dg.ExecuteInProcessResult, partition: str) -> Iterator[GateResult]:
    for check in outcome.get_asset_check_evaluations():
        metadata = {name: getattr(value, "value", value) for name, value in check.metadata.items()}
        stated = str(metadata.get("outcome", "pass" if check.passed else "fail"))
        yield GateResult(check.asset_key.to_user_string(), check.check_name, partition, stated, metadata)


def _worker_cpu(outcome: dg.ExecuteInProcessResult) -> dict[str, float]:
    spent = {}
    for event in outcome.get_asset_materialization_events():
        found = event.materialization.metadata.get("worker_cpu_s")
        if found is not None and event.asset_key is not None:
            spent[event.asset_key.to_user_string()] = float(str(found.value))
    return spent


def _steps(outcome: dg.ExecuteInProcessResult) -> dict[str, str]:
    made = {
        event.asset_key.to_user_string(): str(event.step_key)
        for event in outcome.get_asset_materialization_events()
        if event.asset_key is not None
    }
    judged = {
        event.asset_check_evaluation_data.asset_check_key.to_user_string(): str(event.step_key)
        for event in outcome.all_events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    }
    return made | judged
