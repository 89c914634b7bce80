"""Point clouds that a driver made, as points. A message is a sweep."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet_assets.ingestion.recordings.messages.media_messages import Cloud
from fleet_assets.ingestion.recordings.protocol import NS_PER_S
from fleet_assets.ingestion.sensor_sync_and_format_conversion.lidar.returns import Points

AXES: Final = ("x", "y", "z")
_SINCE_1970_S: Final = 1e8
_LONGEST_S: Final = 10.0
_MOST_RINGS: Final = 1 << 16


class UnusableCloudError(Exception):
    """A point cloud that gives no points, with why."""


def points_of(cloud: Cloud, t_ns: int, fields: Mapping[str, Any]) -> Points:
    """Take the points of a cloud that have a place.

    Args:
        cloud: The cloud.
        t_ns: Time of its message; points without a time of their own have this one.
        fields: Names of fields as the policy `lidar` lists them.

    Raises:
        UnusableCloudError: When it lacks an axis, or its times span longer than a sweep can.
    """
    if missing := [axis for axis in AXES if axis not in cloud.fields]:
        raise UnusableCloudError(f"cloud without {', '.join(missing)}")
    xyz = np.stack([cloud.fields[axis].astype(np.float32, copy=False) for axis in AXES])
    there: NDArray[np.bool_] = np.asarray(np.isfinite(xyz).all(axis=0))
    count = int(there.sum())
    intensity = _first(cloud, fields["intensity"])
    ring = _first(cloud, fields["ring"])
    if ring is not None:
        whole = ring[there].astype(np.float64)
        if not ((whole >= 0) & (whole < _MOST_RINGS)).all():
            raise UnusableCloudError("cloud with a ring that is no number of one")
    return Points(
        xyz=np.ascontiguousarray(xyz[:, there]),
        intensity=np.zeros(count, np.float32) if intensity is None else intensity[there].astype(np.float32),
        ring=np.zeros(count, np.uint16) if ring is None else ring[there].astype(np.uint16),
        t_ns=t_ns + _offsets(cloud, there, fields["time_s"]),
        turn=np.zeros(count, dtype=np.int64),
    )


def _first(cloud: Cloud, names: list[str]) -> NDArray[Any] | None:
    return next((cloud.fields[name] for name in names if name in cloud.fields), None)


def _offsets(cloud: Cloud, there: NDArray[np.bool_], units: Mapping[str, float]) -> NDArray[np.int64]:
    """Time of each point after the message's, int64[n] nanoseconds."""
    name = next((name for name in units if name in cloud.fields), None)
    if name is None or not there.any():
        return np.zeros(int(there.sum()), dtype=np.int64)
    column = cloud.fields[name][there]
    first = column.min()
    # Counted from the earliest before they are scaled: a float of seconds since 1970 has no digits to waste.
    with np.errstate(invalid="ignore", over="ignore"):
        after_s = (column - first).astype(np.float64) * units[name]
    begin_s = float(first) * units[name]
    absolute = abs(begin_s) >= _SINCE_1970_S
    span = float(after_s.max())
    if not np.isfinite(span) or span > _LONGEST_S or (not absolute and abs(begin_s) > _LONGEST_S):
        raise UnusableCloudError("cloud whose times are no times of a sweep")
    offsets: NDArray[np.int64] = np.rint((after_s + (0.0 if absolute else begin_s)) * NS_PER_S).astype(np.int64)
    return offsets
