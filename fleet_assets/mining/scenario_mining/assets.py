"""Assets of workflow 8: mining requests with their outcome, and the clips that they ask for."""

from collections.abc import Iterator, Sequence

import dagster as dg

from fleet_assets.mining.scenario_mining.previews import contact_sheet
from fleet_assets.mining.scenario_mining.stock import Keyframes, Reading
from fleet_assets.mining.steps import MINE_STEP
from fleet_assets.provenance.restate import Report
from fleet_assets.tables.mining import CANDIDATE_SETS, SCENARIO_MINING
from fleet_assets.tables.ops import REQUESTS
from fleet_assets.tables.silver import KEYFRAMES
from resources.platform import Fleet
from resources.reporting import results, table_spec

OWNERS = ("team:ml-mlops",)


def scenario_assets() -> Sequence[dg.AssetsDefinition]:
    """`gold/mining_requests` and `gold/candidate_sets`, without partitions: a request looks at the whole fleet."""
    read = [name.split(".") for name in MINE_STEP.operator.inputs]
    deps: list[dg.AssetDep | dg.AssetKey] = [
        dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping()) for name in read
    ]
    deps.append(dg.AssetDep(list(REQUESTS.key)))

    @dg.multi_asset(
        name="mine_scenarios",
        specs=[
            table_spec(table, operator=MINE_STEP.operator, group="mining", owners=OWNERS, deps=deps)
            for table in SCENARIO_MINING
        ],
    )
    def mine_scenarios(context: dg.AssetExecutionContext, fleet: Fleet) -> Iterator[dg.MaterializeResult[None]]:
        report = fleet.restate(MINE_STEP, (), lambda done, of: context.log.info(f"{done}/{of} requests"))
        yield from results(report, fleet.tables, {CANDIDATE_SETS.name: lambda: _sheet(fleet, report)})

    return [mine_scenarios]


def _sheet(fleet: Fleet, report: Report) -> bytes | None:
    """The list that was made now, or the first there is: redacted keyframes with ranks and reasons."""
    entries = [entry for entry in report.entries[CANDIDATE_SETS.name] if entry.rows]
    made = [entry for entry in entries if entry.unit in report.plan.stale] or entries
    if not made:
        return None
    rows = fleet.lake.read(CANDIDATE_SETS, made[:1]).to_pylist()
    drives = {row["drive_id"] for row in rows}
    pictures = [entry for entry in fleet.lake.entries(KEYFRAMES) if entry.unit in drives]
    keyframes = Keyframes(Reading({KEYFRAMES.name: pictures}, fleet.tables, fleet.lake.files), fleet.objects)
    return contact_sheet(rows, keyframes.jpeg, fleet.policies["mining"]["sheet"])
