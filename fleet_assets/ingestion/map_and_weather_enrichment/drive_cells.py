"""Which cells a drive touches: the part of a map, and the place and time of weather, that concern it.

Here belongs the operator COVER. What is made of the cells is in `state.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleet_assets.geo.road_cells import cell_of_each, densified, with_neighbours
from fleet_assets.provenance.fingerprints import Operator
from fleet_assets.provenance.restate import UnitTask
from fleet_assets.tables.maps import DRIVE_CELLS

KEYS: Final = ("drive_id", "day", "depot")
_STEP_DEG: Final = 0.005
"""Between two positions the cells of places this far apart are taken in: half a kilometre."""
_MARGIN_NS: Final = 60_000_000_000
COVER: Final = Operator(
    name="map_and_weather_enrichment.cover",
    version=1,
    inputs=("bronze.drives", "bronze.sensor_samples", "silver.clips"),
    outputs=(DRIVE_CELLS.name,),
    policy={"maps": ("signals", "extract")},
    libraries=("h3", "numpy"),
)


def cover(task: UnitTask) -> Mapping[str, pa.Table]:
    """Rows of `silver.drive_cells` of one drive; none for a drive that is held back or has no positions.

    The receiver's own positions are used, not those of the grid: cells are too coarse to tell where a trip ends, and
    weather is asked for there too.
    """
    maps = task.policies["maps"]
    drive = {key: task.context["drive"][key] for key in KEYS}
    clips = task.read("silver.clips", ["start_ns", "end_ns"])
    if not clips.num_rows:
        return {DRIVE_CELLS.name: DRIVE_CELLS.empty()}
    samples = task.read("bronze.sensor_samples", ["sensor", "signal", "t_ns", "value"])
    bounds = pc.min(clips["start_ns"]).as_py() - _MARGIN_NS, pc.max(clips["end_ns"]).as_py() + _MARGIN_NS
    t_ns, lat, lon = positions(samples, maps["signals"]["position"], bounds)
    rows = cell_rows(t_ns, lat, lon, maps["extract"]["cell_resolution"])
    return {DRIVE_CELLS.name: DRIVE_CELLS.from_rows([{**drive, **row} for row in rows])}


def positions(
    samples: pa.Table, signals: Sequence[str], bounds_ns: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Times, latitudes and longitudes that one sensor states together, in order of time.

    Args:
        samples: Rows of `bronze.sensor_samples` of one drive.
        signals: Names of latitude and longitude.
        bounds_ns: First and last time.
    """
    columns = []
    for name in signals:
        own = samples.filter(pc.equal(samples["signal"], name))
        columns.append(own.select(["sensor", "t_ns", "value"]).rename_columns(["sensor", "t_ns", name]))
    both = columns[0].join(columns[1], ["sensor", "t_ns"], join_type="inner", use_threads=False)
    both = both.filter(pc.and_(pc.greater_equal(both["t_ns"], bounds_ns[0]), pc.less(both["t_ns"], bounds_ns[1])))
    both = both.sort_by([("t_ns", "ascending"), ("sensor", "ascending")])
    lat, lon = (np.asarray(both[name].to_numpy(zero_copy_only=False), dtype=np.float64) for name in signals)
    known = np.isfinite(lat) & np.isfinite(lon)
    return both["t_ns"].to_numpy()[known], lat[known], lon[known]


def cell_rows(
    t_ns: NDArray[np.int64], lat_deg: NDArray[np.float64], lon_deg: NDArray[np.float64], resolution: int
) -> list[dict[str, Any]]:
    """Cells of the positions, of the straight lines between them, and their neighbours.

    Args:
        t_ns: Times.
        lat_deg: Positions.
        lon_deg: Likewise.
        resolution: H3 resolution.
    """
    if not len(t_ns):
        return []
    names, place = np.unique(np.array(cell_of_each(lat_deg, lon_deg, resolution)), return_inverse=True)
    count = np.bincount(place)
    first, last = (np.full(len(names), edge, dtype=np.int64) for edge in (t_ns.max(), t_ns.min()))
    np.minimum.at(first, place, t_ns)
    np.maximum.at(last, place, t_ns)
    visited = {
        str(name): {"positions": int(count[row]), "first_ns": int(first[row]), "last_ns": int(last[row])}
        for row, name in enumerate(names)
    }
    passed = cell_of_each(*densified(lat_deg, lon_deg, _STEP_DEG), resolution)
    nothing = {"positions": 0, "first_ns": None, "last_ns": None}
    return [{"cell": cell, **visited.get(cell, nothing)} for cell in sorted(with_neighbours(passed) | set(visited))]
