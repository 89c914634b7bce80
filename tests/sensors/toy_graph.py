"""A toy graph of gated assets on an ephemeral instance, driven tick by tick.

Content and verdicts are what the test says they are; conditions, runs and ticks are Dagster's and the platform's own.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import dagster as dg

from partitions.fleet import DAY, DEPOT
from partitions.mappings import all_depots_of_day
from sensors.conditions import GATED, GATED_ROLLUP, ON_NEWLY_FAILED

DAYS: Final = ("2024-05-01", "2024-05-02")
DEPOTS: Final = ("north", "south")
DAY_DEPOT: Final = dg.MultiPartitionsDefinition(
    {DAY: dg.StaticPartitionsDefinition(DAYS), DEPOT: dg.StaticPartitionsDefinition(DEPOTS)}
)
BY_DAY: Final = dg.StaticPartitionsDefinition(DAYS)
A_NORTH, A_SOUTH, B_NORTH = "2024-05-01|north", "2024-05-01|south", "2024-05-02|north"
_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Toy:
    """Up → mid → down → day, each with a blocking gate except the day, and an alarm on failed gates of mid.

    Attributes:
        content: (asset, partition) → what a run would find there now.
        verdicts: (asset, partition) → what its gate would say now; True where nothing is said.
        made: (asset, partition) of every materialization, in order.
    """

    content: dict[tuple[str, str], str] = field(default_factory=lambda: defaultdict(lambda: "1"))
    verdicts: dict[tuple[str, str], bool] = field(default_factory=lambda: defaultdict(lambda: True))
    made: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: Any = None
        conditions = {"up": None, "mid": GATED, "down": GATED}
        chain = [
            self._asset(name, [previous] if previous else [], DAY_DEPOT, conditions[name])
            for previous, name in ((None, "up"), ("up", "mid"), ("mid", "down"))
        ]
        by_day = dg.AssetDep("down", partition_mapping=all_depots_of_day())
        self.defs = dg.Definitions(
            assets=[
                *chain,
                self._asset("day", [by_day], BY_DAY, GATED_ROLLUP),
                self._asset("alarm", ["mid"], DAY_DEPOT, ON_NEWLY_FAILED),
            ],
            asset_checks=[self._gate(name) for name in ("up", "mid", "down")],
        )

    def _asset(
        self, name: str, deps: Sequence[Any], partitions: Any, condition: dg.AutomationCondition[Any] | None
    ) -> dg.AssetsDefinition:
        @dg.asset(name=name, deps=deps, partitions_def=partitions, automation_condition=condition)
        def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
            self.made.append((name, context.partition_key))
            return dg.MaterializeResult(data_version=dg.DataVersion(self.content[name, context.partition_key]))

        return made

    def _gate(self, asset: str) -> dg.AssetChecksDefinition:
        @dg.asset_check(asset=asset, name="gate", blocking=True, partitions_def=DAY_DEPOT)
        def judged(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=self.verdicts[asset, context.partition_key])

        return judged

    def tick(self) -> dict[str, set[str]]:
        """One automation tick: partition → assets that it requests. Nothing runs."""
        tick = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)
        self.cursor = tick.cursor
        wanted: dict[str, set[str]] = {}
        for result in tick.results:
            if isinstance(result.key, dg.AssetKey) and tick.get_num_requested(result.key):
                for partition in tick.get_requested_partitions(result.key):
                    wanted.setdefault(str(partition), set()).add(result.key.to_user_string())
        return wanted

    def run(self, partition: str, *assets: str) -> bool:
        """Make some assets of a partition and judge them, in one run as the platform does."""
        outcome = self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            partition_key=partition,
            asset_selection=[dg.AssetKey(name) for name in assets],
            run_config=_QUIET,
            raise_on_error=False,
        )
        return bool(outcome.success)

    def follow(self) -> Iterator[Mapping[str, set[str]]]:
        """Tick and run what is requested until nothing is."""
        while wanted := self.tick():
            yield wanted
            for partition, assets in sorted(wanted.items()):
                self.run(partition, *assets)

    def settle(self) -> list[Mapping[str, set[str]]]:
        """All requests until nothing is requested any more."""
        requests = []
        for wanted in self.follow():
            requests.append(wanted)
            assert len(requests) < 10, f"does not come to rest: {requests}"
        return requests
