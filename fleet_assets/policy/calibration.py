"""Calibration of single sensors, folded into a vehicle spec.

Here belong linear corrections of canonical signals. Where the calibration file is found is the ingestion area's
business.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fleet_assets.policy.units import LinearMap
from fleet_assets.policy.vehicles import InvalidSpecError, SignalMap, VehicleSpec


def calibrated(spec: VehicleSpec, sensor: str, corrections: Mapping[str, Any]) -> VehicleSpec:
    """The spec with linear corrections of one sensor folded into its unit conversion.

    Args:
        spec: The vehicle spec.
        sensor: Sensor of the spec.
        corrections: Key `signals` of a `fleet.calibration/v1` document: signal → scale and offset.

    Raises:
        InvalidSpecError: When a signal is not one of the sensor's.
    """
    own = spec.sensors[sensor]
    if unknown := sorted(set(corrections) - set(own.signals)):
        known = ", ".join(own.signals)
        problem = f"calibration/{sensor}: signals {unknown} are not of this sensor (known: {known}). Correct the file"
        raise InvalidSpecError(spec.name, (problem,))
    signals = {name: _corrected(body, corrections.get(name, {})) for name, body in own.signals.items()}
    return replace(spec, sensors={**spec.sensors, sensor: replace(own, signals=signals)})


def _corrected(body: SignalMap, correction: Mapping[str, float]) -> SignalMap:
    scale, offset = correction.get("scale", 1.0), correction.get("offset", 0.0)
    into = LinearMap(body.to_canonical.scale * scale, body.to_canonical.offset * scale + offset)
    return replace(body, to_canonical=into, shift=body.shift * scale)
