"""Gates of maps and enrichment: snapshots are whole, every drive has its outcome, covered drives lie on roads."""

from collections import Counter
from typing import Final

from asset_checks.gates import Gate
from asset_checks.ingestion import judge_step
from fleet_assets.evidence.verdicts import Verdict
from fleet_assets.ingestion.map_and_weather_enrichment.state import (
    COVER_STEP,
    ENRICH_STEP,
    MATCH_STEP,
    READ_WEATHER_STEP,
    WEATHER_STEP,
)
from fleet_assets.ingestion.map_and_weather_enrichment.verdicts import (
    matching_verdict,
    snapshot_verdict,
    weather_files_verdict,
    weather_verdict,
)
from fleet_assets.provenance.fingerprints import gate_policy_digest
from fleet_assets.provenance.ledger import Partition
from fleet_assets.tables.maps import (
    DRIVE_CELLS,
    ENRICHED_CLIPS,
    MAP_CONTEXT,
    MAP_MATCHES,
    ROAD_EDGES,
    ROAD_NETWORK,
    WEATHER,
    WEATHER_DAYS,
)
from fleet_assets.tables.silver import CLIPS
from resources.platform import Fleet

MATCHING_POLICY: Final = {"maps": ("gate",)}
WEATHER_POLICY: Final = {"weather": ("gate", "join")}


def judge_snapshot(fleet: Fleet, partition: Partition) -> Verdict:
    """A snapshot's ways are all accounted for: those that have edges are counted in the edges themselves."""
    rows = fleet.lake.rows(ROAD_NETWORK, partition).to_pylist()
    edges = Counter(fleet.lake.rows(ROAD_EDGES, partition, ["way_id"])["way_id"].to_pylist())
    return snapshot_verdict(rows, edges, policy_digest=fleet.policies.digest("maps"))


def judge_matching(fleet: Fleet, partition: Partition) -> Verdict:
    """Covered drives lie on the roads of their map."""
    return matching_verdict(
        fleet.lake.rows(MAP_MATCHES, partition).to_pylist(),
        fleet.wanted(MATCH_STEP, partition).waiting,
        fleet.policies["maps"]["gate"],
        policy_digest=gate_policy_digest(MATCHING_POLICY, fleet.policies),
    )


def judge_weather_files(fleet: Fleet, partition: Partition) -> Verdict:
    """Weather files that landed can be used; what an older file of a name stated is no evidence on the new one."""
    wanted = fleet.wanted(READ_WEATHER_STEP, partition).units
    entries = fleet.lake.entries(WEATHER_DAYS, partition)
    read = {entry.unit: entry.fingerprint for entry in entries}
    unread = {unit for unit, made in wanted.items() if read.get(unit) != made.fingerprint}
    return weather_files_verdict(
        fleet.lake.read(WEATHER_DAYS, [entry for entry in entries if entry.unit not in unread]).to_pylist(),
        {wanted[unit].context["file"].printable for unit in unread},
        policy_digest=fleet.policies.digest("weather"),
    )


def judge_weather(fleet: Fleet, partition: Partition) -> Verdict:
    """Every clip has its weather or a reason, within tolerance of place and time."""
    return weather_verdict(
        fleet.lake.rows(WEATHER, partition).to_pylist(),
        set(fleet.lake.rows(CLIPS, partition, ["clip_id"])["clip_id"].to_pylist()),
        fleet.wanted(WEATHER_STEP, partition).waiting,
        fleet.policies["weather"],
        policy_digest=gate_policy_digest(WEATHER_POLICY, fleet.policies),
    )


def enrichment_gates() -> list[Gate]:
    """All gates of workflow 5, in graph order."""
    return [
        Gate(ROAD_NETWORK, "conservation", "Every way is in the network or left out for a reason.", judge_snapshot),
        judge_step(COVER_STEP, DRIVE_CELLS),
        judge_step(MATCH_STEP, MAP_MATCHES),
        Gate(MAP_CONTEXT, "matching", "Covered drives lie on roads without breaks.", judge_matching, MATCHING_POLICY),
        Gate(WEATHER_DAYS, "readable", "Every weather file that landed can be used.", judge_weather_files),
        Gate(WEATHER, "joins", "Every clip has weather near enough, or says why not.", judge_weather, WEATHER_POLICY),
        judge_step(ENRICH_STEP, ENRICHED_CLIPS),
    ]
