"""Gate of the keyframes: pictures, lidar sweeps and positions are near each other in time."""

from typing import Final

from asset_checks.gates import Gate
from asset_checks.ingestion import measured_signals
from fleet_assets.evidence.verdicts import Verdict
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.beside import drive_instants
from fleet_assets.ingestion.sensor_sync_and_format_conversion.keyframes.time_skew import time_skew_verdict
from fleet_assets.ingestion.steps import read_state
from fleet_assets.ingestion.vehicle import Vehicle
from fleet_assets.policy.vehicles import VehicleSpec
from fleet_assets.provenance.fingerprints import gate_policy_digest
from fleet_assets.provenance.ledger import Partition
from fleet_assets.tables.bronze import DRIVES, SENSOR_STREAMS
from fleet_assets.tables.silver import KEYFRAMES, LIDAR_SWEEPS
from resources.platform import Fleet

TIME_SKEW_POLICY: Final = {"keyframes": ("time_skew",)}


def judge_time_skew(fleet: Fleet, partition: Partition) -> Verdict:
    """Keyframes, sweeps and positions of every drive are near enough to each other."""
    policy = fleet.policies["keyframes"]
    limits = policy["time_skew"]
    instants = drive_instants(
        fleet.lake.rows(KEYFRAMES, partition, ["drive_id", "camera", "t_ns", "stamp_ns"]),
        fleet.lake.rows(LIDAR_SWEEPS, partition, ["drive_id", "sensor", "t_ns", "end_ns"]),
        fleet.lake.rows(SENSOR_STREAMS, partition, ["drive_id", "sensor", "messages"]),
        measured_signals(fleet, partition, ["drive_id", "t_ns", *limits["position"]]),
        _specs_by_drive(fleet, partition),
        limits,
    )
    return time_skew_verdict(instants, policy, policy_digest=gate_policy_digest(TIME_SKEW_POLICY, fleet.policies))


def _specs_by_drive(fleet: Fleet, partition: Partition) -> dict[str, VehicleSpec]:
    state = read_state(fleet)
    rows = fleet.lake.rows(DRIVES, partition, ["drive_id", "vehicle_spec"]).to_pylist()
    vehicles = {row["drive_id"]: state.vehicle(row["vehicle_spec"]) for row in rows}
    return {name: vehicle.spec for name, vehicle in vehicles.items() if isinstance(vehicle, Vehicle)}


def keyframe_gates() -> list[Gate]:
    """The gates of the keyframes besides conservation."""
    description = "Keyframes, lidar sweeps and positions are near each other in time."
    return [Gate(KEYFRAMES, "time_skew", description, judge_time_skew, TIME_SKEW_POLICY)]
