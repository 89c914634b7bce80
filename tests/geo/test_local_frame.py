"""The local plane against geodesics on the ellipsoid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from fleet_assets.geo.local_frame import LocalFrame

GEOD = Geod(ellps="WGS84")


@given(st.floats(-60, 60), st.floats(-180, 180), st.floats(-10_000, 10_000), st.floats(-10_000, 10_000))
def test_there_and_back_is_the_same_place(lat: float, lon: float, east: float, north: float) -> None:
    frame = LocalFrame(lat, lon)
    back = frame.to_plane(*frame.to_geographic(east, north))
    assert float(back[0]) == pytest.approx(east, abs=1e-6)
    assert float(back[1]) == pytest.approx(north, abs=1e-6)


@given(st.floats(-60, 60), st.floats(100, 5_000), st.floats(0, 6.28))
def test_distances_from_the_origin_are_those_of_the_geodesic(lat: float, metres: float, bearing: float) -> None:
    frame = LocalFrame(lat, 11.0)
    there = frame.to_geographic(metres * np.sin(bearing), metres * np.cos(bearing))
    _, _, distance = GEOD.inv(11.0, lat, float(there[1]), float(there[0]))
    assert distance == pytest.approx(metres, rel=2e-3)
