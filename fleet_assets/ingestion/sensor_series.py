"""Samples of one drive, split into one time series per (sensor, signal, instance).

Here belongs taking `bronze.sensor_samples` apart into NumPy arrays without a copy per series. What is done with a
series belongs to the workflow that does it.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SAMPLE_COLUMNS: Final = ("sensor", "signal", "instance", "t_ns", "value", "valid")
"""Columns of `bronze.sensor_samples` that tell one drive's series apart and make them."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One canonical signal of one sensor (and one of its equal objects), in time order.

    Attributes:
        sensor: Sensor of the vehicle spec.
        signal: Canonical signal.
        instance: Index among equal objects, 0 otherwise.
        t_ns: int64[n], non-decreasing; equal stamps are ordered by value, then by validity.
        value: float64[n], NaN where null.
        null: bool[n], whether the message carried no value.
        valid: bool[n], whether the sensor vouches for the value.
    """

    sensor: str
    signal: str
    instance: int
    t_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    null: NDArray[np.bool_]
    valid: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.t_ns)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """bool[n], whether there is a finite value that the sensor vouches for."""
        return self.valid & np.isfinite(self.value)

    def where(self, keep: NDArray[np.bool_]) -> "Series":
        """Some of its samples."""
        columns = (self.t_ns[keep], self.value[keep], self.null[keep], self.valid[keep])
        return Series(self.sensor, self.signal, self.instance, *columns)


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.unify_dictionaries().chunks) if array.num_chunks else pa.array([], column.type)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    return array.indices.to_numpy().astype(np.int64), array.dictionary.to_pylist()


def _numbers(column: pa.ChunkedArray, dtype: type[Any]) -> NDArray[Any]:
    return np.asarray(column.to_numpy(), dtype=dtype)


def split_series(samples: pa.Table) -> tuple[Series, ...]:
    """Split the samples of one drive into series, whatever the order of the rows.

    Rows that already have the order of `bronze.sensor_samples` are not moved, so that the arrays are views.

    Args:
        samples: Rows of `bronze.sensor_samples` of one drive; text columns may be dictionary-encoded.

    Returns:
        Series sorted by sensor, signal and instance.
    """
    if samples.num_rows == 0:
        return ()
    samples = samples.unify_dictionaries()
    sensor, sensors = _codes(samples["sensor"])
    signal, signals = _codes(samples["signal"])
    instance = _numbers(samples["instance"], np.int64)
    spread = int(instance.max()) + 1
    key = (sensor * len(signals) + signal) * spread + instance
    t_ns, value = _numbers(samples["t_ns"], np.int64), _numbers(samples["value"], np.float64)
    null, valid = _numbers(pc.is_null(samples["value"]), np.bool_), _numbers(samples["valid"], np.bool_)
    starts = _run_starts(key)
    if len(np.unique(key[starts])) < len(starts):
        order = np.argsort(key, kind="stable")
        key, t_ns, value, null, valid = key[order], t_ns[order], value[order], null[order], valid[order]
        starts = _run_starts(key)
    bounds = np.append(starts, len(key))
    found = []
    for first, end in zip(bounds[:-1], bounds[1:], strict=True):
        pair, number = divmod(int(key[first]), spread)
        rows = slice(int(first), int(end))
        names = sensors[pair // len(signals)], signals[pair % len(signals)]
        found.append(_in_time_order(Series(*names, number, t_ns[rows], value[rows], null[rows], valid[rows])))
    return tuple(sorted(found, key=lambda series: (series.sensor, series.signal, series.instance)))


def _run_starts(key: NDArray[np.int64]) -> NDArray[np.intp]:
    return np.concatenate(([0], np.flatnonzero(key[1:] != key[:-1]) + 1))


def _in_time_order(one: Series) -> Series:
    """Sort by time, value and validity, so that equal stamps have a definite order too."""
    if (one.t_ns[1:] > one.t_ns[:-1]).all():
        return one
    order = np.lexsort((one.valid, one.value, one.t_ns))
    columns = (one.t_ns[order], one.value[order], one.null[order], one.valid[order])
    return Series(one.sensor, one.signal, one.instance, *columns)
