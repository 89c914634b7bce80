"""Withholding positions in one drive's rows of `silver.signals`, and saying where that was done.

Here belongs the way between tables and columns; what is withheld is decided in `trip_ends.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleet_assets.ingestion.integrity_and_pii_redaction.privacy.trip_ends import (
    NONE,
    TripEndRule,
    stretches,
    withheld,
)

_KEYS: Final = ("drive_id", "day", "depot")


def withhold(
    signals: pa.Table, policy: Mapping[str, Any], drive: Mapping[str, Any]
) -> tuple[pa.Table, list[dict[str, Any]]]:
    """Withhold positions near the places where a drive stops at its ends, and near known places.

    Args:
        signals: Rows of `silver.signals` of one drive, in order of time.
        policy: Key `trip_ends` of the document `privacy`.
        drive: Its row of `bronze.drives`.

    Returns:
        The rows, and those of `silver.withheld_positions`. Instants stay; values are left or gone, never changed.
    """
    present = set(signals.column_names)
    if not signals.num_rows or not present.issuperset(policy["position"]):
        return signals, []
    t_ns = signals["t_ns"].to_numpy().astype(np.int64)
    lat, lon = (_values(signals, name) for name in policy["position"])
    speed = _first_known(signals, [name for name in policy["speed"] if name in present])
    reasons = withheld(t_ns, lat, lon, speed, TripEndRule.from_policy(policy))
    hidden = np.asarray(reasons != NONE)
    for name in policy["signals"]:
        if name in present:
            place = signals.schema.get_field_index(name)
            kept = pa.array(_values(signals, name), mask=hidden | _absent(signals, name))
            signals = signals.set_column(place, signals.schema.field(name), kept)
    keys = {name: drive[name] for name in _KEYS}
    return signals, [{**keys, **row} for row in stretches(t_ns, reasons)]


def _values(signals: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(signals[name].to_numpy(zero_copy_only=False), dtype=np.float64)


def _absent(signals: pa.Table, name: str) -> NDArray[np.bool_]:
    return np.asarray(signals[name].is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _first_known(signals: pa.Table, names: Sequence[str]) -> NDArray[np.float64]:
    """Value of the first column that has one, instant by instant; NaN where none has."""
    found = np.full(signals.num_rows, np.nan)
    for name in names:
        found = np.where(np.isnan(found), _values(signals, name), found)
    return found


def measurable(signals: pa.Table, stretches_withheld: pa.Table, names: Sequence[str]) -> pa.Table:
    """Rows of `silver.signals` as a gate counts them: a withheld value was measured, and stands for one.

    Args:
        signals: Rows of some drives.
        stretches_withheld: Rows of `silver.withheld_positions` of these drives.
        names: Signals that are withheld.
    """
    if not stretches_withheld.num_rows or not signals.num_rows:
        return signals
    drives = np.asarray(signals["drive_id"].to_pylist(), dtype=np.str_)
    t_ns = signals["t_ns"].to_numpy()
    hidden = np.zeros(signals.num_rows, dtype=np.bool_)
    for row in stretches_withheld.select(["drive_id", "start_ns", "end_ns"]).to_pylist():
        hidden |= (drives == row["drive_id"]) & (t_ns >= row["start_ns"]) & (t_ns <= row["end_ns"])
    for name in set(names).intersection(signals.column_names):
        values, absent = _values(signals, name), _absent(signals, name)
        place = signals.schema.get_field_index(name)
        counted = pa.array(np.where(hidden, 0.0, values), mask=absent & ~hidden)
        signals = signals.set_column(place, signals.schema.field(name), counted)
    return signals
