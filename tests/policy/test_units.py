"""The unit table against conversions that everyone knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_assets.policy.units import UNIT_NAMES, UnknownUnitError, conversion


@pytest.mark.parametrize(
    ("value", "unit", "into", "expected"),
    [
        (90.0, "km/h", "m/s", 25.0),
        (60.0, "mph", "km/h", 96.56064),
        (10.0, "knot", "km/h", 18.52),
        (180.0, "deg/s", "rad/s", 3.141592653589793),
        (1500.0, "ms", "s", 1.5),
        (2.0, "g", "m/s^2", 19.6133),
        (212.0, "degF", "degC", 100.0),
        (-40.0, "degF", "degC", -40.0),
        (0.0, "degC", "K", 273.15),
        (3.0, "mi", "km", 4.828032),
        (25.0, "%", "1", 0.25),
        (60.0, "rpm", "deg/s", 360.0),
        (1.2, "bar", "kPa", 120.0),
    ],
)
def test_known_conversions_hold(value: float, unit: str, into: str, expected: float) -> None:
    found = conversion(unit, into)
    assert value * found.scale + found.offset == pytest.approx(expected, rel=1e-12)


@given(st.sampled_from(UNIT_NAMES), st.sampled_from(UNIT_NAMES), st.floats(-1e6, 1e6))
def test_there_and_back_is_where_one_started(unit: str, into: str, value: float) -> None:
    try:
        there, back = conversion(unit, into), conversion(into, unit)
    except UnknownUnitError:
        return
    result = (value * there.scale + there.offset) * back.scale + back.offset
    assert result == pytest.approx(value, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("unit", UNIT_NAMES)
def test_a_unit_in_itself_changes_nothing(unit: str) -> None:
    assert conversion(unit, unit).identity


def test_an_unknown_unit_is_named_with_those_that_exist() -> None:
    with pytest.raises(UnknownUnitError, match="unit 'kmh' is not known. Use one of: .*km/h"):
        conversion("kmh", "m/s")


def test_units_of_different_quantities_are_refused_by_name() -> None:
    with pytest.raises(UnknownUnitError, match=r"'km/h' \(speed\) cannot become 'deg' \(angle\)"):
        conversion("km/h", "deg")
